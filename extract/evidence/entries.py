"""The items of a list while they are looked for: their values, all the places of each, and those chosen so far."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from extract.evidence.finder import Finder, is_text
from extract.evidence.layout import Layout
from extract.evidence.support import Support

MAX_PLACES = 2_000  # of one value
_INFORMATIVE = 10  # letters and digits beyond which a value is no more telling


@dataclass(frozen=True, slots=True)
class Wanted:
    """One value of an item; `name` is that of its field, the same in all items."""

    path: str
    name: str
    value: Any
    hints: Sequence[str] = ()
    day_first: bool | None = None


Extent = tuple[int, int]  # where a span begins and ends


class Places:
    """All places of a value, in the order of the text; equal values share them.

    What is taken stays taken, so that stretches of taken places are passed in one step when they are met again.
    """

    def __init__(self, spans: Sequence[Support], layout: Layout) -> None:
        self.spans = spans
        self.starts = [span.start for span in spans]
        self.lines = [layout.line(start) for start in self.starts]
        self._extents = [(span.start, span.end) for span in spans]
        self._ahead = list(range(len(spans) + 1))  # a free place from each on
        self._back = list(range(len(spans) + 1))  # and backwards: of a place at the number after its own

    def ahead(self, number: int, taken: Set[Extent]) -> int:
        """The first free place from a number on; how many places there are, when none is."""
        step = self._ahead
        while step[number] != number or (number < len(self.spans) and self._extents[number] in taken):
            step[number] = step[step[number]] if step[number] != number else number + 1
            number = step[number]
        return number

    def back(self, number: int, taken: Set[Extent]) -> int:
        """The last free place up to a number; -1 when none is."""
        step, number = self._back, number + 1
        while step[number] != number or (number and self._extents[number - 1] in taken):
            step[number] = step[step[number]] if step[number] != number else number - 1
            number = step[number]
        return number - 1


@dataclass(slots=True)
class Value:
    """A value with all the places at which it stands."""

    wanted: Wanted
    places: Places
    is_text: bool
    weight: float  # how much a place of it says of where the item is

    @property
    def spans(self) -> Sequence[Support]:
        """The places, in the order of the text."""
        return self.places.spans

    def within(self, low: int, high: int) -> Iterator[Support]:
        """The places between two characters."""
        for number in range(bisect_left(self.places.starts, low), len(self.spans)):
            if self.spans[number].start >= high:
                return
            if self.spans[number].end <= high:
                yield self.spans[number]


@dataclass(slots=True)
class Item:
    """The values of one item, and where they stand."""

    values: Sequence[Value]
    anchor: Support | None = None
    picks: dict[str, Support] = field(default_factory=dict)  # by field
    low: int = 0  # its values stand between these two
    high: int = 0

    @property
    def at(self) -> int:
        """Where its anchor begins."""
        return self.anchor.start if self.anchor else -1

    @property
    def end(self) -> int:
        """Where its anchor ends."""
        return self.anchor.end if self.anchor else -1


def value_of(finder: Finder, layout: Layout, wanted: Wanted, known: dict[Any, Value]) -> Value:
    """A value with its places; equal values are looked up once."""
    key = (type(wanted.value), wanted.value, wanted.day_first)
    if (same := known.get(key)) is None:
        spans = sorted(finder.places(wanted.value, wanted.day_first, MAX_PLACES), key=lambda span: span.start)
        telling = min(_INFORMATIVE, sum(map(str.isalnum, str(wanted.value))))
        known[key] = same = Value(
            wanted,
            Places(spans, layout),
            is_text(wanted.value),
            telling / max(1, len(spans)) ** 0.5,
        )
    return Value(wanted, same.places, same.is_text, same.weight)
