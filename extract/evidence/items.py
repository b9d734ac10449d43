"""Where the items of a list stand in a text, and with it their values: those of one item stand together.

A number that an item has wrong mostly stands in the text all the same, in the next line or as part of something else.
So each item gets a place of its own (its anchor, by what it says that nothing else says), and its values are looked for
from there: not beyond the next item's anchor, not far from the others, and where they stand in the other items.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from extract.evidence.anchors import anchor
from extract.evidence.arrangement import GAP, arrange
from extract.evidence.entries import Item, Value, Wanted, value_of
from extract.evidence.finder import Finder, best_behind, is_behind
from extract.evidence.layout import Layout
from extract.evidence.support import Support

MAX_VALUES = 100_000  # of one list; in longer ones each value is looked for alone
MAX_READ = 100_000_000  # characters that are read for what texts without support are most like, in one list


def located(finder: Finder, items: Sequence[Sequence[Wanted]]) -> dict[str, Support | None]:
    """The support of each value of the items of one list, by path; for a text without one, what is most like it."""
    if sum(map(len, items)) > MAX_VALUES:
        items = [[wanted] for item in items for wanted in item]
    layout = Layout(finder.text)
    known: dict[Any, Value] = {}
    rows = [Item([value_of(finder, layout, wanted, known) for wanted in item]) for item in items]
    anchor(rows)
    placed = sorted((row for row in rows if row.anchor), key=lambda row: row.at)
    _bound(placed, layout, len(finder.text))
    for row in placed:
        _gather(row, layout, set())
    _part(placed, layout)
    having = Counter(value.wanted.name for row in rows for value in row.values if value.spans)
    local = Counter(name for row in placed for name in row.picks)
    arrange(placed, layout)
    mostly = {name for name, count in local.items() if 2 * count >= having[name]}
    return _Rest(finder, layout, rows, placed, mostly).supports()


def _beside(row: Item, layout: Layout) -> dict[str, Support]:
    """The values that stand beside others of the item on a line; all, where no two do: one value to a line."""
    lines = Counter(layout.line(span.start) for span in row.picks.values())
    found = {name: span for name, span in row.picks.items() if lines[layout.line(span.start)] > 1}
    return found or row.picks


def _bound(placed: Sequence[Item], layout: Layout, end: int) -> None:
    """Each item ends before the next one's anchor, with the whole line of it where that is another line."""
    for number, row in enumerate(placed):
        line = layout.line(row.at)
        row.low, row.high = 0, end
        if number:
            before = placed[number - 1]
            above = layout.line(before.at)
            row.low = layout.begin(above + 1) if above < line else before.end
        if number + 1 < len(placed):
            below = placed[number + 1].at
            row.high = layout.begin(layout.line(below)) if layout.line(below) > line else below


def _gather(row: Item, layout: Layout, denied: set[tuple[str, int]]) -> None:
    """For each value the place that is nearest, from one to the next, as long as there is no gap."""
    low, high = layout.line(row.at), layout.line(max(row.at, row.end - 1))
    row.picks = {}
    waiting = {value.wanted.name: _nearest(row, value, denied) for value in row.values}
    while waiting:
        found = [
            (
                max(low - layout.line(span.start), layout.line(span.start) - high, 0),
                abs(span.start - row.at),
                name,
                span,
            )
            for name, spans in waiting.items()
            for span in spans
        ]
        if not found:
            return
        distance, _, name, span = min(found, key=lambda item: item[:2])
        if distance > GAP:
            return
        first, last = layout.lines(span)
        low, high = min(low, first), max(high, last)
        row.picks[name] = span
        del waiting[name]


def _nearest(row: Item, value: Value, denied: set[tuple[str, int]]) -> list[Support]:
    """The nearest places of a value before and behind the anchor, which are so in lines, too."""
    name, starts, spans = value.wanted.name, value.places.starts, value.spans
    low, middle, high = (bisect_left(starts, at) for at in (row.low, row.at + 1, row.high))

    def is_own(number: int) -> bool:
        return spans[number].end <= row.high and (name, spans[number].start) not in denied

    before = next((number for number in range(min(middle, high) - 1, low - 1, -1) if is_own(number)), None)
    if before is not None:  # of those that begin together the first
        before = next(number for number in range(bisect_left(starts, starts[before]), before + 1) if is_own(number))
    behind = next((number for number in range(max(low, middle), high) if is_own(number)), None)
    return [spans[number] for number in (before, behind) if number is not None]


