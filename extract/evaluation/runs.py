"""The tables of a run directory as rows, however they were laid out: child tables and flat columns are one again."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from extract.errors import RunDirectoryError
from extract.evaluation.kinds import Kind
from extract.evaluation.sides import Read, Side, key_text, make_side, nested, of_arrow
from extract.sinks import QUARANTINE, TABLE, children_of, read_manifest, read_shards
from extract.sinks.csv_file import read_csv

VALUE = "value"  # the column of items that are no objects
_LAST_OWN = "request"  # column of the quarantine; those of the source follow
_SOURCE = "source."  # before the name of a source column that was taken
_BROKEN = (OSError, ValueError, LookupError, TypeError, pa.ArrowException)


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run as read: its rows, and what is needed to draw a sample of it."""

    side: Side
    manifest: Mapping[str, Any]
    source_columns: Sequence[str]
    failed: Mapping[str, Mapping[str, Any]]  # rows of the quarantine


def open_run(path: Path, fields: Sequence[str] | None = None) -> Run:
    """A complete run. `fields`: the names of the model's fields, where they are known.

    Raises RunDirectoryError for what is none, is not complete or is damaged.
    """
    manifest = read_manifest(path)
    if manifest is None:
        raise RunDirectoryError(f"{path} is no run directory", hint="it has no manifest.json")
    if not manifest["complete"]:
        pending = (manifest.get("counts") or {}).get("pending")
        raise RunDirectoryError(f"{path} is not complete: {pending} records pending", hint="run it to its end first")
    try:
        return _opened(path, manifest, fields)
    except _BROKEN as error:
        raise RunDirectoryError(f"{path} cannot be read: {error}", hint="extract fsck says what is wrong") from error


def _opened(path: Path, manifest: Mapping[str, Any], fields: Sequence[str] | None) -> Run:
    kind = manifest["table_format"]
    table = _joined(path, manifest, kind)
    failed = _read(path / QUARANTINE, kind)
    key = next(iter(table.kinds))
    names = list(failed.kinds)
    source_columns = names[names.index(_LAST_OWN) + 1 :]
    known = {name.removeprefix(_SOURCE) for name in source_columns} | set(source_columns)
    stated = manifest.get("fields") if fields is None else fields
    passed = _passed([name for name in table.kinds if name != key], known, stated)
    reasons = {key_text(row["key"]): row["reason"] for row in failed.rows}
    side = make_side(table, key, passed=passed, quarantined=reasons)
    columns = {name: kind for name, kind in side.columns.items() if name not in passed}
    failed_rows = {key_text(row["key"]): row for row in failed.rows}
    return Run(replace(side, label=str(path), columns=columns), manifest, source_columns, failed_rows)


def _passed(names: Sequence[str], known: set[str], fields: Sequence[str] | None) -> list[str]:
    """The columns of the source that stand between the key and the fields."""
    if fields is not None:
        top = {field for field in fields if isinstance(field, str)}
        return [name for name in names if not name.startswith("_") and not {name, name.partition(".")[0]} & top]
    found: list[str] = []
    for name in names:
        if name not in known:
            break
        found.append(name)
    return found


def _read(folder: Path, kind: str) -> Read:
    if kind == "parquet":
        return of_arrow(read_shards(folder, kind), str(folder))
    parts = [_texts(part) for part in sorted(folder.glob("part-*.csv"))]
    found = of_arrow(pa.concat_tables(parts), str(folder)) if parts else Read(str(folder), {}, [], [])
    return Read(found.label, dict.fromkeys(found.kinds), found.rows, found.lines)


def _texts(part: Path) -> pa.Table:
    """The cells of a part as text: their types are those of what they are compared with."""
    with open(part, encoding="utf-8", newline="") as file:
        names = next(csv.reader(file), [])
    return read_csv(part, pa.schema([(name, pa.string()) for name in names]), neutralised=True)


def _joined(path: Path, manifest: Mapping[str, Any], kind: str) -> Read:
    """The table with the items of its child tables in place of their numbers."""
    folders = children_of(manifest)
    paths = {tuple(map(unquote, name.split(".")[1:])): name for name in folders}
    table = _with_flags(nested(_read(path / TABLE, kind)), kind)
    found = {names: nested(_read(path / folder, kind)) for names, folder in paths.items()}
    whole = {(): table, **found}
    for names in sorted(paths, key=len, reverse=True):  # the innermost first
        above = max((other for other in whole if other == names[: len(other)] and other != names), key=len)
        depth = sum(other == names[: len(other)] for other in paths)
        _attach(whole[above], whole[names], names[len(above) :], depth)
        del whole[names]
    return table


def _with_flags(table: Read, kind: str) -> Read:
    """`_flags` is a list, in CSV as JSON."""
    if kind == "csv":
        for row in table.rows:
            if isinstance(row.get("_flags"), str):
                row["_flags"] = json.loads(row["_flags"])
    return table


def _attach(above: Read, child: Read, names: Sequence[str], depth: int) -> None:
    """Put the items of a child table into the rows above, where their number stands. `depth`: lists down to here."""
    own, rest = list(child.kinds)[: depth + 1], list(child.kinds)[depth + 1 :]
    rest, presence = _without_presence(child, rest)
    items: dict[tuple[str, ...], list[Any]] = {}
    for row in child.rows:
        item = row[VALUE] if rest == [VALUE] else {name: row[name] for name in rest}
        is_there = presence is None or row[presence] in (True, "true")
        items.setdefault(tuple(str(row[name]) for name in own[:-1]), []).append(item if is_there else None)
    outer = list(above.kinds)[:depth]
    for row in above.rows:
        _replace(row, names, items.get(tuple(str(row[name]) for name in outer), []))
    _replace_kind(above.kinds, names, [child.kinds[VALUE] if rest == [VALUE] else {n: child.kinds[n] for n in rest}])


def _without_presence(child: Read, rest: list[str]) -> tuple[list[str], str | None]:
    """The columns of an item, and the one before them that only says whether the item, an object, is there."""
    first = rest[0] if len(rest) > 1 else ""
    is_one = first.lstrip("_") == VALUE and all(row[first] in (True, False, "true", "false") for row in child.rows)
    return (rest[1:], first) if is_one else (rest, None)


def _replace(row: Any, names: Sequence[str], items: list[Any]) -> None:
    for name in names[:-1]:
        row = row.get(name) or {}
    if row.get(names[-1]) is not None:
        row[names[-1]] = items


def _replace_kind(kinds: Any, names: Sequence[str], kind: Kind) -> None:
    for name in names[:-1]:
        kinds = kinds[name]
    kinds[names[-1]] = kind


def of_result(result: Any) -> Run:
    """A result, whose schema tells which columns are fields."""
    return open_run(Path(result.path), list(result.prepared.schema.arrow_schema.names))
