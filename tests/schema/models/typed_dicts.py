"""Typed dicts."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, NotRequired, Required

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from schema.models.case import Case


class Movie(TypedDict):
    """Every key is there."""

    title: str
    year: int | None
    seen: list[dt.date]


class Partial(TypedDict, total=False):
    """Any key may be missing."""

    title: str
    year: int
    id: Required[int]


class Absent(TypedDict):
    """Missing, null and given are three things."""

    name: str
    may_be_missing: NotRequired[int]
    may_be_both: NotRequired[int | None]
    items: NotRequired[list[str]]
    described: NotRequired[Annotated[str, Field(description="If any", max_length=5)]]


class Child(Movie):
    """One key more."""

    stars: NotRequired[Annotated[int, Field(ge=0, le=5)]]


class Holder(BaseModel):
    """Typed dicts as fields."""

    movie: Movie
    partial: Partial | None
    many: list[Absent]
    by_name: dict[str, Child]


MODELS = [
    Case("typed_dict", Movie),
    Case("typed_dict_partial", Partial),
    Case("typed_dict_absent", Absent),
    Case("typed_dict_child", Child),
    Case("typed_dict_fields", Holder),
]
