"""Numbers with their nouns."""

from __future__ import annotations

from typing import Any


def counted(number: Any, noun: str) -> str:
    """`1 entry`, `2 entries`, `3 items`: the noun is given in the singular."""
    if number == 1:
        return f"{number} {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"
