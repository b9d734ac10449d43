"""Counts of cells → precision, recall, F1, coverage and accuracy, with bootstrap intervals over the rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from types import EllipsisType
from typing import Any

import numpy as np

from extract.evaluation.counting import OK, Scored
from extract.evaluation.plan import Column
from extract.evaluation.tree import CORRECT, MISSED, NULL, SPURIOUS, WITHHELD, WRONG

Floats = np.ndarray[Any, np.dtype[np.float64]]

MEASURES = ("precision", "recall", "f1", "coverage", "accuracy")
_AT_ONCE = 8_000_000  # weights in memory while rows are drawn again
_STATES = (CORRECT, WRONG, SPURIOUS, MISSED, WITHHELD)


@dataclass(frozen=True, slots=True)
class Score:
    """The measures of one field, or of all. None where there is nothing to divide by.

    precision: correct / values that were given. recall: correct / values that gold has. f1: of the two. coverage:
    values that were given / values that gold has, where gold has one. accuracy: records with nothing wrong in the
    field, an agreed null among them, / all records of gold.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    coverage: float | None
    accuracy: float | None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        found = {name: getattr(self, name) for name in MEASURES}
        return {**found, "intervals": {name: list(pair) for name, pair in self.intervals.items()}}


@dataclass(frozen=True, slots=True)
class FieldScore:
    """One path: its measures, the number of its cells by what became of them, and of records by field."""

    path: str
    comparator: str
    counted: bool
    score: Score
    correct: int
    wrong: int
    spurious: int
    missed: int
    withheld: int
    null: int
    wrong_rows: int  # records whose row of the table is wrong here
    unflagged: int  # those of them in which no flag names the field
    right: int  # records that are right here

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        counts = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in ("path", "score")}
        return counts | self.score.as_dict()


