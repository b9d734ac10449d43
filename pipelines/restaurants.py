"""Short descriptions of places to eat: text → a row of names, enums and nulls."""

from __future__ import annotations

from pathlib import Path

from extract import Model, Pipeline, Prompt, checks
from schemas.restaurants import Restaurant

_DATA = Path(__file__).parent.parent / "data"

pipeline = Pipeline(
    name="restaurants",
    schema=Restaurant,
    source=_DATA / "restaurants.csv",
    key="id",
    prompt=Prompt(
        system=(
            "Extract what the text says about the place to eat and answer in JSON. Use null for what it does not say."
        ),
        user="{{ text }}",
        examples=_DATA / "restaurants_examples.jsonl",
        nearest=4,
    ),
    checks=[checks.verbatim("name", "near")],
    model=Model(max_tokens=200, temperature=0),
)
