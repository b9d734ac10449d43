"""Calls in flight, how they end, and what that means for their records."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Answered:
    """The server did the work; `tokens` is what it says it used."""

    tokens: float | None = None


@dataclass(frozen=True, slots=True)
class Limited:
    """The server refused the call for its rate; `retry_after` seconds, if it said."""

    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Troubled:
    """No answer, or a passing fault of the server."""

    kind: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server is well and says no to this request; `retry_after` seconds, if it wants all to pause for it."""

    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller gave the call up, or did not make it."""

    is_unsent: bool = False


End = Answered | Limited | Troubled | Refused | Cancelled


class Verdict(StrEnum):
    """What an end means for the record that asked."""

    COUNT = "count"  # one of the record's attempts
    PARK = "park"  # not the record's fault: it asks again when it may, and keeps its attempts


@dataclass(slots=True)
class Ticket:
    """One call in flight."""

    start: float
    tokens: float
    epoch: int  # of the controller, when the call began
    order: int  # among the calls of the epoch, from 1
    beside: int  # calls in flight, this one included
    probe: bool = False  # the one call that looks whether an outage is over
