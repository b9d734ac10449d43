"""Row after row of a file of edits becomes a note for the journal, judged as an answer would be, or a problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from extract.accepting.form import Edit, EditForm
from extract.accepting.problems import Problem, problem_of, unfit_of
from extract.by_hand import OVERRIDDEN, digest_of, is_of, outcome_by_hand
from extract.evaluation.sides import key_text
from extract.journal import ByHand
from extract.parse import ParseError, parse_json
from extract.pipeline import Prepared
from extract.records import Issue, Key, Outcome, Record, Usage
from extract.salvage import read_answer
from extract.schema.nodes import json_text
from extract.sinks import ShardWriter
from extract.sinks.former import Quarantined
from extract.validate import Judge


@dataclass(frozen=True)
class Intended:
    """What is to be stored, and what cannot be."""

    notes: tuple[ByHand, ...] = ()
    flags: Mapping[Key, Sequence[str]] = field(default_factory=dict)  # of the rows to come
    problems: tuple[Problem, ...] = ()
    unchanged: int = 0  # rows of the file, or keys to take back, that are so already

    @property
    def accepted(self) -> list[ByHand]:
        return [note for note in self.notes if not note.undone]

    @property
    def undone(self) -> list[ByHand]:
        return [note for note in self.notes if note.undone]

    @property
    def overridden(self) -> list[Key]:
        """Records of which a check or evidence was overruled."""
        return [key for key, flags in self.flags.items() if any(flag.startswith(f"{OVERRIDDEN}:") for flag in flags)]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "accepted": [note.key for note in self.accepted],
            "undone": [note.key for note in self.undone],
            "overridden": self.overridden,
            "unchanged": self.unchanged,
            "refused": [problem.as_dict() for problem in self.problems],
        }


@dataclass
class Bench:
    """Row after row of the file becomes a note, or a problem."""

    prepared: Prepared
    writer: ShardWriter
    form: EditForm
    label: str  # of the file
    known: Mapping[str, ByHand]
    rows: Mapping[Key, Quarantined]
    records: Mapping[str, Record]
    present: Mapping[Key, Outcome]
    notes: list[ByHand] = field(default_factory=list)
    flags: dict[Key, Sequence[str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unchanged: int = 0

    @property
    def intended(self) -> Intended:
        return Intended(tuple(self.notes), self.flags, tuple(self.problems), self.unchanged)

    def take_back(self, key: str) -> None:
        note = self.known.get(key)
        if note is None:
            hint = "keys of rows whose _model is human"
            self.problems.append(
                Problem("--undo", "", key, None, None, "edit.key", "nobody has accepted this record", hint)
            )
        elif note.undone:
            self.unchanged += 1
        else:
            self.notes.append(replace(note, undone=True))

    def take(self, edit: Edit) -> None:
        record = self.records.get(edit.key)
        if record is None:
            hint = "keys are those of the quarantine's column `key`"
            return self._refuse(edit, "the source has no record with this key", hint)
        before = self._standing(record)
        if record.key not in self.rows and before is None:
            hint = "its row is in the table: take the row out of the file"
            return self._refuse(edit, "this record is not quarantined", hint)
        if edit.unfit:
            self.problems += unfit_of(self.form, self.label, edit)
            return None
        note = self._note(edit, record, before)
        if note == before:
            self.unchanged += 1
            return None
        outcome = outcome_by_hand(self.prepared.judge, record, note)
        issues = list(outcome.issues) or self._unwritable(outcome)
        self.problems += [problem_of(self.form, self.label, edit, issue) for issue in issues]
        if not issues:
            self.notes.append(note)
            self.flags[record.key] = outcome.flags
        return None

    def _refuse(self, edit: Edit, message: str, hint: str) -> None:
        self.problems.append(Problem(self.label, edit.place, edit.key, None, None, "edit.key", message, hint))

    def _standing(self, record: Record) -> ByHand | None:
        """What a person has said of the record before, if that counts still."""
        note = self.known.get(key_text(record.key))
        also = self.prepared.source.also
        return note if note is not None and not note.undone and is_of(note, record, also) else None

    def _note(self, edit: Edit, record: Record, before: ByHand | None) -> ByHand:
        prepared = self.prepared
        cells = {name: digest_of(cell) for name, cell in record.items()}
        also = prepared.source.also(record) if prepared.source.also else ""
        if before is not None:
            answer = parse_json(before.content)
            content = json_text(self.form.answer(edit, answer))
            return replace(before, content=content, cells=cells, also=also, override=edit.override)
        outcome, row = self.present[record.key], self.rows[record.key]
        content = json_text(self.form.answer(edit, answer_in(prepared.judge, outcome)))
        return ByHand(
            record.key,
            content,
            cells,
            also,
            edit.override,
            outcome.attempts,
            outcome.completion.usage if outcome.completion else Usage(),
            outcome.cost_usd,
            outcome.efforts,
            row.requests,
            row.cells,
        )

    def _unwritable(self, outcome: Outcome) -> list[Issue]:
        if self.writer.fits(outcome):
            return []
        return [Issue("model", "table.write", "$", "the row holds a value that the file cannot hold")]


def answer_in(judge: Judge, outcome: Outcome) -> dict[str, Any]:
    """What was answered, as far as it can be read, with what had been masked; by names on the wire."""
    if outcome.completion is None or not outcome.raw:
        return {}
    try:
        value = read_answer(outcome.raw, judge.root, mend_json=True).value
    except ParseError:
        return {}
    if judge.redactor is not None:
        value = judge.redactor.restored(value, outcome.completion.masks).value
    return value if isinstance(value, dict) else {}
