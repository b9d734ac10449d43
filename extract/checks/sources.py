"""Checks of an answer against its own record."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from extract import patterns, spans
from extract.checks.base import FieldCheck, issue_of, shown
from extract.checks.figures import differs, number_of, tolerance_of
from extract.checks.paths import Found, Reader, reader
from extract.errors import ConfigError
from extract.evidence import finder_of
from extract.fingerprint import source_of
from extract.records import Issue, Record, Severity
from extract.verbatim import contains, labels_of, value_spans

Finder = Callable[[str, Any], bool]  # whether a text supports a value

_FLAGS = re.compile(r"\(\?([aiLmsux]+)\)")


def verbatim(
    *fields: str, column: str | None = None, ignore_case: bool = False, severity: Severity = "repair"
) -> FieldCheck:
    """Each field's value stands in the record (code `semantic.verbatim`).

    Text must stand there as it is, white space folded; a number or date counts in any usual writing. Null passes, true
    and false do. `column` restricts the search to one column; else every text column counts.
    """

    def stands(text: str, value: Any) -> bool:
        if not isinstance(value, str):
            return _figure_stands(text, value)
        return _contains(text.casefold(), value.casefold()) if ignore_case else _contains(text, value)

    return _supported("semantic.verbatim", "stand in", fields, column, stands, (ignore_case,), severity)


def grounded(
    *fields: str, column: str | None = None, find: Finder | None = None, severity: Severity = "repair"
) -> FieldCheck:
    """The record supports each field's value (code `semantic.grounded`).

    By the rules of `Evidence`: text in any case, punctuation and hyphenation, over the lines of a column, and but for
    what a scanner mistakes; numbers and dates in any country's writing. Each value by itself: that it stands with the
    other values of its item only `Evidence` sees. Null passes, true and false do. `find` takes the place of these
    rules: a function of a text and a value.
    """
    stands = find or stands_for
    settings = (source_of(find),) if find else ()
    return _supported("semantic.grounded", "have support in", fields, column, stands, settings, severity)


def stands_for(text: str, value: Any) -> bool:
    """Whether a text supports a value: the rule of `grounded`, until it is told another."""
    if isinstance(value, bool):
        return True
    support = finder_of(text).find(value)
    return support is not None and support.is_support


def _supported(
    code: str,
    verb: str,
    fields: tuple[str, ...],
    column: str | None,
    stands: Finder,
    settings: tuple[Any, ...],
    severity: Severity,
) -> FieldCheck:
    read = _reader_of_all(fields)
    issue, where = issue_of(code, severity), f"the column {column}" if column else "the record"

    def judge(value: Any, record: Record) -> Iterator[Issue]:
        texts = texts_of(record, column)
        for path, found in read(value):
            if not any(stands(text, found) for text in texts):
                yield issue(path, f"{path[2:]} is {shown(found)}, which does not {verb} {where}", found)

    return FieldCheck(code, fields, (column,) if column else (), judge, (column, *settings), severity)


def _reader_of_all(fields: tuple[str, ...]) -> Reader:
    readers = [reader(field) for field in fields]
    if len(readers) == 1:
        return readers[0]

    def read(value: Any) -> list[Found]:
        return [found for each in readers for found in each(value)]

    return read


def texts_of(record: Record, column: str | None) -> list[str]:
    """The texts of a record, or of one column."""
    return [cell for cell in ([record.get(column)] if column else record.values()) if isinstance(cell, str)]


def _contains(text: str, quote: str) -> bool:
    """`contains`, in a moment where the quote stands there letter for letter."""
    return (quote in text and bool(quote) and not quote.isspace()) or contains(text, quote)


def _figure_stands(text: str, value: Any) -> bool:
    if isinstance(value, bool):
        return True
    number = number_of(value)
    if isinstance(value, dt.date) or number is not None:
        return value_spans(text, value if number is None else number)
    return _contains(text, value.isoformat() if isinstance(value, dt.time) else str(value))


def labelled(field: str, pattern: str, *, column: str | None = None, severity: Severity = "repair") -> FieldCheck:
    """The field's number or date stands behind words that match a regular expression (code `semantic.labelled`).

    `labelled("total", r"total|amount due")` refuses an amount that the record prints, but only as something else. The
    words are those before the value on its line, or on the line above where there are none. Case is ignored, text and
    null pass. The time for a search is bounded, as in `matches`.
    """
    code = "semantic.labelled"
    words = search_of("checks.labelled", pattern, ignore_case=True)
    read, issue = reader(field), issue_of(code, severity)

    def judge(value: Any, record: Record) -> Iterator[Issue]:
        texts = texts_of(record, column)
        for path, found in read(value):
            figure = found if isinstance(found, dt.date) else number_of(found)
            if figure is None:
                continue
            labels = [label for text in texts for label in labels_of(text, figure)]
            if not any(words(label) for label in labels):
                said = "; ".join(labels)[:200] or "nothing"
                yield issue(path, f"{field} is {shown(found)}, which stands as: {said}; not behind {pattern}", found)

    return FieldCheck(code, (field,), (column,) if column else (), judge, (pattern, column), severity)


def search_of(check: str, pattern: str, *, ignore_case: bool = False) -> Callable[[str], bool]:
    """Whether a text holds a pattern, in a time that is bounded. Raises ConfigError for what cannot be bounded."""
    if not isinstance(pattern, str):
        raise ConfigError(f"{check}: a pattern is text, got {pattern!r}")
    try:
        re.compile(pattern)
        head = _FLAGS.match(pattern)
        letters = dict.fromkeys([*(head.group(1) if head else ""), *("i" if ignore_case else "")])
        flags = f"(?{''.join(letters)})" if letters else ""
        return patterns.matcher(patterns.portable(flags + pattern[head.end() if head else 0 :]))
    except re.error as error:
        raise ConfigError(f"{check}: {pattern!r} is no regular expression: {error}") from None
    except (patterns.PatternError, RecursionError) as error:
        raise ConfigError(
            f"{check}: {pattern[:80]!r} cannot be judged in bounded time: {error}",
            hint="write it without atomic groups and conditions, and shorter",
        ) from None


def one_of_column(
    field: str, column: str, *, separator: str | None = None, severity: Severity = "repair"
) -> FieldCheck:
    """The field's value is one of the values in a column of the same record (code `semantic.one_of_column`).

    The column holds a list, or text parted by `separator`, or just one value. Null passes; an empty column holds
    nothing.
    """
    code = "semantic.one_of_column"
    read, issue = reader(field), issue_of(code, severity)

    def judge(value: Any, record: Record) -> Iterator[Issue]:
        allowed = _members(record.get(column), separator)
        for path, found in read(value):
            if str(found) not in allowed:
                message = f"{field} is {shown(found)}, not one of {column}: {', '.join(allowed)[:200]}"
                yield issue(path, message, found)

    return FieldCheck(code, (field,), (column,), judge, (column, separator), severity)


def _members(cell: Any, separator: str | None) -> list[str]:
    if cell is None:
        return []
    if isinstance(cell, list | tuple | set):
        return [str(item) for item in cell]
    return [part.strip() for part in str(cell).split(separator)] if separator else [str(cell)]


def matches_column(
    field: str,
    column: str,
    *,
    tolerance: Decimal | float | str = 0,
    ignore_case: bool = False,
    severity: Severity = "repair",
) -> FieldCheck:
    """The field's value is that of a column of the same record (code `semantic.matches_column`).

    The column's text is read as what the field is: a number or date in any usual writing, else text with white space
    folded. Null passes, and so does everything beside an empty cell: there is nothing to compare with.
    """
    code = "semantic.matches_column"
    allowed = tolerance_of(code, tolerance)
    read, issue = reader(field), issue_of(code, severity)

    def judge(value: Any, record: Record) -> Iterator[Issue]:
        cell = record.get(column)
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            return
        for path, found in read(value):
            if not _same(found, cell, allowed, ignore_case):
                yield issue(path, f"{field} is {shown(found)}, the column {column} says {shown(cell)}", found)

    settings = (str(allowed), ignore_case)
    return FieldCheck(code, (field,), (column,), judge, settings, severity)


def _same(value: Any, cell: Any, tolerance: Decimal, ignore_case: bool) -> bool:
    if isinstance(value, dt.date):
        return _same_day(value, cell)
    number = number_of(value)
    if number is not None:
        told = spans.parse_number(cell) if isinstance(cell, str) else number_of(cell)
        return told is not None and not differs(number, told, tolerance)
    if isinstance(value, bool):
        return str(cell).strip().lower() in (("true", "1", "yes") if value else ("false", "0", "no"))
    a, b = (" ".join(str(text).split()) for text in (value, cell))
    return a.casefold() == b.casefold() if ignore_case else a == b


def _same_day(value: dt.date, cell: Any) -> bool:
    """By the day: a column seldom has the moment in the field's own zone."""
    day = value.date() if isinstance(value, dt.datetime) else value
    if isinstance(cell, dt.datetime):
        return cell.date() == day
    if isinstance(cell, dt.date):
        return cell == day
    return day in {spans.parse_date(str(cell), day_first=order) for order in (True, False)}
