"""One nested table ↔ a parent table and its child tables, and structs ↔ flat columns; exact both ways, Arrow only.

A list or map becomes a child table: the parent's key, its place in each list above it, then the item's fields. The
parent keeps, under the field's name, the number of items (null for a null list). A flat struct becomes a column for
each of its fields (`address.city`), and `address` itself says whether it is there when it may be null.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from extract.errors import ConfigError
from extract.sinks.arrays import (
    VALUE,
    counts_of,
    in_one,
    is_list,
    item_field,
    items_of,
    list_of,
    positions_in,
    sizes_of,
    struct_of,
)
from extract.sinks.arrays import typed as typed  # noqa: PLC0414  # `shards` has it from here

Path = tuple[str, ...]  # names from the table down to a list, `value` for the items of a list in a list
Column = tuple[pa.Field, pa.Array]

PARENT: Path = ()
POSITION = "position"
LONGEST_LABEL = 200  # bytes; a folder's name holds 255

_PLAIN = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class Layout:
    """How the rows of `schema` are laid out: child tables or not, flat or not."""

    schema: pa.Schema
    key: str
    children: bool = False
    flat: bool = False
    whole: frozenset[str] = frozenset()  # columns that stay as they are

    @cached_property
    def is_plain(self) -> bool:
        """Whether the one table is written as it is."""
        return all(self._stays_whole(field) for field in self.schema)

    @cached_property
    def schemas(self) -> dict[Path, pa.Schema]:
        """The parent's schema, then each child's, in the order of the fields."""
        return {path: part.schema for path, part in self.split(self.schema.empty_table()).items()}

    def check(self) -> None:
        """Refuse names that would fall together. Raises ConfigError."""
        folders: dict[str, Path] = {}
        for path, schema in self.schemas.items():
            for name in schema.names:
                if schema.names.count(name) > 1:
                    where = f"the child table {label_of(path)!r}" if path else "the table"
                    raise ConfigError(f"two columns of {where} would be called {name!r}", hint="rename one of them")
            label = label_of(path)
            if len(label.encode()) > LONGEST_LABEL:
                raise ConfigError(f"a child table would be called {label[:40]!r}…, too long for a folder")
            other = folders.setdefault(unicodedata.normalize("NFKC", label).casefold(), path)
            if other != path:
                raise ConfigError(
                    f"the child tables {label_of(other)!r} and {label!r} would share a folder where upper and lower "
                    "case are the same",
                    hint="rename one of the fields",
                )

    def split(self, table: pa.Table) -> dict[Path, pa.Table]:
        """The parent and its children; rows of a child are in the parent's order, then by position.

        Raises ArrowInvalid for a null where the schema holds none.
        """
        if self.is_plain:
            return {PARENT: table}
        nothing = pa.RecordBatch.from_pylist([], schema=self.schema)
        found = [_Split(self).of(batch) for batch in table.to_batches() or [nothing]]
        return {path: pa.Table.from_batches([parts[path] for parts in found]) for path in found[0]}

    def rejoin(self, parts: Mapping[Path, pa.Table]) -> pa.Table:
        """The nested rows that `split` took apart. Raises ValueError for parts that do not belong together."""
        if self.is_plain:
            return parts[PARENT]
        for path, schema in self.schemas.items():
            if path not in parts or parts[path].column_names != schema.names:
                raise ValueError(f"the columns of {label_of(path) or 'table'!r} are not those of the schema")
        return _Join(self, parts).whole()

    def stays(self, kind: pa.DataType) -> bool:
        """Whether values of this type are kept in one column."""
        if is_list(kind) or pa.types.is_map(kind):
            return not self.children
        if pa.types.is_struct(kind):
            return not self.flat and all(self.stays(child.type) for child in kind)
        return True

    def _stays_whole(self, field: pa.Field) -> bool:
        return field.name in self.whole or self.stays(field.type)


def label_of(path: Path) -> str:
    """The name of a child table: `lines.taxes`. What no folder can hold is percent-encoded, a dot in a name too."""
    return ".".join(_safe(name) for name in path)


def _safe(name: str) -> str:
    if _PLAIN.fullmatch(name):
        return name
    return "".join(c if _PLAIN.fullmatch(c) else quote(c, safe="").replace(".", "%2E") for c in name) or "%"


@dataclass(slots=True)
class _Level:
    """The rows of one table: the parent's key for each, and its places in the lists above."""

    path: Path
    key: pa.Array
    places: list[tuple[str, pa.Array]]


