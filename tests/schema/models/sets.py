"""Sets and frozen sets."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from schema.models.case import Case


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    size: int | None


class Scalars(BaseModel):
    """Sets of scalars."""

    texts: set[str]
    numbers: frozenset[int]
    exact: set[Decimal]
    days: set[dt.date]
    colors: set[Color]
    words: frozenset[Literal["a", "b", "c"]]
    ids: set[UUID]
    maybe: set[int] | None = None


class Sized(BaseModel):
    """With bounds on the size and the items."""

    some: set[int] = Field(min_length=1, max_length=4)
    months: set[Annotated[int, Field(ge=1, le=12)]]


class Deep(BaseModel):
    """Sets of what can be hashed: models that are frozen, tuples, frozen sets."""

    models: set[Frozen]
    pairs: frozenset[tuple[int, str]]
    groups: set[frozenset[str]]
    by_name: dict[str, set[int]]
    nullable: set[int | None]


MODELS = [Case("set_scalars", Scalars), Case("set_sized", Sized), Case("set_deep", Deep)]
