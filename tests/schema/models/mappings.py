"""Dicts with every kind of key."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

from schema.models.case import Case


class Room(StrEnum):
    KITCHEN = "kitchen"
    BATH = "bath"


class Floor(IntEnum):
    GROUND = 0
    FIRST = 1


class Thing(BaseModel):
    name: str
    count: int | None


class TextKeys(BaseModel):
    """Texts as keys, every kind of value."""

    numbers: dict[str, int]
    texts: dict[str, str | None]
    exact: dict[str, Decimal]
    days: dict[str, dt.date]
    things: dict[str, Thing]
    lists: dict[str, list[int]]
    maybe: dict[str, float] | None
    default: dict[str, bool] = Field(default_factory=dict, description="May be left out")


class OtherKeys(BaseModel):
    """Keys that JSON writes as text."""

    by_number: dict[int, str]
    by_room: dict[Room, Thing]
    by_floor: dict[Floor, int]
    by_day: dict[dt.date, Decimal]
    by_word: dict[Literal["a", "b"], int]
    by_id: dict[UUID, str]
    by_flag: dict[bool, int]


class Nested(BaseModel):
    """Dicts inside dicts and lists."""

    two: dict[str, dict[str, int]]
    three: dict[str, dict[int, dict[Room, Thing]]]
    in_list: list[dict[str, int]]
    of_lists: dict[str, list[dict[str, Thing]]]


class Bounded(BaseModel):
    """Bounds on the keys, the values and the size."""

    sized: dict[str, int] = Field(min_length=1, max_length=3)
    keys: dict[Annotated[str, Field(pattern=r"^[a-z]{1,4}$")], int]
    values: dict[str, Annotated[int, Field(ge=0, le=9)]]
    both: dict[Annotated[int, Field(ge=1, le=12)], Annotated[str, Field(max_length=3)]]


class Free(BaseModel):
    """Whatever JSON holds."""

    value: JsonValue
    values: list[JsonValue]
    by_name: dict[str, JsonValue]
    maybe: JsonValue | None = None


MODELS = [
    Case("dict_text_keys", TextKeys),
    Case("dict_other_keys", OtherKeys),
    Case("dict_nested", Nested),
    Case("dict_bounded", Bounded),
    Case("json_values", Free),
]
