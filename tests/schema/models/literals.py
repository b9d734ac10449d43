"""Closed lists written in place."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from pydantic import BaseModel, Field

from schema.models.case import Case


class Words(BaseModel):
    """Text only."""

    single: Literal["only"]
    two: Literal["a", "b"] = Field(description="One of two")
    empty: Literal["", "x"]
    odd: Literal["with space", 'with "quotes"', "ünï", "a\nb"]
    many: list[Literal["a", "b", "c"]]


class Numbers(BaseModel):
    """Whole numbers only."""

    single: Literal[0]
    three: Literal[-1, 0, 1]
    large: Literal[9_007_199_254_740_993, 2]
    maybe: Literal[1, 2] | None


class Booleans(BaseModel):
    """True, false, or only one of them."""

    yes: Literal[True]
    no: Literal[False]
    both: Literal[True, False]
    maybe: Literal[True] | None = None


class Mixed(BaseModel):
    """Several types in one list; 1, "1" and true are three things."""

    number_or_word: Literal[1, 2, "many"]
    ones: Literal[1, "1", True]
    all: Literal[0, "zero", False, None]
    many: list[Literal[1, "one"]]


class WithNull(BaseModel):
    """None among the values."""

    word: Literal["x", "y", None]
    number: Literal[1, None] = None
    only: Literal[None] = None
    items: list[Literal["x", None]]


class Side(Enum):
    LEFT = "l"
    RIGHT = "r"
    NONE = 0


class Members(BaseModel):
    """Members of an enum."""

    text: Literal[Side.LEFT, Side.RIGHT]
    one: Literal[Side.LEFT]
    mixed: Literal[Side.RIGHT, Side.NONE, "r2"]


MODELS = [
    Case("literal_words", Words),
    Case("literal_numbers", Numbers),
    Case("literal_booleans", Booleans),
    Case("literal_mixed", Mixed),
    Case("literal_null", WithNull),
    Case("literal_members", Members),
]
