"""`jsonschema`, made exact and linear: its own validators with some keywords written anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import jsonschema
import jsonschema_rs
import referencing.jsonschema
from jsonschema.exceptions import FormatError
from jsonschema.exceptions import ValidationError as Violation
from jsonschema.validators import extend, validator_for

from extract.errors import SchemaError

MAX_STEPS = 20_000  # in writing messages, some 0.3 s
MAX_STEPS_ALONE = 200_000  # where it judges alone


Matches = Callable[[str, str], bool]  # pattern and text


class TooManyStepsError(Exception):
    """Writing the messages takes too long."""


class Session:
    """One judgement by jsonschema: what its keywords share, handed down in place of a format checker."""

    def __init__(
        self, matches: Matches, formats: Mapping[str, Callable[[object], bool]], alone: bool, instance: Any
    ) -> None:
        self.matches = matches
        self._formats = formats
        self._left = MAX_STEPS_ALONE if alone else MAX_STEPS
        self.weight = 1 + len(json.dumps(instance, default=str)) // 2_000  # of a message that shows the whole value

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooManyStepsError

    def check(self, instance: Any, format: str) -> None:
        judge = self._formats.get(format)
        if judge and not judge(instance):
            raise FormatError(f"{instance!r} is not a {format!r}")


def _evolve(self: Any, **changes: Any) -> Any:
    """As jsonschema's own, which would leave our classes for its own at a `$schema`."""
    schema = changes.get("schema", self.schema)
    draft = draft_of(schema) if known_draft(schema) else None
    session = changes.get("format_checker", self.format_checker)
    if session is not None:
        session.spend(1)
    return (CLASSES[draft] if draft else type(self))(
        schema,
        format_checker=session,
        registry=self._registry,
        _resolver=changes.get("_resolver", self._resolver),
    )


def _is_integer(_: Any, value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, Decimal) and value == value.to_integral_value())


def _multiple_of(validator: Any, step: Any, value: Any, _: Any) -> Iterator[Violation]:
    """Exact for any size: the remainder of two Decimals fails beyond 28 digits."""
    if validator.is_type(value, "number") and Fraction(value) % Fraction(step) != 0:
        yield Violation(f"{value} is not a multiple of {step}")


def _pattern(validator: Any, pattern: str, value: Any, _: Any) -> Iterator[Violation]:
    if validator.is_type(value, "string") and not validator.format_checker.matches(pattern, value):
        yield Violation(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: dict[str, Any], value: Any, _: Any) -> Iterator[Violation]:
    if validator.is_type(value, "object"):
        for pattern, schema in patterns.items():
            for name, item in value.items():
                if validator.format_checker.matches(pattern, name):
                    yield from validator.descend(item, schema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, rule: Any, value: Any, schema: Any) -> Iterator[Violation]:
    if not validator.is_type(value, "object"):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    matches = validator.format_checker.matches
    extras = [name for name in value if name not in known and not any(matches(each, name) for each in patterns)]
    if isinstance(rule, dict):
        for name in extras:
            yield from validator.descend(value[name], rule, path=name)
    elif not rule and extras:
        names = ", ".join(repr(name) for name in sorted(extras))
        if patterns:
            verb, shown = ("does" if len(extras) == 1 else "do"), ", ".join(map(repr, sorted(patterns)))
            yield Violation(f"{names} {verb} not match any of the regexes: {shown}")
        else:
            verb = "was" if len(extras) == 1 else "were"
            yield Violation(f"Additional properties are not allowed ({names} {verb} unexpected)")


def _unique_items(validator: Any, wanted: Any, value: Any, _: Any) -> Iterator[Violation]:
    """In one pass; jsonschema compares each with each, and misses what sorting sets apart."""
    if wanted and validator.is_type(value, "array") and len({_identity(item) for item in value}) < len(value):
        yield Violation(f"{value!r} has non-unique elements")


def _identity(value: Any) -> Any:
    """Equal for equal JSON values only; 1 equals 1.0, not true."""
    if isinstance(value, bool):
        return (bool, value)
    if isinstance(value, list):
        return (list, *map(_identity, value))
    if isinstance(value, dict):
        return (dict, frozenset((name, _identity(item)) for name, item in value.items()))
    return value


def _unevaluated_properties(validator: Any, rule: Any, value: Any, schema: Any) -> Iterator[Violation]:
    if not validator.is_type(value, "object"):
        return
    seen = _evaluated(validator, value, schema)
    extras = [
        name
        for name, item in value.items()
        if name not in seen and any(True for _ in validator.descend(item, rule, path=name, schema_path=name))
    ]
    if extras:
        names, verb = ", ".join(map(repr, sorted(extras))), "was" if len(extras) == 1 else "were"
        allowed = "not allowed" if rule is False else "not valid under the given schema"
        yield Violation(f"Unevaluated properties are {allowed} ({names} {verb} unexpected)")


