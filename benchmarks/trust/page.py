"""The figures as the section of a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.trust.counting import Trust
from benchmarks.trust.sets import DataSet, Part
from benchmarks.trust.sides import Table
from extract.evaluation.measures import Score

GOAL = 5  # times fewer cells that are wrong and look right


@dataclass(frozen=True)
class Column:
    """One way to a table: how far it can be trusted, and the table."""

    trust: Trust
    table: Table
    bare: Trust | None = None  # the same without the flags of second opinions


def section(sets: Sequence[str]) -> str:
    """All sets, one below the other."""
    return "\n".join(sets).strip()


def set_section(data: DataSet, part: Part, where: str, columns: Mapping[str, Column]) -> str:
    """One set: the fields, what reached the table, and the goal."""
    first, last = part.records["id"].iloc[0], part.records["id"].iloc[-1]
    lines = [
        f"### {data.name}: {len(part.records)} {where} records, {first} to {last}",
        "",
        f"| field | {' | '.join(f'{name}: P | R | F1' for name in columns)} |",
        f"|---{'|--:' * 3 * len(columns)}|",
    ]
    some = next(iter(columns.values())).trust.found
    for path, found in some.fields.items():
        if found.counted:
            lines.append(_line(path, [column.trust.found.fields[path].score for column in columns.values()]))
    lines.append(_line("**all (micro)**", [column.trust.found.micro for column in columns.values()]))
    lines += ["", f"| | {' | '.join(columns)} |", f"|---{'|--:' * len(columns)}|"]
    for what, said in _COUNTS.items():
        lines.append(f"| {what} | {' | '.join(said(column) for column in columns.values())} |")
    return "\n".join([*lines, "", *_verdict(columns), ""])


def _line(path: str, scores: Sequence[Score]) -> str:
    cells = [_share(value) for score in scores for value in (score.precision, score.recall, score.f1)]
    return f"| {path} | {' | '.join(cells)} |"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _of(number: int, whole: int) -> str:
    return f"{number} ({number / whole:.1%})" if whole else "0"


def _reasons(table: Table) -> str:
    said = ", ".join(f"{reason} {times}" for reason, times in sorted(table.reasons.items()))
    return f" ({said})" if said else ""


def _bare(column: Column) -> str:
    return _of(column.bare.unflagged, column.trust.cells) if column.bare else "–"


_COUNTS: Mapping[str, Callable[[Column], str]] = {
    "records without a row": lambda c: f"{c.trust.found.records - c.trust.found.in_table}{_reasons(c.table)}",
    "cells": lambda c: str(c.trust.cells),
    "wrong in the table": lambda c: _of(c.trust.wrong, c.trust.cells),
    "**wrong and not flagged**": lambda c: f"**{_of(c.trust.unflagged, c.trust.cells)}**",
    "the same, without second opinions": _bare,
    "right, but flagged": lambda c: _of(c.trust.right_flagged, c.trust.cells),
    "requests": lambda c: f"{c.table.requests:,}",
    "tokens": lambda c: f"{c.table.tokens:,}",
}


def _verdict(columns: Mapping[str, Column]) -> list[str]:
    """How ours stands to the others."""
    if "ours" not in columns or len(columns) < 2:
        return []
    ours = columns["ours"].trust
    said = []
    for name, column in columns.items():
        if name != "ours":
            gain = (ours.found.f1 or 0.0) - (column.trust.found.f1 or 0.0)
            said.append(f"Against {name}: {_fewer(column.trust, ours)}, F1 {gain:+.2f}.")
    return [" ".join(said)]


def _fewer(other: Trust, ours: Trust) -> str:
    if not ours.unflagged:
        return f"no cell that is wrong and not flagged, there {other.unflagged}"
    ratio = other.misleading / ours.misleading
    return f"{ratio:.1f} times fewer cells that are wrong and not flagged (the goal is {GOAL})"
