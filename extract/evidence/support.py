"""What a finder found: a place in a text, and how well it supports a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MAX_PLACES = 50  # of one value, where no other number is asked for

How = Literal["exact", "normalised", "parts", "ocr", "near"]

SCORES: dict[How, float] = {"exact": 1.0, "normalised": 0.98, "parts": 0.93, "ocr": 0.9}  # `near` has its own


@dataclass(frozen=True, slots=True)
class Support:
    """`quote == text[start:end]`; `how` it was read.

    exact: letter for letter, or the one way in which a number or date reads. normalised: but for case, white space,
    punctuation, accents and hyphens, or in one of several ways to read it. parts: whole pieces of the text, one after
    the other, with pieces between them that do not belong to it. ocr: but for letters that a scanner takes for digits
    and the other way round. near: similar, which is no support.
    """

    start: int
    end: int
    quote: str
    how: How
    score: float

    @property
    def is_support(self) -> bool:
        """Whether the span, read back as the field's type, equals the value."""
        return self.how != "near"
