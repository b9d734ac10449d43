"""Checks run for every record: each simple one takes a few microseconds."""

from __future__ import annotations

import datetime as dt
import timeit
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import BaseModel

from extract import checks
from extract.records import Record

TEXT = "ACME Ltd total 12.50 EUR on 2020-01-01 " * 10


class Line(BaseModel):
    amount: Decimal
    sku: str


class Bill(BaseModel):
    total: Decimal
    first: dt.date
    last: dt.date
    name: str
    tags: list[str]
    lines: list[Line]


BILL = Bill(
    total=Decimal("12.50"),
    first=dt.date(2020, 1, 1),
    last=dt.date(2020, 2, 1),
    name="ACME Ltd",
    tags=["a", "b", "c"],
    lines=[Line(amount=Decimal("4.50"), sku="x"), Line(amount=Decimal("8.00"), sku="y")],
)
RECORD = Record("k", 0, {"text": TEXT, "shop": "ACME Ltd"})
SIMPLE = {
    "between": checks.between("total", 0, 100),
    "not_after": checks.not_after("first", "last"),
    "before": checks.before("first", "last"),
    "sums_to": checks.sums_to("lines.amount", "total"),
    "verbatim": checks.verbatim("name", column="text"),
    "one_of_column": checks.one_of_column("name", "shop"),
    "matches_column": checks.matches_column("name", "shop"),
    "matches": checks.matches("name", r"^\w+ Ltd$"),
    "unique_items": checks.unique_items("tags"),
    "required_if": checks.required_if("name", "total"),
    "currency": checks.currency("name"),
}


def plainly(value: Bill, record: Record) -> list[str]:
    """The least that a check can be: a function that looks at some fields of the value."""
    found = []
    for name in ("name", "total", "first", "last", "tags", "lines"):
        item = getattr(value, name, None)
        if item is None or (isinstance(item, str) and not item.strip()) or (isinstance(item, list) and not item):
            found.append(f"{name} is missing")
    return found


def cost(check: checks.Check) -> float:
    """Seconds of a call, where nothing else ran."""
    return min(timeit.repeat(lambda: check(BILL, RECORD), number=500, repeat=15)) / 500


@pytest.mark.parametrize("name", SIMPLE)
def test_a_simple_check_takes_five_microseconds(name: str) -> None:
    """At most, where the plain function takes 0.65; measured beside it, so that a slow machine is no fault."""
    assert min(cost(SIMPLE[name]) / cost(plainly) for _ in range(3)) < 5 / 0.65


def test_a_fuzzy_look_up_is_done_once_a_value(tmp_path: Path) -> None:
    """The second record with the same value costs as little as an exact hit."""
    path = tmp_path / "names.csv"
    path.write_text("name\n" + "\n".join(f"Shop number {number}" for number in range(20_000)) + "\nACME Limited\n")
    check = checks.one_of_table("name", path, "name", cutoff=75)
    first = timeit.timeit(lambda: check(BILL, RECORD), number=1)
    assert cost(check) < first / 50
