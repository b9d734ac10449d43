"""Shapes on the wire: what each profile carries, and what is told of the rest."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal, NotRequired

import pytest
from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model
from typing_extensions import TypedDict

from extract.errors import SchemaError
from extract.schema import Loss, compile_schema
from extract.schema.losses import in_words
from extract.schema.numerals import counted
from extract.verbatim import Verbatim
from schema.small_models import Color, Part


def wire(annotation: Any, profile: Any = "gemini", field: Any = ..., **options: Any) -> dict[str, Any]:
    compiled = compile_schema(create_model("M", a=(annotation, field)), profile, **options)
    return dict(compiled.wire_schema["properties"]["a"])


def losses(annotation: Any, profile: Any = "gemini", field: Any = ..., **options: Any) -> list[str]:
    return [str(loss) for loss in compile_schema(create_model("M", a=(annotation, field)), profile, **options).losses]


def test_a_loss_says_where_what_and_what_instead() -> None:
    """Long values are cut."""
    assert '$.a: pattern "x" is checked locally' == str(Loss("$.a", "pattern", "checked locally", "x"))
    assert "$.a: required is rewritten to null" == str(Loss("$.a", "required", "rewritten", None, "to null"))
    assert 250 > len(str(Loss("$.a", "enum", "rewritten", ["x" * 500])))


def test_constraints_are_told_in_words() -> None:
    """Beside the description, or in its place; a pattern that is too long is only checked."""
    assert (
        "Name (at most 5 characters; at least 1 character)"
        == (wire(Annotated[str, Field(min_length=1, max_length=5, description="Name")])["description"])
    )
    assert "Less than 1.5; more than 0.5" == wire(Annotated[float, Field(gt=0.5, lt=1.5)])["description"]
    assert ['$.a: pattern "' + "x" * 130 + '" is checked locally'] == losses(Annotated[str, Field(pattern="x" * 130)])
    assert {"type": "string"} == wire(Annotated[str, Field(pattern="x" * 130)])


@pytest.mark.parametrize(
    ("count", "noun", "said"), [(0, "item", "0 items"), (1, "entry", "1 entry"), (2, "entry", "2 entries")]
)
def test_numbers_with_their_nouns(count: int, noun: str, said: str) -> None:
    """One alone is singular."""
    assert said == counted(count, noun)


@pytest.mark.parametrize("keyword", ["minLength", "maxItems", "minProperties"])
def test_one_of_a_thing_is_no_plural(keyword: str) -> None:
    """In what a description says of a bound."""
    assert not in_words(keyword, 1).endswith("s")
    assert in_words(keyword, 2).endswith("s")


def test_the_enum_of_an_object_or_a_list_is_told_as_lost() -> None:
    """The wire closes single values only; the full schema judges the rest."""
    whole = Field(json_schema_extra={"enum": [{"a": 1}]})
    assert '$.a: enum [{"a": 1}] is checked locally' in losses(Part, field=whole)
    assert any("enum" in loss for loss in losses(list[Part] | None, field=whole))
    assert not any("enum" in loss for loss in losses(Literal["a", "b"]))


def test_bounds_of_whole_numbers_include_their_limit() -> None:
    """Where only such bounds are carried; the tighter of two wins."""
    assert {"type": "integer", "minimum": 1, "maximum": 9} == wire(Annotated[int, Field(gt=0, lt=10)])
    assert {"type": "integer", "minimum": 3} == wire(Annotated[int, Field(gt=2, ge=1)])
    assert {"type": "integer", "minimum": 5} == wire(Annotated[int, Field(ge=5, gt=2)])
    assert {"type": "integer", "exclusiveMinimum": 0} == wire(Annotated[int, Field(gt=0)], "openai")
    assert "minimum" not in wire(Annotated[int, Field(gt=0)], relax=2)
    assert "More than 0.5" == wire(Annotated[int, Field(json_schema_extra={"exclusiveMinimum": 0.5})])["description"]


@pytest.mark.parametrize(
    ("profile", "node"),
    [
        ("gemini", {"type": ["string", "null"], "enum": ["red", "blue", None], "description": "A colour."}),
        ("openai", {"type": ["string", "null"], "enum": ["red", "blue", None], "description": "A colour."}),
        ("function", {"type": "string", "enum": ["red", "blue"], "nullable": True, "description": "A colour."}),
    ],
)
def test_null_is_said_as_the_profile_can(profile: Any, node: dict[str, Any]) -> None:
    """As a second type, or as `nullable` and a field that may be left out."""
    assert node == wire(Color | None, profile)
    compiled = compile_schema(create_model("M", a=(Color | None, ...), b=(int, ...)), profile)
    assert ("a" in compiled.wire_schema["required"]) == (profile != "function")


def test_null_beside_anyof() -> None:
    """In one of its branches."""
    node = wire(int | str | None, "openai")
    assert [{"type": ["integer", "null"]}, {"type": "string"}] == node["anyOf"]
    assert {"type": "null"} == wire(None)
    assert {"type": ["string", "null"], "enum": [None]} == wire(None, "openai")  # which has no null by itself


@pytest.mark.parametrize("profile", ["gemini", "page", "function"])
def test_a_union_without_anyof_has_a_tag(profile: Any) -> None:
    """One part for each branch, of which one is filled."""
    node = wire(int | Part, profile)
    assert {"type": "string", "enum": ["integer", "Part"]} == node["properties"]["tag"]
    assert ["tag", "integer", "Part"] == list(node["properties"])
    assert (["tag"] if profile == "function" else ["tag", "integer", "Part"]) == node["required"]
    assert "`tag` says which part is filled, the others are null" == node["description"]
    assert "since there is no anyOf" in " ".join(losses(int | Part, profile))


@pytest.mark.parametrize("profile", ["openai", "llamacpp", "full"])
def test_a_union_that_an_answer_tells_apart_is_anyof(profile: Any) -> None:
    """And a tag where it does not."""
    assert [{"type": "integer"}, {"type": "string"}] == wire(int | str, profile)["anyOf"]
    assert "tag" in wire(dt.date | str, profile)["properties"]
    assert "one of them at a time" in losses(dt.date | str, profile)[0]


def test_a_map_as_entries() -> None:
    """Bounds of its size become bounds of the list; keys have their own schema."""
    size = Field(min_length=1, max_length=5)
    node = wire(dict[Color, int], field=size)
    assert ("array", 1, 5) == (node["type"], node["minItems"], node["maxItems"])
    assert ["red", "blue"] == node["items"]["properties"]["key"]["enum"]
    assert "$.a: minProperties 1 is rewritten to minItems" in losses(dict[Color, int], field=size)
    relaxed = wire(dict[Color, int], field=size, relax=1)
    assert "A list of key and value; at most 5 entries; at least 1 entry" == relaxed["description"]
    full = wire(dict[str, int], "full", size)
    assert {
        "type": "object",
        "additionalProperties": {"type": "integer"},
        "minProperties": 1,
        "maxProperties": 5,
    } == full


def test_a_tuple_as_an_object() -> None:
    """Where there are no prefixItems."""
    assert ["item_0", "item_1"] == wire(tuple[int, str], "openai")["required"]
    assert "minItems" not in wire(tuple[int, str], "openai")
    assert [{"type": "integer"}, {"type": "string"}] == wire(tuple[int, str])["prefixItems"]


def test_enums_that_are_not_of_a_type_of_the_profile() -> None:
    """Become labels."""
    assert {"type": "string", "enum": ["a", "1"]} == wire(Literal["a", 1], "full")
    assert {"type": "string", "enum": ["1", "2"]} == wire(Literal[1, 2], "function")
    assert "$.a: enum [1, 2] is rewritten to texts" == losses(Literal[1, 2], "function")[0]
    assert '$.a: enum ["red", "blue"] is rewritten to the names of its members' == losses(Color, enums="name")[0]


def test_big_enums_are_told_as_a_list() -> None:
    """On the last rung, above 50 values."""
    big = Literal[tuple(f"v{number}" for number in range(60))]  # type: ignore[valid-type]
    assert "enum" not in wire(big, relax=4)
    assert "enum" in wire(big, relax=3)
    assert "enum" in wire(Color, relax=4)
    assert [("$.a", "enum", "moved to description")] == [
        (loss.path, loss.keyword, loss.action)
        for loss in compile_schema(create_model("M", a=(big, ...)), relax=4).losses
    ]


class Typed(TypedDict):
    a: NotRequired[int | None]


def test_absent_or_null_is_a_list_of_at_most_one() -> None:
    """Without the bound where bounds are given up; nothing of it in a function call."""
    node = compile_schema(Typed).wire_schema["properties"]["a"]
    assert {"type": "array", "items": {"type": ["integer", "null"]}, "maxItems": 1} == node
    assert "maxItems" not in compile_schema(Typed, relax=1).wire_schema["properties"]["a"]
    assert {"type": "integer", "nullable": True} == compile_schema(Typed, "function").wire_schema["properties"]["a"]


def test_any_json_is_text() -> None:
    """In every profile."""
    assert {"type": "string", "description": "JSON text"} == wire(JsonValue) == wire(JsonValue, "full")


@pytest.mark.parametrize("annotation", [JsonValue, JsonValue | None], ids=str)
def test_keywords_of_any_json_are_judged_and_told(annotation: Any) -> None:
    """Those that a field gives itself; null stays what it is."""
    field = Field(json_schema_extra={"maxLength": 3})
    compiled = compile_schema(create_model("M", a=(annotation, field)))
    assert {"maxLength": 3} == compiled.json_schema["properties"]["a"]
    assert '$.a: type "any JSON" is rewritten to JSON text' in losses(annotation, field=field)
    assert "$.a: maxLength 3 is moved to description" in losses(annotation, field=field)
    found = [not list(compiled.verdict.issues({"a": value}, 1)) for value in ("abc", "abcd", 12345, None)]
    assert [True, False, True, True] == found


def test_open_objects_take_entries_where_they_must_be_closed() -> None:
    """A raw schema that says nothing of other properties."""
    raw = {"properties": {"a": {"type": "integer"}}, "required": ["a"]}
    assert compile_schema(raw).wire_schema["additionalProperties"] is True
    closed = compile_schema(raw, "openai")
    assert closed.wire_schema["additionalProperties"] is False
    assert ["a", "additional_properties"] == closed.wire_schema["required"]
    assert "to a list of key and value called 'additional_properties'" in [loss.note for loss in closed.losses]


def test_the_name_of_the_entries_is_no_fields() -> None:
    """It grows until it is not."""
    config = ConfigDict(extra="allow")
    model = create_model("M", __config__=config, additional_properties=(int, ...))
    assert ["additional_properties", "additional_properties_"] == compile_schema(model).wire_schema["required"]


MARK = Annotated[str, Verbatim("line")]


class Marked(TypedDict):
    a: NotRequired[MARK | None]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (dict[str, MARK], r"^\$\.a: Verbatim inside a dict"),
        (tuple[int, MARK], r"^\$\.a: Verbatim inside a tuple"),
        (MARK | int, r"^\$\.a: Verbatim inside a union"),
        (Marked, r"^\$\.a\.a: Verbatim inside a field that may be absent or null"),
    ],
)
def test_a_mark_where_nothing_can_be_bound_is_refused(annotation: Any, message: str) -> None:
    """With the place."""
    with pytest.raises(SchemaError, match=message):
        wire(annotation)


def test_marks_among_undeclared_properties_are_refused() -> None:
    """There is no field to bind."""

    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        a: int
        __pydantic_extra__: dict[str, MARK]

    with pytest.raises(SchemaError, match="Verbatim inside a dict"):
        compile_schema(Open)
