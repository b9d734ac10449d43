"""Notes of what a table check has against a record's answer, so that later runs ask for it again in the same words.

A note is of one run directory, of one record and of one answer to it: where the record has been answered otherwise
since, it says nothing any more. All notes of a round, and one that the round was held, are stored together.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from extract.records import Key

PREFIX = "complaint:"


@dataclass(frozen=True, slots=True)
class Charge:
    """What one check has against one place."""

    check: str  # its name
    code: str
    path: str
    why: str  # for the model


@dataclass(frozen=True, slots=True)
class Complaint:
    """What the checks of a round have against one record."""

    round: str  # which tables and checks it was
    key: Key
    answer: str  # digest of what was answered
    request: str  # that asks again; its hash
    charges: tuple[Charge, ...] = ()

    @property
    def name(self) -> str:
        """Under which name the note stands."""
        return PREFIX + hashlib.blake2b(repr((self.round, self.key)).encode("utf-8", "surrogatepass")).hexdigest()[:32]


_READER = TypeAdapter(Complaint)


def name_of_round(round: str) -> str:
    """The name of the note that a round was held."""
    return f"{PREFIX}round:{round}"


def noted_complaint(note: Complaint) -> bytes:
    """The body of the note."""
    return to_json(note)


def read_complaint(body: bytes) -> Complaint | None:
    """What a note says; None for what this version cannot read."""
    try:
        return _READER.validate_json(body)
    except ValidationError:
        return None
