"""`extract sample`: a stratified sample of a run for people to label, as CSV or XLSX; `sides` reads it back as gold."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from extract.api import Result
from extract.errors import ConfigError, InputError
from extract.evaluation.calibration import RECORD, confidence_of
from extract.evaluation.comparators import kind_of
from extract.evaluation.kinds import Kind
from extract.evaluation.plain import cell_text
from extract.evaluation.plan import is_confidence
from extract.evaluation.runs import Run, of_result, open_run
from extract.evaluation.sheets import LONGEST_CELL, write_sheet
from extract.evaluation.sides import CHECKED, GOLD, Side, key_text
from extract.nearest import did_you_mean
from extract.sinks.csv_file import write_csv
from extract.sinks.files import write_whole
from extract.sources import open_source

REASON = "reason"
QUARANTINED = "(quarantined)"
PREDICTED = "predicted."
SOURCE = "source."
MOST_STRATA = 30  # of a column whose values are strata; of more, whether there is a value
QUANTILES = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """What was drawn: the table to be labelled, and how many records of each stratum, of how many."""

    names: Sequence[str]
    rows: Sequence[Sequence[Any]]
    strata: Mapping[str, tuple[int, int]]
    notes: Sequence[str]

    def write(self, path: str | Path) -> None:
        """Write a .csv or .xlsx, whole or not at all. Texts that a spreadsheet would run as formulas are neutralised.

        Raises ConfigError for another kind of file, one that is there already, or a text too long for a cell.
        """
        target = Path(path)
        if target.suffix.lower() not in (".csv", ".xlsx"):
            raise ConfigError(f"{path}: labels are a .csv or an .xlsx", hint="-o labels.xlsx")
        if target.exists():
            raise ConfigError(f"{path} is there already", hint="it may hold labels: name another file")
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, self._write_sheet if target.suffix.lower() == ".xlsx" else self._write_csv)

    def _write_csv(self, path: Path) -> None:
        columns = [pa.array([row[at] for row in self.rows], pa.string()) for at in range(len(self.names))]
        write_csv(path, pa.Table.from_arrays(columns, names=list(self.names)), neutralise=True)

    def _write_sheet(self, path: Path) -> None:
        shown = [[self._cell(name, cell) for name, cell in zip(self.names, row, strict=True)] for row in self.rows]
        write_sheet(path, self.names, shown)

    def _cell(self, name: str, cell: Any) -> Any:
        """A cell of the source is only there to be read, and may be cut, which it says; a value may not."""
        if isinstance(cell, str) and len(cell) > LONGEST_CELL and not name.startswith((PREDICTED, GOLD)):
            mark = f" … [cut here, {len(cell):,} characters]"
            return cell[: LONGEST_CELL - len(mark)] + mark
        return cell


def draw_sample(
    run: Any,
    number: int,
    *,
    by: str = REASON,
    source: Any = None,
    prefill: bool = False,
    equal: bool = False,
    seed: int = 0,
) -> Sample:
    """Draw records of a run (a result or a run directory) for labelling, by strata.

    by: `reason` (passed, or why not), `confidence` (fifths), or a field: its labels, or the fifths of its numbers.
    source: where the records' own columns come from; default the run's. prefill: gold columns hold what was
    predicted, to be corrected. equal: as many of each stratum, rather than in proportion and at least one.

    Raises ConfigError for an unknown column, RunDirectoryError for a run that is not complete.
    """
    if number < 1:
        raise ConfigError(f"a sample of {number} records", hint="at least 1")
    opened = of_result(run) if isinstance(run, Result) else open_run(Path(run))
    strata = _strata(opened, by)
    shares = _shares({name: len(keys) for name, keys in strata.items()}, number, equal)
    chance = random.Random(seed)  # noqa: S311  # a sample, not a secret
    drawn = {name: chance.sample(keys, shares[name]) for name, keys in strata.items()}
    stratum_of = {key: name for name, keys in drawn.items() for key in keys}
    records, notes = _records(opened, source, set(stratum_of))
    order = [key for key in (*opened.side.rows, *opened.failed) if key in stratum_of]
    chance.shuffle(order)  # people tire: no stratum is all at the end
    names, rows = _table(opened, records, order, stratum_of, prefill)
    counts = {name: (len(drawn[name]), len(keys)) for name, keys in strata.items()}
    return Sample(names, rows, counts, notes)


def _strata(run: Run, by: str) -> dict[str, list[str]]:
    """Stratum → keys, in the order of the names."""
    found: dict[str, list[str]] = {}
    name_of = _namer(run.side, by)
    for key, row in run.side.rows.items():
        found.setdefault(name_of(row), []).append(key)
    for key, reason in run.side.quarantined.items():
        found.setdefault(reason if by == REASON else QUARANTINED, []).append(key)
    return dict(sorted(found.items()))


def _namer(side: Side, by: str) -> Callable[[Mapping[str, Any]], str]:
    if by == REASON and REASON not in side.columns:
        return lambda row: "ok"
    if by == RECORD and RECORD not in side.columns:
        return _by_least_confidence(side)
    if by not in side.columns:
        known = [*side.columns, REASON, RECORD]
        raise ConfigError(f"--by {by}: there is no such field", hint=did_you_mean(by, known))
    kind = side.columns[by]
    if isinstance(kind, pa.DataType) and kind_of(kind) == "number":
        return _fifths(side, lambda row: None if row[by] is None else float(row[by]))
    labels = {str(row[by]) for row in side.rows.values() if row[by] is not None}
    if isinstance(kind, dict | list) or len(labels) > MOST_STRATA:
        return lambda row: "null" if row[by] in (None, []) else "a value"
    return lambda row: "null" if row[by] is None else f"{by}: {row[by]}"


def _by_least_confidence(side: Side) -> Callable[[Mapping[str, Any]], str]:
    """A record is as sure as its least sure field."""
    readers = [get for path in side.columns if (get := confidence_of(side, path)) is not None]
    if not readers:
        raise ConfigError(
            "--by confidence: the run states none", hint="a column _confidence, confidence or …_confidence"
        )

    def least(row: Mapping[str, Any]) -> float | None:
        return min((value for get in readers if (value := get(row)) is not None), default=None)

    return _fifths(side, least)


def _fifths(side: Side, get: Callable[[Mapping[str, Any]], float | None]) -> Callable[[Mapping[str, Any]], str]:
    """Five ranges that hold about as many rows each; equal values are in one."""
    values = sorted(value for row in side.rows.values() if (value := get(row)) is not None and value == value)  # noqa: PLR0124
    if not values:
        return lambda row: "null"
    edges = sorted({values[len(values) * part // QUANTILES] for part in range(1, QUANTILES)})

    def name(row: Mapping[str, Any]) -> str:
        value = get(row)
        if value is None or value != value:  # noqa: PLR0124  # NaN is not itself
            return "null"
        place = sum(value >= edge for edge in edges)
        low = f"from {edges[place - 1]:g}" if place else ""
        high = f"below {edges[place]:g}" if place < len(edges) else ""
        return f"{place + 1}: {' '.join(filter(None, (low, high)))}"

    return name


def _shares(sizes: Mapping[str, int], number: int, equal: bool) -> dict[str, int]:
    """How many of each stratum: in proportion (or as many of each), never more than there are, and at least one of
    each while that is possible."""
    whole = sum(sizes.values())
    number = min(number, whole)
    if number < len(sizes):
        largest = sorted(sizes, key=lambda each: -sizes[each])[:number]
        return {name: int(name in largest) for name in sizes}
    ideal = {name: number / len(sizes) if equal else number * size / whole for name, size in sizes.items()}
    shares = {name: min(size, max(1, int(ideal[name]))) for name, size in sizes.items()}
    while (short := number - sum(shares.values())) != 0:
        free = [name for name in sizes if (shares[name] < sizes[name] if short > 0 else shares[name] > 1)]
        least = max(free, key=lambda each: (ideal[each] - shares[each]) * short)
        shares[least] += 1 if short > 0 else -1
    return shares


def _records(run: Run, source: Any, wanted: set[str]) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """The source's columns of these records; of quarantined ones the quarantine has them in any case."""
    label = run.manifest.get("source")
    given = source if source is not None else label if isinstance(label, str) and Path(label).exists() else None
    if given is None:
        note = f"the source {label!r} is not here: without it only passed-through columns are shown"
        return {}, [note]
    opened = open_source(given)
    is_keyed = run.side.key in opened.columns or run.side.key == "path"
    keyed = open_source(given, run.side.key) if run.side.key in opened.columns else opened
    found = {key_text(record.key): record.cells for record in keyed.records() if key_text(record.key) in wanted}
    lost = len(wanted) - len(found)
    if source is not None and wanted and not found and is_keyed:
        raise InputError("no record of the sample is there: is it this run's source?", file=keyed.label)
    notes = [f"{lost:,} records of the sample are not in {keyed.label}"] if lost and is_keyed else []
    return found, notes


