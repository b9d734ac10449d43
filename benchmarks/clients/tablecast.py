"""Ours: the whole pipeline as users run it, journal on."""

from __future__ import annotations

from pydantic import SecretStr

import extract
from benchmarks.task import KEY, MAX_TOKENS, MODEL, SHARD_ROWS, SYSTEM, Invoice, Job
from extract import Endpoint, Limits, Model, Pipeline, Prompt


def run(job: Job) -> None:
    """One run, in a directory of its own."""
    extract.run(pipeline_of(job), job.source, out=job.out)


def pipeline_of(job: Job) -> Pipeline:
    """The pipeline of a job."""
    return Pipeline(
        name="benchmark",
        schema=Invoice,
        key="id",
        prompt=Prompt(system=SYSTEM, user="Extract the invoice.\n\n{{ text }}"),
        model=Model(name=MODEL, max_tokens=MAX_TOKENS, temperature=0),
        limits=Limits(concurrency=job.concurrency),
        endpoint=Endpoint(base_url=job.base_url, api_key=SecretStr(KEY)),
        shard_rows=SHARD_ROWS,
    )
