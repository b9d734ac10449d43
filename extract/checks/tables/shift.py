"""A table check of drift: how a field is distributed, against an earlier run."""

from __future__ import annotations

import json
import math
from array import array
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from extract.checks.base import NUMBERS, shown
from extract.checks.figures import number_of
from extract.checks.paths import reader
from extract.checks.reference import fingerprint_of
from extract.checks.tables.finding import TableCheck, Verdict, counted
from extract.checks.tables.rows import Place, TableRows
from extract.errors import ConfigError
from extract.records import Severity

Measure = Literal["tv", "psi", "ks", "quantile"]
Floats = np.ndarray[Any, np.dtype[np.float64]]

MAX_CATEGORIES = 100_000
LEAST = 1e-4  # share of a category that is not there, for psi
CHUNK = 1 << 16  # numbers that are compared at a time
QUANTILES = tuple(number / 10 for number in range(1, 10))


def shift(
    field: str,
    earlier: str | Path,
    *,
    limit: float,
    measure: Measure = "tv",
    optional: bool = False,
    name: str | None = None,
    severity: Severity = "reject",
    repair: bool = False,
) -> TableCheck:
    """A field is distributed as in an earlier run, but for a shift of at most `limit` (code `table.shift`).

    earlier: a finished run directory, or a CSV or Parquet file with the field as a column. optional: pass where it is
    not there, as on the first run. measure: of categories "tv" (total variation, 0 to 1: the share that would have to
    move) or "psi" (population stability index; 0.1 is small, 0.25 large), where null is a category; of numbers "ks"
    (the largest distance between the two cumulative distributions, 0 to 1) or "quantile" (the largest move of a decile,
    in interquartile ranges of the earlier run), where nulls are left out. Rows whose category is new are named.
    `repair` asks for nothing: a distribution does not tell which value is wrong.
    """
    code = "table.shift"
    called = name or f"shift({field})"
    path = Path(earlier)
    if measure not in get_args(Measure):
        raise ConfigError(f"{called}: there is no measure {measure!r}", hint=f"one of {', '.join(get_args(Measure))}")
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit < math.inf:
        raise ConfigError(f"{called}: limit is {limit!r}", hint="a number from 0")

    def judge(rows: TableRows) -> Verdict:
        if not path.exists() and optional:
            return Verdict(said=f"{path} is not there: nothing to compare with")
        if rows.open is None:
            raise ConfigError(f"{called}: no earlier run can be read here")
        before = rows.open(path, field)
        compare = _of_categories if measure in ("tv", "psi") else _of_numbers
        return compare(rows, before, field, measure, limit)

    def prepare() -> None:
        if not path.exists() and not optional:
            raise ConfigError(f"the check {called} compares with {path}, which is not there", hint="optional=True")
        if path.is_dir() and not _is_finished(path):
            raise ConfigError(f"the check {called} compares with {path}, which is no finished run")

    kinds = (NUMBERS,) if measure in ("ks", "quantile") else ()
    settings = (_Earlier(path), limit, measure, optional)
    return TableCheck(code, called, (field,), judge, settings, severity, repair, kinds, prepare)


