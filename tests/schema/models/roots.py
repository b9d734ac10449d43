"""Root models, at the top and below."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import BaseModel, Field, RootModel

from schema.models.case import Case


class Part(BaseModel):
    name: str
    count: int


class Tags(RootModel[list[str]]):
    """Some words."""


class Prices(RootModel[dict[str, float]]):
    """Prices by name."""


class Percent(RootModel[Annotated[int, Field(ge=0, le=100)]]):
    """A share of a hundred."""


class Day(RootModel[dt.date | None]):
    """A day, or none."""


class Wrapped(RootModel[Part]):
    """A model within a root."""


class Either(RootModel[int | str]):
    """A number or a text."""


class Twice(RootModel[Tags]):
    """A root of a root."""


class Nested(BaseModel):
    """Roots as fields."""

    tags: Tags
    prices: Prices
    percent: Percent = Field(description="How much")
    day: Day
    wrapped: Wrapped
    either: Either
    twice: Twice
    maybe: Tags | None
    many: list[Percent]
    by_name: dict[str, Wrapped]


MODELS = [
    Case("root_nested", Nested),
    Case("root_list", Tags),
    Case("root_dict", Prices),
    Case("root_scalar", Percent),
    Case("root_null", Day),
    Case("root_model", Wrapped),
    Case("root_union", Either),
    Case("root_twice", Twice),
]
