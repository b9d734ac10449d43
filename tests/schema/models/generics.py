"""Generic models, filled in."""

from __future__ import annotations

import datetime as dt
from typing import Generic, TypeVar

from pydantic import BaseModel, Field

from schema.models.case import Case

T = TypeVar("T")
K = TypeVar("K")


class Sourced(BaseModel, Generic[T]):
    """A value and where it stands."""

    value: T = Field(description="As found")
    page: int | None = None


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None


class Pair(BaseModel, Generic[K, T]):
    left: K
    right: T


class Report(BaseModel):
    """Parts of one generic model with several types."""

    total: Sourced[float]
    day: Sourced[dt.date | None]
    names: Sourced[list[str]]
    nested: Sourced[Sourced[int]]


class Swapped(Pair[T, K], Generic[K, T]):
    """A generic child with its types the other way round."""

    note: str


class Numbers(Page[int]):
    """A child that fills in the type."""

    total: int


MODELS = [
    Case("generic_parts", Report),
    Case("generic_page", Page[Sourced[str]]),
    Case("generic_pair", Pair[int, list[Pair[str, bool]]]),
    Case("generic_swapped", Swapped[int, str]),
    Case("generic_child", Numbers),
]
