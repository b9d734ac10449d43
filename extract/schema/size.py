"""How big a schema is on the wire: against published limits, and against what makes Gemini refuse one.

Gemini compiles a schema into an automaton and refuses one with "too many states for serving"; no figure is published.
Named causes are long property and enum names, array bounds (most of all nested), numeric bounds and formats. `states`
adds these up as an automaton would spell them out: an estimate for comparing schemas, no promise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from extract.schema.nodes import json_text
from extract.schema.shapes import JsonSchema

MANY_STATES = 20_000  # a schema above it is warned of; an ordinary invoice has 500 to 2,000

_BASE = {"string": 8, "integer": 6, "number": 12, "boolean": 9, "null": 4}
_FORMAT_STATES = {"date": 60, "time": 120, "date-time": 200, "duration": 120, "uuid": 36}
_OTHER_FORMAT = 60
_BOUND_STATES = 10  # for each digit of a numeric bound
_MOST = 10**9  # counting further tells nothing


@dataclass(frozen=True, slots=True)
class SchemaSize:
    """`depth` counts objects and lists within each other, `characters` those of property names and enum texts."""

    properties: int
    depth: int
    enum_values: int
    characters: int
    bytes: int
    states: int


def size_of(wire: JsonSchema) -> SchemaSize:
    """The size of a wire schema."""
    nodes = list(_nodes(wire))
    enums = [value for node, _ in nodes for value in node.get("enum", ())]
    names = [name for node, _ in nodes for name in node.get("properties", ())]
    return SchemaSize(
        properties=len(names),
        depth=max(level for _, level in nodes),
        enum_values=len(enums),
        characters=sum(map(len, names)) + sum(len(value) for value in enums if isinstance(value, str)),
        bytes=len(json_text(wire).encode()),
        states=min(_MOST, _states(wire)),
    )


def warnings_of(size: SchemaSize, limits: Mapping[str, int], *, automaton: bool) -> Iterator[str]:
    """What may make the endpoint refuse the schema."""
    found = asdict(size)
    for name, limit in limits.items():
        if found[name] > limit:
            yield f"{found[name]:,} {name.replace('_', ' ')}, the endpoint takes {limit:,}"
    if automaton and size.states > MANY_STATES:
        yield (
            f"about {size.states:,} states, which the endpoint may refuse as too many: shorten bounds of lists, "
            "enums and names, or use split_fields"
        )


def _nodes(node: JsonSchema, level: int = 0) -> Iterator[tuple[JsonSchema, int]]:
    """Every node with its level."""
    level += "properties" in node or "items" in node or "prefixItems" in node
    yield node, level
    for child in _children(node):
        yield from _nodes(child, level)


def _children(node: JsonSchema) -> Iterator[JsonSchema]:
    yield from node.get("properties", {}).values()
    yield from node.get("anyOf", ())
    yield from node.get("prefixItems", ())
    for name in ("items", "additionalProperties"):
        if isinstance(node.get(name), dict):
            yield node[name]


def _states(node: JsonSchema) -> int:
    if "enum" in node:
        return sum(len(str(value)) for value in node["enum"])
    inner = sum(map(_states, _children(node))) + sum(len(name) + 4 for name in node.get("properties", ()))
    if "items" in node:
        times: int = max(1, node.get("maxItems", 1), node.get("minItems", 1))
        return min(_MOST, (inner + 2) * times)
    kinds = node.get("type", ())
    own = sum(_BASE.get(kind, 2) for kind in ([kinds] if isinstance(kinds, str) else kinds))
    return inner + own + _format_states(node) + _bound_states(node)


def _format_states(node: JsonSchema) -> int:
    return _FORMAT_STATES.get(str(node["format"]), _OTHER_FORMAT) if "format" in node else 0


def _bound_states(node: JsonSchema) -> int:
    bounds: list[Any] = [node[name] for name in ("minimum", "maximum") if name in node]
    return sum(_BOUND_STATES * len(str(bound)) for bound in bounds)