def _evaluated(validator: Any, value: dict[str, Any], schema: Any) -> set[str]:
    """The names that jsonschema takes as evaluated, by its own rules; its own function uses `re`."""
    if not isinstance(schema, dict):
        return set()
    seen = set(schema.get("properties", ())) & value.keys()
    for word in ("$ref", "$dynamicRef"):
        if word in schema:
            found = validator._resolver.lookup(schema[word])
            inner = validator.evolve(schema=found.contents, _resolver=found.resolver)
            seen |= _evaluated(inner, value, found.contents)
    for word in ("additionalProperties", "unevaluatedProperties"):
        if word in schema:
            seen |= {name for name, item in value.items() if _fits(validator, item, schema[word])}
    for pattern in schema.get("patternProperties", ()):
        seen |= {name for name in value if validator.format_checker.matches(pattern, name)}
    parts = [part for name, part in schema.get("dependentSchemas", {}).items() if name in value]
    for word in ("allOf", "oneOf", "anyOf"):
        parts += [part for part in schema.get(word, ()) if _fits(validator, value, part)]
    if "if" in schema:
        fits = validator.evolve(schema=schema["if"]).is_valid(value)
        parts += [schema["if"]] * fits + [schema[word] for word in (("then",) if fits else ("else",)) if word in schema]
    return seen.union(*(_evaluated(validator, value, part) for part in parts))


def _fits(validator: Any, value: Any, schema: Any) -> bool:
    return next(validator.descend(value, schema), None) is None


def _costly(keyword: Any) -> Any:
    """The keyword, paying for messages that show the whole value and are thrown away."""

    def judge(validator: Any, rule: Any, value: Any, schema: Any) -> Iterator[Violation]:
        validator.format_checker.spend(validator.format_checker.weight)
        yield from keyword(validator, rule, value, schema) or ()

    return judge


def _unevaluated_items(keyword: Any) -> Any:
    """The keyword, paying for its time, which grows with the square of the list."""

    def judge(validator: Any, rule: Any, value: Any, schema: Any) -> Iterator[Violation]:
        if isinstance(value, list):
            validator.format_checker.spend(len(value) ** 2 // 1_000)
        yield from keyword(validator, rule, value, schema) or ()

    return judge


def _class(base: Any, draft: str) -> Any:
    words = {
        "multipleOf": _multiple_of,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
    words |= {word: _costly(base.VALIDATORS[word]) for word in ("anyOf", "oneOf", "not")}
    if "unevaluatedItems" in base.VALIDATORS:
        words["unevaluatedItems"] = _unevaluated_items(base.VALIDATORS["unevaluatedItems"])
    if draft == "2020-12":
        words["unevaluatedProperties"] = _unevaluated_properties
    types = base.TYPE_CHECKER if draft == "04" else base.TYPE_CHECKER.redefine("integer", _is_integer)
    made: Any = extend(base, words, type_checker=types)  # type: ignore[no-untyped-call]
    made.evolve = _evolve
    return made


ENGINES: Mapping[str, tuple[Any, Any, int]] = {
    "04": (jsonschema.Draft4Validator, jsonschema_rs.Draft4Validator, jsonschema_rs.Draft4),
    "06": (jsonschema.Draft6Validator, jsonschema_rs.Draft6Validator, jsonschema_rs.Draft6),
    "07": (jsonschema.Draft7Validator, jsonschema_rs.Draft7Validator, jsonschema_rs.Draft7),
    "2019-09": (jsonschema.Draft201909Validator, jsonschema_rs.Draft201909Validator, jsonschema_rs.Draft201909),
    "2020-12": (jsonschema.Draft202012Validator, jsonschema_rs.Draft202012Validator, jsonschema_rs.Draft202012),
}
SPECIFICATIONS: Mapping[str, Any] = {
    "04": referencing.jsonschema.DRAFT4,
    "06": referencing.jsonschema.DRAFT6,
    "07": referencing.jsonschema.DRAFT7,
    "2019-09": referencing.jsonschema.DRAFT201909,
    "2020-12": referencing.jsonschema.DRAFT202012,
}
CLASSES = {draft: _class(engines[0], draft) for draft, engines in ENGINES.items()}
_BY_CLASS = {engines[0]: draft for draft, engines in ENGINES.items()}


def known_draft(schema: Any) -> bool:
    """Whether the schema names a draft; another address, of a meta-schema of one's own, is 2020-12 for jsonschema."""
    return isinstance(schema, Mapping) and isinstance(schema.get("$schema"), str) and _class_named(schema) is not None


def draft_of(schema: Any) -> str:
    """SchemaError: draft 03."""
    if not known_draft(schema):
        return "2020-12"
    named = _class_named(schema)
    if named not in _BY_CLASS:
        raise SchemaError(f"{schema['$schema']} is too old a draft", path="$['$schema']", hint="use 2020-12")
    return _BY_CLASS[named]


def _class_named(schema: Any) -> Any:
    try:
        return validator_for(schema, default=None)  # type: ignore[arg-type]  # returned as it is
    except ValueError:  # the address is none
        return None
