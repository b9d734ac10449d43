"""Models with rules of their own, which change nothing."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, Field, field_validator, model_validator

from schema.models.case import Case


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even")
    return value


class Rules(BaseModel):
    """A rule on a field, on a type and between two fields."""

    name: str
    even: Annotated[int, AfterValidator(_even)]
    start: dt.date
    end: dt.date | None

    @field_validator("name")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if value and not value.strip():
            raise ValueError("must not be blank")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end is not None and self.end < self.start:
            raise ValueError("ends before it starts")
        return self


class Stripped(BaseModel):
    """A rule before the type is read."""

    code: str = Field(pattern=r"^[a-z]{2}$")

    @field_validator("code", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value


class Holder(BaseModel):
    """The same below the top."""

    many: list[Rules] = Field(max_length=2)
    code: Stripped | None


MODELS = [Case("rules", Rules), Case("rules_before", Stripped), Case("rules_inside", Holder)]
