"""A Python type read once into a `Shape` tree.

Pydantic writes the JSON Schema; each node is marked with the core schemas that it was made from, so that one walk
sees both what a value is in JSON and what it is in Python. What has no shape is refused with the field's path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import PydanticSerializationError

from extract.errors import SchemaError
from extract.patterns import PatternError, matcher, pattern_error, portable
from extract.records import path_to
from extract.schema.core import (
    Cores,
    TypeReading,
    computed_of,
    container_of,
    evidence_of,
    is_json_value,
    is_switched,
    json_names,
    members_of,
    object_of,
    scalar_of,
    verbatim_of,
)
from extract.schema.leaves import bound, enum_shape, names_of, scalar_shape
from extract.schema.marks import INVALID, MARK, marked_schema, own
from extract.schema.nodes import nullable, without
from extract.schema.shapes import ABSENT, Field, JsonSchema, Kind, Shape, any_bound, json_types
from extract.schema.unions import spliced, union_of

MAX_NODES = 20_000  # of one schema, all references followed

_BY_JSON: dict[str, Kind] = {"string": "text", "integer": "int", "number": "float", "boolean": "bool", "null": "null"}
_KEYS = frozenset({"int", "str", "text", "enum", "date", "datetime", "time", "decimal", "float", "bool"})  # of a dict
_NO_PLACE = (
    "this type has no place in a table; use str, int, float, bool, Decimal, date, datetime, time, timedelta, UUID, "
    "bytes, Enum, Literal, Optional, a union, list, set, tuple, dict, JsonValue or a nested model"
)
_UNREADABLE = (PydanticUserError, PydanticUndefinedAnnotation, PydanticSerializationError, UnicodeDecodeError)
_ANY = "say what it is; JsonValue takes any JSON and keeps it as text, dict[str, T] a map"


class _Cut(Exception):  # noqa: N818  # it says what to do
    """The depth is reached to which a recursive type is unrolled."""


def read_type(model: Any, unroll: int = 0) -> TypeReading:
    """Read a Pydantic model, dataclass, TypedDict or any other type. Raises SchemaError that names the field."""
    name = getattr(model, "__name__", str(model))
    try:
        if isinstance(model, type) and issubclass(model, BaseModel):
            model.model_rebuild()  # for names that were not yet defined with the model
        adapter: TypeAdapter[Any] = TypeAdapter(model)
        node, cores = marked_schema(adapter)
    except _UNREADABLE as error:  # the latter of enum values
        raise SchemaError(str(error).splitlines()[0], path=name, hint=_NO_PLACE) from error
    reader = _Reader(node.get("$defs", {}), cores, unroll, name)
    try:
        shape = reader.read(node, "$", ())
    except _Cut as cut:
        raise SchemaError(f"the cycle has no end: {cut}", path=name, hint="make one of its fields optional") from None
    return TypeReading(shape, adapter, tuple(reader.cuts))


@dataclass
class _Reader:
    definitions: Mapping[str, JsonSchema]
    cores: list[Any]
    unroll: int
    name: str
    cuts: list[str] = field(default_factory=list)
    nodes: int = 0

    def read(self, node: JsonSchema, path: str, above: tuple[str, ...]) -> Shape:
        """The shape of one node; `above` holds the names of the definitions around it."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise SchemaError(
                f"more than {MAX_NODES:,} parts, all references followed", path=path, hint="make the model smaller"
            )
        node, above = self._resolved(node, above)
        if INVALID in node:
            raise SchemaError(f"type {node[INVALID]}", path=path, hint=_NO_PLACE)
        _refuse_pattern(node.get("pattern"), path)
        cores = [self.cores[number] for number in node.get(MARK, ())]
        mark = next((found for core in cores if (found := verbatim_of(core))), None)
        shape = self._shape(node, cores, path, above)
        shape = replace(shape, description=node.get("description") or shape.description)
        root = next((core["cls"] for core in reversed(cores) if core.get("root_model")), shape.root)
        evidence = next((asked for core in cores if (asked := evidence_of(core))), shape.evidence)
        shape = replace(shape, core=cores[-1] if cores else None, root=root, evidence=evidence)
        return bound(shape, mark, path) if mark else shape

    def _resolved(self, node: JsonSchema, above: tuple[str, ...]) -> tuple[JsonSchema, tuple[str, ...]]:
        while "$ref" in node:
            name = node["$ref"].removeprefix("#/$defs/")
            if name in above:
                cycle = " -> ".join((*above[above.index(name) :], name))
                if self.unroll == 0:
                    hint = "a table has a fixed depth; state one: compile_schema(model, unroll=2)"
                    raise SchemaError(f"recursive model: {cycle}", path=self.name, hint=hint)
                if above.count(name) > self.unroll:
                    raise _Cut(cycle)
            above = (*above, name)
            target = self.definitions[name]
            marks = [*target.get(MARK, ()), *node.get(MARK, ())]
            node = {**target, **without(node, "$ref"), MARK: marks}
        return node, above

    def _shape(self, node: JsonSchema, cores: list[Any], path: str, above: tuple[str, ...]) -> Shape:
        by_type = {core["type"]: core for core in cores}
        if is_json_value(cores):
            return Shape("json", own(node))
        if is_switched(by_type) and json_types(node) <= {"string"} and _all_text(node):
            return Shape("text", {"type": "string", **without(own(node), "anyOf")})
        if node.get("format") == "password" and node.get("writeOnly"):
            raise SchemaError("a secret: neither an answer nor a table shows its value", path=path, hint="use str")
        parts = node.get("anyOf") or node.get("oneOf")
        if parts:
            return self._union(node, parts, path, above)
        if "model" in by_type and by_type["model"].get("root_model"):
            return self._root(node, by_type["model"], path, above)
        if (core := object_of(by_type)) and json_types(node) <= {"object"}:
            return self._object(node, core, path, above)
        if "enum" in node or "const" in node:
            return enum_shape(node, by_type, path)
        return self._plain(node, by_type, path, above)

    def _plain(self, node: JsonSchema, by_type: Cores, path: str, above: tuple[str, ...]) -> Shape:
        if "named-tuple" in by_type or ("prefixItems" in node and "items" not in node):
            return self._tuple(node, by_type, path, above)
        if "items" in node and (container := container_of(by_type)):
            return self._list(node, container, path, above)
        if "dict" in by_type and isinstance(node.get("additionalProperties", True), dict | bool):
            return self._map(node, path, above)
        scalar = scalar_of(by_type)
        return scalar_shape(node, *scalar, path) if scalar else self._by_json(node, path, above)

    def _by_json(self, node: JsonSchema, path: str, above: tuple[str, ...]) -> Shape:
        """A type of which only its JSON is known."""
        types = json_types(node)
        if "array" in types and isinstance(node.get("items"), dict) and "prefixItems" not in node:
            return self._list(node, list, path, above)
        if len(types) == 1 and (kind := _BY_JSON.get(next(iter(types)))):
            return Shape(kind, own(node))
        what = "Any" if not types else f"a type that is only known as JSON {'/'.join(sorted(types))}"
        raise SchemaError(what, path=path, hint=_ANY if not types else _NO_PLACE)

    def _root(self, node: JsonSchema, core: Mapping[str, Any], path: str, above: tuple[str, ...]) -> Shape:
        marks = node[MARK]
        place = next(index for index, number in enumerate(marks) if self.cores[number] is core)
        inner = self.read({**node, MARK: marks[:place]}, path, above)
        return replace(inner, roots=inner.roots + 1)

    def _union(self, node: JsonSchema, parts: list[JsonSchema], path: str, above: tuple[str, ...]) -> Shape:
        around = without(node, "anyOf", "oneOf", "discriminator", MARK)
        others = [part for part in parts if json_types(part) != {"null"}]
        has_null = len(others) < len(parts)
        if len(others) == 1:
            said = {"description": node["description"]} if "description" in node else {}
            inner = self.read({**others[0], **said}, path, above)
            schema = _nullable({**inner.schema, **own(around)}) if has_null else inner.schema
            roots = self._roots_of(node)
            return replace(inner, schema=schema, nullable=has_null or inner.nullable, roots=inner.roots + roots)
        found: list[Shape] = []
        for part in others:
            try:
                found.append(self.read(part, path, above))
            except _Cut:
                self.cuts.append(path)
        if not found and not has_null:
            raise _Cut(path)
        if not found:
            return Shape("null", {"type": "null"})
        if len(found) == 1:
            return _nullable_shape(found[0]) if has_null else found[0]
        has_null = has_null or any(shape.nullable for shape in found)
        return union_of(spliced(found), has_null, own(around), self._roots_of(node))

    def _roots_of(self, node: JsonSchema) -> int:
        return sum(bool(self.cores[number].get("root_model")) for number in node.get(MARK, ()))

    def _list(self, node: JsonSchema, container: type, path: str, above: tuple[str, ...]) -> Shape:
        item = self._item(node["items"], f"{path}[*]", above)
        return Shape("list", own(node) | {"items": item.schema}, item=item, python=container)

    def _item(self, node: JsonSchema, path: str, above: tuple[str, ...]) -> Shape:
        """The shape of an item or entry; null where a recursion is cut off and null is allowed."""
        try:
            return self.read(node, path, above)
        except _Cut:
            if not any(json_types(part) == {"null"} for part in node.get("anyOf", ())):
                raise
            self.cuts.append(path)
            return Shape("null", {"type": "null"})

    def _tuple(self, node: JsonSchema, by_type: Cores, path: str, above: tuple[str, ...]) -> Shape:
        if "items" in node and "prefixItems" in node:
            raise SchemaError("a tuple of open length after fixed parts", path=path, hint="use a fixed tuple or a list")
        parts = node.get("prefixItems", [])
        items = tuple(self.read(part, f"{path}[{number}]", above) for number, part in enumerate(parts))
        length = {"minItems": len(items), "maxItems": len(items)}  # an answer gives every part
        schema = own(node) | {"prefixItems": [item.schema for item in items]} | length
        cls = by_type["named-tuple"]["cls"] if "named-tuple" in by_type else tuple
        return Shape("tuple", schema, items=items, python=cls)

    def _map(self, node: JsonSchema, path: str, above: tuple[str, ...]) -> Shape:
        given = node.get("additionalProperties", True)
        value = self._item(given if isinstance(given, dict) else {}, f"{path}[*]", above)
        key = self.read(node.get("propertyNames") or {"type": "string"}, f"{path}[key]", above)
        if key.nullable or key.kind not in _KEYS:
            raise SchemaError(
                f"a dict with {'optional ' * key.nullable}{key.kind} keys",
                path=path,
                hint="use str, int, date or Enum keys",
            )
        schema = without(own(node), "propertyNames") | {"additionalProperties": value.schema}
        if names := names_of(key):
            schema["propertyNames"] = names
        return Shape("map", schema, item=value, key=key)

    def _object(self, node: JsonSchema, core: Mapping[str, Any], path: str, above: tuple[str, ...]) -> Shape:
        members = dict(members_of(core))
        names = json_names(members, node, path)
        required = node.get("required", [])
        fields = [
            self._field(name, names[name], node["properties"][names[name]], members[name], required, path, above)
            for name in members
            if names[name] in node.get("properties", {})
        ]
        _refuse_twins(fields, path)
        cls = dict if core["type"] == "typed-dict" else core["cls"]
        for name, kind in computed_of(core):
            shape = replace(read_type(kind).shape, nullable=True)
            fields.append(Field(name, name, shape, required=False, computed=True))
        extra = self._extra(node, path, above)
        if extra is None and not any(item.column for item in fields):
            raise SchemaError("the model has no fields", path=path if path != "$" else self.name)
        schema = own(node) | {"additionalProperties": False if extra is None else extra.schema or True}
        asked = [item for item in fields if not item.computed and not (item.cut and item.constant is ABSENT)]
        schema["properties"] = {item.wire: item.shape.schema for item in asked}
        if "required" in schema:
            schema["required"] = [item.wire for item in asked if item.required]
        return Shape("object", schema, fields=tuple(fields), extra=extra, python=cls)

    def _extra(self, node: JsonSchema, path: str, above: tuple[str, ...]) -> Shape | None:
        given = node.get("additionalProperties", False)
        if given is False:
            return None
        if given is True or not {key for key in given if key != MARK}:
            return Shape("json", {})
        return self.read(given, f"{path}[*]", above)

    def _field(  # what a field is made of
        self,
        name: str,
        wire: str,
        node: JsonSchema,
        core: Mapping[str, Any],
        required: list[str],
        path: str,
        above: tuple[str, ...],
    ) -> Field:
        place = path_to(path, wire)
        is_required, column = wire in required, not core.get("serialization_exclude")
        try:
            shape = self.read(node, place, above)
        except _Cut:
            constant, schema = _end(node, is_required)
            self.cuts.append(place)
            return Field(name, wire, Shape("null", schema), is_required, column, cut=True, constant=constant)
        if not column and any_bound(shape):
            raise SchemaError("Verbatim on an excluded field", path=place, hint="give the field a column")
        return Field(name, wire, shape, is_required, column)


