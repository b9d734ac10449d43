"""A sample that is really asked, so that an estimate rests on answers; they stay in the journal, and are paid once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.api import chosen_endpoint, in_thread, prepare_run, refuse_no_endpoint
from extract.config import Endpoint, Limits, model_name
from extract.errors import ConfigError, ExtractError
from extract.job import Job, running
from extract.pipeline import Pipeline, Prepared, default_out
from extract.probe import settle
from extract.progress import unseen
from extract.records import Outcome, Record
from extract.report import OnProgress, Report, Tally
from extract.shared_journal import opened_journal
from extract.shelf import resumed
from extract.sinks import RunDirectory, read_manifest
from extract.sinks.rundir import account_of, journal_of
from extract.stop import Stop
from extract.survey import Survey, answers_wanted, estimated_for, evenly, looked

if TYPE_CHECKING:
    import httpx


def sample(
    pipeline: Pipeline,
    source: Any = None,
    *,
    number: int,
    out: str | Path | None = None,
    endpoint: Endpoint | None = None,
    local: bool = False,
    limit: int | None = None,
    journal: str | Path | None = None,
    on_progress: OnProgress | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    share_limits: str | Path | None = None,
) -> Report:
    """Ask for some of the records that have no answer yet, spread evenly over the source, and keep what they answer.

    No table is made or changed: the next run finds these answers in the run directory's journal. The rest is as in
    `run`. Raises ConfigError, before any call, for a sample that might pass a cap of the pipeline's limits.
    """
    stop = Stop()
    work = partial(
        asample,
        pipeline,
        source,
        number=number,
        out=out,
        endpoint=endpoint,
        local=local,
        limit=limit,
        journal=journal,
        on_progress=on_progress,
        transport=transport,
        share_limits=share_limits,
        stop=stop,
    )
    return in_thread(work, stop)


async def asample(
    pipeline: Pipeline,
    source: Any = None,
    *,
    number: int,
    out: str | Path | None = None,
    endpoint: Endpoint | None = None,
    local: bool = False,
    limit: int | None = None,
    journal: str | Path | None = None,
    on_progress: OnProgress | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    share_limits: str | Path | None = None,
    stop: Stop | None = None,
) -> Report:
    """`sample` for a running event loop."""
    if number < 1:
        raise ConfigError(f"a sample of {number} records", hint="at least 1")
    chosen = await settle(chosen_endpoint(pipeline, endpoint, local), model_name(pipeline.model), transport)
    prepared = prepare_run(pipeline, source, endpoint=chosen, limit=limit)
    if transport is None:
        refuse_no_endpoint(prepared.endpoint)
    root = Path(out) if out else default_out(pipeline)
    place = journal_of(root, Path(journal) if journal else None)
    records = await asyncio.to_thread(_drawn, prepared, place, number, account_of(root))
    scan = await asyncio.to_thread(prepared.source.scan)
    with unseen() as notify, ExitStack() as leaving:
        own = Path(journal) if journal else None
        shared = Path(share_limits) if share_limits else None
        job = Job(prepared, scan, root, stop or Stop(), on_progress or notify, own, share_limits=shared)
        await job.join(leaving)
        return await _ask(job, records, transport)


def _drawn(prepared: Prepared, place: Path, number: int, account: str) -> list[Record]:
    """The records of the sample. Raises ConfigError when their calls might pass a cap."""
    found = looked(prepared, place if place.exists() else None, account)
    chosen = evenly(found, number)
    _refuse_above_caps(found, chosen, prepared.limits)
    positions = {found.places[each] for each in chosen}
    return [record for record in prepared.source.records() if record.position in positions]


def _refuse_above_caps(found: Survey, chosen: Sequence[int], limits: Limits) -> None:
    """By the least number of requests; tokens and cost by the upper end of what is estimated."""
    estimate = estimated_for(found, chosen)
    requests = len(chosen) * answers_wanted(found.prepared)
    tokens = round(estimate.input_tokens.high + estimate.output_tokens.high)
    cost = estimate.cost_usd.high if estimate.cost_usd else 0.0
    for name, cap, high, said in (
        ("max_requests", limits.max_requests, requests, f"makes {requests:,} requests"),
        ("max_total_tokens", limits.max_total_tokens, tokens, f"may use {tokens:,} tokens"),
        ("max_cost_usd", limits.max_cost_usd, cost, f"may cost {cost:.4f} USD"),
    ):
        if cap is not None and high > cap:
            raise ConfigError(
                f"a sample of {len(chosen):,} records {said}, limits.{name} is {cap:,}",
                hint="ask fewer, or raise the cap; nothing was asked",
            )


async def _ask(job: Job, records: Sequence[Record], transport: httpx.AsyncBaseTransport | None) -> Report:
    tally = Tally(records=len(records))
    with RunDirectory(job.out, job.journal) as directory:
        tally = resumed(tally, read_manifest(job.out))
        directory.sign()
        with opened_journal(directory, directory.journal_path) as journal:
            job.stop.attach()
            async with running(job.prepared.endpoint) as endpoint, job.client(endpoint, transport) as client:
                runner = job.runner(client, journal, tally)
                await runner.run(records, _put_aside)
            await journal.flush()
            await journal.forget(runner.unfounded)
    report = job.report(tally, job.stop.reason)
    if job.stop.reason:
        if isinstance(job.stop.reason, ExtractError):
            job.stop.reason.report = report
        raise job.stop.reason
    return report


async def _put_aside(outcome: Outcome) -> None:
    """What a record came to is in the journal; a run makes its row."""
