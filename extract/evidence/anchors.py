"""Each item of a list gets a place in the text, by what it says that the others do not."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from extract.evidence.entries import Item, Value
from extract.evidence.layout import Layout
from extract.evidence.support import Support

MAX_SEEDS = 60  # places at which an item is tried
REACH = 5  # lines around a place in which values of the item speak for it


def anchor(rows: Sequence[Item], layout: Layout) -> None:
    """Give each item its place, the surest first; a place belongs to one item."""
    taken: set[tuple[int, int]] = set()
    placed: list[tuple[int, int]] = []  # number of the item, its place
    queue = [(-best[0], number) for number, row in enumerate(rows) if (best := _best_seed(row, layout, taken, None))]
    heapq.heapify(queue)
    while queue:
        score, number = heapq.heappop(queue)
        row = rows[number]
        best = _best_seed(row, layout, taken, _between(placed, number))
        if best is None:
            continue
        if -best[0] > score + 1e-9 and queue and -best[0] > queue[0][0] + 1e-9:  # others took what it stood on
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


def _best_seed(
    row: Item, layout: Layout, taken: set[tuple[int, int]], order: tuple[int, int] | None
) -> tuple[float, Support, list[Support]] | None:
    """Score, place and what stands on its line, for the place that most of the item's values speak for.

    Of equal places that is taken which keeps the order of the list, of these the first.
    """
    best: tuple[tuple[float, bool, float], float, Support, list[Support]] | None = None
    for value, seed, line in _seeds(row, taken):
        score, used = 0.0, []
        for each in row.values:
            near = [
                (d, abs(span.start - seed.start), span)
                for d, span in each.around(line, REACH)
                if (span.start, span.end) not in taken
            ]
            if near:
                distance, _, span = min(near, key=lambda item: item[:2])
                score += each.weight * (1 - distance / (REACH + 1))
                if distance == 0:
                    used.append(span)
        in_order = order is None or order[0] < seed.start < order[1]
        rank = (round(score, 9), in_order, value.weight)
        if best is None or rank > best[0]:
            best = rank, score, seed, used
    return best and best[1:]


def _seeds(row: Item, taken: set[tuple[int, int]]) -> Iterator[tuple[Value, Support, int]]:
    left = MAX_SEEDS
    for value in sorted(row.values, key=lambda each: -each.weight):
        free = ((span, line) for span, line in zip(value.spans, value.lines, strict=True))
        for span, line in free:
            if (span.start, span.end) not in taken:
                if not left:
                    return
                left -= 1
                yield value, span, line
