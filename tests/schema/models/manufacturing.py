"""Documents of factories."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schema.models.case import documents


class BomPart(BaseModel):
    position: int = Field(ge=1)
    part_number: str
    quantity: Decimal = Field(gt=0, max_digits=9, decimal_places=3)
    unit: Literal["pc", "m", "kg", "l"] = "pc"
    substitutes: list[str] = Field(default_factory=list)


class BillOfMaterials(BaseModel):
    """What a product is made of."""

    product: str
    revision: str = Field(pattern=r"^[A-Z][0-9]?$")
    parts: list[BomPart] = Field(min_length=1)
    released: dt.date | None


class Rating(BaseModel):
    """A value with its bounds, each of which may be missing."""

    symbol: str
    minimum: float | None = None
    typical: float | None = None
    maximum: float | None = None
    unit: str


class DataSheet(BaseModel):
    """Figures of an electronic part."""

    part: str
    package: str | None
    pins: dict[int, str] = Field(description="Number of the pin to its name")
    ratings: list[Rating]
    obsolete: bool = False


class Check(BaseModel):
    feature: str
    nominal: Decimal
    tolerance: tuple[Decimal, Decimal] = Field(description="Below and above")
    measured: list[Decimal]
    passed: bool


class QualityCertificate(BaseModel):
    """What was measured on a batch."""

    batch: str
    standard: str | None
    checks: list[Check]
    inspector: str
    released_at: dt.datetime


class WorkKind(StrEnum):
    INSPECTION = "inspection"
    REPAIR = "repair"
    REPLACEMENT = "replacement"
    CLEANING = "cleaning"


class Work(BaseModel):
    kind: WorkKind
    at: dt.datetime
    minutes: int | None = Field(ge=0)
    parts_used: dict[str, int] = Field(default_factory=dict)
    by: str


class MaintenanceLog(BaseModel):
    """What was done to a machine."""

    machine: str
    hours_run: float | None = Field(ge=0)
    works: list[Work]
    next_due: dt.date | None = None


class RecallNotice(BaseModel):
    """Products that are called back."""

    product: str
    maker: str
    batches: set[str] | Literal["all"]
    sold: tuple[dt.date, dt.date] | None
    hazard: Literal["fire", "choking", "poison", "injury", "other"]
    remedy: Annotated[list[Literal["refund", "repair", "replace", "dispose"]], Field(min_length=1, max_length=4)]


MODELS = documents(BillOfMaterials, DataSheet, QualityCertificate, MaintenanceLog, RecallNotice)
