"""JSON Schema → the grammar that llama.cpp enforces, and the reason when it cannot.

llama.cpp drops a grammar that it cannot compile and generates freely, with no error but a line in its log. So every
schema is tried first with a `probe`, and a refused one is searched for the smallest part that is to blame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]
Probe = Callable[[Json], bool]

# Free whitespace costs a fifth of the tokens of a small object, and a small model may loop on newlines to the limit.
COMPACT: Json = {"x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}}
PARTS = ("$defs", "definitions", "properties")
LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
LITERAL = frozenset({"enum", "const", "default", "examples"})  # hold values, not schemas
OPENING = frozenset({"additionalProperties", "patternProperties", "unevaluatedProperties", "$ref", "anyOf", "oneOf"})
SINGLE = ("items", "additionalProperties")
DEFINITIONS = ("$defs", "definitions")


def grammar_of(schema: Json) -> str:
    """The llguidance grammar of a schema; keys are generated in the order of `properties`."""
    return "%llguidance {}\nstart: " + json_rule(schema)


def json_rule(schema: Json) -> str:
    """The part of a grammar that is JSON by this schema."""
    return "%json " + json.dumps({**COMPACT, **_closed(without_ordering(schema))}, ensure_ascii=False)


def _closed(schema: Any) -> Any:
    """The schema with its objects closed where it does not say whether they are.

    More properties than those named would be allowed, but a small model goes on naming them to its limit; what fits the
    closed schema fits the open one. Where objects are merged (allOf), closing one would forbid what the other names.
    """
    return schema if '"allOf"' in json.dumps(schema) else _close(schema)


def _close(node: Any, *, names: bool = False, merged: bool = False) -> Any:
    if isinstance(node, list):
        return [_close(item, merged=merged) for item in node]
    if not isinstance(node, dict):
        return node
    if names:
        return {key: _close(value) for key, value in node.items()}
    own = node.get("properties")
    within = {
        key: _close(value, names=key in PARTS, merged=key in LISTS and own is not None)
        for key, value in node.items()
        if key not in LITERAL
    }
    if isinstance(own, dict) and not merged and not OPENING & node.keys() and _suffice(own, node):
        within["additionalProperties"] = False
    return {**{key: value for key, value in node.items() if key in LITERAL}, **within}


def _suffice(properties: Json, node: Json) -> bool:
    """Whether the named properties are all that the object needs; False for what is no schema."""
    required, least = node.get("required", []), node.get("minProperties", 0)
    named = isinstance(required, list) and all(isinstance(name, str) and name in properties for name in required)
    return named and isinstance(least, int) and least <= len(properties)


def without_ordering(node: Any, *, names: bool = False) -> Any:
    """The schema without Gemini's `propertyOrdering`, which says what is done here anyway. `names`: keys are names."""
    if isinstance(node, list):
        return [without_ordering(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: without_ordering(value, names=not names and key in PARTS)
        for key, value in node.items()
        if names or key != "propertyOrdering"
    }


def without_enum_texts(node: Any) -> Any:
    """The schema with each enum of texts standing for any: what decides whether it can be a grammar."""
    if isinstance(node, list):
        return [without_enum_texts(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: _first_text(value) if key == "enum" else without_enum_texts(value) for key, value in node.items()}


def blame(schema: Json, accepted: Probe) -> str:
    """Where and why a refused schema is refused, e.g. `#/properties/a: keyword 'not'`."""
    shared = {name: schema[name] for name in DEFINITIONS if name in schema}

    def passes(part: Json) -> bool:
        return accepted({**shared, **part})

    path, part = _smallest("#", schema, passes)
    culprits = [name for name in part if passes({key: value for key, value in part.items() if key != name})]
    if not culprits:
        return f"{path}: it is refused as a whole"
    return f"{path}: " + " or ".join(f"keyword '{name}' with value {_brief(part[name])}" for name in culprits)


def _smallest(path: str, part: Json, passes: Probe) -> tuple[str, Json]:
    for step, child in _children(part):
        if not passes(child):
            return _smallest(f"{path}/{step}", child, passes)
    return path, part


def _children(part: Json) -> Iterator[tuple[str, Json]]:
    named = ((f"{key}/{name}", child) for key in PARTS for name, child in _items(part.get(key)))
    listed = ((f"{key}/{name}", child) for key in LISTS for name, child in _items(part.get(key)))
    single = ((key, part[key]) for key in SINGLE if key in part)
    for step, child in (*named, *listed, *single):
        if isinstance(child, dict):
            yield step, child


def _items(value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    if isinstance(value, list):
        yield from ((str(index), item) for index, item in enumerate(value))


def _first_text(values: Any) -> Any:
    """One text stands for all; what is no list of texts (and null) is left as it is."""
    if not isinstance(values, list) or not values or not all(isinstance(value, str | None) for value in values):
        return values
    return ["text", *(value for value in values if value is None)]


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
