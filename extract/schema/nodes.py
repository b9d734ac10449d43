"""Small rewrites of one JSON Schema node, each of which leaves its meaning as it is."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

JsonSchema = dict[str, Any]

_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null", list: "array"}


def without(node: JsonSchema, *names: str) -> JsonSchema:
    """The node without these keywords."""
    return {key: value for key, value in node.items() if key not in names}


def nullable(node: JsonSchema) -> JsonSchema:
    """The node that also takes null, as a type array: the form that every gateway takes."""
    node = as_enum(node)
    if "anyOf" in node and "type" not in node:
        parts = [part for part in node["anyOf"] if part != {"type": "null"}]
        return {**node, "anyOf": [*parts, {"type": "null"}]}
    if "type" not in node:
        return {"anyOf": [node, {"type": "null"}]} if node else node
    kinds = [node["type"]] if isinstance(node["type"], str) else list(node["type"])
    found = node | {"type": kinds if "null" in kinds else [*kinds, "null"]}
    if "enum" in found and None not in found["enum"]:
        found["enum"] = [*found["enum"], None]
    return found if found["type"] != ["null"] else found | {"type": "null"}


def as_enum(node: JsonSchema) -> JsonSchema:
    """A closed list in one form: `enum` with its type, never `const`."""
    if "const" in node:
        node = {**without(node, "const"), "enum": [node["const"]]}
    return {"type": _type_of(node["enum"]), **node} if "enum" in node and "type" not in node else dict(node)


def with_null_types(node: Any) -> Any:
    """A schema with null as a second type in place of OpenAPI's `nullable`, which JSON Schema does not know."""
    if isinstance(node, list):
        return [with_null_types(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: with_null_types(value) for key, value in node.items() if key != "nullable" or value is not True}
    return nullable(found) if len(found) < len(node) else found


def type_of(value: Any) -> str:
    """The JSON type of a value."""
    return _TYPES.get(type(value), "object")


def _type_of(values: list[Any]) -> str | list[str]:
    kinds = list(dict.fromkeys(map(type_of, values)))
    return kinds[0] if len(kinds) == 1 else kinds


def json_text(value: Any) -> str:
    """A JSON value as text, Decimals digit for digit."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{json_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(json_text, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, allow_nan=False)


def key_text(value: Any) -> str:
    """A JSON value as the key of a JSON object."""
    return value if isinstance(value, str) else json_text(value)


def sorted_values(values: list[Any]) -> list[Any]:
    """The values of a set in an order that is the same in every process."""
    return sorted(values, key=json_text)


def with_floats(value: Any) -> Any:
    """A JSON value with floats in place of its Decimals, but for those beyond any float."""
    if isinstance(value, dict):
        return {key: with_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_floats(item) for item in value]
    if not isinstance(value, Decimal):
        return value
    return number if math.isfinite(number := float(value)) else value
