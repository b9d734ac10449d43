"""Which single values a column's type holds: ranges, zones, digits."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Context, Decimal
from typing import Any

from extract.schema.numerals import counted
from extract.schema.shapes import Shape

INT64 = 2**63  # whole numbers from minus this to below this
_EXACT_FLOAT = 2**53  # a whole number beyond may lose digits as a double
_MICROSECOND = dt.timedelta(microseconds=1)
_EXACT = Context(prec=2000)  # Decimal's own context rounds to 28 digits


def misfit(shape: Shape, value: Any) -> tuple[str, str] | None:
    """Code and message for a value that the column cannot hold."""
    if isinstance(value, str):
        return None
    if isinstance(value, int):
        if not -INT64 <= value < INT64:
            return "table.int_range", "the number does not fit 64 bits"
        if shape.kind == "float" and abs(value) > _EXACT_FLOAT:
            return "table.float_range", "the whole number has more digits than a double holds"
    if isinstance(value, float) and not math.isfinite(value):
        return "table.float_range", "not a finite number"
    if isinstance(value, dt.time) and value.tzinfo is not None:
        return "table.time_zone", "a time of day has no zone in a table"
    if isinstance(value, dt.timedelta) and not -INT64 <= value // _MICROSECOND < INT64:
        return "table.timedelta_range", "the microseconds do not fit 64 bits"
    if isinstance(value, dt.datetime) and not _has_instant(value):
        return "table.datetime_range", "the instant lies outside the years 1 to 9999 in UTC"
    return _decimal_misfit(shape, value) if isinstance(value, Decimal) else None


def _has_instant(value: dt.datetime) -> bool:
    try:
        value.astimezone(dt.UTC) if value.tzinfo else None
    except OverflowError:
        return False
    return True


def _decimal_misfit(shape: Shape, value: Decimal) -> tuple[str, str] | None:
    if not value.is_finite():
        return "table.decimal_range", "not a finite number"
    precision, scale = digits_of(shape)
    _, digits, exponent = _EXACT.normalize(value).as_tuple()
    if value and (-int(exponent) > scale or len(digits) + int(exponent) > precision - scale):
        return (
            "table.decimal_range",
            f"the number does not fit {counted(precision, 'digit')} with {counted(scale, 'decimal')}",
        )
    return None


def plain_decimal(shape: Shape, value: Decimal) -> Decimal:
    """The same number without an exponent (1E+5) and without zeros beyond the scale, which Arrow may refuse."""
    decimals = -int(value.as_tuple().exponent)
    wanted = min(max(decimals, 0), digits_of(shape)[1])
    return value if wanted == decimals else _EXACT.quantize(value, Decimal(1).scaleb(-wanted))


def digits_of(shape: Shape) -> tuple[int, int]:
    """Precision and scale of a column of decimals."""
    return shape.digits or (38, 9)