class _Earlier:
    """An earlier run, whose repr tells its content, for the fingerprint of the check."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        path = self.path / "manifest.json" if self.path.is_dir() else self.path
        return f"{self.path}:{fingerprint_of('table.shift', path) if path.exists() else 'none'}"


def _is_finished(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("complete") is True


def _of_categories(rows: TableRows, before: TableRows, field: str, measure: str, limit: float) -> Verdict:
    was, now = _counts(before, field), _counts(rows, field)
    if not was or not now:
        return Verdict(said="there are no rows to compare")
    apart = variation(was, now) if measure == "tv" else stability(was, now)
    said = f"{field} has moved by {apart:.4g} ({measure}, limit {limit:g})"
    if apart <= limit:
        return Verdict(said=said)
    old, new = sum(was.values()), sum(now.values())
    moves = sorted(was.keys() | now.keys(), key=lambda each: (-abs(now[each] / new - was[each] / old), str(each)))
    most = "; ".join(f"{shown(each)} {was[each] / old:.1%} to {now[each] / new:.1%}" for each in moves[:3])
    places, failing = _new(rows, field, was)
    return Verdict(f"{said}: {most}", tuple(places), failing, culprits=())


def _new(rows: TableRows, field: str, was: Container[str | None]) -> tuple[list[Place], int]:
    """Where the first values are that were not there before, and in how many rows there are such."""
    return counted(place for place, value in _each(rows, field) if value not in was)


def _each(rows: TableRows, field: str) -> Iterable[tuple[Place, str | None]]:
    """Every value as a category."""
    read = reader(field, nulls=True)
    for key, row in rows.records([field]):
        for path, value in read(row):
            yield (key, path), None if value is None else str(value)


def _counts(rows: TableRows, field: str) -> Counter[str | None]:
    counts: Counter[str | None] = Counter()
    for _, value in _each(rows, field):
        counts[value] += 1
        if len(counts) > MAX_CATEGORIES:
            raise ConfigError(f"{field} has more than {MAX_CATEGORIES:,} values: it is no category", hint="measure=…")
    return counts


def variation(was: Counter[str | None], now: Counter[str | None]) -> float:
    """Total variation: half the sum of the differences of the shares."""
    old, new = sum(was.values()), sum(now.values())
    return sum(abs(now[each] / new - was[each] / old) for each in was.keys() | now.keys()) / 2


def stability(was: Counter[str | None], now: Counter[str | None]) -> float:
    """Population stability index; a share of nothing counts as LEAST."""
    old, new = sum(was.values()), sum(now.values())
    pairs = ((max(now[each] / new, LEAST), max(was[each] / old, LEAST)) for each in was.keys() | now.keys())
    return sum((a - b) * math.log(a / b) for a, b in pairs)


def _of_numbers(rows: TableRows, before: TableRows, field: str, measure: str, limit: float) -> Verdict:
    was, now = _sample(before, field), _sample(rows, field)
    if not len(was) or not len(now):
        return Verdict(said="there are no numbers to compare")
    apart = distance(was, now) if measure == "ks" else decile_move(was, now)
    said = f"{field} has moved by {apart:.4g} ({measure}, limit {limit:g})"
    if apart <= limit:
        return Verdict(said=said)
    return Verdict(f"{said}: median {_median(was):g} to {_median(now):g}", culprits=())


def _sample(rows: TableRows, field: str) -> Floats:
    """The finite numbers, in order: eight bytes each."""
    numbers = (float(each) for _, value in rows.values(field) if (each := _number(value)) is not None)
    found = np.frombuffer(array("d", filter(math.isfinite, numbers)), dtype=np.float64)
    found.sort()  # in place: the array is ours
    return found


def _median(ordered: Floats) -> float:
    """`np.median` would copy them."""
    half = len(ordered) // 2
    return float(ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2)


def _quantiles(ordered: Floats, shares: Sequence[float]) -> Floats:
    """As `np.quantile` has them, without its copy."""
    at = np.asarray(shares) * (len(ordered) - 1)
    below = np.floor(at).astype(np.int64)
    above = np.minimum(below + 1, len(ordered) - 1)
    found: Floats = ordered[below] + (ordered[above] - ordered[below]) * (at - below)
    return found


def _number(value: Any) -> Decimal | None:
    """A number, also where it is the text of a CSV file."""
    if not isinstance(value, str):
        return number_of(value)
    with suppress(ArithmeticError):
        return number_of(Decimal(value.strip()))
    return None


def distance(was: Floats, now: Floats) -> float:
    """Kolmogorov-Smirnov: how far apart the two cumulative distributions get. Both are sorted."""
    most = 0.0
    for sample in (was, now):
        for begin in range(0, len(sample), CHUNK):
            places = sample[begin : begin + CHUNK]
            apart = np.searchsorted(was, places, "right") / len(was) - np.searchsorted(now, places, "right") / len(now)
            most = max(most, float(np.abs(apart).max()))
    return most


def decile_move(was: Floats, now: Floats) -> float:
    """The largest move of a decile, in interquartile ranges of the first; infinite where that is nothing."""
    moved = float(np.abs(_quantiles(now, QUANTILES) - _quantiles(was, QUANTILES)).max())
    lower, upper = _quantiles(was, (0.25, 0.75))
    width = float(upper - lower)
    return moved / width if width else (math.inf if moved else 0.0)
