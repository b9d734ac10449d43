"""Wire paths: tuples of property names, with "*" for the items of a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from extract.records import path_to
from extract.schema.shapes import JsonSchema


def node_at(schema: JsonSchema, path: tuple[str, ...]) -> JsonSchema:
    """The node of a schema at a path of property names; "*" steps into the items of a list."""
    for step in path:
        schema = schema["items"] if step == "*" else schema["properties"][step]
    return schema


def places(node: Any, path: Sequence[str], place: str = "$") -> Iterator[tuple[Any, Any, str]]:
    """(holder, key, JSON path) of every value at a wire path that the answer has."""
    step, rest = path[0], path[1:]
    if step == "*":
        keys: list[Any] = list(range(len(node))) if isinstance(node, list) else []
    else:
        keys = [step] if isinstance(node, Mapping) and step in node else []
    for key in keys:
        if rest:
            yield from places(node[key], rest, path_to(place, key))
        else:
            yield node, key, path_to(place, key)
