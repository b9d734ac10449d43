"""Shapes: where the parts of a schema stand, and what is bound to the source."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, create_model

from extract.schema.shapes import (
    ABSENT,
    Shape,
    any_bound,
    bindings,
    extra_column,
    in_dictionary,
    json_types,
)
from extract.schema.types import read_type
from extract.verbatim import Verbatim
from schema.small_models import Color, Part, Size

MARK = Verbatim("line")


def shape(annotation: Any) -> Shape:
    return read_type(create_model("M", a=(annotation, ...))).shape.fields[0].shape


def test_bindings_are_found_at_any_depth() -> None:
    """Paths are those of the wire; what is read and from which shape."""
    inner = create_model("Inner", x=(Annotated[str, MARK], Field(alias="X")), y=(int, ...))
    found = bindings(read_type(create_model("M", a=(inner, ...), b=(list[inner] | None, ...))).shape)  # type: ignore[valid-type]
    assert [("a", "X"), ("b", "*", "X")] == [path for path, _ in found]
    assert ["str", "str"] == [bound.target for _, bound in found]


def test_a_mark_is_seen_where_bindings_do_not_look() -> None:
    """In a dict, a tuple and a union as well."""
    bound = Annotated[str, MARK]
    kinds: list[Any] = [dict[str, bound], tuple[int, bound], bound | int, list[dict[str, bound]]]
    assert [True] * 4 == [any_bound(shape(kind)) for kind in kinds]
    assert [[]] * 4 == [bindings(shape(kind)) for kind in kinds]
    assert not any_bound(shape(dict[str, Part]))


def test_the_parts_of_a_shape_have_their_steps() -> None:
    """Items and entries by `*`, parts of a tuple by number, fields by their name in JSON, branches without a step."""

    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        a: int = Field(alias="A")

    steps = {kind: [step for step, _ in shape(annotation).children()] for kind, annotation in _PARTED.items()}
    assert {"list": ["*"], "tuple": ["0", "1"], "dict": ["*"], "union": ["", ""], "scalar": []} == steps
    assert ["A", "*"] == [step for step, _ in read_type(Open).shape.children()]


_PARTED: dict[str, Any] = {
    "list": list[int],
    "tuple": tuple[int, str],
    "dict": dict[str, int],
    "union": int | str,
    "scalar": int,
}


def test_the_types_that_a_node_names() -> None:
    """One, several or none."""
    assert [{"string"}, {"string", "null"}, set()] == [
        json_types(node) for node in ({"type": "string"}, {"type": ["string", "null"]}, {})
    ]


def test_the_column_of_undeclared_properties_has_a_name_of_its_own() -> None:
    """No field is called so."""

    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        additional_properties: int

    assert "additional_properties_" == extra_column(read_type(Open).shape)
    assert "additional_properties" == extra_column(read_type(Part).shape)


def test_enums_in_a_dictionary() -> None:
    """Texts, and values of several types; numbers and booleans have a column type."""
    kinds: list[Any] = [Color, Literal["a", 1], Size, Literal[True], Literal[1, True]]
    assert [True, True, False, False, True] == [in_dictionary(shape(kind)) for kind in kinds]


def test_what_is_asked_and_what_has_a_column() -> None:
    """Excluded fields are asked for, computed ones have a column."""
    found = read_type(_Computing).shape
    assert ["a", "why"] == [item.name for item in found.asked]
    assert ["a", "twice"] == [item.name for item in found.columns]
    assert "ABSENT" == repr(ABSENT)


class _Computing(BaseModel):
    a: int
    why: dt.date = Field(exclude=True)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> int:
        return 2 * self.a
