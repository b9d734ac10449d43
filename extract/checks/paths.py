"""Dotted paths such as `lines.total`: which parts of a schema they name, and the values that stand there.

Lists on the way are opened, `*` stands for every entry of a dict. What is absent reads as null.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, RootModel

from extract.errors import ConfigError
from extract.nearest import did_you_mean
from extract.records import path_to

if TYPE_CHECKING:
    from extract.schema.shapes import Shape

ENTRY = "*"  # the step into every entry of a dict
ROOT = "$"

Found = tuple[str, Any]  # JSON path, value
Reader = Callable[..., Sequence[Found]]

_PLAIN = frozenset({str, int, float, bool, Decimal, dt.date, dt.datetime, dt.time, dt.timedelta, bytes})


def reader(field: str, *, nulls: bool = False, whole: bool = False) -> Reader:
    """What reads the values at a path from `(value, at="$")`, each with its JSON path.

    nulls: a null is a value too. whole: a list or dict at the end of the path is one value.
    """
    steps = tuple(field.split("."))
    return _reader_of_one(steps[0], nulls, whole) if len(steps) == 1 else _reader_of_many(steps, nulls, whole)


def _reader_of_one(name: str, nulls: bool, whole: bool) -> Reader:
    shown = path_to(ROOT, name)
    steps = (name,)

    def read(value: Any, at: str = ROOT) -> Sequence[Found]:
        found = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
        if found is None and name != ENTRY:
            return ((_below(at, shown, name), None),) if nulls else ()
        if type(found) in _PLAIN:
            return ((_below(at, shown, name), found),)
        return list(_walk(value, steps, at, nulls, whole))

    return read


def _below(at: str, shown: str, name: str) -> str:
    return shown if at == ROOT else path_to(at, name)


def _reader_of_many(steps: tuple[str, ...], nulls: bool, whole: bool) -> Reader:
    def read(value: Any, at: str = ROOT) -> Sequence[Found]:
        return list(_walk(value, steps, at, nulls, whole))

    return read


def values(field: str) -> Callable[[Any], list[Any]]:
    """What reads the values at a path without their places, nulls left out; several times as fast as a `reader`."""
    steps = tuple(field.split("."))
    slow = reader(field)

    def read(value: Any) -> list[Any]:
        level = [value]
        for name in steps:
            below: list[Any] = []
            for item in level:
                if name == ENTRY or not _has_members(item.__class__):
                    return [found for _, found in slow(value)]
                found = item.get(name) if isinstance(item, dict) else getattr(item, name, None)
                if type(found) is list:
                    below += found
                elif found is not None:
                    below.append(found)
            level = below
        if all(type(found) in _PLAIN for found in level):
            return level
        return [found for _, found in slow(value)]

    return read


@lru_cache(maxsize=1_000)
def _has_members(kind: type) -> bool:
    """Whether a step of a path leads from values of this class to one of their members."""
    return kind is dict or (issubclass(kind, BaseModel) and not issubclass(kind, RootModel))


def _walk(value: Any, steps: Sequence[str], at: str, nulls: bool, whole: bool) -> Iterator[Found]:
    while isinstance(value, RootModel):
        value = value.root
    if not steps:
        yield from _leaves(value, at, nulls, whole)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(_in_order(value)):
            yield from _walk(item, steps, f"{at}[{index}]", nulls, whole)
    elif steps[0] == ENTRY:
        for key, item in value.items() if isinstance(value, dict) else ():
            yield from _walk(item, steps[1:], path_to(at, str(key)), nulls, whole)
    elif value is None or type(value) in _PLAIN:
        if nulls:
            yield ".".join((at, *steps)), None
    else:
        found = value.get(steps[0]) if isinstance(value, dict) else getattr(value, steps[0], None)
        yield from _walk(found, steps[1:], path_to(at, steps[0]), nulls, whole)


def _leaves(value: Any, at: str, nulls: bool, whole: bool) -> Iterator[Found]:
    if value is None:
        if nulls:
            yield at, None
    elif type(value) in _PLAIN or whole:
        yield at, value
    elif isinstance(value, Enum):
        yield at, value.value
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(_in_order(value)):
            yield from _walk(item, (), f"{at}[{index}]", nulls, whole)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, (), path_to(at, str(key)), nulls, whole)
    else:
        yield at, value


def _in_order(value: Any) -> Any:
    """A set's items in the same order in every process."""
    return sorted(value, key=str) if isinstance(value, set | frozenset) else value


