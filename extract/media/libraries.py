"""The one door to the libraries of the extra `documents`, which are imported when they are first needed."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from extract.errors import ConfigError

_PACKAGES = {"pypdfium2": "pypdfium2", "PIL": "pillow"}


def require() -> None:
    """Refuse to go on without the libraries. Raises ConfigError."""
    for module in _PACKAGES:
        if find_spec(module) is None:
            raise _missing(module)


def library(name: str) -> Any:
    """A module of these libraries, such as `PIL.Image`. Raises ConfigError."""
    try:
        return import_module(name)
    except ImportError as error:
        raise _missing(name.partition(".")[0]) from error


def _missing(module: str) -> ConfigError:
    return ConfigError(
        f"media columns need {_PACKAGES.get(module, module)}, which is not installed",
        hint="pip install 'tablecast[documents]'",
    )
