"""Random models: the compiler never crashes, loses no constraint in silence, and has an exact way back.

The suite takes 300 models; `EXTRACT_RANDOM_MODELS=10000` makes it a campaign.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from support import SHARED

from extract import compile_schema
from extract.errors import SchemaError
from extract.parse import parse_json
from extract.records import path_to
from extract.schema import CompiledSchema
from extract.schema.profiles import PROFILES
from schema.random_models import Made, models

COUNT = int(os.environ.get("EXTRACT_RANDOM_MODELS", "300"))
SHARDS = max(3, COUNT // 250)
INSTANCES = 2

# what docs/schemas.md says is refused, and random models can be
REFUSED = (r"\d+ levels",)

# every keyword of JSON Schema that says which values are allowed, but for those that the walk follows by itself
KEYWORDS = frozenset(
    {"enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength"}
    | {"maxLength", "pattern", "format", "minItems", "maxItems", "uniqueItems", "contains", "minContains"}
    | {"maxContains", "minProperties", "maxProperties", "propertyNames", "patternProperties", "dependentRequired"}
    | {"dependentSchemas", "dependencies", "additionalItems", "unevaluatedItems", "unevaluatedProperties", "allOf"}
    | {"not", "if", "then", "else", "$dynamicRef", "$recursiveRef", "contentEncoding"}
)


WORDS_OF = {
    "string": {"minLength", "maxLength", "pattern", "format", "contentEncoding"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "boolean": set[str](),
    "array": {"items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains", "additionalItems"},
    "object": {"properties", "required", "additionalProperties", "propertyNames", "patternProperties"}
    | {"minProperties", "maxProperties", "dependentRequired", "dependentSchemas", "dependencies"},
}


# without the minutes that shrinking a failure takes; take `phases` away to see the smallest
SETTINGS = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.timeout(7200)
def test_a_random_model_compiles_for_every_profile_and_loses_nothing(shard: int) -> None:
    """No crash, no silent loss, an exact way back."""

    @seed(shard)
    @settings(SETTINGS, max_examples=-(-COUNT // SHARDS))
    @given(st.data())
    def campaign(data: st.DataObject) -> None:
        made = data.draw(models(), label="model")
        instances = [data.draw(made.values, label="instance") for _ in range(INSTANCES)]
        options = data.draw(st.sampled_from(_OPTIONS), label="options")
        for profile in PROFILES:
            check(made, profile, options, instances)

    campaign()


_OPTIONS: list[dict[str, Any]] = [
    *({}, {}, {}, {}),
    {"decimals": "string"},
    {"enums": "name"},
    *({"relax": rung} for rung in range(1, 5)),
]


def check(made: Made, profile: Any, options: Mapping[str, Any], instances: list[Any]) -> None:
    compiled = compiled_or_refused(made, profile, options)
    if compiled is None:
        return
    assert [] == list(silent_losses(compiled))
    assert [] == list(against_meta_schemas(compiled))
    judge = Draft202012Validator(exact(standard(compiled.wire_schema)))
    for instance in instances:
        answer = compiled.answer_form(instance)
        assert [] == [error.message for error in judge.iter_errors(exact(answer))]
        assert same(instance, compiled.restore(answer))
        assert same(instance, compiled.restore(parse_json(json_text(answer))))


def compiled_or_refused(made: Made, profile: Any, options: Mapping[str, Any]) -> CompiledSchema | None:
    try:
        return compile_schema(made.annotation, profile, **options)
    except SchemaError as error:
        expected = any(re.search(reason, str(error)) for reason in REFUSED)
        if not (expected and error.path and error.hint and profile in str(error)):
            raise
    return None


# --- the loss report, checked by a walk of its own


def silent_losses(compiled: Any) -> Iterator[str]:
    """Every constraint of the full schema that is neither on the wire nor in `losses`."""
    full, wire = compiled.json_schema, compiled.wire_schema
    losses: dict[str, set[tuple[str, str]]] = {}
    for loss in compiled.losses:
        losses.setdefault(loss.path, set()).add((loss.keyword, loss.action))
        if "a list of at most one item" in loss.note:
            losses[loss.path].add(("packed", loss.action))
    wrapped = full.get("properties", {}).get("value", {})
    base = wrapped if isinstance(wrapped, dict) and "$id" in wrapped else full  # of a raw schema that is no object
    yield from Walk(base, wire, losses).node("$", full, wire)


@dataclasses.dataclass
class Walk:
    """Both schemas, and the losses: path → keywords and actions."""

    full: Mapping[str, Any]
    wire: Mapping[str, Any]
    losses: Mapping[str, set[tuple[str, str]]]

    def resolved(self, node: Any, root: Mapping[str, Any] | None = None) -> Any:
        root = self.full if root is None else root
        for _ in range(100):
            if not isinstance(node, dict) or "$ref" not in node:
                break
            target: Any = root if re.match("#(/|$)", node["$ref"]) else {}  # anchors are not followed
            for raw in node["$ref"].removeprefix("#").split("/")[1:]:
                step = unquote(raw).replace("~1", "/").replace("~0", "~")
                target = target[int(step)] if isinstance(target, list) else target.get(step, {})
                target = target if isinstance(target, dict | list) else {}
            rest = {key: value for key, value in node.items() if key != "$ref"}
            node = {**target, **rest} if isinstance(target, dict) else target
        return node

    def lost(self, path: str, *keywords: str) -> bool:
        return any(keyword in keywords for keyword, _ in self.losses.get(path, ()))

    def rewritten(self, path: str) -> bool:
        return any(action == "rewritten" for _, action in self.losses.get(path, ()))

    def node(self, path: str, full: Any, wire: Any, *, in_nullable: bool = False) -> Iterator[str]:
        full, wire = self.resolved(full), self.resolved(wire, self.wire)
        if not isinstance(full, dict):
            return
        may_be_null, full = without_null(full, self.resolved)
        null_on_wire, wire = without_null(
            wire if isinstance(wire, dict) else {}, lambda node: self.resolved(node, self.wire)
        )
        may_be_null = may_be_null or in_nullable
        if null_on_wire and not may_be_null and "type" in full and not self.rewritten(path):
            yield f"{path}: null is allowed on the wire only"
        if len(kinds(full)) > 1 and places_of(wire):
            yield from self.kinds_apart(path, full, wire, may_be_null)
            return
        for keyword, value in full.items():
            if keyword in KEYWORDS and not self.carried(path, keyword, value, full, wire):
                yield f"{path}: {keyword} {value!r}"
        yield from self.types(path, full, wire)
        if ("type", "rewritten") in self.losses.get(path, ()) and kinds(wire) == {"string"}:
            return  # as JSON text, and all below with it
        yield from self.union(path, full, wire, may_be_null)
        yield from self.object(path, full, wire)
        yield from self.array(path, full, wire)

    def kinds_apart(
        self, path: str, full: Mapping[str, Any], wire: Mapping[str, Any], may_be_null: bool
    ) -> Iterator[str]:
        """A type array that is a union on the wire."""
        for place in places_of(wire):
            for kind in kinds(full) & kinds(self.resolved(place, self.wire)):
                others = {word for words in WORDS_OF.values() for word in words} - WORDS_OF[kind]
                mine = {keyword: value for keyword, value in full.items() if keyword not in others}
                yield from self.node(path, mine | {"type": kind}, place, in_nullable=may_be_null)

    def carried(self, path: str, keyword: str, value: Any, full: Mapping[str, Any], wire: Mapping[str, Any]) -> bool:
        if self.lost(path, keyword) or (keyword in wire and exact(wire[keyword]) == exact(value)):
            return True
        if keyword == "const":
            return self.lost(path, "enum") or wire.get("enum") == [value] or (value is None and is_null(wire))
        if keyword == "enum":
            return bool("const" in wire and [wire["const"]] == value)
        if keyword in ("minProperties", "maxProperties") and entries_of(wire):
            return bool(wire.get(keyword.replace("Properties", "Items")) == value)  # entries are counted
        if keyword in ("minItems", "maxItems") and "prefixItems" in full:
            return wire.get("type") == "object" and len(full["prefixItems"]) == value
        if keyword == "propertyNames":
            entries = entries_of(wire)
            return bool(entries) and [] == list(self.node(f"{path}[key]", value, entries["key"]))
        return False

    def types(self, path: str, full: Mapping[str, Any], wire: Mapping[str, Any]) -> Iterator[str]:
        wanted, found = kinds(full), kinds(wire)
        if "enum" in full and full["enum"] == wire.get("enum"):
            return
        if wanted and found != wanted and not self.lost(path, "type") and not self.rewritten(path):
            yield f"{path}: type {sorted(wanted)} is {sorted(found)} on the wire"

    def union(self, path: str, full: Mapping[str, Any], wire: Mapping[str, Any], may_be_null: bool) -> Iterator[str]:
        for keyword in ("anyOf", "oneOf"):
            if keyword not in full:
                continue
            parts = [part for part in map(self.resolved, full[keyword]) if not is_null(part)]
            places = places_of(wire)
            if len(places) == len(parts):
                for part, place in zip(parts, places, strict=True):
                    yield from self.node(path, part, place, in_nullable=may_be_null)
            elif not self.lost(path, keyword):
                yield f"{path}: {keyword} of {len(parts)} has {len(places)} places on the wire"

    def object(self, path: str, full: Mapping[str, Any], wire: Mapping[str, Any]) -> Iterator[str]:
        inner = wire.get("properties", {})
        for name, child in full.get("properties", {}).items():
            place = path_to(path, name)
            if child is False:
                continue
            if name not in inner and not self.lost(path, "properties") and not self.lost(place, "properties", "type"):
                yield f"{place}: is not on the wire"
            yield from self.node(place, child, self.unpacked(place, child, inner.get(name, {})))
        for name in full.get("required", ()):
            told = self.lost(path, "required") or self.lost(path_to(path, name), "required")
            if name not in wire.get("required", ()) and not told:
                yield f"{path}: {name!r} is required"
        yield from self.others(path, full, wire)

    def unpacked(self, place: str, child: Any, wire: Any) -> Any:
        """What stands in the list of at most one item that an absent-or-null field is on the wire."""
        wire = self.resolved(wire, self.wire)
        child = self.resolved(child)
        may_be_null = isinstance(child, dict) and without_null(child, self.resolved)[0]
        packed = may_be_null and ("packed", "rewritten") in self.losses.get(place, ())
        return wire["items"] if packed else wire

    def others(self, path: str, full: Mapping[str, Any], wire: Mapping[str, Any]) -> Iterator[str]:
        """Properties that are not declared."""
        allowed = full.get("additionalProperties")
        lost = allowed is None or self.lost(path, "additionalProperties")
        inner = wire.get("properties", {})
        entries = next((inner[name] for name in inner if name.startswith("additional_properties")), wire)
        carried: Any = entries_of(entries).get("value", wire.get("additionalProperties"))
        if isinstance(allowed, dict) and isinstance(carried, dict):
            yield from self.node(f"{path}[*]", allowed, carried)
        elif not (lost or carried == allowed or self.lost(f"{path}[*]", "type")):
            yield f"{path}: additionalProperties {allowed}"

    def array(self, path: str, full: Mapping[str, Any], wire: Mapping[str, Any]) -> Iterator[str]:
        parts = full.get("prefixItems", [])
        places = wire.get("prefixItems") or [
            node for name, node in wire.get("properties", {}).items() if name.startswith("item_")
        ]
        if len(parts) == len(places):
            for number, (part, place) in enumerate(zip(parts, places, strict=True)):
                yield from self.node(f"{path}[{number}]", part, place)
        elif parts and not self.lost(path, "prefixItems"):
            yield f"{path}: prefixItems"
        items = full.get("items")
        if isinstance(items, dict):
            place = wire.get("items")
            if isinstance(place, dict):
                yield from self.node(f"{path}[*]", items, place)
            elif items and not self.lost(path, "items"):
                yield f"{path}: items"


def places_of(wire: Mapping[str, Any]) -> list[Any]:
    """Where the alternatives of a union are on the wire."""
    inner = wire.get("properties", {})
    tagged = [node for name, node in inner.items() if name != "tag"] if "tag" in inner else []
    return [place for place in wire.get("anyOf") or wire.get("oneOf") or tagged if not is_null(place)]


def kinds(node: Mapping[str, Any]) -> frozenset[str]:
    found = node.get("type", ())
    return frozenset([found] if isinstance(found, str) else found) - {"null"}


def is_null(node: Any) -> bool:
    return isinstance(node, dict) and node.get("type") == "null"


def entries_of(wire: Mapping[str, Any]) -> dict[str, Any]:
    """Key and value of the entries that a dict is on the wire."""
    items = wire.get("items")
    inner: dict[str, Any] = items.get("properties", {}) if isinstance(items, dict) else {}
    return inner if list(inner) == ["key", "value"] else {}


def without_null(node: Mapping[str, Any], resolved: Any) -> tuple[bool, Mapping[str, Any]]:
    """Whether a node admits null by its type, and the node without it."""
    found = False
    bare = dict(node)
    if bare.pop("nullable", False) or is_null(bare):
        found = True
    if isinstance(bare.get("type"), list) and "null" in bare["type"]:
        rest = [kind for kind in bare["type"] if kind != "null"]
        bare["type"], found = (rest[0] if len(rest) == 1 else rest), True
    if "enum" in bare and None in bare["enum"]:
        bare["enum"], found = [value for value in bare["enum"] if value is not None], True
    for keyword in ("anyOf", "oneOf"):
        parts = bare.get(keyword, ())
        others = [part for part in parts if not is_null(resolved(part))]
        if len(others) == 1 < len(parts):
            inner = without_null(resolved(others[0]), resolved)[1]
            return True, {**inner, **{key: value for key, value in bare.items() if key != keyword}}
        found = found or len(others) < len(parts)
    return found, bare


# --- the vendors' meta-schemas


META_SCHEMAS = {
    "gemini": ("gemini_202602", "gemini_202503"),
    "openai": ("openai_202602",),
}


@cache
def meta_schemas(profile: str) -> list[Draft202012Validator]:
    """Those of a profile; none where ../shared is not."""
    files = [SHARED / f"vectors/gemini_profile/{name}.json" for name in META_SCHEMAS.get(profile, ())]
    return [Draft202012Validator(json.loads(file.read_text("utf-8"))) for file in files if file.exists()]


def against_meta_schemas(compiled: Any) -> Iterator[str]:
    for validator in meta_schemas(compiled.profile):
        for error in validator.iter_errors(compiled.wire_schema):
            yield f"{error.json_path}: {error.message[:200]}"
    if compiled.profile in META_SCHEMAS:
        yield from unknown_names(compiled.wire_schema, compiled.profile)


def unknown_names(node: Any, profile: str) -> Iterator[str]:
    """What a meta-schema cannot say: names that are no properties; with openai every property is required."""
    for child in children_of(node):
        yield from unknown_names(child, profile)
    if "properties" in node:
        names = set(node["properties"])
        for keyword in ("required", "propertyOrdering"):
            if not set(node.get(keyword, ())) <= names:
                yield f"{keyword} {node[keyword]} of {sorted(names)}"
        if profile == "openai" and set(node["required"]) != names:
            yield f"required {node['required']} of {sorted(names)}"


def children_of(node: Mapping[str, Any]) -> Iterator[Any]:
    """The schemas one level below."""
    for keyword in ("properties", "$defs"):
        yield from node.get(keyword, {}).values()
    for keyword in ("prefixItems", "anyOf", "oneOf", "allOf"):
        yield from node.get(keyword, ())
    for keyword in ("items", "additionalProperties"):
        if isinstance(node.get(keyword), dict):
            yield node[keyword]


def standard(node: Any) -> Any:
    """The schema with OpenAPI's `nullable` in the words of JSON Schema."""
    if isinstance(node, list):
        return [standard(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: standard(value) for key, value in node.items()}
    if found.get("nullable") is True:
        return {"anyOf": [{key: value for key, value in found.items() if key != "nullable"}, {"type": "null"}]}
    return found


# --- values


def exact(value: Any) -> Any:
    """The same JSON with every number that has a fraction as a Decimal, so that `multipleOf` is exact."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [exact(item) for item in value]
    return Decimal(repr(value)) if isinstance(value, float) else value


def json_text(value: Any) -> str:
    """JSON with the digits of a Decimal as they are."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{json_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(json_text, value)) + "]"
    return json.dumps(value)


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down: True is not 1. An int may be a float of the same value."""
    if type(left) is not type(right):
        return {type(left), type(right)} == {int, float} and bool(left == right)
    if isinstance(left, BaseModel):
        return same(contents(left), contents(right))
    if dataclasses.is_dataclass(left):
        return same(vars(left), vars(right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(item, right[key]) for key, item in left.items())
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def contents(model: BaseModel) -> dict[str, Any]:
    return {**model.__dict__, **(model.model_extra or {})}


def test_the_checker_finds_a_silent_loss() -> None:
    """A constraint that is taken off the wire, or a loss that is taken out of the report, is found."""

    class Line(BaseModel):
        code: str
        amounts: list[int]

    compiled = compile_schema(Line, "gemini")
    assert [] == list(silent_losses(compiled))
    full = json.loads(json.dumps(compiled.json_schema))
    full["properties"]["code"]["pattern"] = "^a"
    full["properties"]["amounts"]["maxItems"] = 3
    full["properties"]["amounts"]["items"]["minimum"] = 1
    found = list(silent_losses(dataclasses.replace(compiled, json_schema=full)))
    assert ["$.code: pattern '^a'", "$.amounts: maxItems 3", "$.amounts[*]: minimum 1"] == found
