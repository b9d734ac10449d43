"""Rows read back: the inverse of the cells, as Arrow's `to_pylist` gives them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from extract.schema import compile_schema
from schema.small_models import MODELS, Part
from schema.test_forms import WRITTEN, Cat, Dog, Open, Tree


def through_arrow(compiled: Any, instance: Any) -> Any:
    (row,) = pa.Table.from_pylist([compiled.row_of(instance)], schema=compiled.arrow_schema).to_pylist()
    return compiled.instance_of(row)


@pytest.mark.parametrize(("annotation", "value"), [row[:2] for row in WRITTEN])
def test_a_row_of_each_type_comes_back_through_arrow(annotation: Any, value: Any) -> None:
    """The same instance."""
    model = create_model("M", a=(annotation, ...))
    instance = model.model_construct(a=value)
    assert instance == through_arrow(compile_schema(model), instance)


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(drawn=MODELS, data=st.data())
def test_a_row_of_a_random_model_comes_back(drawn: tuple[type[BaseModel], Any], data: st.DataObject) -> None:
    """Whatever it is made of."""
    model, values = drawn
    instance = data.draw(values)
    assert instance == through_arrow(compile_schema(model), instance)


def test_what_a_row_does_not_say_has_its_default() -> None:
    """Excluded fields and null in place of what may not be null."""

    class Whole(BaseModel):
        a: int
        why: str = Field("none", exclude=True)

    assert Whole(a=1) == compile_schema(Whole).instance_of({"a": 1})
    bare = create_model("Bare", a=(int, ...), why=(str, Field(exclude=True)))
    with pytest.raises(ValidationError, match="why"):
        compile_schema(bare).instance_of({"a": 1})


def test_what_is_cut_off_is_put_back() -> None:
    """The end of a recursion."""
    tree = Tree(name="a", children=[Tree(name="b", children=[])])
    assert tree == through_arrow(compile_schema(Tree, unroll=1), tree)


def test_maps_may_come_as_dicts() -> None:
    """As `to_pylist(maps_as_pydicts="strict")` gives them."""
    compiled = compile_schema(Open)
    assert Open.model_validate({"a": 1, "b": 2}) == compiled.instance_of({"a": 1, "additional_properties": {"b": "2"}})


def test_a_row_of_a_raw_schema_is_plain_json() -> None:
    """Dates and instants are texts again; what is null and not required is absent."""
    raw = {
        "properties": {
            "day": {"type": "string", "format": "date"},
            "at": {"type": "string", "format": "date-time"},
            "kind": {"enum": ["a", 1, None]},
            "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {}], "items": False, "minItems": 2},
            "gone": {"type": "integer"},
        },
        "required": ["day"],
        "patternProperties": {"^x": {"type": "integer"}},
    }
    given = {"day": "2024-01-02", "at": "2024-01-02T03:04:05Z", "kind": 1, "pair": [1, {"a": 0.5}], "x1": 5}
    assert given == through_arrow(compile_schema(raw), given)


def test_a_union_is_read_by_its_tag() -> None:
    """Not by its value."""
    compiled = compile_schema(create_model("M", a=(Cat | Dog | dt.date | str, ...)))
    for value in (Cat(lives=1), dt.date(2024, 1, 2), "2024-01-02"):
        instance = compiled.model(a=value)
        assert instance == through_arrow(compiled, instance)


def test_an_enum_that_the_column_has_by_label() -> None:
    """Labels of what is no text; what is none of them is left for the model."""
    compiled = compile_schema(create_model("M", a=(Literal["a", 1, True], ...)))
    for value in ("a", 1, True):
        assert value is through_arrow(compiled, compiled.model(a=value)).a
    with pytest.raises(ValidationError):
        compiled.instance_of({"a": "b"})


def test_an_aliased_field_goes_by_its_name() -> None:
    """The column has the field's name, the model takes the alias."""

    class Named(BaseModel):
        model_config = ConfigDict(frozen=True)
        total: Decimal = Field(alias="Total due")
        part: Part | None = None

    compiled = compile_schema(Named)
    instance = Named.model_validate({"Total due": Decimal("1.5")})
    assert instance == through_arrow(compiled, instance)
