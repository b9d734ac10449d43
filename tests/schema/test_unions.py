"""Unions: labels, which branches an answer alone tells apart, and the way there and back."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NotRequired

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    RootModel,
    create_model,
)
from typing_extensions import TypedDict

from extract.parse import parse_json
from extract.schema import compile_schema
from extract.schema.nodes import json_text
from extract.schema.profiles import PROFILES
from extract.schema.shapes import Choice, Shape
from extract.schema.types import read_type
from extract.schema.unions import json_class, native, spliced, told_apart, union_of, wire_class
from schema.small_models import Color, Part, Size


def shape(annotation: Any) -> Shape:
    return read_type(create_model("M", a=(annotation, ...))).shape.fields[0].shape


def are_apart(annotation: Any) -> bool:
    return told_apart([(branch.shape, branch.shape.schema) for branch in shape(annotation).branches])


def labels(annotation: Any) -> list[str]:
    return [branch.label for branch in shape(annotation).branches]


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Bird(BaseModel):
    kind: Literal["bird", "cat"]


class Tagged(BaseModel):
    tag: Literal["tag"]


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    kind: str


class Words(RootModel[list[str]]):
    pass


@pytest.mark.parametrize(
    ("annotation", "found"),
    [
        (int | str, ["integer", "text"]),
        (float | bool | None, ["number", "boolean"]),
        (Decimal | dt.date, ["decimal", "date"]),
        (Part | Color, ["Part", "Color"]),
        (Cat | Dog, ["cat", "dog"]),
        (Cat | Annotated[Cat, Field(description="again")], ["cat", "cat_2"]),
        (Tagged | int, ["tag_2", "integer"]),
        (list[Part] | dict[str, int], ["list_of_Part", "map_of_integer"]),
        (list[int] | tuple[int, int], ["list_of_integer", "tuple"]),
    ],
    ids=str,
)
def test_each_branch_has_a_label_of_its_own(annotation: Any, found: list[str]) -> None:
    """Classes, discriminators, kinds; never `tag`, never one twice."""
    assert found == labels(annotation)


def test_two_plain_numbers_are_one() -> None:
    """With a bound of its own a number stays a branch."""
    assert "float" == shape(int | float).kind
    assert {"type": ["number", "null"]} == {"type": shape(int | float | None).schema["type"]}
    assert "union" == shape(Annotated[int, Field(ge=1)] | float).kind


def test_null_belongs_to_the_union() -> None:
    """Not to its branches."""
    found = union_of([Shape("str", {"type": "string"}, nullable=True), Shape("bool", {"type": "boolean"})], True, {})
    assert found.nullable
    assert not any(branch.shape.nullable for branch in found.branches)
    assert {"anyOf": [{"type": "string"}, {"type": "boolean"}, {"type": "null"}]} == found.schema


def test_a_union_in_a_union_is_one() -> None:
    """But for one that is a class of its own."""
    inner = shape(int | str)
    assert ["int", "str", "bool"] == [each.kind for each in spliced([inner, Shape("bool")])]
    assert ["union"] == [each.kind for each in spliced([shape(RootModel[int | str])])]


@pytest.mark.parametrize(
    ("annotation", "apart"),
    [
        (int | str, True),
        (int | bool, True),
        (Literal["a"] | str, True),
        (list[int] | list[str], True),
        (list[int] | dict[str, int], True),
        (Cat | Dog, True),
        (Part | Cat, True),
        (dt.date | str, False),
        (Decimal | float, False),
        (Color | str, False),
        (Cat | Bird, False),
        (Part | Loose, False),
        (Words | list[str], False),
        (tuple[int, int] | list[int], False),
        (dict[str, int] | Part, False),
        (Literal["a", 1] | bool, False),  # as it stands; on the wire the first is a label
        (Literal["a", 1] | str, False),
        (bytes | None | str, False),
    ],
    ids=str,
)
def test_which_branches_an_answer_tells_apart(annotation: Any, apart: bool) -> None:
    """By JSON type, by values that are their own JSON, by a tag, by the names of their fields."""
    assert apart == are_apart(annotation)


def test_optional_tags_tell_nothing() -> None:
    """A field that may be missing or null is no tag."""
    one = create_model("One", kind=(Literal["one"], "one"))
    two = create_model("Two", kind=(Literal["two"] | None, ...))
    assert not are_apart(one | two)


@pytest.mark.parametrize(
    ("annotation", "found"),
    [
        *[(str, "string"), (int, "number"), (bool, "boolean"), (None, "null"), (list[int], "array"), (Part, "object")],
        *[(dict[str, int], "object"), (tuple[int, int], "array"), (int | str, "any"), (Size, "number")],
        *[(Literal["a", 1], "any"), (dt.date, "string"), (Literal[True], "boolean")],
    ],
    ids=str,
)
def test_the_json_class_of_a_shape(annotation: Any, found: str) -> None:
    """Of an enum by its values, `any` where they differ."""
    assert found == json_class(shape(annotation))
    assert "any" == json_class(Shape("enum", choices=(Choice("x", [1], [1]),)))


@pytest.mark.parametrize(
    ("annotation", "is_native"),
    [
        *[(str, True), (int, True), (list[list[int]], True), (Literal["a", "b"], True)],
        (Literal["a", 1], False),  # which goes by labels
        *[(dt.date, False), (Color, False), (set[int], False), (Words, False), (Part, False), (Literal[b"x"], False)],
    ],
    ids=str,
)
def test_values_that_are_their_own_json(annotation: Any, is_native: bool) -> None:
    """In Python what they are in JSON."""
    assert is_native == native(shape(annotation))


def test_the_class_of_a_wire_schema() -> None:
    """`any` where an answer may be several things."""
    schemas: list[dict[str, Any]] = [
        {"type": "integer"},
        {"type": "string"},
        {"type": ["string", "null"]},
        {"anyOf": []},
    ]
    assert ["number", "string", "any", "any"] == [wire_class(schema) for schema in schemas]


Code = Annotated[str, Field(pattern="^[a-z]{2}$")]
Answer = Enum("Answer", {"YES": True, "NO": False})


class Left(TypedDict):
    word: NotRequired[Literal[""]]


class Word(RootModel[str]):
    pass


class Whole(RootModel[int | None]):
    pass


class Text(RootModel[str | None]):
    pass


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("annotation", "values", "options"),
    [
        (Code | Decimal | Annotated[str, Field(min_length=3)], ["ab", "abc", Decimal("0.5")], {}),
        (Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=-5)] | list[bytes], [1, 0.5, -0.5, [b"x"]], {}),
        (Word | list[str] | str, [Word("x"), "x", ["x"]], {}),
        (list[Word] | list[str], [[Word("x")], ["x"]], {}),
        (dict[str, Word] | dict[str, str], [{"a": Word("x")}, {"a": "x"}], {}),
        (Left | dict[Color, int], [{}, {"word": ""}, {Color.RED: 1}], {}),
        (tuple[Word, int] | tuple[str, int], [(Word("x"), 1), ("x", 1)], {}),
        (list[Word | int] | list[str], [[Word("x"), 1], ["x"]], {}),
        (bool | Answer | float, [True, Answer.YES, 0.5], {"enums": "name"}),
        (float | Literal[True], [1.0, True, 0.5], {}),
        (list[Annotated[float, Field(ge=1)] | Literal[True]], [[1.0, True, 1.5]], {}),
        (Answer | Literal[2, 1], [Answer.YES, 1, 2], {}),
        (Literal["a", 1, True] | str, ["a", "1", "true", 1, True], {}),
        (list[Literal["a", 1]] | list[str], [["a"], ["1"], [1]], {}),
        (JsonValue | list[bytes], [None, 5, "null", [b"x"]], {}),
        (JsonValue | Literal[Color.RED], [Color.RED, "red", {"a": [1]}], {}),
        (JsonValue | list[Color], [[Color.RED], ["red"], Size.S], {}),
        (PurePosixPath | Color, [Color.RED, PurePosixPath("a")], {}),
        (IPv4Interface | IPv4Address | bytes, [IPv4Interface("1.1.1.1/8"), IPv4Address("1.1.1.1"), b"four"], {}),
        (uuid.UUID | bytes, [uuid.UUID(int=1), bytes(16)], {}),
        (RootModel[JsonValue | list[bytes]], [None, 5], {}),
        (RootModel[JsonValue] | int, [RootModel[JsonValue](None), RootModel[JsonValue]([1]), 5], {}),
    ],
    ids=str,
)
def test_a_branch_is_found_again(profile: Any, annotation: Any, values: list[Any], options: dict[str, Any]) -> None:
    """In an answer, in its JSON and in a row: the same value of the same type."""
    model = create_model("M", a=(annotation, ...))
    compiled = compile_schema(model, profile, **options)
    for value in values:
        instance = model(a=value)
        answer = compiled.answer_form(instance)
        assert repr(instance) == repr(compiled.restore(answer))
        assert repr(instance) == repr(compiled.restore(parse_json(json_text(answer))))
        assert repr(instance) == repr(compiled.instance_of(compiled.row_of(instance)))


class Right(BaseModel):
    word: str
    number: int


class One(BaseModel):
    kind: Literal[1]


class Yes(BaseModel):
    kind: Literal[True]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("annotation", "value"), [(Left | Right, {}), (Left | Right, {"word": ""}), (One | Yes, Yes(kind=True))], ids=str
)
def test_a_tag_that_is_left_out_or_true_is_one(profile: Any, annotation: Any, value: Any) -> None:
    """Null stands for what is left out; True is not 1."""
    model = create_model("M", a=(annotation, ...))
    compiled = compile_schema(model, profile)
    instance = model(a=value)
    assert repr(instance) == repr(compiled.restore(compiled.answer_form(instance)))


def test_a_tag_says_whose_null_it_is() -> None:
    """Pydantic would take the first class that may be null."""
    model = create_model("M", a=(Whole | Text, ...))
    compiled = compile_schema(model, "gemini")
    for value in (Whole(None), Text(None), Whole(5), Text("x")):
        instance = model(a=value)
        answer = compiled.answer_form(instance)
        assert repr(instance) == repr(compiled.restore(answer))
        assert repr(instance) == repr(compiled.restore(parse_json(json_text(answer))))
        assert repr(instance) == repr(compiled.instance_of(compiled.row_of(instance)))


def test_no_branch_is_taken_for_another() -> None:
    """A subclass has a branch of its own or none, inside a list too."""
    compiled = compile_schema(create_model("M", a=(list[Part] | int, ...)))
    small = create_model("Small", __base__=Part)
    instance = compiled.model.model_construct(a=[small(name="x", weight=None)])
    with pytest.raises(ValueError, match="list is no branch"):
        compiled.answer_form(instance)


def test_a_value_that_is_its_own_json_is_read_once() -> None:
    """By the model alone: a validator that changes it does so once."""
    cried = Annotated[str, AfterValidator(lambda text: f"{text}!")]
    for annotation in (cried | Part, cried | Decimal, cried | Answer):
        assert "x!" == compile_schema(create_model("M", a=(annotation, ...)), "openai").restore({"a": "x"}).a


def test_a_float_beside_decimals_as_text_is_a_float() -> None:
    """Though an answer's numbers are read as Decimals."""
    compiled = compile_schema(create_model("M", a=(float | Decimal, ...)), "openai", decimals="string")
    found = [compiled.restore(parse_json(text)).a for text in ('{"a": 0.5}', '{"a": "0.5"}')]
    assert [repr(0.5), repr(Decimal("0.5"))] == list(map(repr, found))
    compiled = compile_schema(
        create_model("M", a=(Decimal | Annotated[int, Field(ge=9)] | float, ...)), "openai", decimals="string"
    )
    found = [compiled.restore(parse_json(f'{{"a": {text}}}')).a for text in ("60.0", "60", '"60.0"')]
    assert [repr(60.0), repr(60), repr(Decimal("60.0"))] == list(map(repr, found))


def test_texts_without_a_tag_are_read_by_the_model() -> None:
    """Of an endpoint that did not heed the schema."""
    compiled = compile_schema(create_model("M", a=(Code | Annotated[str, Field(min_length=3)], ...)))
    assert ["ab", "abc"] == [compiled.restore({"a": text}).a for text in ("ab", "abc")]


def test_values_of_several_types_stand_by_their_labels() -> None:
    """Beside another JSON type there is no need of a tag; beside texts there is."""
    schemas = [
        compile_schema(create_model("M", a=(kind, ...)), "openai").wire_schema["properties"]["a"]
        for kind in (Literal["a", 1] | bool, Literal["a", 1] | str)
    ]
    assert [True, False] == ["anyOf" in schema for schema in schemas]
