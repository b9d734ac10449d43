"""Shapes as Arrow types: the columns of a table."""

from __future__ import annotations

import pyarrow as pa

from extract.schema.shapes import Shape

_SIMPLE: dict[str, pa.DataType] = {
    "str": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "time": pa.time64("us"),
}
_ENUMS: dict[type, pa.DataType] = {str: pa.dictionary(pa.int32(), pa.string()), int: pa.int64(), bool: pa.bool_()}


def arrow_schema(shape: Shape) -> pa.Schema:
    """One Arrow field per model field: nullable as in the model, the description as metadata."""
    return pa.schema([_field(name, child) for name, _, child in shape.fields])


def arrow_type(shape: Shape) -> pa.DataType:
    """Decimal(p,s), date32, time64, timestamp in UTC (or without zone for a NaiveDatetime), dictionary for enums."""
    if shape.kind == "list" and shape.item:
        return pa.list_(pa.field("item", arrow_type(shape.item), nullable=shape.item.nullable))
    if shape.kind == "object":
        return pa.struct([_field(name, child) for name, _, child in shape.fields])
    if shape.kind == "enum":
        return _ENUMS[type(shape.values[0])]
    if shape.kind == "datetime":
        return pa.timestamp("us") if shape.naive else pa.timestamp("us", tz="UTC")
    if shape.digits:
        precision, scale = shape.digits
        return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    return _SIMPLE[shape.kind]


def _field(name: str, shape: Shape) -> pa.Field:
    metadata = {"description": shape.description} if shape.description else None
    return pa.field(name, arrow_type(shape), nullable=shape.nullable, metadata=metadata)
