"""Documents of power and heat."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schema.models.case import documents

Energy = Annotated[Decimal, Field(description="Kilowatt hours", ge=0, max_digits=14, decimal_places=3)]


class MeterReading(BaseModel):
    """A number read from a meter."""

    meter: str
    kind: Literal["electricity", "gas", "water", "heat"]
    read_at: dt.datetime
    value: Decimal = Field(ge=0, max_digits=12, decimal_places=3)
    estimated: bool = False


class PriceComponent(BaseModel):
    label: str
    net: Decimal = Field(max_digits=10, decimal_places=4)
    per: Literal["kWh", "month", "year", "once"]


class ElectricityBill(BaseModel):
    """A yearly bill."""

    customer_number: str
    period: tuple[dt.date, dt.date]
    readings: list[MeterReading]
    used: Energy
    components: list[PriceComponent]
    total: Decimal = Field(max_digits=10, decimal_places=2)
    advance_payment: Decimal | None = Field(None, max_digits=8, decimal_places=2)


class Module(BaseModel):
    maker: str
    watt_peak: int = Field(gt=0)
    count: int = Field(gt=0)


class SolarInstallation(BaseModel):
    """Modules on a roof."""

    address: str
    modules: list[Module]
    azimuth_deg: float = Field(ge=0, lt=360)
    tilt_deg: float = Field(ge=0, le=90)
    battery_kwh: float | None = Field(None, gt=0)
    yields: dict[int, Energy] = Field(description="By year")


class Band(BaseModel):
    from_time: dt.time
    to_time: dt.time
    cents: Decimal = Field(max_digits=7, decimal_places=3)


class TariffSheet(BaseModel):
    """Prices by time of day."""

    name: str
    valid: tuple[dt.date, dt.date | None]
    weekday: list[Band]
    weekend: list[Band] | None = Field(description="Null when as on weekdays")
    standing_charge: Decimal


class OutageNotice(BaseModel):
    """When there will be no power."""

    areas: list[str] = Field(min_length=1)
    planned: bool
    begins: dt.datetime
    lasts: dt.timedelta | None
    reason: str | None


class EfficiencyClass(StrEnum):
    A_PLUS = "A+"
    A = "A"
    B = "B"
    C = "C"
    D = "D"


class EnergyCertificate(BaseModel):
    """How much a building needs."""

    building: str
    issued: dt.date
    expires: dt.date
    need: float = Field(description="kWh per square metre and year", ge=0)
    rating: EfficiencyClass
    sources: list[Literal["gas", "oil", "district heat", "heat pump", "wood"]]
    advice: list[str] = Field(default_factory=list, max_length=10)


class Emission(BaseModel):
    scope: Literal[1, 2, 3]
    source: str
    tonnes: Decimal = Field(ge=0, max_digits=14, decimal_places=3)


class EmissionsReport(BaseModel):
    """Greenhouse gases of a company in a year."""

    company: str
    year: int
    emissions: list[Emission]
    offsets: Decimal | None = None
    verified_by: str | None


MODELS = documents(
    MeterReading,
    ElectricityBill,
    SolarInstallation,
    TariffSheet,
    OutageNotice,
    EnergyCertificate,
    EmissionsReport,
)
