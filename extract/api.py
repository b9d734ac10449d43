"""`run` and `arun`: where source, sender, runner, sink and report meet."""

from __future__ import annotations

import asyncio
import platform
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from extract import progress
from extract.client import Client
from extract.config import Endpoint
from extract.errors import ConfigError, RunDirectoryError, RunStopped
from extract.journal import Journal, Totals
from extract.limits import with_limits
from extract.pipeline import Pipeline, Prepared, default_out, prepare
from extract.records import Outcome
from extract.report import Report, Tally, by_number
from extract.retry import with_retries
from extract.runner import Runner, Stop, journaled, until_stopped
from extract.sinks import QUARANTINE, TABLE, RunDirectory, Shard, ShardWriter, read_shards, write_manifest
from extract.sinks.rundir import remove_tables
from extract.sources import Scan, open_source
from extract.version import __version__

if TYPE_CHECKING:
    import httpx
    import pandas as pd

OnProgress = Callable[[Tally], None]

WIDTH_FACTOR = 2  # records at work for each call in flight, so that a slow one does not hold up the others
WIDTH_FLOOR = 64


@dataclass(frozen=True)
class Result:
    """A finished run: its tables are read from the run directory when asked for."""

    path: Path
    report: Report
    prepared: Prepared = field(repr=False)
    max_failed: int = 0

    @property
    def ok(self) -> bool:
        """Whether every record got a row (`max_failed` quarantined ones allowed)."""
        return self.report.pending == 0 and self.report.quarantined <= self.max_failed

    @cached_property
    def table(self) -> pa.Table:
        """The typed rows that passed: key, passed-through columns, fields, and `_…` columns about the call."""
        return read_shards(self.path / TABLE, self.prepared.pipeline.format, self._writer.table_schema)

    @cached_property
    def quarantine(self) -> pa.Table:
        """The records that did not pass: key, reason, stage, path, message, value, raw answer, source columns."""
        return read_shards(self.path / QUARANTINE, self.prepared.pipeline.format, self._writer.quarantine_schema)

    def to_pandas(self) -> pd.DataFrame:
        """The table as a DataFrame."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame

    @property
    def _writer(self) -> ShardWriter:
        return _writer(self.prepared, self.path)

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def run(
    pipeline: Pipeline,
    source: Any = None,
    *,
    out: str | Path | None = None,
    endpoint: Endpoint | None = None,
    local: bool = False,
    limit: int | None = None,
    max_failed: int = 0,
    on_progress: OnProgress | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Result:
    """Run a pipeline and wait for it; works in scripts, in notebooks and inside a running event loop.

    source: path, DataFrame or Arrow table; None: the pipeline's own. out: run directory, default `out/<name>`; the same
    call again asks only for what has no answer yet. endpoint: default the pipeline's, else the environment's. local:
    the model on this machine. limit: only the first records. on_progress: called with the running `Tally`,
    None: a progress bar in a notebook. transport: any httpx transport in place of the built-in one.

    Ctrl-C finishes the calls in flight and raises RunStopped; a second one ends at once.
    Raises ConfigError and InputError before any call; RunStopped and APIError when the run cannot go on.
    """
    stop = Stop()
    work = partial(
        arun,
        pipeline,
        source,
        out=out,
        endpoint=endpoint,
        local=local,
        limit=limit,
        max_failed=max_failed,
        on_progress=on_progress,
        transport=transport,
        stop=stop,
    )
    return _in_thread(work, stop)


async def arun(
    pipeline: Pipeline,
    source: Any = None,
    *,
    out: str | Path | None = None,
    endpoint: Endpoint | None = None,
    local: bool = False,
    limit: int | None = None,
    max_failed: int = 0,
    on_progress: OnProgress | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    stop: Stop | None = None,
) -> Result:
    """`run` for a running event loop. `stop.request(reason)` ends the run early, from any thread."""
    prepared = prepare_run(pipeline, source, endpoint=endpoint, local=local, limit=limit)
    scan = await asyncio.to_thread(prepared.source.scan)
    with nullcontext(on_progress) if on_progress else progress.default() as notify:
        job = _Job(prepared, scan, Path(out) if out else default_out(pipeline), stop or Stop(), notify)
        return Result(job.out, await job.run(transport), prepared, max_failed)


def prepare_run(
    pipeline: Pipeline,
    source: Any = None,
    *,
    endpoint: Endpoint | None = None,
    local: bool = False,
    limit: int | None = None,
) -> Prepared:
    """Everything checked that can be known without reading the whole source. Raises ConfigError, InputError."""
    chosen = Endpoint.local() if local else endpoint or pipeline.endpoint or Endpoint.from_environment()
    given = pipeline.source if source is None else source
    if given is None:
        raise ConfigError(f"pipeline {pipeline.name!r} has no source", hint="name one: run(pipeline, 'data.csv')")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}", hint="at least 1")
    return prepare(pipeline, open_source(given, pipeline.key, limit), chosen)


@dataclass
class _Job:
    """One run in one directory."""

    prepared: Prepared
    scan: Scan
    out: Path
    stop: Stop
    notify: OnProgress

    async def run(self, transport: httpx.AsyncBaseTransport | None) -> Report:
        with RunDirectory(self.out) as directory:
            root, shards, done = directory.root_for(self._fingerprints, again=True)
            if done:
                return self._report(self._tally(shards), None)
            if not shards:
                remove_tables(root)
            directory.sign()
            with Journal(directory.journal_path) as journal:
                report = await self._make_tables(root, shards, journal, transport)
            directory.put_in_place()
            return report

    async def _make_tables(
        self, root: Path, shards: list[Shard], journal: Journal, transport: httpx.AsyncBaseTransport | None
    ) -> Report:
        tally = self._tally(shards)
        shelf = _Shelf(self, root, shards, journal, tally)
        shelf.write_manifest()
        self.stop.attach()
        position = sum(shard.records for shard in shards)
        records = islice(self.prepared.source.records_of(self.scan), position, None)
        with _local_server(self.prepared.endpoint) as endpoint:
            async with Client(endpoint, self.prepared.model_name, self.prepared.limits, transport) as client:
                runner = self._runner(client, journal, tally)
                await runner.run(records, shelf.add)
        await journal.flush()
        if self.stop.reason:
            shelf.write_manifest()
            self.stop.reason.report = self._report(tally, self.stop.reason)  # type: ignore[attr-defined]
            raise self.stop.reason
        await shelf.finish()
        return self._report(tally, None)

    def _runner(self, client: Client, journal: Journal, tally: Tally) -> Runner:
        """Every attempt pays for its own permit, so limits stand inside retries."""
        pipeline, limits = self.prepared.pipeline, self.prepared.limits
        limited = until_stopped(
            with_limits(
                until_stopped(journaled(client, journal), self.stop), limits, pipeline.model, sleep=self.stop.sleep
            ),
            self.stop,
        )
        runner = Runner(
            build=self.prepared.build,
            judge=self.prepared.judge,
            journal=journal,
            send=limited,
            model=pipeline.model,
            tally=tally,
            stop=self.stop,
            width=limits.concurrency * WIDTH_FACTOR + WIDTH_FLOOR,
            notify=self.notify,
        )
        runner.send = with_retries(limited, pipeline.retry, on_failure=runner.failed, sleep=self.stop.sleep)
        return runner

    @property
    def _fingerprints(self) -> dict[str, str]:
        prepared = self.prepared
        return {
            "source": self.scan.fingerprint,
            "pipeline": prepared.fingerprint,
            "schema": prepared.schema.fingerprint,
        }

    def _tally(self, shards: Sequence[Shard]) -> Tally:
        tally = Tally(records=self.scan.count)
        for shard in shards:
            tally.ok += shard.ok
            tally.quarantined += shard.quarantined
            tally.reasons.update(shard.reasons)
        tally.begun_with = tally.done
        return tally

    def _report(self, tally: Tally, stopped: Exception | None) -> Report:
        return Report(
            records=tally.records,
            ok=tally.ok,
            quarantined=tally.quarantined,
            reasons=by_number(tally.reasons),
            requests=tally.requests,
            retries=tally.retries,
            input_tokens=tally.usage.input_tokens,
            output_tokens=tally.usage.output_tokens,
            cost_usd=tally.cost_usd,
            seconds=tally.seconds,
            losses=tuple(str(loss) for loss in self.prepared.schema.losses),
            stopped=str(stopped) if stopped else None,
        )


@dataclass
class _Shelf:
    """Collects outcomes into shards, and keeps the manifest in step with what is committed."""

    job: _Job
    root: Path
    shards: list[Shard]
    journal: Journal
    tally: Tally
    _outcomes: list[Outcome] = field(default_factory=list)

    async def add(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        if len(self._outcomes) == self.job.prepared.pipeline.shard_rows:
            await self._commit()

    async def finish(self) -> None:
        """Commit the last shard and say that the run is complete."""
        if self._outcomes:
            await self._commit()
        self.write_manifest(complete=True)

    async def _commit(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        writer = _writer(self.job.prepared, self.root)
        try:
            await asyncio.to_thread(writer.write, len(self.shards), outcomes)
        except OSError as error:
            raise RunDirectoryError(
                f"{self.root} cannot be written: {error.strerror}", hint="free space, then run again"
            ) from error
        self.shards.append(_shard(outcomes))
        self.write_manifest()

    def write_manifest(self, complete: bool = False) -> None:
        job, prepared = self.job, self.job.prepared
        ok, quarantined = sum(shard.ok for shard in self.shards), sum(shard.quarantined for shard in self.shards)
        reasons = self.job._tally(self.shards).reasons
        totals = self.journal.totals()
        counts = {
            "in": job.scan.count,
            "ok": ok,
            "quarantined": quarantined,
            "pending": job.scan.count - ok - quarantined,
        }
        manifest = {
            "complete": complete,
            "pipeline": prepared.pipeline.name,
            "counts": counts,
            "reasons": by_number(reasons),
            "requests": totals.requests,
            "retries": totals.retries,
            "tokens": {"input": totals.usage.input_tokens, "output": totals.usage.output_tokens},
            "cost_usd": _total_cost(prepared, totals),
            "seconds": round(self.tally.seconds, 3),
            "fingerprints": job._fingerprints,
            "model": prepared.model_name,
            "endpoint": "local" if prepared.endpoint.is_local else prepared.endpoint.base_url,
            "source": prepared.source.label,
            "table_format": prepared.pipeline.format,
            "losses": [str(loss) for loss in prepared.schema.losses],
            "versions": _versions(),
            "shards": [
                {"ok": s.ok, "quarantined": s.quarantined, "reasons": dict(s.reasons), "unanswered": s.unanswered}
                for s in self.shards
            ],
        }
        write_manifest(self.root, manifest)


def _shard(outcomes: Sequence[Outcome]) -> Shard:
    reasons: dict[str, int] = {}
    for outcome in outcomes:
        if not outcome.ok:
            code = outcome.issues[0].code
            reasons[code] = reasons.get(code, 0) + 1
    failed = sum(reasons.values())
    return Shard(len(outcomes) - failed, failed, by_number(reasons), sum(outcome.unanswered for outcome in outcomes))


def _writer(prepared: Prepared, root: Path) -> ShardWriter:
    pipeline = prepared.pipeline
    return ShardWriter(
        root, prepared.source, prepared.schema, tuple(pipeline.columns), pipeline.format, pipeline.neutralise_formulas
    )


def _total_cost(prepared: Prepared, totals: Totals) -> float | None:
    return prepared.pipeline.model.cost_usd(totals.usage.input_tokens, totals.usage.output_tokens)


def _versions() -> dict[str, str]:
    found = {"tablecast": __version__, "python": platform.python_version()}
    for name in ("pydantic", "pyarrow", "jsonschema"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a package built into the system has no metadata
            continue
    return found


@contextmanager
def _local_server(endpoint: Endpoint) -> Iterator[Endpoint]:
    """The endpoint itself, or the local API on a free port for as long as it is needed."""
    if not endpoint.is_local:
        yield endpoint
        return
    from extract.server import LocalServer  # an extra, and heavy

    with LocalServer(endpoint.model_path) as server:
        yield replace_url(endpoint, server.base_url)


def replace_url(endpoint: Endpoint, base_url: str) -> Endpoint:
    """The endpoint at another address."""
    return Endpoint(base_url=base_url, api_key=endpoint.api_key, dialect=endpoint.dialect)


def _in_thread(work: Callable[[], Coroutine[Any, Any, Result]], stop: Stop) -> Result:
    """Run a coroutine function on a loop in a thread of its own, so that a loop in the caller's does not matter."""
    answer: list[Result] = []
    failure: list[BaseException] = []
    done = threading.Event()  # and not join(): on Python 3.11 an interrupted join() takes the thread for ended

    def target() -> None:
        try:
            answer.append(asyncio.run(work()))
        except BaseException as error:  # handed to the caller's thread below
            failure.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=target, name="extract-run", daemon=True)
    thread.start()
    try:
        done.wait()
    except KeyboardInterrupt:
        stop.request(RunStopped("interrupted", hint="the same command goes on from here"))
        done.wait()
    if failure:
        raise failure[0]
    return answer[0]
