"""Messages to the customer support of a web shop: what each is about, and whether it can wait."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field


class Topic(StrEnum):
    """What a message is about."""

    DELIVERY = "delivery"
    REFUND = "refund"
    DAMAGED_ITEM = "damaged_item"
    PAYMENT = "payment"
    ACCOUNT = "account"
    OTHER = "other"


class Urgency(StrEnum):
    """Whether a message can wait."""

    LOW = "low"
    HIGH = "high"


class Ticket(BaseModel):
    """A customer's message to a web shop."""

    topic: Topic = Field(
        description=(
            "delivery: where or when a parcel comes; refund: money back for something returned or cancelled; "
            "damaged_item: it came broken or is faulty; payment: paying, charges, invoices, vouchers; "
            "account: login, password, profile; other: anything else"
        ),
    )
    urgency: Urgency = Field(
        description="high: harm or a missed deadline if nobody acts today or tomorrow; low: it can wait",
    )
