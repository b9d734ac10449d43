"""Our pipelines: candidates, examples, evidence, second opinions."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field

from benchmarks.trust import described, invoices, schemas
from benchmarks.trust.opinions import Neighbours, likeness
from benchmarks.trust.printed import Printed, address_blocks
from benchmarks.trust.schemas import MAX_TOKENS, PROMPTS
from benchmarks.trust.sets import Part, Row
from benchmarks.trust.spoken import spoken
from extract import Evidence, Example, Model, Pipeline, Prompt, Record, Repair, Verbatim
from extract.spans import line_spans, name_spans, parse_number
from extract.verbatim import candidates

MODEL = "SmolLM2-135M-Instruct"


def pipeline_for(name: str, examples: Part) -> Pipeline:
    """Our pipeline for a data set."""
    return _MADE[name](examples)


def zero_shot(name: str) -> Pipeline:
    """One call with the plain schema and prompt; what does not fit the schema has no row."""
    prompt = Prompt(system=PROMPTS[name], user="{{ text }}")
    return Pipeline(name="zero_shot", schema=schemas.MODELS[name], key="id", prompt=prompt, model=_model(name))


def _model(name: str) -> Model:
    return Model(name=MODEL, max_tokens=MAX_TOKENS[name], temperature=0)


class Restaurant(schemas.Restaurant):
    """What one sentence or two say about a place to eat; the names are chosen among those of the text."""

    name: Annotated[str, Verbatim("name")]
    near: Annotated[str, Verbatim("name")] | None


def _restaurants(examples: Part) -> Pipeline:
    shown = []
    for text, row in examples.pairs:
        names = {span.shown for span in name_spans(text)}
        if row["name"] in names and row["near"] in (None, *names):
            shown.append(Example({"text": text}, {name: row[name] for name in Restaurant.model_fields}))
    return Pipeline(
        name="restaurants_e2e",
        schema=Restaurant,
        key="id",
        prompt=Prompt(system=PROMPTS["restaurants_e2e"], user="{{ text }}", examples=shown, nearest=4),
        model=_model("restaurants_e2e"),
        evidence=True,
        checks=described.OPINIONS,
        repair=Repair(max_repairs=1),
    )


def phrases(record: Record) -> list[str]:
    """Runs of one to six words, as they stand."""
    words = [(match.start(), match.end()) for match in re.finditer(r"[^\s,.;:!?]+(?:[.:,'’/-]\w+)*", record["text"])]
    return [
        record["text"][words[first][0] : words[last][1]]
        for first in range(len(words))
        for last in range(first, min(first + 6, len(words)))
    ]


class Slot(schemas.Slot):
    """One slot of a command, its value a run of the command's words."""

    value: Annotated[str, Verbatim(phrases, limit=100), Evidence()]


class Command(schemas.Command):
    """One spoken command: what is wanted, and the slots with the words of the text that fill them."""

    slots: list[Slot] = Field(max_length=8)  # type: ignore[assignment]  # a narrower slot


def _snips(examples: Part) -> Pipeline:
    commands = [(text, row["intent"], [(s["slot"], s["value"]) for s in row["slots"]]) for text, row in examples.pairs]
    shown = []
    for text, intent, slots in commands:
        known = phrases(Record("", 0, {"text": text}))
        if all(value in known for _, value in slots):
            answer = {"intent": intent, "slots": [{"slot": slot, "value": value} for slot, value in slots]}
            shown.append(Example({"text": text}, answer))
    texts, intents = tuple(text for text, _, _ in commands), tuple(intent for _, intent, _ in commands)
    return Pipeline(
        name="snips_commands",
        schema=Command,
        key="id",
        prompt=Prompt(
            system=PROMPTS["snips_commands"], user="{{ text }}", examples=shown, nearest=8, narrow=["intent"]
        ),
        model=_model("snips_commands"),
        checks=[Neighbours("intent", texts, intents), spoken(commands)],
        repair=Repair(max_repairs=1),
    )


def addresses(record: Record) -> list[str]:
    """Runs of lines that could be the shop's address."""
    return address_blocks(str(record["text"]))


class Receipt(BaseModel):
    """The header fields of one Malaysian shop receipt, each chosen among what it prints."""

    company: Annotated[str, Verbatim("line", first=8, trim=True)]
    address: Annotated[str, Verbatim(addresses)] | None
    date: Annotated[dt.date, Verbatim("date", day_first=True)]
    total: Annotated[Decimal, Verbatim("money", labelled=True)]


def _receipts(examples: Part) -> Pipeline:
    shown = [found for text, row in examples.pairs if (found := _receipt(text, row))]
    return Pipeline(
        name="receipts_sroie",
        schema=Receipt,
        key="id",
        prompt=Prompt(system=PROMPTS["receipts_sroie"], user="{{ text }}", examples=shown, nearest=2),
        model=_model("receipts_sroie"),
        evidence=Evidence(day_first=True),
        checks=[Printed()],
        repair=Repair(max_repairs=1),
    )


_GOOD_LABEL = re.compile(r"total|amount due|nett", re.I)
_BAD_LABEL = re.compile(r"excl|sub|before|gst|tax|qty|item|sr\b", re.I)


def _receipt(text: str, row: Row) -> Example | None:
    """A labelled receipt as an example, where what its gold says is among its candidates."""
    record = Record("", 0, {"text": text})
    company = next((span.shown for span in line_spans(text, trim=True)[:8] if _alike(span.shown, row["company"])), None)
    address = next((block for block in addresses(record) if _alike(block, row["address"] or "")), None)
    mark = Verbatim("money", labelled=True)
    amounts = [span for span in candidates(mark, record, ["text"]) if _amount(span) == Decimal(str(row["total"]))]
    total = max(amounts, key=lambda span: bool(_GOOD_LABEL.search(span)) - bool(_BAD_LABEL.search(span)), default=None)
    if not (company and address and total and row["date_as_printed"] in candidates(Verbatim("date"), record, ["text"])):
        return None
    answer = {"company": company, "address": address, "date": row["date_as_printed"], "total": total}
    return Example({"text": text}, answer)


def _alike(one: str, other: str) -> bool:
    return likeness(one, other) >= 0.95


def _amount(span: str) -> Decimal | None:
    found = re.search(r"[\d,.]+$", span)
    return parse_number(found.group()) if found else None


def _invoices(examples: Part) -> Pipeline:
    return Pipeline(
        name="invoices_pdf",
        schema=invoices.Invoice,
        key="id",
        prompt=Prompt(system=PROMPTS["invoices_pdf"], user="{{ text }}"),
        model=_model("invoices_pdf"),
        evidence=Evidence(day_first=True),
        checks=[invoices.Reckoned(), invoices.Labelled()],
        repair=Repair(max_repairs=1, longest_answer=2400),
    )


_MADE: Mapping[str, Callable[[Part], Pipeline]] = {
    "restaurants_e2e": _restaurants,
    "snips_commands": _snips,
    "receipts_sroie": _receipts,
    "invoices_pdf": _invoices,
}
