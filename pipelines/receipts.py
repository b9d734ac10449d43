"""Till receipts: document → row. Every value is chosen among what the receipt prints."""

from __future__ import annotations

from pathlib import Path

from extract import Model, Pipeline, Prompt, checks
from schemas.receipts import Receipt

_DATA = Path(__file__).parent.parent / "data"

pipeline = Pipeline(
    name="receipts",
    schema=Receipt,
    source=_DATA / "receipts.csv",
    key="id",
    prompt=Prompt(
        system=(
            "Extract these fields from the receipt and answer in JSON.\n"
            "company: name of the shop or company that issued the receipt\n"
            "date: date of the purchase\n"
            "total: amount to pay\n"
            "payment: cash or card, null when the receipt names neither"
        ),
        user="{{ text }}",
        examples=_DATA / "receipts_examples.jsonl",
    ),
    checks=[
        checks.labelled("total", r"\b(total|totale|due|to pay|a payer|zu zahlen|te betalen|sum|summe|amount|balance)\b")
    ],
    model=Model(max_tokens=256, temperature=0),
)
