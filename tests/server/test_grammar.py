"""The grammar of a schema, and what a refused schema is blamed on."""

from __future__ import annotations

import json

import pytest

from extract.server.grammar import blame, grammar_of, json_rule
from server.support import STRING, Json, closed


def test_the_grammar_keeps_the_order_of_properties() -> None:
    """The schema reaches llama.cpp in its own order, unicode as it is, with compact whitespace."""
    grammar = grammar_of(closed(zeta=STRING, älpha=STRING))
    assert grammar.startswith("%llguidance {}\nstart: %json {")
    assert grammar.index("zeta") < grammar.index("älpha")
    assert json.loads(grammar.partition("%json ")[2])["x-guidance"]["whitespace_flexible"] is False


def accepts(schema: Json) -> bool:
    """A probe that refuses `not`, and a minLength above maxLength, anywhere."""
    text = json.dumps(schema)
    return '"not"' not in text and not ('"minLength": 9' in text and '"maxLength": 1' in text)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (closed(a={"not": STRING}), '#/properties/a: keyword \'not\' with value {"type": "string"}'),
        (closed(a={"type": "array", "items": {"not": {}}}), "#/properties/a/items: keyword 'not' with value {}"),
        (closed(a={"anyOf": [STRING, {"not": {}}]}), "#/properties/a/anyOf/1: keyword 'not' with value {}"),
        (
            closed(a={"minLength": 9, "maxLength": 1}),
            "#/properties/a: keyword 'minLength' with value 9 or keyword 'maxLength' with value 1",
        ),
        ({"$defs": {"d": STRING}, **closed(a={"not": {"const": "x" * 80}})}, None),
        ({"not": {}, "title": "not"}, "#: it is refused as a whole"),
    ],
)
def test_a_refused_schema_is_blamed_on_its_smallest_part(schema: Json, expected: str | None) -> None:
    """The reason names the path and the keyword."""
    reason = blame(schema, accepts)
    assert reason.endswith("...") if expected is None else reason == expected


OPEN = {"type": "object", "properties": {"a": STRING}}
SHUT = {**OPEN, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (OPEN, SHUT),
        ({"type": "array", "items": OPEN}, {"type": "array", "items": SHUT}),
        ({"anyOf": [OPEN, {"type": "null"}]}, {"anyOf": [SHUT, {"type": "null"}]}),
        ({"$defs": {"properties": OPEN}}, {"$defs": {"properties": SHUT}}),
        ({**OPEN, "properties": {"properties": OPEN}}, {**SHUT, "properties": {"properties": SHUT}}),
        ({"type": "object"}, {"type": "object"}),
        ({**OPEN, "additionalProperties": STRING}, {**OPEN, "additionalProperties": STRING}),
        ({**OPEN, "required": ["b"]}, {**OPEN, "required": ["b"]}),
        ({**OPEN, "minProperties": 2}, {**OPEN, "minProperties": 2}),
        ({**OPEN, "anyOf": [OPEN]}, {**OPEN, "anyOf": [OPEN]}),
        ({"allOf": [OPEN, {"properties": {"b": {}}}]}, {"allOf": [OPEN, {"properties": {"b": {}}}]}),
        ({**OPEN, "required": [["a"]]}, {**OPEN, "required": [["a"]]}),
        ({**OPEN, "required": 7}, {**OPEN, "required": 7}),
        ({**OPEN, "minProperties": "1"}, {**OPEN, "minProperties": "1"}),
        ({"enum": [{"properties": {}}]}, {"enum": [{"properties": {}}]}),
    ],
)
def test_objects_are_closed_where_a_schema_is_silent(schema: Json, expected: Json) -> None:
    """What is generated has the named properties only, unless that would forbid what the schema asks for."""
    written = json.loads(json_rule(schema).removeprefix("%json "))
    assert expected == {key: value for key, value in written.items() if key != "x-guidance"}
