"""A `Shape` as a profile carries it: the form of each node, and a loss for each constraint that is left behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any

from extract.errors import SchemaError
from extract.records import path_to
from extract.schema import forms
from extract.schema.forms import Form
from extract.schema.losses import (
    APPLICATORS,
    BIG_ENUM,
    CONSTRAINTS,
    OF_NAMES,
    RUNGS,
    STRUCTURE,
    Action,
    Loss,
    brief,
    described,
    in_words,
    is_given_up,
)
from extract.schema.nodes import without
from extract.schema.options import Decimals, Enums
from extract.schema.profiles import Abilities
from extract.schema.shapes import TAG, Field, JsonSchema, Shape, any_bound, free_name
from extract.schema.unions import json_class, told_apart

_TYPED_ITEMS = frozenset({"text", "bytes", "date", "datetime", "time", "timedelta", "decimal", "float"})
_TYPES = {"str": "string", "int": "integer", "float": "number", "decimal": "number", "bool": "boolean", "null": "null"}


@dataclass
class Writer:
    """Writes the form of each shape for one profile, and notes what is lost."""

    abilities: Abilities
    decimals: Decimals
    enums: Enums
    relax: int
    validate: Callable[[Shape], Callable[[Any, Any], Any]]  # a shape → what makes its instance of a value and a context
    fits: Callable[[Shape, Any], bool]  # whether a Python value is of a shape
    losses: list[Loss] = field(default_factory=list)

    def whole(self, shape: Shape) -> forms.Properties:
        """The form of the object that an answer is."""
        found = self.form(shape, "$")
        assert isinstance(found, forms.Properties)  # noqa: S101  # of an object
        return found

    def form(self, shape: Shape, path: str) -> Form:
        """The form of a shape, with null where it takes null."""
        write = self._bound if shape.verbatim else getattr(self, f"_{shape.kind}", self._scalar)
        made = write(shape, path)
        assert isinstance(made, Form)  # noqa: S101  # of a method that is found by name
        if shape.nullable:
            made.schema = self.with_null(made.schema)
        return made

    def with_null(self, schema: JsonSchema) -> JsonSchema:
        """A schema on the wire that also takes null."""
        if not self.abilities.null_types:
            return schema | {"nullable": True}
        if "anyOf" in schema:
            first, *others = schema["anyOf"]
            return schema | {"anyOf": [self.with_null(first), *others]}
        if schema["type"] == "null" or isinstance(schema["type"], list):
            return schema
        found = schema | {"type": [schema["type"], "null"]}
        return found | {"enum": [*schema["enum"], None]} if "enum" in schema else found

    def lose(self, path: str, keyword: str, action: Action, value: Any = None, note: str = "") -> None:
        self.losses.append(Loss(path, keyword, action, value, note))

    def node(
        self, shape: Shape, path: str, structure: JsonSchema, *, rewritten: bool = False, said: str = ""
    ) -> JsonSchema:
        """The structure with the shape's description and the constraints that the profile carries.

        `rewritten`: what is on the wire is another type, so that no constraint of the shape fits it.
        """
        carried: JsonSchema = {}
        phrases = [said] if said else []
        for keyword, value in shape.schema.items():
            if keyword in ("enum", "const") and shape.kind not in ("enum", "json"):
                self.lose(path, keyword, "checked locally", value)  # of an object, a list, a text that Python reads
            if keyword not in CONSTRAINTS:
                continue
            counts = shape.kind == "object" and keyword in OF_NAMES  # null may stand for what is left out
            if not rewritten and not counts and self._carries(keyword, value):
                carried.setdefault(keyword, value)  # a tighter one may stand there, see `_inclusive`
            elif not rewritten and (bound := self._inclusive(shape, keyword, value)):
                carried |= bound
                self.lose(path, keyword, "rewritten", value, f"to {brief(bound)}")
            else:
                phrases += self._moved(path, keyword, value)
        description = described(shape.description, phrases)
        return structure | carried | ({"description": description} if description else {})

    def _moved(self, path: str, keyword: str, value: Any) -> list[str]:
        """The constraint in words, for the description; nothing where words do not help."""
        phrase = in_words(keyword, value)
        self.lose(path, keyword, "moved to description" if phrase else "checked locally", value)
        return [phrase] if phrase else []

    def _carries(self, keyword: str, value: Any) -> bool:
        if is_given_up(keyword, self.relax) or keyword in APPLICATORS:
            return False
        if keyword == "propertyNames" and "$ref" in json.dumps(value, default=str):
            return False
        if keyword == "format":
            return self.abilities.formats is None or value in self.abilities.formats
        return self.abilities.keywords is None or keyword in self.abilities.keywords

    def _inclusive(self, shape: Shape, keyword: str, value: Any) -> JsonSchema:
        """A bound of whole numbers as one that includes its limit."""
        names = {"exclusiveMinimum": ("minimum", 1), "exclusiveMaximum": ("maximum", -1)}
        if shape.kind != "int" or keyword not in names or type(value) is bool or value != int(value):
            return {}
        name, step = names[keyword]
        inside = int(value) + step
        taken = shape.schema.get(name)
        tighter = inside if taken is None else (max if step > 0 else min)(inside, taken)
        return {name: tighter} if self._carries(name, tighter) else {}

    def _scalar(self, shape: Shape, path: str) -> Form:
        if shape.digits:
            self.lose(path, "decimal digits", "checked locally", list(shape.digits))
        if shape.kind == "decimal" and self.decimals == "string":
            self.lose(path, "type", "rewritten", "number", "to its digits as text")
            schema = self.node(shape, path, {"type": "string"}, rewritten=True, said="a decimal number")
            return forms.DecimalText(shape, schema)
        if shape.kind == "null" and not self.abilities.lone_null:
            return Form(shape, self.node(shape, path, {"type": ["string", "null"], "enum": [None]}))
        return Form(shape, self.node(shape, path, {"type": _TYPES.get(shape.kind, "string")}))

    def _bytes(self, shape: Shape, path: str) -> Form:
        return forms.Bytes(
            shape, self.node(shape, path, {"type": "string"}, rewritten=self.abilities.keywords is not None)
        )

    def _json(self, shape: Shape, path: str) -> Form:
        self.lose(path, "type", "rewritten", "any JSON", "to JSON text")
        for keyword in shape.schema:
            if keyword in STRUCTURE and keyword != "type":
                self.lose(path, keyword, "checked locally")
        return forms.JsonText(shape, self.node(shape, path, {"type": "string"}, rewritten=True, said="JSON text"))

    def _bound(self, shape: Shape, path: str) -> Form:
        """A bound field is chosen among printed spans: a string on the wire, whatever its type in the table."""
        if shape.kind == "str":
            return Form(shape, self.node(shape, path, {"type": "string"}))
        self.lose(path, "type", "rewritten", _TYPES.get(shape.kind, "string"), "to a span of the record")
        for keyword, value in shape.schema.items():
            if keyword in CONSTRAINTS:
                self.lose(path, keyword, "checked locally", value)
        if shape.digits:
            self.lose(path, "decimal digits", "checked locally", list(shape.digits))
        about = {"description": shape.description} if shape.description else {}
        return forms.Bound(shape, {"type": "string", **about})

    def _enum(self, shape: Shape, path: str) -> Form:
        values = [choice.json for choice in shape.choices]
        kinds = {json_class(Shape("enum", choices=(choice,))) for choice in shape.choices}
        kind = "integer" if all(type(value) is int for value in values) else kinds.copy().pop()
        by_name = self.enums == "name" and shape.python is not None
        labelled = by_name or len(kinds) > 1 or kind not in self.abilities.enum_types
        if labelled:
            note = "to the names of its members" if shape.python else "to texts"
            self.lose(path, "enum", "rewritten", values, note)
            kind, values = "string", [choice.label for choice in shape.choices]
        if self.relax >= len(RUNGS) and len(values) > BIG_ENUM:
            self.lose(path, "enum", "moved to description", values, "as one list")
            said = "one of: " + ", ".join(map(str, values))
            return forms.Enumerated(shape, self.node(shape, path, {"type": kind}, said=said), labelled)
        return forms.Enumerated(shape, self.node(shape, path, {"type": kind, "enum": values}), labelled)

    def _list(self, shape: Shape, path: str) -> Form:
        assert shape.item is not None  # noqa: S101  # of a list
        item = self.form(shape.item, f"{path}[*]")
        is_set = shape.python in (set, frozenset) and shape.item.kind in _TYPED_ITEMS and not shape.item.nullable
        typed = self._key_reader(shape.item) if is_set else None
        return forms.Items(shape, self.node(shape, path, {"type": "array", "items": item.schema}), item, typed)

    def _tuple(self, shape: Shape, path: str) -> Form:
        self._refuse_bound(shape, path, "a tuple")
        items = [self.form(part, f"{path}[{number}]") for number, part in enumerate(shape.items)]
        if self.abilities.tuples and items:
            structure = {"type": "array", "prefixItems": [item.schema for item in items]}
            return forms.Parts(shape, self.node(shape, path, structure), items, named=False)
        self.lose(path, "prefixItems", "rewritten", len(items), "to an object with a field for each part")
        made = forms.Parts(shape, {}, items, named=True)
        structure = self.object(dict(zip(made.names, [item.schema for item in items], strict=True)))
        made.schema = self.node(replace(shape, schema=without(shape.schema, "minItems", "maxItems")), path, structure)
        return made

    def _map(self, shape: Shape, path: str) -> Form:
        self._refuse_bound(shape, path, "a dict")
        if shape.schema.get("additionalProperties") is False:
            self.lose(path, "additionalProperties", "checked locally", False)
        if not self.abilities.maps:
            return self._entries(shape, path, "to a list of key and value")
        key, value, typed = self._entry(shape, path)
        structure = {"type": "object", "additionalProperties": value.schema}
        return forms.Entries(shape, self.node(shape, path, structure), key, value, listed=False, typed=typed)

    def _entry(self, shape: Shape, path: str) -> tuple[Form, Form, Callable[[Any], Any] | None]:
        """The forms of a map's keys and values, and what tells whether two keys are one."""
        assert shape.key is not None and shape.item is not None  # noqa: S101, PT018  # of a map
        value = self.form(shape.item, f"{path}[*]")
        silent = replace(self, losses=[])  # what a key cannot carry stands in `propertyNames`
        return silent.form(shape.key, path), value, self._key_reader(shape.key)

    def _entries(self, shape: Shape, path: str, note: str) -> forms.Entries:
        self.lose(path, "additionalProperties", "rewritten", None, note)
        key, value, typed = self._entry(shape, path)
        entry = self.object({forms.KEY: key.schema, forms.VALUE: value.schema})
        bounds = {"minProperties": "minItems", "maxProperties": "maxItems"}
        carried: JsonSchema = {}
        for name, twin in bounds.items():
            if name in shape.schema and self._carries(twin, shape.schema[name]):
                carried[twin] = shape.schema[name]
                self.lose(path, name, "rewritten", shape.schema[name], f"to {twin}")
        rest = replace(shape, schema=without(shape.schema, *(name for name, twin in bounds.items() if twin in carried)))
        structure = {"type": "array", "items": entry, **carried}
        schema = self.node(rest, path, structure, rewritten=True, said="a list of key and value")
        return forms.Entries(shape, schema, key, value, listed=True, typed=typed)

    def _key_reader(self, key: Shape) -> Callable[[Any], Any] | None:
        """What tells whether two texts are one key; nothing where each text is its own."""
        if key.kind in ("str", "enum") or key.core is None:
            return None
        validate = self.validate(key)
        return lambda text: validate(text, None)

    def _object(self, shape: Shape, path: str) -> Form:
        properties = [self._property(shape, item, path) for item in shape.asked]
        for item in shape.fields:
            if item.cut:
                self.lose(
                    path_to(path, item.wire), "$ref", "rewritten", None, "to nothing: the recursion is cut off here"
                )
        schemas = {item.field.wire: item.form.schema for item in properties}
        extra, name = self._extra(shape, path)
        if extra:
            schemas[name] = extra.schema
        optional = {p.field.wire for p in properties if not self.abilities.null_types and _may_be_left_out(p)}
        structure = self.object(schemas, optional)
        if _is_open(shape) and not extra:
            structure |= {"additionalProperties": True}
        schema = self.node(shape, path, structure)
        return forms.Properties(shape, schema, properties, extra, name, leave_out_nulls=not self.abilities.null_types)

    def _property(self, shape: Shape, item: Field, path: str) -> forms.Property:
        place = path_to(path, item.wire)
        made = self.form(item.shape, place)
        if item.required:
            if item.shape.nullable and not self.abilities.null_types:
                self.lose(place, "required", "rewritten", None, "to a field that may be left out, which is null")
            return forms.Property(item, made)
        if not item.shape.nullable and item.shape.kind != "null":
            if self.abilities.null_types:
                made.schema = self.with_null(made.schema)
                self.lose(place, "required", "rewritten", None, "to null for what is left out")
            return forms.Property(item, made, null_is_default=True)
        if shape.python is not dict:  # a default, and an instance always has the field
            return forms.Property(item, made)
        if self.abilities.null_types:
            self._refuse_bound(item.shape, place, "a field that may be absent or null")
            note = "to a list of at most one item: absent and null are two things"
            self.lose(place, "required", "rewritten", None, note)
            most: JsonSchema = {"maxItems": 1} if self._carries("maxItems", 1) else {}
            made.schema = {"type": "array", "items": made.schema, **most}
            return forms.Property(item, made, maybe=True)
        return forms.Property(item, made)

    def _extra(self, shape: Shape, path: str) -> tuple[forms.Entries | None, str]:
        """The entries that carry undeclared properties, where the schema asks for such and the wire cannot say so."""
        extra = shape.extra
        if extra is None and _is_open(shape) and not self.abilities.open:
            extra = Shape("json", {})
        if extra is None:
            return None, ""
        self._refuse_bound(extra, path, "a dict")
        name = free_name(item.wire for item in shape.fields)
        entries = Shape("map", {"type": "object"}, item=extra, key=Shape("str"))
        return self._entries(entries, path, f"to a list of key and value called {name!r}"), name

    def object(self, properties: Mapping[str, JsonSchema], optional: Set[str] = frozenset()) -> JsonSchema:
        """A closed object on the wire, all fields required but for `optional`."""
        required = [name for name in properties if name not in optional]
        found: JsonSchema = {"type": "object", "properties": dict(properties), "required": required}
        if self.abilities.ordering:
            found["propertyOrdering"] = list(properties)
        return found | {"additionalProperties": False}

    def _union(self, shape: Shape, path: str) -> Form:
        self._refuse_bound(shape, path, "a union")
        made = [(branch.label, self.form(branch.shape, path)) for branch in shape.branches]
        tagged = not (self.abilities.any_of and told_apart([(form.shape, form.schema) for _, form in made]))
        validators = [self.validate(branch.shape) for branch in shape.branches]
        shapes = [branch.shape for branch in shape.branches]
        union = forms.Union(
            shape,
            {},
            made,
            tagged,
            validate=lambda number, value, context: validators[number](value, context),
            fits=lambda number, value: self.fits(shapes[number], value),
            leave_out_nulls=not self.abilities.null_types,
        )
        if tagged:
            labels = [label for label, _ in made]
            why = "one of them at a time" if self.abilities.any_of else "since there is no anyOf"
            self.lose(path, "anyOf", "rewritten", labels, f"to a tag and one part for each, {why}")
            parts = {label: self.with_null(form.schema) for label, form in made}
            structure = self.object(
                {TAG: {"type": "string", "enum": labels}, **parts},
                set() if self.abilities.null_types else set(labels),
            )
            said = "`tag` says which part is filled, the others are null"
            union.schema = self.node(shape, path, structure, said=said)
            return union
        union.schema = self.node(shape, path, {"anyOf": [form.schema for _, form in made]})
        return union

    def _refuse_bound(self, shape: Shape, path: str, where: str) -> None:
        if any_bound(shape):
            raise SchemaError(f"Verbatim inside {where}", path=path, hint="bind fields of models and items of lists")


def _is_open(shape: Shape) -> bool:
    """Whether a raw schema leaves an object open to what it does not name."""
    return shape.extra is None and shape.schema.get("additionalProperties") is not False


def _may_be_left_out(item: forms.Property) -> bool:
    return item.field.shape.nullable or not item.field.required
