"""Tells a run that fails for every record alike from one that has some bad records."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from extract.errors import MEDIA_UNREACHABLE, TOO_LONG, APIError, ErrorClass, ExtractError, RunStopped

ALIKE = 5  # first records refused with the same words: it is the schema or the model, not the records
_OF_ONE_RECORD = (TOO_LONG, MEDIA_UNREACHABLE)  # codes that speak of the record, whatever the words
_CHECK = "check the schema (extract schema), the model and its options, then run the same command again"

_NUMBERS = re.compile(r"[0-9a-fA-F-]*\d[\w-]*")  # counts and ids, which differ from refusal to refusal


@dataclass
class Watch:
    """Hears what becomes of each request and says when there is no sense in going on."""

    refused: list[str] = field(default_factory=list)  # requests refused before anything was answered
    _words: set[tuple[int | None, str | None, str]] = field(default_factory=set)
    _decided: bool = False  # some record was answered, or refusals differ: each is its record's own
    _first: str = ""  # what the first refusal said
    _hint: str | None = None

    def answered(self) -> None:
        """The endpoint answers some records: a refusal of another is that record's own."""
        self._decided = True
        self.refused.clear()

    def refusal(self, request: str, error: APIError) -> ExtractError | None:
        """A request was refused; the reason to stop when the first ones are refused alike."""
        self._decided = self._decided or error.code in _OF_ONE_RECORD
        if self._decided:
            return None
        self._first = self._first or error.message
        if error.kind is ErrorClass.SCHEMA:
            self._hint = error.hint
        self.refused.append(request)
        self._words.add((error.status, error.code, _NUMBERS.sub("#", error.message)))
        self._decided = len(self._words) > 1
        return self.verdict

    @property
    def verdict(self) -> ExtractError | None:
        """The reason to stop that the refusals so far give."""
        if len(self.refused) < ALIKE or self._decided:
            return None
        return RunStopped(
            f"the first {ALIKE} records were all refused: {self._first}",
            code="refused",
            hint=self._hint or _CHECK,
        )