Scopes = Callable[[Any], Sequence[Found]]


def scopes(*fields: str) -> tuple[Scopes, tuple[str, ...]]:
    """The objects that paths have in common, and what is left of each path: `lines.start` and `lines.end` are compared
    within each line."""
    steps = [field.split(".") for field in fields]
    shared = 0
    while all(len(path) > shared + 1 and path[shared] == steps[0][shared] for path in steps):
        shared += 1
    rest = tuple(".".join(path[shared:]) for path in steps)
    if not shared:
        return _itself, rest
    common = tuple(steps[0][:shared])

    def objects(value: Any) -> Sequence[Found]:
        return list(_objects(value, common, ROOT))

    return objects, rest


def _itself(value: Any) -> Sequence[Found]:
    return ((ROOT, value),)


def _objects(value: Any, steps: Sequence[str], at: str) -> Iterator[Found]:
    for path, found in _walk(value, steps, at, False, True):
        yield from _opened(found, path)


def _opened(value: Any, at: str) -> Iterator[Found]:
    while isinstance(value, RootModel):
        value = value.root
    if isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(_in_order(value)):
            yield from _opened(item, f"{at}[{index}]")
    elif value is not None:
        yield at, value


def groups(field: str) -> Callable[[Any], Iterator[tuple[str, list[Found]]]]:
    """What reads each innermost list on a path: the list's own path, and the values at the path in it."""
    steps = tuple(field.split("."))
    return lambda value: _groups(value, steps, ROOT)


def _groups(value: Any, steps: Sequence[str], at: str) -> Iterator[tuple[str, list[Found]]]:
    while isinstance(value, RootModel):
        value = value.root
    if isinstance(value, list | tuple | set | frozenset):
        items = list(enumerate(_in_order(value)))
        inner = [found for index, item in items for found in _groups(item, steps, f"{at}[{index}]")]
        if inner:
            yield from inner
        else:
            yield at, [found for index, item in items for found in _walk(item, steps, f"{at}[{index}]", False, True)]
    elif steps and steps[0] == ENTRY:
        for key, item in value.items() if isinstance(value, dict) else ():
            yield from _groups(item, steps[1:], path_to(at, str(key)))
    elif steps and value is not None and type(value) not in _PLAIN:
        found = value.get(steps[0]) if isinstance(value, dict) else getattr(value, steps[0], None)
        yield from _groups(found, steps[1:], path_to(at, steps[0]))


def resolve(check: str, field: str, shape: Shape, *, tables: bool = False) -> list[Shape]:
    """The parts of a schema that a path names. Raises ConfigError when there are none.

    `tables`: the path is one of the table's columns, where a union is a struct of its own.
    """
    places, above = [shape], ""
    for step in field.split("."):
        below = [found for place in places for found in _steps(place, tables)]
        names: Mapping[str, None] = dict.fromkeys(name for name, _ in below)
        places = [inner for name, inner in below if name == step]
        if not places:
            raise ConfigError(
                f"the check {check} names a field {field!r} that the schema has not",
                hint=did_you_mean(step, names, above=above)
                if names
                else "a path goes on below objects and lists of them only",
            )
        above += f"{step}."
    return [leaf for place in places for leaf in _leaf_shapes(place)]


def _steps(shape: Shape, tables: bool) -> Iterator[tuple[str, Shape]]:
    """The names one level below, through lists and the branches of unions."""
    if shape.kind == "list" and shape.item:
        yield from _steps(shape.item, tables)
    elif shape.kind == "map" and shape.item:
        yield ENTRY, shape.item
    elif shape.kind == "union" and not tables:
        for branch in shape.branches:
            yield from _steps(branch.shape, tables)
    elif shape.kind == "tuple" and not tables:
        for item in shape.items:
            yield from _steps(item, tables)
    else:
        yield from ((item.name, item.shape) for item in (shape.columns if tables else shape.fields) if not item.cut)


def _leaf_shapes(shape: Shape) -> Iterator[Shape]:
    """What stands at the end of a path, once lists, dicts and unions are opened."""
    inner: Iterable[Shape] = ()
    if shape.kind in ("list", "map") and shape.item:
        inner = (shape.item,)
    elif shape.kind == "tuple":
        inner = shape.items
    elif shape.kind == "union":
        inner = (branch.shape for branch in shape.branches)
    else:
        yield shape
    for part in inner:
        yield from _leaf_shapes(part)
