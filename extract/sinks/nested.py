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

Path = tuple[str, ...]  # names from the table down to a list, `value` for the items of a list in a list
Column = tuple[pa.Field, pa.Array]

PARENT: Path = ()
VALUE = "value"
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


def is_list(kind: pa.DataType) -> bool:
    """Lists of any kind, without maps."""
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_one(kind) for is_one in tests)


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
            struct = _struct(kind, [found for _, found in columns], len(array), array.is_null())
            yield pa.field(name, kind, nullable=may_be_null, metadata=own.metadata), struct

    def _child(self, kind: pa.DataType, array: pa.Array, path: Path, level: _Level) -> pa.Array:
        """Put the items into the child table at `path`; the number of items of each row."""
        item = _item_field(kind)
        counts = _counts(array)
        sizes = _plain(counts)
        rows = pa.array(np.repeat(np.arange(len(sizes)), sizes))
        places = [(name, place.take(rows)) for name, place in level.places]
        inner = _Level(path, level.key.take(rows), [*places, (path[-1], pa.array(_positions(sizes)))])
        self.parts[path] = None  # holds the place, as above
        self.parts[path] = self._item_batch(item, _items(array, sizes), inner)
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
        columns, rows = iter(parent.columns), _Rows(_one(parent.column(self.layout.key)))
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
            counts = _one(next(columns))
            return _list(kind, counts, self._items(_item_field(kind), path, counts, rows), own.nullable)
        missing = None
        if not self.layout.flat:
            struct = _one(next(columns))
            columns, missing = iter(struct.flatten()), struct.is_null()
        elif own.nullable:
            missing = pc.invert(_one(next(columns)))
        children = [self._field(child, (*path, child.name), columns, rows) for child in kind]
        return _struct(kind, children, len(rows), missing if own.nullable else None)

    def _items(self, item: pa.Field, path: Path, counts: pa.Array, above: _Rows) -> pa.Array:
        """The items of all lists at `path`, one after another."""
        part, sizes = self.parts[path], _plain(counts)
        origin = pa.array(np.repeat(np.arange(len(sizes)), sizes))
        rows = _Rows(_one(part.column(0)), above.depth + 1)
        if (
            len(rows) != len(origin)
            or not rows.key.equals(above.key.take(origin))
            or not _one(part.column(rows.depth)).equals(pa.array(_positions(sizes)))
        ):
            raise ValueError(f"the rows of {label_of(path)!r} are not those that the table counts")
        columns = iter(part.columns[rows.depth + 1 :])
        if not pa.types.is_struct(item.type):
            return _one(self._field(item, (*path, VALUE), columns, rows))
        missing = pc.invert(_one(next(columns))) if item.nullable else None
        children = [self._field(child, (*path, child.name), columns, rows) for child in item.type]
        return _struct(item.type, children, len(rows), missing)


def filled(array: pa.Array, own: pa.Field) -> pa.Array:
    """Something in place of the nulls of a field that holds none: they lie under a null struct."""
    if own.nullable or not array.null_count:
        return array
    there = np.flatnonzero(array.is_valid().to_numpy(zero_copy_only=False))
    if not len(there):
        if pa.types.is_dictionary(array.type) and len(array.dictionary):  # of its own words, so that it gets no other
            indices = pa.array(np.zeros(len(array), int), array.type.index_type)
            return pa.DictionaryArray.from_arrays(indices, array.dictionary, ordered=array.type.ordered)
        if pa.types.is_struct(array.type) and array.type.num_fields:
            fields = [child.with_nullable(False) for child in array.type]
            children = [filled(part, child) for part, child in zip(array.flatten(), fields, strict=True)]
            return _struct(own.type, children, len(array), None)
        return pa.concat_arrays([_something(own.type)] * len(array))
    return array.take(pa.array(np.where(array.is_valid().to_numpy(zero_copy_only=False), range(len(array)), there[0])))


def _something(kind: pa.DataType) -> pa.Array:
    """One value of a type."""
    if pa.types.is_dictionary(kind):
        indices = pa.array([0], kind.index_type)
        return pa.DictionaryArray.from_arrays(indices, _something(kind.value_type), ordered=kind.ordered)
    if pa.types.is_struct(kind):
        return _struct(kind, [_something(child.type) for child in kind], 1, None)
    if pa.types.is_fixed_size_list(kind):
        values = pa.concat_arrays([_something(kind.value_type)] * kind.list_size) if kind.list_size else []
        return pa.FixedSizeListArray.from_arrays(values, type=kind)
    return pa.array([None], pa.struct([pa.field("", kind, nullable=False)])).field(0)


