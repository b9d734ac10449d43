"""A model instance as the cells of a table row, with an issue for each value that the column's type cannot hold.

The function for each shape is made once; a record then runs through functions alone.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import PurePath
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from extract.records import Issue, path_to
from extract.schema.forms import choice_of, extras_of, refuse_lost, value_of
from extract.schema.nodes import json_text
from extract.schema.numerals import counted
from extract.schema.quick import Cell, Trail, Unlike, quick
from extract.schema.ranges import misfit, plain_decimal
from extract.schema.shapes import ABSENT, TAG, Shape, column_value, extra_column

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "decimal": (Decimal,),
    "date": (dt.date,),
    "datetime": (dt.datetime,),
    "time": (dt.time,),
    "timedelta": (dt.timedelta,),
    "bytes": (bytes, bytearray),
    "list": (list, tuple, set, frozenset, deque),
    "tuple": (tuple, list),
    "map": (Mapping,),
}

Fits = Callable[[Shape, Any], bool]


@dataclass(slots=True)
class _Row:
    """What comes to light while a row is made."""

    issues: list[Issue] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)

    def refuse(self, trail: Trail, code: str, message: str, value: Any) -> None:
        shown = None if value is None else str(value)[:80]
        self.issues.append(Issue("model", code, _path(trail), message, shown))


class Tabulator:
    """Makes rows of one shape. `fits` says of a value whether it is of a branch of a union.

    Without `hurry` no value takes a short cut; the rows are the same.
    """

    def __init__(self, shape: Shape, fits: Fits, *, hurry: bool = True) -> None:
        self._shape, self._fits = shape, fits
        self._cell = _Cells(fits, hurry).of(shape)

    def __call__(self, instance: Any) -> tuple[dict[str, Any], list[Issue], list[str]]:
        """Field name → cell, the issues, and flags such as `naive_datetime`."""
        row = _Row()
        try:
            cells = self._cell(instance, (), row)
        except Unlike:
            return Tabulator(self._shape, self._fits, hurry=False)(instance)
        return cells or {}, row.issues, row.flags


def _path(trail: Trail) -> str:
    return path_to(_path(trail[0]), trail[1]) if trail else "$"


class _Cells:
    """Makes the function of each shape, once."""

    def __init__(self, fits: Fits, hurry: bool) -> None:
        self.fits = fits
        self._hurry = hurry
        self._made: dict[int, tuple[Shape, Cell]] = {}  # by the shape's id, which is its own while it is held

    def of(self, shape: Shape) -> Cell:
        """The function that makes the cell of a value of this shape."""
        if id(shape) not in self._made:
            make = _seeing_null(shape, _maker(shape, self))
            self._made[id(shape)] = shape, quick(shape, make, self.of) if self._hurry else make
        return self._made[id(shape)][1]


def _seeing_null(shape: Shape, make: Cell) -> Cell:
    """The same function, with null and RootModels seen to."""
    roots, nullable, takes_null = shape.roots, shape.nullable or shape.kind == "null", _holds_null(shape)

    def cell(value: Any, trail: Trail, row: _Row) -> Any:
        for _ in range(roots):
            value = None if value is None else value.root
        if value is None and (nullable or not takes_null):
            if not nullable:
                row.refuse(trail, "table.null", "null in a column that holds none", None)
            return None
        return make(value, trail, row)

    return cell


def _holds_null(shape: Shape) -> bool:
    """Whether null is a value like others: any JSON may be it."""
    return shape.kind == "json" or any(_holds_null(branch.shape) for branch in shape.branches)


def _maker(shape: Shape, cells: _Cells) -> Cell:
    if shape.kind in _MAKERS:
        return _MAKERS[shape.kind](shape, cells)
    if shape.kind in ("date", "datetime") and shape.core is None:
        return partial(_raw_time, shape)
    if shape.kind in _SPECIAL:
        return partial(_SPECIAL[shape.kind], shape)
    return _typed(shape, _PARTS[shape.kind](shape, cells) if shape.kind in _PARTS else partial(_scalar, shape))


def _typed(shape: Shape, make: Cell) -> Cell:
    """Refuses what is not of the kind; a model's own validators may return anything."""
    types, kind = _PYTHON_TYPES.get(shape.kind, ()), shape.kind
    is_raw_number = shape.core is None and kind in ("int", "float")

    def cell(value: Any, trail: Trail, row: _Row) -> Any:
        if is_raw_number and isinstance(value, Decimal):
            value = int(value) if kind == "int" else float(value)
        if not _is_of(types, kind, value):
            return _refuse_type(kind, value, trail, row)
        return make(value, trail, row)

    return cell


