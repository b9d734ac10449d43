"""How big a schema is: what counts, and what is warned of."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, create_model

from extract.schema import compile_schema
from extract.schema.size import SchemaSize, size_of, warnings_of

WIRE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "enum": ["red", "blue"]},
        "lines": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": ["integer", "null"]}}}},
        "pair": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "boolean"}]},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "either": {"anyOf": [{"type": "string"}, {"enum": [1, 2]}]},
    },
    "additionalProperties": False,
}


def test_what_is_counted() -> None:
    """Properties, levels of objects and lists, values and characters of enums, bytes."""
    size = size_of(WIRE)
    assert (6, 3, 4) == (size.properties, size.depth, size.enum_values)
    assert len("namelinesnpairmapeither" + "redblue") == size.characters
    assert 300 < size.bytes < 600


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"type": "string"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}),
        ({"type": "string"}, {"type": "string", "format": "iban"}),
        ({"type": "integer"}, {"type": "integer", "maximum": 10}),
        ({"type": "integer", "maximum": 10}, {"type": "integer", "maximum": 1000}),
        ({"type": "string"}, {"type": ["string", "null"]}),
        ({"enum": ["a"]}, {"enum": ["a", "bcd"]}),
        ({"type": "array", "items": {"type": "string"}}, {"type": "array", "items": {"type": "string"}, "maxItems": 9}),
        ({"properties": {"a": {"type": "string"}}}, {"properties": {"a_longer_name": {"type": "string"}}}),
    ],
    ids=str,
)
def test_what_adds_states(less: dict[str, Any], more: dict[str, Any]) -> None:
    """Formats, bounds, names, enums, and how often a list may repeat its item."""
    assert 0 < size_of(less).states < size_of(more).states


def test_nested_bounds_multiply_up_to_a_limit() -> None:
    """Counting further tells nothing."""
    node: dict[str, Any] = {"type": "string"}
    for _ in range(12):
        node = {"type": "array", "items": node, "maxItems": 1000}
    assert 10**9 == size_of(node).states


def test_what_is_over_a_limit_is_said() -> None:
    """Each limit by itself, and the states where there is an automaton."""
    size = SchemaSize(properties=6000, depth=3, enum_values=1, characters=1, bytes=1, states=30_000)
    limits = {"properties": 5000, "depth": 10, "enum_values": 1}
    assert ["6,000 properties, the endpoint takes 5,000"] == list(warnings_of(size, limits, automaton=False))
    assert 2 == len(list(warnings_of(size, limits, automaton=True)))


def test_an_ordinary_schema_is_not_warned_of() -> None:
    """An invoice with lines."""
    line = create_model("Line", text=(str, ...), amount=(float, Field(ge=0)))

    class Invoice(BaseModel):
        number: str
        currency: Literal["EUR", "USD"]
        lines: list[line] = Field(max_length=20)  # type: ignore[valid-type]

    compiled = compile_schema(Invoice)
    assert () == compiled.warnings
    assert 500 < compiled.size.states < 2000
