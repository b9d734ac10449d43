"""Dataclasses, of the standard library and of Pydantic."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Annotated

from pydantic import BaseModel, Field
from pydantic.dataclasses import dataclass

from schema.models.case import Case


@dataclasses.dataclass
class Point:
    """A place on a map."""

    x: float
    y: float
    label: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """From one place to another."""

    start: Point
    end: Point
    via: list[Point] = dataclasses.field(default_factory=list)
    width: Annotated[int, Field(ge=1, le=9)] = 1


@dataclass
class Event:
    """Pydantic's own."""

    name: str
    day: dt.date | None = None
    size: int = Field(default=1, ge=0, description="How many came")


@dataclass
class Longer(Event):
    """A child."""

    points: list[Point] = dataclasses.field(default_factory=list)


class Holder(BaseModel):
    """Dataclasses as fields."""

    point: Point
    line: Line | None
    events: list[Event]
    by_name: dict[str, Longer]
    either: Point | Event


MODELS = [
    Case("dataclass_plain", Point),
    Case("dataclass_nested", Line),
    Case("dataclass_pydantic", Event),
    Case("dataclass_child", Longer),
    Case("dataclass_fields", Holder),
]
