"""Outcomes → one shard of the table, of its child tables and of the quarantine, as Parquet or CSV.

A shard grows slice by slice: outcomes are many Python objects, and what they come to in the files is a tenth of that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from extract.errors import ConfigError, RunDirectoryError
from extract.records import Outcome
from extract.schema import CompiledSchema
from extract.sinks.csv_file import check_csv, csv_head, csv_rows, read_csv
from extract.sinks.files import write_whole
from extract.sinks.nested import Layout, label_of, typed
from extract.sources import Source

UNWRITABLE = (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError)  # what a bad cell raises
TABLE = "table"
QUARANTINE = "quarantine"
EVIDENCE = "evidence"

Slice = Mapping[str, Any]  # by folder a table, or the lines of a CSV file; those without rows are left out

_ABOUT_THE_CALL = pa.schema(
    [
        pa.field("_attempts", pa.int32()),
        pa.field("_flags", pa.list_(pa.string())),
        pa.field("_model", pa.string()),
        pa.field("_input_tokens", pa.int64()),
        pa.field("_output_tokens", pa.int64()),
        pa.field("_cost_usd", pa.float64()),
        pa.field("_request", pa.string()),
    ]
)
_CONFIDENCE = "_confidence"
_REASONING = pa.field("_reasoning", pa.string())
_EVIDENCE = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("quote", pa.string()),
        pa.field("start", pa.int64()),
        pa.field("end", pa.int64()),
        pa.field("page", pa.int64()),
        pa.field("score", pa.float64()),
        pa.field("url", pa.string()),
        pa.field("title", pa.string()),
        pa.field("column", pa.string()),
        pa.field("how", pa.string()),
        pa.field("supported", pa.bool_()),
    ]
)
_PLACE = ("path", "quote", "start", "end", "page", "score", "column", "how", "supported")
_ABOUT_THE_FAILURE = ("reason", "stage", "path", "message", "value")


@dataclass(frozen=True)
class ShardWriter:
    """Writes shard after shard below `root`; each file is there whole or not at all."""

    root: Path
    source: Source
    schema: CompiledSchema
    columns: Sequence[str]  # passed through
    format: str
    neutralise_formulas: bool = True
    children: bool = False  # lists and maps in tables of their own
    flat: bool = False  # structs as columns
    evidence: bool = False  # what the rows rest on, in a table of its own
    reasoning: bool = False  # the model's thoughts, as a column
    confidence: Sequence[str] = ()  # fields of which is told how far several answers agree, as the last column

    def slice(self, outcomes: Sequence[Outcome]) -> Slice:
        """What these outcomes are in the files. Raises one of UNWRITABLE for what no file can hold."""
        return {folder: self._content(table) for folder, table in self._rows(outcomes)}

    def write(self, number: int, slices: Sequence[Slice]) -> tuple[int, ...]:
        """Shard `number` of each of the `folders`, any of which may be without rows; their bytes."""
        sizes = {}
        for folder, schema in self._schemas.items():
            content = [found[folder] for found in slices if folder in found]
            sizes[folder] = self._write(folder, number, schema, content)
        return tuple(sizes[folder] for folder in self.folders)

    def check(self) -> None:
        """Refuse, before anything is paid, columns that no file can hold and names that clash. Raises ConfigError."""
        self.layout.check()
        for schema in (*self.layout.schemas.values(), self.quarantine_schema):
            for field in schema:
                try:
                    pq.write_table(pa.schema([field]).empty_table(), pa.BufferOutputStream())
                    if self.format == "csv":
                        check_csv(field.type, exact=schema is not self.quarantine_schema)
                except (pa.ArrowException, NotImplementedError, OSError) as error:  # OSError: a negative scale
                    raise ConfigError(
                        f"the column {field.name!r} ({field.type}) cannot be written: {error}",
                        hint="leave it out of the source, or change its type",
                    ) from error

    def fits(self, outcome: Outcome) -> bool:
        """Whether this outcome by itself can be written."""
        try:
            self.slice([outcome])
        except UNWRITABLE:
            return False
        return True

    @cached_property
    def layout(self) -> Layout:
        """How the table's rows are written. CSV has no nesting; what is known of the call stays in its columns."""
        is_csv = self.format == "csv"
        whole = frozenset(_ABOUT_THE_CALL.names)
        return Layout(self.table_schema, self.source.key_name, self.children or is_csv, self.flat or is_csv, whole)

    @property
    def folders(self) -> tuple[str, ...]:
        """Where the shards lie: table, quarantine, evidence if wanted, then the child tables."""
        evidence = (EVIDENCE,) if self.evidence else ()
        return (TABLE, QUARANTINE, *evidence, *(folder_of(path) for path in self.layout.schemas if path))

    @cached_property
    def table_schema(self) -> pa.Schema:
        """Key, passed-through columns, fields, then what is known of the call."""
        types = self.source.arrow_types
        key = pa.field(self.source.key_name, self.source.key_type, nullable=False)
        passed = [pa.field(name, types[name]) for name in self.columns if name != self.source.key]
        more = [_REASONING] if self.reasoning else []
        if self.confidence:
            more.append(pa.field(_CONFIDENCE, pa.struct([pa.field(name, pa.float64()) for name in self.confidence])))
        return pa.schema([key, *passed, *self.schema.arrow_schema, *_ABOUT_THE_CALL, *more])

    @cached_property
    def quarantine_schema(self) -> pa.Schema:
        """Key, what was wrong, the raw answer and the source's own columns."""
        own = [
            pa.field("key", self.source.key_type, nullable=False),
            *(pa.field(name, pa.string()) for name in _ABOUT_THE_FAILURE),
            pa.field("issues", pa.string()),
            pa.field("attempts", pa.int32()),
            pa.field("flags", pa.list_(pa.string()) if self.format == "parquet" else pa.string()),
            pa.field("raw_answer", pa.string()),
            pa.field("request", pa.string()),
        ]
        types = self.source.arrow_types
        names = _beside(self.source.columns, {field.name for field in own})
        return pa.schema([*own, *(pa.field(name, types[column]) for column, name in names.items())])

    @cached_property
    def evidence_schema(self) -> pa.Schema:
        """Key of the row, JSON path of the value, and what it rests on; a web page has a url and a title."""
        return pa.schema([pa.field("key", self.source.key_type, nullable=False), *_EVIDENCE])

    def _evidence_rows(self, outcome: Outcome) -> Iterator[dict[str, Any]]:
        for page in outcome.completion.sources if outcome.completion else ():
            place = {"start": page.start, "end": page.end, "url": _clean(page.url), "title": _clean(page.title)}
            yield {"key": outcome.record.key, "path": "$", **place}
        for found in outcome.evidence:
            yield {"key": outcome.record.key, **{name: _clean(getattr(found, name)) for name in _PLACE}}

    def _table_row(self, outcome: Outcome) -> dict[str, Any]:
        completion = outcome.completion
        call = {
            "_attempts": outcome.attempts,
            "_flags": list(outcome.flags),
            "_model": completion.model if completion else None,
            "_input_tokens": completion.usage.input_tokens if completion else None,
            "_output_tokens": completion.usage.output_tokens if completion else None,
            "_cost_usd": outcome.cost_usd,
            "_request": outcome.request,
        }
        if self.reasoning:
            call["_reasoning"] = _clean(completion.reasoning) if completion else None
        if self.confidence:
            call[_CONFIDENCE] = outcome.confidence
        passed = {name: outcome.record[name] for name in self.columns}
        return {self.source.key_name: outcome.record.key, **passed, **(outcome.row or {}), **call}

    def _quarantine_row(self, outcome: Outcome) -> dict[str, Any]:
        first = outcome.issues[0]
        own = {
            "key": outcome.record.key,
            "reason": first.code,
            "stage": first.stage,
            "path": first.path,
            "message": first.message,
            "value": _as_text(first.value),
            "issues": json.dumps([_issue_row(issue) for issue in outcome.issues], ensure_ascii=False),
            "attempts": outcome.attempts,
            "flags": list(outcome.flags) if self.format == "parquet" else json.dumps(outcome.flags),
            "raw_answer": outcome.raw,
            "request": outcome.request,
        }
        clean = {name: _clean(value) for name, value in own.items()}
        names = _beside(self.source.columns, set(own))
        return clean | {name: outcome.record.get(column) for column, name in names.items()}

    @cached_property
    def _schemas(self) -> dict[str, pa.Schema]:
        """By folder; children first, so that a parent that is there has them."""
        tables = {folder_of(path): schema for path, schema in reversed(self.layout.schemas.items())}
        evidence = {EVIDENCE: self.evidence_schema} if self.evidence else {}
        return {**tables, **evidence, QUARANTINE: self.quarantine_schema}

    def _rows(self, outcomes: Sequence[Outcome]) -> Iterator[tuple[str, pa.Table]]:
        """Folder and rows, where there are any."""
        passed = [item for item in outcomes if item.ok]
        if passed:
            rows = pa.Table.from_pylist([self._table_row(item) for item in passed], schema=self.table_schema)
            for path, table in self.layout.split(rows).items():
                yield folder_of(path), table
        if self.evidence and (found := [row for item in passed for row in self._evidence_rows(item)]):
            yield EVIDENCE, pa.Table.from_pylist(found, schema=self.evidence_schema)
        if failed := [self._quarantine_row(item) for item in outcomes if not item.ok]:
            yield QUARANTINE, pa.Table.from_pylist(failed, schema=self.quarantine_schema)

    def _content(self, table: pa.Table) -> pa.Table | str:
        return "".join(csv_rows(table, self.neutralise_formulas)) if self.format == "csv" else table

    def _write(self, folder: str, number: int, schema: pa.Schema, content: Sequence[Any]) -> int:
        target = self.root / folder
        target.mkdir(parents=True, exist_ok=True)
        path = target / f"part-{number:05d}.{self.format}"
        write_whole(path, lambda temp: self._fill(temp, schema, content))
        return path.stat().st_size

    def _fill(self, file: Path, schema: pa.Schema, content: Sequence[Any]) -> None:
        if self.format == "csv":
            with open(file, "w", encoding="utf-8", newline="") as lines:
                lines.write(csv_head(schema))
                lines.writelines(content)
        else:
            table = pa.concat_tables(content) if content else schema.empty_table()
            # The same bytes, however many slices there were.
            pq.write_table(table.combine_chunks(), file, compression="zstd")