def typed(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """The same values as another type; other than a cast it makes dictionaries at any depth."""
    if array.type == kind:
        return array
    if pa.types.is_dictionary(kind):
        return array.dictionary_encode().cast(kind)
    if pa.types.is_struct(kind):
        children = [typed(values, own.type) for values, own in zip(array.flatten(), kind, strict=True)]
        return _struct(kind, children, len(array), array.is_null())
    if is_list(kind) or pa.types.is_map(kind):
        counts = _counts(array)
        return _list(kind, counts, typed(_items(array, _plain(counts)), _item_field(kind).type), nullable=True)
    return array.cast(kind)


def _struct(kind: pa.DataType, children: Sequence[Any], rows: int, missing: pa.Array | None) -> pa.Array:
    arrays = [filled(_one(array), own) for array, own in zip(children, kind, strict=True)]
    mask = pa.array(np.zeros(rows, bool)) if missing is None else missing
    return pa.StructArray.from_arrays(arrays, fields=list(kind), mask=mask)


def _list(kind: pa.DataType, counts: pa.Array, items: pa.Array, nullable: bool) -> pa.Array:
    sizes, mask = _plain(counts), counts.is_null() if nullable else None
    if pa.types.is_fixed_size_list(kind):
        return _fixed_list(kind, counts, items, mask)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    if pa.types.is_large_list(kind):
        return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), items, type=kind, mask=mask)
    offsets = pa.array(ends, pa.int32())
    if pa.types.is_map(kind):
        return pa.MapArray.from_arrays(offsets, items.field(0), items.field(1), type=kind, mask=mask)
    return pa.ListArray.from_arrays(offsets, items, type=kind, mask=mask)


def _fixed_list(kind: pa.DataType, counts: pa.Array, items: pa.Array, mask: pa.Array | None) -> pa.Array:
    """A null list of fixed size has items too, which nobody sees."""
    there = counts.is_valid().to_numpy(zero_copy_only=False)
    if not (_plain(counts)[there] == kind.list_size).all():
        raise ValueError(f"a list of {kind.list_size} items has another number of them")
    seen = np.repeat(there, kind.list_size)
    places = pa.array(np.cumsum(seen) - 1, mask=~seen)
    values = filled(items.take(places), kind.value_field)
    return pa.FixedSizeListArray.from_arrays(values, type=kind, mask=mask)


def _counts(lists: pa.Array) -> pa.Array:
    """The number of items of each list, null for a null list."""
    if not pa.types.is_map(lists.type):
        return pc.list_value_length(lists).cast(pa.int32())
    ends = lists.offsets.to_numpy()
    return pa.array(np.diff(ends), pa.int32(), mask=lists.is_null().to_numpy(zero_copy_only=False))


def _items(lists: pa.Array, sizes: np.ndarray[Any, np.dtype[np.int64]]) -> pa.Array:
    """The items of all lists, one after another; a map's are its entries."""
    if not pa.types.is_map(lists.type):
        return lists.flatten()
    places = pa.array(np.repeat(lists.offsets.to_numpy()[:-1], sizes) + _positions(sizes))
    return _struct(_item_field(lists.type).type, [lists.keys.take(places), lists.items.take(places)], len(places), None)


def _item_field(kind: pa.DataType) -> pa.Field:
    """A list's item; a map's entry."""
    if pa.types.is_map(kind):
        names = (kind.key_field.with_name("key"), kind.item_field.with_name(VALUE))
        return pa.field("entries", pa.struct(names), nullable=False)
    return kind.value_field


def _one(column: Any) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _plain(counts: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Numbers of items, none for a null list."""
    found: np.ndarray[Any, np.dtype[np.int64]] = counts.fill_null(0).cast(pa.int64()).to_numpy()
    if (found < 0).any():
        raise ValueError("a list has less than no items")
    return found


def _positions(sizes: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int32]]:
    """0, 1, … in each list."""
    starts = np.cumsum(sizes) - sizes
    return np.asarray(np.arange(sizes.sum()) - np.repeat(starts, sizes), np.int32)


def _batch(columns: Sequence[Column], metadata: Any = None) -> pa.RecordBatch:
    schema = pa.schema([own for own, _ in columns], metadata)
    return pa.RecordBatch.from_arrays([array for _, array in columns], schema=schema)


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name = f"_{name}"
    return name
