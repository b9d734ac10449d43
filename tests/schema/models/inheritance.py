"""Models that come from models."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar, Literal

from pydantic import BaseModel, Field, PrivateAttr

from schema.models.case import Case


class Base(BaseModel):
    """A thing with an id."""

    id: int
    note: str | None = None


class Child(Base):
    """One field more, one made narrower."""

    name: str
    note: str = Field(description="Required here")


class Named(BaseModel):
    name: str = Field(description="From the first parent")
    shared: int


class Sized(BaseModel):
    size: float
    shared: int = Field(description="From the second parent", ge=0)


class Both(Named, Sized):
    """Two parents."""

    own: bool


class Stamped(BaseModel, ABC):
    """With what is no field: constants of the class and private values."""

    unit: ClassVar[str] = "kg"
    _cache: dict[str, int] = PrivateAttr(default_factory=dict)
    stamp: Literal["v1"] = "v1"


class Weighed(Stamped):
    weight: float


class Holder(BaseModel):
    """Parts of a parent's and of a child's type."""

    base: Base
    child: Child
    many: list[Child]
    either: Child | Weighed


MODELS = [
    Case("inherited_child", Child),
    Case("inherited_twice", Both),
    Case("inherited_private", Weighed),
    Case("inherited_parts", Holder),
]