@dataclass(frozen=True, slots=True)
class Summary:
    """All fields, their totals (micro: over cells; macro: the mean of the fields) and the records."""

    fields: Mapping[str, FieldScore]
    micro: Score
    macro: Score
    exact: float  # records of which every field is right
    exact_interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over rows: of all of them, or one for each of many draws (then that is the first axis)."""

    cells: Floats  # by … column and state
    right: Floats  # by … column
    exact: Floats  # …
    rows: int
    counted: np.ndarray[Any, np.dtype[np.bool_]]  # columns that are in the totals


def summary(scored: Scored, resamples: int, seed: int, level: float) -> Summary:
    """The measures of what was counted, with intervals from so many draws of the rows."""
    point = sums_of(scored)
    found = measured(point)
    drawn = [measured(sums) for sums in draws(scored, resamples, seed)]
    spread = {name: np.concatenate([each[name] for each in drawn]) for name in found} if drawn else {}
    fields = {
        label_of(column): _field_score(scored, point, number, _score(found, spread, level, column=number))
        for number, column in enumerate(scored.columns)
    }
    micro, macro = (_score(found, spread, level, prefix=f"{kind}.") for kind in ("micro", "macro"))
    interval = interval_of(spread["exact"], level) if spread else None
    return Summary(fields, micro, macro, float(found["exact"]), interval)


def label_of(column: Column) -> str:
    """What a column is called: the whole items of `lines` are `lines[]`."""
    return column.path if column.counted else f"{column.path}[]"


def _field_score(scored: Scored, point: Sums, number: int, score: Score) -> FieldScore:
    column = scored.columns[number]
    correct, wrong, spurious, missed, withheld = point.cells[number].astype(int).tolist()
    in_table = ~scored.right[:, number] & (scored.status == OK)
    return FieldScore(
        column.path,
        column.comparator,
        column.counted,
        score,
        correct,
        wrong,
        spurious,
        missed,
        withheld,
        null=int(scored.counts[:, number, NULL].sum()),
        wrong_rows=int(in_table.sum()),
        unflagged=int((in_table & ~scored.flagged[:, number]).sum()),
        right=int(point.right[number]),
    )


def sums_of(scored: Scored) -> Sums:
    """The sums over all rows."""
    cells = scored.counts[:, :, _STATES].sum(axis=0, dtype=np.float64)
    right, exact = scored.right.sum(axis=0, dtype=np.float64), np.float64(scored.exact.sum())
    return Sums(cells, right, np.asarray(exact), len(scored.keys), _mask(scored))


def draws(scored: Scored, number: int, seed: int) -> Iterator[Sums]:
    """The sums of so many samples of the rows, drawn with replacement, some at a time. The same seed draws the same
    rows, so that two runs over the same gold are drawn alike."""
    rows, columns = len(scored.keys), len(scored.columns)
    random = np.random.default_rng(seed)
    parts = [scored.counts[:, :, _STATES].reshape(rows, -1), scored.right, scored.exact[:, None]]
    table = np.concatenate(parts, axis=1, dtype=np.float64)
    step = max(1, _AT_ONCE // rows)
    for first in range(0, number, step):
        size = min(step, number - first)
        drawn = random.integers(0, rows, (size, rows)) + np.arange(size)[:, None] * rows
        weights = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)
        found = weights.astype(np.float64) @ table
        cells, right = np.split(found[:, :-1], [columns * len(_STATES)], axis=1)
        yield Sums(cells.reshape(size, columns, -1), right, found[:, -1], rows, _mask(scored))


def _mask(scored: Scored) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.array([column.counted for column in scored.columns], bool)


def measured(sums: Sums) -> dict[str, Floats]:
    """Each measure by column, and the totals as `micro.f1`, `macro.f1`, …; NaN where there is nothing to divide by."""
    of_cells = _rates(sums.cells)
    found = of_cells | {"accuracy": sums.right / sums.rows}
    whole = sums.rows * sums.counted.sum(dtype=np.float64)
    micro = _rates(sums.cells[..., sums.counted, :].sum(axis=-2))
    micro["accuracy"] = _ratio(sums.right[..., sums.counted].sum(axis=-1), whole)
    totals = {f"micro.{name}": values for name, values in micro.items()}
    means = {f"macro.{name}": _mean(values[..., sums.counted]) for name, values in found.items()}
    return {**found, **totals, **means, "exact": sums.exact / sums.rows}


def _rates(cells: Floats) -> dict[str, Floats]:
    correct, wrong, spurious, missed, withheld = np.moveaxis(cells, -1, 0)
    given, wanted = correct + wrong + spurious, correct + wrong + missed + withheld
    return {
        "precision": _ratio(correct, given),
        "recall": _ratio(correct, wanted),
        "f1": _ratio(2 * correct, given + wanted),
        "coverage": _ratio(correct + wrong, wanted),
    }


def _ratio(part: Any, whole: Any) -> Floats:
    part, whole = np.broadcast_arrays(part, whole)
    found: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return found


def _mean(values: Floats) -> Floats:
    """Over the columns that have a value."""
    there = ~np.isnan(values)
    return _ratio(np.where(there, values, 0).sum(axis=-1), there.sum(axis=-1).astype(np.float64))


def interval_of(values: Floats, level: float) -> tuple[float, float] | None:
    """The middle `level` of what the draws gave; None where no draw had anything to divide by."""
    there = values[~np.isnan(values)]
    if not there.size:
        return None
    low, high = np.quantile(there, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _score(
    found: Mapping[str, Floats],
    spread: Mapping[str, Floats],
    level: float,
    column: int | EllipsisType = ...,
    prefix: str = "",
) -> Score:
    values = {name: float(found[f"{prefix}{name}"][column]) for name in MEASURES}
    plain = {name: None if math.isnan(value) else value for name, value in values.items()}
    pairs = {
        name: interval_of(spread[f"{prefix}{name}"][:, column] if prefix == "" else spread[f"{prefix}{name}"], level)
        for name in (MEASURES if spread else ())
        if plain[name] is not None
    }
    return Score(**plain, intervals={name: pair for name, pair in pairs.items() if pair is not None})
