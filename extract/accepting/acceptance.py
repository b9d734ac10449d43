"""`accept`: rows of the quarantine that people have filled in take their place in the table, marked as human.

1. Each row is judged as an answer would be. Where one does not pass, nothing is changed.
2. An incomplete manifest in `.next` says that tables are to be derived; the finished ones stay as they are.
3. What people said is stored in the journal, all of it in one commit.
4. The tables are derived anew, without a call, as after a redrive, and take the place of the old ones.

Killed in between, the next run or redrive derives them; the same command again finds what it has stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from extract.accepting.bench import Bench, Intended, answer_in
from extract.accepting.form import Draft, Edit, EditForm
from extract.accepting.problems import Problem
from extract.by_hand import Hands
from extract.deriving import DERIVING, Derivation, Deriver, Mark, nobody
from extract.errors import EditError
from extract.evaluation.sides import key_text
from extract.job import Job
from extract.journal import Journal
from extract.picking import Picking
from extract.pipeline import Prepared
from extract.records import Key, Outcome, Record
from extract.report import Report, Tally
from extract.shared_journal import opened_journal
from extract.shelf import resumed, writer_for
from extract.sinks import RunDirectory, read_manifest
from extract.sinks.former import Quarantined, quarantined
from extract.sinks.rundir import NEXT
from extract.stop import Stop

MOST_SAID = 20  # problems that an error names
MOST_NAMED = 5  # issues that a row of the template names

ApproveEdits = Callable[[Intended], None]


@dataclass
class Acceptance:
    """One acceptance in one directory."""

    tables: Derivation  # of the run
    edits: Sequence[Edit] = ()
    label: str = ""  # of their file
    undo: Sequence[str] = ()  # keys, as text
    partial: bool = False
    is_rehearsal: bool = False
    approve: ApproveEdits | None = None
    intended: Intended = Intended()

    async def run(self) -> Report:
        """Judge, store, derive; first the end of what was cut off."""
        tables = self.tables
        tables.refuse_nothing()
        with RunDirectory(tables.out, tables.journal) as directory:
            tables.refuse_others()
            mark = tables.mark()
            if mark is not None and not self.is_rehearsal:
                await tables.taken_up(directory, mark)
            with opened_journal(directory, directory.journal_path) as journal:
                self.intended = await self._intended(journal)
                if self.approve is not None:
                    await asyncio.to_thread(self.approve, self.intended)
                if self.is_rehearsal or not self.intended.notes:
                    self._tidy(directory)
                    return tables.standing()
                report = await self._stored_and_derived(directory, journal)
            tables.passed("accept.derived")
            directory.put_in_place()
        return report

    def _tidy(self, directory: RunDirectory) -> None:
        """Remove what is left of tables that have taken their place already."""
        if not self.is_rehearsal and read_manifest(self.tables.out / NEXT) is None:
            directory.clear()

    async def _stored_and_derived(self, directory: RunDirectory, journal: Journal) -> Report:
        directory.sign()
        tables, counts = self.tables, {"accepted": len(self.intended.accepted), "undone": len(self.intended.undone)}
        shelf = tables.shelf(directory, directory.root_anew(), journal, Mark.anew(DERIVING, counts))
        await asyncio.to_thread(shelf.write_manifest)
        tables.passed("accept.marked")
        await journal.store_by_hand(self.intended.notes)
        tables.passed("accept.noted")
        return await tables.derived(shelf, journal)

    async def _intended(self, journal: Journal) -> Intended:
        """What is to be stored. Raises EditError for what cannot be, unless it is `partial`."""
        prepared = self.tables.prepared
        known = {key_text(note.key): note for note in journal.by_hand()}
        wanted = {edit.key for edit in self.edits}
        writer = writer_for(prepared, self.tables.out)
        rows = {row.key: row for row in quarantined(writer) if key_text(row.key) in wanted}
        records = {
            key_text(record.key): record
            for record in prepared.source.records()
            if wanted and key_text(record.key) in wanted
        }
        present = await _present(self.tables, journal, [each for each in records.values() if each.key in rows], rows)
        bench = Bench(prepared, writer, form_of(prepared), self.label, known, rows, records, present)
        for key in self.undo:
            bench.take_back(key)
        for edit in self.edits:
            bench.take(edit)
        found = bench.intended
        if found.problems and not (self.partial and found.notes):
            raise _refusal(found.problems, len(self.edits) + len(self.undo))
        return found


def form_of(prepared: Prepared) -> EditForm:
    """The columns of the file."""
    return EditForm(prepared.schema, tuple(prepared.source.columns), prepared.source.key_name)


async def drafts(tables: Derivation, picking: Picking) -> list[Draft]:
    """Quarantined records for people to fill in. Raises ConfigError for what no quarantined record has."""
    tables.refuse_nothing()
    prepared = tables.prepared
    with RunDirectory(tables.out, tables.journal) as directory:
        tables.refuse_others()
        rows = {row.key: row for row in quarantined(writer_for(prepared, tables.out)) if picking.has(row)}
        picking.check()
        records = [record for record in prepared.source.records() if record.key in rows]
        with opened_journal(directory, directory.journal_path) as journal:
            present = await _present(tables, journal, records, rows)
    return [
        Draft(
            record,
            rows[record.key].reason,
            _messages(present[record.key]),
            answer_in(prepared.judge, present[record.key]),
        )
        for record in records
    ]


async def _present(
    tables: Derivation, journal: Journal, records: Sequence[Record], rows: Mapping[Key, Quarantined]
) -> dict[Key, Outcome]:
    """What these records come to by their answers alone."""
    found: dict[Key, Outcome] = {}

    async def deliver(outcome: Outcome) -> None:
        found[outcome.record.key] = outcome

    stop = Stop()
    stop.attach()
    tally = resumed(Tally(records=len(records)), read_manifest(tables.out))
    job = Job(tables.prepared, tables.scan, tables.out, stop, lambda tally: None)
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
