"""Type → JSON Schema → `response_format`, the way back, and the types of the table."""

from extract.schema.compile import CompiledSchema, Form, compile_schema
from extract.schema.forms import Reading
from extract.schema.losses import RUNGS, Loss
from extract.schema.misfit import Misfit
from extract.schema.options import Decimals, Enums
from extract.schema.paths import node_at, places
from extract.schema.profiles import PROFILES, Profile
from extract.schema.shapes import JsonSchema, Shape
from extract.schema.wrapping import is_compilable, name_of

__all__ = [
    "PROFILES",
    "RUNGS",
    "CompiledSchema",
    "Decimals",
    "Enums",
    "Form",
    "JsonSchema",
    "Loss",
    "Misfit",
    "Profile",
    "Reading",
    "Shape",
    "compile_schema",
    "is_compilable",
    "name_of",
    "node_at",
    "places",
]
