"""What is kept of a call, what all calls come to, and what waits to be written."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from extract.journal.instead import Instead
from extract.records import Research, Usage

COMPLETION = "completion"
FLUSH = "flush"  # an entry that is only waited for
FORGET = "forget"  # likewise: drop an answer
RESEARCH, RESULT = "research", "result"  # kinds of notes: what went before an answer, what a function gave back
INSTEAD, OWNER = "instead", "owner"  # likewise: which request answers for one, whose directory the journal stands in
HUMAN = "human"  # likewise: what a person said of a record
COMPLAINT = "complaint"  # likewise: what a table check has against one, and that a round of such was held
NOTES = (FLUSH, RESULT, INSTEAD, OWNER, HUMAN, COMPLAINT)  # entries that are no calls


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer. `kind` is "completion", or the error class of a refusal that is final for its record."""

    kind: str
    status: int | None
    attempts: int
    message: str | None
    body: bytes
    research: Research = Research()
    instead: Instead | None = None  # it is that of another request, which answers for this one


@dataclass(frozen=True, slots=True)
class Totals:
    """What all runs in this directory have asked and paid."""

    requests: int = 0
    retries: int = 0
    usage: Usage = Usage()
    cost_usd: float | None = None  # None: no call had a price
    answers: int = 0  # requests that will not be made again
    ambiguous: int = 0  # calls that got no answer after they were sent, and may be billed all the same
    unmetered: int = 0  # answers that do not say how many tokens they used


@dataclass(slots=True)
class Entry:
    """What one call tells the journal; `done` is of the caller who waits for it, `loop` is where."""

    request: str
    kind: str
    status: int | None
    code: str | None
    message: str | None
    body: bytes | None  # None: an attempt without an answer
    usage: Usage = Usage()
    cost_usd: float | None = None
    unsure: bool = False  # a call without an answer that may be billed, or an answer that does not say what it used
    note: bytes | None = None
    done: asyncio.Future[Answer] | None = None
    loop: asyncio.AbstractEventLoop | None = None
