"""Table checks of keys: what may be there once only, and what must be there elsewhere.

Of every value a hash of eight bytes is kept; the values themselves only of those that come twice, or that are referred
to, and places only as many as are told.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Hashable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from extract.checks.base import shown
from extract.checks.lists import alike
from extract.checks.paths import reader
from extract.checks.tables.finding import MAX_CULPRITS, TableCheck, Verdict
from extract.checks.tables.rows import Culprit, Place, TableRows
from extract.errors import ConfigError
from extract.records import Severity

EXAMPLES = 3  # in a message


def unique(*fields: str, name: str | None = None, severity: Severity = "reject", repair: bool = False) -> TableCheck:
    """No two rows have the same value in a field, or the same values in several (code `table.unique`).

    `unique("lines.serial")`: no two items of any two rows. Paths that share a list are taken together within each item.
    Nulls are left out. All rows that share a value are named; a repair asks the later ones again for these fields.
    """
    code = "table.unique"
    if not fields:
        raise ConfigError("checks.tables.unique names no field")
    called = name or f"unique({', '.join(fields)})"
    what = " and ".join(fields)

    def judge(rows: TableRows) -> Verdict:
        repeated = _repeated(hash(value) for _, value in _keyed(rows, fields))
        counts = Counter(value for _, value in _keyed(rows, fields) if hash(value) in repeated) if repeated else {}
        doubled = {value: number for value, number in counts.items() if number > 1}
        if not doubled:
            return Verdict()
        places: list[Place] = []
        culprits: list[Culprit] = []
        first: set[Hashable] = set()
        examples: dict[Hashable, list[Place]] = {value: [] for value in islice(doubled, EXAMPLES)}
        failing, last = 0, None
        for found, value in _keyed(rows, fields):
            if value in doubled:
                place = found[0]
                failing += place[0] != last  # a row's places come one after the other
                last = place[0]
                if len(places) < MAX_CULPRITS:
                    places.append(place)
                if value not in first:
                    first.add(value)
                elif len(culprits) < MAX_CULPRITS:
                    culprits += [Culprit(key, path, f"another record has the same {what}") for key, path in found]
                if value in examples and len(examples[value]) <= MAX_CULPRITS:
                    examples[value].append(place)
        said = "; ".join(f"{_said(value)} in {_rows_said(found)}" for value, found in examples.items())
        many = f"1 value of {what} comes" if len(doubled) == 1 else f"{len(doubled):,} values of {what} come"
        return Verdict(f"{many} more than once: {said}", tuple(places), failing, culprits=culprits)

    return TableCheck(code, called, fields, judge, (), severity, repair)


def _keyed(rows: TableRows, fields: tuple[str, ...]) -> Iterator[tuple[tuple[Place, ...], Hashable]]:
    if len(fields) == 1:
        for place, value in rows.values(fields[0]):
            yield (place,), alike(value)
        return
    for places, values in rows.together(fields):
        yield places, tuple(alike(each[0]) if len(each) == 1 else alike(each) for each in values)


def _repeated(hashes: Iterator[int]) -> set[int]:
    """The hashes that come more than once."""
    found = np.frombuffer(array("q", hashes), dtype=np.int64)
    ordered = np.sort(found)
    return set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())


def _said(value: Any) -> str:
    return " and ".join(map(shown, value)) if isinstance(value, tuple) else shown(value)


def _rows_said(places: list[Place]) -> str:
    keys = list(dict.fromkeys(key for key, _ in places))
    least = "at least " if len(places) > MAX_CULPRITS else ""
    more = f" and {least}{len(keys) - EXAMPLES:,} more" if len(keys) > EXAMPLES else ""
    return f"row{'s' if len(keys) > 1 else ''} {', '.join(map(repr, keys[:EXAMPLES]))}{more}"


def foreign_key(
    field: str,
    to: str,
    *,
    within_record: bool = False,
    name: str | None = None,
    severity: Severity = "reject",
    repair: bool = False,
) -> TableCheck:
    """Every value of a field is one of the field `to`, of any row (code `table.foreign_key`).

    Both may lie in lists: `foreign_key("payments.line", "lines.number", within_record=True)` looks among the lines of
    the same record. Nulls refer to nothing, and pass.
    """
    code = "table.foreign_key"
    called = name or f"foreign_key({field}, {to})"

    def judge(rows: TableRows) -> Verdict:
        found = _Dangling()
        if within_record:
            read, read_to = reader(field), reader(to)
            for key, row in rows.records([field, to]):
                known = {alike(value) for _, value in read_to(row)}
                for path, value in read(row):
                    found.look((key, path), value, alike(value) in known)
        else:
            known = {alike(value) for _, value in rows.values(to)}
            for place, value in rows.values(field):
                found.look(place, value, alike(value) in known)
        return found.verdict(field, to, " of the same record" if within_record else "")

    settings = (within_record,)
    return TableCheck(code, called, (field, to), judge, settings, severity, repair, asked=(field,))


class _Dangling:
    """Places that refer to nothing: so many, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.places: list[Place] = []
        self.examples: list[str] = []
        self.rows = 0
        self._last: Any = self

    def look(self, place: Place, value: Any, known: bool) -> None:
        if known:
            return
        self.count += 1
        self.rows += place[0] != self._last  # a row's places come one after the other
        self._last = place[0]
        if len(self.places) < MAX_CULPRITS:
            self.places.append(place)
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{shown(value)} in row {place[0]!r}")

    def verdict(self, field: str, to: str, of: str) -> Verdict:
        if not self.count:
            return Verdict()
        said = f"1 value of {field} is" if self.count == 1 else f"{self.count:,} values of {field} are"
        why = f"no {to}{of} has this value, which should be one of these"
        culprits = [Culprit(key, path, why) for key, path in self.places]
        return Verdict(
            f"{said} not in {to}{of}: {'; '.join(self.examples)}", tuple(self.places), self.rows, "", culprits
        )
