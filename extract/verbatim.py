"""`Verbatim`: a field that is bound to its source. The spans of the record that fit go on the wire as an enum,
so that the model chooses and cannot invent; the chosen span is the evidence and is read into the field's type here.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from extract import spans
from extract.errors import ConfigError
from extract.records import Record

Kind = Literal["money", "date", "number", "line"]
Target = Literal["str", "int", "float", "decimal", "date"]

KINDS: tuple[Kind, ...] = ("money", "date", "number", "line")
DEFAULT_LIMIT = 60  # candidates; above it the field goes plain and is checked afterwards


class UnreadableSpan(ValueError):
    """A span that cannot be read as the field's type, or in more than one way; `code` says which."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Verbatim:
    """Marks a field whose value stands in the record: `Annotated[Decimal, Verbatim("money")]`.

    kind: "money", "date", "number", "line", a regular expression (its first group, or the whole match, is the span),
        or a function of the record that returns the spans.
    day_first: how 02/05/2018 reads; None refuses a date that reads both ways (code `verbatim.ambiguous`).
    column: where to look; None: every text column that the prompt uses.
    first: only this many candidates from the top of the text; None: all.
    limit: above this many candidates the field goes plain on the wire and is checked afterwards.
    """

    kind: Kind | str | re.Pattern[str] | Callable[[Record], Iterable[str]]
    day_first: bool | None = None
    column: str | None = None
    first: int | None = None
    limit: int = DEFAULT_LIMIT

    def __post_init__(self) -> None:
        if isinstance(self.kind, str) and self.kind not in KINDS:
            try:
                object.__setattr__(self, "kind", re.compile(self.kind, re.MULTILINE))
            except re.error as error:
                raise ConfigError(
                    f"Verbatim({self.kind!r}) is neither one of {KINDS} nor a regular expression: {error}"
                ) from None
        if self.limit < 1 or (self.first is not None and self.first < 1):
            raise ConfigError("Verbatim: limit and first must be at least 1")


def candidates(mark: Verbatim, record: Record, columns: Sequence[str]) -> list[str]:
    """The distinct spans of the record that fit, in order of appearance."""
    if callable(mark.kind):
        found: Iterable[str] = mark.kind(record)
    else:
        found = (span for text in _texts(mark, record, columns) for span in _find(mark, text))
    distinct = list(dict.fromkeys(span for span in found if span))
    return distinct[: mark.first] if mark.first else distinct


def read(mark: Verbatim, span: str, target: Target) -> Any:
    """The span as the field's type in JSON terms: a Decimal, an ISO date, or the text itself.

    Raises UnreadableSpan.
    """
    if target == "str":
        return span
    if target == "date":
        return _read_date(mark, span).isoformat()
    number = spans.parse_number(span)
    if number is None:
        raise UnreadableSpan("verbatim.unreadable", f"{span!r} is not one number")
    return number


def supports(mark: Verbatim, record: Record, columns: Sequence[str], value: Any) -> bool:
    """Whether some span of the record, read as the value's type, equals the value."""
    target = _target_of(value)
    if target == "str":
        return any(contains(text, value) for text in _texts(mark, record, columns)) or value in candidates(
            mark, record, columns
        )
    return any(_reads_as(mark, span, target, value) for span in candidates(mark, record, columns))


def contains(text: str, quote: str) -> bool:
    """Whether the quote stands in the text, each run of white space taken as one space."""
    folded = " ".join(quote.split())
    return bool(folded) and folded in " ".join(text.split())


def value_spans(text: str, value: Any) -> bool:
    """Whether a number or date of the text, in any usual writing, equals the value."""
    if isinstance(value, dt.date):
        orders = (True, False)
        return any(span.value == value for order in orders for span in spans.date_spans(text, day_first=order))
    number = Decimal(str(value))
    return any(span.value == number for span in [*spans.number_spans(text), *spans.money_spans(text)])


def _reads_as(mark: Verbatim, span: str, target: Target, value: Any) -> bool:
    try:
        found = read(mark, span, target)
    except UnreadableSpan:
        return False
    return bool(found == (value.isoformat() if target == "date" else Decimal(str(value))))


def _target_of(value: Any) -> Target:
    if isinstance(value, dt.date):
        return "date"
    return "str" if isinstance(value, str) else "decimal"


def _texts(mark: Verbatim, record: Record, columns: Sequence[str]) -> list[str]:
    names = [mark.column] if mark.column else columns
    return [record[name] for name in names if isinstance(record.get(name), str)]


def _find(mark: Verbatim, text: str) -> Iterable[str]:
    if isinstance(mark.kind, re.Pattern):
        return (match.group(1) if match.re.groups else match.group(0) for match in mark.kind.finditer(text))
    found: Mapping[Any, Callable[[str], list[spans.Span]]] = {
        "money": spans.money_spans,
        "date": spans.date_spans,
        "number": spans.number_spans,
        "line": spans.line_spans,
    }
    return (span.text for span in found[mark.kind](text))


def _read_date(mark: Verbatim, span: str) -> dt.date:
    value = spans.parse_date(span, day_first=mark.day_first)
    if value is not None:
        return value
    if mark.day_first is None and spans.parse_date(span, day_first=True) is not None:
        raise UnreadableSpan("verbatim.ambiguous", f"{span!r} reads as two dates; say Verbatim('date', day_first=True)")
    raise UnreadableSpan("verbatim.unreadable", f"{span!r} is not a date")
