"""Table repair: where checks of a finished table fail and want it, the culprits' fields are asked again, once.

1. What the checks have against each record is noted in the journal with the request that asks again, in one commit.
2. The tables are derived anew in `.next`. A record that has a complaint is asked for the fields at fault, the reply is
   put into its answer, and the whole is judged again. Replies are stored as always.
   A row that is not mended is flagged.
3. The checks are made again, and the new tables take the place of the old ones.

Killed after 1, the next run derives the tables and asks only what has no answer yet.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from extract.checks.tables import TableFinding
from extract.deriving import DERIVING, Derivation, Deriver, Mark, nobody
from extract.disk import pausing
from extract.job import Job, running
from extract.journal import Charge, Complaint, Journal
from extract.records import ChatRequest, Key, Outcome, Usage
from extract.repair import SecondLooks
from extract.repair.allowance import Account
from extract.report import Report, Tally
from extract.rounds import Round
from extract.runner import Runner
from extract.shared_journal import opened_journal
from extract.shelf import Shelf
from extract.sinks import RunDirectory, read_manifest, write_manifest
from extract.sinks.rundir import NEXT

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger("extract.table_repair")


async def run_and_repair(job: Job, transport: httpx.AsyncBaseTransport | None) -> Report:
    """A run, and then the repair of its tables, where its checks want one."""
    with ExitStack() as leaving:
        await job.join(leaving)
        with RunDirectory(job.out, job.journal) as directory:
            work = TableRepair(job, directory, Round.of(job.prepared, job.fingerprints))
            await work.count_what_was_paid()
            report = await job.run_in(directory, transport)
            return await work.run(report, transport)


@dataclass
class TableRepair:
    """One round over the tables of one run."""

    job: Job  # the run; its caps hold on
    directory: RunDirectory
    round: Round

    def __post_init__(self) -> None:
        job = self.job
        self._tables = Derivation(job.prepared, job.scan, job.out, job.stop, job.notify, job.journal)

    async def count_what_was_paid(self) -> None:
        """Where a round was stopped, the run goes on with it: its budget is what is left of that."""
        settings, waiting = self.job.prepared.pipeline.repair, read_manifest(self.directory.path / NEXT)
        if settings.max_tokens is None and settings.max_cost_usd is None:
            return
        if waiting is None or waiting["complete"] or not self.round.is_over(waiting):
            return
        with opened_journal(self.directory, self.directory.journal_path) as journal:
            spent = await self._spent(journal, self._tables.standing())
            _leave(spent, self.job.runner(nobody, journal, Tally(records=0)))

    async def run(self, report: Report, transport: httpx.AsyncBaseTransport | None) -> Report:
        """Note, ask and derive, as far as that was not done before; `report` is of the tables as they are."""
        failed = [each for each in report.table_checks if each.name in self.round.checks and not each.passed]
        manifest = read_manifest(self.job.out)
        if not failed or manifest is None or self.round.is_over(manifest):
            return report
        with opened_journal(self.directory, self.directory.journal_path) as journal:
            if not journal.had_round(self.round.name):
                complaints = await self._complaints(journal, failed)
                _say_what_is_left(failed, complaints)
                if not complaints:
                    with pausing(self.job.out):
                        write_manifest(self.job.out, {**manifest, **self.round.said(0)})
                    return report
                self.directory.sign()
                await journal.store_complaints(self.round.name, complaints)
                self._tables.passed("table_repair.noted")
            self.directory.sign()
            mark = Mark.anew(DERIVING, {"table_checks": list(self.round.checks)})
            shelf = self._tables.shelf(self.directory, self.directory.root_anew(), journal, mark)
            shelf.about |= self.round.about(journal)
            await asyncio.to_thread(shelf.write_manifest)
            self._tables.passed("table_repair.marked")
            report = await self._derived(shelf, journal, report, transport)
        self._tables.passed("table_repair.derived")
        self.directory.put_in_place()
        return report

    async def _derived(
        self, shelf: Shelf, journal: Journal, before: Report, transport: httpx.AsyncBaseTransport | None
    ) -> Report:
        """The tables anew, in which only complaints are asked for."""
        job = self.job
        _go_on(shelf.tally, before)
        spent = await self._spent(journal, before)
        async with running(job.prepared.endpoint) as endpoint, job.client(endpoint, transport) as client:
            runner = Deriver.of(job.runner(client, journal, shelf.tally))
            asking = runner.second_looks.asking
            _leave(spent, runner)

            def may_ask(request: ChatRequest) -> bool:
                return request.hash in asking

            runner.may_ask = may_ask
            return await self._tables.made(shelf, job, runner)

    async def _complaints(self, journal: Journal, failed: Sequence[TableFinding]) -> list[Complaint]:
        """What is to be asked of which records, in the order of the source."""
        charges: dict[Key, list[Charge]] = {}
        for finding in failed:
            for key, path, why in finding.culprits:
                charges.setdefault(key, []).append(Charge(finding.name, finding.code, path, why))
        found: list[Complaint] = []

        def note(outcome: Outcome, looks: SecondLooks) -> None:
            key = outcome.record.key
            complaint = looks.complaint(self.round.name, outcome.record, outcome, charges[key])
            if complaint is not None:
                found.append(complaint)

        await self._read(journal, charges.keys(), note)
        return found

    async def _spent(self, journal: Journal, report: Report) -> Account:
        """What repairs have cost before: those of the records, and those that this round was answered before it was
        stopped. So its caps leave as much as they would have left an undisturbed one."""
        spent = Account()
        for name, (_, _, read, written, cost) in report.efforts.items():
            if name.startswith("repair "):
                spent.add(Usage(read, written), cost)
        answered = {
            each.request: each.key for each in self.round.complaints(journal) if journal.has_stored(each.request)
        }
        looks = await self._read(journal, set(answered.values()))
        for request in answered:
            account = looks.replayed.get(request, Account()) if looks else Account()
            spent.tokens += account.tokens
            spent.cost_usd += account.cost_usd
        return spent

    async def _read(
        self, journal: Journal, keys: Set[Key], hear: Callable[[Outcome, SecondLooks], None] = lambda *_: None
    ) -> SecondLooks | None:
        """Hear of these records as the journal has them; nothing is asked."""
        if not keys:
            return None
        records = (record for record in self.job.prepared.source.records_of(self.job.scan) if record.key in keys)
        runner = Deriver.of(self._tables.job.runner(nobody, journal, Tally(records=len(keys))))

        async def deliver(outcome: Outcome) -> None:
            hear(outcome, runner.second_looks)

        self.job.stop.attach()
        await runner.run(records, deliver)
        if self.job.stop.reason:
            raise self.job.stop.reason
        return runner.second_looks


def _leave(spent: Account, runner: Runner) -> None:
    """Let repairs cost what is left after this."""
    if runner.second_looks.allowance is not None:
        runner.second_looks.allowance.spent = spent


def _say_what_is_left(failed: Sequence[TableFinding], complaints: Sequence[Complaint]) -> None:
    """Name the checks that want a repair and get none."""
    asked = {charge.check for each in complaints if each.request for charge in each.charges}
    for finding in failed:
        if finding.name not in asked:
            logger.warning(
                "table check %s failed, and there is no field to ask again: %s", finding.name, finding.message
            )


def _go_on(tally: Tally, report: Report) -> None:
    """The count of calls goes on from what the run has asked so far."""
    tally.requests, tally.retries = report.requests, report.retries
    tally.ambiguous, tally.unmetered = report.ambiguous, report.unmetered
    tally.usage, tally.cost_usd = Usage(report.input_tokens, report.output_tokens), report.cost_usd
    tally.started = time.monotonic() - report.seconds
