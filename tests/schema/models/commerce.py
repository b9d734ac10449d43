"""Documents of buying and selling."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schema.models.case import documents

Money = Annotated[Decimal, Field(max_digits=12, decimal_places=2)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code")]


class Address(BaseModel):
    """A postal address."""

    street: str
    postcode: str | None = None
    city: str
    country: str = Field(description="ISO 3166 code of two letters", min_length=2, max_length=2)


class Party(BaseModel):
    """A company or a person on a document."""

    name: str = Field(description="As printed")
    vat_id: str | None = Field(None, description="VAT number without blanks")
    address: Address | None


class InvoiceLine(BaseModel):
    """One line of an invoice."""

    description: str
    quantity: Decimal = Field(gt=0, max_digits=10, decimal_places=3)
    unit_price: Money
    vat_rate: Decimal = Field(description="Percent", ge=0, le=100, max_digits=5, decimal_places=2)
    amount: Money = Field(description="Net amount of the line")


class Invoice(BaseModel):
    """An invoice."""

    number: str = Field(description="Number of the invoice", min_length=1)
    issued: dt.date = Field(description="Date of issue")
    due: dt.date | None = Field(None, description="Last day of payment")
    seller: Party
    buyer: Party
    currency: Currency
    lines: list[InvoiceLine] = Field(min_length=1, max_length=200)
    net: Money
    vat: Money
    gross: Money = Field(description="To be paid")
    notes: list[str] = Field(default_factory=list)


class PaymentMethod(StrEnum):
    CASH = "cash"
    CARD = "card"
    VOUCHER = "voucher"
    UNKNOWN = "unknown"


class ReceiptItem(BaseModel):
    name: str
    count: int = Field(1, ge=1)
    price: Money


class Receipt(BaseModel):
    """A till receipt."""

    shop: str = Field(description="Name of the shop, as printed")
    date: dt.date
    time: dt.time | None = None
    items: list[ReceiptItem]
    total: Money = Field(ge=0)
    method: PaymentMethod
    change: Money | None = Field(None, description="Cash given back")


class OrderLine(BaseModel):
    sku: str = Field(pattern=r"^[A-Z0-9-]{3,20}$")
    quantity: int = Field(gt=0, le=100_000)
    wanted_by: dt.date | None


class PurchaseOrder(BaseModel):
    """What a company orders of another."""

    number: str
    ordered_at: dt.datetime = Field(description="With time zone")
    supplier: Party
    deliver_to: Address
    incoterm: Literal["EXW", "FCA", "FOB", "CIF", "DAP", "DDP"] | None
    lines: list[OrderLine]
    total: Money | None


class Dimensions(BaseModel):
    """In millimetres."""

    length: float = Field(gt=0)
    width: float = Field(gt=0)
    height: float = Field(gt=0)


class Product(BaseModel):
    """A product as a shop shows it."""

    gtin: str | None = Field(None, pattern=r"^[0-9]{8,14}$")
    title: str = Field(max_length=200)
    brand: str | None
    category: list[str] = Field(description="From general to special", max_length=6)
    price: Money
    currency: Currency = "EUR"
    attributes: dict[str, str] = Field(default_factory=dict, description="Such as colour: red")
    dimensions: Dimensions | None = None
    in_stock: bool = True


class Quotation(BaseModel):
    """An offer with a date until which it binds."""

    reference: str
    customer: str
    valid_until: dt.date
    options: list[InvoiceLine]
    discount_percent: float = Field(0.0, ge=0, le=100)
    accepted: bool | None = None


class CreditNote(BaseModel):
    """Money given back on an invoice."""

    number: str
    invoice_number: str = Field(description="Of the invoice that is corrected")
    reason: Literal["return", "price error", "damage", "other"]
    amount: Money = Field(gt=0)
    date: dt.date


class ReturnRequest(BaseModel):
    """A customer wants to send something back."""

    order: str
    skus: set[str] = Field(min_length=1)
    reason: Literal["too small", "too large", "broken", "not as described", "changed mind"]
    wants_refund: bool
    photos: int = Field(0, ge=0, le=10)
    message: str | None


class ProductReview(BaseModel):
    """What a customer thinks of a product."""

    stars: int = Field(ge=1, le=5)
    title: str | None
    pros: list[str] = Field(max_length=10)
    cons: list[str] = Field(max_length=10)
    recommends: bool | None = Field(description="Null when it is not said")
    aspects: dict[Literal["price", "quality", "delivery"], int] = Field(description="Stars by aspect")


class PriceBreak(BaseModel):
    from_quantity: int = Field(ge=1)
    price: Money


class PriceList(BaseModel):
    """Prices of a supplier by article."""

    valid_from: dt.date
    currency: Currency
    articles: dict[str, list[PriceBreak]]


class LoyaltyCard(BaseModel):
    """A card that collects points."""

    number: str = Field(pattern=r"^[0-9]{4}( [0-9]{4}){3}$")
    holder: str
    tier: Literal["basic", "silver", "gold"] = "basic"
    points: int = Field(ge=0)
    expires: dt.date | None


MODELS = documents(
    Invoice,
    Receipt,
    PurchaseOrder,
    Product,
    Quotation,
    CreditNote,
    ReturnRequest,
    ProductReview,
    PriceList,
    LoyaltyCard,
)
