"""What a type checker must make of the public face; `make check` runs it through mypy."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, assert_type

import pandas as pd
import pyarrow as pa
from pydantic import BaseModel

import extract
from extract import Endpoint, Limits, Model, Pipeline, Prompt, Result, Retry, Verbatim, checks
from extract.evaluation import Difference, Evaluation, Sample, diff, draw_sample
from extract.evaluation.measures import FieldScore
from extract.sampling import sample


def lookup(name: str) -> int | None:
    """Find a number."""
    return None


class Receipt(BaseModel):
    date: Annotated[dt.date, Verbatim("date")]
    total: Annotated[Decimal, Verbatim("money", labelled=True)]


def own_check(value: Receipt, record: extract.Record) -> str | None:
    return None if value.total >= 0 else f"negative in {record.key}"


pipeline = Pipeline(
    name="receipts",
    schema=Receipt,
    prompt=Prompt(user="{{ text }}", examples=[{"record": {"text": "t"}, "answer": {}}]),
    checks=[own_check, checks.verbatim("total")],
    model=Model(name="m", max_tokens=10),
    limits=Limits(concurrency=2),
    retry=Retry(max_attempts=3),
    endpoint=Endpoint.local(),
    tools=[lookup, extract.tool_of(lookup, name="other")],
)


def use() -> None:
    result = extract.run(pipeline, "data.csv", out="out")
    assert_type(result, Result)
    assert_type(result.to_pandas(), pd.DataFrame)
    assert_type(result.report.ok, int)
    assert_type(result.ok, bool)
    table: pa.Table = result.table
    assert table is not None


def use_what_comes_after(result: Result) -> None:
    found = extract.evaluate(result, "gold.csv", compare={"total": "number:0.01"}, missing="skip")
    assert_type(found, Evaluation)
    assert_type(found.fields["total"], FieldScore)
    assert_type(found.micro.f1, float | None)
    assert_type(diff("out/first", "out/second", gold="gold.csv"), Difference)
    assert_type(draw_sample("out/first", 100), Sample)
    again = extract.redrive("out", pipeline, "data.csv", reasons=["schema.*"], model="another")
    assert_type(again, extract.Redriven)
    assert_type(again.mended, int)
    assert_type(again.report, extract.Report)
    by_hand = extract.accept("out", pipeline, "edits.csv", undo=["r-1"], partial=True)
    assert_type(by_hand, extract.Accepted)
    assert_type(by_hand.report.human, int)
    assert_type(sample(pipeline, "data.csv", number=20), extract.Report)


async def use_inside_a_loop() -> None:
    assert_type(await extract.arun(pipeline, pd.DataFrame()), Result)
