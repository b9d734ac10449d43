"""Pydantic model → JSON Schema → `response_format`, and the types of the table."""

from extract.schema.compile import CompiledSchema, Form, JsonSchema, Loss, compile_schema, node_at, places
from extract.schema.profiles import KEYWORDS, Profile
from extract.schema.shapes import Shape

__all__ = [
    "KEYWORDS",
    "CompiledSchema",
    "Form",
    "JsonSchema",
    "Loss",
    "Profile",
    "Shape",
    "compile_schema",
    "node_at",
    "places",
]
