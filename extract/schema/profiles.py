"""What each kind of endpoint honours of JSON Schema, as data: keywords, forms and published limits.

Sources: Google's SDK and structured-output page (gemini), the API page (page), OpenAI's structured-output guide
(openai), llama.cpp's grammar converter (llamacpp), the OpenAPI subset of function declarations (function).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

Profile = Literal["gemini", "page", "openai", "llamacpp", "full", "function"]

_BOUNDS = frozenset({"minimum", "maximum", "minItems", "maxItems"})
_FINE = frozenset({"pattern", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_LENGTHS = frozenset({"minLength", "maxLength"})
_TIMES = frozenset({"date", "date-time", "time"})
_ALL_TYPES = frozenset({"string", "integer", "number", "boolean", "null"})


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What an endpoint enforces. The structure (type, properties, required, items, enum) is enforced by all."""

    keywords: frozenset[str] | None  # constraints; None: every one
    formats: frozenset[str] | None  # of strings; None: every one
    any_of: bool  # a union can be said
    tuples: bool  # prefixItems
    maps: bool  # additionalProperties with a schema
    open: bool  # additionalProperties: true
    enum_types: frozenset[str]  # JSON types of the values of an enum
    ordering: bool = False  # propertyOrdering is asked for
    lone_null: bool = True  # null as the only type
    null_types: bool = True  # null as a second type; else `nullable: true`, and fields that may be left out
    automaton: bool = False  # the schema becomes an automaton, and one with many states may be refused
    limits: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))  # published, see `SchemaSize`


_PAGE = Abilities(
    keywords=_BOUNDS,
    formats=_TIMES,
    any_of=False,  # in Google's own list, but lost on the way through translating gateways
    tuples=True,
    maps=False,  # arrives empty
    open=True,
    enum_types=frozenset({"string", "integer", "number"}),
    automaton=True,
)

PROFILES: dict[Profile, Abilities] = {
    "gemini": replace(_PAGE, ordering=True),
    "page": _PAGE,
    "openai": Abilities(
        keywords=_BOUNDS | _FINE,
        formats=_TIMES | {"duration", "email", "hostname", "ipv4", "ipv6", "uuid"},
        any_of=True,
        tuples=False,
        maps=False,
        open=False,
        enum_types=_ALL_TYPES,
        lone_null=False,
        limits=MappingProxyType({"properties": 5000, "depth": 10, "characters": 120_000, "enum_values": 1000}),
    ),
    "llamacpp": Abilities(
        keywords=_BOUNDS | _LENGTHS | {"pattern"},
        formats=_TIMES | {"uuid"},
        any_of=True,
        tuples=True,
        maps=True,
        open=True,
        enum_types=_ALL_TYPES,
    ),
    "full": Abilities(
        keywords=None,
        formats=None,
        any_of=True,
        tuples=True,
        maps=True,
        open=True,
        enum_types=_ALL_TYPES,
    ),
    "function": Abilities(
        keywords=_BOUNDS,
        formats=_TIMES,
        any_of=False,
        tuples=False,
        maps=False,
        open=False,
        enum_types=frozenset({"string"}),
        null_types=False,
        automaton=True,
    ),
}
