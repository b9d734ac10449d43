"""Parquet files, Arrow tables and pandas frames: typed columns, read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from extract.errors import InputError
from extract.sources.rows import BATCH, Row, refuse_twins

_BATCH_OF_FILES = 16
_BATCH_BYTES = 1 << 20
_BUFFER = 1 << 18  # bytes of a column read at once: else it is the column of a row group, which is often the file


@dataclass(frozen=True)
class Parquet:
    """A Parquet file; never loaded whole."""

    path: str | Path

    @property
    def label(self) -> str:
        return str(self.path)

    @cached_property
    def _schema(self) -> pa.Schema:
        with self._open() as file:
            return _checked(file.schema_arrow, self.label)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self._schema.names)

    @property
    def arrow_types(self) -> dict[str, pa.DataType]:
        return {field.name: field.type for field in self._schema}

    def __iter__(self) -> Iterator[Row]:
        return self.since(0)

    def since(self, start: int) -> Iterator[Row]:
        """The rows from this one on; row groups before it are not read."""
        try:
            with self._open() as file:
                groups, start = _groups_from(file.metadata, start)
                size = _batch_of(file.metadata, self._schema)
                # Threads would decode little faster, and the memory that each of them keeps is more than the batch.
                for batch in file.iter_batches(batch_size=size, row_groups=groups, use_threads=False):
                    yield from _rows(batch.slice(start))
                    start = max(0, start - batch.num_rows)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # a value that Python cannot hold too
            raise InputError(f"not a readable Parquet file: {error}", file=self.label) from error

    def _open(self) -> Any:
        try:
            return pq.ParquetFile(self.path, buffer_size=_BUFFER, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"not a readable Parquet file: {error}", file=self.label) from error


@dataclass(frozen=True, eq=False)
class ArrowTable:
    """A table in memory."""

    table: pa.Table
    label: str = "Arrow table"

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(_checked(self.table.schema, self.label).names)

    @property
    def arrow_types(self) -> dict[str, pa.DataType]:
        return {field.name: field.type for field in self.table.schema}

    def __iter__(self) -> Iterator[Row]:
        return self.since(0)

    def since(self, start: int) -> Iterator[Row]:
        """The rows from this one on."""
        for batch in self.table.slice(start).to_batches(max_chunksize=_batch(self.table.schema)):
            yield from _rows(batch)


def from_pandas(frame: Any) -> ArrowTable:
    """A frame as a source; its index is left out. Raises InputError that names a column without one type."""
    columns = [str(name) for name in frame.columns]
    arrays = []
    for number, name in enumerate(columns):
        try:
            arrays.append(pa.array(frame.iloc[:, number], from_pandas=True))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"the column has no one type: {error}", file="DataFrame", column=name) from error
    flat = [item.combine_chunks() if isinstance(item, pa.ChunkedArray) else item for item in arrays]
    return ArrowTable(pa.Table.from_arrays(flat, names=columns), "DataFrame")


def _rows(batch: pa.RecordBatch) -> Iterator[Row]:
    return (Row(values) for values in batch.to_pylist())


def _batch(schema: pa.Schema) -> int:
    """Rows read at a time: few when columns hold bytes, which are whole files."""
    return _BATCH_OF_FILES if any("binary" in str(field.type) for field in schema) else BATCH


def _batch_of(metadata: pq.FileMetaData, schema: pa.Schema) -> int:
    """The same for a file, which knows how large its rows are."""
    size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    fitting = int(_BATCH_BYTES * metadata.num_rows // max(1, size))
    return max(1, min(_batch(schema), fitting))


def _groups_from(metadata: pq.FileMetaData, start: int) -> tuple[list[int], int]:
    """The row groups that hold the rows from this one on, and how many rows before it they hold."""
    first = 0
    while first < metadata.num_row_groups and start >= metadata.row_group(first).num_rows:
        start -= metadata.row_group(first).num_rows
        first += 1
    return list(range(first, metadata.num_row_groups)), start


def _checked(schema: pa.Schema, label: str) -> pa.Schema:
    refuse_twins(schema.names, label)
    return schema
