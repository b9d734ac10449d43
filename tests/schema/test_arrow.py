"""The columns of a table."""

from __future__ import annotations

import datetime as dt
import uuid
from enum import Enum
from typing import Any, Literal, NotRequired

import pyarrow as pa
import pytest
from pydantic import ConfigDict, JsonValue, RootModel, create_model
from typing_extensions import TypedDict

from extract.schema import compile_schema
from schema.small_models import Color, Everything, Part


class Halves(Enum):
    A = 0.5
    B = 1


WORDS = pa.dictionary(pa.int32(), pa.string())
PART = pa.struct(
    [
        pa.field("name", pa.string(), nullable=False, metadata={"description": "its name"}),
        pa.field("weight", pa.decimal128(8, 3)),
    ]
)


@pytest.mark.parametrize(
    ("name", "kind", "nullable"),
    [
        ("text", pa.string(), False),
        ("whole", pa.int64(), False),
        ("real", pa.float64(), False),
        ("flag", pa.bool_(), False),
        ("exact", pa.decimal128(38, 9), False),
        ("money", pa.decimal128(10, 2), False),
        ("wide", pa.decimal256(60, 20), False),
        ("day", pa.date32(), False),
        ("at", pa.timestamp("us", tz="UTC"), False),
        ("aware", pa.timestamp("us", tz="UTC"), False),
        ("naive", pa.timestamp("us"), False),
        ("clock", pa.time64("us"), False),
        ("color", WORDS, False),
        ("size", pa.int64(), False),
        ("plain", WORDS, False),
        ("word", WORDS, False),
        ("number", pa.int64(), False),
        ("yes", pa.bool_(), False),
        ("member", WORDS, False),
        ("maybe", pa.int64(), True),
        ("maybe_color", WORDS, True),
        ("maybe_word", WORDS, True),
        ("maybe_one", WORDS, True),
        ("tags", pa.list_(pa.field("item", pa.string(), nullable=False)), False),
        (
            "grid",
            pa.list_(pa.field("item", pa.list_(pa.field("item", pa.int64(), nullable=False)), nullable=False)),
            True,
        ),
        ("colors", pa.list_(pa.field("item", WORDS, nullable=False)), False),
        ("gaps", pa.list_(pa.field("item", pa.int64())), False),
        ("part", PART, False),
        ("maybe_part", PART, True),
        ("parts", pa.list_(pa.field("item", PART, nullable=False)), False),
    ],
)
def test_each_type_has_its_column(name: str, kind: pa.DataType, nullable: bool) -> None:
    """Exact types, nullable as in the model, all the way down."""
    assert pa.field(name, kind, nullable=nullable).equals(compile_schema(Everything).arrow_schema.field(name))


def test_columns_are_the_fields_in_order() -> None:
    """No field is left out."""
    assert list(Everything.model_fields) == compile_schema(Everything).arrow_schema.names


def test_descriptions_are_metadata() -> None:
    """Of fields at the top, inside Optional and inside structs; none where none is given."""
    schema = compile_schema(Everything).arrow_schema
    assert {b"description": b"a text"} == schema.field("text").metadata
    assert {b"description": b"inner"} == schema.field("maybe").metadata
    assert schema.field("whole").metadata is None
    assert {b"description": b"its name"} == compile_schema(Part).arrow_schema.field("name").metadata
    assert {b"description": b"its name"} == schema.field("part").type.field("name").metadata


def kind_of(annotation: Any) -> pa.DataType:
    return compile_schema(create_model("M", a=(annotation, ...))).arrow_schema.field("a").type


WHOLE = pa.field("value", pa.int64(), nullable=False)


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (dict[str, int], pa.map_(pa.string(), WHOLE)),
        (dict[int, int | None], pa.map_(pa.int64(), pa.int64())),
        (dict[dt.date, int], pa.map_(pa.date32(), WHOLE)),
        (dict[Color, int], pa.map_(pa.string(), WHOLE)),
        (tuple[int, str | None], pa.struct([pa.field("item_0", pa.int64(), nullable=False), ("item_1", pa.string())])),
        (set[str], pa.list_(pa.field("item", pa.string(), nullable=False))),
        (
            int | str,
            pa.struct([pa.field("tag", WORDS, nullable=False), ("integer", pa.int64()), ("text", pa.string())]),
        ),
        (bytes, pa.binary()),
        (dt.timedelta, pa.duration("us")),
        (uuid.UUID, pa.string()),
        (JsonValue, pa.string()),
        (Literal["a", 1], WORDS),
        (Literal[True, False], pa.bool_()),
        (Halves, pa.float64()),
        (None, pa.null()),
        (RootModel[list[int]], pa.list_(pa.field("item", pa.int64(), nullable=False))),
    ],
    ids=str,
)
def test_what_has_parts_has_its_column(annotation: Any, kind: pa.DataType) -> None:
    """Maps, tuples as structs, unions as a tag with parts, and what is written as text."""
    assert kind.equals(kind_of(annotation))


def test_what_may_be_absent_is_null() -> None:
    """A NotRequired field of a TypedDict; undeclared properties are a map."""

    class Typed(TypedDict):
        a: int
        b: NotRequired[int]

    assert [False, True] == [kind_of(Typed).field(name).nullable for name in ("a", "b")]
    schema = compile_schema(create_model("Open", __config__=ConfigDict(extra="allow"), a=(int, ...))).arrow_schema
    assert ["a", "additional_properties"] == schema.names
    assert pa.types.is_map(schema.field("additional_properties").type)
    assert not schema.field("additional_properties").nullable
