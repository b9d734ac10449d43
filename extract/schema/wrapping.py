"""What is no object is asked for in a field `value` of one; and what a type is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, create_model

from extract.schema.nodes import without
from extract.schema.shapes import JsonSchema

WRAPPED = "value"  # the field of what is no object


def is_compilable(model: Any) -> bool:
    """Whether it is of a kind that `compile_schema` takes: a type, or a JSON Schema as a dict."""
    named = hasattr(model, "__supertype__") or hasattr(model, "__value__")  # NewType, and `type X = …`
    return isinstance(model, type | Mapping) or get_origin(model) is not None or named


def name_of(model: Any) -> str:
    """What a type is called; `answer` for what has no name."""
    if isinstance(model, Mapping):
        return str(model.get("title") or "answer")
    if isinstance(model, type):
        return model.__name__.partition("[")[0]
    inner = [item for item in get_args(model) if isinstance(item, type) and item.__module__ != "builtins"]
    return inner[0].__name__ if inner else "answer"


def wrapped_type(model: Any) -> type[BaseModel]:
    """A model with the type as its only field."""
    return create_model(name_of(model), value=(model, ...))


def wrapped_schema(schema: JsonSchema) -> JsonSchema:
    """The schema of an object with the field. An id of its own keeps the references inside it right."""
    shared: JsonSchema = {}
    if "$ref" in schema:  # beside which earlier drafts know no id
        shared = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    address = "id" if "draft-04" in str(schema.get("$schema")) else "$id"
    inner = {address: "urn:extract:value", **without(schema, "$schema")}
    fields: JsonSchema = {"properties": {WRAPPED: inner}, "required": [WRAPPED], "additionalProperties": False}
    found: JsonSchema = {"type": "object", **fields, **shared}
    return {"$schema": schema["$schema"], **found} if "$schema" in schema else found
