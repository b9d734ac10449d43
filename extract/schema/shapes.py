"""A Pydantic model read once into a small tree, from which the Arrow types and the source bindings follow.

What has no shape here is refused with the field's name: never a silent string.
"""

from __future__ import annotations

import datetime as dt
import types
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel, NaiveDatetime, RootModel
from pydantic.fields import FieldInfo

from extract.errors import SchemaError
from extract.verbatim import Target, Verbatim

Scalar = Literal["str", "int", "float", "bool", "decimal", "date", "datetime", "time", "enum"]

_SCALARS: dict[type, Scalar] = {
    str: "str",
    bool: "bool",
    int: "int",
    float: "float",
    Decimal: "decimal",
    dt.datetime: "datetime",
    dt.date: "date",
    dt.time: "time",
}
_BOUND: dict[str, Target] = {"str": "str", "int": "int", "float": "float", "decimal": "decimal", "date": "date"}
_NOT_YET = (
    "this type has no place in a table yet; use str, int, float, bool, Decimal, date, datetime, time, Enum, Literal, "
    "Optional, list or a nested model"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """One type of the model. `kind` is a scalar, "list" or "object"."""

    kind: Scalar | Literal["list", "object"]
    nullable: bool = False
    item: Shape | None = None  # of a list
    fields: tuple[tuple[str, str, Shape], ...] = ()  # of an object: field name, name on the wire, shape
    values: tuple[Any, ...] = ()  # of an enum: the JSON values
    digits: tuple[int, int] | None = None  # of a Decimal: precision, scale
    naive: bool = False  # of a datetime: without zone
    verbatim: Verbatim | None = None
    description: str | None = None

    @property
    def target(self) -> Target:
        """What a chosen span is read as; only for what `Verbatim` can bind."""
        return _BOUND[self.kind]


def shape_of_model(model: type[BaseModel], path: str = "", seen: tuple[type, ...] = ()) -> Shape:
    """The shape of a model; raises SchemaError that names the field."""
    if model in seen:
        cycle = " -> ".join(kind.__name__ for kind in (*seen[seen.index(model) :], model))
        raise SchemaError(f"recursive model: {cycle}", path=path or model.__name__, hint="a table has a fixed depth")
    if issubclass(model, RootModel):
        raise SchemaError("a RootModel is no object with named fields", path=path or model.__name__, hint=_NOT_YET)
    model.model_rebuild(raise_errors=False)  # for names that were not yet defined with the model
    found = [
        (name, _wire_name(name, info, _at(path, name)), _shape_of_field(info, _at(path, name), (*seen, model)))
        for name, info in model.model_fields.items()
    ]
    _check_names(model, found, path)
    # an excluded field is asked for and judged, but has no column
    fields = tuple(field for field in found if not model.model_fields[field[0]].exclude)
    if not fields:
        raise SchemaError("the model has no fields", path=path or model.__name__)
    return Shape("object", fields=fields)


def _check_names(model: type[BaseModel], fields: list[tuple[str, str, Shape]], path: str) -> None:
    taken: dict[str, str] = {}
    for name, wire, shape in fields:
        if wire in taken:
            raise SchemaError(f"has the alias {wire!r} of the field {taken[wire]!r}", path=_at(path, name))
        if model.model_fields[name].exclude and bindings(shape):
            raise SchemaError("Verbatim on an excluded field", path=_at(path, name), hint="give the field a column")
        taken[wire] = name


def bindings(shape: Shape, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Shape]]:
    """Every verbatim scalar below a shape with its path on the wire; "*" stands for the items of a list."""
    if shape.verbatim:
        return [(path, shape)]
    if shape.kind == "list" and shape.item:
        return bindings(shape.item, (*path, "*"))
    return [found for _, wire, child in shape.fields for found in bindings(child, (*path, wire))]


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _wire_name(name: str, info: FieldInfo, path: str) -> str:
    alias = info.validation_alias or info.alias or name
    if not isinstance(alias, str):
        raise SchemaError("an alias with choices or paths is not supported yet", path=path, hint="use a plain alias")
    return alias


def _shape_of_field(info: FieldInfo, path: str, seen: tuple[type, ...]) -> Shape:
    shape = _shape(info.annotation, list(info.metadata), path, seen)
    return _with(shape, description=info.description)


