"""What each kind of endpoint honours of JSON Schema, as data (keywords of the Gemini list: Google's SDK, types.py)."""

from __future__ import annotations

from typing import Literal

Profile = Literal["gemini", "page", "openai", "llamacpp", "full"]

_STRUCTURE = frozenset({"type", "description", "enum", "properties", "required", "additionalProperties", "items"})
_BOUNDS = frozenset({"minimum", "maximum", "minItems", "maxItems"})
_FINE = frozenset({"pattern", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_STRINGS = frozenset({"minLength", "maxLength"})

# None: every keyword is honoured
KEYWORDS: dict[Profile, frozenset[str] | None] = {
    "gemini": _STRUCTURE | _BOUNDS | {"format", "prefixItems", "anyOf", "title"},
    "page": _STRUCTURE | _BOUNDS | {"format", "prefixItems"},
    "openai": _STRUCTURE | _BOUNDS | _FINE | {"format", "anyOf"},
    "llamacpp": _STRUCTURE | _BOUNDS | _STRINGS | {"format", "anyOf", "pattern"},
    "full": None,
}

# Formats that the endpoint enforces; another format is checked locally.
FORMATS: dict[Profile, frozenset[str] | None] = {
    "gemini": frozenset({"date", "date-time", "time", "duration"}),
    "page": frozenset({"date", "date-time", "time"}),
    "openai": frozenset({"date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}),
    "llamacpp": frozenset({"date", "date-time", "time", "uuid"}),
    "full": None,
}
