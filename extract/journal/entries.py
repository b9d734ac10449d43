"""What is kept of a call, what all calls come to, and what waits to be written."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from extract.records import Research, Usage

COMPLETION = "completion"
FLUSH = "flush"  # an entry that is only waited for
FORGET = "forget"  # likewise: drop an answer
RESEARCH, RESULT = "research", "result"  # kinds of notes: what went before an answer, what a function gave back


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer. `kind` is "completion", or the error class of a refusal that is final for its record."""

    kind: str
    status: int | None
    attempts: int
    message: str | None
    body: bytes
    research: Research = Research()


@dataclass(frozen=True, slots=True)
class Totals:
    """What all runs in this directory have asked and paid."""

    requests: int = 0
    retries: int = 0
    usage: Usage = Usage()
    cost_usd: float | None = None  # None: no call had a price
    answers: int = 0  # requests that will not be made again


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
    note: bytes | None = None
    done: asyncio.Future[Answer] | None = None
    loop: asyncio.AbstractEventLoop | None = None
