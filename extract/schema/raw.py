"""A JSON Schema that a user brings, read into a `Shape` tree; its values are plain JSON.

The schema itself judges every answer, in its own draft. The tree only says what is asked for: where it cannot follow
(conditions, `$dynamicRef`, a recursion) the wire is wider than the schema, and the judge makes up for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from extract.errors import SchemaError
from extract.records import path_to
from extract.schema.nodes import as_enum, key_text, without
from extract.schema.shapes import ABSENT, Choice, Field, JsonSchema, Kind, Shape
from extract.schema.unions import spliced, union_of
from extract.verdict import Verdict

MAX_NODES = 5_000  # of the tree; what is deeper in a larger schema is carried as JSON text
MAX_BRANCHES = 100  # of one union; a longer one is carried as JSON text
_DEPTHS = (2, 3, 4, 6, 8, 12, 24)  # levels; the last is tried first, then from the first on
_KINDS: dict[str, Kind] = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "null"}
_FORMATS: dict[str, Kind] = {"date": "date", "date-time": "datetime"}
# What a keyword says of the type, where the schema names none.
_IMPLIES = {
    "object": ("properties", "additionalProperties", "patternProperties", "required", "propertyNames"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
    "string": ("pattern", "minLength", "maxLength", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_MERGED = ("type", "properties", "items", "prefixItems", "enum", "const", "additionalProperties", "format", "anyOf")


class _TooLarge(Exception):  # noqa: N818  # it says what the tree is
    """The tree has more nodes than are of use."""


@dataclass(frozen=True)
class RawReading:
    """What was read of a raw schema: the shape, whether it is wrapped in an object, and where a recursion is cut."""

    shape: Shape
    cuts: tuple[str, ...]
    notes: tuple[tuple[str, str], ...]  # path and keyword of what the tree does not follow


def read_raw(schema: JsonSchema, unroll: int = 0) -> RawReading:
    """Read a JSON Schema. Raises SchemaError with the path of what cannot be read."""
    whole = _read(schema, unroll, _DEPTHS[-1])
    for depth in () if whole else _DEPTHS:
        deeper = _read(schema, unroll, depth)
        if deeper is None:
            break
        whole = deeper
    if whole is None:
        hint = "split the schema, or cut it down"
        raise SchemaError(f"more than {MAX_NODES:,} parts within {_DEPTHS[0]} levels", path="$", hint=hint)
    return whole


def verdict_of_raw(schema: JsonSchema, unroll: int) -> Verdict:
    """The judge by it. Raises SchemaError for what breaks the rules of its draft or refers to nothing."""
    try:
        return Verdict(schema, formats=True)
    except SchemaError as error:
        raise _misled(schema, unroll) or error from None


def _misled(schema: JsonSchema, unroll: int) -> SchemaError | None:
    """The reference that leads nowhere, by its place in an answer; the judge only knows where it leads."""
    try:
        read_raw(schema, unroll)
    except SchemaError as error:
        return error if "$ref" in error.message else None
    except (TypeError, AttributeError, KeyError, ValueError):  # it is no schema at all
        return None
    return None


def _read(schema: JsonSchema, unroll: int, depth: int) -> RawReading | None:
    """The tree of so many levels; None when it is too large."""
    reader = _Reader(schema, unroll, depth)
    try:
        shape = reader.read(schema, "$", ())
    except _TooLarge:
        return None
    return RawReading(shape, tuple(dict.fromkeys(reader.cuts)), tuple(reader.notes))


@dataclass
class _Reader:
    root: JsonSchema
    unroll: int
    depth: int
    nodes: int = 0
    cuts: list[str] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def read(self, node: Any, path: str, above: tuple[str, ...], level: int = 0) -> Shape:
        """The shape of one node; `above` holds the references around it."""
        self._count()
        if not isinstance(node, dict):
            return Shape("json", {})
        node, above = self._resolved(node, path, above)
        if level >= self.depth and not self._is_scalar(node):
            self.notes.append((path, "depth"))
            return _described(Shape("json", {}), node)
        node = _modern(self._merged(node, path, above))
        if node.get("const", 0) is None:  # null as the only value is a type by itself
            self.notes.append((path, "const"))
        return _described(self._shape(as_enum(node), path, above, level), node)

    def _count(self) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _TooLarge

    @staticmethod
    def _is_scalar(node: JsonSchema) -> bool:
        return node.get("type") in _KINDS or "enum" in node or "const" in node

    def _resolved(self, node: JsonSchema, path: str, above: tuple[str, ...]) -> tuple[JsonSchema, tuple[str, ...]]:
        while isinstance(reference := node.get("$ref"), str):
            if above.count(reference) > self.unroll:
                hops = above[above.index(reference) :]
                if self.unroll == 0:
                    cycle = " -> ".join((*hops, reference))
                    hint = "a table has a fixed depth; state one: compile_schema(schema, unroll=2)"
                    raise SchemaError(f"recursive $ref: {cycle}", path=path, hint=hint)
                self.cuts.append(path)
                return {}, above
            above = (*above, reference)
            rest = without(node, "$ref")
            target = self._target(reference, path)
            if isinstance(target, bool):
                return rest, above
            if not isinstance(target, dict):
                raise SchemaError(f"$ref names no schema: {reference}", path=path, hint="see $defs")
            node = {**target, **rest}
        return node, above

    def _target(self, reference: str, path: str) -> Any:
        """What a reference inside this document names. Raises SchemaError."""
        own = self.root.get("$id", self.root.get("id", ""))
        document, _, fragment = reference.partition("#")
        if document and document != str(own).rstrip("#"):
            hint = "put what it names into $defs: nothing is fetched"
            raise SchemaError(f"$ref to another document: {reference}", path=path, hint=hint)
        if fragment and not fragment.startswith("/"):
            return self._anchor(fragment, path)
        target: Any = self.root
        for step in map(unquote, fragment.split("/")[1:]):
            name = step.replace("~1", "/").replace("~0", "~")
            target = _step(target, name)
            if target is ABSENT:
                raise SchemaError(f"$ref names nothing: {reference}", path=path, hint="see $defs")
        return target

    def _anchor(self, name: str, path: str) -> Any:
        for node in _nodes(self.root):
            if (
                name in (node.get("$anchor"), node.get("$dynamicAnchor"))
                or node.get("$id", node.get("id")) == f"#{name}"
            ):
                return node
        raise SchemaError(f"$ref names nothing: #{name}", path=path, hint="see $defs")

    def _merged(self, node: JsonSchema, path: str, above: tuple[str, ...]) -> JsonSchema:
        """The node with the structure that its `allOf` adds; the rest of it is the judge's."""
        self._count()
        for part in node.get("allOf", ()):
            if not isinstance(part, dict):
                continue
            inner, _ = self._resolved(part, path, above)
            inner = self._merged(inner, path, above) if "allOf" in inner else inner
            for key in _MERGED:
                if key == "properties" and isinstance(inner.get(key), dict):
                    node = {**node, key: {**inner[key], **node.get(key, {})}}
                elif key in inner and key not in node and key != "additionalProperties":
                    node = {**node, key: inner[key]}
            if "required" in inner:
                node = {**node, "required": [*dict.fromkeys([*node.get("required", ()), *inner["required"]])]}
        return node

    def _shape(self, node: JsonSchema, path: str, above: tuple[str, ...], level: int) -> Shape:
        if "enum" in node:
            if not node["enum"]:
                self.notes.append((path, "enum"))
            return _enum(node)
        types = self._types(node, path)
        parts = node.get("anyOf", node.get("oneOf"))
        if not types:
            return self._union(node, parts, path, above, level) if parts else Shape("json", node)
        if "anyOf" in node:
            self.notes.append((path, "anyOf"))
        has_null = "null" in types and len(types) > 1
        shapes = [self._of_type(kind, node, path, above, level) for kind in types if kind != "null" or not has_null]
        if len(shapes) == 1:
            return replace(shapes[0], nullable=has_null)
        if {shape.kind for shape in shapes} == {"int", "float"}:
            return next(replace(shape, nullable=has_null) for shape in shapes if shape.kind == "float")
        return union_of(shapes, has_null, {})

    def _types(self, node: JsonSchema, path: str) -> list[str]:
        given = node.get("type")
        if given is not None:
            return [given] if isinstance(given, str) else list(dict.fromkeys(given))
        if "anyOf" in node or "oneOf" in node:
            return ["object"] if isinstance(node.get("properties"), dict) and node["properties"] else []
        found = [kind for kind, keywords in _IMPLIES.items() if any(keyword in node for keyword in keywords)]
        if len(found) != 1:
            return []
        self.notes.append((path, "type"))
        return found

    def _of_type(self, kind: str, node: JsonSchema, path: str, above: tuple[str, ...], level: int) -> Shape:
        if kind == "object":
            return self._object(node, path, above, level)
        if kind == "array":
            return self._list(node, path, above, level)
        if kind not in _KINDS:
            raise SchemaError(
                f"type {kind!r} is no JSON type", path=path, hint=f"one of {', '.join((*_KINDS, 'array', 'object'))}"
            )
        own = without(node, "anyOf") | {"type": kind}
        if kind == "string" and (typed := _FORMATS.get(str(node.get("format")))):
            return Shape(typed, own)
        return Shape(_KINDS[kind], own)

    def _union(self, node: JsonSchema, parts: Sequence[Any], path: str, above: tuple[str, ...], level: int) -> Shape:
        if "oneOf" in node:
            self.notes.append((path, "oneOf"))
        if len(parts) == 1 and "anyOf" in node:  # which leaves nothing to choose
            self.notes.append((path, "anyOf"))
        shapes = [self.read(part, path, above, level + 1) for part in parts]
        others = [shape for shape in shapes if shape.kind != "null"]
        has_null = len(others) < len(shapes) or any(shape.nullable for shape in others)
        around = without(node, "anyOf", "oneOf", "type")
        if len(others) == 1:
            return replace(others[0], nullable=has_null, schema={**around, **others[0].schema})
        if not others:
            return Shape("null", around | {"type": "null"})
        branches = spliced(others)
        if any(shape.kind == "json" for shape in branches) or len(branches) > MAX_BRANCHES:
            return Shape("json", node)
        return union_of(branches, has_null, around)

    def _list(self, node: JsonSchema, path: str, above: tuple[str, ...], level: int) -> Shape:
        items, prefix = node.get("items", True), node.get("prefixItems")
        if isinstance(items, list):  # as earlier drafts write a tuple
            prefix, items = items, node.get("additionalItems", True)
        if prefix:
            if items is not False or node.get("minItems") != len(prefix):
                return Shape("json", node)  # of open length
            parts = tuple(self.read(p, f"{path}[{number}]", above, level + 1) for number, p in enumerate(prefix))
            return Shape("tuple", node, items=parts, python=list)
        item = self.read(items, f"{path}[*]", above, level + 1)
        return Shape("list", node | {"type": "array"}, item=item, python=list)

    def _object(self, node: JsonSchema, path: str, above: tuple[str, ...], level: int) -> Shape:
        required = node.get("required", [])
        required = required if isinstance(required, list) else []  # a boolean in draft 3
        properties = {name: part for name, part in node.get("properties", {}).items() if part is not False}
        properties |= {name: True for name in required if name not in properties}
        extra = self._extra(node, path, above, level)
        own = node | {"type": "object"}
        if not properties:
            value = extra or Shape("json", {})
            return Shape("map", own, item=value, key=Shape("str", {"type": "string"}), python=dict)
        fields = tuple(
            Field(name, name, self.read(part, path_to(path, name), above, level + 1), name in required)
            for name, part in properties.items()
        )
        return Shape("object", own, fields=fields, extra=extra, python=dict)

    def _extra(self, node: JsonSchema, path: str, above: tuple[str, ...], level: int) -> Shape | None:
        """What the undeclared properties are; None when none are spoken of."""
        given, patterns = node.get("additionalProperties"), list(node.get("patternProperties", {}).values())
        if isinstance(given, dict) and given:
            patterns.append(given)
        if not patterns:
            return Shape("json", {}) if given is True or given == {} else None
        shapes = [self.read(part, f"{path}[*]", above, level + 1) for part in patterns]
        return shapes[0] if len(shapes) == 1 else Shape("json", {})


