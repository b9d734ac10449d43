"""One run in one directory: the directory, the journal, the server if need be, the runner, the shelf."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.audit import as_data, audit, audit_again
from extract.budget import RecordBudget
from extract.by_hand import Hands
from extract.client import Client, completion_from
from extract.config import Endpoint, Model
from extract.errors import ConfigError, ExtractError
from extract.gate import Gate
from extract.hedge import with_hedges
from extract.journal import COMPLETION, Journal
from extract.journaled import journaled
from extract.ladder import Ladder, refuse_overtaken
from extract.limits import held_back, with_limits
from extract.media import with_media
from extract.pipeline import Prepared
from extract.records import ChatRequest, Completion, Sender
from extract.repair import Allowance, SecondLooks, Workshop, by_key
from extract.report import OnProgress, Report, Tally, by_number
from extract.retry import with_retries
from extract.rounds import Round
from extract.runner import Runner
from extract.shared_journal import about_run, first_answers, opened_journal, taken_over
from extract.sharing import Shared, joined
from extract.shelf import Shelf, resumed, tally_of
from extract.sinks import RunDirectory, read_manifest
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
    journal: Path | None = None  # where it is, if not in the directory
    started: Mapping[str, Any] | None = None  # how, for the manifest
    share_limits: Path | None = None  # the file by which several processes keep to one budget
    others: Mapping[str, Model] = field(default_factory=dict)  # asked besides those of `prepared`, by name
    _shared: Shared | None = field(default=None, init=False)
    _gate: Gate | None = field(default=None, init=False)
    _allowance: Allowance | None = field(default=None, init=False)

    async def run(self, transport: httpx.AsyncBaseTransport | None) -> Report:
        with ExitStack() as leaving:
            await self.join(leaving)
            with RunDirectory(self.out, self.journal) as directory:
                return await self.run_in(directory, transport)

    async def join(self, leaving: ExitStack) -> None:
        """Keep to the budget that others share, if there is one, until `leaving` is left."""
        self._shared = await asyncio.to_thread(self._join, leaving)

    def _join(self, leaving: ExitStack) -> Shared | None:
        if self.share_limits is None:
            return None
        pipeline = self.prepared.pipeline
        most = pipeline.retry.max_retry_after
        others = [*(tier.model for tier in self.prepared.tiers[1:]), *self.others.values()]
        found = joined(self.share_limits, self.prepared.limits, pipeline.model, most, others=others)
        return leaving.enter_context(found)

    async def run_in(self, directory: RunDirectory, transport: httpx.AsyncBaseTransport | None) -> Report:
        """The run, in a directory that is held already."""
        place = directory.journal_path
        root, shards, done = directory.root_for(self.fingerprints, again=True)
        tally = resumed(tally_of(self.scan, shards), read_manifest(root) if shards else None)
        if done:
            tally.table_checks = await asyncio.to_thread(audit_again, self.prepared, root)
            return self.report(tally, None)
        if not shards:
            remove_tables(root)
        directory.sign()
        with opened_journal(directory, place) as journal:
            about = {**about_run(journal, self.started), **taken_over(read_manifest(root))}
            about |= Round.of(self.prepared, self.fingerprints).about(journal)
            shelf = Shelf(self.prepared, self.scan, self.fingerprints, root, shards, journal, tally, about)
            report = await self._make_tables(shelf, tally, journal, transport)
        directory.put_in_place()
        return report

    async def _make_tables(
        self, shelf: Shelf, tally: Tally, journal: Journal, transport: httpx.AsyncBaseTransport | None
    ) -> Report:
        shelf.write_manifest()
        self.stop.attach()
        position = sum(shard.records for shard in shelf.shards)
        records = self.prepared.source.records_of(self.scan, position)
        async with (
            running(self.prepared.endpoint) as endpoint,
            self.client(endpoint, transport) as client,
        ):
            runner = self.runner(client, journal, tally)
            await runner.run(records, shelf.add, shelf.settle)
        await journal.flush()  # failed attempts are noted without waiting
        await journal.forget(runner.unfounded)
        if runner.watch.verdict:  # nothing was answered: these refusals are not the records' own
            shelf.discard()
        return await self.finish(shelf, tally)

    async def finish(self, shelf: Shelf, tally: Tally) -> Report:
        """Say that the tables are complete, with what is found in them as a whole; or raise what stopped the run."""
        if self.stop.reason:
            shelf.stopped(self.stop.reason)
            if isinstance(self.stop.reason, ExtractError):  # what is not in the tables yet counts as pending
                committed = tally_of(self.scan, shelf.shards)
                tally.ok, tally.quarantined, tally.reasons = committed.ok, committed.quarantined, committed.reasons
                tally.human, tally.flagged = committed.human, committed.flagged
                self.stop.reason.report = self.report(tally, self.stop.reason)
            raise self.stop.reason

        def audited() -> list[dict[str, Any]]:
            quarantined = sum(shard.quarantined for shard in shelf.shards)
            asked = Round.of(self.prepared, self.fingerprints).asked(shelf.journal)
            tally.table_checks = audit(self.prepared, shelf.root, quarantined, asked)
            return as_data(tally.table_checks)

        await shelf.finish(audited)
        return self.report(tally, None)

    def client(self, endpoint: Endpoint, transport: httpx.AsyncBaseTransport | None) -> Client:
        """What makes one attempt of a call."""
        prepared = self.prepared
        stream = prepared.pipeline.model.stream
        return Client(endpoint, prepared.model_name, prepared.limits, transport, stream=stream)

    def runner(self, client: Sender, journal: Journal, tally: Tally) -> Runner:
        """Every attempt pays for its own permit, so limits stand inside retries."""
        pipeline, limits = self.prepared.pipeline, self.prepared.limits
        ladders = self._ladders(journal, tally)
        runner = Runner(
            ladders=ladders,
            judge=self.prepared.judge,
            journal=journal,
            send=client,
            model=pipeline.model,
            models={tier.name: tier.model for tier in self.prepared.tiers[1:]} | dict(self.others),
            voting=self.prepared.voting,
            workshop=self._workshop(journal),
            by_hand=Hands(journal.by_hand(), self.prepared.judge, self.prepared.source.also),
            second_looks=self._second_looks(journal),
            tally=tally,
            stop=self.stop,
            width=limits.concurrency * WIDTH_FACTOR + WIDTH_FLOOR,
            notify=self.notify,
            reads_files=bool(self.prepared.build.attachments),
        )
        others = runner.models
        gate = self._gate = self._gate or Gate(
            limits, pipeline.model, self.stop, retry=pipeline.retry, shared=self._shared, others=others
        )
        call: Sender = client
        if limits.hedge_after is not None:
            call = with_hedges(client, limits.hedge_after, gate, runner.failed)
        runner.send = journaled(with_media(held_back(call, gate)), journal, pipeline.model, runner.models)
        refuse = refuse_overtaken(ladders)
        if journal.is_shared:
            runner.send, refuse = first_answers(runner, refuse)
        if limits.max_cost_usd_per_record is not None:
            runner.counts_records = True
            budget = RecordBudget(limits.max_cost_usd_per_record, pipeline.model, others)
            runner.send, refuse = _capped(runner.send, refuse, budget)
        limited = with_limits(runner.send, gate, refuse=refuse, on_parked=runner.failed)
        runner.send = with_retries(limited, pipeline.retry, on_failure=runner.failed, sleep=self.stop.sleep)
        if not self.prepared.toolbox.is_empty:
            runner.send = with_tools(runner.send, self.prepared.toolbox, _Memory(journal), runner.heard)
        return runner

    def _workshop(self, journal: Journal) -> Workshop | None:
        """What asks again for failed answers, where that is wanted."""
        repair, tiers = self.prepared.pipeline.repair, self.prepared.tiers
        if not repair.max_repairs and len(tiers) < 2 and repair.failed == "quarantine":
            return None
        shop = Workshop(tiers, self._spent_on_repairs, lambda request: journal.lookup(request.hash) is not None)
        if voting := self.prepared.voting:
            shop.is_low, shop.marked = voting.is_low, voting.marked
        return shop

    def _second_looks(self, journal: Journal) -> SecondLooks:
        """What asks again for answers that passed and do not go with those to other records."""
        wants = any(check.repair for check in self.prepared.pipeline.table_checks)  # else none is asked any more
        complaints = [each for each in journal.complaints() if wants or journal.has_stored(each.request)]
        looks = SecondLooks(
            self.prepared.tiers,
            self._spent_on_repairs,
            lambda request: journal.lookup(request.hash) is not None,
            complaints=by_key(complaints),
        )
        return replace(looks, marked=self.prepared.voting.marked) if self.prepared.voting else looks

    @property
    def _spent_on_repairs(self) -> Allowance:
        """One account for all of a run."""
        self._allowance = self._allowance or Allowance(self.prepared.pipeline.repair)
        return self._allowance

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

    def report(self, tally: Tally, stopped: Exception | None) -> Report:
        """What the tally comes to."""
        return Report(
            records=tally.records,
            ok=tally.ok,
            quarantined=tally.quarantined,
            reasons=by_number(tally.reasons),
            losses=self.prepared.losses(tally.relaxed),
            stopped=str(stopped) if stopped else None,
            relaxed=tally.relaxed,
            efforts=tally.efforts,
            table_checks=tally.table_checks,
            human=tally.human,
            flagged=tally.flagged,
            **tally.account,
        )


def _capped(
    send: Sender, refuse: Callable[[ChatRequest], None], budget: RecordBudget
) -> tuple[Sender, Callable[[ChatRequest], None]]:
    """Every attempt is on its record's account, those that the limits make again too; none begins above the cap."""

    def refuse_costly(request: ChatRequest) -> None:
        refuse(request)
        budget.refuse(request)

    return budget.metered(send), refuse_costly


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
