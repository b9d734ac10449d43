"""A table check of totals: the sum of a column against a control figure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping
from decimal import Decimal
from typing import Any

from extract.checks.base import LONGEST, NUMBERS, shown
from extract.checks.figures import differs, number_of, tolerance_of, total_of
from extract.checks.paths import reader, scopes
from extract.checks.tables.finding import TableCheck, Verdict, counted
from extract.checks.tables.rows import Culprit, Place, TableRows
from extract.errors import ConfigError
from extract.records import Severity

Figure = Decimal | float | str


def total(
    field: str,
    figure: Figure | Mapping[str, Figure],
    *,
    by: str | None = None,
    tolerance: Figure = 0,
    name: str | None = None,
    severity: Severity = "reject",
    repair: bool = False,
) -> TableCheck:
    """The numbers of a field add up to a control figure, exactly or give or take `tolerance` (code `table.total`).

    by: another field or column, by whose values the control figures are given: `total("amount", {"EUR": "1200.50"},
    by="currency")`; a value without a figure fails. Nulls count as nothing, and their rows are the ones that are named,
    and that a repair asks again: which other row is wrong, a sum cannot tell. Quarantined records are missing from the
    sum; the message counts them.
    """
    code = "table.total"
    called = name or f"total({field})"
    allowed = tolerance_of(called, tolerance)
    if isinstance(figure, Mapping) != (by is not None):
        raise ConfigError(f"{called}: control figures by value go with by=…, a single one does not")
    figures = {str(key): _figure(called, value) for key, value in figure.items()} if isinstance(figure, Mapping) else {}
    single = None if isinstance(figure, Mapping) else _figure(called, figure)

    def judge(rows: TableRows) -> Verdict:
        sums = _sums(rows, field, by)
        wanted = {"": single} if single is not None else figures
        groups: dict[str, str] = {}
        for group in dict.fromkeys([*wanted, *sums]):
            found, told = sums.get(group, Decimal(0)), wanted.get(group)
            if told is None or found is None or differs(found, told, allowed):
                groups[group] = _said(field, by and group, found, told)
        if not groups:
            return Verdict()
        wrong = list(groups.values())
        places, failing = _empty(rows, field, by, groups)
        why = f"it is empty, and {field} of all records does not add up to the control figure"
        culprits = [Culprit(key, path, why) for key, path in places]
        missing = f"; {_missing(rows.quarantined)}" if rows.quarantined else ""
        more = f", and {len(wrong) - 3:,} more" if len(wrong) > 3 else ""
        return Verdict(f"{'; '.join(wrong[:3])}{more}{missing}", tuple(places), failing, culprits=culprits)

    fields = (field, by) if by else (field,)
    settings = (str(single), sorted((key, str(value)) for key, value in figures.items()), by, str(allowed))
    kinds = (NUMBERS,) if not by else ()
    return TableCheck(code, called, fields, judge, settings, severity, repair, kinds, asked=(field,))


def _missing(quarantined: int) -> str:
    if quarantined == 1:
        return "1 quarantined record is not counted"
    return f"{quarantined:,} quarantined records are not counted"


def _figure(called: str, value: Any) -> Decimal:
    try:
        found = Decimal(str(value))
    except ArithmeticError:
        found = Decimal("nan")
    if not found.is_finite():
        raise ConfigError(f"{called}: {value!r} is no control figure", hint='a number, such as "1234.50"')
    return found


def _sums(rows: TableRows, field: str, by: str | None) -> dict[str, Decimal | None]:
    """The sums by group, None for one that has no exact sum."""
    sums: dict[str, Decimal | None] = defaultdict(Decimal)
    for _, value, group in _numbers(rows, field, by):
        if value is not None:
            number, so_far = number_of(value), sums[group]
            sums[group] = None if number is None or so_far is None else total_of((so_far, number))
    return sums


def _empty(rows: TableRows, field: str, by: str | None, groups: Container[str]) -> tuple[list[Place], int]:
    """Where the first nulls of these groups are, and in how many rows there are such."""
    return counted(place for place, value, group in _numbers(rows, field, by) if value is None and group in groups)


def _numbers(rows: TableRows, field: str, by: str | None) -> Iterator[tuple[Place, Any, str]]:
    objects, rest = scopes(field, by) if by else scopes(field, field)
    read, read_by = reader(rest[0], nulls=True), reader(rest[1])
    for key, row in rows.records([field, by] if by else [field]):
        for at, scope in objects(row):
            group = ", ".join(str(value) for _, value in read_by(scope, at)) if by else ""
            for path, value in read(scope, at):
                yield (key, path), value, group


def _said(field: str, group: str | None, found: Decimal | None, told: Decimal | None) -> str:
    of = f"{field} of {group!r}" if group is not None else field
    if told is None:
        return f"{of} has no control figure"
    if found is None:
        return f"{of} cannot be added up exactly"
    return f"{of} adds up to {_plain(found)}, the control figure is {_plain(told)}"


def _plain(number: Decimal) -> str:
    """A number without the noughts that fill its column."""
    text = format(number, "f") if -LONGEST < number.adjusted() < LONGEST else str(number)
    return shown(Decimal(text.rstrip("0").rstrip(".")) if "." in text and "E" not in text else number)