def _table(
    run: Run,
    records: Mapping[str, Mapping[str, Any]],
    order: Sequence[str],
    stratum_of: Mapping[str, str],
    prefill: bool,
) -> tuple[list[str], list[list[Any]]]:
    side = run.side
    given = list(dict.fromkeys(name for key in order for name in records.get(key, ()) if name != side.key))
    shown = given or list(side.passed)
    fields = [path for name, kind in side.columns.items() for path in _paths(name, kind)]
    own = {side.key, "stratum", "status", CHECKED}
    names = [
        *(side.key, "stratum", "status"),
        *(f"{SOURCE}{name}" if name in own or name.startswith((PREDICTED, GOLD)) else name for name in shown),
        *(name for path in fields for name in _pair(path)),
        CHECKED,
    ]
    rows = []
    for key in order:
        row, record = side.rows.get(key), records.get(key) or side.rows.get(key, {})
        values = [None if row is None else cell_text(_at(row, path)) for path in fields]
        pairs = [
            cell
            for path, value in zip(fields, values, strict=True)
            for cell in (value, value if prefill else None)[: len(_pair(path))]
        ]
        status = "ok" if row is not None else side.quarantined[key]
        name = side.keys[key] if row is not None else run.failed[key]["key"]
        cells = [cell_text(record.get(each)) for each in shown]
        rows.append([cell_text(name), stratum_of[key], status, *cells, *pairs, None])
    return names, rows


def _pair(path: str) -> tuple[str, ...]:
    """The columns of a field; a confidence is nothing to label."""
    return (f"{PREDICTED}{path}",) if is_confidence(path) else (f"{PREDICTED}{path}", f"{GOLD}{path}")


def _paths(name: str, kind: Kind) -> Iterator[str]:
    """The columns of a field: the parts of an object each have their own."""
    if isinstance(kind, dict) and kind:
        for part, inner in kind.items():
            yield from _paths(f"{name}.{part}", inner)
    else:
        yield name


def _at(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
