"""Customer messages: classification with enums, shown by the examples most like each message."""

from __future__ import annotations

from pathlib import Path

from extract import Model, Pipeline, Prompt
from schemas.tickets import Ticket

_DATA = Path(__file__).parent.parent / "data"

pipeline = Pipeline(
    name="tickets",
    schema=Ticket,
    source=_DATA / "tickets.csv",
    key="id",
    columns=["received"],
    prompt=Prompt(
        system="Classify the customer's message and answer in JSON.",
        user="{{ text }}",
        examples=_DATA / "tickets_examples.jsonl",
        nearest=4,
    ),
    model=Model(max_tokens=64, temperature=0),
)
