"""Outcomes → one shard of the table and one of the quarantine, as Parquet or CSV."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from extract.errors import ConfigError
from extract.records import Outcome
from extract.schema import CompiledSchema
from extract.sinks.files import write_whole
from extract.sources import Source

UNWRITABLE = (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError)  # what a bad cell raises
TABLE = "table"
QUARANTINE = "quarantine"

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
_ABOUT_THE_FAILURE = ("reason", "stage", "path", "message", "value")
# What a spreadsheet may run. A sign before mere digits, as in "-5.00" or "+33 1 22", is none.
_FORMULA = re.compile(r"['\s\u200b\ufeff]*(?:[=@＝＠\t\r]|[+\-＋－].*(?:[^\W\d_]|[(|!]))", re.DOTALL)


@dataclass(frozen=True)
class ShardWriter:
    """Writes shard after shard below `root`; each file is there whole or not at all."""

    root: Path
    source: Source
    schema: CompiledSchema
    columns: Sequence[str]  # passed through
    format: str
    neutralise_formulas: bool = True

    def write(self, number: int, outcomes: Sequence[Outcome]) -> tuple[int, int]:
        """Shard `number` of the table and of the quarantine, either of which may be without rows; their bytes."""
        passed = [self._table_row(item) for item in outcomes if item.ok]
        failed = [self._quarantine_row(item) for item in outcomes if not item.ok]
        return (
            self._write(TABLE, number, self.table_schema, passed),
            self._write(QUARANTINE, number, self.quarantine_schema, failed),
        )

    def check(self) -> None:
        """Refuse, before anything is paid, columns that no file can hold. Raises ConfigError."""
        for schema in (self.table_schema, self.quarantine_schema):
            for field in schema:
                try:
                    pq.write_table(pa.schema([field]).empty_table(), pa.BufferOutputStream())
                except (pa.ArrowException, NotImplementedError) as error:
                    raise ConfigError(
                        f"the column {field.name!r} ({field.type}) cannot be written: {error}",
                        hint="leave it out of the source, or change its type",
                    ) from error

    def fits(self, outcome: Outcome) -> bool:
        """Whether this outcome by itself can be written."""
        schema = self.table_schema if outcome.ok else self.quarantine_schema
        row = self._table_row(outcome) if outcome.ok else self._quarantine_row(outcome)
        try:
            pa.Table.from_pylist([row], schema=schema)
        except UNWRITABLE:
            return False
        return True

    @cached_property
    def table_schema(self) -> pa.Schema:
        """Key, passed-through columns, fields, then what is known of the call."""
        types = self.source.arrow_types
        key = pa.field(self.source.key_name, self.source.key_type, nullable=False)
        passed = [pa.field(name, types[name]) for name in self.columns if name != self.source.key]
        return pa.schema([key, *passed, *self.schema.arrow_schema, *_ABOUT_THE_CALL])

    @cached_property
    def quarantine_schema(self) -> pa.Schema:
        """Key, what was wrong, the raw answer and the source's own columns."""
        own = [
            pa.field("key", self.source.key_type, nullable=False),
            *(pa.field(name, pa.string()) for name in _ABOUT_THE_FAILURE),
            pa.field("issues", pa.string()),
            pa.field("attempts", pa.int32()),
            pa.field("raw_answer", pa.string()),
            pa.field("request", pa.string()),
        ]
        types = self.source.arrow_types
        names = _beside(self.source.columns, {field.name for field in own})
        return pa.schema([*own, *(pa.field(name, types[column]) for column, name in names.items())])

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
            "raw_answer": outcome.raw,
            "request": outcome.request,
        }
        clean = {name: _clean(value) for name, value in own.items()}
        names = _beside(self.source.columns, set(own))
        return clean | {name: outcome.record.get(column) for column, name in names.items()}

    def _write(self, folder: str, number: int, schema: pa.Schema, rows: list[dict[str, Any]]) -> int:
        target = self.root / folder
        target.mkdir(parents=True, exist_ok=True)
        path = target / f"part-{number:05d}.{self.format}"
        if self.format == "csv":
            write_whole(path, lambda temp: _write_csv(temp, schema.names, rows, self.neutralise_formulas))
        else:
            table = pa.Table.from_pylist(rows, schema=schema)
            write_whole(path, lambda temp: pq.write_table(table, temp, compression="zstd"))
        return path.stat().st_size


def read_shards(folder: Path, format: str, schema: pa.Schema | None = None, *, neutralised: bool = True) -> pa.Table:
    """All shards of a folder as one table, in order. Without any: no rows."""
    parts = sorted(folder.glob(f"part-*.{format}"))
    if not parts:
        return (schema or pa.schema([])).empty_table()
    if format == "csv":
        return pa.concat_tables([_read_csv(part, schema, neutralised) for part in parts], promote_options="permissive")
    return pa.concat_tables([pq.read_table(part) for part in parts])


def _read_csv(path: Path, schema: pa.Schema | None, neutralised: bool) -> pa.Table:
    import pyarrow.csv as pacsv  # only who asked for CSV pays for it

    kinds = {} if schema is None else {field.name: field.type for field in schema if not pa.types.is_nested(field.type)}
    plain = {name: pa.string() if pa.types.is_dictionary(kind) else kind for name, kind in kinds.items()}
    table = pacsv.read_csv(
        path,
        read_options=pacsv.ReadOptions(block_size=min(2**31 - 1, path.stat().st_size + 1)),  # a row lies in one block
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=plain, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    for number, name in enumerate(table.column_names):
        column = _as_written(table[name]) if neutralised and pa.types.is_string(table[name].type) else table[name]
        table = table.set_column(number, name, column.cast(kinds.get(name, column.type)))
    return table


def _as_written(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts without the apostrophe that keeps a spreadsheet from running them."""
    texts = column.to_pylist()
    found = [text[1:] if text and text[0] == "'" and _FORMULA.match(text) else text for text in texts]
    return pa.chunked_array([pa.array(found, column.type)])


def _write_csv(path: Path, names: Sequence[str], rows: Iterable[Mapping[str, Any]], neutralise: bool) -> None:
    with open(path, "w", encoding="utf-8", newline="", errors="replace") as file:
        file.write(",".join(map(_quoted, names)) + "\n")
        file.writelines(",".join(_csv_cell(row[name], neutralise) for name in names) + "\n" for row in rows)


def _csv_cell(value: Any, neutralise: bool) -> str:
    """Nested values as JSON; text that a spreadsheet would run as a formula gets an apostrophe in front.

    Null is an empty cell, empty text a quoted one, which the csv module cannot tell apart.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return _quoted(json.dumps(value, ensure_ascii=False, default=str))
    if neutralise and isinstance(value, str) and _FORMULA.match(value):
        return _quoted(f"'{value}")
    return _quoted(value.isoformat() if hasattr(value, "isoformat") else str(value))


def _quoted(text: str) -> str:
    plain = text and not any(mark in text for mark in ',"\r\n')
    return text if plain else '"' + text.replace('"', '""') + '"'


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
