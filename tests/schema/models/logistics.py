"""Documents of goods on their way."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schema.models.case import documents

Weight = Annotated[Decimal, Field(description="Kilograms", gt=0, max_digits=10, decimal_places=3)]


class Site(BaseModel):
    name: str
    unlocode: str | None = Field(None, pattern=r"^[A-Z]{2}[A-Z0-9]{3}$")


class Mode(StrEnum):
    ROAD = "road"
    RAIL = "rail"
    SEA = "sea"
    AIR = "air"


class Package(BaseModel):
    count: int = Field(ge=1)
    kind: Literal["pallet", "box", "drum", "crate", "bag"]
    weight: Weight
    size_cm: tuple[int, int, int] | None


class Shipment(BaseModel):
    """Goods from one place to another."""

    number: str
    mode: Mode
    origin: Site
    destination: Site
    leaves: dt.datetime | None
    arrives: dt.datetime | None
    packages: list[Package] = Field(min_length=1)
    dangerous: list[Annotated[str, Field(pattern=r"^UN[0-9]{4}$")]] = Field(default_factory=list)
    temperature_c: tuple[float, float] | None = None


class Container(BaseModel):
    number: str = Field(pattern=r"^[A-Z]{4}[0-9]{7}$")
    seal: str | None
    gross: Weight


class BillOfLading(BaseModel):
    """What a ship has taken on board."""

    number: str
    carrier: str
    vessel: str
    voyage: str | None
    shipper: str
    consignee: str | Literal["to order"]
    notify: list[str]
    load_port: Site
    discharge_port: Site
    containers: list[Container]
    freight: Literal["prepaid", "collect"]


class Goods(BaseModel):
    hs_code: str = Field(pattern=r"^[0-9]{6,10}$")
    description: str
    origin: str = Field(min_length=2, max_length=2)
    value: Decimal = Field(ge=0, max_digits=14, decimal_places=2)
    net: Weight


class CustomsDeclaration(BaseModel):
    """Goods that cross a border."""

    mrn: str | None
    procedure: Literal["import", "export", "transit", "warehouse"]
    declarant: str
    goods: list[Goods]
    duties: dict[str, Decimal]


class Bin(BaseModel):
    place: str = Field(pattern=r"^[A-Z]-[0-9]{2}-[0-9]{2}$")
    units: int = Field(ge=0)
    expires: dt.date | None = None


class WarehouseStock(BaseModel):
    """What lies where."""

    warehouse: str
    counted: dt.datetime
    articles: dict[str, list[Bin]]


class Delivered(BaseModel):
    article: str
    ordered: int
    delivered: int
    back_order: bool = False


class DeliveryNote(BaseModel):
    """What has arrived."""

    number: str
    order: str | None
    delivered_on: dt.date
    lines: list[Delivered]
    signed_by: str | None
    remarks: str | None = None


class RouteStop(BaseModel):
    sequence: int = Field(ge=1)
    address: str
    window: tuple[dt.time, dt.time] | None
    parcels: int


class RouteSheet(BaseModel):
    """A driver's day."""

    driver: str
    vehicle: str
    day: dt.date
    stops: list[RouteStop]
    distance_km: float | None = Field(None, ge=0)


class ScanEvent(BaseModel):
    at: dt.datetime
    where: str | None
    status: Literal["accepted", "in transit", "out for delivery", "delivered", "returned", "exception"]


class ParcelTracking(BaseModel):
    """The way of a parcel."""

    number: str
    carrier: Literal["post", "courier", "other"]
    events: list[ScanEvent]
    expected: dt.date | None


MODELS = documents(
    Shipment,
    BillOfLading,
    CustomsDeclaration,
    WarehouseStock,
    DeliveryNote,
    RouteSheet,
    ParcelTracking,
)
