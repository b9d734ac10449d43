"""A redrive: the chosen records are asked again, then the tables are derived anew.

1. An incomplete manifest in `.next` says that a redrive is under way; the finished tables stay as they are.
2. The chosen records are asked, under names of their own. Answers are stored as always, and so is a note that from now
   on they answer in place of the old ones, which are never dropped.
3. The tables are derived anew from the journal in `.next`, without a call, and take the place of the old ones.

Killed in 2, the same redrive goes on with what is not answered yet, and a plain run makes the tables of what is.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.choice import Plan, again, choose, in_place_of, plan
from extract.dialects import rules_of
from extract.disk import DiskPause, pausing
from extract.errors import ConfigError, ExtractError, RunStopped
from extract.failpoints import failpoint
from extract.job import Job, running
from extract.journal import COMPLETION, Instead, Journal
from extract.journaled import completion_of
from extract.pipeline import Prepared
from extract.prices import cost_of
from extract.records import ChatRequest, Completion, Issue, Key, Outcome, Record, Usage
from extract.repair import Workshop
from extract.report import OnProgress, Report, Tally
from extract.runner import NoAnswer, Runner
from extract.shared_journal import about_run, opened_journal
from extract.shelf import Shelf, resumed, tally_of, writer_for
from extract.sinks import RunDirectory, Shard, read_manifest
from extract.sinks.former import Quarantined, quarantined, quarantined_row
from extract.sinks.rundir import NEXT, is_whole, journal_of, remove_tables, shards_of
from extract.sources import Scan
from extract.stop import Stop

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

    prepared: Prepared
    asked: Prepared
    scan: Scan
    out: Path
    wanted: Wanted
    stop: Stop
    notify: OnProgress
    approve: ApprovePlan | None = None
    journal: Path | None = None
    share_limits: Path | None = None
    plan: Plan | None = None
    mended: int = 0

    def __post_init__(self) -> None:
        self._job = Job(self.prepared, self.scan, self.out, self.stop, self.notify, self.journal)

    @property
    def fingerprints(self) -> dict[str, str]:
        return self._job.fingerprints

    async def run(self, transport: httpx.AsyncBaseTransport | None) -> Report:
        """Take up what was cut off, then ask and derive."""
        self._refuse_nothing()
        before, is_done = _count(self.out), self._is_done()
        with RunDirectory(self.out, self.journal) as directory:
            self.refuse_others()
            if is_done:
                self.mended = before - _count(self.out)
                return self._job.report(tally_of(self.scan, shards_of(self.out)), None)
            before, mark = _count(self.out), self._mark()
            if mark is not None and mark["state"] != "asking":
                report = await self._derived_only(directory, mark)
                if mark["state"] == "deriving" and mark["wanted"] == self.wanted.as_dict():
                    self.mended = before - _count(self.out)
                    return report
                mark = None
            report = await self._asked_and_derived(directory, mark, transport)
            self.mended = before - _count(self.out)
            return report

    def refuse_others(self) -> None:
        """Raises ConfigError when the directory does not hold the finished tables of this pipeline and source."""
        manifest = read_manifest(self.out)
        again = "run `extract run` first: it goes on from there"
        if manifest is None:
            raise ConfigError(f"{self.out} holds no tables", hint="name the directory of a finished run")
        if not manifest["complete"]:
            raise ConfigError(f"the run in {self.out} is not complete", hint=again)
        different = [name for name, digest in self.fingerprints.items() if manifest["fingerprints"].get(name) != digest]
        if different:
            what = " and ".join([*([", ".join(different[:-1])] if different[1:] else []), different[-1]])
            raise ConfigError(
                f"the {what} {'are not those' if different[1:] else 'is not that'} of the tables in {self.out}",
                hint="name the PIPELINE and the SOURCE of that run, with its options; "
                "or run `extract run` with these first",
            )
        place = journal_of(self.out, self.journal)
        if not place.exists():
            raise ConfigError(f"{place} is not there: what was paid would be asked again", hint="bring it back")
        if not is_whole(self.out, manifest):
            raise ConfigError(f"shards are missing in {self.out} or are damaged", hint="run `extract run`: " + again)

    def _refuse_nothing(self) -> None:
        """Before a lock is made in a folder that is no run directory."""
        if read_manifest(self.out) is None and read_manifest(self.out / NEXT) is None:
            raise ConfigError(f"{self.out} holds no tables", hint="name the directory of a finished run")

    def planned(self, turn: str) -> Plan:
        """What is asked in this turn."""
        writer = writer_for(self.prepared, self.out)
        return plan(self.prepared, again(self.asked, turn), choose(writer, self.wanted.reasons, self.wanted.keys))

    def _is_done(self) -> bool:
        """Whether this redrive was killed over putting its tables in place: whoever takes the directory ends that."""
        waiting, mark = read_manifest(self.out / NEXT) or {"complete": False}, self._mark() or {"state": ""}
        return bool(waiting["complete"]) and mark == {**mark, "state": "deriving", "wanted": self.wanted.as_dict()}

    def _mark(self) -> dict[str, Any] | None:
        """What an unfinished redrive of these tables has left."""
        waiting = read_manifest(self.out / NEXT)
        if waiting is None or waiting["fingerprints"] != self.fingerprints:
            return None
        mark = waiting.get("redrive")
        return mark if isinstance(mark, dict) and {"turn", "state", "wanted"} <= mark.keys() else None

    def _turn(self) -> str:
        """What names the requests: as before where a run has ended what was cut off, since some may be answered."""
        mark = (read_manifest(self.out) or {}).get("redrive")
        if isinstance(mark, dict) and mark.get("state") == "left" and mark.get("wanted") == self.wanted.as_dict():
            return str(mark.get("turn"))
        return secrets.token_hex(8)

    async def _asked_and_derived(
        self, directory: RunDirectory, mark: dict[str, Any] | None, transport: httpx.AsyncBaseTransport | None
    ) -> Report:
        goes_on = mark is not None and mark["wanted"] == self.wanted.as_dict()
        if mark is not None and not goes_on:  # another redrive was cut off: first the tables show what it was answered
            await self._derived_only(directory, mark)
        turn = str(mark["turn"]) if mark is not None and goes_on else self._turn()
        self.plan = await asyncio.to_thread(self.planned, turn)
        if self.approve is not None:
            await asyncio.to_thread(self.approve, self.plan)
        if not self.plan.choice.rows and not goes_on:
            directory.clear()
            return self._job.report(tally_of(self.scan, shards_of(self.out)), None)
        directory.sign()
        root = directory.path / NEXT if goes_on else directory.root_anew()
        mark = {"turn": turn, "state": "asking", "wanted": self.wanted.as_dict()}
        with opened_journal(directory, directory.journal_path) as journal:
            shelf = self._shelf(directory, root, [], journal, mark)
            await asyncio.to_thread(shelf.write_manifest)
            self._pass("redrive.marked")
            tally = await self._ask(shelf, journal, turn, transport)
            shelf.about["redrive"] = {**mark, "state": "deriving"}
            await asyncio.to_thread(shelf.write_manifest)
            self._pass("redrive.asked")
            report = await self._derive(shelf, journal)
        self._pass("redrive.derived")
        directory.put_in_place()
        return _with_calls(report, tally)

    async def _derived_only(self, directory: RunDirectory, mark: dict[str, Any]) -> Report:
        """The tables of what was answered before, without a call."""
        directory.sign()
        root = directory.path / NEXT
        with opened_journal(directory, directory.journal_path) as journal:
            shelf = self._shelf(directory, root, shards_of(root), journal, _given_up(mark))
            report = await self._derive(shelf, journal)
        directory.put_in_place()
        return report

    def _shelf(
        self, directory: RunDirectory, root: Path, shards: list[Shard], journal: Journal, mark: Mapping[str, Any]
    ) -> Shelf:
        manifest = read_manifest(directory.path) or {}
        if not shards:
            remove_tables(root)
        tally = resumed(tally_of(self.scan, shards), read_manifest(root) or manifest)
        about = {**about_run(journal, manifest.get("started")), "redrive": dict(mark)}
        return Shelf(self.prepared, self.scan, self.fingerprints, root, shards, journal, tally, about)

    async def _ask(
        self, shelf: Shelf, journal: Journal, turn: str, transport: httpx.AsyncBaseTransport | None
    ) -> Tally:
        """Ask for the chosen records, and note for each that is answered what answers it from now on."""
        assert self.plan is not None  # noqa: S101  # made by the caller
        rows = self.plan.choice.rows
        asking = again(self.asked, turn)
        own = {tier.name: tier.model for tier in self.prepared.tiers}
        job = Job(asking, self.scan, self.out, self.stop, self.notify, share_limits=self.share_limits, others=own)
        tally = Tally(records=len(rows))
        self.stop.attach()

        async def deliver(outcome: Outcome) -> None:
            if outcome.request and not outcome.unanswered:
                await self._note(journal, rows[outcome.record.key], outcome, asking)

        records = (record for record in self.prepared.source.records_of(self.scan) if record.key in rows)
        with ExitStack() as leaving:
            await job.join(leaving)
            async with running(asking.endpoint) as endpoint, job.client(endpoint, transport) as client:
                runner = job.runner(client, journal, tally)
                runner.judge = self.prepared.judge
                runner.workshop = self._workshop(journal, tally)
                await runner.run(records, deliver)
        await journal.flush()
        await journal.forget(runner.unfounded)
        self._raise_reason(shelf, job, tally)
        return tally

    def _workshop(self, journal: Journal, tally: Tally) -> Workshop | None:
        """What mends new answers: the run's own models, since later runs look for their requests."""
        found = self._job.runner(nobody, journal, tally).workshop
        if found is None or rules_of(self.asked.endpoint) != rules_of(self.prepared.endpoint):
            return None  # its requests are not written for where these calls go
        if self.asked.pipeline.model != self.prepared.pipeline.model:
            found.known_as = self.prepared.model_name
        return found

    async def _note(self, journal: Journal, requests: Sequence[str], outcome: Outcome, asking: Prepared) -> None:
        """All parts of a record together: it is answered anew, or as before."""
        pairs = await asyncio.to_thread(in_place_of, self.prepared, asking, requests, outcome)
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
            self._pass("redrive.note.before")
            await journal.store_instead(found)
            self._pass("redrive.note.after")

    def _cost_of(self, journal: Journal, request: str, *, with_research: bool) -> float | None:
        """What this answer has cost: repairs, which later runs find by themselves, are not in it."""
        answer = journal.lookup(request)
        if answer is None or answer.kind != COMPLETION:
            return None
        completion = completion_of(answer)
        research = completion.research.usage if with_research else Usage()
        return cost_of(self.asked.pipeline.model, completion.usage + research)

    async def _derive(self, shelf: Shelf, journal: Journal) -> Report:
        """The tables anew, with nothing asked: who has no answer keeps the row that is there."""
        tally = shelf.tally
        self.stop.attach()
        job = Job(self.prepared, self.scan, self.out, self.stop, self.notify)
        runner = Deriver.of(job.runner(nobody, journal, tally))
        position = sum(shard.records for shard in shelf.shards)
        records = islice(self._with_rows(runner.rows, position, former_rows(journal)), position, None)
        await runner.run(records, shelf.add, shelf.settle)
        return await job.finish(shelf, tally)

    def _with_rows(
        self, rows: dict[Key, Quarantined], begin: int, former: Mapping[Key, Quarantined]
    ) -> Iterator[Record]:
        """The records; from `begin` on `rows` has the quarantine's row of each, if any, until somebody takes it out.

        `former`: rows that gave way to what a person said, and took back since.
        """
        found = quarantined(writer_for(self.prepared, self.out))
        row = next(found, None)
        for record in self.prepared.source.records_of(self.scan):
            if row is not None and row.key == record.key:
                if record.position >= begin:
                    rows[record.key] = row
                row = next(found, None)
            elif record.key in former and record.position >= begin:
                rows[record.key] = former[record.key]
            yield record

    def _raise_reason(self, shelf: Shelf, job: Job, tally: Tally) -> None:
        """Raises what stopped the redrive, with a report of what was asked."""
        reason = self.stop.reason
        if reason is None:
            return
        with suppress(DiskPause):
            shelf.write_manifest()
        if isinstance(reason, ExtractError):
            here = tally_of(self.scan, shards_of(self.out))
            reason.report = _with_calls(job.report(here, reason), tally)
        raise reason

    def _pass(self, name: str) -> None:
        with pausing(self.out):
            failpoint(name)


