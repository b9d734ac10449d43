"""Bounds on numbers, texts and lists."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Interval, Le, Len, Lt, MaxLen, MinLen, MultipleOf
from pydantic import BaseModel, Field, NonNegativeFloat, PositiveInt, conint, conlist, constr

from schema.models.case import Case


class Numbers(BaseModel):
    """Closed and open bounds, and steps."""

    closed: int = Field(ge=-3, le=3)
    open: int = Field(gt=0, lt=10)
    step: int = Field(multiple_of=5, ge=0, le=100)
    real: float = Field(ge=-1.5, le=1.5)
    real_open: float = Field(gt=0, lt=1)
    real_step: float = Field(multiple_of=0.5, ge=0, le=100)
    one_side: float = Field(ge=0)
    maybe: int | None = Field(ge=1)
    huge: int = Field(le=2**53)


class Texts(BaseModel):
    """Length and pattern."""

    least: str = Field(min_length=1)
    most: str = Field(max_length=8)
    exactly: str = Field(min_length=3, max_length=3)
    pattern: str = Field(pattern=r"^(a|b)+[0-9]?$")
    part: str = Field(pattern=r"x{2,}")
    all: str = Field(min_length=2, max_length=6, pattern=r"^[0-9a-f]*$")


class Lists(BaseModel):
    """Number of items, and bounds of the items."""

    least: list[int] = Field(min_length=1)
    most: list[int] = Field(max_length=2)
    exactly: list[str] = Field(min_length=2, max_length=2)
    items: list[Annotated[int, Field(ge=0, le=9)]]
    both: list[Annotated[str, Field(max_length=3)]] = Field(min_length=1, max_length=4)
    nested: list[Annotated[list[Annotated[int, Field(gt=0)]], Field(max_length=2)]] = Field(max_length=2)
    unique: list[int] = Field(json_schema_extra={"uniqueItems": True})


class AnnotatedTypes(BaseModel):
    """In the words of the library annotated_types."""

    ge: Annotated[int, Ge(1)]
    gt: Annotated[int, Gt(1)]
    le: Annotated[float, Le(1)]
    lt: Annotated[float, Lt(1)]
    interval: Annotated[int, Interval(ge=1, lt=5)]
    step: Annotated[int, MultipleOf(3)]
    long: Annotated[str, MinLen(2)]
    short: Annotated[list[int], MaxLen(2)]
    length: Annotated[list[str], Len(1, 3)]


class ReadyMade(BaseModel):
    """Pydantic's own names."""

    positive: PositiveInt
    share: NonNegativeFloat
    whole: conint(ge=1, le=5)  # type: ignore[valid-type]
    text: constr(min_length=1, max_length=4)  # type: ignore[valid-type]
    items: conlist(int, min_length=1, max_length=3)  # type: ignore[valid-type]


MODELS = [
    Case("bounds_numbers", Numbers),
    Case("bounds_texts", Texts),
    Case("bounds_lists", Lists),
    Case("bounds_annotated_types", AnnotatedTypes),
    Case("bounds_ready_made", ReadyMade),
    Case("bounds_lists_relaxed", Lists, relax=1),
    Case("bounds_numbers_relaxed", Numbers, relax=2),
]
