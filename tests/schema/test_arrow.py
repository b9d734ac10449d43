"""The columns of a table."""

from __future__ import annotations

import pyarrow as pa
import pytest

from extract.schema import compile_schema
from schema.small_models import Everything, Part

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
