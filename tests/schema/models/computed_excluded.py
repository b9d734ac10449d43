"""Fields that are computed, and fields that are not written."""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property

from pydantic import BaseModel, Field, computed_field

from schema.models.case import Case


class Line(BaseModel):
    """The amount is not asked for."""

    quantity: int = Field(ge=0, le=1000)
    price: Decimal = Field(max_digits=8, decimal_places=2)

    @computed_field(description="Quantity times price")  # type: ignore[prop-decorator]
    @property
    def amount(self) -> Decimal:
        return self.quantity * self.price


class Basket(BaseModel):
    lines: list[Line]

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def size(self) -> int:
        return len(self.lines)


class Excluded(BaseModel):
    """Asked for and judged, but not in the table."""

    value: int
    reasoning: str = Field("", exclude=True)
    draft: list[int] = Field(default_factory=list, exclude=True)


class Inner(BaseModel):
    kept: str
    thought: str | None = Field(None, exclude=True)


class ExcludedInside(BaseModel):
    """The same, below the top."""

    inner: Inner
    many: list[Inner]
    maybe: Inner | None = None


MODELS = [
    Case("computed", Line),
    Case("computed_inside", Basket),
    Case("excluded", Excluded),
    Case("excluded_inside", ExcludedInside),
]
