"""Pydantic's JSON Schema of a type, each node marked with the core schemas that it was made from."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from extract.schema.nodes import without
from extract.schema.shapes import JsonSchema

MARK = "x-extract-core"  # numbers of the core schemas of a node, the innermost first
INVALID = "x-extract-invalid"  # why a type has no JSON Schema
_WRAPPERS = re.compile("function-|lax-or-strict|json-or-python|custom-error|chain")


def marked_schema(adapter: TypeAdapter[Any]) -> tuple[JsonSchema, list[Any]]:
    """The marked schema, and the core schemas by their numbers. Raises what Pydantic raises."""
    generators: list[_Generator] = []

    def generator(*args: Any, **options: Any) -> _Generator:
        generators.append(_Generator(*args, **options))
        return generators[-1]

    node = adapter.json_schema(by_alias=True, mode="validation", schema_generator=generator)  # type: ignore[arg-type]
    return node, generators[-1].cores


def unmarked(node: Any) -> Any:
    """A node without marks, in its parts neither."""
    if isinstance(node, list):
        return [unmarked(item) for item in node]
    return {key: unmarked(value) for key, value in node.items() if key != MARK} if isinstance(node, dict) else node


def own(node: JsonSchema) -> JsonSchema:
    """A node without marks and definitions."""
    return without(node, MARK, "$defs", "discriminator")


class _Generator(GenerateJsonSchema):
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