def _modern(node: JsonSchema) -> JsonSchema:
    """The exclusive bounds of draft 04, where they are true or false, as later drafts write them."""
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(node.get(exclusive), bool):
            kept = without(node, exclusive)
            node = kept | {exclusive: kept.pop(bound)} if node[exclusive] and bound in kept else kept
    return node


def _enum(node: JsonSchema) -> Shape:
    values = [value for value in node["enum"] if value is not None]
    if not values:
        return Shape("null", {"type": "null"})
    labels = [value if isinstance(value, str) else key_text(value) for value in values]
    if len(set(labels)) < len(labels):
        labels = [key_text([value]) for value in values]
    choices = tuple(Choice(label, value, value) for label, value in zip(labels, values, strict=True))
    return Shape("enum", node, nullable=None in node["enum"], choices=choices)


def _described(shape: Shape, node: JsonSchema) -> Shape:
    description = node.get("description")
    return replace(shape, description=description) if isinstance(description, str) else shape


def _step(target: Any, name: str) -> Any:
    if isinstance(target, Mapping):
        return target.get(name, ABSENT)
    if isinstance(target, list) and name.isdecimal() and int(name) < len(target):
        return target[int(name)]
    return ABSENT


def _nodes(node: Any) -> Iterator[JsonSchema]:
    """Every object of a document."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found