class _NotAskedError(Exception):
    """There is no answer, and none is asked for."""

    def __init__(self, request: ChatRequest) -> None:
        super().__init__(request.hash)
        self.request = request


@dataclass
class Deriver(Runner):
    """A runner that asks for nothing: a record without all its answers keeps its row in the quarantine."""

    rows: dict[Key, Quarantined] = field(default_factory=dict)  # of records at work
    never: set[str] = field(default_factory=set)  # further requests of rows, which got no answer before either

    @classmethod
    def of(cls, runner: Runner) -> Deriver:
        return cls(**{each.name: getattr(runner, each.name) for each in fields(Runner) if each.init})

    def _at_hand(self, record: Record) -> Outcome | None:
        outcome = super()._at_hand(record)
        if outcome is not None:
            self.rows.pop(record.key, None)
        return outcome

    async def _answered(self, record: Record) -> Outcome | None:
        row = self.rows.pop(record.key, None)
        while True:
            try:
                return await super()._answered(record)
            except _NotAskedError as error:
                name = error.request.hash
                is_lost = not error.request.is_repair or self.journal.has_stored(name)
                if row is not None and (is_lost or not self._is_anew(row)):
                    return self._counted(row.outcome(record), replayed=True)
                if is_lost:
                    raise RunStopped(
                        f"the journal has no answer to {error}, which a row of the table rests on",
                        hint="look with `extract fsck`; `extract run` asks for it again",
                    ) from None
                self.never.add(name)  # a vote, or another model: the row was made without it

    def _is_anew(self, row: Quarantined) -> bool:
        """Whether it was answered anew, though perhaps not as often as was wanted."""
        return any(self.journal.answered_by(name) != name for name in row.requests[:1])

    async def _ask_once(self, request: ChatRequest) -> NoAnswer:
        if request.hash not in self.never:
            raise _NotAskedError(request)
        failed = self.journal.attempts_at(request.hash)  # none: a cap was in its way
        return NoAnswer(Issue("request", "api.none", "$", "it got no answer"), failed, unanswered=failed > 0)


def former_rows(journal: Journal) -> dict[Key, Quarantined]:
    """The rows of the quarantine that records had before a person spoke of them, who took it back."""
    return {note.key: quarantined_row(note.former) for note in journal.by_hand() if note.undone and note.former}


async def nobody(request: ChatRequest) -> Completion:
    raise RunStopped(f"{request.hash} is not to be asked")


def _given_up(mark: Mapping[str, Any]) -> dict[str, Any]:
    """The mark of a redrive that nobody goes on with: what was answered counts."""
    return {**mark, "state": "left" if mark["state"] == "asking" else mark["state"]}


def _count(root: Path) -> int:
    """Records in the quarantine."""
    return sum(shard.quarantined for shard in shards_of(root))


def _with_calls(report: Report, tally: Tally) -> Report:
    """The report with the calls of this tally."""
    return replace(report, **tally.account)
