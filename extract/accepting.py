"""`accept`: rows of the quarantine that people have filled in take their place in the table, marked as human.

1. Each row is judged as an answer would be. Where one does not pass, nothing is changed.
2. An incomplete manifest in `.next` says that tables are to be derived; the finished ones stay as they are.
3. What people said is stored in the journal, all of it in one commit.
4. The tables are derived anew, without a call, as after a redrive, and take the place of the old ones.

Killed in between, the next run or redrive derives them; the same command again finds what it has stored.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial as partial_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract import progress
from extract.api import Result, in_thread, prepare_run
from extract.asking_again import Deriver, Redrive, Wanted, nobody
from extract.by_hand import Hands
from extract.edits import Bench, Draft, Edit, EditForm, Intended, Problem, answer_in
from extract.errors import ConfigError, EditError
from extract.evaluation.sides import key_text
from extract.job import Job
from extract.journal import Journal
from extract.nearest import did_you_mean
from extract.records import Key, Outcome, Record
from extract.report import OnProgress, Report, Tally
from extract.shared_journal import opened_journal
from extract.shelf import resumed, tally_of, writer_for
from extract.sinks import RunDirectory, read_manifest
from extract.sinks.former import Quarantined, quarantined
from extract.sinks.rundir import NEXT, shards_of
from extract.stop import Stop

if TYPE_CHECKING:
    import httpx

    from extract.config import Endpoint
    from extract.pipeline import Pipeline

MOST_SAID = 20  # problems that an error names
MOST_NAMED = 5  # issues that a row of the template names


ApproveEdits = Callable[[Intended], None]


@dataclass(frozen=True, repr=False)
class Accepted(Result):
    """A finished run after edits by hand. `intended`: which were accepted, taken back, and could not be."""

    intended: Intended = Intended()


def accept(
    run_dir: str | Path,
    pipeline: Pipeline,
    edits: Any = None,
    source: Any = None,
    *,
    undo: Sequence[Key] = (),
    partial: bool = False,
    dry_run: bool = False,
    endpoint: Endpoint | None = None,
    local: bool = False,
    limit: int | None = None,
    journal: str | Path | None = None,
    max_failed: int = 0,
    on_progress: OnProgress | None = None,
    approve: ApproveEdits | None = None,
) -> Accepted:
    """Put rows of the quarantine that people have filled in into the table, marked as human; nothing is asked.

    pipeline, source, limit, endpoint: those of the run. edits: a .csv, .xlsx or .jsonl as `write_template` writes it,
    or a table. undo: keys of records whose edits are taken back. partial: accept what passes when others do not.
    dry_run: judge, and change nothing. approve: sees what is intended; what it raises ends it, with nothing changed.

    Each row is judged by schema, model, checks and evidence as an answer would be. With `override` a row may go against
    evidence and against checks that ask for a repair. It stays through later runs and redrives, until the record's own
    cells change or it is taken back. Raises EditError for rows that do not pass, InputError for a file that is none,
    ConfigError when the directory does not hold the finished tables of this pipeline and source.
    """
    if edits is None and not undo:
        raise ConfigError("nothing to accept", hint="name a file of edits, or keys to take back")
    if isinstance(undo, str) or not isinstance(undo, Sequence):
        raise ConfigError(f"undo is {undo!r}, not a list", hint=f"undo=[{undo!r}]")
    with nullcontext(on_progress) if on_progress else progress.default() as notify:
        job = _acceptance(run_dir, pipeline, source, endpoint, local, limit, journal, notify)
        job.undo = tuple(key_text(key) for key in undo)
        job.partial, job.is_rehearsal, job.approval = partial, dry_run, approve
        if edits is not None:
            job.label, job.edits = job.form.read(edits)
        report = in_thread(lambda: job.run(None), job.stop)
    return Accepted(job.out, report, job.prepared, job.fingerprints, max_failed, job.intended)


def write_template(
    run_dir: str | Path,
    pipeline: Pipeline,
    path: str | Path,
    source: Any = None,
    *,
    reasons: Sequence[str] = (),
    keys: Sequence[Key] = (),
    endpoint: Endpoint | None = None,
    local: bool = False,
    limit: int | None = None,
    journal: str | Path | None = None,
) -> int:
    """Write quarantined records to a .csv, .xlsx or .jsonl for people to fill in; how many.

    reasons: codes or patterns such as "schema.*"; keys: of records. Raises ConfigError for a file that is there
    already, and for a reason or key that no quarantined record has.
    """
    job = _acceptance(run_dir, pipeline, source, endpoint, local, limit, journal, lambda tally: None)
    wanted = partial_of(job.drafts, tuple(reasons), {key_text(key) for key in keys})
    drafts = in_thread(wanted, job.stop)
    job.form.write(Path(path), drafts)
    return len(drafts)


def _acceptance(
    run_dir: str | Path,
    pipeline: Pipeline,
    source: Any,
    endpoint: Endpoint | None,
    local: bool,
    limit: int | None,
    journal: str | Path | None,
    notify: OnProgress,
) -> Acceptance:
    """Which run it is. Raises ConfigError, InputError."""
    prepared = prepare_run(pipeline, source, endpoint=endpoint, local=local, limit=limit)
    place = Path(journal) if journal is not None else None
    return Acceptance(
        prepared, prepared, prepared.source.scan(), Path(run_dir), Wanted(), Stop(), notify, journal=place
    )


@dataclass
class Acceptance(Redrive):
    """One acceptance in one directory: as a redrive in which people answer."""

    edits: Sequence[Edit] = ()
    label: str = ""  # of their file
    undo: Sequence[str] = ()  # keys, as text
    partial: bool = False
    is_rehearsal: bool = False
    approval: ApproveEdits | None = None
    intended: Intended = Intended()

    @property
    def form(self) -> EditForm:
        """The columns of the file."""
        source = self.prepared.source
        return EditForm(self.prepared.schema, tuple(source.columns), source.key_name)

    async def run(self, transport: httpx.AsyncBaseTransport | None) -> Report:
        """Judge, store, derive; first the end of what was cut off."""
        self._refuse_nothing()
        with RunDirectory(self.out, self.journal) as directory:
            self.refuse_others()
            mark = self._mark()
            if mark is not None and not self.is_rehearsal:
                await self._derived_only(directory, mark)
            with opened_journal(directory, directory.journal_path) as journal:
                self.intended = await self._intended(journal)
                if self.approval is not None:
                    await asyncio.to_thread(self.approval, self.intended)
                if self.is_rehearsal or not self.intended.notes:
                    self._tidy(directory)
                    return self._job.report(tally_of(self.scan, shards_of(self.out)), None)
                report = await self._stored_and_derived(directory, journal)
            self._pass("accept.derived")
            directory.put_in_place()
        return report

    def _tidy(self, directory: RunDirectory) -> None:
        """Remove what is left of tables that have taken their place already."""
        if not self.is_rehearsal and read_manifest(self.out / NEXT) is None:
            directory.clear()

    async def drafts(self, reasons: Sequence[str], keys: Set[str]) -> list[Draft]:
        """Quarantined records for people to fill in. Raises ConfigError for what no quarantined record has."""
        self._refuse_nothing()
        with RunDirectory(self.out, self.journal) as directory:
            self.refuse_others()
            rows = self._chosen(reasons, keys)
            records = [record for record in self.prepared.source.records() if record.key in rows]
            with opened_journal(directory, directory.journal_path) as journal:
                present = await self._present(journal, records, rows)
        return [
            Draft(
                record,
                rows[record.key].reason,
                _messages(present[record.key]),
                answer_in(self.prepared.judge, present[record.key]),
            )
            for record in records
        ]

    def _chosen(self, reasons: Sequence[str], keys: Set[str]) -> dict[Key, Quarantined]:
        rows = list(quarantined(writer_for(self.prepared, self.out)))
        codes, known = {row.reason for row in rows}, {key_text(row.key) for row in rows}
        for reason in reasons:
            if not any(fnmatchcase(code, reason) for code in codes):
                hint = did_you_mean(reason, sorted(codes))
                raise ConfigError(f"no quarantined record has the reason {reason!r}", hint=hint)
        for key in sorted(keys - known):
            raise ConfigError(f"the quarantine has no record {key!r}", hint="keys are those of its column `key`")
        return {
            row.key: row
            for row in rows
            if (not reasons or any(fnmatchcase(row.reason, each) for each in reasons))
            and (not keys or key_text(row.key) in keys)
        }

    async def _stored_and_derived(self, directory: RunDirectory, journal: Journal) -> Report:
        directory.sign()
        counts = {"accepted": len(self.intended.accepted), "undone": len(self.intended.undone)}
        mark = {"turn": secrets.token_hex(8), "state": "deriving", "wanted": counts}
        shelf = self._shelf(directory, directory.root_anew(), [], journal, mark)
        await asyncio.to_thread(shelf.write_manifest)
        self._pass("accept.marked")
        await journal.store_by_hand(self.intended.notes)
        self._pass("accept.noted")
        return await self._derive(shelf, journal)

    async def _intended(self, journal: Journal) -> Intended:
        """What is to be stored. Raises EditError for what cannot be, unless it is `partial`."""
        known = {key_text(note.key): note for note in journal.by_hand()}
        wanted = {edit.key for edit in self.edits}
        rows = {row.key: row for row in quarantined(writer_for(self.prepared, self.out)) if key_text(row.key) in wanted}
        records = {
            key_text(record.key): record
            for record in self.prepared.source.records()
            if wanted and key_text(record.key) in wanted
        }
        present = await self._present(journal, [each for each in records.values() if each.key in rows], rows)
        writer = writer_for(self.prepared, self.out)
        bench = Bench(self.prepared, writer, self.form, self.label, known, rows, records, present)
        for key in self.undo:
            bench.take_back(key)
        for edit in self.edits:
            bench.take(edit)
        found = bench.intended
        if found.problems and not (self.partial and found.notes):
            raise _refusal(found.problems, len(self.edits) + len(self.undo))
        return found

    async def _present(
        self, journal: Journal, records: Sequence[Record], rows: Mapping[Key, Quarantined]
    ) -> dict[Key, Outcome]:
        """What these records come to by their answers alone."""
        found: dict[Key, Outcome] = {}

        async def deliver(outcome: Outcome) -> None:
            found[outcome.record.key] = outcome

        stop = Stop()
        stop.attach()
        tally = resumed(Tally(records=len(records)), read_manifest(self.out))
        job = Job(self.prepared, self.scan, self.out, stop, lambda tally: None)
        runner = Deriver.of(job.runner(nobody, journal, tally))
        runner.by_hand = Hands()
        runner.rows.update(rows)
        await runner.run(records, deliver)
        if stop.reason:
            raise stop.reason
        return found


def _messages(outcome: Outcome) -> str:
    """What was wrong, each with its place."""
    issues = outcome.issues[:MOST_NAMED]
    more = len(outcome.issues) - len(issues)
    said = [issue.message if issue.path == "$" else f"{issue.path}: {issue.message}" for issue in issues]
    return "; ".join([*said, *([f"and {more:,} more"] if more else [])])


def _refusal(problems: Sequence[Problem], number: int) -> EditError:
    rows = len({(each.place, each.key) for each in problems})
    more = len(problems) - MOST_SAID
    lines = [each.text for each in problems[:MOST_SAID]] + ([f"and {more:,} more"] if more > 0 else [])
    said = "\n".join(lines)
    return EditError(f"{rows:,} of {number:,} rows cannot be accepted; nothing was changed\n{said}", problems)
