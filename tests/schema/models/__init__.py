"""The corpus: every model of the modules here, by name."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter

from schema.models.case import Case


def _collected() -> dict[str, Case]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "case")
    cases = [case for name in names for case in importlib.import_module(f"{__name__}.{name}").MODELS]
    twice = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
    if twice:
        raise ValueError(f"names that come twice: {twice}")
    return {case.name: case for case in cases}


CASES = _collected()
