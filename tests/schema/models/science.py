"""Documents of research."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field, HttpUrl

from schema.models.case import documents

Share = Annotated[float, Field(ge=0, le=1)]


class Author(BaseModel):
    """An author in the order of the title page."""

    name: str
    orcid: str | None = Field(None, pattern=r"^[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X]$")
    affiliations: list[str]
    corresponding: bool = False


class Reference(BaseModel):
    key: str
    doi: str | None
    year: int | None


class Paper(BaseModel):
    """A scientific article."""

    title: str
    authors: list[Author] = Field(min_length=1)
    journal: str | None
    published: dt.date | None
    doi: str | None = Field(pattern=r"^10\.[0-9]{4,9}/[a-z0-9./-]+$")
    abstract: str
    keywords: list[str] = Field(max_length=12)
    references: list[Reference] = Field(default_factory=list)
    open_access: bool | None = None


class Measurement(BaseModel):
    """A value with its uncertainty."""

    quantity: str
    value: float
    uncertainty: float | None = Field(ge=0)
    unit: str


class Condition(BaseModel):
    name: str
    setting: float | str | bool


class Experiment(BaseModel):
    """One experiment, as a notebook tells it."""

    hypothesis: str
    began: dt.datetime
    lasted: dt.timedelta
    conditions: list[Condition]
    measurements: list[Measurement]
    replicates: int = Field(ge=1)
    verdict: Literal["supported", "refuted", "inconclusive"]


class Compound(BaseModel):
    """A chemical compound."""

    name: str
    formula: str = Field(description="Such as C6H12O6")
    cas: str | None = Field(pattern=r"^[0-9]{2,7}-[0-9]{2}-[0-9]$")
    molar_mass: Decimal = Field(gt=0, max_digits=10, decimal_places=4)
    melting_point_c: float | None
    hazards: set[Annotated[str, Field(pattern=r"^H[0-9]{3}$")]]


class Column(BaseModel):
    name: str
    kind: Literal["text", "number", "date", "category"]
    missing: Share = 0.0
    levels: list[str] | None = None


class DatasetCard(BaseModel):
    """What a data set holds."""

    title: str
    licence: str | None
    url: HttpUrl | None
    rows: int = Field(ge=0)
    columns: list[Column]
    splits: dict[str, int]


class Coordinates(BaseModel):
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)


class FieldObservation(BaseModel):
    """A plant or an animal seen outside."""

    species: str = Field(description="Latin name")
    count: int | None = Field(ge=1)
    seen_at: dt.datetime
    place: Coordinates | str
    behaviour: list[Literal["feeding", "nesting", "migrating", "singing"]]
    sure: bool


class Hour(BaseModel):
    at: dt.time
    temperature_c: float
    wind_ms: float = Field(ge=0)
    rain_mm: float = Field(0.0, ge=0)


class WeatherReport(BaseModel):
    """The weather of a day at a station."""

    station: str
    day: dt.date
    position: tuple[float, float]
    hours: list[Hour] = Field(max_length=24)
    warnings: list[Literal["storm", "frost", "heat", "flood"]] = Field(default_factory=list)


class Star(BaseModel):
    """An entry of a star catalogue."""

    catalogue_number: int
    names: list[str]
    right_ascension: tuple[int, int, float]
    declination: tuple[int, int, float]
    magnitude: float
    spectral_class: Literal["O", "B", "A", "F", "G", "K", "M"] | None
    variable: bool = False


class Exon(BaseModel):
    start: int = Field(ge=1)
    end: int = Field(ge=1)


class GeneAnnotation(BaseModel):
    """A gene and where it lies."""

    symbol: str
    chromosome: Literal[1, 2, 3, "X", "Y", "MT"]
    strand: Literal["+", "-"]
    exons: list[Exon]
    expression: dict[str, float] = Field(description="Tissue to transcripts per million")


class Grant(BaseModel):
    """Money for a project."""

    funder: str
    number: str
    amount: Decimal = Field(ge=0, max_digits=14, decimal_places=2)
    currency: Literal["EUR", "USD", "GBP", "CHF", "JPY"]
    years: tuple[int, int]
    investigators: list[Author]


MODELS = documents(
    Paper, Experiment, Compound, DatasetCard, FieldObservation, WeatherReport, Star, GeneAnnotation, Grant
)
