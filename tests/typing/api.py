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


async def use_inside_a_loop() -> None:
    assert_type(await extract.arun(pipeline, pd.DataFrame()), Result)
