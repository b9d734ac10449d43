"""Accuracy of the local model on the labelled data beside the checkout: ours against one zero-shot call.

    python -m benchmarks.results [--only receipts_sroie] [--data ../shared/data] [--out out/results]

Prints the table of docs/results.md, counted by `extract.evaluate`, whose pages lie beside the runs. Few-shot examples
never come from the records that are scored: receipts use the invented ones of data/, the others the records that follow
the scored ones. The baseline is the same model with the same fields in plain types: one zero-shot call a record, no
examples, no candidates, no checks.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, create_model

import extract
from extract import Endpoint, Example, Limits, Model, Pipeline, Prompt, Verbatim
from extract.client import Client
from extract.nearest import Nearest
from extract.preparing import prepare
from extract.server import LocalServer
from extract.sources import open_source
from extract.spans import name_spans
from pipelines.receipts import pipeline as receipts

NEIGHBOURS = 8  # examples shown for a classification


@dataclass(frozen=True)
class Task:
    """A data set: how many records are scored, with which pipeline, against which plain schema."""

    name: str
    scored: int
    fields: tuple[str, ...]
    pipeline: Callable[[pd.DataFrame, pd.DataFrame], Pipeline]  # of the pool's records and gold
    plain: Callable[[pd.DataFrame], type[BaseModel]]  # of the gold
    system: str
    compare: Mapping[str, str] = field(default_factory=dict)  # else as the types say


def main() -> None:
    """Run the tasks and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--out", type=Path, default=Path("out/results"))
    parser.add_argument("--only", choices=[task.name for task in TASKS])
    options = parser.parse_args()
    for task in TASKS:
        if options.only in (None, task.name):
            print(_table(task, options.data / task.name, options.out / task.name), flush=True)


def _table(task: Task, data: Path, out: Path) -> str:
    records = pd.read_csv(data / "records.csv", dtype=str, keep_default_na=False)
    gold = pd.read_parquet(data / "gold.parquet").set_index("id").loc[records["id"]].reset_index()
    scored, truth = records.iloc[: task.scored], gold.iloc[: task.scored]
    pool, pool_gold = records.iloc[task.scored :], gold.iloc[task.scored :]
    pipeline = task.pipeline(pool, pool_gold)

    begun = time.monotonic()
    plain, plain_tokens = asyncio.run(_baseline(task, task.plain(gold), scored))
    between = time.monotonic()
    result = extract.run(pipeline, scored, out=out, local=True)
    ended = time.monotonic()

    settings: dict[str, Any] = {"key": "id", "fields": task.fields, "compare": task.compare}
    base, ours = (extract.evaluate(side, truth, **settings) for side in (plain, result))
    for name, found in (("zero-shot", base), ("ours", ours)):
        out.with_name(f"{task.name}-{name}.html").write_text(found.html(), "utf-8")
    lines = [
        f"### {task.name}, {task.scored} records",
        "",
        "| field | zero-shot, right | ours, right | ours, wrong in the table | ours, quarantined |",
        "|---|--:|--:|--:|--:|",
    ]
    for name in task.fields:
        ahead, mine = base.fields[name].right, ours.fields[name]
        lines.append(f"| {name} | {ahead} | {mine.right} | {mine.wrong_rows} | {ours.quarantined} |")
    report = result.report
    lines += [
        "",
        f"Zero-shot: {between - begun:.0f} s, {plain_tokens:,} tokens. Ours: {ended - between:.0f} s, "
        f"{report.input_tokens + report.output_tokens:,} tokens; {report.line}.",
    ]
    if len(task.fields) == 1:
        lines.append(_votes(task, scored, truth, pool, pool_gold))
    return "\n".join([*lines, ""])


async def _baseline(task: Task, schema: type[BaseModel], records: pd.DataFrame) -> tuple[pa.Table, int]:
    """One zero-shot call a record, the raw answer taken as it is; one that is no JSON object is no row."""
    pipeline = Pipeline(
        name="baseline",
        schema=schema,
        key="id",
        prompt=Prompt(system=task.system, user="{{ text }}"),
        model=Model(max_tokens=256, temperature=0),
    )
    prepared = prepare(pipeline, open_source(records, "id"), Endpoint.local())
    found: list[dict[str, Any]] = []
    tokens = 0
    permits = asyncio.Semaphore(4)
    with LocalServer() as server:
        async with Client(Endpoint(base_url=server.base_url), prepared.model_name, Limits()) as client:

            async def ask(record: extract.Record) -> None:
                nonlocal tokens
                async with permits:
                    completion = await client(prepared.build(record))
                tokens += completion.usage.input_tokens + completion.usage.output_tokens
                with suppress(ValueError, TypeError):
                    said = {**json.loads(completion.content or "")}
                    found.append({"id": str(record.key), **{name: said.get(name) for name in task.fields}})

            await asyncio.gather(*(ask(record) for record in prepared.source.records()))
    return pa.Table.from_pylist(found), tokens


def _votes(task: Task, scored: pd.DataFrame, truth: pd.DataFrame, pool: pd.DataFrame, pool_gold: pd.DataFrame) -> str:
    """What the same neighbours say without any model: the share that is retrieval's."""
    field = task.fields[0]
    index, answers = Nearest(list(pool["text"])), list(pool_gold[field])
    votes = [
        Counter(answers[i] for i in index.closest(text, NEIGHBOURS)).most_common(1)[0][0] for text in scored["text"]
    ]
    right = sum(vote == value for vote, value in zip(votes, truth[field], strict=True))
    return f"\nA vote of the same {NEIGHBOURS} neighbours, without a model: {right} right."


