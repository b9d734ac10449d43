"""Optional values and unions without a tag."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field

from schema.models.case import Case


class Optionals(BaseModel):
    """Required and null, absent and null, null inside a list and inside a dict."""

    required: int | None
    absent: int | None = None
    texts: list[str | None]
    maybe_texts: list[str] | None
    both: list[str | None] | None = None
    by_name: dict[str, int | None]
    nothing: None = None


class IntOrText(BaseModel):
    """Told apart by JSON's own types."""

    value: int | str
    described: int | str = Field(description="A number where there is one")
    optional: int | str | None
    four: bool | int | float | str


class DateOrText(BaseModel):
    """Both are strings in JSON."""

    day: dt.date | str
    optional: dt.date | str | None = None
    moment: dt.datetime | dt.date
    clock: dt.time | dt.timedelta | None


class FloatOrDecimal(BaseModel):
    """Both are numbers in JSON."""

    amount: float | Decimal
    count: int | float
    exact: int | Decimal | None


class Cat(BaseModel):
    """A cat."""

    name: str
    lives: int = Field(ge=0, le=9)


class Dog(BaseModel):
    """A dog."""

    name: str
    good: bool


class Twin(BaseModel):
    """Has the fields of a cat."""

    name: str
    lives: int


class ModelUnion(BaseModel):
    """Objects that differ in their fields, and some that do not."""

    pet: Cat | Dog
    maybe: Cat | Dog | None
    same: Cat | Twin
    named: Cat | str


class ListUnion(BaseModel):
    """Lists that differ in their items."""

    numbers_or_texts: list[int] | list[str]
    one_or_many: str | list[str]
    nested: list[int] | list[list[int]] | None


class UnionsInside(BaseModel):
    """Unions as items, as values and as parts of a tuple."""

    items: list[int | str]
    pets: list[Cat | Dog | None]
    values: dict[str, int | str | None]
    pair: tuple[int | str, dt.date | str]
    deep: dict[str, list[Cat | Dog]]


class Constrained(BaseModel):
    """Each branch has bounds of its own."""

    size: Annotated[int, Field(ge=0, le=9)] | Annotated[str, Field(min_length=1, max_length=3)]
    share: Annotated[float, Field(ge=0, le=1, description="A share")] | Annotated[Decimal, Field(ge=2)] | None


MODELS = [
    Case("optionals", Optionals),
    Case("union_int_str", IntOrText),
    Case("union_date_str", DateOrText),
    Case("union_float_decimal", FloatOrDecimal),
    Case("union_models", ModelUnion),
    Case("union_lists", ListUnion),
    Case("union_inside", UnionsInside),
    Case("union_constrained", Constrained),
    Case("union_decimals_as_text", FloatOrDecimal, decimals="string"),
]
