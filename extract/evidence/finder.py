"""Where a text supports a value: the value's type says what is looked for."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from enum import Enum
from functools import cached_property, lru_cache
from typing import Any

from extract.evidence.amounts import Amounts
from extract.evidence.days import Days
from extract.evidence.support import MAX_PLACES, Support
from extract.evidence.words import Words, fold

NEAR = 0.8  # likeness from which a text that does not stand there is shown with what it is like
_LABEL = 60  # characters before a span that say what it is


class Finder:
    """One text, read once for all the values that it is asked for. `find` may be called from one thread at a time."""

    def __init__(self, text: str) -> None:
        self.text = text

    def find(self, value: Any, hints: Sequence[str] = (), day_first: bool | None = None) -> Support | None:
        """The best support for a value; for a text without one, what is most like it; None where nothing is.

        `hints` are words, such as those of the field's name: of several places the one that stands behind them is
        taken, else the first. `day_first` says how 02/05/2018 reads; None: as other dates of the text have it. Text,
        numbers, dates, times and enums of these are looked for; a truth value, bytes and None have no writing of their
        own, see `has_writing`.
        """
        found = self.places(value, day_first)
        return best_behind(self.text, found, hints) if found else self.most_like(value)

    def places(self, value: Any, day_first: bool | None = None, most: int = MAX_PLACES) -> Sequence[Support]:
        """All places that support a value, the plainest readings first, at most so many."""
        if isinstance(value, Enum):
            value = value.value
        if isinstance(value, bool | None) or not has_writing(value):
            return ()
        if isinstance(value, int | float | Decimal):
            number = Decimal(value) if isinstance(value, int) else Decimal(str(value))
            return self._amounts.find(number, most) if number.is_finite() else ()
        if isinstance(value, dt.date | dt.time):
            return self._days.find(value, day_first, most)
        return self._words.find(str(value), most)

    def most_like(self, value: Any) -> Support | None:
        """What is most like a text that does not stand there."""
        return self._words.near(value, NEAR) if isinstance(value, str) else None

    @cached_property
    def _words(self) -> Words:
        return Words(self.text)

    @cached_property
    def _amounts(self) -> Amounts:
        return Amounts(self.text)

    @cached_property
    def _days(self) -> Days:
        return Days(self._words)


@lru_cache(maxsize=16)  # the fields of a record ask the same texts one after the other
def finder_of(text: str) -> Finder:
    """The finder of a text."""
    return Finder(text)


def has_writing(value: Any) -> bool:
    """Whether a value of this type can be looked for in a text."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, float):
        return math.isfinite(value)
    return value is not None and not isinstance(value, bool | bytes | dt.timedelta | list | dict | set | tuple)


def is_text(value: Any) -> bool:
    """Whether a value is looked for letter by letter, not as a number, a date or a time."""
    if isinstance(value, Enum):
        value = value.value
    return not isinstance(value, int | float | Decimal | dt.date | dt.time)


def best_behind(text: str, found: Sequence[Support], hints: Sequence[str]) -> Support:
    """The first of the best: by how it is written, then by how many hints stand before it on its line."""
    if len(found) == 1 or not hints:
        return found[0]
    wanted = {fold(hint) for hint in hints}
    return max(found, key=lambda each: (each.score, len(wanted & _label(text, each.start))))


def is_behind(text: str, span: Support, hints: Sequence[str]) -> bool:
    """Whether one of the hints stands before a place on its line, or on the line above where there are no words."""
    return not _label(text, span.start).isdisjoint({fold(hint) for hint in hints})


def _label(text: str, start: int) -> set[str]:
    """The words before a place, on its line, or on the line above where there are none."""
    low = max(0, start - 2 * _LABEL)
    line = text.rfind("\n", low, start) + 1 or low
    label = text[line:start]
    if not any(map(str.isalpha, label)) and line > low:
        label = text[text.rfind("\n", low, line - 1) + 1 or low : start]
    return set(Words(label).folded)
