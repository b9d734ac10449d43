"""What is compared, read into memory: the rows of a run, a result, a table or a file, by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from extract.errors import ConfigError, InputError
from extract.evaluation.kinds import Kind, is_nested, kind_from
from extract.evaluation.tree import is_null
from extract.nearest import did_you_mean
from extract.sinks.csv_file import _FORMULA  # so that a cell is read back as it was before it was made safe
from extract.sources import Csv, Jsonl
from extract.sources.arrow import from_pandas

CHECKED = "checked"
GOLD = "gold."

_YES = {"x", "yes", "y", "true", "1", "ok", "✓", "✔", "ja", "oui", "si", "sí"}
_NO = {"", "no", "n", "false", "0", "nein", "non", "-"}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Side:
    """Rows by key, as text: 7 and "7" are one key. `columns` are the fields, without the key and what is passed
    through; `about` holds `_…` columns of the same rows, `places` where each row stands in its file."""

    label: str
    key: str
    columns: Mapping[str, Kind]
    rows: Mapping[str, Row]
    keys: Mapping[str, Any]  # as they were
    places: Mapping[str, int] = field(default_factory=dict)
    about: Mapping[str, Kind] = field(default_factory=dict)
    passed: Sequence[str] = ()
    quarantined: Mapping[str, str] = field(default_factory=dict)  # key → reason
    is_labels: bool = False
    notes: Sequence[str] = ()
    place: str = "row"  # what `places` counts


@dataclass(frozen=True, slots=True)
class Read:
    """Columns and rows of a table as they were read; `lines` names each row's place."""

    label: str
    kinds: Mapping[str, Kind]
    rows: Sequence[dict[str, Any]]
    lines: Sequence[int]
    place: str = "row"  # what the numbers of `lines` count


def open_table(given: Any, key: str | None) -> Side:
    """A table, a frame or a file, whose key column is named. Raises ConfigError and InputError."""
    return _side(read_table(given), key)


def open_gold(given: Any, key: str) -> Side:
    """The same for gold; of a file that was labelled by people only the rows that they checked."""
    found = read_table(given)
    if CHECKED in found.kinds and any(name.startswith(GOLD) for name in found.kinds):
        return _labelled(found, key)
    return _side(found, key)


def read_table(given: Any) -> Read:
    """Any table as rows. Raises ConfigError for what is none, InputError for a file that cannot be read."""
    if isinstance(given, str | Path):
        return _read_file(Path(given))
    if isinstance(given, pa.Table):
        return of_arrow(given, "Arrow table")
    if hasattr(given, "iloc") and hasattr(given, "columns"):  # a DataFrame, without importing pandas to ask
        return of_arrow(from_pandas(given).table, "DataFrame")
    raise ConfigError(f"no table: {type(given).__name__}", hint="a path, a DataFrame, an Arrow table or a result")


def _read_file(path: Path) -> Read:
    if not path.exists():
        raise InputError("there is no such file", file=str(path))
    kind = path.suffix.lower()
    if kind in (".parquet", ".pq"):
        return of_arrow(_parquet(path), str(path))
    if kind in (".csv", ".tsv"):
        return _of_csv(Csv(path, delimiter="\t" if kind == ".tsv" else ","))
    if kind in (".jsonl", ".ndjson"):
        return _of_jsonl(Jsonl(path))
    if kind == ".xlsx":
        from extract.evaluation.sheets import read_sheet

        names, rows, lines = read_sheet(path)
        return Read(str(path), dict.fromkeys(names), rows, lines)
    known = "known: .parquet, .csv, .tsv, .jsonl, .xlsx"
    raise ConfigError(f"{path}: unknown kind of file {path.suffix!r}", hint=known)


def _parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"not a readable Parquet file: {error}", file=str(path)) from error


def of_arrow(table: pa.Table, label: str) -> Read:
    """An Arrow table as rows."""
    names = table.column_names
    twins = {name for name in names if names.count(name) > 1}
    if twins:
        raise InputError(f"the column name {min(twins)!r} comes twice", file=label)
    try:
        rows = table.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError) as error:  # a value that Python cannot hold
        raise InputError(f"not a readable table: {error}", file=label) from error
    kinds = {column.name: kind_from(column.type) for column in table.schema}
    return Read(label, kinds, rows, range(1, len(rows) + 1))


def _of_csv(source: Csv) -> Read:
    """Cells of text; an empty one is null."""
    rows, lines = [], []
    for number, row in enumerate(source, 2):
        if row.problem is not None:
            raise InputError(row.problem.message.partition(": ")[2], file=source.label, line=row.line)
        rows.append({name: plain_cell(cell) or None for name, cell in row.values.items()})
        lines.append(row.line or number)
    return Read(source.label, dict.fromkeys(source.columns), rows, lines, "line")


