"""Till receipts: who sold, when, and how much was to pay. Every value is a printed span of the receipt."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from extract.verbatim import Verbatim


class Receipt(BaseModel):
    """A till receipt."""

    company: Annotated[str, Verbatim("line", first=8, trim=True)] = Field(
        description="Name of the shop or company that issued the receipt: one whole line, mostly at the top",
    )
    date: Annotated[dt.date, Verbatim("date", day_first=True)] = Field(
        description="Date of the purchase; not a return date, a pick-up date or the end of a warranty",
    )
    total: Annotated[Decimal, Verbatim("money", labelled=True)] = Field(
        ge=0,
        max_digits=12,
        decimal_places=2,
        description="Amount to pay, after tax and discount; not the subtotal, the cash given or the change",
    )
    payment: Literal["cash", "card"] | None = Field(
        description="How it was paid; null when the receipt names neither",
    )
