"""A value of a field ↔ a cell of the file: texts and dates as they are, numbers with a decimal point, all else as JSON.

An empty cell is null, `""` is the empty text.
"""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

from extract.evaluation.sides import key_text
from extract.parse import ParseError, parse_json
from extract.schema import Shape
from extract.schema.forms import Property
from extract.schema.nodes import json_text
from extract.schema.shapes import ABSENT

_TEXTS = frozenset({"str", "date", "datetime", "time", "timedelta", "bytes", "text"})  # in JSON too
_PARTS = frozenset({"list", "tuple", "map", "object"})
_EMPTY_TEXT = '""'


class UnfitError(ValueError):
    """A cell that no value of its field can be read from; says what to write."""


def wire_value(item: Property, cell: Any, *, is_typed: bool = False) -> Any:
    """What a cell says of a field, as the wire has it. `is_typed`: it is a JSON value, and no cell of text.

    What is of another type stays as it is, for the judge to name. Raises UnfitError for what says nothing.
    """
    if cell is None or (cell == "" and not is_typed):
        return empty(item)
    kind = item.field.shape.kind
    if is_typed:
        value = json_text(cell) if kind == "json" and isinstance(cell, str) else cell
    elif isinstance(cell, str):
        value = _of_text(item.field.shape, cell)
    else:
        value = _of_cell(item.field.shape, cell)
    return [value] if item.maybe else value


def shown_value(item: Property, value: Any) -> str | None:
    """The cell of text that is read back as this value."""
    value, kind = unwrapped(item, value), item.field.shape.kind
    if value is None:
        return None
    if not isinstance(value, str):
        return readable(value)
    if value == "":
        return _EMPTY_TEXT
    if kind in _TEXTS or kind in ("enum", "json") or not _is_json(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def unwrapped(item: Property, value: Any) -> Any:
    if item.maybe and isinstance(value, list) and len(value) < 2:
        return value[0] if value else None
    return value


def empty(item: Property) -> Any:
    """What an empty cell says."""
    if item.maybe:
        return []
    may_be_null = item.field.required or item.field.shape.nullable or item.null_is_default
    return None if may_be_null else ABSENT


def _of_text(shape: Shape, text: str) -> Any:
    kind, bare = shape.kind, text.strip()
    if kind in _TEXTS:
        return "" if bare == _EMPTY_TEXT else text
    if kind == "enum":
        return _choice(shape, text)
    if kind == "json":
        return text if _is_json(text) else json_text(text)
    try:
        return parse_json(bare.lower() if kind == "bool" else bare)
    except ParseError as error:
        if kind in _PARTS:
            raise UnfitError(f"is no JSON: {error}") from None
        return text


def _choice(shape: Shape, text: str) -> Any:
    """The value that the text is, or stands for as JSON; else the text, which may be a label."""
    for choice in shape.choices:
        if text == choice.json or (not isinstance(choice.json, str) and text.strip() == json_text(choice.json)):
            return choice.json
    return text


def _of_cell(shape: Shape, cell: Any) -> Any:
    """What a spreadsheet or a table gave a type of its own."""
    kind = shape.kind
    if isinstance(cell, dt.datetime) and kind == "date":
        return cell.date().isoformat() if cell.time() == dt.time() else cell.isoformat()
    if isinstance(cell, dt.date | dt.time):
        if kind == "str":
            raise UnfitError("is a date to the spreadsheet, and the field is text: format the cell as text")
        return cell.isoformat()
    if isinstance(cell, bool) or not isinstance(cell, int | float | Decimal):
        return parse_json(json.dumps(cell, default=str)) if isinstance(cell, list | dict | bool) else str(cell)
    if cell != cell or cell in (float("inf"), float("-inf")):  # noqa: PLR0124  # NaN is not itself
        raise UnfitError("is no number")
    return _of_text(shape, key_text(cell))


def _is_json(text: str) -> bool:
    try:
        parse_json(text)
    except ParseError:
        return False
    return True


def readable(value: Any) -> str:
    """JSON for people: letters as they are, Decimals digit for digit."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key, ensure_ascii=False)}: {readable(each)}" for key, each in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(readable, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False, default=str)
