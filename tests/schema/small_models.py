"""Models of every supported type, and a strategy for random ones."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Literal

from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, Field, NaiveDatetime, create_model


class Color(StrEnum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    S = 1
    L = 2


class Plain(Enum):
    A = "a"


class Part(BaseModel):
    """A part."""

    name: str = Field(description="its name")
    weight: Decimal | None = Field(max_digits=8, decimal_places=3)


class Everything(BaseModel):
    """All supported types."""

    text: str = Field(description="a text")
    whole: int
    real: float
    flag: bool
    exact: Decimal
    money: Decimal = Field(max_digits=10, decimal_places=2)
    wide: Decimal = Field(max_digits=60, decimal_places=20)
    day: dt.date
    at: dt.datetime
    aware: AwareDatetime
    naive: NaiveDatetime
    clock: dt.time
    color: Color
    size: Size
    plain: Plain
    word: Literal["x", "y"]
    number: Literal[1, 2]
    yes: Literal[True]
    member: Literal[Color.RED]
    maybe: Annotated[int, Field(description="inner")] | None
    maybe_color: Color | None
    maybe_word: Literal["x", None]
    maybe_one: Literal["x"] | None
    tags: list[str]
    grid: list[list[int]] | None
    colors: list[Color]
    gaps: list[int | None]
    part: Part
    maybe_part: Part | None
    parts: list[Part]


SCALARS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, st.text()),
    (int, st.integers(-(2**63), 2**63 - 1)),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (Decimal, st.decimals(-(10**20), 10**20, places=9)),
    (dt.date, st.dates()),
    (dt.time, st.times()),
    (AwareDatetime, st.datetimes(timezones=st.just(dt.UTC))),
    (NaiveDatetime, st.datetimes()),
    (Color, st.sampled_from(Color)),
    (Literal[1, 2], st.sampled_from([1, 2])),
]


def _typed() -> st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]]:
    return st.recursive(
        st.sampled_from(SCALARS),
        lambda inner: st.one_of(
            inner.map(lambda pair: (list[pair[0]], st.lists(pair[1], max_size=3))),  # type: ignore[name-defined]
            inner.map(lambda pair: (pair[0] | None, st.none() | pair[1])),
            st.lists(inner, min_size=1, max_size=3).map(_model),
        ),
        max_leaves=5,
    )


def _model(fields: list[tuple[Any, st.SearchStrategy[Any]]]) -> tuple[Any, st.SearchStrategy[Any]]:
    names = [f"f{number}" for number in range(len(fields))]
    kind = create_model("Inner", **{name: (field[0], ...) for name, field in zip(names, fields, strict=True)})  # type: ignore[call-overload]
    parts = {name: field[1] for name, field in zip(names, fields, strict=True)}
    return kind, st.fixed_dictionaries(parts).map(lambda given: kind.model_construct(**given))


MODELS = st.lists(_typed(), min_size=1, max_size=4).map(_model)
