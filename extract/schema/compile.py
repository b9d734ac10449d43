"""A Pydantic model compiled once: the schema that goes on the wire, the full one that judges, and what lies between.

The wire schema follows the strict subset of the OpenAI contract: every object closed, every field required, in the
order of the model; an optional field may be null. What the profile cannot carry is listed in `losses` and is
enforced locally all the same, since the full schema and the model judge every answer.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from extract.errors import SchemaError
from extract.fingerprint import source_of, source_of_model, without_addresses
from extract.records import path_to
from extract.schema.profiles import FORMATS, KEYWORDS, Profile
from extract.schema.shapes import Shape, bindings, shape_of_model

if TYPE_CHECKING:
    import pyarrow as pa

JsonSchema = dict[str, Any]
Form = Literal["A", "B", "C"]

_ANNOTATIONS = frozenset({"title", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"})


@dataclass(frozen=True, slots=True)
class Loss:
    """A constraint that the profile cannot carry: where, which keyword, and what happens instead."""

    path: str
    keyword: str
    action: str  # "checked locally" or "rewritten …"
    value: Any = None

    def __str__(self) -> str:
        return f"{self.path}: {self.keyword} {json.dumps(self.value, default=str)} is {self.action}"


@dataclass(frozen=True)
class CompiledSchema:
    """A model as the endpoint, the judge and the table need it."""

    model: type[BaseModel]
    profile: Profile
    json_schema: JsonSchema  # full, Draft 2020-12, `$defs` inlined; judges every answer
    wire_schema: JsonSchema  # what the profile carries
    losses: tuple[Loss, ...]
    shape: Shape

    @property
    def name(self) -> str:
        """The schema's name on the wire: letters, digits, "_" and "-", at most 64."""
        return re.sub(r"[^A-Za-z0-9_-]", "_", self.model.__name__)[:64]

    @property
    def response_format(self) -> JsonSchema:
        """Form C, the one that gateways pass on to the model as a schema."""
        return self.response_format_as("C")

    def response_format_as(self, form: Form, wire_schema: JsonSchema | None = None) -> JsonSchema:
        """`response_format` in one of its written forms, of this schema or of a record's own `wire_schema`.

        A: {"type": "json_schema", "properties": …}; B: the bare schema, {"type": "object", …};
        C: {"type": "json_schema", "json_schema": {"name", "strict", "schema"}}.
        """
        schema = self.wire_schema if wire_schema is None else wire_schema
        if form == "A":
            return {"type": "json_schema"} | {key: value for key, value in schema.items() if key != "type"}
        if form == "B":
            return schema
        return {"type": "json_schema", "json_schema": {"name": self.name, "strict": True, "schema": schema}}

    @cached_property
    def bindings(self) -> tuple[tuple[tuple[str, ...], Shape], ...]:
        """Fields marked `Verbatim`: path on the wire ("*" for list items) and shape."""
        return tuple(bindings(self.shape))

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The columns of the table, field by field, with descriptions as metadata."""
        from extract.schema.arrow import arrow_schema  # pyarrow is heavy and not needed to compile

        return arrow_schema(self.shape)

    @cached_property
    def fingerprint(self) -> str:
        """Changes when the schema, a default or a validator of the model changes."""
        digest = hashlib.blake2b(json.dumps([self.json_schema, self.wire_schema]).encode(), digest_size=16)
        digest.update(source_of_model(self.model).encode())
        digest.update(without_addresses(repr(self.bindings)).encode())
        for _, shape in self.bindings:
            if shape.verbatim and callable(shape.verbatim.kind):
                digest.update(source_of(shape.verbatim.kind).encode())
        return digest.hexdigest()


def compile_schema(model: type[BaseModel], profile: Profile = "gemini") -> CompiledSchema:
    """Compile a Pydantic v2 model for an endpoint profile.

    Raises SchemaError that names the field when a type cannot be expressed.
    """
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise SchemaError(f"a Pydantic model class is needed, got {model!r}")
    if profile not in KEYWORDS:
        raise SchemaError(f"unknown profile {profile!r}", hint=f"one of {', '.join(KEYWORDS)}")
    shape = shape_of_model(model)
    full = _full_schema(model)
    losses: list[Loss] = []
    wire = _wire(full, profile, "$", losses)
    for path, bound in bindings(shape):
        losses += _bound_to_source(wire, path, bound)
    return CompiledSchema(model, profile, full, wire, (*losses, *_local_only(shape)), shape)


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, with a Decimal as a number (it is read from the answer's own digits, never by a float)."""

    def decimal_schema(self, schema: Any) -> JsonSchema:
        result: JsonSchema = {"type": "number"}
        self.update_with_validations(result, schema, self.ValidationsMapping.numeric)
        return result


def _full_schema(model: type[BaseModel]) -> JsonSchema:
    try:
        raw = model.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
    except (PydanticInvalidForJsonSchema, PydanticUserError) as error:
        raise SchemaError(str(error).splitlines()[0], path=model.__name__) from error
    return _closed(_inlined(raw, raw.get("$defs", {})))