class PlainReceipt(BaseModel):
    """A receipt in plain types."""

    company: str
    date: dt.date
    total: float


class BoundReceipt(BaseModel):
    """The same, each value chosen among the spans of the receipt."""

    company: Annotated[str, Verbatim("line", first=8, trim=True)]
    date: Annotated[dt.date, Verbatim("date", day_first=True)]
    total: Annotated[Decimal, Verbatim("money", labelled=True)]


EatType = Literal["restaurant", "pub", "coffee shop"]
Food = Literal["Chinese", "English", "Fast food", "French", "Indian", "Italian", "Japanese"]
Price = Literal["cheap", "moderate", "high", "less than £20", "£20-25", "more than £30"]
Rating = Literal["low", "average", "high", "1 out of 5", "3 out of 5", "5 out of 5"]
Area = Literal["city centre", "riverside"]


class PlainRestaurant(BaseModel):
    """What a text says of a place to eat, in plain types."""

    name: str
    eat_type: EatType | None
    food: Food | None
    price_range: Price | None
    customer_rating: Rating | None
    area: Area | None
    family_friendly: bool | None
    near: str | None


class BoundRestaurant(PlainRestaurant):
    """The same, with the two names chosen among the names of the text."""

    name: Annotated[str, Verbatim("name")]
    near: Annotated[str, Verbatim("name")] | None


RECEIPT_PROMPT = (
    "Extract these fields from the receipt and answer in JSON.\n"
    "company: name of the shop or company that issued the receipt\n"
    "date: date of the purchase\n"
    "total: amount to pay"
)
RESTAURANT_PROMPT = (
    "Extract what the text says about the place to eat and answer in JSON. Use null for what it does not say.\n"
    f"Fields: {', '.join(PlainRestaurant.model_fields)}"
)
BANKING_PROMPT = "Classify the bank customer's question by its intent and answer in JSON."
SNIPS_PROMPT = "Classify the voice command by its intent and answer in JSON."


def _receipts(pool: pd.DataFrame, gold: pd.DataFrame) -> Pipeline:
    """The shipped pipeline without the field that this gold lacks."""
    prompt = receipts.prompt
    assert isinstance(prompt, Prompt)
    examples = [
        Example(example.record, {name: example.answer[name] for name in BoundReceipt.model_fields})
        for example in prompt.loaded_examples
    ]
    prompt = replace(prompt, system=RECEIPT_PROMPT, examples=examples)
    return replace(receipts, name="receipts_sroie", schema=BoundReceipt, prompt=prompt)


def _restaurants(pool: pd.DataFrame, gold: pd.DataFrame) -> Pipeline:
    return Pipeline(
        name="restaurants_e2e",
        schema=BoundRestaurant,
        key="id",
        prompt=Prompt(
            system=RESTAURANT_PROMPT,
            user="{{ text }}",
            examples=_examples(pool, gold, tuple(PlainRestaurant.model_fields)),
            nearest=4,
        ),
        model=Model(max_tokens=256, temperature=0),
    )


def _classifier(name: str, system: str) -> Callable[[pd.DataFrame, pd.DataFrame], Pipeline]:
    def build(pool: pd.DataFrame, gold: pd.DataFrame) -> Pipeline:
        prompt = Prompt(
            system=system,
            user="{{ text }}",
            examples=_examples(pool, gold, ("intent",)),
            nearest=NEIGHBOURS,
            narrow=["intent"],
        )
        model = Model(max_tokens=64, temperature=0)
        return Pipeline(name=name, schema=_intents(gold), key="id", prompt=prompt, model=model)

    return build


def _intents(gold: pd.DataFrame) -> type[BaseModel]:
    labels = tuple(sorted(set(gold["intent"])))
    return create_model("Intent", intent=(Literal[labels], ...))  # type: ignore[arg-type]  # labels are read at run time


def _examples(pool: pd.DataFrame, gold: pd.DataFrame, fields: tuple[str, ...]) -> list[Example]:
    """Labelled records as examples; one whose names are not among the text's names cannot be shown as chosen."""
    found = []
    for text, answer in zip(pool["text"], gold[list(fields)].to_dict("records"), strict=True):
        names = {span.shown for span in name_spans(text)}
        clean = {field: None if value is None or value != value else value for field, value in answer.items()}  # noqa: PLR0124
        if all(clean[field] in (None, *names) for field in ("name", "near") if field in clean):
            found.append(Example({"text": text}, {str(field): value for field, value in clean.items()}))
    return found


TASKS = (
    Task(
        name="receipts_sroie",
        scored=40,
        fields=("company", "date", "total"),
        pipeline=_receipts,
        plain=lambda gold: PlainReceipt,
        system=RECEIPT_PROMPT,
        compare={"company": "similar:0.9", "date": "date", "total": "number:0.005"},
    ),
    Task(
        name="banking77",
        scored=100,
        fields=("intent",),
        pipeline=_classifier("banking77", BANKING_PROMPT),
        plain=_intents,
        system=BANKING_PROMPT,
    ),
    Task(
        name="restaurants_e2e",
        scored=60,
        fields=tuple(PlainRestaurant.model_fields),
        pipeline=_restaurants,
        plain=lambda gold: PlainRestaurant,
        system=RESTAURANT_PROMPT,
    ),
    Task(
        name="snips_commands",
        scored=60,
        fields=("intent",),
        pipeline=_classifier("snips_commands", SNIPS_PROMPT),
        plain=_intents,
        system=SNIPS_PROMPT,
    ),
)

if __name__ == "__main__":
    main()
