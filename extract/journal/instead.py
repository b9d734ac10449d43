"""Notes that another request answers for one: what `extract redrive` leaves, so that later runs keep its answers.

A note is of one run directory: others that share the journal keep the answers that their tables rest on.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json


@dataclass(frozen=True, slots=True)
class Instead:
    """Which request answers, and what there was before it."""

    request: str
    attempts: int = 0  # calls that the request took before, with whatever answered it
    model: str | None = None  # that was asked
    flags: tuple[str, ...] = ()  # for the row
    cost_usd: float | None = None  # of the answer, by that model's price


_READER = TypeAdapter(Instead)


def name_of_note(request: str, account: str | None) -> str:
    """Under which name the note of this run directory stands."""
    return f"{request}@{account or ''}"


def noted(instead: Instead) -> bytes:
    """The body of the note."""
    return to_json(instead)


def read_note(body: bytes) -> Instead | None:
    """What a note says; None for what this version cannot read."""
    try:
        return _READER.validate_json(body)
    except ValidationError:
        return None
