"""The fields that are asked for, in plain types, and the plain prompts: the same for zero-shot and instructor.

Only Pydantic is needed here, for instructor runs in an environment of its own.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import BaseModel, Field

EatType = Literal["restaurant", "pub", "coffee shop"]
Food = Literal["Chinese", "English", "Fast food", "French", "Indian", "Italian", "Japanese"]
Price = Literal["cheap", "moderate", "high", "less than £20", "£20-25", "more than £30"]
Rating = Literal["low", "average", "high", "1 out of 5", "3 out of 5", "5 out of 5"]
Area = Literal["city centre", "riverside"]


class Restaurant(BaseModel):
    """What one sentence or two say about a place to eat. A field is null when the text does not say it."""

    name: str = Field(description="Name of the place")
    eat_type: EatType | None
    food: Food | None
    price_range: Price | None
    customer_rating: Rating | None
    area: Area | None
    family_friendly: bool | None = Field(description="Whether children are welcome")
    near: str | None = Field(description="Name of the place it is near to")


Intent = Literal[
    "AddToPlaylist",
    "BookRestaurant",
    "GetWeather",
    "PlayMusic",
    "RateBook",
    "SearchCreativeWork",
    "SearchScreeningEvent",
]
SlotName = Literal[
    "album",
    "artist",
    "best_rating",
    "city",
    "condition_description",
    "condition_temperature",
    "country",
    "cuisine",
    "current_location",
    "entity_name",
    "facility",
    "genre",
    "geographic_poi",
    "location_name",
    "movie_name",
    "movie_type",
    "music_item",
    "object_location_type",
    "object_name",
    "object_part_of_series_type",
    "object_select",
    "object_type",
    "party_size_description",
    "party_size_number",
    "playlist",
    "playlist_owner",
    "poi",
    "rating_unit",
    "rating_value",
    "restaurant_name",
    "restaurant_type",
    "served_dish",
    "service",
    "sort",
    "spatial_relation",
    "state",
    "timeRange",
    "track",
    "year",
]


class Slot(BaseModel):
    """One slot of a command, its value in the words of the text."""

    slot: SlotName
    value: str


class Command(BaseModel):
    """One spoken command: what is wanted, and the slots with the words of the text that fill them."""

    intent: Intent
    slots: list[Slot] = Field(max_length=8)


class Receipt(BaseModel):
    """The header fields of one Malaysian shop receipt."""

    company: str = Field(description="Name of the shop or company that issued the receipt")
    address: str | None = Field(description="Postal address of the shop, on one line")
    date: dt.date = Field(description="Date of the purchase; printed day first, e.g. 25/12/2018")
    total: float = Field(description="Amount to pay in RM after rounding, without the currency sign")


class Party(BaseModel):
    """Who sells or buys."""

    name: str | None
    street: str | None = Field(description="Street and number")
    postcode: str | None
    city: str | None
    country: str | None = Field(description="ISO 3166-1 alpha-2 code")
    vat_id: str | None = Field(description="VAT number without spaces, e.g. DE123456789")


class Line(BaseModel):
    """One line of an invoice."""

    description: str | None
    quantity: float | None
    unit_price: float | None = Field(description="Net price of one unit")
    vat_rate: float | None = Field(description="VAT per cent, e.g. 19")
    line_total: float | None = Field(description="Net total of the line")


class Tax(BaseModel):
    """The tax at one rate."""

    rate: float | None
    taxable_amount: float | None
    tax_amount: float | None


class Invoice(BaseModel):
    """An invoice."""

    invoice_number: str
    issue_date: dt.date
    currency: str = Field(min_length=3, max_length=3, description="ISO 4217 code")
    net_total: float | None
    tax_total: float | None
    grand_total: float = Field(description="Total with VAT")
    amount_due: float | None = Field(description="What is left to pay after advance payments")
    seller: Party
    buyer: Party
    taxes: list[Tax] = Field(max_length=4, description="One entry for each VAT rate")
    lines: list[Line] = Field(max_length=12)


MODELS: dict[str, type[BaseModel]] = {
    "restaurants_e2e": Restaurant,
    "snips_commands": Command,
    "receipts_sroie": Receipt,
    "invoices_pdf": Invoice,
}
PROMPTS = {
    "restaurants_e2e": (
        "Extract what the text says about the place to eat and answer in JSON. Use null for what it does not say.\n"
        f"Fields: {', '.join(Restaurant.model_fields)}"
    ),
    "snips_commands": (
        "Say what the voice command wants and answer in JSON.\n"
        "intent: what is wanted\n"
        "slots: the parts of the command, each with the name of its slot and its value in the words of the command"
    ),
    "receipts_sroie": (
        "Extract these fields from the receipt and answer in JSON.\n"
        "company: name of the shop or company that issued the receipt\n"
        "address: postal address of the shop\n"
        "date: date of the purchase\n"
        "total: amount to pay"
    ),
    "invoices_pdf": (
        "Extract these fields from the invoice and answer in JSON. Use null for what it does not say.\n"
        f"Fields: {', '.join(Invoice.model_fields)}"
    ),
}
MAX_TOKENS = {"restaurants_e2e": 256, "snips_commands": 256, "receipts_sroie": 256, "invoices_pdf": 1200}
