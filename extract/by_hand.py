"""What people said of records, in place of a model's answer: judged as that would be, and marked as human.

A person's word stands as long as the record says what it said when it was given: each of its cells, and its files.
Columns that have come since do not matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from extract.grounding import NULLED, UNSUPPORTED
from extract.journal import ByHand
from extract.parse import ParseError, parse_json
from extract.records import HUMAN, Completion, Found, Issue, Key, Outcome, Record
from extract.schema import Reading
from extract.validate import Judge

OVERRIDDEN = "overridden"  # flag: what a person has overruled, as `overridden:semantic.between:$.total`

Also = Callable[[Record], str]


class Hands:
    """Knows which records people spoke of, and makes their outcomes."""

    def __init__(self, notes: Iterable[ByHand] = (), judge: Judge | None = None, also: Also | None = None) -> None:
        self._notes = {note.key: note for note in notes if not note.undone}
        self._judge, self._also = judge, also

    def __contains__(self, key: Key) -> bool:
        return key in self._notes

    def __call__(self, record: Record) -> Outcome | None:
        """The outcome of a record; None where nobody spoke of it, or it has changed since."""
        if self._judge is None or not self.stands_for(record):
            return None
        return outcome_by_hand(self._judge, record, self._notes[record.key])

    def stands_for(self, record: Record) -> bool:
        """Whether somebody spoke of this record, as it is."""
        note = self._notes.get(record.key)
        return note is not None and is_of(note, record, self._also)


def is_of(note: ByHand, record: Record, also: Also | None) -> bool:
    """Whether a record is still what the person saw."""
    same = all(name in record and digest_of(record[name]) == digest for name, digest in note.cells.items())
    return same and note.also == (also(record) if also else "")


def digest_of(cell: Any) -> str:
    """What tells one cell from another."""
    return hashlib.blake2b(repr(cell).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def outcome_by_hand(judge: Judge, record: Record, note: ByHand) -> Outcome:
    """The row that a person's word makes, or what is wrong with it; with what had been paid for the record before."""
    given = {each.name: getattr(judge, each.name) for each in fields(Judge) if each.init}
    outcome = _Person(**given, override=note.override)(
        record, Completion(note.content, "stop", HUMAN, note.usage, b"", attempts=note.attempts)
    )
    return replace(
        outcome,
        request=note.name if outcome.ok else None,
        attempts=note.attempts,
        cost_usd=note.cost_usd,
        efforts=note.efforts,
    )


@dataclass(frozen=True)
class _Person(Judge):
    """Judges one record as a person filled it in. Nothing was masked, and nobody can be steered: so neither is looked
    for. With `override`, what the source does not support and checks that ask for a repair are only flags."""

    override: bool = False
    overruled: list[str] = field(default_factory=list, repr=False, compare=False)  # flags

    def __call__(self, record: Record, completion: Completion) -> Outcome:
        """Raises BrokenCheck, as a judge of answers does."""
        evidence: Sequence[Found] = ()
        try:
            row, issues, flags = self._judge_value(record, parse_json(completion.content or ""))
        except ParseError as error:
            row, issues, flags = None, [error.issue], ()
        if self.grounding is not None and row is not None:
            grounded = self.grounding(row, record)
            issues, evidence = self._spared(grounded.issues + _emptied(grounded.flags)), grounded.found
            flags = (*flags, *(flag for flag in grounded.flags if not flag.startswith(f"{NULLED}:")))
        return Outcome(
            record,
            tuple(issues),
            None if issues else row,
            completion,
            flags=tuple(dict.fromkeys((HUMAN, *flags, *self.overruled))),
            raw=completion.content,
            evidence=tuple(evidence),
        )

    def _read_back(self, record: Record, answer: Any) -> tuple[Any, list[Issue], Reading]:
        found, issues, reading = super()._read_back(record, answer)
        bound = [replace(issue, severity="repair") if issue.stage == "semantic" else issue for issue in issues]
        return found, self._spared(bound), reading

    def _semantic_issues(self, instance: Any, record: Record) -> tuple[list[Issue], list[str]]:
        issues, flags = super()._semantic_issues(instance, record)
        return self._spared(issues), flags

    def _spared(self, issues: Sequence[Issue]) -> list[Issue]:
        """Those that still count."""
        if not self.override:
            return list(issues)
        mild = [issue for issue in issues if may_be_overruled(issue)]
        self.overruled.extend(f"{OVERRIDDEN}:{issue.code}:{issue.path}" for issue in mild)
        return [issue for issue in issues if issue not in mild]


def may_be_overruled(issue: Issue) -> bool:
    """Whether a person may say that it is right all the same."""
    return issue.severity == "repair" or issue.code == UNSUPPORTED


def _emptied(flags: Sequence[str]) -> list[Issue]:
    """A person's value is not taken away in silence."""
    paths = [flag.partition(":")[2] for flag in flags if flag.startswith(f"{NULLED}:")]
    message = "the source does not support the value"
    return [Issue("semantic", UNSUPPORTED, path, message) for path in paths]