def _shape(annotation: Any, metadata: list[Any], path: str, seen: tuple[type, ...]) -> Shape:
    if annotation in (AwareDatetime, NaiveDatetime) and not any(isinstance(item, Verbatim) for item in metadata):
        return Shape("datetime", naive=annotation is NaiveDatetime)
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        flat = [part for item in more for part in (item.metadata if isinstance(item, FieldInfo) else [item])]
        described = [item.description for item in more if isinstance(item, FieldInfo) and item.description]
        shape = _shape(inner, [*metadata, *flat], path, seen)
        return _with(shape, description=described[-1] if described else None)
    if origin in (Union, types.UnionType):
        return _union(annotation, metadata, path, seen)
    if origin is Literal:
        return _enum(get_args(annotation), metadata, path)
    if origin is list:
        return _list(annotation, metadata, path, seen)
    if isinstance(annotation, type):
        return _plain(annotation, metadata, path, seen)
    raise SchemaError(f"type {_name(annotation)}", path=path, hint=_NOT_YET)


def _plain(annotation: type, metadata: list[Any], path: str, seen: tuple[type, ...]) -> Shape:
    mark = next((item for item in metadata if isinstance(item, Verbatim)), None)
    if issubclass(annotation, Enum):
        return _enum(tuple(member.value for member in annotation), metadata, path)
    if mark and _SCALARS.get(annotation) not in _BOUND:
        raise SchemaError(
            f"Verbatim on {_name(annotation)}", path=path, hint="Verbatim binds str, int, float, Decimal and date"
        )
    if issubclass(annotation, BaseModel):
        return shape_of_model(annotation, path, seen)
    if annotation not in _SCALARS:
        raise SchemaError(f"type {_name(annotation)}", path=path, hint=_NOT_YET)
    kind = _SCALARS[annotation]
    return Shape(kind, verbatim=mark, digits=_digits(metadata, path) if kind == "decimal" else None)


def _list(annotation: Any, metadata: list[Any], path: str, seen: tuple[type, ...]) -> Shape:
    if any(isinstance(item, Verbatim) for item in metadata):
        raise SchemaError(
            "Verbatim on a list", path=path, hint="mark its items: list[Annotated[str, Verbatim('line')]]"
        )
    item = _shape(get_args(annotation)[0], [], f"{path}[]", seen)
    return Shape("list", item=item)


def _union(annotation: Any, metadata: list[Any], path: str, seen: tuple[type, ...]) -> Shape:
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if len(parts) != 1 or len(parts) == len(get_args(annotation)):
        raise SchemaError(f"union {_name(annotation)}", path=path, hint="only Optional is supported yet")
    return _with(_shape(parts[0], metadata, path, seen), nullable=True)


def _enum(values: tuple[Any, ...], metadata: list[Any], path: str) -> Shape:
    nullable = None in values
    kept = tuple(value.value if isinstance(value, Enum) else value for value in values if value is not None)
    if any(isinstance(item, Verbatim) for item in metadata):
        raise SchemaError("Verbatim on an enum", path=path, hint="an enum is a closed list already")
    kinds = {type(value) for value in kept}
    if len(kinds) != 1 or not kinds <= {str, int, bool}:
        raise SchemaError("an enum whose values are not all str or all int", path=path, hint="give the values one type")
    return Shape("enum", values=kept, nullable=nullable)


def _digits(metadata: list[Any], path: str) -> tuple[int, int]:
    """Precision and scale that hold whatever `max_digits` and `decimal_places` admit.

    Without both 38 digits, 9 of them decimals; with `max_digits` alone that many before the point and up to 9 after.
    """
    limits = {
        name: getattr(item, name)
        for item in metadata
        for name in ("max_digits", "decimal_places")
        if getattr(item, name, None) is not None
    }
    digits = limits.get("max_digits")
    scale = limits.get("decimal_places", 9 if digits is None else min(9, digits))
    precision = 38 if digits is None else digits + (scale if "decimal_places" not in limits else 0)
    if not 1 <= precision <= 76 or not 0 <= scale <= precision:
        raise SchemaError(f"a Decimal of {precision} digits, {scale} decimals", path=path, hint="at most 76 digits")
    return precision, scale


def _with(shape: Shape, *, nullable: bool | None = None, description: str | None = None) -> Shape:
    return replace(
        shape,
        nullable=shape.nullable if nullable is None else nullable,
        description=description or shape.description,
    )


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
