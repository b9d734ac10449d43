"""A wire schema in which texts may be placeholders: an endpoint that holds answers to it must let them pass."""

from __future__ import annotations

from typing import Any

_BOUNDS = frozenset({"pattern", "minLength", "maxLength", "format"})
_TIMES = frozenset({"date", "date-time", "time", "duration"})  # which no placeholder stands for
_NAMED = frozenset({"properties", "$defs", "definitions"})


def with_room(schema: Any) -> Any:
    """The schema without the bounds of texts, which the full schema holds an answer to once it is read back."""
    if isinstance(schema, list):
        return [with_room(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: {key: with_room(node) for key, node in item.items()} if _is_named(name, item) else _inner(name, item)
        for name, item in schema.items()
        if name not in _BOUNDS or item in _TIMES
    }


def _inner(name: str, item: Any) -> Any:
    return item if name in ("enum", "const", "default", "examples", "required") else with_room(item)


def _is_named(name: str, item: Any) -> bool:
    return name in _NAMED and isinstance(item, dict)
