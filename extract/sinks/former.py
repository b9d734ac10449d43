"""Finished tables, read back a shard at a time: who is in the quarantine and why, and what the rows rest on."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from extract.errors import RunDirectoryError
from extract.records import Issue, Key, Outcome, Record
from extract.sinks.csv_file import read_csv
from extract.sinks.shards import QUARANTINE, TABLE, ShardWriter

_OF_QUARANTINE = ("key", "reason", "issues", "attempts", "flags", "raw_answer", "request")
_REQUEST = "_request"
_FINAL = ("budget.record",)  # reasons of records without an answer that no later run asks for by itself
_UNREADABLE = (OSError, ValueError, LookupError, pa.ArrowException)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row of the quarantine, without the record."""

    key: Key
    reason: str
    requests: tuple[str, ...]  # hashes; several where a record is asked for in parts, none where it was never asked
    cells: dict[str, Any]

    def outcome(self, record: Record) -> Outcome:
        """What became of the record, as it was when the row was written."""
        cells = self.cells
        found = json.loads(cells["issues"] or "[]")
        issues = [Issue(*(each.get(name) for name in ("stage", "code", "path", "message", "value"))) for each in found]
        flags = cells["flags"] or ()
        return Outcome(
            record,
            issues=tuple(issues) or (Issue("internal", self.reason, "$", ""),),
            request=cells["request"],
            attempts=cells["attempts"] or 0,
            flags=tuple(json.loads(flags) if isinstance(flags, str) else flags),
            raw=cells["raw_answer"],
            unanswered=self.reason not in _FINAL,
        )


def quarantined(writer: ShardWriter) -> Iterator[Quarantined]:
    """The rows of the quarantine in order. Raises RunDirectoryError when they cannot be read."""
    for part in _parts(writer.root / QUARANTINE, writer.format):
        table = _read(part, _OF_QUARANTINE, writer)
        for cells in table.to_pylist():
            yield quarantined_row(cells)


def quarantined_row(cells: Mapping[str, Any]) -> Quarantined:
    """A row of the quarantine as it was read."""
    return Quarantined(cells["key"], cells["reason"], tuple((cells["request"] or "").split()), dict(cells))


def requests_of_rows(writer: ShardWriter) -> Iterator[str]:
    """The hashes that rows of the table rest on, those of parts too."""
    for part in _parts(writer.root / TABLE, writer.format):
        for names in _read(part, (_REQUEST,), writer)[_REQUEST].to_pylist():
            yield from (names or "").split()


def _parts(folder: Path, format: str) -> Sequence[Path]:
    return sorted(folder.glob(f"part-*.{format}"))


def _read(part: Path, names: Sequence[str], writer: ShardWriter) -> pa.Table:
    try:
        if part.suffix != ".csv":
            return pq.read_table(part, columns=list(names))
        with open(part, encoding="utf-8", newline="") as file:
            there = next(csv.reader(file), [])
        types = {**dict.fromkeys(there, pa.string()), "key": writer.source.key_type, "attempts": pa.int32()}
        schema = pa.schema([(name, types[name]) for name in there if name in names])
        return read_csv(part, schema, writer.neutralise_formulas)
    except _UNREADABLE as error:
        raise RunDirectoryError(f"{part} cannot be read: {error}", hint="see `extract fsck`") from error
