"""Evidence against gold: true values are supported, corrupted ones are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import evidence
from benchmarks.evidence import Case
from tests.support import SHARED

pytestmark = pytest.mark.shared


@pytest.mark.parametrize(
    ("cases", "least", "most"),
    [(evidence.receipts, 0.97, 0.02), (evidence.restaurants, 0.999, 0.005), (evidence.invoices, 0.98, 0.03)],
    ids=["receipts", "restaurants", "invoices"],
)
def test_gold(cases: Callable[[Path], Iterator[Case]], least: float, most: float) -> None:
    """At least so many gold values are supported, at most so many of the same values corrupted by hand-written rules."""
    shares = evidence.measured(list(cases(SHARED / "data"))).values()
    assert least <= sum(each.supported for each in shares) / sum(each.gold for each in shares)
    made = sum(counts[0] for each in shares for counts in each.corrupted.values())
    assert most >= sum(counts[1] for each in shares for counts in each.corrupted.values()) / made
