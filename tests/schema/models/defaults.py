"""Fields that need not be given."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schema.models.case import Case


class Unit(StrEnum):
    KG = "kg"
    LB = "lb"


class Scalars(BaseModel):
    """A default that is not null, on fields that take no null."""

    text: str = "none"
    empty: str = ""
    whole: int = 0
    real: float = 1.5
    flag: bool = False
    exact: Decimal = Decimal("0.10")
    day: dt.date = dt.date(2024, 2, 29)
    at: dt.datetime = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    unit: Unit = Unit.KG
    word: Literal["a", "b"] = "b"


class Part(BaseModel):
    name: str = "part"
    count: int = Field(1, ge=1)


class Factories(BaseModel):
    """Defaults that are made."""

    tags: list[str] = Field(default_factory=list)
    by_name: dict[str, int] = Field(default_factory=dict)
    some: set[int] = Field(default_factory=set)
    part: Part = Field(default_factory=Part)
    parts: list[Part] = Field(default_factory=lambda: [Part(name="first")])


class Nullable(BaseModel):
    """A default that is not null, on fields that take null as well."""

    text: str | None = "none"
    number: int | None = 7
    part: Part | None = Part(name="given", count=2)
    unit: Unit | None = Unit.LB


class NullDefault(BaseModel):
    """Null by default."""

    text: str | None = None
    part: Part | None = None
    parts: list[Part] | None = None


class Inside(BaseModel):
    """Defaults on the parts of a list and of a dict."""

    parts: list[Part]
    by_name: dict[str, Scalars]
    pair: tuple[Part, Part | None]


class InAnnotation(BaseModel):
    """Given in the annotation."""

    count: Annotated[int, Field(default=3, ge=0)]
    names: Annotated[list[str], Field(default_factory=list, max_length=3)]


class NotOfItsType(BaseModel):
    """A default that the model itself has to read."""

    model_config = ConfigDict(validate_default=True)

    day: dt.date = "2024-01-31"  # type: ignore[assignment]
    number: int = "5"  # type: ignore[assignment]


MODELS = [
    Case("default_scalars", Scalars),
    Case("default_factories", Factories),
    Case("default_nullable", Nullable),
    Case("default_null", NullDefault),
    Case("default_inside", Inside),
    Case("default_in_annotation", InAnnotation),
    Case("default_validated", NotOfItsType),
]
