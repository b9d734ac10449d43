"""Names that are defined later, and names for types."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from schema.models.case import Case


class Order(BaseModel):
    """The types of its fields stand further down."""

    lines: list[Line]
    main: Line | None
    quoted: "Later"  # noqa: UP037


class Line(BaseModel):
    text: str
    later: Later | None = None


class Later(BaseModel):
    value: int


T = TypeVar("T")
Name = TypeAliasType("Name", Annotated[str, Field(min_length=1, description="A name")])
Names = TypeAliasType("Names", list[Name])
Either = TypeAliasType("Either", int | str)
Maybe = TypeAliasType("Maybe", T | None, type_params=(T,))


class Aliased(BaseModel):
    """Types with names of their own."""

    name: Name
    names: Names
    either: Either
    maybe: Names | None = None
    generic: Maybe[int]


MODELS = [Case("forward_refs", Order), Case("type_aliases", Aliased)]
