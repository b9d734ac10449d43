"""`Verbatim`: a field that is bound to its source. The spans of the record that fit go on the wire as an enum,
so that the model chooses and cannot invent; the chosen span is the evidence and is read into the field's type here.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, Literal, cast

import regex
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema

from extract import spans
from extract.errors import ConfigError
from extract.records import Record

Kind = Literal["money", "date", "number", "line", "name"]
Target = Literal["str", "int", "float", "decimal", "date"]

KINDS: tuple[Kind, ...] = ("money", "date", "number", "line", "name")
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LABELLED: tuple[Kind, ...] = ("money", "date", "number")
VERBATIM = "extract_verbatim"  # where Pydantic's core schema keeps the mark
PATTERN_SECONDS = 2.0  # for a regular expression and one text
DEFAULT_LIMIT = 60  # candidates; above it the field goes plain and is checked afterwards


class UnreadableSpan(ValueError):  # noqa: N818  # it says what the span is
    """A span that cannot be read as the field's type, or in more than one way; `code` says which."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SlowPattern(ValueError):  # noqa: N818  # it says what the pattern is
    """A regular expression that takes too long on a text."""


@dataclass(frozen=True)
class Verbatim:
    """Marks a field whose value stands in the record: `Annotated[Decimal, Verbatim("money")]`.

    kind: "money", "date", "number", "line", "name" (runs of capitalised words), a regular expression (its first
        group, or the whole match, is the span), or a function of the record that returns the spans.
    day_first: how 02/05/2018 reads; None refuses a date that reads both ways (code `verbatim.ambiguous`).
    column: where to look; None: every text column that the prompt uses.
    first: only this many candidates from the top of the text; None: all.
    labelled: a candidate is shown with what stands before it on its line ("TOTAL 26.10" for 26.10), which tells a
        small model far more than the bare amount; only for "money", "number" and "date".
    trim: a line is shown without the code at its end ("SHOP SDN BHD" of "SHOP SDN BHD (519537-X)"); only for "line".
    limit: above this many candidates the field goes plain on the wire and is checked afterwards.
    """

    kind: Kind | str | re.Pattern[str] | Callable[[Record], Iterable[str]]
    day_first: bool | None = None
    column: str | None = None
    first: int | None = None
    labelled: bool = False
    trim: bool = False
    limit: int = DEFAULT_LIMIT

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The type's own schema, with this mark in its metadata."""
        schema = handler(source)
        known: dict[str, Any] = dict(schema.get("metadata", {}))
        return cast("CoreSchema", {**schema, "metadata": known | {VERBATIM: self}})

    def __post_init__(self) -> None:
        if isinstance(self.kind, str) and self.kind.isidentifier() and self.kind not in KINDS:
            raise ConfigError(
                f"Verbatim({self.kind!r}): no such kind, there are {', '.join(KINDS)}",
                hint="a regular expression that is a mere word is given as re.compile(…)",
            )
        if isinstance(self.kind, str) and self.kind not in KINDS:
            try:
                object.__setattr__(self, "kind", re.compile(self.kind, re.MULTILINE))
            except re.error as error:
                raise ConfigError(
                    f"Verbatim({self.kind!r}) is neither one of {KINDS} nor a regular expression: {error}"
                ) from None
        if self.limit < 1 or (self.first is not None and self.first < 1):
            raise ConfigError("Verbatim: limit and first must be at least 1")
        if (self.labelled and self.kind not in _LABELLED) or (self.trim and self.kind != "line"):
            raise ConfigError(f"Verbatim({self.kind!r}): labelled goes with {_LABELLED}, trim with 'line'")


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
    if mark.labelled and (bare := list(_bare_spans(mark, span))):
        span = bare[-1].text  # the label stands before its value
    if target == "str":
        return span
    if target == "date":
        return _read_date(mark, span).isoformat()
    number = spans.parse_number(span)
    if number is None:
        raise UnreadableSpan("verbatim.unreadable", f"{span!r} is not one number")
    return number


def reading(mark: Verbatim, text: str, target: Target) -> Any:
    """`read`, or None for what cannot be read; an ISO date always reads."""
    if target == "date" and _ISO_DATE.fullmatch(text):
        return text
    try:
        return read(mark, text, target)
    except UnreadableSpan:
        return None


def offers(mark: Verbatim, span: str, target: Target) -> bool:
    """Whether a candidate is worth offering: it reads as the target, or in two ways, which the judge tells apart."""
    try:
        value = read(mark, span, target)
    except UnreadableSpan as error:
        return error.code == "verbatim.ambiguous"
    return target != "int" or value == int(value)


