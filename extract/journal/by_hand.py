"""Notes of what a person said of a record: what `extract accept` leaves, so that later runs keep it.

A note is of one run directory and of one record, by its key: not of a request, since records that were never asked have
none, and since it stands when prompt or model change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from extract.records import Effort, Key, Usage

PREFIX = "human:"


@dataclass(frozen=True, slots=True)
class ByHand:
    """What a person said of a record, and what had been paid for it before."""

    key: Key
    content: str  # the record as JSON, as a model would have answered
    cells: Mapping[str, str]  # column → digest of the cell that was before the person's eyes
    also: str = ""  # what else counts as the record's content, such as its files
    override: bool = False  # checks that ask for a repair, and evidence, do not count
    attempts: int = 0
    usage: Usage = Usage()
    cost_usd: float | None = None
    efforts: tuple[Effort, ...] = ()
    requests: tuple[str, ...] = ()  # of the record, when it was accepted
    former: Mapping[str, Any] | None = field(default=None, repr=False)  # its row, if no journal could give it back
    undone: bool = False  # taken back since

    @property
    def name(self) -> str:
        """Under which name the note stands, and what its row rests on."""
        return name_of_key(self.key)


_READER = TypeAdapter(ByHand)


def name_of_key(key: Key) -> str:
    """The name of the note on the record with this key."""
    return PREFIX + hashlib.blake2b(repr(key).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def noted_by_hand(note: ByHand) -> bytes:
    """The body of the note."""
    return to_json(note)


def read_by_hand(body: bytes) -> ByHand | None:
    """What a note says; None for what this version cannot read."""
    try:
        return _READER.validate_json(body)
    except ValidationError:
        return None
