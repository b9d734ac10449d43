"""How the values of an item stand to each other, which is alike in the items of a list: in order, lines and columns."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from extract.evidence.entries import Item, Value
from extract.evidence.layout import Layout, Relation
from extract.evidence.support import Support

GAP = 2  # lines between one value of an item and the next
EDGE = 8  # characters by which a column may waver
MAX_CHOICES = 100  # places of a value that are compared, the nearest
ROUNDS = 2  # in which places are chosen by the others, which are chosen too
CONTRADICTED = 3  # pairs of values, twice those that two items or more agree about
_SURE = 2 / 3  # share of the other items in which two values must stand in the same way to each other


def arrange(placed: Sequence[Item], layout: Layout) -> None:
    """Numbers and dates stand to the item's other values as they do in the other items; else they are not its own."""
    if len(placed) < 2:
        return
    for _ in range(ROUNDS):
        ways = _Ways(placed, layout)
        for number, row in enumerate(placed):
            for value in row.values:
                if not value.is_text and value.wanted.name in row.picks:
                    _choose(ways, number, value, row, layout)
    ways = _Ways(placed, layout)
    for number, row in enumerate(placed):
        wrong = [
            value.wanted.name for value in row.values if not value.is_text and ways.is_wrong(number, value.wanted.name)
        ]
        for name in wrong:
            del row.picks[name]


def _choose(ways: _Ways, number: int, value: Value, row: Item, layout: Layout) -> None:
    """Of the places of a value that one that fits best to the other items."""
    name = value.wanted.name
    texts = [row.picks[each.wanted.name] for each in row.values if each.is_text and each.wanted.name in row.picks]

    expected = ways.expected(number, name)

    def fit(span: Support) -> tuple[int, bool, int]:
        good, bad = ways.votes(expected, span)
        moved = ways.moved(number, name, span)
        in_column = moved is not None and abs(moved) <= EDGE
        in_text = any(text.start <= span.start and span.end <= text.end for text in texts)
        return good - bad + 2 * in_column, not in_text, -abs(moved or 0)

    row.picks[name] = max(_choices(value, row, layout), key=fit)  # of equals the first


def _choices(value: Value, row: Item, layout: Layout) -> list[Support]:
    """The places of a value among the item's others, the present one first, then the nearest."""
    now = row.picks[value.wanted.name]
    low = min(layout.line(span.start) for span in row.picks.values()) - GAP
    high = max(layout.lines(span)[1] for span in row.picks.values()) + GAP
    found = (span for span in value.within(row.low, row.high) if low <= layout.line(span.start) <= high)
    return heapq.nsmallest(MAX_CHOICES, found, key=lambda span: abs(span.start - now.start))


class _Ways:
    """How the values of the items stand to each other."""

    def __init__(self, placed: Sequence[Item], layout: Layout) -> None:
        self._placed, self._layout = placed, layout
        self._counts: dict[tuple[str, str], Counter[Relation]] = defaultdict(Counter)
        self._own: list[dict[tuple[str, str], Relation]] = []
        self._columns: dict[str, tuple[_Edges, _Edges]] = defaultdict(lambda: (_Edges(), _Edges()))
        for number, row in enumerate(placed):
            mine = {
                (one, other): layout.relation(row.picks[one], row.picks[other])
                for one in row.picks
                for other in row.picks
                if one != other
            }
            self._own.append(mine)
            for pair, relation in mine.items():
                self._counts[pair][relation] += 1
            for name, span in row.picks.items():
                for edges, edge in zip(self._columns[name], layout.columns(span), strict=True):
                    edges.add(edge, number)

    def expected(self, number: int, name: str) -> list[tuple[Support, Relation, int]]:
        """How a value stands to the others of its item in the other items, where these agree, and what that counts."""
        found = []
        for other, there in self._placed[number].picks.items():
            if other == name:
                continue
            counts, own = self._counts[name, other], self._own[number].get((name, other))
            others = {way: count - (way == own) for way, count in counts.items()}
            way = max(others, key=others.__getitem__, default=(0, 0))
            most = others.get(way, 0)
            if not most or most < _SURE * sum(others.values()):
                continue
            found.append((there, way, min(most, 2)))
        return found

    def votes(self, expected: Sequence[tuple[Support, Relation, int]], span: Support) -> tuple[int, int]:
        """How many pairs of values stand as they do in the other items, and how many do not."""
        good = bad = 0
        for there, way, most in expected:
            if self._layout.relation(span, there) == way:
                good += most
            else:
                bad += most
        return good, bad

    def is_wrong(self, number: int, name: str) -> bool:
        """Whether a value stands to the others of its item as it does in no other item."""
        if name not in self._placed[number].picks:
            return False
        good, bad = self.votes(self.expected(number, name), self._placed[number].picks[name])
        return (bad >= CONTRADICTED and bad >= good) or self._is_off(number, name)

    def _is_off(self, number: int, name: str) -> bool:
        """Whether it stands in another column than in the other items, and its line is not merely moved."""
        picks = self._placed[number].picks
        moved = self.moved(number, name, picks[name])
        if moved is None:
            return False
        line = self._layout.line(picks[name].start)
        beside = {
            other: by
            for other, there in picks.items()
            if other != name
            and self._layout.line(there.start) == line
            and (by := self.moved(number, other, there)) is not None
        }
        shared = [abs(by) for other, by in beside.items() if picks[other].start == picks[name].start]
        if shared and min(shared) < abs(moved):  # one place for two fields is that of the field whose column it is
            return True
        if abs(moved) <= EDGE or (self._columns[name][0].count < 3 and not shared):
            return False
        return all(abs(by - moved) > EDGE for by in beside.values())

    def moved(self, number: int, name: str, span: Support) -> int | None:
        """By how many characters a place of a field stands beside the nearest column in which other items have it."""
        found = [
            (abs(here - edge), first, side, here - edge)
            for side, here in enumerate(self._layout.columns(span))
            for edge, first in self._columns[name][side].around(here, number)
        ]
        return min(found)[3] if found else None


class _Edges:
    """The columns at which a field begins, or ends, in the items: asked for the nearest without looking at each."""

    def __init__(self) -> None:
        self.count = 0
        self._columns: list[int] = []  # in order
        self._items: dict[int, list[int]] = {}  # the first two that have each column

    def add(self, column: int, item: int) -> None:
        """Note the column of an item, whose number is higher than those before."""
        self.count += 1
        if column not in self._items:
            insort(self._columns, column)
        items = self._items.setdefault(column, [])
        if len(items) < 2:
            items.append(item)

    def around(self, column: int, but: int) -> Iterator[tuple[int, int]]:
        """The nearest on either side that an item but one has, with the first such item."""
        at = bisect_left(self._columns, column)
        for numbers in (range(at - 1, max(-1, at - 3), -1), range(at, min(at + 2, len(self._columns)))):
            for number in numbers:  # one item has one column: of two at least one is another item's
                items = [item for item in self._items[self._columns[number]] if item != but]
                if items:
                    yield self._columns[number], items[0]
                    break
