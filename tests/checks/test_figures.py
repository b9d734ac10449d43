"""Numbers and dates: exact, and as an independent plain formulation says."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from extract import ConfigError, checks
from tests.checks.forms import found, paths

UTC = dt.UTC


class Line(BaseModel):
    amount: Any = None
    start: Any = None
    end: Any = None


class Bill(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    total: Any = None
    low: Any = None
    high: Any = None
    lines: list[Line] = []  # pydantic copies defaults


class Orders(BaseModel):
    orders: list[Bill]


def bill(*amounts: Any, **fields: Any) -> Bill:
    return Bill(lines=[Line(amount=amount) for amount in amounts], **fields)


numbers = st.one_of(
    st.integers(-(10**30), 10**30),
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**15), max_value=10**15),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12),
)


def exact(number: Any) -> Fraction:
    """A float is the decimal that it is written as."""
    return Fraction(repr(number) if isinstance(number, float) else number)


@settings(deadline=None)
@given(st.lists(numbers | st.none(), max_size=8), numbers, st.fractions(0, 5, max_denominator=1000))
def test_sums_are_those_of_fractions(parts: list[Any], total: Any, share: Fraction) -> None:
    """Exactly, whatever the types; the tolerance itself is allowed."""
    tolerance = Decimal(share.numerator) / Decimal(1000)
    apart = abs(sum(exact(part) for part in parts if part is not None) - exact(total))
    check = checks.sums_to("lines.amount", "total", tolerance=tolerance)
    there = any(part is not None for part in parts)
    assert (there and apart > Fraction(tolerance)) == bool(found(check, bill(*parts, total=total)))


@settings(deadline=None)
@given(st.lists(numbers, min_size=1, max_size=8))
def test_a_right_sum_passes(parts: list[Any]) -> None:
    """Without any tolerance."""
    total = sum(map(exact, parts))
    shown = Decimal(total.numerator) / Decimal(total.denominator)
    if Fraction(shown) == total:  # the test's own division is exact
        assert [] == found(checks.sums_to("lines.amount", "total"), bill(*parts, total=shown))


def test_a_tolerance_is_itself_allowed_and_digits_are_kept() -> None:
    """To the last of fifty digits."""
    check = checks.sums_to("lines.amount", "total", tolerance="0.01")
    assert [] == found(check, bill(1, total=Decimal("1.01")))
    assert ["$.total"] == paths(check, bill(1, total=Decimal("1.01000000000000000000000000000000000000000000000001")))
    whole = Decimal("1" + "0" * 48 + ".1")
    assert [] == found(checks.sums_to("lines.amount", "total"), bill(10**48, Decimal("0.1"), total=whole))
    assert ["$.total"] == paths(checks.sums_to("lines.amount", "total"), bill(10**48, Decimal("0.1"), total=10**48))


def test_sums_within_each_item_of_a_shared_list() -> None:
    """Each order has its own total."""
    value = Orders(orders=[bill(1, 2, total=3), bill(1, 2, total=4), bill(total=9)])
    (issue,) = found(checks.sums_to("orders.lines.amount", "orders.total"), value)
    assert ("semantic.sums_to", "$.orders[1].total", 4, "repair") == (
        *(issue.code, issue.path, issue.value, issue.severity),
    )
    assert "orders.lines.amount add up to 3, orders.total says 4" == issue.message


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity")])
def test_what_is_no_finite_number_is_an_issue(bad: Any) -> None:
    """In the parts and in the total; never a crash."""
    check = checks.sums_to("lines.amount", "total")
    assert ["$.total"] == paths(check, bill(1, bad, total=1))
    assert ["$.total"] == paths(check, bill(1, total=bad))
    assert ["$.total"] == paths(check, bill(Decimal("1e90000"), Decimal(1), total=Decimal("1e90000")))


@pytest.mark.parametrize("bad", [-1, "x", float("nan"), float("inf"), None])
def test_a_tolerance_is_a_number(bad: Any) -> None:
    with pytest.raises(ConfigError, match="tolerance"):
        checks.sums_to("a", "b", tolerance=bad)


@settings(deadline=None)
@given(numbers, st.none() | numbers, st.none() | numbers)
def test_between_is_what_fractions_say(value: Any, low: Any, high: Any) -> None:
    """Both bounds allowed; None is open."""
    if (low is None and high is None) or (low is not None and high is not None and exact(low) > exact(high)):
        with pytest.raises(ConfigError):
            checks.between("total", low, high)
        return
    inside = (low is None or exact(low) <= exact(value)) and (high is None or exact(value) <= exact(high))
    assert inside == (not found(checks.between("total", low, high), Bill(total=value)))


def test_between_says_field_value_and_bounds() -> None:
    (issue,) = found(checks.between("lines.amount", 0, 10), bill(None, Decimal("10"), Decimal("10.5")))
    assert ("$.lines[2].amount", Decimal("10.5")) == (issue.path, issue.value)
    assert "lines.amount is 10.5, which is not between 0 and 10" == issue.message
    assert "at least 1" in found(checks.between("total", 1), Bill(total=0))[0].message
    assert "at most 1" in found(checks.between("total", high=1), Bill(total=2))[0].message


@pytest.mark.parametrize(
    ("value", "passes"),
    [
        (None, True),
        (float("nan"), False),
        (Decimal("sNaN"), False),
        (float("inf"), False),
        (Decimal("-Infinity"), False),
        pytest.param(10**5000, False, id="huge"),
        (True, False),
        ("5", False),
        (dt.date(2024, 1, 1), False),
        (Decimal("1E-1000000"), True),
        (Decimal("1E+1000000"), False),
    ],
)
def test_between_and_hostile_numbers(value: Any, passes: bool) -> None:
    """NaN is nowhere, a huge number is compared and cut in the message."""
    issues = found(checks.between("total", 0, 10), Bill(total=value))
    assert passes == (not issues)
    assert all(len(issue.message) < 300 and len(str(issue.value)) < 300 for issue in issues)


days = st.dates(dt.date(1900, 1, 2), dt.date(2200, 1, 1))
zones = st.sampled_from(
    [None, UTC, dt.timezone(dt.timedelta(hours=5, minutes=45)), dt.timezone(dt.timedelta(hours=-9))]
)
moments = st.builds(
    lambda moment, zone: moment.replace(tzinfo=zone),
    st.datetimes(dt.datetime(1900, 1, 2), dt.datetime(2200, 1, 1)),
    zones,
)


def plain_order(a: Any, b: Any) -> tuple[Any, Any]:
    """Two dates of any kind as what compares: days if one is a day, else seconds since 1970."""
    if not isinstance(a, dt.datetime) or not isinstance(b, dt.datetime):
        return tuple((each.year, each.month, each.day) for each in (a, b))  # type: ignore[return-value]
    seconds = [(each if each.tzinfo else each.replace(tzinfo=UTC)).timestamp() for each in (a, b)]
    return seconds[0], seconds[1]


@settings(deadline=None)
@given(days | moments, days | moments)
def test_dates_of_all_kinds_are_in_order(low: Any, high: Any) -> None:
    """`not_after` allows equality, `before` does not."""
    a, b = plain_order(low, high)
    assert (a <= b) == (not found(checks.not_after("low", "high"), Bill(low=low, high=high)))
    assert (a < b) == (not found(checks.before("low", "high"), Bill(low=low, high=high)))


@settings(deadline=None)
@given(numbers, numbers)
def test_numbers_are_in_order(low: Any, high: Any) -> None:
    value = Bill(low=low, high=high)
    assert (exact(low) <= exact(high)) == (not found(checks.not_after("low", "high"), value))
    assert (exact(low) < exact(high)) == (not found(checks.before("low", "high"), value))


@pytest.mark.parametrize(
    ("low", "high", "passes"),
    [
        (None, dt.date(2024, 1, 1), True),
        (dt.date(2024, 1, 1), None, True),
        (dt.time(9), dt.time(10), True),
        (dt.time(10), dt.time(9), False),
        (dt.timedelta(1), dt.timedelta(2), True),
        ("2024-02-01", "2024-01-01", False),
        ("2024-01-01", dt.datetime(2024, 1, 1, 12), True),
        ("2024-01-01T10:00:00Z", "2024-01-01T11:30:00+02:00", False),
        (dt.date(2024, 1, 1), 5, False),
        ("soon", "later", False),
        (dt.date.min, dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-14))), True),
    ],
)
def test_what_is_in_order(low: Any, high: Any, passes: bool) -> None:
    """Null passes; what cannot be compared does not."""
    assert passes == (not found(checks.not_after("low", "high"), Bill(low=low, high=high)))


def test_items_are_compared_with_themselves() -> None:
    """A path into a list pairs the fields of one item; the issue has its index."""
    pairs = [(1, 2), (3, 2), (None, 1), (5, None)]
    value = Bill(lines=[Line(start=a, end=b) for a, b in pairs])
    (issue,) = found(checks.not_after("lines.start", "lines.end"), value)
    assert ("$.lines[1].start", 3) == (issue.path, issue.value)
    assert "lines.start is 3, which is not at or before lines.end, 2" == issue.message
    assert "before high, 1" in found(checks.before("low", "high"), Bill(low=1, high=1))[0].message


@pytest.mark.parametrize("bounds", [("a", None), (None, None), (2, 1), (1, dt.date(2024, 1, 1)), (float("nan"), 1)])
def test_bounds_that_bound_nothing_are_refused(bounds: tuple[Any, Any]) -> None:
    with pytest.raises(ConfigError):
        checks.between("total", *bounds)


def test_a_hundred_thousand_items() -> None:
    """One pass, and at most a hundred findings."""
    value = bill(*range(100_000), total=1)
    assert ["$.total"] == paths(checks.sums_to("lines.amount", "total"), value)
    assert 100 == len(found(checks.between("lines.amount", -2, -1), value))
