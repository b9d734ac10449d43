"""What the gate is asked for, and what it gives: a wish, and the turn of a call."""

from __future__ import annotations

from dataclasses import dataclass

from extract.budget import Hold
from extract.control import Ticket
from extract.records import ChatRequest
from extract.requests import estimated_tokens


@dataclass(frozen=True, slots=True)
class Wish:
    """A request that waits for its turn."""

    request: ChatRequest
    guessed: int  # input tokens
    is_retry: bool
    is_spare: bool = False  # a second call beside the first: only while all is well

    @classmethod
    def of(cls, request: ChatRequest, *, is_retry: bool = False, is_spare: bool = False) -> Wish:
        return cls(request, estimated_tokens(request), is_retry, is_spare)


@dataclass(frozen=True, slots=True)
class Turn:
    """A call that may begin, or has."""

    ticket: Ticket
    hold: Hold
    waited: float = 0.0  # seconds for it
