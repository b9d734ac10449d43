"""Enums of every kind."""

from __future__ import annotations

from enum import Enum, IntEnum, IntFlag, StrEnum, unique
from typing import Any

from pydantic import BaseModel, Field

from schema.models.case import Case


class Color(StrEnum):
    """A colour."""

    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 10


class Ratio(Enum):
    HALF = 0.5
    THIRD = 0.3333333333333333
    WHOLE = 1.0


class Mixed(Enum):
    ONE = 1
    TWO = "two"
    HALF = 0.5
    YES = True


class Nothing(Enum):
    """None is a value too."""

    SOMETHING = 1
    NOTHING = None


class Point(Enum):
    ORIGIN = (0, 0)
    UNIT = (1, 1)


@unique
class Plain(Enum):
    A = "a"
    B = "b"


class Alias(Enum):
    """Two names, one member."""

    FIRST = "first"
    PRIMARY = "first"
    SECOND = "second"


class OldStyle(str, Enum):  # noqa: UP042
    X = "x"
    Y = "y z"


class Single(Enum):
    ONLY = "only"


class Access(IntFlag):
    READ = 1
    WRITE = 2


COUNTRIES: Any = Enum("COUNTRIES", {f"C{number:03}": f"country number {number}" for number in range(300)})  # type: ignore[misc]


class Texts(BaseModel):
    """Enums whose values are text."""

    color: Color = Field(description="As painted")
    plain: Plain
    old: OldStyle
    single: Single
    alias: Alias
    maybe: Color | None
    many: list[Color]
    some: set[Plain]
    by_color: dict[Color, int]
    default: Color = Color.GREEN


class Numbers(BaseModel):
    """Enums whose values are numbers."""

    level: Level
    ratio: Ratio
    access: Access
    maybe: Level | None = None
    ratios: list[Ratio]


class Odd(BaseModel):
    """Values of several types, and of none that JSON has."""

    mixed: Mixed
    maybe: Mixed | None
    nothing: Nothing
    point: Point
    points: list[Point]


class Many(BaseModel):
    """More members than an endpoint may like."""

    country: COUNTRIES
    others: list[COUNTRIES]


class Named(BaseModel):
    """Compiled with the names on the wire."""

    color: Color
    level: Level
    mixed: Mixed | None
    alias: Alias
    levels: dict[Level, list[Color]]


MODELS = [
    Case("enum_texts", Texts),
    Case("enum_numbers", Numbers),
    Case("enum_odd", Odd),
    Case("enum_many", Many),
    Case("enum_many_relaxed", Many, relax=4),
    Case("enum_by_name", Named, enums="name"),
    Case("enum_by_value", Named),
]
