"""Documents of houses and land."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schema.models.case import documents

Area = Annotated[Decimal, Field(description="Square metres", gt=0, max_digits=9, decimal_places=2)]
Money = Annotated[Decimal, Field(ge=0, max_digits=14, decimal_places=2)]


class Place(BaseModel):
    street: str | None
    city: str
    district: str | None = None


class Listing(BaseModel):
    """A home for sale or to let."""

    title: str
    offer: Literal["sale", "rent"]
    price: Money | Literal["on request"]
    place: Place
    area: Area | None
    rooms: float | None = Field(ge=1, multiple_of=0.5)
    built: int | None = Field(ge=1500, le=2100)
    features: set[Literal["balcony", "garden", "lift", "garage", "cellar", "fireplace"]]
    energy_class: Literal["A", "B", "C", "D", "E", "F", "G"] | None = None


class Lease(BaseModel):
    """A rental contract of a flat."""

    landlord: str
    tenants: list[str] = Field(min_length=1)
    flat: Place
    begins: dt.date
    ends: dt.date | None
    rent: Money
    service_charge: Money = Decimal(0)
    deposit_months: Literal[0, 1, 2, 3]
    pets_allowed: bool | None


class Comparable(BaseModel):
    place: Place
    sold: dt.date
    price: Money
    area: Area


class Appraisal(BaseModel):
    """What a house is worth."""

    subject: Place
    as_of: dt.date
    method: Literal["comparison", "income", "cost"]
    value: Money
    range: tuple[Money, Money] | None
    comparables: list[Comparable]


class Room(BaseModel):
    name: str
    area: Area
    windows: int = Field(0, ge=0)


class Floor(BaseModel):
    level: int = Field(description="0 is the ground floor, negative below it", ge=-5, le=200)
    rooms: list[Room]


class FloorPlan(BaseModel):
    """Floors and their rooms."""

    scale: str | None = Field(pattern=r"^1:[0-9]{1,4}$")
    floors: list[Floor]
    total: Area | None = None


class Defect(BaseModel):
    where: str
    what: str
    urgency: Literal["now", "this year", "later"]
    cost: Money | None


class InspectionReport(BaseModel):
    """The state of a building."""

    address: Place
    inspected: dt.date
    inspector: str
    systems: dict[Literal["roof", "heating", "electricity", "water", "walls"], Literal["good", "fair", "poor"]]
    defects: list[Defect]


class MortgageOffer(BaseModel):
    """Terms of a loan on a house."""

    lender: str
    amount: Money
    rate: Decimal = Field(description="Percent a year", ge=0, le=30, decimal_places=3, max_digits=5)
    fixed_years: int | None = Field(ge=1, le=40)
    monthly: Money
    extra_repayment: bool = False


class Encumbrance(BaseModel):
    rank: int = Field(ge=1)
    kind: Literal["mortgage", "right of way", "usufruct", "other"]
    holder: str
    amount: Money | None = None


class LandRegisterEntry(BaseModel):
    """A sheet of the land register."""

    office: str
    sheet: int
    parcels: list[str] = Field(min_length=1)
    owners: list[tuple[str, str]] = Field(description="Name and share, such as 1/2")
    encumbrances: list[Encumbrance]


MODELS = documents(Listing, Lease, Appraisal, FloorPlan, InspectionReport, MortgageOffer, LandRegisterEntry)