def _inlined(node: JsonSchema, definitions: Mapping[str, JsonSchema]) -> JsonSchema:
    """The schema with every `$ref` replaced by what it names (words beside it win), and nullable parts made simple."""
    while "$ref" in node:
        target = definitions[node["$ref"].removeprefix("#/$defs/")]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    found: JsonSchema = {}
    for key, value in node.items():
        if key == "properties":  # whose keys are names of fields, such as "anyOf", not keywords
            found[key] = {name: _inlined(child, definitions) for name, child in value.items()}
        elif key == "items":
            found[key] = _inlined(value, definitions)
        elif key == "anyOf":
            found[key] = [_inlined(part, definitions) for part in value]
        elif key != "$defs":
            found[key] = value
    return _nullable(found)


def _closed(node: JsonSchema) -> JsonSchema:
    """Objects take no other properties unless the model says so; what an endpoint adds is then named, not dropped."""
    if "properties" in node:
        node.setdefault("additionalProperties", False)
        for child in node.get("properties", {}).values():
            _closed(child)
    for child in [node.get("items"), *node.get("anyOf", [])]:
        if isinstance(child, dict):
            _closed(child)
    return node


def _wire(node: JsonSchema, profile: Profile, path: str, losses: list[Loss]) -> JsonSchema:
    """One node as the profile carries it."""
    kept: JsonSchema = {}
    for key, value in _as_enum(node).items():
        if key in _ANNOTATIONS:
            continue
        if not _carries(profile, key, value):
            losses.append(Loss(path, key, "checked locally", value))
        elif key == "properties":
            kept[key] = {name: _wire(child, profile, path_to(path, name), losses) for name, child in value.items()}
        elif key == "items":
            kept[key] = _wire(value, profile, f"{path}[*]", losses)
        else:
            kept[key] = value
    if "properties" in kept:
        kept["required"] = list(kept["properties"])
        if kept["additionalProperties"] is not False:
            losses.append(Loss(path, "additionalProperties", "rewritten to false", kept["additionalProperties"]))
            kept["additionalProperties"] = False
    return kept


def _carries(profile: Profile, keyword: str, value: Any) -> bool:
    keywords, formats = KEYWORDS[profile], FORMATS[profile]
    if keyword == "format" and formats is not None:
        return value in formats
    return keywords is None or keyword in keywords


def _nullable(node: JsonSchema) -> JsonSchema:
    """`anyOf: [X, null]` as X with a type array, the form that every gateway takes."""
    parts = node.get("anyOf", [])
    others = [part for part in parts if part != {"type": "null"}]
    if len(others) != 1 or len(parts) == 1:  # no union, or one that a user's own JSON Schema brought
        return node
    inner = _as_enum(others[0])
    if isinstance(inner.get("type"), str):
        inner["type"] = [inner["type"], "null"]
    if "enum" in inner and None not in inner["enum"]:
        inner["enum"] = [*inner["enum"], None]
    return inner | {key: value for key, value in node.items() if key != "anyOf"}


def _as_enum(node: JsonSchema) -> JsonSchema:
    """A closed list in one form: `enum` with its type, never `const`."""
    if "const" in node:
        node = {**{key: value for key, value in node.items() if key != "const"}, "enum": [node["const"]]}
    return {"type": _type_of(node["enum"]), **node} if "enum" in node and "type" not in node else dict(node)


def _type_of(values: list[Any]) -> str | list[str]:
    names = {str: "string", bool: "boolean", int: "integer", type(None): "null"}
    kinds = list(dict.fromkeys(names[type(value)] for value in values))
    return kinds[0] if len(kinds) == 1 else kinds


def _bound_to_source(wire: JsonSchema, path: tuple[str, ...], shape: Shape) -> list[Loss]:
    """A bound field is chosen among printed spans, so it is a string on the wire, whatever its type in the table."""
    if shape.kind == "str":
        return []
    node = node_at(wire, path)
    place = "$"
    for step in path:
        place = f"{place}[*]" if step == "*" else path_to(place, step)
    dropped = [Loss(place, key, "checked locally", node[key]) for key in node if key not in ("type", "description")]
    rewritten = Loss(place, "type", "rewritten to a span of the record", node["type"])
    described = {"description": node["description"]} if "description" in node else {}
    node.clear()
    node.update({"type": ["string", "null"] if shape.nullable else "string", **described})
    return [rewritten, *dropped]


def node_at(schema: JsonSchema, path: tuple[str, ...]) -> JsonSchema:
    """The node of a schema at a path of property names; "*" steps into the items of a list."""
    for step in path:
        schema = schema["items"] if step == "*" else schema["properties"][step]
    return schema


def places(node: Any, path: Sequence[str], place: str = "$") -> Iterator[tuple[Any, Any, str]]:
    """(holder, key, JSON path) of every value at a wire path that the answer has."""
    step, rest = path[0], path[1:]
    if step == "*":
        keys: list[Any] = list(range(len(node))) if isinstance(node, list) else []
    else:
        keys = [step] if isinstance(node, Mapping) and step in node else []
    for key in keys:
        if rest:
            yield from places(node[key], rest, path_to(place, key))
        else:
            yield node, key, path_to(place, key)


def _local_only(shape: Shape, path: str = "$") -> list[Loss]:
    """What no JSON Schema keyword says: digits of a Decimal."""
    if shape.kind == "decimal":
        return [Loss(path, "decimal digits", "checked locally", list(shape.digits or ()))]
    if shape.kind == "list" and shape.item:
        return _local_only(shape.item, f"{path}[*]")
    return [loss for _, wire, child in shape.fields for loss in _local_only(child, path_to(path, wire))]
