"""Each item of a list gets a place in the text, by what it says that the others do not."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence, Set

from extract.evidence.entries import Extent, Item, Places, Value
from extract.evidence.support import Support

MAX_SEEDS = 60  # places at which an item is tried
MAX_TURNS = 8  # in which an item that others took the best place of waits for its next best
REACH = 5  # lines around a place in which values of the item speak for it


def anchor(rows: Sequence[Item]) -> None:
    """Give each item its place, the surest first; a place belongs to one item."""
    taken: set[Extent] = set()
    turns: Counter[int] = Counter()  # by number of the item
    placed: list[tuple[int, int]] = []  # number of the item, its place
    queue = [(-best[0], number) for number, row in enumerate(rows) if (best := _best_seed(row, taken, None))]
    heapq.heapify(queue)
    while queue:
        score, number = heapq.heappop(queue)
        row = rows[number]
        best = _best_seed(row, taken, _between(placed, number))
        if best is None:
            continue
        is_worse = -best[0] > score + 1e-9 and queue and -best[0] > queue[0][0] + 1e-9  # others took what it stood on
        if is_worse and turns[number] < MAX_TURNS:
            turns[number] += 1
            heapq.heappush(queue, (-best[0], number))
            continue
        _, row.anchor, used = best
        taken.update((span.start, span.end) for span in used)
        at = bisect_left(placed, (number, 0))
        placed.insert(at, (number, row.at))


def _between(placed: Sequence[tuple[int, int]], number: int) -> tuple[int, int]:
    """The places of the items next to one, in the order of the list."""
    at = bisect_left(placed, (number, 0))
    return (placed[at - 1][1] if at else -1), (placed[at][1] if at < len(placed) else 1 << 62)


def _best_seed(row: Item, taken: Set[Extent], order: Extent | None) -> tuple[float, Support, list[Support]] | None:
    """Score, place and what stands on its line, for the place that most of the item's values speak for.

    Of equal places that is taken which keeps the order of the list, of these the first.
    """
    best: tuple[tuple[float, bool, float], float, Support, list[Support]] | None = None
    most = round(sum(each.weight for each in row.values if _is_free(each, taken)), 9)
    tried: set[int] = set()
    for value, seed, line in _seeds(row, taken):
        if best is not None and best[0][0] >= most and best[0][1]:  # the seeds to come say less
            break
        if seed.start in tried:
            continue
        tried.add(seed.start)
        score, used = 0.0, []
        for each in row.values:
            if near := _nearest(each.places, seed.start, line, taken):
                distance, _, span = near
                score += each.weight * (1 - distance / (REACH + 1))
                if distance == 0:
                    used.append(span)
        in_order = order is None or order[0] < seed.start < order[1]
        rank = (round(score, 9), in_order, value.weight)
        if best is None or rank > best[0]:
            best = rank, score, seed, used
    return best and best[1:]


def _is_free(value: Value, taken: Set[Extent]) -> bool:
    return value.places.ahead(0, taken) < len(value.spans)


def _nearest(places: Places, at: int, line: int, taken: Set[Extent]) -> tuple[int, int, Support] | None:
    """How many lines and characters the nearest free place is from a place, and it; None beyond the reach.

    On either side what is nearer in characters is so in lines, too: it is one of two.
    """
    behind = bisect_right(places.starts, at)
    number, found = places.back(behind - 1, taken), None
    if number >= 0 and line - places.lines[number] <= REACH:
        start = places.starts[number]
        if number and places.starts[number - 1] == start:  # of those that begin together the first
            number = places.ahead(bisect_left(places.starts, start), taken)
        found = line - places.lines[number], at - start, places.spans[number]
    number = places.ahead(behind, taken)
    if number < len(places.spans):
        other = places.lines[number] - line, places.starts[number] - at, places.spans[number]
        if other[0] <= REACH and (found is None or other[:2] < found[:2]):
            found = other
    return found


def _seeds(row: Item, taken: Set[Extent]) -> Iterator[tuple[Value, Support, int]]:
    left = MAX_SEEDS
    for value in sorted(row.values, key=lambda each: -each.weight):
        places = value.places
        number = places.ahead(0, taken)
        while number < len(places.spans):
            if not left:
                return
            left -= 1
            yield value, places.spans[number], places.lines[number]
            number = places.ahead(number + 1, taken)
