"""Unions with a tag."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from schema.models.case import Case


class Circle(BaseModel):
    """Round."""

    kind: Literal["circle"] = "circle"
    radius: float


class Square(BaseModel):
    """Has four sides."""

    kind: Literal["square", "quadrat"]
    side: float


class Literals(BaseModel):
    """The tag is a Literal, of one or two words."""

    shape: Annotated[Circle | Square, Field(discriminator="kind")]
    more: list[Annotated[Circle | Square, Field(discriminator="kind")]]
    maybe: Circle | Square | None = Field(None, discriminator="kind")


class Animal(StrEnum):
    CAT = "cat"
    DOG = "dog"


class Cat(BaseModel):
    animal: Literal[Animal.CAT]
    lives: int


class Dog(BaseModel):
    animal: Literal[Animal.DOG]
    good: bool


class Enums(BaseModel):
    """The tag is a member of an enum."""

    pet: Annotated[Cat | Dog, Field(discriminator="animal")] = Field(description="The pet")
    by_name: dict[str, Annotated[Cat | Dog, Field(discriminator="animal")]]


class BlackCat(BaseModel):
    pet: Literal["cat"]
    color: Literal["black"]
    lucky: bool


class WhiteCat(BaseModel):
    pet: Literal["cat"]
    color: Literal["white"]
    deaf: bool | None


class Bird(BaseModel):
    pet: Literal["bird"]
    sings: bool


AnyCat = Annotated[BlackCat | WhiteCat, Field(discriminator="color")]


class Nested(BaseModel):
    """A discriminated union inside a discriminated union."""

    pet: Annotated[AnyCat | Bird, Field(discriminator="pet")]


class Apple(BaseModel):
    seeds: int


class Pie(BaseModel):
    slices: int
    filling: str


def _which(value: Any) -> str:
    found = value if isinstance(value, dict) else vars(value)
    return "pie" if "filling" in found else "apple"


class Callables(BaseModel):
    """A function tells the branches apart."""

    dish: Annotated[Annotated[Apple, Tag("apple")] | Annotated[Pie, Tag("pie")], Discriminator(_which)]
    dishes: list[Annotated[Annotated[Apple, Tag("apple")] | Annotated[Pie, Tag("pie")], Discriminator(_which)]]


class NumberOne(BaseModel):
    version: Literal[1]
    text: str


class NumberTwo(BaseModel):
    version: Literal[2]
    texts: list[str]


class Numbers(BaseModel):
    """The tag is a number."""

    message: Annotated[NumberOne | NumberTwo, Field(discriminator="version")]


class AliasedOne(BaseModel):
    kind: Literal["one"] = Field(alias="@type")
    x: int


class AliasedTwo(BaseModel):
    kind: Literal["two"] = Field(alias="@type")
    y: int


class Aliased(BaseModel):
    """The tag has another name on the wire."""

    part: Annotated[AliasedOne | AliasedTwo, Field(discriminator="kind")]


MODELS = [
    Case("tagged_literals", Literals),
    Case("tagged_enums", Enums),
    Case("tagged_nested", Nested),
    Case("tagged_callable", Callables),
    Case("tagged_numbers", Numbers),
    Case("tagged_aliased", Aliased),
    Case("tagged_at_the_top", Annotated[Circle | Square, Field(discriminator="kind")]),
]
