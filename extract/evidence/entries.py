"""The items of a list while they are looked for: their values, all the places of each, and those chosen so far."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
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


@dataclass(slots=True)
class Value:
    """A value with all the places at which it stands, in the order of the text."""

    wanted: Wanted
    spans: Sequence[Support]
    lines: Sequence[int]
    is_text: bool
    weight: float  # how much a place of it says of where the item is

    def around(self, line: int, reach: int) -> Iterator[tuple[int, Support]]:
        """The places on lines that are near, with their distance."""
        low, high = bisect_left(self.lines, line - reach), bisect_right(self.lines, line + reach)
        for number in range(low, high):
            yield abs(self.lines[number] - line), self.spans[number]

    def within(self, low: int, high: int) -> Iterator[Support]:
        """The places between two characters."""
        first = bisect_left(self.spans, low, key=lambda span: span.start)
        for number in range(first, len(self.spans)):
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
            spans,
            [layout.line(span.start) for span in spans],
            is_text(wanted.value),
            telling / max(1, len(spans)) ** 0.5,
        )
    return Value(wanted, same.spans, same.lines, same.is_text, same.weight)
