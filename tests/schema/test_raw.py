"""JSON Schemas that users bring: what is asked for, and what is refused with its path."""

from __future__ import annotations

from typing import Any

import pytest

from extract.errors import SchemaError
from extract.schema import compile_schema, raw
from extract.schema.raw import read_raw
from extract.schema.shapes import Shape


def shape(node: Any, **root: Any) -> Shape:
    return read_raw({"type": "object", "properties": {"a": node}, **root}).shape.fields[0].shape


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        *[({"type": "string"}, "str"), ({"type": "integer"}, "int"), ({"type": "number"}, "float")],
        *[({"type": "boolean"}, "bool"), ({"type": "null"}, "null"), ({"type": "string", "format": "date"}, "date")],
        *[({"type": "string", "format": "date-time"}, "datetime"), ({"type": "string", "format": "email"}, "str")],
        *[
            ({}, "json"),
            (True, "json"),
            ({"enum": ["a", 1]}, "enum"),
            ({"const": 5}, "enum"),
            ({"enum": [None]}, "null"),
        ],
        *[({"type": ["integer", "number"]}, "float"), ({"type": ["integer", "string"]}, "union")],
        *[
            ({"minLength": 1}, "str"),
            ({"minimum": 1}, "float"),
            ({"items": {}}, "list"),
            ({"required": ["b"]}, "object"),
        ],
        *[({"minLength": 1, "minimum": 1}, "json"), ({"type": "object"}, "map"), ({"type": "array"}, "list")],
        *[({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "union"), ({"oneOf": [{"type": "string"}]}, "str")],
        *[({"anyOf": [{"type": "null"}]}, "null"), ({"anyOf": [{"type": "string"}, {}]}, "json")],
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": False, "minItems": 1}, "tuple"),
        ({"type": "array", "items": [{"type": "integer"}], "additionalItems": False, "minItems": 1}, "tuple"),
        ({"type": "array", "prefixItems": [{"type": "integer"}]}, "json"),
        ({"anyOf": [{"required": ["x"]}], "properties": {"x": {}}}, "object"),
        ({"allOf": [{"type": "string"}, True]}, "str"),
        ({"allOf": [{"allOf": [{"type": "integer"}]}]}, "int"),
        ({"type": "object", "patternProperties": {"^x": {"type": "integer"}}}, "map"),
    ],
    ids=str,
)
def test_each_node_has_its_kind(node: Any, kind: str) -> None:
    """By its type, or by what its keywords speak of."""
    assert kind == shape(node).kind


def test_null_makes_a_shape_nullable() -> None:
    """As a second type, a branch, or a value of an enum."""
    nodes: list[Any] = [
        {"type": ["string", "null"]},
        {"type": ["integer", "number", "null"]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"enum": ["a", None]},
        {"anyOf": [{"type": ["string", "null"]}, {"type": "integer"}]},
    ]
    assert [True] * 5 == [shape(node).nullable for node in nodes]


