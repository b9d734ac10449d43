"""What a column holds, whatever it was read from: an Arrow type, objects and lists of such, or cells of plain text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import pyarrow as pa

from extract.evaluation.comparators import guessed_kind, kind_of
from extract.evaluation.tree import is_null

# An Arrow type of single values; None for cells of text whose type nobody stated; {name: kind}; [kind of the items].
Kind: TypeAlias = Any  # pa.DataType | dict[str, Kind] | list[Kind] | None


def kind_from(column: pa.DataType) -> Kind:
    """The kind of an Arrow column. A map is a list of objects of key and value."""
    if isinstance(column, pa.BaseExtensionType):
        return kind_from(column.storage_type)
    if pa.types.is_struct(column):
        return {part.name: kind_from(part.type) for part in column}
    if pa.types.is_map(column):
        return [{"key": kind_from(column.key_type), "value": kind_from(column.item_type)}]
    if _is_list(column):
        return [kind_from(column.value_type)]
    return None if pa.types.is_null(column) else column


def is_nested(kind: Kind) -> bool:
    return isinstance(kind, dict | list)


def is_plain(kind: Kind) -> bool:
    """Whether it may be anything that text can say: JSON too."""
    return kind is None or (isinstance(kind, pa.DataType) and kind_of(kind) == "text")


def joint_kind(predicted: Kind, gold: Kind, values: Iterable[Any]) -> str:
    """The kind of single values by which both sides are read: the run's, unless that is text and gold's is not."""
    if predicted is None and gold is None:
        return guessed_kind(list(values))
    kinds = [kind_of(kind) for kind in (predicted, gold) if isinstance(kind, pa.DataType)]
    return next((kind for kind in kinds if kind != "text"), "text")


def name_of(kind: Kind) -> str:
    """What a message calls it."""
    if isinstance(kind, dict):
        return "an object"
    return "a list" if isinstance(kind, list) else f"of type {kind}" if kind is not None else "text"


def values_at(value: Any, names: list[str]) -> Iterator[Any]:
    """The values below a path, those of all items of a list."""
    if is_null(value):
        return
    if isinstance(value, list | tuple):
        for item in value:
            yield from values_at(item, names)
    elif not names:
        yield value
    elif isinstance(value, Mapping):
        yield from values_at(value.get(names[0]), names[1:])


def _is_list(column: pa.DataType) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view)
    return any(test(column) for test in tests)
