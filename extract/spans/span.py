"""The span: a piece of a text with its place and, where it is known, its value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Span:
    """`text == source[start:end]`; `value` is a Decimal, a date or None."""

    start: int
    end: int
    text: str
    value: Any = None

    @property
    def shown(self) -> str:
        """The span with each run of white space made one space, as it goes on the wire."""
        return " ".join(self.text.split())
