"""One run in one directory: the directory, the journal, the server if need be, the runner, the shelf."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.client import Client, completion_from
from extract.config import Endpoint
from extract.disk import DiskPause
from extract.errors import ConfigError, ExtractError
from extract.journal import COMPLETION, Journal
from extract.ladder import Ladder, refuse_overtaken
from extract.limits import with_limits
from extract.media import with_media
from extract.pipeline import Prepared
from extract.records import Completion
from extract.report import OnProgress, Report, Tally, by_number
from extract.retry import with_retries
from extract.runner import Runner, journaled
from extract.shelf import Shelf, resumed, tally_of
from extract.sinks import RunDirectory, Shard, read_manifest
from extract.sinks.rundir import remove_tables
from extract.sources import Scan
from extract.stop import Stop
from extract.tools import with_tools

if TYPE_CHECKING:
    import httpx

WIDTH_FACTOR = 2  # records at work for each call in flight, so that a slow one does not hold up the others
WIDTH_FLOOR = 64


@dataclass
class Job:
    """One run in one directory."""

    prepared: Prepared
    scan: Scan
    out: Path
    stop: Stop
    notify: OnProgress

    async def run(self, transport: httpx.AsyncBaseTransport | None) -> Report:
        with RunDirectory(self.out) as directory:
            root, shards, done = directory.root_for(self.fingerprints, again=True)
            tally = resumed(tally_of(self.scan, shards), read_manifest(root) if shards else None)
            if done:
                return self._report(tally, None)
            if not shards:
                remove_tables(root)
            directory.sign()
            with Journal(directory.journal_path) as journal:
                report = await self._make_tables(root, shards, tally, journal, transport)
            directory.put_in_place()
            return report

    async def _make_tables(
        self,
        root: Path,
        shards: list[Shard],
        tally: Tally,
        journal: Journal,
        transport: httpx.AsyncBaseTransport | None,
    ) -> Report:
        shelf = Shelf(self.prepared, self.scan, self.fingerprints, root, shards, journal, tally)
        shelf.write_manifest()
        self.stop.attach()
        position = sum(shard.records for shard in shards)
        records = islice(self.prepared.source.records_of(self.scan), position, None)
        async with (
            running(self.prepared.endpoint) as endpoint,
            self._client(endpoint, transport) as client,
        ):
            runner = self._runner(client, journal, tally)
            await runner.run(records, shelf.add)
        await journal.flush()  # failed attempts are noted without waiting
        await journal.forget(runner.unfounded)
        if runner.watch.verdict:  # nothing was answered: these refusals are not the records' own
            shelf.discard()
        if self.stop.reason:
            with suppress(DiskPause):  # what stops the run may be a full disk, and the reason is to be heard
                shelf.write_manifest()
            if isinstance(self.stop.reason, ExtractError):  # what is not in the tables yet counts as pending
                committed = tally_of(self.scan, shelf.shards)
                tally.ok, tally.quarantined, tally.reasons = committed.ok, committed.quarantined, committed.reasons
                self.stop.reason.report = self._report(tally, self.stop.reason)
            raise self.stop.reason
        await shelf.finish()
        return self._report(tally, None)

    def _client(self, endpoint: Endpoint, transport: httpx.AsyncBaseTransport | None) -> Client:
        prepared = self.prepared
        stream = prepared.pipeline.model.stream
        return Client(endpoint, prepared.model_name, prepared.limits, transport, stream=stream)

    def _runner(self, client: Client, journal: Journal, tally: Tally) -> Runner:
        """Every attempt pays for its own permit, so limits stand inside retries."""
        pipeline, limits = self.prepared.pipeline, self.prepared.limits
        ladders = self._ladders(journal, tally)
        runner = Runner(
            ladders=ladders,
            judge=self.prepared.judge,
            journal=journal,
            send=journaled(with_media(client), journal, pipeline.model),
            model=pipeline.model,
            tally=tally,
            stop=self.stop,
            width=limits.concurrency * WIDTH_FACTOR + WIDTH_FLOOR,
            notify=self.notify,
            reads_files=bool(self.prepared.build.attachments),
        )
        limited = with_limits(
            runner.send,
            limits,
            pipeline.model,
            self.stop,
            retry=pipeline.retry,
            refuse=refuse_overtaken(ladders),
            on_parked=runner.failed,
        )
        runner.send = with_retries(limited, pipeline.retry, on_failure=runner.failed, sleep=self.stop.sleep)
        if not self.prepared.toolbox.is_empty:
            runner.send = with_tools(runner.send, self.prepared.toolbox, _Memory(journal), runner.heard)
        return runner

    def _ladders(self, journal: Journal, tally: Tally) -> list[Ladder]:
        """Where an earlier run had got to, if one had to relax a schema."""
        looks_down = journal.has_relaxed() or bool(tally.relaxed)
        rungs = dict(enumerate(tally.rungs))
        questions = enumerate(self.prepared.questions)
        return [Ladder(question, number, rungs.get(number, 0), looks_down) for number, question in questions]

    @property
    def fingerprints(self) -> dict[str, str]:
        prepared = self.prepared
        return {
            "source": self.scan.fingerprint,
            "pipeline": prepared.fingerprint,
            "schema": prepared.schema.fingerprint,
        }

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
            losses=self.prepared.losses(tally.relaxed),
            stopped=str(stopped) if stopped else None,
            relaxed=tally.relaxed,
            ambiguous=tally.ambiguous,
            unmetered=tally.unmetered,
        )


@dataclass(frozen=True)
class _Memory:
    """The journal, as rounds of research see it."""

    journal: Journal

    def found(self, request: str) -> Completion | None:
        answer = self.journal.lookup(request)
        if answer is None or answer.kind != COMPLETION:
            return None
        return replace(completion_from(answer.body, {}), attempts=answer.attempts)

    def result(self, call: str) -> bytes | None:
        return self.journal.result(call)

    async def store_result(self, call: str, result: bytes) -> None:
        await self.journal.store_result(call, result)


@asynccontextmanager
async def running(endpoint: Endpoint) -> AsyncIterator[Endpoint]:
    """The endpoint itself, or the local API on a free port for as long as it is needed."""
    if not endpoint.is_local:
        yield endpoint
        return
    server = server_package().LocalServer(endpoint.model_path)
    try:
        await asyncio.to_thread(server.start)  # loading takes a second, and the loop may be the caller's
        yield endpoint_at(endpoint, server.base_url)
    finally:
        await asyncio.to_thread(server.stop)


def server_package() -> Any:
    """`extract.server`, which is an extra. Raises ConfigError where it is not installed."""
    try:
        from extract import server
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the local model needs {error.name}", hint="pip install 'tablecast[local]', see docs/local-model.md"
        ) from error
    return server


def endpoint_at(endpoint: Endpoint, base_url: str) -> Endpoint:
    """The endpoint at another address."""
    return Endpoint(
        base_url=base_url,
        api_key=endpoint.api_key,
        dialect=endpoint.dialect,
        form=endpoint.form,
        finish_optional=endpoint.finish_optional,
    )
