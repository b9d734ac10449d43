"""The labelled data: which records choose the settings, which are measured, which serve as examples.

In the order of each file: the first `development` records choose prompts, rules and settings; the next `measured` are
measured; what follows are labelled examples, for few-shot prompts and for rules that count. No record is in two parts.
All invoices are measured, so nothing was chosen on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
Row = dict[str, Any]


@dataclass(frozen=True)
class DataSet:
    """A data set and its parts; `compare` names all compared fields, with what makes them equal."""

    name: str
    development: int
    measured: int
    compare: Mapping[str, str]
    shaped: Callable[[Mapping[str, Any]], Row] = dict  # a row of the model, or of gold, as it is compared
    context: int = 4096  # tokens of the model for a prompt and its answer
    slots: int = 2
    tidied: Callable[[str], str] = str  # the text that all are given


@dataclass(frozen=True)
class Part:
    """Records with their gold, as rows with id and text."""

    records: pd.DataFrame
    gold: Sequence[Row]

    @property
    def pairs(self) -> list[tuple[str, Row]]:
        """Texts with their gold."""
        return list(zip(self.records["text"], self.gold, strict=True))


@dataclass(frozen=True)
class Parts:
    """The parts of a data set."""

    development: Part
    measured: Part
    examples: Part = field(repr=False)


def parts(data: DataSet, number: int | None = None, folder: Path = DATA) -> Parts:
    """The parts as they were read; `number`: only so many measured and development records."""
    records = pd.read_csv(folder / data.name / "records.csv", dtype=str, keep_default_na=False)[["id", "text"]]
    records["text"] = [data.tidied(text) for text in records["text"]]
    gold = {row["id"]: _without_nan(row) for row in pq.read_table(folder / data.name / "gold.parquet").to_pylist()}

    def part(begin: int, end: int | None) -> Part:
        own = records.iloc[begin:end].reset_index(drop=True)
        return Part(own, [gold[each] for each in own["id"]])

    first, last = data.development, data.development + data.measured
    some = min(number, data.measured) if number else data.measured
    return Parts(part(0, min(first, number or first)), part(first, first + some), part(last, None))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if value != value else value  # noqa: PLR0124  # only NaN is not itself


def _only(*names: str) -> Callable[[Mapping[str, Any]], Row]:
    return lambda row: {name: row.get(name) for name in names}


def _command(row: Mapping[str, Any]) -> Row:
    """Slots as (name, value) pairs, in any case: one text each, so that a pair is right or not."""
    slots = [f"{slot['slot']}={' '.join(slot['value'].split()).casefold()}" for slot in row["slots"] or ()]
    return {"intent": row["intent"], "slots": slots}


def _tidied(text: str) -> str:
    """Runs of spaces cut to three, of empty lines to one, so that an invoice fits a small context."""
    lines = [_cut(line) for line in text.splitlines()]
    kept = [line for at, line in enumerate(lines) if line.strip() or (at and lines[at - 1].strip())]
    return "\n".join(kept).strip()


def _cut(line: str) -> str:
    cells = [cell.strip() for cell in line.split("  ") if cell.strip()]
    return "   ".join(cells)


_NAMES = dict.fromkeys(("name", "street", "postcode", "city", "country", "vat_id"), "similar:0.9")
_PARTY = {**_NAMES, "postcode": "folded", "country": "folded", "vat_id": "folded"}
_NUMBER = "number:0.005"
INVOICE = {
    "invoice_number": "folded",
    "issue_date": "date",
    "currency": "folded",
    "net_total": _NUMBER,
    "tax_total": _NUMBER,
    "grand_total": _NUMBER,
    "amount_due": _NUMBER,
    **{f"{party}.{name}": kind for party in ("seller", "buyer") for name, kind in _PARTY.items()},
    **dict.fromkeys(("taxes.rate", "taxes.taxable_amount", "taxes.tax_amount"), _NUMBER),
    "lines.description": "similar:0.8",
    **dict.fromkeys(("lines.quantity", "lines.unit_price", "lines.vat_rate", "lines.line_total"), _NUMBER),
}


def _invoice(row: Mapping[str, Any]) -> Row:
    found = {name: row.get(name) for name in dict.fromkeys(path.partition(".")[0] for path in INVOICE)}
    found["lines"] = [{k: v for k, v in line.items() if k != "unit_code"} for line in found["lines"] or ()]
    return found if row.get("lines_scored", True) else {**found, "lines": []}


RESTAURANTS = DataSet(
    "restaurants_e2e",
    development=100,
    measured=200,
    compare={
        "name": "text",
        **dict.fromkeys(("eat_type", "food", "price_range", "customer_rating", "area", "family_friendly"), "enum"),
        "near": "text",
    },
    shaped=_only("name", "eat_type", "food", "price_range", "customer_rating", "area", "family_friendly", "near"),
)
SNIPS = DataSet(
    "snips_commands",
    development=100,
    measured=200,
    compare={"intent": "enum", "slots": "list"},
    shaped=_command,
)
RECEIPTS = DataSet(
    "receipts_sroie",
    development=100,
    measured=100,
    compare={"company": "similar:0.9", "address": "similar:0.9", "date": "date", "total": "number:0.005"},
    shaped=_only("company", "address", "date", "total"),
)
INVOICES = DataSet(
    "invoices_pdf",
    development=0,
    measured=34,
    compare=INVOICE,
    shaped=_invoice,
    context=8192,
    slots=1,
    tidied=_tidied,
)
SETS = (RESTAURANTS, SNIPS, RECEIPTS, INVOICES)
