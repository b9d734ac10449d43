"""Types that are no model, at the top."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from schema.models.case import Case


class Label(StrEnum):
    """A label."""

    GOOD = "good"
    BAD = "bad"


class Code(Enum):
    ONE = 1
    TWO = "two"


class Row(BaseModel):
    """A row of a table."""

    name: str
    amount: Decimal | None = Field(description="Null when empty")


MODELS = [
    Case("bare_enum", Label),
    Case("bare_mixed_enum", Code),
    Case("bare_literal", Literal["yes", "no", "unknown"]),
    Case("bare_mixed_literal", Literal[1, "one", None]),
    Case("bare_models", list[Row]),
    Case("bare_optional_model", Row | None),
    Case("bare_str", str),
    Case("bare_int", int),
    Case("bare_float", float),
    Case("bare_bool", bool),
    Case("bare_decimal", Decimal),
    Case("bare_date", dt.date),
    Case("bare_datetime", dt.datetime),
    Case("bare_uuid", UUID),
    Case("bare_optional", int | None),
    Case("bare_union", int | str | list[Row]),
    Case("bare_dict", dict[str, Row]),
    Case("bare_nested_lists", list[list[int | None]]),
    Case("bare_set", set[Label]),
    Case("bare_annotated", Annotated[int, Field(ge=1, le=5, description="Stars")]),
    Case("bare_constrained_list", Annotated[list[Label], Field(min_length=1, max_length=3)]),
]
