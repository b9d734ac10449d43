"""What a profile leaves behind of a schema: the keywords, in which order they are given up, and a `Loss` for each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from extract.schema.numerals import counted

Action = Literal["checked locally", "moved to description", "rewritten", "refused"]

RUNGS = ("array bounds", "numeric bounds", "formats", "big enums")  # what is given up, in this order
BIG_ENUM = 50  # values; a bigger one goes into the description on the last rung
_RUNG_KEYWORDS: tuple[frozenset[str], ...] = (
    frozenset({"minItems", "maxItems"}),
    frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    frozenset({"format"}),
)
# Keywords that say which values are allowed; others are annotations, which the wire does not need.
STRUCTURE = frozenset(
    {"type", "properties", "required", "items", "prefixItems", "additionalProperties", "anyOf", "enum", "const"}
)
# Keywords that speak of a value as the full schema has it: of one that is rewritten, with null for what is left out,
# they would say something else.
APPLICATORS = frozenset(
    {
        *("allOf", "oneOf", "not", "if", "then", "else", "contains", "minContains", "maxContains", "additionalItems"),
        *("dependentRequired", "dependentSchemas", "dependencies", "patternProperties", "contentSchema"),
        *("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef"),
    }
)
OF_NAMES = frozenset({"minProperties", "maxProperties", "propertyNames"})
CONSTRAINTS = (
    APPLICATORS
    | OF_NAMES
    | {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType"),
        *("minItems", "maxItems", "uniqueItems"),
    }
)
_PHRASES = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {}",
    "maxLength": "at most {}",
    "pattern": "matches {}",
    "format": "format {}",
    "contentEncoding": "{}",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "uniqueItems": "no item twice",
    "minProperties": "at least {}",
    "maxProperties": "at most {}",
}
_NOUNS = {
    "minLength": "character",
    "maxLength": "character",
    "minItems": "item",
    "maxItems": "item",
    "minProperties": "entry",
    "maxProperties": "entry",
}
_LONGEST_PHRASE = 120  # characters; a longer pattern tells a model nothing


@dataclass(frozen=True, slots=True)
class Loss:
    """A constraint that the profile cannot carry: where, which keyword, and what happens instead.

    `action` is "checked locally", "moved to description" (which the model reads, and is checked locally as well),
    "rewritten" (`note` says into what) or "refused".
    """

    path: str
    keyword: str
    action: Action
    value: Any = None
    note: str = ""

    def __str__(self) -> str:
        value = "" if self.value is None else f" {brief(self.value)}"
        return f"{self.path}: {self.keyword}{value} is {self.action}{f' {self.note}' if self.note else ''}"


def is_given_up(keyword: str, relax: int) -> bool:
    """Whether the first `relax` of RUNGS take a keyword away."""
    return any(keyword in given_up for given_up in _RUNG_KEYWORDS[:relax])


def in_words(keyword: str, value: Any) -> str:
    """A constraint as a description says it; nothing where words do not help."""
    if keyword not in _PHRASES or value is False:
        return ""
    said = counted(value, _NOUNS[keyword]) if keyword in _NOUNS else value
    phrase = _PHRASES[keyword].format(said)
    return phrase if len(phrase) <= _LONGEST_PHRASE else ""


def described(description: str | None, phrases: list[str]) -> str:
    """A description with constraints in words behind it."""
    if not phrases:
        return description or ""
    said = "; ".join(phrases)
    return f"{description} ({said})" if description else said[0].upper() + said[1:]


def brief(value: Any) -> str:
    """A value as JSON, cut off where it grows long."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"
