"""Short descriptions of places to eat. What the text does not say is null."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from extract.verbatim import Verbatim

EatType = Literal["restaurant", "pub", "cafe", "food truck"]
Food = Literal["British", "French", "Greek", "Indian", "Italian", "Japanese", "Mexican", "Thai"]
PriceRange = Literal["cheap", "moderate", "expensive"]
Area = Literal["city centre", "riverside", "suburbs"]


# The nullable fields have no default on purpose: the model has to say null, it cannot skip a field.
class Restaurant(BaseModel):
    """A place to eat, as a sentence or two describe it. A field is null when the text does not say it."""

    name: Annotated[str, Verbatim("name")] = Field(description="Name of the place, as written")
    eat_type: EatType | None = Field(description="Kind of place; null when not said")
    food: Food | None = Field(description="Kitchen; null when not said")
    price_range: PriceRange | None = Field(description="How much a meal costs; null when not said")
    area: Area | None = Field(description="Part of the town; null when not said")
    family_friendly: bool | None = Field(
        description="true: children are welcome; false: they are not; null when not said",
    )
    near: Annotated[str, Verbatim("name")] | None = Field(
        description="Name of the place that it is near to, without a leading 'the' in lower case; null when not said",
    )