def test_references_are_followed() -> None:
    """Pointers with their escapes, anchors, ids, the schema's own address; words beside a reference win."""
    root = {
        "$id": "https://x.example/s",
        "$defs": {"a/b": {"type": "integer", "description": "in"}, "c": {"$anchor": "here", "type": "string"}},
        "definitions": {"d": {"$id": "#old", "type": "boolean"}, "e": [{"type": "number"}], "t": True},
    }
    found = {
        "#/$defs/a~1b": "int",
        "#/%24defs/a~1b": "int",
        "#here": "str",
        "#old": "bool",
        "#/definitions/e/0": "float",
        "https://x.example/s#/$defs/c": "str",
        "#/definitions/t": "json",
    }
    assert list(found.values()) == [shape({"$ref": reference}, **root).kind for reference in found]
    assert "out" == shape({"$ref": "#/$defs/a~1b", "description": "out"}, **root).description


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"$ref": "#/$defs/none"}, r"^\$\.a: \$ref names nothing: #/\$defs/none"),
        ({"$ref": "#/$defs/x/y/z"}, r"^\$\.a: \$ref names nothing"),
        ({"$ref": "#none"}, r"^\$\.a: \$ref names nothing: #none"),
        ({"$ref": "https://x.example/y#/z"}, r"^\$\.a: \$ref to another document: https://x.example/y"),
        ({"$ref": "#"}, r"^\$\.a\.a: recursive \$ref: # -> #"),
        ({"type": "any"}, r"^\$\.a: type 'any' is no JSON type"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_path(node: Any, message: str) -> None:
    """References to nothing or elsewhere, recursions, types that are none."""
    with pytest.raises(SchemaError, match=message):
        shape(node, **{"$defs": {"x": {"y": 5}}})


def test_a_recursion_is_cut_at_its_depth() -> None:
    """What is deeper is any JSON."""
    tree = {"properties": {"name": {"type": "string"}, "more": {"type": "array", "items": {"$ref": "#"}}}}
    assert 1 == len(read_raw(tree, unroll=1).cuts)
    compiled = compile_schema(tree, unroll=1)
    given = {"name": "a", "more": [{"name": "b", "more": [{"name": "c"}]}]}
    assert given == compiled.restore(compiled.answer_form(given))
    assert any("recursion is cut off" in loss.note for loss in compiled.losses)


def test_structure_is_gathered_from_allof() -> None:
    """Properties and what is required; the rest is the judge's."""
    found = read_raw(
        {
            "type": "object",
            "properties": {"a": {"type": "integer"}},
            "allOf": [{"properties": {"b": {"type": "string"}, "a": {}}, "required": ["a", "c"]}, {"not": {}}],
        }
    ).shape
    assert {"a": ("int", True), "b": ("str", False), "c": ("json", True)} == {
        item.name: (item.shape.kind, item.required) for item in found.fields
    }


def test_what_is_not_followed_is_told() -> None:
    """Types that are inferred, oneOf, anyOf beside properties."""
    notes = read_raw(
        {
            "type": "object",
            "properties": {
                "a": {"minLength": 1},
                "b": {"oneOf": [{"type": "integer"}, {"type": "string"}]},
                "c": {"type": "object", "properties": {"d": {}}, "anyOf": [{"required": ["d"]}]},
                "e": False,
            },
        }
    ).notes
    assert {("$.a", "type"), ("$.b", "oneOf"), ("$.c", "anyOf")} == set(notes)


def test_undeclared_properties() -> None:
    """One schema for them, any JSON where there are several, none where nothing is said."""
    base: dict[str, Any] = {"type": "object", "properties": {"a": {}}}
    extras = [
        read_raw(base | more).shape.extra
        for more in (
            *({}, {"additionalProperties": False}, {"additionalProperties": True}, {"additionalProperties": {}}),
            {"additionalProperties": {"type": "integer"}},
            {"patternProperties": {"^x": {"type": "string"}}},
            {"patternProperties": {"^x": {"type": "string"}}, "additionalProperties": {"type": "integer"}},
        )
    ]
    assert [None, None, "json", "json", "int", "str", "json"] == [extra.kind if extra else None for extra in extras]


def test_labels_of_an_enum_are_of_their_own() -> None:
    """As JSON where two texts are alike."""
    assert ['["1"]', "[1]"] == [choice.label for choice in shape({"enum": ["1", 1]}).choices]


def test_a_boolean_required_is_no_list() -> None:
    """As draft 3 has it."""
    assert [False] == [item.required for item in read_raw({"properties": {"a": {}}, "required": True}).shape.fields]


def test_a_large_schema_is_followed_less_deeply(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is deeper is any JSON, and told; what is too wide is refused."""
    node: dict[str, Any] = {"type": "string"}
    for _ in range(5):
        node = {"type": "object", "properties": dict.fromkeys("abcd", node)}
    monkeypatch.setattr(raw, "MAX_NODES", 200)
    assert "depth" in {keyword for _, keyword in read_raw(node).notes}
    compiled = compile_schema(node)
    assert any("too large to write out" in loss.note for loss in compiled.losses)
    wide = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(300)}}
    with pytest.raises(SchemaError, match="more than 200 parts"):
        read_raw(wide)
