"""What Pydantic says of a type: its JSON Schema with each node marked, and what is read from its core schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import partial
from itertools import starmap
from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_jsonable_python

from extract.errors import SchemaError
from extract.records import path_to
from extract.schema.nodes import json_text
from extract.schema.shapes import Choice, JsonSchema
from extract.verbatim import VERBATIM, Verbatim

MARK = "x-extract-core"  # numbers of the core schemas of a node, the innermost first
_WRAPPERS = re.compile("function-|lax-or-strict|json-or-python|custom-error|chain")
INVALID = "x-extract-invalid"  # why a type has no JSON Schema


class MarkedGenerator(GenerateJsonSchema):
    """Pydantic's generator, with marks, and with a Decimal as a number and bytes as base64 text."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cores: list[Any] = []

    def build_schema_type_to_method(self) -> dict[Any, Any]:
        methods = super().build_schema_type_to_method()
        return {kind: partial(self._marked, method) for kind, method in methods.items()}

    def generate_inner(self, schema: Any) -> JsonSchema:
        """A class that says its JSON Schema itself passes over the method for its own core schema."""
        node: JsonSchema = super().generate_inner(schema)
        marks = node.get(MARK)
        marked = marks is not None and self.cores[marks[-1]] is schema
        return node if marked or not _WRAPPERS.match(schema["type"]) else self._mark(dict(node), schema)

    def _marked(self, method: Any, schema: Any) -> JsonSchema:
        return self._mark(method(schema), schema)

    def _mark(self, node: JsonSchema, schema: Any) -> JsonSchema:
        self.cores.append(schema)
        node[MARK] = [*node.get(MARK, ()), len(self.cores) - 1]
        return node

    def decimal_schema(self, schema: Any) -> JsonSchema:
        result: JsonSchema = {"type": "number"}  # read from the answer's own digits, never by a float
        self.update_with_validations(result, schema, self.ValidationsMapping.numeric)
        return result

    def dict_schema(self, schema: Any) -> JsonSchema:
        """Keys of any type are said in `propertyNames`, patterns too."""
        result: JsonSchema = {"type": "object"}
        for keyword, part in (("propertyNames", "keys_schema"), ("additionalProperties", "values_schema")):
            result[keyword] = self.generate_inner(schema[part]) if part in schema else {}
        self.update_with_validations(result, schema, self.ValidationsMapping.object)
        return result

    def complex_schema(self, schema: Any) -> JsonSchema:
        return self.handle_invalid_for_json_schema(schema, "complex")

    def generator_schema(self, schema: Any) -> JsonSchema:
        return self.handle_invalid_for_json_schema(schema, "Iterable, which is read only once")

    def json_schema(self, schema: Any) -> JsonSchema:
        return self.handle_invalid_for_json_schema(schema, "Json, whose text is another value than the field's")

    def bytes_schema(self, schema: Any) -> JsonSchema:
        return {"type": "string", "contentEncoding": "base64"}

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchema:
        return {INVALID: error_info}


def members_of(core: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Field name → core schema of each field of a model, dataclass or TypedDict."""
    while "fields" not in core or core["type"] == "dataclass":
        core = core["schema"]
    fields = core["fields"]
    yield from fields.items() if isinstance(fields, dict) else ((item["name"], item) for item in fields)


def json_names(members: Mapping[str, Any], node: JsonSchema, path: str) -> dict[str, str]:
    """Field name → name in JSON: the plain alias by which the model takes it."""
    names: dict[str, str] = {}
    for name, core in members.items():
        alias = core.get("validation_alias", name)
        if not isinstance(alias, str):
            plain = [steps[0] for steps in alias if len(steps) == 1] if isinstance(alias[0], list) else []
            if not plain:
                hint = "use a plain alias, or AliasChoices with one"
                raise SchemaError("an alias that is a path", path=path_to(path, name), hint=hint)
            alias = plain[0]
        names[name] = alias if alias in node.get("properties", {}) else name
    return names


def choices_of(members: list[Any], path: str) -> tuple[Choice, ...]:
    """One choice for each value: by its member's name, its text, or its JSON where two texts are alike."""
    values = [to_jsonable_python(member) for member in members]
    try:
        json_text(values)
    except ValueError:
        raise SchemaError("an enum value that JSON has not", path=path, hint="NaN and Infinity are none") from None
    labels = [
        member.name if isinstance(member, Enum) else value if isinstance(value, str) else json.dumps(value)
        for member, value in zip(members, values, strict=True)
    ]
    if len(set(labels)) < len(labels):
        labels = [json.dumps(value) for value in values]
    return tuple(starmap(Choice, zip(labels, values, members, strict=True)))


def digits_of(core: Mapping[str, Any], path: str) -> tuple[int, int]:
    """Precision and scale that hold whatever `max_digits` and `decimal_places` admit.

    Without both 38 digits, 9 of them decimals; with `max_digits` alone that many before the point and up to 9 after.
    """
    digits, places = core.get("max_digits"), core.get("decimal_places")
    scale = places if places is not None else 9 if digits is None else min(9, digits)
    precision = 38 if digits is None else digits + (scale if places is None else 0)
    if not 1 <= precision <= 76 or not 0 <= scale <= precision:
        raise SchemaError(f"a Decimal of {precision} digits, {scale} decimals", path=path, hint="at most 76 digits")
    return precision, scale


def definitions_of(core: Mapping[str, Any]) -> Iterator[Any]:
    while core["type"] != "definitions":
        if "schema" not in core:
            return
        core = core["schema"]
    yield from core["definitions"]


def verbatim_of(core: Mapping[str, Any]) -> Verbatim | None:
    return (core.get("metadata") or {}).get(VERBATIM)


def own(node: JsonSchema) -> JsonSchema:
    """A node without marks and definitions."""
    return without(node, MARK, "$defs", "discriminator")


def without(node: JsonSchema, *names: str) -> JsonSchema:
    return {key: value for key, value in node.items() if key not in names}