def _refuse_pattern(pattern: Any, path: str) -> None:
    """A pattern that the judge cannot read, before anything is paid."""
    try:
        matcher(portable(pattern)) if isinstance(pattern, str) else None
    except PatternError as error:
        raise pattern_error(path, pattern, error) from None


def _end(node: JsonSchema, required: bool) -> tuple[Any, JsonSchema]:
    """What stands where a recursion is cut off, and its schema: the default, null, or nothing in a list or map."""
    if not required:
        return ABSENT, {}
    parts = node.get("anyOf", [node])
    if any(json_types(part) == {"null"} for part in parts):
        return None, {"type": "null"}
    for part in parts:
        if json_types(part) == {"array"} and not part.get("minItems"):
            return [], {"type": "array", "maxItems": 0}
        if json_types(part) == {"object"} and "additionalProperties" in part and not part.get("minProperties"):
            return {}, {"type": "object", "maxProperties": 0}
    raise _Cut("it has no field that may be left out, null or empty")


def _refuse_twins(fields: list[Field], path: str) -> None:
    taken: dict[str, str] = {}
    for item in fields:
        if item.wire in taken:
            message = f"has the alias {item.wire!r} of the field {taken[item.wire]!r}"
            raise SchemaError(message, path=path_to(path, item.name))
        taken[item.wire] = item.name


def _nullable(schema: JsonSchema) -> JsonSchema:
    """The schema that also takes null; any JSON does so by itself."""
    return nullable(schema) if schema.keys() & {"type", "enum", "const", "anyOf"} else schema


def _all_text(node: JsonSchema) -> bool:
    """Whether JSON knows it as text alone, however many ways Python has to read it."""
    return all(json_types(part) == {"string"} for part in node.get("anyOf", [node]))


def _nullable_shape(shape: Shape) -> Shape:
    return replace(shape, schema=_nullable(shape.schema), nullable=True)
