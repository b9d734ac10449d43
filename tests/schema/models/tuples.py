"""Tuples, fixed and open."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, NamedTuple

from pydantic import BaseModel, Field

from schema.models.case import Case


class Part(BaseModel):
    name: str


class Fixed(BaseModel):
    """A place for each item."""

    pair: tuple[int, str]
    single: tuple[float]
    dates: tuple[dt.date, dt.date | None]
    described: tuple[Annotated[int, Field(ge=0, description="How many")], Annotated[str, Field(description="Of what")]]
    parts: tuple[Part, list[Part], Decimal]
    maybe: tuple[int, int] | None
    default: tuple[int, int] = (0, 0)


class Variadic(BaseModel):
    """Any number of items of one type."""

    numbers: tuple[int, ...]
    parts: tuple[Part, ...] = ()
    bounded: tuple[str, ...] = Field(min_length=1, max_length=3)


class Nested(BaseModel):
    """Tuples in tuples and lists."""

    grid: tuple[tuple[int, int], tuple[int, int]]
    points: list[tuple[float, float]]
    by_name: dict[str, tuple[int, str]]
    open: tuple[tuple[int, ...], ...]


class Point(NamedTuple):
    """A place."""

    x: float
    y: float
    label: str = "here"


class Span(NamedTuple):
    start: Point
    end: Point | None


class Named(BaseModel):
    """Tuples with named places."""

    point: Point
    span: Span
    points: list[Point]
    maybe: Point | None = None


MODELS = [
    Case("tuple_fixed", Fixed),
    Case("tuple_variadic", Variadic),
    Case("tuple_nested", Nested),
    Case("tuple_named", Named),
    Case("tuple_at_the_top", tuple[int, str, dt.date | None]),
]