@dataclass(slots=True)
class _Split:
    """Takes one batch apart."""

    layout: Layout
    parts: dict[Path, pa.RecordBatch] = field(default_factory=dict)

    def of(self, batch: pa.RecordBatch) -> dict[Path, pa.RecordBatch]:
        level = _Level(PARENT, batch.column(self.layout.schema.get_field_index(self.layout.key)), [])
        self.parts[PARENT] = batch  # holds the place: parents come first
        columns: list[Column] = []
        for own, array in zip(self.layout.schema, batch.columns, strict=True):
            if own.name in self.layout.whole:
                columns.append((own, array))
            else:
                columns += self._columns(own, array, own.name, (own.name,), level)
        self.parts[PARENT] = _batch(columns, self.layout.schema.metadata)
        return self.parts

    def _columns(
        self, own: pa.Field, array: pa.Array, name: str, path: Path, level: _Level, under_null: bool = False
    ) -> Iterator[Column]:
        """The columns that a field becomes; `under_null`: nulls may come from a struct above."""
        may_be_null = own.nullable or under_null
        if not may_be_null and array.null_count:
            raise pa.ArrowInvalid(f"null in {'.'.join(path)!r}, which holds none")
        if self.layout.stays(own.type):
            yield own.with_name(name).with_nullable(may_be_null), array
        elif not pa.types.is_struct(own.type):
            yield pa.field(name, pa.int32(), nullable=may_be_null), self._child(own.type, array, path, level)
        elif self.layout.flat:
            if own.nullable:
                yield pa.field(name, pa.bool_(), nullable=False), array.is_valid()
            for child, values in zip(own.type, array.flatten(), strict=True):
                yield from self._columns(
                    child, values, f"{name}.{child.name}", (*path, child.name), level, under_null=may_be_null
                )
        else:
            columns = [
                (column.with_nullable(child.nullable), found)
                for child, values in zip(own.type, array.flatten(), strict=True)
                for column, found in self._columns(
                    child, values, child.name, (*path, child.name), level, under_null=True
                )
            ]
            kind = pa.struct([column for column, _ in columns])
            struct = struct_of(kind, [found for _, found in columns], len(array), array.is_null())
            yield pa.field(name, kind, nullable=may_be_null, metadata=own.metadata), struct

    def _child(self, kind: pa.DataType, array: pa.Array, path: Path, level: _Level) -> pa.Array:
        """Put the items into the child table at `path`; the number of items of each row."""
        item = item_field(kind)
        counts = counts_of(array)
        sizes = sizes_of(counts)
        rows = pa.array(np.repeat(np.arange(len(sizes)), sizes))
        places = [(name, place.take(rows)) for name, place in level.places]
        inner = _Level(path, level.key.take(rows), [*places, (path[-1], pa.array(positions_in(sizes)))])
        self.parts[path] = None  # holds the place, as above
        self.parts[path] = self._item_batch(item, items_of(array, sizes), inner)
        return counts

    def _item_batch(self, item: pa.Field, items: pa.Array, level: _Level) -> pa.RecordBatch:
        if not pa.types.is_struct(item.type):
            columns = list(self._columns(item, items, VALUE, (*level.path, VALUE), level))
        else:
            if not item.nullable and items.null_count:
                raise pa.ArrowInvalid(f"null in {'.'.join(level.path)!r}, which holds none")
            columns = [
                column
                for child, values in zip(item.type, items.flatten(), strict=True)
                for column in self._columns(child, values, child.name, (*level.path, child.name), level, item.nullable)
            ]
            if item.nullable:
                name = _free(VALUE, {child.name for child, _ in columns})
                columns.insert(0, (pa.field(name, pa.bool_(), nullable=False), items.is_valid()))
        return _batch([*self._own_columns(level, {child.name for child, _ in columns}), *columns])

    def _own_columns(self, level: _Level, taken: set[str]) -> Iterator[Column]:
        """Key and places; a name that a field has already gets `_` in front."""
        name = _free(self.layout.key, taken)
        yield pa.field(name, level.key.type, nullable=False), level.key
        for number, (above, place) in enumerate(level.places, 1):
            name = _free(POSITION if number == len(level.places) else f"{above}_{POSITION}", taken | {name})
            taken.add(name)
            yield pa.field(name, pa.int32(), nullable=False), place


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of one table that is put together: their keys, and how many lists are above."""

    key: pa.Array
    depth: int = 0

    def __len__(self) -> int:
        return len(self.key)


@dataclass(frozen=True, slots=True)
class _Join:
    """Puts parts together; columns are taken in the order in which `_Split` made them."""

    layout: Layout
    parts: Mapping[Path, pa.Table]

    def whole(self) -> pa.Table:
        parent, schema = self.parts[PARENT], self.layout.schema
        columns, rows = iter(parent.columns), _Rows(in_one(parent.column(self.layout.key)))
        arrays = [
            next(columns) if own.name in self.layout.whole else self._field(own, (own.name,), columns, rows)
            for own in schema
        ]
        return pa.Table.from_arrays(arrays, schema=schema)

    def _field(self, own: pa.Field, path: Path, columns: Iterator[Any], rows: _Rows) -> Any:
        """The next field, from as many columns as it was made into: an array, or the column as it is."""
        kind = own.type
        if self.layout.stays(kind):
            return next(columns)
        if not pa.types.is_struct(kind):
            counts = in_one(next(columns))
            return list_of(kind, counts, self._items(item_field(kind), path, counts, rows), own.nullable)
        missing = None
        if not self.layout.flat:
            struct = in_one(next(columns))
            columns, missing = iter(struct.flatten()), struct.is_null()
        elif own.nullable:
            missing = pc.invert(in_one(next(columns)))
        children = [self._field(child, (*path, child.name), columns, rows) for child in kind]
        return struct_of(kind, children, len(rows), missing if own.nullable else None)

    def _items(self, item: pa.Field, path: Path, counts: pa.Array, above: _Rows) -> pa.Array:
        """The items of all lists at `path`, one after another."""
        part, sizes = self.parts[path], sizes_of(counts)
        origin = pa.array(np.repeat(np.arange(len(sizes)), sizes))
        rows = _Rows(in_one(part.column(0)), above.depth + 1)
        if (
            len(rows) != len(origin)
            or not rows.key.equals(above.key.take(origin))
            or not in_one(part.column(rows.depth)).equals(pa.array(positions_in(sizes)))
        ):
            raise ValueError(f"the rows of {label_of(path)!r} are not those that the table counts")
        columns = iter(part.columns[rows.depth + 1 :])
        if not pa.types.is_struct(item.type):
            return in_one(self._field(item, (*path, VALUE), columns, rows))
        missing = pc.invert(in_one(next(columns))) if item.nullable else None
        children = [self._field(child, (*path, child.name), columns, rows) for child in item.type]
        return struct_of(item.type, children, len(rows), missing)


def _batch(columns: Sequence[Column], metadata: Any = None) -> pa.RecordBatch:
    schema = pa.schema([own for own, _ in columns], metadata)
    return pa.RecordBatch.from_arrays([array for _, array in columns], schema=schema)


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name = f"_{name}"
    return name
