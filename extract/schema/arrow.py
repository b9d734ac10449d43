"""Shapes as Arrow types: the columns of a table."""

from __future__ import annotations

import pyarrow as pa

from extract.schema.shapes import TAG, Field, Shape, extra_column, in_dictionary

_SIMPLE: dict[str, pa.DataType] = {
    "str": pa.string(),
    "text": pa.string(),
    "json": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timedelta": pa.duration("us"),
    "bytes": pa.binary(),
    "null": pa.null(),
}


def arrow_schema(shape: Shape) -> pa.Schema:
    """One Arrow field per model field: nullable as in the model, the description as metadata."""
    return pa.schema(_fields(shape))


def arrow_type(shape: Shape) -> pa.DataType:
    """Decimal(p,s), date32, time64, duration, binary, timestamp in UTC (without zone for a NaiveDatetime), dictionary
    for enums of text, int64 and double for those of numbers, struct, list, map.

    A tuple is a struct `item_0` …, a union a struct of `tag` and one nullable field for each branch.
    """
    if shape.kind == "list" and shape.item:
        return pa.list_(pa.field("item", arrow_type(shape.item), nullable=_takes_null(shape.item)))
    if shape.kind == "map" and shape.item and shape.key:
        value = pa.field("value", arrow_type(shape.item), nullable=_takes_null(shape.item))
        return pa.map_(_key_type(shape.key), value)
    if shape.kind == "object":
        return pa.struct(_fields(shape))
    if shape.kind == "tuple":
        return pa.struct([_field(f"item_{number}", part) for number, part in enumerate(shape.items)])
    if shape.kind == "union":
        parts = [pa.field(branch.label, arrow_type(branch.shape)) for branch in shape.branches]
        return pa.struct([pa.field(TAG, pa.dictionary(pa.int32(), pa.string()), nullable=False), *parts])
    return _scalar_type(shape)


def _scalar_type(shape: Shape) -> pa.DataType:
    if shape.kind == "enum":
        return _enum_type(shape)
    if shape.kind == "datetime":
        return pa.timestamp("us") if shape.naive else pa.timestamp("us", tz="UTC")
    if shape.digits:
        precision, scale = shape.digits
        return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    return _SIMPLE[shape.kind]


def _enum_type(shape: Shape) -> pa.DataType:
    if in_dictionary(shape):
        return pa.dictionary(pa.int32(), pa.string())
    kinds = {type(choice.json) for choice in shape.choices}
    return pa.bool_() if kinds == {bool} else pa.int64() if kinds == {int} else pa.float64()


def _key_type(shape: Shape) -> pa.DataType:
    kind = arrow_type(shape)
    return pa.string() if pa.types.is_dictionary(kind) else kind  # a map of dictionary keys cannot be read back


def _fields(shape: Shape) -> list[pa.Field]:
    found = [_column(shape, item) for item in shape.columns]
    if shape.extra:
        value = pa.field("value", arrow_type(shape.extra), nullable=_takes_null(shape.extra))
        found.append(pa.field(extra_column(shape), pa.map_(pa.string(), value), nullable=False))
    return found


def _column(shape: Shape, item: Field) -> pa.Field:
    """Null stands also for what a dict has not: NotRequired, a property that a schema does not require."""
    field = _field(item.name, item.shape)
    return field.with_nullable(True) if shape.python is dict and not item.required else field


def _field(name: str, shape: Shape) -> pa.Field:
    metadata = {"description": shape.description} if shape.description else None
    return pa.field(name, arrow_type(shape), nullable=_takes_null(shape), metadata=metadata)


def _takes_null(shape: Shape) -> bool:
    return shape.nullable or shape.kind == "null"
