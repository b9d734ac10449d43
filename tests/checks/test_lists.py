"""Checks of fields among themselves, against plain formulations."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, RootModel

from extract import ConfigError, checks
from extract.records import Record
from tests.checks.forms import found, paths


class Kind(StrEnum):
    A = "a"
    B = "b"


class Line(BaseModel):
    sku: Any = None
    day: Any = None
    tags: list[str] = []  # pydantic copies defaults


class Tags(RootModel[list[str]]):
    pass


class Bill(BaseModel):
    name: Any = None
    status: Any = None
    tags: list[Any] | None = None
    lines: list[Line] = []
    prices: dict[str, Any] = {}
    bare: Tags = Tags([])
    kinds: set[Kind] = set()


scalars = st.none() | st.integers(-2, 2) | st.sampled_from(["a", "A", "", " \t", "1"]) | st.booleans()
more = scalars | st.sampled_from([Decimal("1.0"), 1.0, 0.1, Decimal("0.1"), dt.date(2024, 1, 1), Kind.A])


def same(a: Any, b: Any) -> bool:
    """Alike, said plainly: numbers by value, true is no number, an enum is its value."""
    a, b = (each.value if isinstance(each, Kind) else each for each in (a, b))
    if isinstance(a, bool) != isinstance(b, bool) or isinstance(a, str) != isinstance(b, str):
        return False
    a, b = (Decimal(repr(each)) if isinstance(each, float) else each for each in (a, b))
    return bool(a == b)


@settings(deadline=None)
@given(st.lists(more, max_size=7))
def test_unique_items_are_those_without_an_equal_before(items: list[Any]) -> None:
    expected = [
        f"$.tags[{index}]"
        for index, item in enumerate(items)
        if item is not None and any(each is not None and same(each, item) for each in items[:index])
    ]
    assert expected == paths(checks.unique_items("tags"), Bill(tags=items))
    lines = Bill(lines=[Line(sku=item) for item in items])
    assert [path.replace("tags", "lines") + ".sku" for path in expected] == paths(
        checks.unique_items("lines.sku"), lines
    )


@settings(deadline=None)
@given(st.lists(st.tuples(scalars, scalars), max_size=6))
def test_items_by_several_fields(pairs: list[tuple[Any, Any]]) -> None:
    """Alike when all the fields are; an item with a null in one is left out."""
    whole = [(index, pair) for index, pair in enumerate(pairs) if None not in pair]
    doubled = {b[0] for a, b in combinations(whole, 2) if all(map(same, a[1], b[1]))}
    value = Bill(lines=[Line(sku=a, day=b) for a, b in pairs])
    assert [f"$.lines[{index}]" for index in sorted(doubled)] == paths(
        checks.unique_items("lines", by=["sku", "day"]), value
    )


def test_unique_items_of_objects_maps_and_lists_in_lists() -> None:
    """Whole objects; each innermost list by itself; root models are what they hold."""
    lines = [Line(sku=1, tags=["x", "y"]), Line(sku=2, tags=["y", "x"]), Line(sku=1, tags=["x", "y"])]
    value = Bill(lines=lines, bare=Tags(["a", "b", "a"]), prices={"a": 1, "b": 1})
    assert ["$.lines[2]"] == paths(checks.unique_items("lines"), value)
    assert [] == paths(checks.unique_items("lines.tags"), value)
    assert ["$.lines[0].tags[1]"] == paths(checks.unique_items("lines.tags"), Bill(lines=[Line(tags=["x", "x"])]))
    assert ["$.bare[2]"] == paths(checks.unique_items("bare"), value)
    (issue,) = found(checks.unique_items("lines", by="sku"), value)
    assert ("semantic.unique_items", "$.lines[2]", "1") == (issue.code, issue.path, issue.value)
    assert "lines by sku is 1, as in $.lines[0] already" == issue.message


def test_unique_items_of_hostile_lists() -> None:
    """Lists in lists, NaN, deep nesting, a hundred thousand items."""
    deep: Any = "x"
    for _ in range(200):
        deep = {"a": [deep]}
    assert ["$.tags[1]"] == paths(checks.unique_items("tags"), {"tags": [deep, deep]})
    assert ["$.tags[1]"] == paths(checks.unique_items("tags"), Bill(tags=[float("nan"), Decimal("sNaN")]))
    assert [] == paths(checks.unique_items("tags"), Bill(tags=[str(n) for n in range(100_000)]))
    assert 100 == len(paths(checks.unique_items("tags"), Bill(tags=[0.5] * 100_000)))


@settings(deadline=None)
@given(scalars, scalars, st.none() | st.lists(st.sampled_from(["a", 1, True, "", 0]), max_size=3))
def test_required_if_is_an_implication(name: Any, status: Any, equals: Any) -> None:
    """Null and blank text are missing; false and 0 are there."""
    applies = status is not None and (equals is None or any(same(status, each) for each in equals))
    missing = name is None or (isinstance(name, str) and not name.strip())
    check = checks.required_if("name", "status", equals=equals)
    assert (["$.name"] if applies and missing else []) == paths(check, Bill(name=name, status=status))


def test_required_if_within_items_and_for_lists() -> None:
    """Each item by itself; an empty list is not there."""
    value = Bill(lines=[Line(sku=None, day="DE"), Line(sku="x", day="DE"), Line(sku=None, day="FR"), Line()])
    (issue,) = found(checks.required_if("lines.sku", "lines.day", equals=["DE", "AT"]), value)
    assert ("semantic.required_if", "$.lines[0].sku") == (issue.code, issue.path)
    assert "lines.sku is missing, and lines.day is 'DE'" == issue.message
    assert ["$.tags"] == paths(checks.required_if("tags", "name"), Bill(name="x", tags=[]))
    assert ["$.lines"] == paths(checks.required_if("lines", "name"), Bill(name="x"))
    assert [] == paths(checks.required_if("status", "name"), Bill(name="x", status=False))
    assert ["$.status"] == paths(checks.required_if("status", "kinds", equals="a"), Bill(kinds={Kind.B, Kind.A}))


def test_required_if_by_a_function() -> None:
    """Of the value and the record; its source is in the settings."""

    def foreign(value: Any, record: Record) -> bool:
        return bool(record["country"] != "DE")

    check = checks.required_if("name", foreign)
    assert ["$.name"] == paths(check, Bill(), country="FR")
    assert [] == paths(check, Bill(), country="DE")
    assert "country" in str(check.settings)
    with pytest.raises(ConfigError, match="equals"):
        checks.required_if("name", foreign, equals=1)
    with pytest.raises(ConfigError, match="when"):
        checks.required_if("name", 5)  # type: ignore[arg-type]  # what is refused


class Address(BaseModel):
    city: str | None = None


class Customer(BaseModel):
    address: Address | None = None
    vip: bool | None = None


def test_the_items_of_a_set_have_an_order() -> None:
    """The same in every process: that of their texts."""
    assert ["$.tags[0]"] == paths(checks.between("tags", high=9), {"tags": {9, 10}})
    assert ["$.lines[1].sku"] == paths(checks.unique_items("lines.sku"), {"lines": ({"sku": 1}, {"sku": 1})})


def test_a_missing_parent_is_a_missing_field() -> None:
    """The path names the field all the same."""
    check = checks.required_if("address.city", "vip", equals=True)
    assert ["$.address.city"] == paths(check, Customer(vip=True))
    assert ["$.address.city"] == paths(check, Customer(vip=True, address=Address()))
    assert [] == paths(check, Customer(vip=None))


def test_plain_json_is_read_by_its_keys() -> None:
    """Of a raw JSON Schema; what is absent is null, and a dict's entries are reached by a star."""
    value = {"items": [{"id": 1}, {}, {"id": 1}], "prices": {"a": {"net": 5}, "b": {"net": -1}, "c": {}}}
    assert ["$.items[2].id"] == paths(checks.unique_items("items.id"), value)
    assert ["$.prices.b.net"] == paths(checks.between("prices.*.net", 0), value)
    assert ["$.prices.x"] == paths(checks.between("prices", 0), Bill(prices={"x": -1, "y": 1}))
