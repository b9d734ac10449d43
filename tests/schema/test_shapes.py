"""Shapes: what a model's types become, and what is refused with the field's path."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime as dt
import uuid
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Optional, Union

import pytest
from pydantic import AliasChoices, AliasPath, AwareDatetime, BaseModel, Field, RootModel, create_model
from typing_extensions import TypedDict

from extract.errors import SchemaError
from extract.schema.shapes import Shape, bindings, shape_of_model
from extract.verbatim import Verbatim
from schema.small_models import Color, Part


class Tree(BaseModel):
    name: str
    children: list["Tree"]  # noqa: UP037  # the class does not exist yet


class Ping(BaseModel):
    pong: Pong | None


class Pong(BaseModel):
    ping: Ping


class Empty(BaseModel):
    pass


class NoMember(Enum):
    pass


class Mixed(Enum):
    A = "a"
    B = 1


class Halves(Enum):
    A = 0.5


class Typed(TypedDict):
    a: int


@dataclasses.dataclass
class Data:
    a: int


UNSUPPORTED = [
    int | str,
    Union[int, str, None],  # noqa: UP007
    dict[str, int],
    dict,
    tuple[int, int],
    tuple,
    set[int],
    frozenset[str],
    list,
    collections.abc.Sequence[int],
    bytes,
    Any,
    object,
    dt.timedelta,
    uuid.UUID,
    complex,
    None,
    Empty,
    Tree,
    Ping,
    NoMember,
    Mixed,
    Halves,
    Typed,
    Data,
    RootModel[list[int]],
    Literal["a", 1],
    Literal[True, 1],
    Literal[b"x"],
    Literal[None],
    Annotated[Color, Verbatim("line")],
    Annotated[Literal["a"], Verbatim("line")],
    Annotated[bool, Verbatim("line")],
    Annotated[dt.datetime, Verbatim("date")],
    Annotated[AwareDatetime, Verbatim("date")],
    Annotated[Part, Verbatim("line")],
    Annotated[list[str], Verbatim("line")],
    Annotated[Decimal, Field(max_digits=77, decimal_places=2)],
    Annotated[Decimal, Field(max_digits=5, decimal_places=6)],
]


@pytest.mark.parametrize("kind", UNSUPPORTED, ids=str)
def test_an_unsupported_type_is_refused_with_the_path_of_its_field(kind: Any) -> None:
    """At the top, in a list, in a nested model, optional or excluded: never a silent string."""
    for annotation, path in ((kind, "field"), (list[kind], r"field\[\]"), (Optional[kind], "field")):  # noqa: UP045  # `None | None` is no type
        model = create_model("Model", good=(int, ...), field=(annotation, ...))
        with pytest.raises(SchemaError, match=f"^{path}") as caught:
            shape_of_model(model)
        assert caught.value.path.startswith("field")
    inner = create_model("Inner", field=(kind, ...))
    with pytest.raises(SchemaError, match=r"^outer\[\]\.field"):
        shape_of_model(create_model("Model", outer=(list[inner], ...)))  # type: ignore[valid-type]
    with pytest.raises(SchemaError, match=r"^field"):
        shape_of_model(create_model("Model", good=(int, ...), field=(kind, Field(exclude=True))))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Tree, r"^children\[\]: recursive model: Tree -> Tree"),
        (Ping, "^pong.ping: recursive model: Ping -> Pong -> Ping"),
        (Empty, "^Empty: the model has no fields"),
        (RootModel[int], "is no object"),
        (create_model("M", a=(int, Field(exclude=True))), "^M: the model has no fields"),
        (create_model("M", a=(int, Field(validation_alias=AliasChoices("x", "y")))), "^a: an alias with choices"),
        (create_model("M", a=(int, Field(validation_alias=AliasPath("x", 0)))), "^a: an alias with choices"),
        (create_model("M", a=(int, Field(alias="b")), b=(int, ...)), "^b: has the alias 'b' of the field 'a'"),
        (create_model("M", a=(int, ...), b=(Annotated[str, Verbatim("line")], Field(exclude=True))), "^b: Verbatim on"),
    ],
)
def test_a_model_that_makes_no_table_is_refused(model: type[BaseModel], message: str) -> None:
    """Recursion, no fields, aliases with choices or used twice."""
    with pytest.raises(SchemaError, match=message):
        shape_of_model(model)


def shape(annotation: Any, **options: Any) -> Shape:
    ((_, _, found),) = shape_of_model(create_model("M", a=(annotation, Field(**options)))).fields
    return found


@pytest.mark.parametrize(
    ("annotation", "options", "digits"),
    [
        (Decimal, {}, (38, 9)),
        (Decimal, {"decimal_places": 2}, (38, 2)),
        (Decimal, {"max_digits": 10, "decimal_places": 2}, (10, 2)),
        (Decimal, {"max_digits": 5}, (10, 5)),
        (Decimal, {"max_digits": 20}, (29, 9)),
        (Decimal | None, {"max_digits": 10, "decimal_places": 0}, (10, 0)),
        (Annotated[Decimal, Field(max_digits=76, decimal_places=4)] | None, {}, (76, 4)),
    ],
)
def test_digits_of_a_decimal(annotation: Any, options: dict[str, int], digits: tuple[int, int]) -> None:
    """Precision and scale hold everything that the field admits."""
    assert digits == shape(annotation, **options).digits


def test_scalars_lists_and_objects() -> None:
    """Kinds, nullability, items and the fields of objects."""
    assert Shape("int", description="d") == shape(int, description="d")
    assert Shape("int", nullable=True, description="in") == shape(Annotated[int, Field(description="in")] | None)
    assert Shape("str", description="out") == shape(Annotated[str, Field(description="in")], description="out")
    assert Shape("list", item=Shape("str", nullable=True)) == shape(list[str | None])
    assert Shape("enum", values=("red", "blue")) == shape(Color)
    assert Shape("enum", values=("x",), nullable=True) == shape(Literal["x", None])
    assert "datetime" == shape(dt.datetime).kind
    assert ["name", "weight"] == [name for name, _, _ in shape(Part | None).fields]


def test_an_excluded_field_has_no_column() -> None:
    """It is asked for and judged, but not written."""
    model = create_model("M", a=(int, ...), why=(str, Field(exclude=True)))
    assert ["a"] == [name for name, _, _ in shape_of_model(model).fields]


def test_bindings_are_found_at_any_depth() -> None:
    """Paths are those of the wire."""
    mark = Verbatim("line")
    inner = create_model("Inner", x=(Annotated[str, mark], Field(alias="X")), y=(int, ...))
    found = bindings(shape_of_model(create_model("M", a=(inner, ...), b=(list[inner] | None, ...))))  # type: ignore[valid-type]
    assert [("a", "X"), ("b", "*", "X")] == [path for path, _ in found]
    assert ["str", "str"] == [bound.target for _, bound in found]
