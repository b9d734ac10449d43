"""Where descriptions come from."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schema.models.case import Case


class Kind(StrEnum):
    """The kind of a thing."""

    ONE = "one"
    TWO = "two"


class Part(BaseModel):
    """A part, as its docstring says."""

    name: str


class FromDocstrings(BaseModel):
    """Read from the docstrings of the fields."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """The name."""
    part: Part
    """The main part."""
    other: Part
    kind: Kind
    """Which kind it is."""
    plain: Kind
    maybe: Annotated[int, Field(description="inner")] | None
    """The outer words."""


class Bare(BaseModel):
    name: str


class NoWords(BaseModel):
    part: Bare
    parts: list[Bare]


MODELS = [Case("docstrings", FromDocstrings), Case("docstrings_none", NoWords)]
