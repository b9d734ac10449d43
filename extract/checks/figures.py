"""Numbers and dates: as values that compare exactly, and the checks that compare them.

Floats count as the decimal that they are written as (0.1 is a tenth). A date-time without zone is UTC, as in the table;
beside a date its own day counts. Text is compared where it is ISO 8601, which is how a raw JSON Schema has dates.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import suppress
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Any

from extract.checks.base import NUMBERS, ORDERED, FieldCheck, issue_of, shown
from extract.checks.paths import reader, scopes, values
from extract.errors import ConfigError
from extract.records import Issue, Record, Severity

# Sums are exact or refused: no value of a column needs as many digits, and a hostile one must not cost a minute.
_EXACT = Context(prec=5_000, Emin=-1_000_000, Emax=1_000_000, traps=[Inexact, InvalidOperation, Overflow])

Comparable = tuple[str, Any]  # family, value
_KINDS: dict[type, str] = {dt.date: "day", dt.datetime: "moment", dt.time: "time", dt.timedelta: "span"}


def number_of(value: Any) -> Decimal | None:
    """A number exactly; None for what is none, NaN too."""
    if isinstance(value, Decimal):
        return None if value.is_nan() else value
    if isinstance(value, float):
        return None if value != value else Decimal(repr(value))  # noqa: PLR0124  # NaN
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else None


def comparable(value: Any) -> Comparable | None:
    """What tells which values compare, and how; None for what has no order."""
    kind = type(value)
    if kind is int:
        return "number", value
    if kind is Decimal or kind is float:
        number = number_of(value)
        return None if number is None else ("number", number)
    if kind is str:
        return _of_text(value)
    if kind is dt.datetime and value.tzinfo is None:
        return "moment", value.replace(tzinfo=dt.UTC)
    if kind is dt.time:
        return "time", value.replace(tzinfo=None)
    return (_KINDS[kind], value) if kind in _KINDS else None


def _of_text(text: str) -> Comparable | None:
    if "-" not in text and ":" not in text:  # bare digits are no date here
        return None
    for read in (dt.date.fromisoformat, dt.datetime.fromisoformat, dt.time.fromisoformat):
        with suppress(ValueError):
            return comparable(read(text[:40]))
    return None


def in_order(low: Comparable, high: Comparable, *, strictly: bool = False) -> bool | None:
    """Whether the first is no later than the second; None where they cannot be compared."""
    a, b = low[1], high[1]
    if low[0] != high[0]:
        if {low[0], high[0]} != {"day", "moment"}:
            return None
        a, b = (part.date() if isinstance(part, dt.datetime) else part for part in (a, b))
    return bool(a < b if strictly else a <= b)


def total_of(numbers: Iterable[Decimal]) -> Decimal | None:
    """The exact sum; None where it has more digits than any column, or a part is not finite."""
    total, add = Decimal(0), _EXACT.add
    try:
        for number in numbers:
            total = add(total, number)
    except (Inexact, InvalidOperation, Overflow):
        return None
    return total if total.is_finite() else None


def tolerance_of(check: str, tolerance: Any) -> Decimal:
    """A tolerance as it was written. Raises ConfigError."""
    try:
        found = Decimal(str(tolerance))
    except InvalidOperation:
        found = Decimal("nan")
    if not found.is_finite() or found < 0:
        raise ConfigError(f"{check}: tolerance is {tolerance!r}", hint='a number from 0, such as "0.01"')
    return found


def differs(a: Decimal, b: Decimal, tolerance: Decimal) -> bool:
    """Whether two numbers are further apart than is allowed; the bound itself is allowed."""
    if a == b:
        return False
    apart = total_of((a, b.copy_negate()))
    return (a != b) if apart is None else apart.copy_abs() > tolerance  # abs() would round


def sums_to(
    items: str, total: str, *, tolerance: Decimal | float | str = 0, severity: Severity = "repair"
) -> FieldCheck:
    """The numbers at path `items` ("lines.amount") add up to the field `total` (code `semantic.sums_to`).

    `tolerance` is absolute, in the unit of the field, and itself allowed. Paths that share a list
    ("lines.taxes.amount", "lines.tax") are summed within each of its items. A null total passes, a null among the items
    counts as nothing, and no items at all pass.
    """
    code = "semantic.sums_to"
    allowed = tolerance_of(code, tolerance)
    objects, (inner_items, inner_total) = scopes(items, total)
    read_items, read_total, issue = values(inner_items), reader(inner_total), issue_of(code, severity)

    def judge(value: Any, _: Record) -> Iterator[Issue]:
        for at, scope in objects(value):
            numbers = [number_of(part) for part in read_items(scope)]
            if not numbers:
                continue
            whole = None if None in numbers else total_of(number for number in numbers if number is not None)
            for path, wanted in read_total(scope, at):
                told = number_of(wanted)
                if whole is None or told is None:
                    message = f"{items} and {total} are no finite numbers that can be added exactly"
                    yield issue(path, message, wanted)
                elif differs(whole, told, allowed):
                    bound = f", give or take {allowed}" if allowed else ""
                    message = f"{items} add up to {shown(whole)}, {total} says {shown(wanted)}{bound}"
                    yield issue(path, message, wanted)

    return FieldCheck(code, (items, total), (), judge, (str(allowed),), severity, (NUMBERS,))


def between(field: str, low: Any = None, high: Any = None, *, severity: Severity = "repair") -> FieldCheck:
    """The field's number, date, time or duration is from `low` to `high`, both allowed (code `semantic.between`).

    None leaves a side open. Null passes, NaN never does.
    """
    code = "semantic.between"
    bounds = tuple(None if bound is None else comparable(bound) for bound in (low, high))
    for bound, given in zip(bounds, (low, high), strict=True):
        if given is not None and bound is None:
            raise ConfigError(f"{code}: {given!r} is no bound", hint="a number, date, time or duration")
    least, most = bounds
    if least is None and most is None:
        raise ConfigError(f"{code}: {field} has no bound", hint="low=…, high=…, or both")
    if least and most and not in_order(least, most):
        raise ConfigError(f"{code}: nothing is from {low!r} to {high!r}")
    wanted = _range(low, high)
    read, issue = reader(field), issue_of(code, severity)
    family = tuple(kinds for kinds in ORDERED if _family(least or most) in kinds)

    def judge(value: Any, _: Record) -> Iterator[Issue]:
        for path, found in read(value):
            place = comparable(found)
            if (
                place is None
                or (least is not None and not in_order(least, place))
                or (most is not None and not in_order(place, most))
            ):
                yield issue(path, f"{field} is {shown(found)}, which is not {wanted}", found)

    return FieldCheck(code, (field,), (), judge, (repr(low), repr(high)), severity, family)


def _range(low: Any, high: Any) -> str:
    if low is None or high is None:
        return f"at most {high}" if low is None else f"at least {low}"
    return f"between {low} and {high}"


def _family(bound: Comparable | None) -> str:
    """A kind of the family that a bound is of."""
    names = {"number": "int", "day": "date", "moment": "datetime", "time": "time", "span": "timedelta"}
    return names[bound[0]] if bound else ""


def not_after(earlier: str, later: str, *, severity: Severity = "repair") -> FieldCheck:
    """The first field is no later than the second, or no greater (code `semantic.not_after`).

    Dates of all kinds, times, durations or numbers; a date beside a date-time is compared by its day. Paths that share
    a list are compared within each of its items. Nulls pass.
    """
    return _ordered("semantic.not_after", earlier, later, severity, strictly=False)


def before(earlier: str, later: str, *, severity: Severity = "repair") -> FieldCheck:
    """As `not_after`, and the two are not equal (code `semantic.before`)."""
    return _ordered("semantic.before", earlier, later, severity, strictly=True)


def _ordered(code: str, earlier: str, later: str, severity: Severity, *, strictly: bool) -> FieldCheck:
    objects, (first, second) = scopes(earlier, later)
    read_first, read_second, issue = reader(first), reader(second), issue_of(code, severity)
    wanted = "before" if strictly else "at or before"

    def judge(value: Any, _: Record) -> Iterator[Issue]:
        for at, scope in objects(value):
            for path, low in read_first(scope, at):
                for __, high in read_second(scope, at):
                    if not _fits(low, high, strictly):
                        message = f"{earlier} is {shown(low)}, which is not {wanted} {later}, {shown(high)}"
                        yield issue(path, message, low)

    return FieldCheck(code, (earlier, later), (), judge, (), severity, ORDERED)


def _fits(low: Any, high: Any, strictly: bool) -> bool:
    a, b = comparable(low), comparable(high)
    return a is not None and b is not None and bool(in_order(a, b, strictly=strictly))
