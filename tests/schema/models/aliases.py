"""Other names on the wire."""

from __future__ import annotations

from pydantic import AliasChoices, AliasGenerator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel, to_pascal

from schema.models.case import Case


class Plain(BaseModel):
    """One alias for both ways."""

    total_due: float = Field(alias="Total due", description="To be paid")
    lines: list[str] = Field(alias="@lines")


class Validation(BaseModel):
    """A name for reading only."""

    shop: str = Field(validation_alias="shopName")
    plain: int


class Serialization(BaseModel):
    """A name for writing only: answers are read, so it has no part on the wire."""

    shop: str = Field(serialization_alias="shopName")


class Both(BaseModel):
    """A name for each way."""

    shop: str = Field(validation_alias="in", serialization_alias="out")
    other: int | None = Field(None, alias="alias", validation_alias="reading")


class Choices(BaseModel):
    """Several names; the first one goes on the wire."""

    shop: str = Field(validation_alias=AliasChoices("shop", "store", "merchant"))
    amount: int = Field(validation_alias=AliasChoices("total", "amount"))


class Inner(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    unit_price: float
    item_count: int = Field(alias="n")


class Generated(BaseModel):
    """Names made by a function."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    order_number: int
    order_lines: list[Inner]
    best_line: Inner | None


class TwoGenerators(BaseModel):
    """A function for each way."""

    model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=to_pascal, serialization_alias=to_camel))

    order_number: int
    ship_to: str | None


class Swapped(BaseModel):
    """Each field has the name of the other as alias."""

    a: int = Field(alias="b")
    b: str = Field(alias="a")


MODELS = [
    Case("alias_plain", Plain),
    Case("alias_validation", Validation),
    Case("alias_serialization", Serialization),
    Case("alias_both", Both),
    Case("alias_choices", Choices),
    Case("alias_generated", Generated),
    Case("alias_two_generators", TwoGenerators),
    Case("alias_swapped", Swapped),
]
