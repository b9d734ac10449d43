"""Unions: labels, and which branches an answer alone tells apart."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model

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
        (Literal["a", 1] | bool, True),
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
        *[(str, True), (int, True), (list[list[int]], True), (Literal["a", 1], True)],
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
