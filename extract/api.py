"""`run` and `arun`: where source, sender, runner, sink and report meet."""

from __future__ import annotations

import asyncio
import html
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from extract import progress
from extract.checks.tables.frames import frame_of
from extract.config import Endpoint, model_name
from extract.errors import ConfigError, RunDirectoryError, RunStopped
from extract.job import Job, running
from extract.pipeline import Pipeline, Prepared, default_out
from extract.preparing import prepare
from extract.probe import Finding, ProbeReport, probe, recalled, remember, settle
from extract.report import OnProgress, Report
from extract.requests import Unaskable, estimated_tokens
from extract.shelf import writer_for
from extract.sinks import EVIDENCE, QUARANTINE, ShardWriter, folder_of, label_of, read_manifest, read_rows, read_shards
from extract.sources import open_source
from extract.stop import Stop
from extract.table_repair import run_and_repair

if TYPE_CHECKING:
    import httpx
    import pandas as pd


_logger = logging.getLogger("extract")

T = TypeVar("T")
Approve = Callable[[Prepared, Path], None]


@dataclass(frozen=True, repr=False)
class Result:
    """A finished run: its tables are read from the run directory when asked for."""

    path: Path
    report: Report
    prepared: Prepared = field(repr=False)
    fingerprints: Mapping[str, str] = field(repr=False)
    max_failed: int = 0

    @property
    def ok(self) -> bool:
        """Whether every record got a row (`max_failed` quarantined ones allowed), and no table check failed."""
        return self.report.pending == 0 and self.report.quarantined <= self.max_failed and self.report.table_ok

    @cached_property
    def table(self) -> pa.Table:
        """The typed rows that passed: key, passed-through columns, fields, and `_…` columns about the call.

        Nested, however they were written: child tables and flat columns are put together again.
        """
        self._refuse_another_run()
        writer = self._writer
        return read_rows(self.path, writer.format, writer.layout, neutralised=writer.neutralise_formulas)

    @cached_property
    def children(self) -> dict[str, pa.Table]:
        """The lists and maps of the rows as tables, by path (`lines.taxes`): key, positions, the items' fields.

        As they were written; where they were not, as `children="tables"` would write them.
        """
        layout = self._writer.layout
        if not layout.children:
            parts = replace(layout, children=True).split(self.table)
        else:
            parts = {path: self._read(folder_of(path), schema) for path, schema in layout.schemas.items() if path}
        return {label_of(path): part for path, part in parts.items() if path}

    @cached_property
    def quarantine(self) -> pa.Table:
        """The records that did not pass: key, reason, stage, path, message, value, raw answer, source columns."""
        return self._read(QUARANTINE, self._writer.quarantine_schema)

    @cached_property
    def evidence(self) -> pa.Table:
        """What the rows rest on: key, path, quote, start, end, page, score, url, title. Pages that a search found."""
        return self._read(EVIDENCE, self._writer.evidence_schema)

    def to_pandas(self) -> pd.DataFrame:
        """The table as a DataFrame; whole numbers and booleans with nulls keep their kind (Int64, boolean)."""
        frame: pd.DataFrame = frame_of(self.table)
        return frame

    def _read(self, folder: str, schema: pa.Schema) -> pa.Table:
        self._refuse_another_run()
        pipeline = self.prepared.pipeline
        return read_shards(self.path / folder, pipeline.format, schema, neutralised=pipeline.neutralise_formulas)

    def _refuse_another_run(self) -> None:
        manifest = read_manifest(self.path)
        if manifest is None or manifest["fingerprints"] != dict(self.fingerprints):
            raise RunDirectoryError(
                f"{self.path} now holds the tables of another run", hint="give each run its own folder: out=…"
            )

    @property
    def _writer(self) -> ShardWriter:
        return writer_for(self.prepared, self.path)

    def __repr__(self) -> str:
        return f"<Result {self.path}: {self.report.line}>"

    def _repr_html_(self) -> str:
        return f"{self.report._repr_html_()}<p>tables in {html.escape(str(self.path))}</p>"


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
    approve: Approve | None = None,
    journal: str | Path | None = None,
    started: Mapping[str, Any] | None = None,
    share_limits: str | Path | None = None,
) -> Result:
    """Run a pipeline and wait for it; works in scripts, in notebooks and inside a running event loop.

    source: path of a file, a folder or a pattern, DataFrame or Arrow table; None: the pipeline's own. out: run
    directory, default `out/<name>`; the same call again asks only for what has no answer yet. endpoint: default the
    pipeline's, else the environment's. local: the model on this machine. limit: only the first records. on_progress:
    called with the running `Tally`, None: a progress bar in a notebook. transport: any httpx transport in place of the
    built-in one. approve: sees what is prepared, and the run directory, before anything is read or asked; what it
    raises ends the run. journal: where answers are kept, if not in the run directory; several runs may share it, at the
    same time too. started: what the manifest says of how the run was started. share_limits: a file; all runs on this
    machine that name it keep to one budget.

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
        approve=approve,
        journal=journal,
        started=started,
        share_limits=share_limits,
        stop=stop,
    )
    return in_thread(work, stop)


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
    approve: Approve | None = None,
    journal: str | Path | None = None,
    started: Mapping[str, Any] | None = None,
    share_limits: str | Path | None = None,
    stop: Stop | None = None,
) -> Result:
    """`run` for a running event loop. `stop.request(reason)` ends the run early, from any thread."""
    chosen = await settle(chosen_endpoint(pipeline, endpoint, local), model_name(pipeline.model), transport)
    prepared = prepare_run(pipeline, source, endpoint=chosen, limit=limit)
    if transport is None:
        refuse_no_endpoint(prepared.endpoint)
    _refuse_impossible_budget(prepared)
    root = Path(out) if out else default_out(pipeline)
    if approve is not None:
        await asyncio.to_thread(approve, prepared, root)
    scan = await asyncio.to_thread(prepared.source.scan)
    with nullcontext(on_progress) if on_progress else progress.default() as notify:
        shared = Path(share_limits) if share_limits else None
        place = Path(journal) if journal is not None else None
        job = Job(prepared, scan, root, stop or Stop(), notify, place, started, shared)
        report = await run_and_repair(job, transport)
        return Result(job.out, report, prepared, job.fingerprints, max_failed)


async def probed(
    endpoint: Endpoint, model: str, *, heard: Callable[[Finding], None] = lambda finding: None
) -> ProbeReport:
    """Find out what an endpoint does with a model (at most 20 small paid requests), and keep the report.

    Raises APIError when it answers not even a plain question.
    """
    async with running(endpoint) as there:
        report = await probe(there, model, heard=heard)
    if report.is_whole and not endpoint.is_local:  # a passing fault is no fact
        await asyncio.to_thread(remember, report)
    return report


def prepare_run(
    pipeline: Pipeline,
    source: Any = None,
    *,
    endpoint: Endpoint | None = None,
    local: bool = False,
    limit: int | None = None,
) -> Prepared:
    """Everything checked that can be known without reading the whole source. Raises ConfigError, InputError."""
    chosen = recalled(chosen_endpoint(pipeline, endpoint, local), model_name(pipeline.model))
    given = pipeline.source if source is None else source
    if given is None:
        raise ConfigError(f"pipeline {pipeline.name!r} has no source", hint="name one: run(pipeline, 'data.csv')")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}", hint="at least 1")
    prepared = prepare(pipeline, open_source(given, pipeline.key, limit), chosen)
    writer_for(prepared, Path()).check()
    return prepared


def chosen_endpoint(pipeline: Pipeline, endpoint: Endpoint | None, local: bool) -> Endpoint:
    """The one given, else the pipeline's, else the environment's."""
    return Endpoint.local() if local else endpoint or pipeline.endpoint or Endpoint.from_environment()


def refuse_no_endpoint(endpoint: Endpoint) -> None:
    """Documents go nowhere that was not named."""
    if not endpoint.is_set:
        raise ConfigError(
            "no endpoint is set",
            hint="set EXTRACT_BASE_URL and EXTRACT_API_KEY, pass endpoint=Endpoint(…), or use the local model: --local",
        )


def _refuse_impossible_budget(prepared: Prepared) -> None:
    """A cap that the input of the first request alone would pass."""
    model, cap = prepared.pipeline.model, prepared.pipeline.limits.max_cost_usd
    if cap is None:
        return
    for record in prepared.source.records():
        try:
            request = prepared.questions[0].build(record)
        except Unaskable:
            continue
        least = model.cost_usd(estimated_tokens(request), 0) or 0.0
        if least > cap:
            raise ConfigError(f"the first request alone costs about {least:.6f} USD, limits.max_cost_usd is {cap}")
        return


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed: the same loop in a third of the time."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def in_thread(work: Callable[[], Coroutine[Any, Any, T]], stop: Stop) -> T:
    """Run a coroutine function on a loop in a thread of its own, so that a loop in the caller's does not matter."""
    answer: list[T] = []
    failure: list[BaseException] = []
    done = threading.Event()  # and not join(): on Python 3.11 an interrupted join() takes the thread for ended

    def target() -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                answer.append(runner.run(work()))
        except BaseException as error:  # handed to the caller's thread below
            failure.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=target, name="extract-run", daemon=True)
    thread.start()
    try:
        done.wait()
    except KeyboardInterrupt:
        _logger.warning("interrupted: calls in flight are finished and kept; interrupt again to end at once")
        stop.request(RunStopped("interrupted", code="interrupted"))
        done.wait()
    if failure:
        raise failure[0]
    return answer[0]
