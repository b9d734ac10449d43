"""Tells a run that fails for every record alike from one that has some bad records."""

from __future__ import annotations

from dataclasses import dataclass, field

from extract.errors import APIError, ExtractError, RunStopped

ALIKE = 5  # first records refused with the same words: it is the schema or the model, not the records
SILENT = 10  # records in a row without any answer, each after all its attempts


@dataclass
class Watch:
    """Hears what becomes of each request and says when there is no sense in going on."""

    silent: int = SILENT
    refused: list[str] = field(default_factory=list)  # requests refused before anything was answered
    _words: set[tuple[int | None, str | None, str]] = field(default_factory=set)
    _answered: bool = False
    _unanswered: int = 0

    def answered(self) -> None:
        """The endpoint answers some records: a refusal of another is that record's own."""
        self._answered = True
        self._unanswered = 0
        self.refused.clear()

    def refusal(self, request: str, error: APIError) -> ExtractError | None:
        """A request was refused; the reason to stop when the first ones are refused alike."""
        self._unanswered = 0
        if self._answered:
            return None
        self.refused.append(request)
        self._words.add((error.status, error.code, error.message))
        return self.verdict

    @property
    def verdict(self) -> ExtractError | None:
        """The reason to stop that the refusals so far give."""
        if len(self.refused) < ALIKE or len(self._words) > 1:
            return None
        (_, _, message) = next(iter(self._words))
        return RunStopped(
            f"the first {ALIKE} records were all refused: {message}",
            hint="check the schema (extract schema), the model and its options, then run the same command again",
        )

    def no_answer(self, error: APIError) -> ExtractError | None:
        """All attempts of a record failed; the reason to stop when that was so for many in a row."""
        self._unanswered += 1
        if self._unanswered < self.silent:
            return None
        return RunStopped(
            f"{self._unanswered} records in a row got no answer: {error.message}",
            hint=error.hint or "run the same command again when the endpoint is well",
        )
