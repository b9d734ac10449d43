"""The parts of a run that meet in one directory."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from extract.errors import ConfigError
from extract.job import server_package


def test_without_the_extra_the_local_model_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is a ConfigError with the command."""
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "extract" and "server" in (rest[2] or ()):
            raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"needs uvicorn \(pip install 'tablecast\[local\]'"):
        server_package()