def supports(mark: Verbatim, record: Record, columns: Sequence[str], value: Any) -> bool:
    """Whether some span of the record, read as the value's type, equals the value."""
    return supporter(mark, record, columns, _target_of(value))(value)


def supporter(mark: Verbatim, record: Record, columns: Sequence[str], target: Target) -> Callable[[Any], bool]:
    """`supports` for many values of one record: its spans are read once, when the first value comes."""

    @cache
    def known() -> frozenset[Any]:
        return frozenset(reading(mark, span, target) for span in candidates(mark, record, columns))

    def supported(value: Any) -> bool:
        if mark.kind == "line" and target == "str":  # part of a line will do
            return any(contains(text, value) for text in _texts(mark, record, columns))
        wanted = value.isoformat() if isinstance(value, dt.date) else value
        return (Decimal(str(wanted)) if isinstance(wanted, float) else wanted) in known()

    return supported


def contains(text: str, quote: str) -> bool:
    """Whether the quote stands in the text, each run of white space taken as one space."""
    folded = " ".join(quote.split())
    return bool(folded) and folded in " ".join(text.split())


def value_spans(text: str, value: Any) -> bool:
    """Whether a number or date of the text, in any usual writing, equals the value."""
    if isinstance(value, dt.datetime):
        value = value.date()  # the clock time is not looked for
    return value in _days(text) if isinstance(value, dt.date) else Decimal(str(value)) in _numbers(text)


@lru_cache(maxsize=8)  # the checks of a record ask for the same text again and again
def _days(text: str) -> frozenset[dt.date | None]:
    return frozenset(span.value for order in (True, False) for span in spans.date_spans(text, day_first=order))


@lru_cache(maxsize=8)
def _numbers(text: str) -> frozenset[Decimal]:
    return frozenset(span.value for span in [*spans.number_spans(text), *spans.money_spans(text)])


def labels_of(text: str, value: Any) -> list[str]:
    """The words before each number or date of the text that equals the value, the value itself included."""
    if isinstance(value, dt.datetime):
        value = value.date()
    if isinstance(value, dt.date):
        found = [span for order in (True, False) for span in spans.date_spans(text, day_first=order)]
    else:
        found = [*spans.number_spans(text), *spans.money_spans(text)]
        value = Decimal(str(value))
    equal = [span for span in found if span.value == value]
    return list(dict.fromkeys(span.shown for span in spans.labelled(text, equal)))


def _target_of(value: Any) -> Target:
    if isinstance(value, dt.date):
        return "date"
    return "str" if isinstance(value, str) else "decimal"


def _texts(mark: Verbatim, record: Record, columns: Sequence[str]) -> list[str]:
    names = [mark.column] if mark.column else columns
    return [record[name] for name in names if isinstance(record.get(name), str)]


def _find(mark: Verbatim, text: str) -> Iterable[str]:
    if isinstance(mark.kind, re.Pattern):
        return _matches(mark.kind, text)
    bare = _bare_spans(mark, text)
    return (span.shown for span in (spans.labelled(text, bare) if mark.labelled else bare))


def _matches(pattern: re.Pattern[str], text: str) -> list[str]:
    try:
        found = list(_bounded(pattern.pattern, pattern.flags).finditer(text, timeout=PATTERN_SECONDS))
    except TimeoutError:
        shown = pattern.pattern[:80]
        raise SlowPattern(f"the pattern {shown!r} takes too long on a text of {len(text):,} characters") from None
    return [match.group(1) if pattern.groups else match.group(0) for match in found]


@lru_cache(maxsize=64)
def _bounded(pattern: str, flags: int) -> Any:
    """The pattern for an engine that can be stopped, which Python's own cannot."""
    return regex.compile(pattern, flags)


def _bare_spans(mark: Verbatim, text: str) -> list[spans.Span]:
    if mark.kind == "line":
        return spans.line_spans(text, trim=mark.trim)
    found: Mapping[Any, Callable[[str], list[spans.Span]]] = {
        "money": spans.money_spans,
        "date": spans.date_spans,
        "number": spans.number_spans,
        "name": spans.name_spans,
    }
    return found[mark.kind](text)


def _read_date(mark: Verbatim, span: str) -> dt.date:
    value = spans.parse_date(span, day_first=mark.day_first)
    if value is not None:
        return value
    if mark.day_first is None and spans.parse_date(span, day_first=True) is not None:
        raise UnreadableSpan("verbatim.ambiguous", f"{span!r} reads as two dates; say Verbatim('date', day_first=True)")
    raise UnreadableSpan("verbatim.unreadable", f"{span!r} is not a date")