def _part(placed: Sequence[Item], layout: Layout) -> None:
    """A place that two items claim belongs to the nearer one."""
    for _ in range(2):
        again: dict[int, set[tuple[str, int]]] = defaultdict(set)
        for number in range(len(placed) - 1):
            one, other = placed[number], placed[number + 1]
            theirs = {span.start: name for name, span in other.picks.items()}
            for name, span in one.picks.items():
                if span.start in theirs:
                    far = [abs(layout.line(span.start) - layout.line(each.at)) for each in (one, other)]
                    if far[0] > far[1]:
                        again[number].add((name, span.start))
                    else:
                        again[number + 1].add((theirs[span.start], span.start))
        for number, denied in again.items():
            _gather(placed[number], layout, denied)


@dataclass(frozen=True, slots=True)
class _Rest:
    """Values that do not stand with their items: what is printed once for all of them, and what is not theirs."""

    finder: Finder
    layout: Layout
    rows: Sequence[Item]
    placed: Sequence[Item]
    local: Set[str]  # fields that most items have beside their others

    def supports(self) -> dict[str, Support | None]:
        cores = _merged(sorted(self._core(row) for row in self.placed))
        shared = Counter(self.layout.line(row.at) for row in self.placed)
        alike = Counter((value.wanted.name, value.wanted.value) for row in self.rows for value in row.values)
        found: dict[str, Support | None] = {}
        apart: dict[Any, Support | None] = {}  # where values stand that do not stand with their items; asked once
        like: dict[Any, Support | None] = {}
        for row in self.rows:
            for value in row.values:
                wanted = value.wanted
                own = row.picks.get(wanted.name)
                if own is None and value.spans:
                    is_prose = row.anchor is not None and shared[self.layout.line(row.at)] > 1
                    several = min(2, alike[wanted.name, wanted.value])
                    key = (wanted.name, tuple(wanted.hints), id(value.places), len(row.values) == 1, several, is_prose)
                    if key not in apart:
                        apart[key] = self._elsewhere(row, value, cores, several, is_prose)
                    own = apart[key]
                if own is None and value.is_text:
                    if wanted.value not in like and len(like) * len(self.finder.text) <= MAX_READ:
                        like[wanted.value] = self.finder.most_like(wanted.value)
                    own = like.get(wanted.value)
                found[wanted.path] = own
        return found

    def _core(self, row: Item) -> tuple[int, int]:
        spans = list(_beside(row, self.layout).values())
        return min([row.at, *(span.start for span in spans)]), max([row.end, *(span.end for span in spans)])

    def _elsewhere(
        self, row: Item, value: Value, cores: Sequence[tuple[int, int]], alike: int, is_prose: bool
    ) -> Support | None:
        """A text where no item stands; a number or date too, if several items share it, or behind its field's words."""
        text, hints = self.finder.text, value.wanted.hints
        if len(row.values) == 1 or (value.is_text and is_prose):
            return best_behind(text, value.spans, hints)
        if not value.is_text and value.wanted.name in self.local:
            return None
        free = [span for span in value.spans if not _is_in(span, cores)]
        if not value.is_text and alike < 2:
            free = [span for span in free if is_behind(text, span, hints)]
        return best_behind(text, free, hints) if free else None


def _merged(cores: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same stretches, in order, without those that lie over others."""
    found: list[tuple[int, int]] = []
    for low, high in cores:
        if found and low < found[-1][1]:
            found[-1] = found[-1][0], max(high, found[-1][1])
        else:
            found.append((low, high))
    return found


def _is_in(span: Support, cores: Sequence[tuple[int, int]]) -> bool:
    """Whether a span touches one of the stretches, which are in order."""
    at = bisect_left(cores, span.end, key=lambda core: core[0]) - 1
    return at >= 0 and cores[at][1] > span.start
