"""Ready semantic checks, and the rule for your own.

A check is any function `(value, record) -> issues`: the model instance, the source record, and in return nothing,
a message, an `Issue`, or several of these. A message gets the code `semantic.<name of the function>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

from pydantic import BaseModel

from extract.errors import ConfigError
from extract.records import Issue, Record
from extract.verbatim import contains, labels_of, value_spans

Finding = str | Issue
Check = Callable[[Any, Record], Finding | Iterable[Finding] | None]


@dataclass(frozen=True)
class FieldCheck:
    """A ready check: `fields` and `columns` are what it reads, so that a misspelt one is refused before any call."""

    code: str
    fields: tuple[str, ...]
    columns: tuple[str, ...]
    judge: Callable[[BaseModel, Record], Iterator[Issue]]
    settings: tuple[Any, ...] = ()  # what else decides, for the fingerprint

    def __call__(self, value: BaseModel, record: Record) -> list[Issue]:
        return list(self.judge(value, record))


def verbatim(*fields: str, column: str | None = None, ignore_case: bool = False) -> FieldCheck:
    """Each field's value stands in the record (code `semantic.verbatim`).

    Text must stand there as it is, white space folded; a number or date counts in any usual writing. Null passes.
    `column` restricts the search to one column; else every text column counts.
    """
    code = "semantic.verbatim"

    def judge(value: BaseModel, record: Record) -> Iterator[Issue]:
        texts = _texts(record, column)
        for path, found in _all_values(value, fields):
            if not any(_stands_in(text, found, ignore_case) for text in texts):
                yield Issue("semantic", code, path, "the value does not stand in the record", found)

    return FieldCheck(code, fields, (column,) if column else (), judge, (column, ignore_case))


def sums_to(items: str, total: str, *, tolerance: Decimal | float | str = 0) -> FieldCheck:
    """The numbers at path `items` ("lines.amount") add up to the field `total` (code `semantic.sums_to`).

    `tolerance` is absolute, in the unit of the field. Nulls pass.
    """
    code = "semantic.sums_to"
    allowed = Decimal(str(tolerance))

    def judge(value: BaseModel, _: Record) -> Iterator[Issue]:
        parts = [Decimal(str(found)) for __, found in _values(value, items)]
        for path, found in _values(value, total):
            if parts and abs(sum(parts) - Decimal(str(found))) > allowed:
                message = f"{items} add up to {sum(parts)}, {total} says {found}"
                yield Issue("semantic", code, path, message, found)

    return FieldCheck(code, (items, total), (), judge, (str(allowed),))


def one_of_column(field: str, column: str, *, separator: str | None = None) -> FieldCheck:
    """The field's value is one of the values in a column of the same record (code `semantic.one_of_column`).

    The column holds a list, or text parted by `separator`, or just one value. Null passes.
    """
    code = "semantic.one_of_column"

    def judge(value: BaseModel, record: Record) -> Iterator[Issue]:
        allowed = _members(record[column], separator)
        for path, found in _all_values(value, (field,)):
            if str(found) not in allowed:
                yield Issue("semantic", code, path, f"not one of {column}: {', '.join(allowed)[:200]}", found)

    return FieldCheck(code, (field,), (column,), judge, (column, separator))


def labelled(field: str, pattern: str, *, column: str | None = None) -> FieldCheck:
    """The field's number or date stands behind words that match a regular expression (code `semantic.labelled`).

    `labelled("total", r"total|amount due")` refuses an amount that the record prints, but only as something else. The
    words are those before the value on its line, or on the line above where there are none. Case is ignored, text and
    null pass.
    """
    code = "semantic.labelled"
    try:
        words = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ConfigError(f"checks.labelled: {pattern!r} is no regular expression: {error}") from None

    def judge(value: BaseModel, record: Record) -> Iterator[Issue]:
        texts = _texts(record, column)
        for path, found in _all_values(value, (field,)):
            if isinstance(found, str | bool):
                continue
            labels = [label for text in texts for label in labels_of(text, found)]
            if not any(words.search(label) for label in labels):
                message = f"{found} stands as: {'; '.join(labels)[:200] or 'nothing'}; not behind {pattern}"
                yield Issue("semantic", code, path, message, found)

    return FieldCheck(code, (field,), (column,) if column else (), judge, (pattern, column))


def run_check(check: Check, value: BaseModel, record: Record) -> list[Issue]:
    """The findings of one check as issues. What the check raises is the caller's to handle."""
    found = check(value, record)
    findings = [] if found is None else [found] if isinstance(found, str | Issue) else list(found)
    name = getattr(check, "__name__", type(check).__name__).strip("<>")
    return [
        item if isinstance(item, Issue) else Issue("semantic", f"semantic.{name}", "$", str(item)) for item in findings
    ]


def _texts(record: Record, column: str | None) -> list[str]:
    return [cell for cell in ([record[column]] if column else record.values()) if isinstance(cell, str)]


def _stands_in(text: str, value: Any, ignore_case: bool) -> bool:
    if not isinstance(value, str):
        return isinstance(value, bool) or value_spans(text, value)
    return contains(text.casefold(), value.casefold()) if ignore_case else contains(text, value)


def _members(cell: Any, separator: str | None) -> list[str]:
    if cell is None:
        return []
    if isinstance(cell, list | tuple | set):
        return [str(item) for item in cell]
    return [part.strip() for part in str(cell).split(separator)] if separator else [str(cell)]


def _all_values(value: Any, fields: Iterable[str]) -> Iterator[tuple[str, Any]]:
    for field in fields:
        yield from _values(value, field)


def _values(value: Any, field: str, path: str = "$") -> Iterator[tuple[str, Any]]:
    """Every value at a dotted path, lists opened, nulls left out."""
    if value is None:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _values(item, field, f"{path}[{index}]")
    elif field:
        name, _, rest = field.partition(".")
        yield from _values(getattr(value, name), rest, f"{path}.{name}")
    else:
        yield path, value.value if isinstance(value, Enum) else value