def _is_of(types: tuple[type, ...], kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return bool in types
    return isinstance(value, types) and (kind == "datetime" or not isinstance(value, dt.datetime))


def _refuse_type(kind: str, value: Any, trail: Trail, row: _Row) -> None:
    row.refuse(trail, "table.type", f"{type(value).__name__} in a column of {kind}", value)


def _object(shape: Shape, cells: _Cells) -> Cell:
    columns = [(item, item.name, item.wire, cells.of(item.shape)) for item in shape.columns]
    extra = cells.of(shape.extra) if shape.extra else None
    extra_name = extra_column(shape)
    names = [item.name for item in shape.columns]
    is_raw = shape.core is None and extra is None and shape.python is dict  # whose extras have no column

    def cell(value: Any, trail: Trail, row: _Row) -> Any:
        is_one = isinstance(value, Mapping) if shape.python is dict else all(hasattr(value, name) for name in names)
        if not is_one:
            return _refuse_type("object", value, trail, row)
        try:
            refuse_lost(shape, value)
        except ValueError as error:
            row.refuse(trail, "table.type", str(error), value)
            return None
        found = {}
        for item, name, wire, make in columns:
            held = value_of(shape, value, item)
            found[name] = None if held is ABSENT else make(held, (trail, wire), row)
        if is_raw:
            row.flags += [f"undeclared:{_path((trail, name))}" for name in extras_of(shape, value)]
        if extra:
            extras = extras_of(shape, value).items()
            found[extra_name] = [(name, extra(held, (trail, name), row)) for name, held in extras]
        return found

    return cell


def _union(shape: Shape, cells: _Cells) -> Cell:
    shapes = [replace(branch.shape, nullable=bool(branch.shape.roots)) for branch in shape.branches]  # of a root's null
    makers = [cells.of(inner) for inner in shapes]
    branches = [(branch.label, branch.shape, make) for branch, make in zip(shape.branches, makers, strict=True)]
    empty = {label: None for label, _, _ in branches}
    fits = cells.fits

    def cell(value: Any, trail: Trail, row: _Row) -> Any:
        for label, branch, make in branches:
            if fits(branch, value):
                return {TAG: label, **empty, label: make(value, trail, row)}
        row.refuse(trail, "table.type", f"{type(value).__name__} is no branch of the union", value)
        return None

    return cell


def _list(shape: Shape, cells: _Cells) -> Cell:
    assert shape.item is not None  # noqa: S101  # of a list
    make = cells.of(shape.item)

    def cell(value: Any, trail: Trail, row: _Row) -> Any:
        found = [make(item, (trail, number), row) for number, item in enumerate(value)]
        return sorted(found, key=_sort_text) if isinstance(value, set | frozenset) else found

    return cell


def _sort_text(cell: Any) -> str:
    """What orders the cells of a set alike in every process."""
    return json_text(_jsonable(cell))


def _tuple(shape: Shape, cells: _Cells) -> Cell:
    makers = [cells.of(part) for part in shape.items]

    def cell(value: Any, trail: Trail, row: _Row) -> Any:
        if len(value) != len(makers):
            return _refuse_type(counted(len(makers), "part"), value, trail, row)
        pairs = enumerate(zip(makers, value, strict=True))
        return {f"item_{number}": make(part, (trail, number), row) for number, (make, part) in pairs}

    return cell


def _map(shape: Shape, cells: _Cells) -> Cell:
    assert shape.key is not None and shape.item is not None  # noqa: S101, PT018  # of a map
    make_key, make = cells.of(shape.key), cells.of(shape.item)

    def cell(value: Any, trail: Trail, row: _Row) -> Any:
        places = [(key, item, (trail, str(key))) for key, item in value.items()]
        return [(make_key(key, place, row), make(item, place, row)) for key, item, place in places]

    return cell


def _enum(shape: Shape, value: Any, trail: Trail, row: _Row) -> Any:
    try:
        choice = choice_of(shape, value)
    except ValueError:
        return _refuse_type("enum", value, trail, row)
    return column_value(shape, choice)


def _text(shape: Shape, value: Any, trail: Trail, row: _Row) -> Any:
    try:
        text = str(value) if isinstance(value, PurePath) else _jsonable(value)  # Pydantic only writes a Path
    except PydanticSerializationError:
        text = None
    return text if isinstance(text, str) else _refuse_type(shape.kind, value, trail, row)


def _json(shape: Shape, value: Any, trail: Trail, row: _Row) -> Any:
    try:
        return json_text(_jsonable(value))
    except ValueError:  # not finite, or no JSON at all
        return _refuse_type(shape.kind, value, trail, row)


def _raw_time(shape: Shape, value: Any, trail: Trail, row: _Row) -> Any:
    """The text of a date or an instant in plain JSON, which the schema has judged."""
    kind = dt.date if shape.kind == "date" else dt.datetime
    try:
        found = kind.fromisoformat(value.upper())
    except (AttributeError, TypeError, ValueError):
        return _refuse_type(shape.kind, value, trail, row)
    return _scalar(shape, found, trail, row)


_MAKERS: Mapping[str, Callable[[Shape, _Cells], Cell]] = {"object": _object, "union": _union}
_PARTS: Mapping[str, Callable[[Shape, _Cells], Cell]] = {"list": _list, "tuple": _tuple, "map": _map}
_SPECIAL: Mapping[str, Callable[..., Any]] = {"enum": _enum, "text": _text, "json": _json}


def _jsonable(value: Any) -> Any:
    """Plain JSON of a value, Decimals kept."""
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return value if isinstance(value, Decimal | str) and type(value) in (Decimal, str) else to_jsonable_python(value)


def _scalar(shape: Shape, value: Any, trail: Trail, row: _Row) -> Any:
    if found := misfit(shape, value):
        return row.refuse(trail, *found, value)
    if isinstance(value, dt.datetime):
        return _instant(shape, value, trail, row)
    return plain_decimal(shape, value) if isinstance(value, Decimal) else value


def _instant(shape: Shape, value: dt.datetime, trail: Trail, row: _Row) -> dt.datetime:
    """In UTC; a value without zone is taken as UTC and the row is flagged."""
    if shape.naive:
        return value
    if value.tzinfo is None:
        row.flags.append(f"naive_datetime:{_path(trail)}")
        return value.replace(tzinfo=dt.UTC)
    return value.astimezone(dt.UTC)
