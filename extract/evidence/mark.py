"""`Evidence`: what is asked of the source for a field, and what becomes of a value that it does not support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema

from extract.errors import ConfigError

Unsupported = Literal["flag", "null", "repair", "reject"]

EVIDENCE = "extract_evidence"  # where Pydantic's core schema keeps the mark
_UNSUPPORTED = ("flag", "null", "repair", "reject")


@dataclass(frozen=True)
class Evidence:
    """Marks a field whose value is to be found in the source: `Annotated[Decimal, Evidence()]`; or, on a pipeline,
    says so of all of its fields that have a writing of their own.

    unsupported: what becomes of a value that the source does not support. "flag": the row says so. "null": the cell is
        emptied, the row says so; only for fields that may be null. "repair": it is asked for again, and then
        it is as `Repair(failed=…)` says. "reject": the record goes to the quarantine (code `evidence.unsupported`).
    column: where to look; None: every text column of the prompt, and the text of its files.
    day_first: how 02/05/2018 reads; None: as the other dates of the text have it, else both ways.
    quote: a text field beside this one in which the model says where it found the value. The quote must stand in the
        source, and the value in the quote: a quote alone proves nothing.
    near: likeness, above 0.5 and at most 1, from which a text that only resembles the value supports it; None: it must
        be equal but for case, space, punctuation and what a scanner mistakes.
    """

    unsupported: Unsupported = "flag"
    column: str | None = None
    day_first: bool | None = None
    quote: str | None = None
    near: float | None = None

    def __post_init__(self) -> None:
        if self.unsupported not in _UNSUPPORTED:
            raise ConfigError(f"Evidence(unsupported={self.unsupported!r})", hint=f"one of {', '.join(_UNSUPPORTED)}")
        if self.near is not None and not 0.5 < self.near <= 1:
            raise ConfigError(f"Evidence(near={self.near!r})", hint="above 0.5 and at most 1")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The type's own schema, with this mark in its metadata."""
        schema = handler(source)
        known: dict[str, Any] = dict(schema.get("metadata", {}))
        return cast("CoreSchema", {**schema, "metadata": known | {EVIDENCE: self}})
