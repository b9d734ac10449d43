"""The tables of a finished run, derived anew beside the old ones: after a redrive, after rows by hand, after repairs of
what the table checks found.

An incomplete manifest in `.next` holds a mark that says what is under way; the finished tables stay as they are until
the new ones are complete. Who is killed in between leaves a mark that the next run, or the next of these, takes up.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

from extract.disk import pausing
from extract.errors import ConfigError, RunStopped
from extract.failpoints import failpoint
from extract.job import Job
from extract.journal import Journal
from extract.pipeline import Prepared
from extract.records import ChatRequest, Completion, Issue, Key, Outcome, Record
from extract.report import OnProgress, Report
from extract.rounds import Round
from extract.runner import Asked, NoAnswer, Runner
from extract.shared_journal import about_run, opened_journal
from extract.shelf import Shelf, resumed, tally_of, writer_for
from extract.sinks import RunDirectory, Shard, read_manifest
from extract.sinks.former import Quarantined, quarantined, quarantined_row
from extract.sinks.rundir import NEXT, is_whole, journal_of, remove_tables, shards_of
from extract.sources import Scan
from extract.stop import Stop

MARK = "redrive"  # in the manifest
ASKING, DERIVING = "asking", "deriving"  # states of what is under way
LEFT, DONE = "left", "done"  # and of what has ended: somebody else made the tables, or all was done

Turn = str


@dataclass(frozen=True, slots=True)
class Mark:
    """What is under way with some tables, or was: what was wanted, and how far it came."""

    turn: Turn  # what names its requests
    state: str
    wanted: Mapping[str, Any]

    @classmethod
    def of(cls, manifest: Mapping[str, Any] | None) -> Mark | None:
        """The mark in a manifest; None where there is none."""
        found = (manifest or {}).get(MARK)
        if not isinstance(found, dict) or not {"turn", "state", "wanted"} <= found.keys():
            return None
        return cls(str(found["turn"]), str(found["state"]), found["wanted"])

    @classmethod
    def anew(cls, state: str, wanted: Mapping[str, Any], turn: Turn | None = None) -> Mark:
        """That something begins."""
        return cls(turn or secrets.token_hex(8), state, wanted)

    @property
    def about(self) -> dict[str, Any]:
        """As the manifest has it."""
        return {MARK: {"turn": self.turn, "state": self.state, "wanted": dict(self.wanted)}}

    @property
    def ended(self) -> Mark:
        """Its last word, in the manifest of the finished tables."""
        return replace(self, state=DONE if self.state == DERIVING else LEFT)


@dataclass
class Derivation:
    """Derives the tables of one run anew from its journal."""

    prepared: Prepared
    scan: Scan
    out: Path
    stop: Stop
    notify: OnProgress
    journal: Path | None = None  # where it is, if not in the directory

    def __post_init__(self) -> None:
        self.job = Job(self.prepared, self.scan, self.out, self.stop, self.notify, self.journal)

    @property
    def fingerprints(self) -> dict[str, str]:
        return self.job.fingerprints

    def refuse_nothing(self) -> None:
        """Before a lock is made in a folder that is no run directory. Raises ConfigError."""
        if read_manifest(self.out) is None and read_manifest(self.out / NEXT) is None:
            raise ConfigError(f"{self.out} holds no tables", hint="name the directory of a finished run")

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
            raise ConfigError(f"shards are missing in {self.out} or are damaged", hint=again)

    def mark(self) -> Mark | None:
        """What is under way with these tables."""
        waiting = read_manifest(self.out / NEXT)
        return Mark.of(waiting) if waiting and waiting["fingerprints"] == self.fingerprints else None

    def standing(self, stopped: Exception | None = None) -> Report:
        """What is to be said of the tables that are there; `stopped`: why there are no others."""
        return self.job.report(tally_of(self.scan, shards_of(self.out)), stopped)

    def shelf(
        self, directory: RunDirectory, root: Path, journal: Journal, mark: Mark, shards: Sequence[Shard] = ()
    ) -> Shelf:
        """Where the new tables grow, behind the `shards` that are there already."""
        manifest = read_manifest(directory.path) or {}
        if not shards:
            remove_tables(root)
        tally = resumed(tally_of(self.scan, shards), read_manifest(root) or manifest)
        about = {**about_run(journal, manifest.get("started")), **mark.about, **self._round(journal, manifest)}
        return Shelf(self.prepared, self.scan, self.fingerprints, root, list(shards), journal, tally, about)

    async def derived(self, shelf: Shelf, journal: Journal) -> Report:
        """Make the tables, with nothing asked: who has no answer keeps the row that is there."""
        job = Job(self.prepared, self.scan, self.out, self.stop, self.notify)
        return await self.made(shelf, job, Deriver.of(job.runner(nobody, journal, shelf.tally)))

    async def made(self, shelf: Shelf, job: Job, runner: Deriver) -> Report:
        """Make the tables by this runner, and say that they are complete; not yet in their place."""
        self.stop.attach()
        await runner.run(self._records(shelf, runner), shelf.add, shelf.settle)
        await runner.journal.flush()  # failed attempts are noted without waiting
        await runner.journal.forget(runner.unfounded)
        if runner.watch.verdict:  # nothing was answered: these refusals are not the records' own
            shelf.discard()
        mark = Mark.of(shelf.about)
        if mark is not None and not self.stop.requested:
            shelf.about |= mark.ended.about
        return await job.finish(shelf, shelf.tally)

    async def taken_up(self, directory: RunDirectory, mark: Mark) -> Report:
        """The tables of what is in the journal, after somebody was cut off; they are put in their place."""
        directory.sign()
        root = directory.path / NEXT
        with opened_journal(directory, directory.journal_path) as journal:
            if mark.state == ASKING:  # nobody goes on with it: what was answered counts
                mark = replace(mark, state=LEFT)
            report = await self.derived(self.shelf(directory, root, journal, mark, shards_of(root)), journal)
        directory.put_in_place()
        return report

    def _round(self, journal: Journal, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """That table repair was done, if it was: in the tables that are there, or all that it asks is answered."""
        round = Round.of(self.prepared, self.fingerprints)
        is_done = round.is_over(manifest) or all(journal.has_stored(each.request) for each in round.complaints(journal))
        return round.about(journal) if is_done else {}

    def passed(self, name: str) -> None:
        """A failpoint."""
        with pausing(self.out):
            failpoint(name)

    def _records(self, shelf: Shelf, runner: Deriver) -> Iterator[Record]:
        """The records that are not on the shelf yet. The runner has the quarantine's row of each, or the one that gave
        way to what a person said and took back since."""
        position, before, skipped = sum(shard.records for shard in shelf.shards), 0, 0
        for shard in shards_of(self.out):
            if before + shard.records > position:
                break
            before, skipped = before + shard.records, skipped + shard.quarantined
        found = islice(quarantined(writer_for(self.prepared, self.out)), skipped, None)
        former = former_rows(runner.journal)
        row = next(found, None)
        for record in self.prepared.source.records_of(self.scan, before):
            is_due = record.position >= position
            if row is not None and row.key == record.key:
                if is_due:
                    runner.rows[record.key] = row
                row = next(found, None)
            elif is_due and record.key in former:
                runner.rows[record.key] = former[record.key]
            if is_due:
                yield record


class _NotAskedError(Exception):
    """There is no answer, and none is asked for."""

    def __init__(self, request: ChatRequest) -> None:
        super().__init__(request.hash)
        self.request = request


def _nothing(request: ChatRequest) -> bool:
    return False


@dataclass
class Deriver(Runner):
    """A runner that asks for nothing: a record without all its answers keeps its row in the quarantine."""

    rows: dict[Key, Quarantined] = field(default_factory=dict)  # of records at work
    never: set[str] = field(default_factory=set)  # further requests of rows, which got no answer before either
    may_ask: Callable[[ChatRequest], bool] = _nothing  # but for these

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

    async def _ask_once(self, request: ChatRequest) -> Asked:
        if self.may_ask(request):
            return await super()._ask_once(request)
        if request.hash not in self.never:
            raise _NotAskedError(request)
        failed = self.journal.attempts_at(request.hash)  # none: a cap was in its way
        return NoAnswer(Issue("request", "api.none", "$", "it got no answer"), failed, unanswered=failed > 0)


def former_rows(journal: Journal) -> dict[Key, Quarantined]:
    """The rows of the quarantine that records had before a person spoke of them, who took it back."""
    return {note.key: quarantined_row(note.former) for note in journal.by_hand() if note.undone and note.former}


async def nobody(request: ChatRequest) -> Completion:
    raise RunStopped(f"{request.hash} is not to be asked")
