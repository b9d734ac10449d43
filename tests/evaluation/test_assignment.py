"""The pairs of two lists: as good as every other pairing, whatever the shape."""

from __future__ import annotations

from importlib import import_module
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extract.evaluation.assignment import best_pairs

MATRICES = st.integers(1, 6).flatmap(
    lambda columns: st.lists(
        st.lists(st.integers(-5, 5).map(float), min_size=columns, max_size=columns), min_size=1, max_size=6
    )
)


def total(worth: Any, pairs: Any) -> float:
    return float(sum(worth[row, column] for row, column in pairs))


def by_trying_all(worth: Any) -> float:
    rows, columns = worth.shape
    if rows > columns:
        return by_trying_all(worth.T)
    return max(total(worth, enumerate(order)) for order in permutations(range(columns), rows))


@settings(max_examples=100, deadline=None)
@given(MATRICES)
def test_no_other_pairing_is_worth_more(rows: list[list[float]]) -> None:
    """Against all permutations, for small matrices of any shape, negative worth too."""
    worth = np.array(rows)
    pairs = best_pairs(worth)
    assert min(worth.shape) == len(pairs) == len({row for row, _ in pairs}) == len({column for _, column in pairs})
    assert by_trying_all(worth) == pytest.approx(total(worth, pairs))


@pytest.mark.parametrize("shape", [(40, 40), (1, 90), (60, 25), (25, 60)])
def test_it_agrees_with_scipy(shape: tuple[int, int]) -> None:
    """The same sum as SciPy's solver, on fractions and on many ties."""
    solver = import_module("scipy.optimize").linear_sum_assignment
    random = np.random.default_rng(3)
    for worth in (random.random(shape), random.integers(0, 2, shape).astype(float)):
        best = total(worth, zip(*solver(worth, maximize=True), strict=True))
        assert best == pytest.approx(total(worth, best_pairs(worth)))


def test_nothing_has_no_pairs() -> None:
    """Either list may be empty."""
    assert [] == best_pairs(np.zeros((0, 3)))
    assert [] == best_pairs(np.zeros((3, 0)))