def plain_cell(cell: str) -> str:
    """A cell of CSV without the apostrophe that keeps a spreadsheet from running it."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


def _of_jsonl(source: Jsonl) -> Read:
    """Objects and lists stay JSON in cells of text until it is known what they are compared with."""
    kinds: dict[str, Kind] = {
        name: None if pa.types.is_string(kind) else kind for name, kind in source.arrow_types.items()
    }
    found = list(source)
    return Read(source.label, kinds, [dict(row.values) for row in found], [row.line or 0 for row in found], "line")


def nested(read: Read) -> Read:
    """Columns such as `address.city` as parts of an object; a flat object's own column only says that it is there."""
    dotted = [name for name in read.kinds if "." in name.strip(".")]
    split = {name: path for name in dotted if (path := name.split(".")) and _may_hold(read.kinds, path)}
    if not split:
        return read
    roots = {path[0] for path in split.values()}
    kinds: dict[str, Any] = {}
    for name, kind in read.kinds.items():
        if name in split:
            _put(kinds, split[name], kind)
        elif not _is_presence(name, split):
            kinds[name] = kind
    rows = []
    for row in read.rows:
        made: dict[str, Any] = {name: row[name] for name in kinds if name not in roots}
        for name, path in split.items():
            if not _is_presence(name, split):
                _put(made, path, row[name])
        rows.append(made)
    return replace(read, kinds=kinds, rows=rows)


def _may_hold(kinds: Mapping[str, Kind], path: Sequence[str]) -> bool:
    """Whether the columns above, if there are any, are no more than whether the object is there."""
    above = (".".join(path[:depth]) for depth in range(1, len(path)))
    return all(name not in kinds or _is_flag(kinds[name]) for name in above)


def _is_flag(kind: Kind) -> bool:
    return kind is None or (isinstance(kind, pa.DataType) and pa.types.is_boolean(kind))


def _is_presence(name: str, split: Iterable[str]) -> bool:
    return any(other.startswith(f"{name}.") for other in split)


def _put(into: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        inner = into.get(name)
        if not isinstance(inner, dict):
            inner = into[name] = {}
        into = inner
    into[path[-1]] = value


def _side(read: Read, key: str | None) -> Side:
    if key is None:
        raise ConfigError(f"{read.label}: which column is the key?", hint=f"--key, or key=…: {', '.join(read.kinds)}")
    if key not in read.kinds:
        raise InputError(f"there is no key column {key!r}", file=read.label, hint=_key_hint(read, key))
    if not read.rows:
        raise InputError("there are no rows", file=read.label)
    return make_side(nested(read), key)


def _key_hint(read: Read, key: str) -> str:
    only = next(iter(read.kinds), "")
    if len(read.kinds) == 1 and any(mark in only for mark in ";\t|"):
        return "its one column looks like several: the cells of a .csv are separated by commas"
    return f"{did_you_mean(key, read.kinds, 'it has')}; --key names another"


def make_side(read: Read, key: str, **more: Any) -> Side:
    """Rows by key. Raises InputError for keys that are null, of no kind for a key, or come twice."""
    if is_nested(read.kinds[key]):
        raise InputError("a key is text or a whole number", file=read.label, column=key)
    rows: dict[str, Row] = {}
    keys: dict[str, Any] = {}
    places: dict[str, int] = {}
    for number, row in zip(read.lines, read.rows, strict=True):
        name = key_text(_checked_key(row[key], read, key, number))
        if name in rows:
            message = f"the key {row[key]!r} comes twice, first at {read.place} {places[name]}"
            raise _misplaced(read, key, number, row[key], message)
        rows[name], keys[name], places[name] = row, row[key], number
    about = {name: kind for name, kind in read.kinds.items() if name.startswith("_") and name != key}
    columns = {name: kind for name, kind in read.kinds.items() if name != key and name not in about}
    return Side(read.label, key, columns, rows, keys, places, about, place=read.place, **more)


def key_text(value: Any) -> str:
    """A key as text: a whole number that became a fraction in a spreadsheet is one still."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _checked_key(value: Any, read: Read, key: str, number: int) -> Any:
    if value == "" or is_null(value):
        raise _misplaced(read, key, number, value, "the key is empty")
    if isinstance(value, bytes | bool):
        raise _misplaced(read, key, number, value, f"{value!r} is no key")
    return value


def _misplaced(read: Read, column: str, number: int, value: Any, message: str) -> InputError:
    return InputError(f"{read.place} {number}: {message}", file=read.label, column=column, value=value)


def _labelled(read: Read, key: str) -> Side:
    """The rows that people checked, under the names of the fields."""
    if key not in read.kinds:
        raise InputError(f"there is no key column {key!r}", file=read.label, hint=_key_hint(read, key))
    wanted = {name: name.removeprefix(GOLD) for name in read.kinds if name.startswith(GOLD)}
    rows, lines = [], []
    for number, row in zip(read.lines, read.rows, strict=True):
        if says_yes(row[CHECKED], read, number):
            rows.append({key: row[key], **{own: row[name] for name, own in wanted.items()}})
            lines.append(number)
    if not rows:
        raise InputError(
            "no row is checked", file=read.label, column=CHECKED, hint="write x where a row's gold columns are right"
        )
    kinds = {key: read.kinds[key], **{own: read.kinds[name] for name, own in wanted.items()}}
    notes = [f"{len(rows):,} of {len(read.rows):,} rows of {read.label} are checked"]
    return make_side(nested(replace(read, kinds=kinds, rows=rows, lines=lines)), key, is_labels=True, notes=notes)


def says_yes(value: Any, read: Read, number: int, column: str = CHECKED) -> bool:
    """Whether a cell is ticked. Raises InputError for what is neither yes nor no."""
    word = "" if value is None else str(value).strip().casefold()
    if word not in _YES | _NO:
        raise _misplaced(read, column, number, value, f"{value!r} says neither yes nor no: write x or nothing")
    return word in _YES
