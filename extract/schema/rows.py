"""A row of the table as what the model takes: the inverse of `cells`."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from extract.parse import parse_json
from extract.schema.nodes import with_floats
from extract.schema.shapes import ABSENT, TAG, Shape, column_value, extra_column

Validated = Callable[[Shape, Any], Any]  # a branch of a union → its instance


def input_of(shape: Shape, cell: Any, validated: Validated) -> Any:
    """What the model takes for a cell, as Arrow's `to_pylist` gives it."""
    if cell is None:
        return None
    reader = _READERS.get(shape.kind)
    return reader(shape, cell, validated) if reader else cell


def _object(shape: Shape, cell: Mapping[str, Any], validated: Validated) -> dict[str, Any]:
    found: dict[str, Any] = {
        item.wire: item.constant for item in shape.fields if item.cut and item.constant is not ABSENT
    }
    for item in shape.columns:
        if item.computed:
            continue
        value = input_of(item.shape, cell[item.name], validated)
        left_out = value is None and not item.required and (shape.python is dict or not item.shape.nullable)
        if not left_out:
            found[item.wire] = value
    if shape.extra:
        extras = _pairs(cell[extra_column(shape)])
        found |= {name: input_of(shape.extra, value, validated) for name, value in extras}
    return found


def _pairs(cell: Any) -> list[tuple[Any, Any]]:
    return list(cell.items()) if isinstance(cell, Mapping) else list(cell)


def _list(shape: Shape, cell: list[Any], validated: Validated) -> list[Any]:
    assert shape.item is not None  # noqa: S101  # of a list
    return [input_of(shape.item, item, validated) for item in cell]


def _tuple(shape: Shape, cell: Mapping[str, Any], validated: Validated) -> list[Any]:
    return [input_of(part, cell[f"item_{number}"], validated) for number, part in enumerate(shape.items)]


def _map(shape: Shape, cell: Any, validated: Validated) -> dict[Any, Any]:
    assert shape.key is not None and shape.item is not None  # noqa: S101, PT018  # of a map
    return {input_of(shape.key, key, validated): input_of(shape.item, value, validated) for key, value in _pairs(cell)}


def _union(shape: Shape, cell: Mapping[str, Any], validated: Validated) -> Any:
    branch = next(branch for branch in shape.branches if branch.label == cell[TAG])
    return validated(branch.shape, input_of(branch.shape, cell[branch.label], validated))


def _enum(shape: Shape, cell: Any, _: Validated) -> Any:
    for choice in shape.choices:
        shown = column_value(shape, choice)
        if type(shown) is type(cell) and shown == cell:
            return choice.python
    return next((choice.python for choice in shape.choices if choice.json == cell), cell)


def _json(_: Shape, cell: str, __: Validated) -> Any:
    return with_floats(parse_json(cell))


def _bytes(shape: Shape, cell: bytes, _: Validated) -> Any:
    if not shape.encoded:
        return cell
    urlsafe = shape.schema.get("contentEncoding") == "base64url"
    return (base64.urlsafe_b64encode if urlsafe else base64.b64encode)(cell)


def _raw_time(shape: Shape, cell: Any, _: Validated) -> Any:
    if shape.core is not None:
        return cell
    return cell.isoformat().replace("+00:00", "Z") if isinstance(cell, dt.date) else cell


_READERS: Mapping[str, Callable[[Shape, Any, Validated], Any]] = {
    "object": _object,
    "list": _list,
    "tuple": _tuple,
    "map": _map,
    "union": _union,
    "enum": _enum,
    "json": _json,
    "bytes": _bytes,
    "date": _raw_time,
    "datetime": _raw_time,
}