def folder_of(path: tuple[str, ...]) -> str:
    """The folder of the table (no path) or of a child table."""
    return ".".join([TABLE, label_of(path)]) if path else TABLE


def read_shards(folder: Path, format: str, schema: pa.Schema | None = None, *, neutralised: bool = True) -> pa.Table:
    """All shards of a folder as one table, in order. Without any: no rows."""
    parts = sorted(folder.glob(f"part-*.{format}"))
    if not parts:
        return (schema or pa.schema([])).empty_table()
    found = [_read(part, schema, neutralised) for part in parts]
    return pa.concat_tables(found, promote_options="permissive" if format == "csv" else "none")


def count_rows(folder: Path, format: str) -> int:
    """How many rows the shards of a folder hold."""
    parts = folder.glob(f"part-*.{format}")
    return sum(pq.read_metadata(p).num_rows if format == "parquet" else len(read_csv(p, None, False)) for p in parts)


def read_rows(root: Path, format: str, layout: Layout, *, neutralised: bool = True) -> pa.Table:
    """All shards of the table as nested rows, however they were written. Raises RunDirectoryError for lost parts."""
    return pa.concat_tables([layout.schema.empty_table(), *each_shard(root, format, layout, neutralised=neutralised)])


def each_shard(root: Path, format: str, layout: Layout, *, neutralised: bool = True) -> Iterator[pa.Table]:
    """`read_rows`, shard by shard."""
    for part in sorted((root / TABLE).glob(f"part-*.{format}")):
        if layout.is_plain:
            yield _read(part, layout.schema, neutralised)
            continue
        try:
            files = {path: (root / folder_of(path) / part.name, schema) for path, schema in layout.schemas.items()}
            yield layout.rejoin({path: _read(*file, neutralised) for path, file in files.items()})
        except (OSError, ValueError, LookupError, pa.ArrowException) as error:
            raise RunDirectoryError(
                f"{root}: the child tables do not fit {part.name}: {error}", hint="run again to make the tables anew"
            ) from error


def _read(part: Path, schema: pa.Schema | None, neutralised: bool) -> pa.Table:
    if part.suffix == ".csv":
        return read_csv(part, schema, neutralised)
    table = pq.read_table(part)
    if schema is None or table.schema.equals(schema):
        return table
    # Parquet keeps no seconds, and only text in dictionaries.
    columns = [typed(table[own.name].combine_chunks(), own.type) for own in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _beside(columns: Sequence[str], own: set[str]) -> dict[str, str]:
    """What each column of the source is called beside the quarantine's own: a name that is taken gets `source.`."""
    taken = own | set(columns) - own
    names = {}
    for column in columns:
        name = column
        while name in own or (name != column and name in taken):
            name = f"source.{name}"
        taken.add(name)
        names[column] = name
    return names


def _issue_row(issue: Any) -> dict[str, Any]:
    return {
        "stage": issue.stage,
        "code": issue.code,
        "path": issue.path,
        "message": issue.message,
        "value": _as_text(issue.value),
    }


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    plain = isinstance(value, dict | list | bool | int | float)
    return json.dumps(value, ensure_ascii=False, default=str) if plain else str(value)


def _clean(value: Any) -> Any:
    """Text from a model may hold half a surrogate pair, which no file can take."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
