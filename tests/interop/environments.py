"""The environments of programs that others wrote: EXTRACT_INTEROP names their folder (default .interop).

They are openai2, openai3, instructor, pydantic_ai and litellm, each with its interpreter in bin/python.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ENVIRONMENTS = Path(os.environ.get("EXTRACT_INTEROP", Path(__file__).parents[2] / ".interop"))


def interpreter(name: str) -> Path:
    """The interpreter of an environment; skips where there is none."""
    found = ENVIRONMENTS / name / "bin" / "python"
    if not found.exists():
        pytest.skip(f"no environment {name} in {ENVIRONMENTS}, see EXTRACT_INTEROP")
    return found
