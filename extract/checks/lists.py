"""Checks of fields among themselves: what comes twice, and what must be there."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Collection, Hashable, Iterator
from decimal import Decimal
from enum import Enum
from typing import Any

from pydantic import BaseModel

from extract.checks.base import FieldCheck, issue_of, shown
from extract.checks.figures import number_of
from extract.checks.paths import groups, reader, scopes, values
from extract.errors import ConfigError
from extract.fingerprint import source_of
from extract.records import Issue, Record, Severity

_QUICK = frozenset({str, int, dt.date})

Condition = Callable[[Any, Record], bool]


def unique_items(field: str, *, by: Collection[str] = (), severity: Severity = "repair") -> FieldCheck:
    """No value comes twice in a list: of `tags` its items, of `lines.sku` that field of its items (code
    `semantic.unique_items`).

    A list in a list counts by itself. `by`: items are alike when these fields of theirs are. Nulls are left out, with
    `by` items that have a null in any of the fields. Numbers are alike when they are equal, 1 and 1.0 too.
    """
    code = "semantic.unique_items"
    names = (by,) if isinstance(by, str) else tuple(by)
    read, issue = groups(field), issue_of(code, severity)
    parts = [reader(name, whole=True) for name in names]
    what = f"{field} by {', '.join(names)}" if names else field
    fields = tuple(f"{field}.{name}" for name in names) or (field,)
    quick = [values(name) for name in fields]

    def judge(value: Any, _: Record) -> Iterator[Issue]:
        if any(_all_differ(each(value)) for each in quick):
            return
        for __, items in read(value):
            first: dict[Hashable, str] = {}
            for path, item in items:
                if not parts:
                    key = alike(item)
                else:
                    found = [part(item) for part in parts]
                    if not all(found):
                        continue
                    cells = [each[0][1] for each in found]
                    key = tuple(map(alike, cells))
                before = first.setdefault(key, path)
                if before != path:
                    text = ", ".join(map(shown, cells)) if parts else shown(item)
                    yield issue(path, f"{what} is {text}, as in {before} already", text if parts else _plain(item))

    return FieldCheck(code, fields, (), judge, names, severity)


def _all_differ(found: list[Any]) -> bool:
    """Whether no two of these are alike, where that is told in a moment: of one kind, and equal only if alike."""
    kinds = set(map(type, found))
    return len(kinds) <= 1 and kinds <= _QUICK and len(set(found)) == len(found)


def _plain(item: Any) -> Any:
    return shown(item) if isinstance(item, BaseModel) else item


def alike(value: Any) -> Hashable:
    """What equal values have in common; objects and lists are what they hold."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, int | float | Decimal):
        number = value if isinstance(value, int) else number_of(value)
        return ("nan",) if number is None else number
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, list | tuple):
        return tuple(map(alike, value))
    if isinstance(value, set | frozenset):
        return frozenset(map(alike, value))
    if isinstance(value, dict):
        return frozenset((str(name), alike(part)) for name, part in value.items())
    return value if isinstance(value, Hashable) else json.dumps(value, default=str, sort_keys=True)


def required_if(field: str, when: str | Condition, *, equals: Any = None, severity: Severity = "repair") -> FieldCheck:
    """The field is there when another one says so (code `semantic.required_if`).

    when: a field, which must not be null, or must be `equals` (one value, or a list or set of them); or a function
    `(value, record) -> bool`. Null, blank text and an empty list or dict are not there; false and 0 are. Paths that
    share a list are looked at within each of its items. A null or absent condition asks for nothing.
    """
    code = "semantic.required_if"
    if equals is not None and not isinstance(when, str):
        raise ConfigError(f"{code}: equals goes with a field, and when is a function")
    if not isinstance(when, str) and not callable(when):
        raise ConfigError(f"{code}: when is {when!r}", hint="a field, or a function (value, record) -> bool")
    if not isinstance(when, str):
        return _required_when(code, field, when, severity)
    wanted = _wanted(equals)
    objects, (inner, condition) = scopes(field, when)
    read, look, issue = reader(inner, nulls=True, whole=True), reader(condition), issue_of(code, severity)

    def judge(value: Any, _: Record) -> Iterator[Issue]:
        for at, scope in objects(value):
            reason = next((found for __, found in look(scope, at) if wanted is None or alike(found) in wanted), None)
            if reason is not None:
                for path, found in read(scope, at):
                    if _missing(found):
                        yield issue(path, f"{field} is missing, and {when} is {shown(reason)}", found)

    settings = (repr(sorted(map(repr, wanted))) if wanted is not None else None,)
    return FieldCheck(code, (field, when), (), judge, settings, severity)


def _required_when(code: str, field: str, when: Condition, severity: Severity) -> FieldCheck:
    read, issue = reader(field, nulls=True, whole=True), issue_of(code, severity)
    name = getattr(when, "__name__", type(when).__name__).strip("<>")

    def judge(value: Any, record: Record) -> Iterator[Issue]:
        for path, found in read(value):
            if _missing(found) and when(value, record):
                yield issue(path, f"{field} is missing, and {name} asks for it", found)

    return FieldCheck(code, (field,), (), judge, (source_of(when),), severity)


def _wanted(equals: Any) -> frozenset[Hashable] | None:
    if equals is None:
        return None
    allowed = equals if isinstance(equals, list | tuple | set | frozenset) else (equals,)
    return frozenset(map(alike, allowed))


def _missing(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, list | tuple | dict | set | frozenset) and not value)
