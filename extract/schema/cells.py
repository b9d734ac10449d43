"""A model instance as the cells of a table row, with an issue for each value that the column's type cannot hold."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import Enum
from typing import Any

from pydantic import BaseModel

from extract.records import Issue
from extract.schema.shapes import Shape

_INT64 = range(-(2**63), 2**63)


def cells_of(shape: Shape, instance: BaseModel) -> tuple[dict[str, Any], list[Issue], list[str]]:
    """Field name → cell, the issues, and flags such as `naive_datetime`."""
    issues: list[Issue] = []
    flags: list[str] = []
    return _object(shape, instance, "$", issues, flags), issues, flags


def _object(shape: Shape, instance: BaseModel, path: str, issues: list[Issue], flags: list[str]) -> dict[str, Any]:
    return {
        name: _cell(child, getattr(instance, name), f"{path}.{name}", issues, flags) for name, _, child in shape.fields
    }


def _cell(shape: Shape, value: Any, path: str, issues: list[Issue], flags: list[str]) -> Any:
    if value is None:
        return None
    if isinstance(value, BaseModel):
        return _object(shape, value, path, issues, flags)
    if isinstance(value, list) and shape.item:
        return [_cell(shape.item, item, f"{path}[{index}]", issues, flags) for index, item in enumerate(value)]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dt.datetime):
        return _instant(shape, value, path, flags)
    if isinstance(value, Decimal):
        return _decimal(shape, value, path, issues)
    if isinstance(value, int) and value not in _INT64:
        issues.append(Issue("model", "table.int_range", path, "the number does not fit 64 bits", str(value)[:80]))
        return None
    if isinstance(value, dt.time) and value.tzinfo is not None:
        issues.append(
            Issue("model", "table.time_zone", path, "a time of day has no zone in a table", value.isoformat())
        )
        return None
    return value


def _instant(shape: Shape, value: dt.datetime, path: str, flags: list[str]) -> dt.datetime:
    """In UTC; a value without zone is taken as UTC and the row is flagged."""
    if shape.naive:
        return value
    if value.tzinfo is None:
        flags.append(f"naive_datetime:{path}")
        return value.replace(tzinfo=dt.UTC)
    return value.astimezone(dt.UTC)


def _decimal(shape: Shape, value: Decimal, path: str, issues: list[Issue]) -> Decimal | None:
    precision, scale = shape.digits or (38, 9)
    _, digits, exponent = value.normalize().as_tuple()
    if not isinstance(exponent, int):  # NaN, Infinity
        issues.append(Issue("model", "table.decimal_range", path, "not a finite number", str(value)))
        return None
    if -exponent > scale or len(digits) + exponent > precision - scale:
        message = f"the number does not fit {precision} digits with {scale} decimals"
        issues.append(Issue("model", "table.decimal_range", path, message, str(value)[:80]))
        return None
    return value
