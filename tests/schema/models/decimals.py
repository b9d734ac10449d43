"""Exact numbers."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field

from schema.models.case import Case


class Digits(BaseModel):
    """As many digits as the field says."""

    plain: Decimal
    money: Decimal = Field(max_digits=10, decimal_places=2)
    digits: Decimal = Field(max_digits=6)
    places: Decimal = Field(decimal_places=4)
    whole: Decimal = Field(max_digits=20, decimal_places=0)
    share: Decimal = Field(max_digits=5, decimal_places=5)
    wide: Decimal = Field(max_digits=60, decimal_places=20)
    maybe: Decimal | None = None
    many: list[Annotated[Decimal, Field(max_digits=4, decimal_places=1)]]


class Bounds(BaseModel):
    """Between bounds, and in steps."""

    positive: Decimal = Field(gt=0)
    percent: Decimal = Field(ge=0, le=100, decimal_places=2)
    open: Decimal = Field(gt=Decimal("-0.5"), lt=Decimal("0.5"))
    step: Decimal = Field(multiple_of=Decimal("0.05"), ge=0, le=10)  # type: ignore[call-overload]
    tiny: Decimal = Field(ge=Decimal("0.000000001"), le=Decimal("0.000000009"))


MODELS = [
    Case("decimal_digits", Digits),
    Case("decimal_digits_as_text", Digits, decimals="string"),
    Case("decimal_bounds", Bounds),
    Case("decimal_bounds_as_text", Bounds, decimals="string"),
]
