"""Keywords by what their value is, and the features that `jsonschema` reads in its own way."""

from __future__ import annotations

from collections.abc import Mapping

# Features that jsonschema reads in its own way, so that the compiled validator may pass what it refuses.
ROUTED: Mapping[str, str] = {
    "unevaluatedItems": "jsonschema takes other items as evaluated",
    "unevaluatedProperties": "jsonschema takes other properties as evaluated",
    "$dynamicRef": "jsonschema looks for the anchor in other places",
    "$recursiveRef": "jsonschema looks for the anchor in other places",
    "$schema": "a part in another draft than the whole",
    "#/patternProperties": "a $ref through a pattern, which the compiled schema spells otherwise",
}

SCHEMAS = frozenset(
    (
        *("additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames"),
        *("then", "unevaluatedItems", "unevaluatedProperties"),
    )
)  # keywords whose value is a schema
LISTS = frozenset(("allOf", "anyOf", "oneOf", "prefixItems", "items"))
MAPS = frozenset(("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"))
IN_PLACE = ("not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependencies", "dependentSchemas")
REFS = frozenset(("$ref", "$dynamicRef", "$recursiveRef"))
BINDING = REFS.union(IN_PLACE)
DATA = frozenset(("const", "enum", "default", "examples", "required", "type", "dependentRequired", "$vocabulary"))
UNJUDGED = frozenset(("contentEncoding", "contentMediaType"))  # annotations for jsonschema
