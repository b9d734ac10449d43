"""The pairs of two lists that are worth most together: the Hungarian method, O(n²m) with NumPy's rows."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np

FEW = 4  # columns up to which all pairings are tried

Matrix = np.ndarray[Any, np.dtype[np.float64]]


def best_pairs(worth: Matrix) -> list[tuple[int, int]]:
    """(row, column) of each pair, by row: each row and each column at most once, the sum as large as can be.

    Every row or every column is paired, whichever are fewer.
    """
    if not worth.size:
        return []
    if worth.shape[0] > worth.shape[1]:
        return sorted((row, column) for column, row in best_pairs(worth.T))
    if worth.shape[1] <= FEW:
        return _by_trying_all(worth.tolist())
    return sorted((int(row), column) for column, row in enumerate(_rows_of_columns(-worth)) if row >= 0)


def _by_trying_all(worth: list[list[float]]) -> list[tuple[int, int]]:
    """The same for small lists, which most are: 24 sums at most are sooner made than arrays."""
    rows = range(len(worth))
    orders = permutations(range(len(worth[0])), len(worth))
    best = max(orders, key=lambda order: sum(worth[row][order[row]] for row in rows))
    return list(zip(rows, best, strict=True))


def _rows_of_columns(cost: Matrix) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The row that each column is given, -1 for none: shortest augmenting paths with potentials, row by row.

    Column 0 is one of the method's own, from which each path starts; rows count from 1, so that 0 is no row.
    """
    rows, columns = cost.shape
    row_price, column_price = np.zeros(rows + 1), np.zeros(columns + 1)
    owner = np.zeros(columns + 1, np.int64)
    for row in range(1, rows + 1):
        owner[0] = row
        before = np.zeros(columns + 1, np.int64)
        slack = np.full(columns + 1, np.inf)
        seen = np.zeros(columns + 1, bool)
        at = 0
        while True:
            seen[at] = True
            mine = owner[at]
            reduced = cost[mine - 1] - row_price[mine] - column_price[1:]
            closer = ~seen[1:] & (reduced < slack[1:])
            slack[1:][closer] = reduced[closer]
            before[1:][closer] = at
            following = int(np.argmin(np.where(seen, np.inf, slack)))
            step = slack[following]
            row_price[owner[seen]] += step
            column_price[seen] -= step
            slack[~seen] -= step
            at = following
            if owner[at] == 0:
                break
        while at:
            owner[at] = owner[before[at]]
            at = int(before[at])
    return owner[1:] - 1
