"""Whether a value is of one part of a schema: how the branch of a union is found for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any

from extract.errors import SchemaError
from extract.schema.core import TypeReading
from extract.schema.forms import class_of, extras_of, is_choice
from extract.schema.shapes import JsonSchema, Shape
from extract.schema.unions import json_class
from extract.verdict import Verdict

_ROOT = "urn:extract:root"
_LAX_OF_THEIR_OWN = frozenset({"int", "float", "str"})


def fits_type(validators: dict[int, Any], reading: TypeReading, shape: Shape, value: Any) -> bool:
    """Whether a Python value is one of this shape, types taken strictly."""
    if shape.core is None:  # a schema of the user's own
        return json_class(shape) in ("any", class_of(value))
    if (cls := _class_of(shape)) is not None:
        return type(value) is cls
    validator = validators.get(id(shape))
    if validator is None:
        validator = validators[id(shape)] = reading.validator_of(shape)
    fits = partial(fits_type, validators, reading)
    return bool(validator.isinstance_python(value, strict=True)) and _is_exact(shape, value, fits)


def _class_of(shape: Shape) -> type | None:
    """The class that a value must be of: a subclass may be a branch of its own."""
    return shape.root or (shape.python if shape.kind == "object" and shape.python is not dict else None)


def _is_exact(shape: Shape, value: Any, fits: Callable[[Shape, Any], bool]) -> bool:
    """Whether a value is what Pydantic would make of it: even strictly it takes 1 for True and for a RootModel."""
    if shape.core is None or value is None:
        return True
    if (cls := _class_of(shape)) is not None:
        return type(value) is cls
    if shape.kind == "enum":
        return is_choice(shape, value)
    if shape.kind == "json":
        return _is_json(value)
    if shape.kind == "object" and isinstance(value, Mapping) and shape.extra is None and extras_of(shape, value):
        return False  # a TypedDict drops what it does not know
    if shape.kind == "union":
        return any(fits(branch.shape, value) for branch in shape.branches)
    if shape.kind in _LAX_OF_THEIR_OWN and isinstance(value, Decimal | Enum):
        return False
    return all(_is_exact(part, item, fits) for part, item in _parts(shape, value))


def _is_json(value: Any) -> bool:
    """Whether a value is plain JSON all the way down: a JsonValue holds no member of a StrEnum."""
    if type(value) is dict:
        return all(type(key) is str and _is_json(item) for key, item in value.items())
    if type(value) is list:
        return all(map(_is_json, value))
    return value is None or type(value) in (str, int, float, bool)


def _parts(shape: Shape, value: Any) -> Iterator[tuple[Shape, Any]]:
    """What a value holds, with the shape of each; nothing of what a validator made something else of."""
    if isinstance(value, Mapping):
        if shape.kind == "map" and shape.key and shape.item:
            yield from ((shape.key, key) for key in value)
            yield from ((shape.item, item) for item in value.values())
        if shape.kind == "object":
            yield from ((item.shape, value[item.name]) for item in shape.fields if item.name in value)
    elif isinstance(value, Collection) and not isinstance(value, str | bytes):
        if shape.kind == "list" and shape.item:
            yield from ((shape.item, item) for item in value)
        if shape.kind == "tuple":
            yield from zip(shape.items, value, strict=False)


def fits_json(verdicts: dict[int, Verdict | None], root: JsonSchema, shape: Shape, value: Any) -> bool:
    """Whether JSON is of this shape, by the part of the raw schema that it stands for."""
    kind = json_class(shape)
    if kind not in ("any", class_of(value)):
        return False
    if id(shape) not in verdicts:
        verdicts[id(shape)] = _verdict_of(root, shape)
    verdict = verdicts[id(shape)]
    return verdict is None or verdict.accepts(value)


def _verdict_of(root: JsonSchema, shape: Shape) -> Verdict | None:
    """The judge of one part; its references lead into the whole schema, which stands beside it."""
    draft = {"$schema": root["$schema"]} if "$schema" in root else {}
    try:
        return Verdict({**_led_to(_ROOT, shape.schema), **draft}, {_ROOT: root}, formats=True)
    except SchemaError:  # a part with an address of its own
        return None


def _led_to(document: str, node: Any) -> Any:
    """The part with the references that begin at the root of its document leading to that document."""
    if isinstance(node, list):
        return [_led_to(document, item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _led_to(document, value) for key, value in node.items()}
    reference = found.get("$ref")
    return found | {"$ref": document + reference} if isinstance(reference, str) and reference[:1] == "#" else found
