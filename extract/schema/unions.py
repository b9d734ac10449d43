"""Unions: their labels, and whether an answer alone says which branch it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from extract.schema.nodes import nullable
from extract.schema.shapes import Branch, JsonSchema, Shape

_CLASS = {
    "int": "number",
    "float": "number",
    "decimal": "number",
    "bool": "boolean",
    "null": "null",
    "list": "array",
    "tuple": "array",
    "map": "object",
    "object": "object",
}
_NAMES = {"str": "text", "int": "integer", "float": "number", "bool": "boolean", "decimal": "decimal"}
_NATIVE = frozenset({"str", "int", "float", "bool", "null"})


def union_of(shapes: Sequence[Shape], has_null: bool, around: JsonSchema, roots: int = 0) -> Shape:
    """The union of several shapes; two plain numbers are one number."""
    if {shape.kind for shape in shapes} == {"int", "float"} and all(_bare(shape) for shape in shapes):
        schema = around | {"type": "number"}
        return Shape("float", nullable(schema) if has_null else schema, nullable=has_null, roots=roots)
    shapes = [replace(shape, nullable=False) for shape in shapes]
    parts = [shape.schema for shape in shapes] + ([{"type": "null"}] if has_null else [])
    branches = tuple(map(Branch, _labels(shapes), shapes))
    return Shape("union", around | {"anyOf": parts}, nullable=has_null, branches=branches, roots=roots)


def spliced(shapes: Iterable[Shape]) -> tuple[Shape, ...]:
    """A union in a union is one union."""
    found: list[Shape] = []
    for shape in shapes:
        inner = shape.kind == "union" and not shape.roots
        found += [branch.shape for branch in shape.branches] if inner else [shape]
    return tuple(found)


def told_apart(branches: Sequence[tuple[Shape, JsonSchema]]) -> bool:
    """Whether each answer fits one branch alone, or reads the same by any that it fits. With each its wire schema."""
    return all(_apart(one, other) for number, one in enumerate(branches) for other in branches[number + 1 :])


def wire_class(schema: JsonSchema) -> str:
    """What an answer to a wire schema is, as `class_of` names it; "any" where it may be several things."""
    kind = schema.get("type")
    return "any" if not isinstance(kind, str) else "number" if kind == "integer" else kind


def json_class(shape: Shape) -> str:
    """string, number, boolean, array, object, null, or "any"."""
    if shape.kind == "enum":
        classes = {_class_of(choice.json) for choice in shape.choices}
        return classes.pop() if len(classes) == 1 else "any"
    return "any" if shape.kind in ("union", "json") else _CLASS.get(shape.kind, "string")


def native(shape: Shape) -> bool:
    """Whether the Python value is the JSON value."""
    if shape.roots:
        return False
    if shape.kind == "list":
        return shape.python is list and shape.item is not None and native(shape.item)
    if shape.kind == "enum":
        plain = all(type(choice.python) is type(choice.json) for choice in shape.choices)
        return shape.python is None and plain and json_class(shape) != "any"  # values of several types go by labels
    return shape.kind in _NATIVE


def _apart(one: tuple[Shape, JsonSchema], other: tuple[Shape, JsonSchema]) -> bool:
    shapes, classes = (one[0], other[0]), {wire_class(one[1]), wire_class(other[1])}
    if len(classes) == 2 and "any" not in classes:
        return True
    if all(map(native, shapes)):
        return True
    return {shape.kind for shape in shapes} == {"object"} and (_tags(*shapes) or _names(*shapes))


def _tags(one: Shape, other: Shape) -> bool:
    """Whether two objects have a field whose values differ in any case, and which both must have."""
    theirs = {item.wire: item for item in other.asked}
    for item in one.asked:
        twin = theirs.get(item.wire)
        if twin is None or not (item.required and twin.required):
            continue
        if item.shape.kind == twin.shape.kind == "enum" and not item.shape.nullable and not twin.shape.nullable:
            mine, others = ([repr(choice.json) for choice in found.choices] for found in (item.shape, twin.shape))
            if not set(mine) & set(others):
                return True
    return False


def _names(one: Shape, other: Shape) -> bool:
    """Whether two closed objects have other fields: an answer names all of its own."""
    closed = all(shape.schema.get("additionalProperties") is False for shape in (one, other))
    return closed and {item.wire for item in one.asked} != {item.wire for item in other.asked}


def _bare(shape: Shape) -> bool:
    return not (shape.schema.keys() - {"type", "title", "description"} or shape.roots or shape.verbatim)


def _labels(shapes: Sequence[Shape]) -> list[str]:
    labels: list[str] = []
    for shape in shapes:
        name, number = _label(shape), 2
        label = name
        while label in labels or label == "tag":
            label, number = f"{name}_{number}", number + 1
        labels.append(label)
    return labels


def _label(shape: Shape) -> str:
    """A name that a model understands: the class, the discriminator's value, or the kind."""
    if shape.kind == "object":
        for item in shape.asked:
            if (
                item.shape.kind == "enum"
                and len(item.shape.choices) == 1
                and isinstance(item.shape.choices[0].json, str)
            ):
                return item.shape.choices[0].json
    if shape.kind in ("list", "map") and shape.item:
        return f"{shape.kind}_of_{_label(shape.item)}"
    if shape.kind in ("object", "enum") and shape.python not in (None, dict):
        return str(shape.python.__name__).partition("[")[0]
    return str(shape.schema.get("title") or _NAMES.get(shape.kind, shape.kind))


def _class_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "any"
