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
SINGLE = ("items", "additionalProperties")
DEFINITIONS = ("$defs", "definitions")


def grammar_of(schema: Json) -> str:
    """The llguidance grammar of a schema; keys are generated in the order of `properties`."""
    return "%llguidance {}\nstart: %json " + json.dumps({**COMPACT, **without_ordering(schema)}, ensure_ascii=False)


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
