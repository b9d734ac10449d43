"""The plain case of each kind of cell at once: nearly every value is one.

What is made here is what `cells` makes of the same value; a value of another type, a number near a limit, an object
that holds more is left to it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any

from extract.schema.forms import choice_of
from extract.schema.ranges import INT64, digits_of
from extract.schema.shapes import ABSENT, Shape, column_value

Trail = tuple[Any, ...]  # (trail above, step), written out only when there is something to say
Cell = Callable[[Any, Trail, Any], Any]
CellOf = Callable[[Shape], Cell]  # a part's own

_ITSELF: Mapping[str, type] = {"str": str, "bool": bool, "date": dt.date}
_USUAL_PLACES = (2, 0, 1, 3)  # after the point


class Unlike(Exception):  # noqa: N818  # it says what to do
    """An object has not all of its fields: the row is to be made without hurry."""


def at_once(shape: Shape) -> frozenset[type]:
    """The types whose values are their own cells, null among them where it may be one."""
    exact = _ITSELF.get(shape.kind)
    if shape.roots or exact is None or shape.core is None:
        return frozenset()
    return frozenset({exact, type(None)} if shape.nullable else {exact})


def quick(shape: Shape, make: Cell, cell_of: CellOf) -> Cell:
    """The function of a shape: the plain case here, the others by `make`."""
    if shape.roots:
        return make
    if types := at_once(shape):
        return _itself(types, make)
    build = _KINDS.get(shape.kind)
    return build(shape, make, cell_of) if build else make


def _itself(types: frozenset[type], make: Cell) -> Cell:
    def cell(value: Any, trail: Trail, row: Any) -> Any:
        return value if type(value) in types else make(value, trail, row)

    return cell


def _int(_: Shape, make: Cell, __: CellOf) -> Cell:
    least, end = -INT64, INT64

    def cell(value: Any, trail: Trail, row: Any) -> Any:
        return value if type(value) is int and least <= value < end else make(value, trail, row)

    return cell


def _float(_: Shape, make: Cell, __: CellOf) -> Cell:
    def cell(value: Any, trail: Trail, row: Any) -> Any:
        return value if type(value) is float and isfinite(value) else make(value, trail, row)

    return cell


def _decimal(shape: Shape, make: Cell, _: CellOf) -> Cell:
    """A number with the column's digits as it stands; asking for its exponent takes longer than comparing it."""
    precision, scale = digits_of(shape)
    whole = precision - scale
    usual = [Decimal((0, (1,), -places)).same_quantum for places in _USUAL_PLACES if places <= scale]

    def cell(value: Any, trail: Trail, row: Any) -> Any:
        if type(value) is Decimal and value.adjusted() < whole:
            for is_alike in usual:
                if is_alike(value):
                    return value
            exponent = value.as_tuple().exponent
            if isinstance(exponent, int) and -scale <= exponent <= 0:
                return value
        return make(value, trail, row)

    return cell


def _datetime(shape: Shape, make: Cell, _: CellOf) -> Cell:
    """With a zone where the column has one, without where it has none."""
    naive, utc = shape.naive, dt.UTC
    if shape.core is None:
        return make

    def cell(value: Any, trail: Trail, row: Any) -> Any:
        if type(value) is not dt.datetime or (value.tzinfo is None) is not naive:
            return make(value, trail, row)
        try:
            return value if naive else value.astimezone(utc)
        except OverflowError:
            return make(value, trail, row)

    return cell


def _enum(shape: Shape, make: Cell, _: CellOf) -> Cell:
    """Texts by their value, members by themselves: looked up, since a closed list may be long."""
    values = [choice.python for choice in shape.choices]
    shown = {id(value): column_value(shape, choice_of(shape, value)) for value in values if isinstance(value, Enum)}
    texts = {value: column_value(shape, choice_of(shape, value)) for value in values if type(value) is str}

    def cell(value: Any, trail: Trail, row: Any) -> Any:
        found = texts.get(value, ABSENT) if type(value) is str else shown.get(id(value), ABSENT)
        return make(value, trail, row) if found is ABSENT else found

    return cell


def _list(shape: Shape, make: Cell, cell_of: CellOf) -> Cell:
    assert shape.item is not None  # noqa: S101  # of a list
    types, of_item = at_once(shape.item), cell_of(shape.item)

    def cell(value: Any, trail: Trail, row: Any) -> Any:
        if type(value) is not list:
            return make(value, trail, row)
        return [
            item if type(item) in types else of_item(item, (trail, number), row) for number, item in enumerate(value)
        ]

    return cell


def _object(shape: Shape, make: Cell, cell_of: CellOf) -> Cell:
    """All that a table shows of the object stands in its `__dict__`, or in itself where it is a dict."""
    columns = shape.columns
    own = shape.python is not dict
    closed = own or len(columns) == len(shape.fields)  # a dict tells what it holds beside its fields
    if not columns or shape.extra or not closed or any(item.cut or item.computed for item in shape.fields):
        return make
    cls, count = shape.python, len(columns)
    keys = [item.name if own or shape.core is not None else item.wire for item in columns]
    parts = [
        (key, item.name, item.wire, at_once(item.shape), cell_of(item.shape))
        for key, item in zip(keys, columns, strict=True)
    ]

    def cell(value: Any, trail: Trail, row: Any) -> Any:
        held: Any = (getattr(value, "__dict__", None) if own else value) if type(value) is cls else None
        if held is None or (not own and len(held) != count):
            return make(value, trail, row)
        found = {}
        for key, name, wire, types, of_item in parts:
            item = held.get(key, ABSENT)
            if type(item) in types:
                found[name] = item
            elif item is ABSENT:
                raise Unlike
            else:
                found[name] = of_item(item, (trail, wire), row)
        return found

    return cell


_KINDS: Mapping[str, Callable[[Shape, Cell, CellOf], Cell]] = {
    "int": _int,
    "float": _float,
    "decimal": _decimal,
    "datetime": _datetime,
    "enum": _enum,
    "list": _list,
    "object": _object,
}
