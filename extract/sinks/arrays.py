"""Arrow arrays of lists, maps and structs, made from their parts and taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

VALUE = "value"  # the name of what a map maps to, and of items that have no fields


def is_list(kind: pa.DataType) -> bool:
    """Lists of any kind, without maps."""
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_one(kind) for is_one in tests)


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
            return struct_of(own.type, children, len(array), None)
        return pa.concat_arrays([_something(own.type)] * len(array))
    return array.take(pa.array(np.where(array.is_valid().to_numpy(zero_copy_only=False), range(len(array)), there[0])))


def _something(kind: pa.DataType) -> pa.Array:
    """One value of a type."""
    if pa.types.is_dictionary(kind):
        indices = pa.array([0], kind.index_type)
        return pa.DictionaryArray.from_arrays(indices, _something(kind.value_type), ordered=kind.ordered)
    if pa.types.is_struct(kind):
        return struct_of(kind, [_something(child.type) for child in kind], 1, None)
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
        return struct_of(kind, children, len(array), array.is_null())
    if is_list(kind) or pa.types.is_map(kind):
        counts = counts_of(array)
        return list_of(kind, counts, typed(items_of(array, sizes_of(counts)), item_field(kind).type), nullable=True)
    return array.cast(kind)


def struct_of(kind: pa.DataType, children: Sequence[Any], rows: int, missing: pa.Array | None) -> pa.Array:
    """So many structs of these fields; null where `missing` is true."""
    arrays = [filled(in_one(array), own) for array, own in zip(children, kind, strict=True)]
    mask = pa.array(np.zeros(rows, bool)) if missing is None else missing
    return pa.StructArray.from_arrays(arrays, fields=list(kind), mask=mask)


def list_of(kind: pa.DataType, counts: pa.Array, items: pa.Array, nullable: bool) -> pa.Array:
    """Lists or maps of so many items each; null where there is no number, if they may be. Raises ValueError."""
    sizes, mask = sizes_of(counts), counts.is_null() if nullable else None
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
    if not (sizes_of(counts)[there] == kind.list_size).all():
        raise ValueError(f"a list of {kind.list_size} items has another number of them")
    seen = np.repeat(there, kind.list_size)
    places = pa.array(np.cumsum(seen) - 1, mask=~seen)
    values = filled(items.take(places), kind.value_field)
    return pa.FixedSizeListArray.from_arrays(values, type=kind, mask=mask)


def counts_of(lists: pa.Array) -> pa.Array:
    """The number of items of each list, null for a null list."""
    if not pa.types.is_map(lists.type):
        return pc.list_value_length(lists).cast(pa.int32())
    ends = lists.offsets.to_numpy()
    return pa.array(np.diff(ends), pa.int32(), mask=lists.is_null().to_numpy(zero_copy_only=False))


def items_of(lists: pa.Array, sizes: np.ndarray[Any, np.dtype[np.int64]]) -> pa.Array:
    """The items of all lists, one after another; a map's are its entries."""
    if not pa.types.is_map(lists.type):
        return lists.flatten()
    places = pa.array(np.repeat(lists.offsets.to_numpy()[:-1], sizes) + positions_in(sizes))
    entries = [lists.keys.take(places), lists.items.take(places)]
    return struct_of(item_field(lists.type).type, entries, len(places), None)


def item_field(kind: pa.DataType) -> pa.Field:
    """A list's item; a map's entry."""
    if pa.types.is_map(kind):
        names = (kind.key_field.with_name("key"), kind.item_field.with_name(VALUE))
        return pa.field("entries", pa.struct(names), nullable=False)
    return kind.value_field


def in_one(column: Any) -> pa.Array:
    """A column without chunks."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def sizes_of(counts: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Numbers of items, none for a null list. Raises ValueError for one below zero."""
    found: np.ndarray[Any, np.dtype[np.int64]] = counts.fill_null(0).cast(pa.int64()).to_numpy()
    if (found < 0).any():
        raise ValueError("a list has less than no items")
    return found


def positions_in(sizes: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int32]]:
    """0, 1, … in each list."""
    starts = np.cumsum(sizes) - sizes
    return np.asarray(np.arange(sizes.sum()) - np.repeat(starts, sizes), np.int32)
