"""Days, moments and lengths of time."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field, NaiveDatetime

from schema.models.case import Case


class Moments(BaseModel):
    """Every type that tells when."""

    day: dt.date
    at: dt.datetime
    aware: AwareDatetime
    naive: NaiveDatetime
    clock: dt.time
    length: dt.timedelta


class Optional(BaseModel):
    """The same, where they may be missing, and in lists."""

    day: dt.date | None
    at: dt.datetime | None = Field(None, description="With zone")
    clock: dt.time | None
    length: dt.timedelta | None = None
    days: list[dt.date]
    moments: list[dt.datetime | None]
    lengths: dict[str, dt.timedelta]


class Bounds(BaseModel):
    """Between two days."""

    day: dt.date = Field(ge=dt.date(2000, 1, 1), lt=dt.date(2100, 1, 1))
    days: list[Annotated[dt.date, Field(gt=dt.date(1999, 12, 31))]]
    short: dt.timedelta = Field(ge=dt.timedelta(0), le=dt.timedelta(hours=1))


class Defaults(BaseModel):
    """With defaults of their own type."""

    clock: dt.time = dt.time(12, 30)
    length: dt.timedelta = dt.timedelta(days=1, microseconds=1)
    naive: NaiveDatetime = dt.datetime(2024, 1, 1)


MODELS = [
    Case("times", Moments),
    Case("times_optional", Optional),
    Case("times_bounds", Bounds),
    Case("times_defaults", Defaults),
]
