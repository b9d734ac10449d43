"""A model instance as the cells of a table row, with an issue for each value that the column's type cannot hold."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Context, Decimal
from enum import Enum
from typing import Any

from pydantic import BaseModel

from extract.records import Issue, path_to
from extract.schema.shapes import Shape

_INT64 = range(-(2**63), 2**63)
_EXACT = Context(prec=2000)  # Decimal's own context rounds to 28 digits
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "decimal": (Decimal,),
    "date": (dt.date,),
    "datetime": (dt.datetime,),
    "time": (dt.time,),
    "list": (list,),
    "object": (BaseModel,),
}


def cells_of(shape: Shape, instance: BaseModel) -> tuple[dict[str, Any], list[Issue], list[str]]:
    """Field name → cell, the issues, and flags such as `naive_datetime`."""
    issues: list[Issue] = []
    flags: list[str] = []
    return _object(shape, instance, "$", issues, flags), issues, flags


def _object(shape: Shape, instance: BaseModel, path: str, issues: list[Issue], flags: list[str]) -> dict[str, Any]:
    return {
        name: _cell(child, getattr(instance, name), path_to(path, wire), issues, flags)
        for name, wire, child in shape.fields
    }


def _cell(shape: Shape, value: Any, path: str, issues: list[Issue], flags: list[str]) -> Any:
    value = value.value if isinstance(value, Enum) else value
    if value is None and shape.nullable:
        return None
    if misfit := _misfit(shape, value):
        code, message = misfit
        issues.append(Issue("model", code, path, message, None if value is None else str(value)[:80]))
        return None
    if shape.kind == "object":
        return _object(shape, value, path, issues, flags)
    if shape.item:
        return [_cell(shape.item, item, path_to(path, index), issues, flags) for index, item in enumerate(value)]
    if isinstance(value, dt.datetime):
        return _instant(shape, value, path, flags)
    return _plain_decimal(shape, value) if isinstance(value, Decimal) else value


def _misfit(shape: Shape, value: Any) -> tuple[str, str] | None:
    """Code and message for a value that the column cannot hold; a model's own validators may return anything."""
    if value is None:
        return "table.null", "null in a column that holds none"
    if not _is_of_kind(shape, value):
        return "table.type", f"{type(value).__name__} in a column of {shape.kind}"
    if isinstance(value, int) and value not in _INT64:
        return "table.int_range", "the number does not fit 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return "table.float_range", "not a finite number"
    if isinstance(value, dt.time) and value.tzinfo is not None:
        return "table.time_zone", "a time of day has no zone in a table"
    if isinstance(value, dt.datetime) and not _has_instant(value):
        return "table.datetime_range", "the instant lies outside the years 1 to 9999 in UTC"
    return _decimal_misfit(shape, value) if isinstance(value, Decimal) else None


def _is_of_kind(shape: Shape, value: Any) -> bool:
    types = (type(shape.values[0]),) if shape.kind == "enum" else _PYTHON_TYPES[shape.kind]
    if isinstance(value, bool):
        return bool in types
    return isinstance(value, types) and (shape.kind == "datetime" or not isinstance(value, dt.datetime))


def _has_instant(value: dt.datetime) -> bool:
    try:
        value.astimezone(dt.UTC) if value.tzinfo else None
    except OverflowError:
        return False
    return True


def _instant(shape: Shape, value: dt.datetime, path: str, flags: list[str]) -> dt.datetime:
    """In UTC; a value without zone is taken as UTC and the row is flagged."""
    if shape.naive:
        return value
    if value.tzinfo is None:
        flags.append(f"naive_datetime:{path}")
        return value.replace(tzinfo=dt.UTC)
    return value.astimezone(dt.UTC)


def _decimal_misfit(shape: Shape, value: Decimal) -> tuple[str, str] | None:
    if not value.is_finite():
        return "table.decimal_range", "not a finite number"
    precision, scale = _digits(shape)
    _, digits, exponent = _EXACT.normalize(value).as_tuple()
    if -int(exponent) > scale or len(digits) + int(exponent) > precision - scale:
        return "table.decimal_range", f"the number does not fit {precision} digits with {scale} decimals"
    return None


def _plain_decimal(shape: Shape, value: Decimal) -> Decimal:
    """The same number without an exponent (1E+5) and without zeros beyond the scale, which Arrow may refuse."""
    decimals = -int(value.as_tuple().exponent)
    wanted = min(max(decimals, 0), _digits(shape)[1])
    return value if wanted == decimals else _EXACT.quantize(value, Decimal(1).scaleb(-wanted))


def _digits(shape: Shape) -> tuple[int, int]:
    return shape.digits or (38, 9)
