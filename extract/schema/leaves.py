"""Shapes of Python types that have no parts: single values, closed lists, the keys of a map, what `Verbatim` binds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from itertools import starmap
from typing import Any

from pydantic_core import to_jsonable_python

from extract.errors import SchemaError
from extract.schema.core import Cores, enum_of
from extract.schema.marks import own, unmarked
from extract.schema.nodes import as_enum, json_text, key_text, without
from extract.schema.numerals import counted
from extract.schema.shapes import BOUND_KINDS, Choice, JsonSchema, Kind, Shape
from extract.verbatim import Verbatim


def scalar_shape(node: JsonSchema, kind: Kind, core: Mapping[str, Any], path: str) -> Shape:
    """A single value."""
    shape = Shape(kind, own(node))
    if kind == "decimal":
        return replace(shape, digits=_digits_of(core, path))
    if kind == "datetime":
        return replace(shape, naive=core.get("tz_constraint") == "naive")
    if kind == "bytes" and str(node.get("format", "")).startswith("base64"):
        encoded = {"type": "string", "contentEncoding": node["format"]}  # Pydantic's Base64Bytes reads the text itself
        return replace(shape, encoded=True, schema=encoded)
    return shape


def enum_shape(node: JsonSchema, by_type: Cores, path: str) -> Shape:
    """A closed list: an Enum, a Literal, or one that the type's own JSON Schema has."""
    cls, members = enum_of(by_type) or (None, _said(node, path))
    if not members:
        raise SchemaError("an enum without members", path=path, hint="give it some")
    choices = _choices_of([member for member in members if member is not None], path)
    if not choices:
        return Shape("null", {"type": "null"})
    has_null = None in members
    values = [choice.json for choice in choices]
    schema = as_enum(own(unmarked(node)) | {"enum": [*values, None] if has_null else values})
    return Shape("enum", schema, nullable=has_null, choices=choices, python=cls)


def _said(node: JsonSchema, path: str) -> list[Any]:
    """The values that a JSON Schema of the user's own names."""
    if _has_classes(without(node, "enum", "const", "default", "examples")):
        hint = "close its parts, by a Literal or an Enum; or check the whole in a validator"
        raise SchemaError("an enum on a type whose parts are classes", path=path, hint=hint)
    return list(as_enum(node)["enum"])


def _has_classes(node: Any) -> bool:
    """Whether Pydantic refers to a class of its own for a part: plain JSON is no instance of it."""
    if isinstance(node, list):
        return any(map(_has_classes, node))
    if not isinstance(node, dict):
        return False
    return str(node.get("$ref", "")).startswith("#/$defs/") or any(map(_has_classes, node.values()))


def names_of(key: Shape) -> JsonSchema:
    """What the keys of a JSON object must be, as far as JSON Schema can say it of texts."""
    if key.kind == "enum":
        return {"enum": [key_text(choice.json) for choice in key.choices]}
    return without(key.schema, "title", "description", "type", "format") if key.kind in ("str", "text") else {}


def bound(shape: Shape, mark: Verbatim, path: str) -> Shape:
    """The shape as `Verbatim` binds it, where it can."""
    if shape.kind in BOUND_KINDS and not shape.roots:
        return replace(shape, verbatim=mark)
    if shape.kind == "list":
        hint = "mark its items: list[Annotated[str, Verbatim('line')]]"
        raise SchemaError("Verbatim on a list", path=path, hint=hint)
    if shape.kind == "enum":
        raise SchemaError("Verbatim on an enum", path=path, hint="an enum is a closed list already")
    name = getattr(shape.python, "__name__", shape.kind)
    raise SchemaError(f"Verbatim on {name}", path=path, hint="Verbatim binds str, int, float, Decimal and date")


def _choices_of(members: list[Any], path: str) -> tuple[Choice, ...]:
    """One choice for each value: by its member's name, its text, or its JSON where two texts are alike."""
    values = [to_jsonable_python(member) for member in members]
    try:
        json_text(values)
    except ValueError:
        raise SchemaError("an enum value that JSON has not", path=path, hint="NaN and Infinity are none") from None
    labels = [
        member.name if isinstance(member, Enum) else value if isinstance(value, str) else json.dumps(value)
        for member, value in zip(members, values, strict=True)
    ]
    if len(set(labels)) < len(labels):
        labels = [json.dumps(value) for value in values]
    return tuple(starmap(Choice, zip(labels, values, members, strict=True)))


def _digits_of(core: Mapping[str, Any], path: str) -> tuple[int, int]:
    """Precision and scale that hold whatever `max_digits` and `decimal_places` admit.

    Without both 38 digits, 9 of them decimals; with `max_digits` alone that many before the point and up to 9 after.
    """
    digits, places = core.get("max_digits"), core.get("decimal_places")
    scale = places if places is not None else 9 if digits is None else min(9, digits)
    precision = 38 if digits is None else digits + (scale if places is None else 0)
    if not 1 <= precision <= 76 or not 0 <= scale <= precision:
        raise SchemaError(
            f"a Decimal of {counted(precision, 'digit')}, {counted(scale, 'decimal')}",
            path=path,
            hint="at most 76 digits",
        )
    return precision, scale
