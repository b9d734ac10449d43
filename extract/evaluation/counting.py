"""Two sides and a plan → what became of each cell, as numbers per row: what all measures are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from extract.errors import ConfigError, InputError
from extract.evaluation.plan import Column, Plan
from extract.evaluation.sides import GOLD, Side
from extract.evaluation.tree import (
    MISSED,
    SPURIOUS,
    STATES,
    WITHHELD,
    WRONG,
    Leaf,
    Misread,
    Tree,
    Unreadable,
    cells,
    read,
)
from extract.records import steps_of

Missing = Literal["count", "skip"]
Counts = np.ndarray[Any, np.dtype[np.int32]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

OK, QUARANTINED, ABSENT = range(3)
NO_ROW = "(no row)"


@dataclass(frozen=True)
class Scored:
    """Cells of each gold row, column and state; `status` of each row; labels against each other for enums."""

    columns: Sequence[Column]
    keys: Sequence[str]
    counts: Counts  # by row, column and state
    status: np.ndarray[Any, np.dtype[np.int8]]
    flagged: Flags  # by row and column: a flag of the row names the field
    labels: Mapping[str, Counter[tuple[str | None, str | None]]]  # path → (gold, predicted) → how often
    notes: Sequence[str]

    @cached_property
    def right(self) -> Flags:
        """By row and column: there is a row, and nothing of the field in it is wrong."""
        errors = self.counts[:, :, WRONG] + self.counts[:, :, SPURIOUS] + self.counts[:, :, MISSED]
        found: Flags = (errors == 0) & (self.status == OK)[:, None]
        return found

    @cached_property
    def exact(self) -> Flags:
        """The rows of which every compared field is right."""
        return np.asarray(self.right.all(axis=1))


def score(predicted: Side, gold: Side, plan: Plan, missing: Missing = "count", *, strict: bool = True) -> Scored:
    """What became of each cell of gold. `strict`: a gold value that is none of its field's kind raises InputError.

    Raises InputError when no gold row belongs to the run, ConfigError for another word than count or skip.
    """
    if missing not in ("count", "skip"):
        raise ConfigError(f"missing is {missing!r}", hint="count or skip")
    keys, status = _overlap(predicted, gold, missing)
    counts = np.zeros((len(keys), len(plan.columns), len(STATES)), np.int32)
    flagged = np.zeros((len(keys), len(plan.columns)), bool)
    enums = [(column.path, leaf) for column, leaf in _enums(plan)]
    labels: dict[str, Counter[tuple[str | None, str | None]]] = {path: Counter() for path, _ in enums}
    paths = [column.path for column in plan.columns]
    for at, key in enumerate(keys):
        wanted = _gold_row(plan.tree, gold, key, strict)
        row = predicted.rows.get(key)
        found = None if row is None else read(plan.tree, row, strict=False)
        for number, state in cells(plan.tree, found, wanted):
            if row is not None:
                counts[at, number, state] += 1
            elif state == MISSED:
                counts[at, number, WITHHELD] += 1
        for path, leaf in enums:
            said = NO_ROW if row is None else _label(_value_at(plan.tree, found, path), leaf)
            labels[path][_label(_value_at(plan.tree, wanted, path), leaf), said] += 1
        if row is not None and row.get("_flags"):
            flagged[at] = _named(row["_flags"], paths)
    notes = [*gold.notes, *plan.notes, *_notes(predicted, gold, keys, status, missing)]
    return Scored(plan.columns, keys, counts, status, flagged, labels, notes)


def _overlap(predicted: Side, gold: Side, missing: Missing) -> tuple[list[str], np.ndarray[Any, np.dtype[np.int8]]]:
    known = {**dict.fromkeys(predicted.quarantined, QUARANTINED), **dict.fromkeys(predicted.rows, OK)}
    status = {key: known.get(key, ABSENT) for key in gold.rows}
    if all(state == ABSENT for state in status.values()):
        ours, theirs = next(iter([*predicted.rows, *known]), None), next(iter(gold.rows))
        raise InputError(
            f"no key of gold is one of {predicted.label}",
            file=gold.label,
            column=gold.key,
            value=theirs,
            hint=f"gold has {theirs!r}, the run {ours!r}; another key column: --key",
        )
    kept = {key: state for key, state in status.items() if missing == "count" or state != ABSENT}
    return list(kept), np.array(list(kept.values()), np.int8)


def _gold_row(tree: Tree, gold: Side, key: str, strict: bool) -> Any:
    try:
        return read(tree, gold.rows[key], strict=strict)
    except Misread as error:
        column = f"{GOLD}{error.path}" if gold.is_labels else error.path
        place = f"{gold.place} {gold.places[key]}"
        raise InputError(f"{place}: {error}", file=gold.label, column=column, value=error.value) from None


def _enums(plan: Plan) -> list[tuple[Column, Leaf]]:
    """Labels that each row has one of."""
    leaves = {leaf.path: leaf for leaf in _leaves(plan.tree)}
    return [
        (column, leaves[column.path])
        for column in plan.columns
        if column.is_enum and not column.in_list and column.path in leaves
    ]


def _leaves(tree: Tree) -> list[Leaf]:
    if isinstance(tree, Leaf):
        return [tree]
    parts = getattr(tree, "parts", {})
    return [leaf for part in parts.values() for leaf in _leaves(part)]


def _value_at(tree: Tree, value: Any, path: str) -> Any:
    for name in path.split("."):
        value = (value or {}).get(name)
    return value


def _label(value: Any, leaf: Leaf) -> str | None:
    if value is None:
        return None
    if isinstance(value, Unreadable):
        return value.value
    return str(value).lower() if isinstance(value, bool) else str(value)


def _named(flags: Collection[Any], paths: Sequence[str]) -> list[bool]:
    """Which fields the flags of a row name: `unsupported:$.lines[2].price` names lines.price and what is above."""
    named = {_plain_path("$" + str(flag).partition(":$")[2]) for flag in flags if ":$" in str(flag)}
    return [any(_is_below(path, name) or _is_below(name, path) for name in named if name) for path in paths]


def _plain_path(path: str) -> str:
    """`$.lines[2]['Total due']` as `lines.Total due`."""
    return ".".join(step for step in steps_of(path) or () if isinstance(step, str))


def _is_below(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}.")


def _notes(predicted: Side, gold: Side, keys: Sequence[str], status: Any, missing: Missing) -> list[str]:
    notes = []
    absent = int((status == ABSENT).sum()) if missing == "count" else len(gold.rows) - len(keys)
    if absent:
        what = "count as missed (--missing skip leaves them out)" if missing == "count" else "are left out"
        notes.append(f"{absent:,} gold records are not in {predicted.label} at all: they {what}")
    extra = len((predicted.rows.keys() | predicted.quarantined.keys()) - gold.rows.keys())
    if extra:
        notes.append(f"{extra:,} records of {predicted.label} have no gold: they are not scored")
    return notes
