"""Documents of travelling."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Field, NaiveDatetime

from schema.models.case import documents

Airport = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="IATA code")]
Price = Annotated[Decimal, Field(ge=0, max_digits=10, decimal_places=2)]


class Cabin(StrEnum):
    ECONOMY = "economy"
    PREMIUM = "premium economy"
    BUSINESS = "business"
    FIRST = "first"


class FlightLeg(BaseModel):
    """One flight; times are local to the airport."""

    flight: str = Field(pattern=r"^[A-Z0-9]{2}[0-9]{1,4}$")
    origin: Airport
    destination: Airport
    departs: NaiveDatetime
    arrives: NaiveDatetime
    cabin: Cabin = Cabin.ECONOMY


class FlightBooking(BaseModel):
    """A booking of one or more flights."""

    record_locator: str = Field(pattern=r"^[A-Z0-9]{6}$")
    passengers: list[str] = Field(min_length=1, max_length=9)
    legs: list[FlightLeg]
    fare: Price
    taxes: dict[str, Price]
    refundable: bool


class RoomStay(BaseModel):
    room: str
    adults: int = Field(ge=1, le=6)
    children: int = Field(0, ge=0, le=6)
    board: Literal["none", "breakfast", "half", "full"]
    per_night: Price


class HotelReservation(BaseModel):
    """A stay in a hotel."""

    hotel: str
    guest: str
    arrival: dt.date
    departure: dt.date
    check_in_from: dt.time | None
    rooms: list[RoomStay] = Field(min_length=1)
    free_cancellation_until: dt.datetime | None = None
    total: Price


class Stop(BaseModel):
    place: str
    nights: int = Field(ge=0)
    sights: list[str]


class Itinerary(BaseModel):
    """A journey, stop by stop."""

    title: str
    starts: dt.date | None
    stops: list[Stop]
    budget: tuple[Price, Price] | None = Field(description="From and to")


class BoardingPass(BaseModel):
    """What is shown at the gate."""

    passenger: str
    flight: str
    date: dt.date
    seat: str = Field(pattern=r"^[0-9]{1,2}[A-K]$")
    gate: str | None
    group: int | None = Field(ge=1, le=9)
    priority: bool = False


class Trip(BaseModel):
    country: str
    entered: dt.date
    left: dt.date | None


class VisaApplication(BaseModel):
    """Somebody asks to enter a country."""

    applicant: str
    nationality: list[str] = Field(min_length=1, max_length=3)
    passport: str
    purpose: Literal["tourism", "business", "study", "family", "transit"]
    entries: Literal[1, 2, "multiple"]
    earlier_trips: list[Trip]
    refused_before: bool


class CarRental(BaseModel):
    """A rented car."""

    category: Literal["mini", "compact", "estate", "van"]
    pick_up: tuple[str, dt.datetime]
    drop_off: tuple[str, dt.datetime]
    insurance: set[Literal["collision", "theft", "glass", "third party"]]
    mileage_km: int | None = Field(None, description="Null when unlimited")
    deposit: Price


class Sight(BaseModel):
    name: str
    opens: dt.time | None
    closes: dt.time | None
    entry: Price | Literal["free"]
    stars: int | None = Field(None, ge=0, le=3)


class CityGuide(BaseModel):
    """What to see in a city."""

    city: str
    country: str
    sights: list[Sight]
    best_months: set[Annotated[int, Field(ge=1, le=12)]]
    tips: list[str]


class Calling(BaseModel):
    station: str
    arrives: dt.time | None
    departs: dt.time | None
    platform: int | str | None = None


class TrainTimetable(BaseModel):
    """A train and the stations where it calls."""

    train: str
    runs_on: frozenset[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]]
    calls: list[Calling]
    remarks: list[str] = Field(default_factory=list)


MODELS = documents(
    FlightBooking, HotelReservation, Itinerary, BoardingPass, VisaApplication, CarRental, CityGuide, TrainTimetable
)
