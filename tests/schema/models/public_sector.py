"""Documents of towns and states."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schema.models.case import documents


class Lot(BaseModel):
    number: int = Field(ge=1)
    title: str
    estimate: Decimal | None = Field(max_digits=15, decimal_places=2)


class Tender(BaseModel):
    """A public call for offers."""

    authority: str
    title: str
    cpv: list[Annotated[str, Field(pattern=r"^[0-9]{8}-[0-9]$")]]
    procedure: Literal["open", "restricted", "negotiated"]
    deadline: dt.datetime
    lots: list[Lot]
    criteria: dict[str, int] = Field(description="Name to weight in percent")


class PermitApplication(BaseModel):
    """Somebody asks to build or to do something."""

    applicant: str
    kind: Literal["building", "event", "trade", "tree felling"]
    site: str
    from_date: dt.date | None
    to_date: dt.date | None
    drawings: list[str]
    neighbours_agree: bool | None


class Vote(BaseModel):
    yes: int = Field(ge=0)
    no: int = Field(ge=0)
    abstained: int = Field(0, ge=0)


class AgendaItem(BaseModel):
    number: str
    title: str
    speakers: list[str]
    decision: str | None
    vote: Vote | Literal["unanimous"] | None


class CouncilMinutes(BaseModel):
    """What a council has decided."""

    body: str
    held: dt.date
    opened: dt.time
    closed: dt.time | None
    present: list[str]
    excused: list[str] = Field(default_factory=list)
    items: list[AgendaItem]


class Resident(BaseModel):
    relation: Literal["head", "spouse", "child", "parent", "other"]
    born: int = Field(ge=1850, le=2100)
    occupation: str | None
    literate: bool | None = None


class CensusForm(BaseModel):
    """A household on a day."""

    district: str
    day: dt.date
    dwelling_rooms: int | None
    residents: list[Resident] = Field(min_length=1)
    languages: set[str]


class PressRelease(BaseModel):
    """News that an office sends out."""

    office: str
    embargo: dt.datetime | None
    headline: str
    body: list[str] = Field(description="Paragraphs")
    contact: dict[Literal["name", "phone", "email"], str]


class TrafficFine(BaseModel):
    """A notice of a fine."""

    plate: str
    offence: Literal["speed", "red light", "parking", "phone"]
    at: dt.datetime
    measured: int | None = Field(description="km/h")
    allowed: Literal[30, 50, 60, 70, 80, 100, 120, 130] | None
    fine: Decimal = Field(ge=0, max_digits=8, decimal_places=2)
    points: int = Field(0, ge=0, le=3)


MODELS = documents(Tender, PermitApplication, CouncilMinutes, CensusForm, PressRelease, TrafficFine)
