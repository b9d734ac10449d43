"""Tables in files and in memory, folders of files → records with keys, streamed; the look over all before any call."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from extract.errors import ConfigError, InputError
from extract.records import Key, Record
from extract.sources.arrow import ArrowTable, Parquet, from_pandas
from extract.sources.csv_file import Csv
from extract.sources.folder import Folder, split_pattern
from extract.sources.jsonl_file import Jsonl
from extract.sources.rows import Row, Rows, since

__all__ = ["ArrowTable", "Csv", "Folder", "Jsonl", "Parquet", "Row", "Rows", "Scan", "Source", "open_source"]

ROW_NUMBER = "row"  # the key's name when no key column is given; counts from 1
MARK = 5_000  # records from one place to the next from which a scan can be checked again


@dataclass(frozen=True, slots=True)
class Scan:
    """What one reading of the whole source told: how many records, and a fingerprint of their content.

    marks: the digest that becomes the fingerprint, as it stood before each record whose position is a multiple of MARK.
    """

    count: int
    fingerprint: str
    marks: tuple[Any, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Source:
    """Rows with keys: the values of the key column, or the row's number from 1.

    also: what else of a record counts as its content in fingerprints, such as the files that its cells name.
    """

    rows: Rows
    key: str | None = None
    limit: int | None = None  # only the first so many
    also: Callable[[Record], str] | None = None

    @property
    def label(self) -> str:
        return self.rows.label

    @property
    def folder(self) -> Path | None:
        """Where the source lies, and below which paths in its cells may lead; None for a table in memory."""
        if isinstance(self.rows, Folder):
            return Path(self.rows.path)
        path = getattr(self.rows, "path", None)
        return None if path is None else Path(path).parent

    @property
    def columns(self) -> tuple[str, ...]:
        return self.rows.columns

    @property
    def arrow_types(self) -> Mapping[str, pa.DataType]:
        return self.rows.arrow_types

    @property
    def key_name(self) -> str:
        return self.key or ROW_NUMBER

    @property
    def key_type(self) -> pa.DataType:
        kind = self.arrow_types[self.key] if self.key else pa.int64()
        return kind.value_type if pa.types.is_dictionary(kind) else kind

    def check(self) -> None:
        """Refuse a key column that is not there or cannot be a key. Raises ConfigError."""
        if self.key is None:
            return
        if self.key not in self.columns:
            raise ConfigError(
                f"{self.label} has no column {self.key!r} for the key", hint=f"it has: {', '.join(self.columns)}"
            )
        kind = self.key_type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
            raise ConfigError(f"the key column {self.key!r} is {kind}", hint="a key is text or a whole number")

    def records(self) -> Iterator[Record]:
        """The records in order. Raises InputError for a null key."""
        return (_record(*found) for found in self._keyed())

    def scan(self) -> Scan:
        """Read everything once. Raises InputError for an empty source, null and duplicate keys."""
        digest = self._digest()
        seen = array("q")  # eight bytes a key: a set of the keys themselves would grow with the file
        marks = []
        position = -1
        for position, key, row in self._keyed():  # the last position is the count
            if position % MARK == 0:
                marks.append(digest.copy())
            digest.update(self._content(position, key, row))
            if self.key is not None:
                seen.append(hash(key))
        if position < 0:
            raise InputError("there are no records, only column names", file=self.label, line=2)
        self._refuse_duplicates(seen)
        return Scan(position + 1, digest.hexdigest(), tuple(marks))

    def records_of(self, scan: Scan, start: int = 0) -> Iterator[Record]:
        """The records from this position on once more.

        Those before it are passed over. Raises InputError at the end when the others are not those that were scanned.
        """
        mark = min(start // MARK, len(scan.marks) - 1)
        digest = scan.marks[mark].copy() if mark >= 0 else self._digest()
        for position, key, row in self._keyed(max(0, mark) * MARK):
            digest.update(self._content(position, key, row))
            if position >= start:
                yield _record(position, key, row)
        if digest.hexdigest() != scan.fingerprint:
            raise InputError("the source has changed while it was read", file=self.label, hint="run again")

    def _keyed(self, start: int = 0) -> Iterator[tuple[int, Key, Row]]:
        for position, row in islice(enumerate(since(self.rows, start), start), self._number_from(start)):
            yield position, self._key_of(row, position), row

    def _number_from(self, start: int) -> int | None:
        return None if self.limit is None else max(0, self.limit - start)

    def _content(self, position: int, key: Key, row: Row) -> bytes:
        cells = repr((key, row.values)).encode("utf-8", "surrogatepass")
        return cells + self.also(_record(position, key, row)).encode() if self.also else cells

    def _digest(self) -> hashlib.blake2b:
        return hashlib.blake2b(repr((self.columns, self.key)).encode("utf-8", "surrogatepass"), digest_size=16)

    def _key_of(self, row: Row, position: int) -> Key:
        if self.key is None:
            return position + 1
        key = row.values.get(self.key)
        if key is None or key == "":
            if row.problem is not None:  # it goes to the quarantine, where it needs a name
                return f"line {row.line}"
            raise InputError(
                "the key is empty", file=self.label, line=row.line or position + 1, column=self.key, value=key
            )
        return key  # type: ignore[no-any-return]  # check() has seen its type

    def _refuse_duplicates(self, hashes: array[int]) -> None:
        """Equal hashes are rare unless keys are equal; only then the keys themselves are compared."""
        ordered = np.frombuffer(hashes, dtype=np.int64)
        ordered.sort()  # in place
        suspects = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
        if not suspects:
            return
        first: dict[Key, int] = {}
        for record in self.records():
            if hash(record.key) not in suspects:
                continue
            line = record.line or record.position + 1
            if record.key in first:
                message = f"the key {record.key!r} comes twice, first at line {first[record.key]}"
                raise InputError(message, file=self.label, line=line, column=self.key, value=record.key)
            first[record.key] = line


def _record(position: int, key: Key, row: Row) -> Record:
    return Record(key, position, row.values, row.line, row.problem)


def open_source(source: Any, key: str | None = None, limit: int | None = None) -> Source:
    """A path (.csv, .tsv, .parquet, .jsonl), a folder or a pattern such as `docs/*.pdf`, a DataFrame, an Arrow table,
    or an opened source of rows. The files of a folder have their paths for keys, unless a key is named.

    Raises ConfigError for what is none of these, InputError for a file that is not there.
    """
    rows = _rows_of(source)
    return Source(rows, "path" if key is None and isinstance(rows, Folder) else key, limit)


def _rows_of(source: Any) -> Rows:
    if isinstance(source, str | Path):
        return _file(Path(source))
    if isinstance(source, Csv | Folder | Jsonl | Parquet | ArrowTable):
        return source
    if isinstance(source, pa.Table):
        return ArrowTable(source)
    if hasattr(source, "iloc") and hasattr(source, "columns"):  # a DataFrame, without importing pandas to ask
        return from_pandas(source)
    raise ConfigError(f"no source: {type(source).__name__}", hint="give a path, a DataFrame or an Arrow table")


def _file(path: Path) -> Rows:
    if not path.exists():
        base, pattern = split_pattern(path)
        if pattern and base.is_dir():
            return Folder(base, pattern)
        raise InputError("there is no such file", file=str(path))
    if path.is_dir():
        return Folder(path)
    kinds = {".csv": Csv, ".parquet": Parquet, ".pq": Parquet, ".jsonl": Jsonl, ".ndjson": Jsonl}
    if path.suffix.lower() == ".tsv":
        return Csv(path, delimiter="\t")
    if path.suffix.lower() not in kinds:
        raise ConfigError(f"{path}: unknown kind of file {path.suffix!r}", hint=f"known: {', '.join(kinds)}, .tsv")
    return kinds[path.suffix.lower()](path)  # type: ignore[no-any-return]
