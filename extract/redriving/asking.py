"""A redrive: the chosen records are asked again, then the tables are derived anew.

1. An incomplete manifest in `.next` says that a redrive is under way; the finished tables stay as they are.
2. The chosen records are asked, under names of their own. Answers are stored as always, and so is a note that from now
   on they answer in place of the old ones, which are never dropped.
3. The tables are derived anew from the journal in `.next`, without a call, and take the place of the old ones.

Killed in 2, the same redrive goes on with what is not answered yet, and a plain run makes the tables of what is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.deriving import ASKING, DERIVING, LEFT, Derivation, Mark, Turn, nobody
from extract.dialects import rules_of
from extract.errors import ExtractError
from extract.job import Job, running
from extract.journal import COMPLETION, Instead, Journal
from extract.journaled import completion_of
from extract.pipeline import Prepared
from extract.prices import cost_of
from extract.records import Key, Outcome, Usage
from extract.redriving.anew import again, in_place_of
from extract.redriving.choice import choose
from extract.redriving.plans import Plan, plan
from extract.repair import Workshop
from extract.report import Report, Tally
from extract.shared_journal import opened_journal
from extract.shelf import Shelf, writer_for
from extract.sinks import RunDirectory, read_manifest
from extract.sinks.rundir import NEXT, shards_of

if TYPE_CHECKING:
    import httpx

ApprovePlan = Callable[[Plan], None]
_RELAXED = "schema_relaxed:"


@dataclass(frozen=True)
class Wanted:
    """What of the quarantine is asked again, and how."""

    reasons: Sequence[str] = ()  # codes, or patterns such as `schema.*`; none: all
    keys: Sequence[Key] = ()  # of records; none: all
    model: str | None = None  # that is asked, None: the run's
    prompt: str | None = None  # the user template, None: the run's

    def as_dict(self) -> dict[str, Any]:
        """As the manifest has it."""
        return {
            "reasons": list(self.reasons),
            "keys": [str(key) for key in self.keys],
            "model": self.model,
            "prompt": self.prompt,
        }


@dataclass
class Redrive:
    """One redrive of one directory."""

    tables: Derivation  # of the run
    asked: Prepared
    wanted: Wanted
    approve: ApprovePlan | None = None
    share_limits: Path | None = None
    plan: Plan | None = None
    mended: int = 0

    async def run(self, transport: httpx.AsyncBaseTransport | None) -> Report:
        """Take up what was cut off, then ask and derive."""
        tables = self.tables
        tables.refuse_nothing()
        before, is_done = _count(tables.out), self._is_done()
        with RunDirectory(tables.out, tables.journal) as directory:
            tables.refuse_others()
            if is_done:
                self.mended = before - _count(tables.out)
                return tables.standing()
            before = _count(tables.out)
            report = await self._taken_up(directory) or await self._asked_and_derived(directory, transport)
            self.mended = before - _count(tables.out)
            return report

    def planned(self, turn: Turn) -> Plan:
        """What is asked in this turn."""
        prepared = self.tables.prepared
        chosen = choose(writer_for(prepared, self.tables.out), self.wanted.reasons, self.wanted.keys)
        return plan(prepared, again(self.asked, turn), chosen)

    def _is_done(self) -> bool:
        """Whether this redrive was killed over putting its tables in place: whoever takes the directory ends that."""
        waiting = read_manifest(self.tables.out / NEXT) or {"complete": False}
        return bool(waiting["complete"]) and self._is_ours(self.tables.mark())

    def _is_ours(self, mark: Mark | None) -> bool:
        return mark is not None and mark.wanted == self.wanted.as_dict()

    async def _taken_up(self, directory: RunDirectory) -> Report | None:
        """What was cut off, if it is not ours to go on with: the tables show what was answered. The report, when there
        is no more to do than that."""
        mark = self.tables.mark()
        if mark is None or (mark.state == ASKING and self._is_ours(mark)):
            return None
        report = await self.tables.taken_up(directory, mark)
        return report if mark.state == DERIVING and self._is_ours(mark) else None

    def _turn(self) -> Turn | None:
        """As before where a run has ended what was cut off, since some may be answered."""
        mark = Mark.of(read_manifest(self.tables.out))
        return mark.turn if mark and mark.state == LEFT and self._is_ours(mark) else None

    async def _asked_and_derived(self, directory: RunDirectory, transport: httpx.AsyncBaseTransport | None) -> Report:
        tables, begun = self.tables, self.tables.mark()
        mark = begun or Mark.anew(ASKING, self.wanted.as_dict(), self._turn())
        self.plan = await asyncio.to_thread(self.planned, mark.turn)
        if self.approve is not None:
            await asyncio.to_thread(self.approve, self.plan)
        if not self.plan.choice.rows and not begun:
            directory.clear()
            return tables.standing()
        directory.sign()
        root = directory.path / NEXT if begun else directory.root_anew()
        with opened_journal(directory, directory.journal_path) as journal:
            shelf = tables.shelf(directory, root, journal, mark)
            await asyncio.to_thread(shelf.write_manifest)
            tables.passed("redrive.marked")
            tally = await self._ask(shelf, journal, mark.turn, transport)
            shelf.about |= replace(mark, state=DERIVING).about
            await asyncio.to_thread(shelf.write_manifest)
            tables.passed("redrive.asked")
            report = await tables.derived(shelf, journal)
        tables.passed("redrive.derived")
        directory.put_in_place()
        return _with_calls(report, tally)

    async def _ask(
        self, shelf: Shelf, journal: Journal, turn: Turn, transport: httpx.AsyncBaseTransport | None
    ) -> Tally:
        """Ask for the chosen records, and note for each that is answered what answers it from now on."""
        assert self.plan is not None  # noqa: S101  # made by the caller
        tables, rows = self.tables, self.plan.choice.rows
        asking = again(self.asked, turn)
        own = {tier.name: tier.model for tier in tables.prepared.tiers}
        job = Job(
            asking, tables.scan, tables.out, tables.stop, tables.notify, share_limits=self.share_limits, others=own
        )
        tally = Tally(records=len(rows))
        tables.stop.attach()

        async def deliver(outcome: Outcome) -> None:
            if outcome.request and not outcome.unanswered:
                await self._note(journal, rows[outcome.record.key], outcome, asking)

        records = (record for record in tables.prepared.source.records_of(tables.scan) if record.key in rows)
        with ExitStack() as leaving:
            await job.join(leaving)
            async with running(asking.endpoint) as endpoint, job.client(endpoint, transport) as client:
                runner = job.runner(client, journal, tally)
                runner.judge = tables.prepared.judge
                runner.workshop = self._workshop(journal, tally)
                await runner.run(records, deliver)
        await journal.flush()
        await journal.forget(runner.unfounded)
        self._raise_reason(shelf, tally)
        return tally

    def _workshop(self, journal: Journal, tally: Tally) -> Workshop | None:
        """What mends new answers: the run's own models, since later runs look for their requests."""
        prepared = self.tables.prepared
        found = self.tables.job.runner(nobody, journal, tally).workshop
        if found is None or rules_of(self.asked.endpoint) != rules_of(prepared.endpoint):
            return None  # its requests are not written for where these calls go
        if self.asked.pipeline.model != prepared.pipeline.model:
            found.known_as = prepared.model_name
        return found

    async def _note(self, journal: Journal, requests: Sequence[str], outcome: Outcome, asking: Prepared) -> None:
        """All parts of a record together: it is answered anew, or as before."""
        pairs = await asyncio.to_thread(in_place_of, self.tables.prepared, asking, requests, outcome)
        found = {
            name: Instead(other, journal.attempts_at(name), asking.model_name)
            for name, other in pairs
            if journal.answered_by(name) != other  # else it was noted before a kill, or for a record that is alike
            and journal.has_stored(other)
        }
        if found:
            first = next(iter(found))
            for name, each in found.items():
                found[name] = replace(each, cost_usd=self._cost_of(journal, each.request, with_research=name == first))
            flags = tuple(flag for flag in outcome.flags if flag.startswith(_RELAXED))
            found[first] = replace(found[first], flags=flags)
            self.tables.passed("redrive.note.before")
            await journal.store_instead(found)
            self.tables.passed("redrive.note.after")

    def _cost_of(self, journal: Journal, request: str, *, with_research: bool) -> float | None:
        """What this answer has cost: repairs, which later runs find by themselves, are not in it."""
        answer = journal.lookup(request)
        if answer is None or answer.kind != COMPLETION:
            return None
        completion = completion_of(answer)
        research = completion.research.usage if with_research else Usage()
        return cost_of(self.asked.pipeline.model, completion.usage + research)

    def _raise_reason(self, shelf: Shelf, tally: Tally) -> None:
        """Raises what stopped the redrive, with a report of what was asked."""
        reason = self.tables.stop.reason
        if reason is None:
            return
        shelf.stopped(reason)
        if isinstance(reason, ExtractError):
            reason.report = _with_calls(self.tables.standing(reason), tally)
        raise reason


def _count(root: Path) -> int:
    """Records in the quarantine."""
    return sum(shard.quarantined for shard in shards_of(root))


def _with_calls(report: Report, tally: Tally) -> Report:
    """The report with the calls of this tally."""
    return replace(report, **tally.account)
