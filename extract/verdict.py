"""Whether JSON fits its schema: a compiled validator decides, `jsonschema` writes the messages.

The two agree, since both are given the same numbers (Decimals, exact), the same patterns (extract.patterns) and the
same formats. Where they read the standard differently, `jsonschema` has the last word: what the compiled validator
refuses it judges again, and a schema with a feature of `ROUTED` it judges alone.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from itertools import islice
from typing import Any, TypeAlias

import jsonschema
import jsonschema_rs
import referencing.jsonschema
from jsonschema.exceptions import FormatError
from jsonschema.exceptions import ValidationError as Violation
from jsonschema.validators import extend, validator_for
from jsonschema_specifications import REGISTRY as META_SCHEMAS  # type: ignore[import-untyped]  # it has no types
from referencing.exceptions import Unresolvable, Unretrievable

from extract.errors import SchemaError
from extract.patterns import ENGINE, PatternError, matcher, portable
from extract.records import Issue, path_to

MAX_ISSUES = 100  # of one answer; more tell nothing new
MAX_DEPTH = 240  # objects and lists of a schema within each other; jsonschema-rs ends at 255
MAX_NODES = 600_000  # values in a schema; a megabyte has fewer
MAX_ROUNDS = 100_000  # schemas that judge one and the same value
MAX_STEPS = 20_000  # of jsonschema in writing messages, some 0.3 s
MAX_STEPS_ALONE = 200_000  # where it judges alone

_UNEXPLAINED = "the value does not fit its schema; where takes too long to say"

# Features that jsonschema reads in its own way, so that the compiled validator may pass what it refuses.
ROUTED: Mapping[str, str] = {
    "unevaluatedItems": "jsonschema takes other items as evaluated",
    "unevaluatedProperties": "jsonschema takes other properties as evaluated",
    "$dynamicRef": "jsonschema looks for the anchor in other places",
    "$recursiveRef": "jsonschema looks for the anchor in other places",
    "$schema": "a part in another draft than the whole",
    "#/patternProperties": "a $ref through a pattern, which the compiled schema spells otherwise",
}

_SCHEMAS = frozenset(
    (
        *("additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames"),
        *("then", "unevaluatedItems", "unevaluatedProperties"),
    )
)  # keywords whose value is a schema
_LISTS = frozenset(("allOf", "anyOf", "oneOf", "prefixItems", "items"))
_MAPS = frozenset(("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"))
_IN_PLACE = ("not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependencies", "dependentSchemas")
_REFS = frozenset(("$ref", "$dynamicRef", "$recursiveRef"))
_BINDING = _REFS.union(_IN_PLACE)
_DATA = frozenset(("const", "enum", "default", "examples", "required", "type", "dependentRequired", "$vocabulary"))
_UNJUDGED = frozenset(("contentEncoding", "contentMediaType"))  # annotations for jsonschema


class Verdict:
    """Judges instances by one schema; built once, used from any thread.

    The schema's `$schema` names the draft (04, 06, 07, 2019-09, 2020-12; without one 2020-12). `documents` are other
    schemas by address, for `$ref`; nothing is ever fetched. With `formats` the formats date, time and date-time are
    judged, else all formats are annotations.

    SchemaError, with the path in the schema: it breaks its meta-schema, a `$ref` leads nowhere or in a circle, a
    pattern is none or needs what the local engine lacks (atomic groups, conditions on groups, 20,000 characters), it is
    too deep or too big.
    """

    def __init__(
        self,
        schema: Mapping[str, Any] | bool,
        documents: Mapping[str, Mapping[str, Any] | bool] | None = None,
        *,
        formats: bool = False,
    ) -> None:
        form = _Form(_draft_of(schema), formats)
        whole = form.read(schema)
        others = {address: form.read(document) for address, document in (documents or {}).items()}
        fast = _compile(form, whole, others)  # first, since it refuses what is no schema
        self.routed = form.features  # why jsonschema judges alone; empty for nearly every schema
        self._formats = _FORMATS if formats else {}
        self._matchers: dict[str, Callable[[str], bool]] = {}
        registry = META_SCHEMAS.with_resources((address, form.resource(each)) for address, each in others.items())
        resolver = registry.resolver_with_root(form.resource(whole))
        _refuse_circles(_Part(whole, resolver, None), form)
        if isinstance(fast, SchemaError):
            raise fast
        self._fast = fast
        self._slow = _CLASSES[form.draft](whole, registry=registry, _resolver=resolver)

    def accepts(self, instance: Any) -> bool:
        """Whether the instance fits."""
        return self._passes(instance) or not self._errors(instance, 1)

    def issues(self, instance: Any, limit: int = MAX_ISSUES) -> list[Issue]:
        """What does not fit, in order of place; empty for a valid instance."""
        if self._passes(instance):
            return []
        errors = sorted(self._errors(instance, limit), key=lambda error: _order(error.path))
        return [_issue(error) for error in errors]

    def _passes(self, instance: Any) -> bool:
        if self.routed:
            return False
        try:
            return self._fast.is_valid(instance)
        except ValueError:  # no JSON: a lone surrogate, a key that is no text
            return False

    def _errors(self, instance: Any, limit: int) -> list[Violation]:
        exact = _exact(instance)
        session = _Session(self, exact)
        found: list[Violation] = []
        try:
            for error in islice(self._slow.evolve(format_checker=session).iter_errors(exact), limit):
                found.append(error)  # one by one: those found before an end stay
        except (_TooManyStepsError, RecursionError, Unresolvable):
            if not found and not self._fast.is_valid(exact):
                found.append(Violation(_UNEXPLAINED, validator="unexplained", instance=instance))
        return found

    def _matches(self, pattern: str, text: str) -> bool:
        found = self._matchers.get(pattern)
        if found is None:
            found = self._matchers[pattern] = matcher(portable(pattern))
        try:
            return found(text)
        except UnicodeEncodeError:  # half of a surrogate pair
            return False


# ---- reading the schema


_Path: TypeAlias = tuple[Any, str | int] | None  # the path above and a step; written out in errors only


class _Form:
    """A schema read for both validators: its features, and its form for the compiled one."""

    def __init__(self, draft: str, formats: bool) -> None:
        self.draft = draft
        self.formats = formats
        self.features: set[str] = set()
        self.portable: dict[str, str] = {}
        self.targets: dict[int, list[_Part]] = {}  # what the references of a subschema lead to
        self._specification = _SPECIFICATIONS[draft]

    def read(self, schema: Any) -> Any:
        """A copy with exact numbers. SchemaError: too deep, too big, no JSON."""
        if not isinstance(schema, Mapping | bool):
            raise SchemaError(f"a {type(schema).__name__} is no schema", path="$", hint="give an object")
        _refuse_size(schema)
        return _exact(schema)

    def resource(self, schema: Any) -> Any:
        if isinstance(schema, dict) and schema.get("$schema") and _known_draft(schema):
            return _SPECIFICATIONS[_draft_of(schema)].create_resource(schema)
        return self._specification.create_resource(schema)

    def note(self, node: dict[str, Any]) -> None:
        """Add what is in ROUTED of a subschema."""
        self.features.update(word for word in ROUTED if word in node and word != "$schema")
        if _known_draft(node) and _draft_of(node) != self.draft:
            self.features.add("$schema")

    def compiled(self, node: Any, path: _Path = None, *, sure: bool = True) -> Any:
        """The schema as the compiled validator reads it alike; `sure` that this is one, not a value that looks so."""
        if isinstance(node, list):
            return [self.compiled(item, (path, index), sure=sure) for index, item in enumerate(node)]
        if not isinstance(node, dict):
            return node
        found: dict[str, Any] = {}
        for word, value in node.items():
            if word not in _UNJUDGED:
                self._keyword(found, word, value, path, sure)
        return found

    def _keyword(self, found: dict[str, Any], word: str, value: Any, path: _Path, sure: bool) -> None:
        place = (path, word)
        if word == "pattern" and isinstance(value, str):
            found[word] = self._portable(value, place, sure)
        elif word == "format" and isinstance(value, str):
            if self.formats and value in _FORMATS:
                found[word] = value
        elif word == "$schema":
            if not isinstance(value, str) or (_known_draft({word: value}) and _draft_of({word: value}) != self.draft):
                found[word] = value
        elif word in _MAPS and isinstance(value, dict):
            found[word] = self._map(word, value, place, sure)
        elif word in _DATA:
            found[word] = value
        else:
            if word in _REFS and isinstance(value, str) and "/patternProperties" in value:
                self.features.add("#/patternProperties")
            found[word] = self.compiled(value, place, sure=sure and (word in _SCHEMAS or word in _LISTS))

    def _map(self, word: str, value: dict[str, Any], place: _Path, sure: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, part in value.items():
            below = (place, name)
            key = self._portable(name, below, sure) if word == "patternProperties" else name
            inner = self.compiled(part, below, sure=sure)
            found[key] = {"allOf": [found[key], inner]} if key in found else inner  # two spellings of one pattern
        return found

    def _portable(self, pattern: str, path: _Path, sure: bool) -> str:
        try:
            if pattern not in self.portable:
                self.portable[pattern] = portable(pattern)
            return self.portable[pattern]
        except PatternError as error:
            if not sure:
                return pattern
            raise _pattern_error(_shown(path), pattern, error) from None


def _shown(path: _Path) -> str:
    """As the JSON path; of a very long one the end."""
    steps: list[str | int] = []
    while path is not None and len(steps) < MAX_DEPTH:
        path, step = path
        steps.append(step)
    return reduce(path_to, reversed(steps), "$" if path is None else "…")


def _refuse_size(schema: Any) -> None:
    """Level by level, so that neither depth nor a part that holds itself matters."""
    level, count = [schema], 1
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for node in level:
            if type(node) is str or node is None:
                continue
            if isinstance(node, Mapping):
                below.extend(node.values())
                if not all(isinstance(key, str) for key in node):
                    raise SchemaError("a key of the schema is no text", path="$")
            elif isinstance(node, list | tuple):
                below.extend(node)
            else:
                _refuse_value(node)
            if count + len(below) > MAX_NODES:
                raise SchemaError(f"the schema has more than {MAX_NODES:,} values", path="$", hint="split it")
        if not below:
            return
        count += len(below)
        level = below
    raise SchemaError(f"the schema is nested more than {MAX_DEPTH} levels deep", path="$", hint="use $defs and $ref")


def _refuse_value(value: Any) -> None:
    if not isinstance(value, str | int | float | Decimal):
        raise SchemaError(f"the schema holds a value of type {type(value).__name__}, which JSON has not", path="$")
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        raise SchemaError(f"the schema holds {value}, which JSON has not", path="$")


def _compile(form: _Form, whole: Any, others: Mapping[str, Any]) -> jsonschema_rs.Validator | SchemaError:
    """SchemaError is raised; but returned for a reference, whose place is looked for."""
    schema = form.compiled(whole)
    documents = [(address, form.compiled(other, sure=False)) for address, other in others.items()]
    if "#/patternProperties" in form.features:
        schema, documents = whole, list(others.items())
    _, build, number = _ENGINES[form.draft]
    try:
        compiled: jsonschema_rs.Validator = build(
            schema,
            registry=jsonschema_rs.Registry(documents, draft=number) if documents else None,
            formats=dict(_FORMATS) if form.formats else None,
            validate_formats=form.formats,
            pattern_options=ENGINE,
            offline=True,
        )
        return compiled
    except jsonschema_rs.ValidationError as error:
        if error.kind.name == "$ref":
            return _schema_error(error, form)
        raise _schema_error(error, form) from None
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaError(f"the schema cannot be read: {str(error)[:300]}", path="$") from None


def _schema_error(error: jsonschema_rs.ValidationError, form: _Form) -> SchemaError:
    """What is wrong with a schema, by the first fault that the meta-schema or the compiler names."""
    path = "$"
    for step in error.instance_path:
        path = path_to(path, step)
    word = next((str(step) for step in reversed(error.instance_path) if isinstance(step, str)), "")
    message = error.message[:300]
    if error.kind.name == "format":
        pattern = next((each for each, other in form.portable.items() if other == error.instance), error.instance)
        return _pattern_error(path, str(pattern), "it is none, or too big for the local engine, or lacking there")
    if error.kind.name == "$ref":
        return SchemaError(f"a $ref that leads nowhere: {message}", path=path, hint="give the schema in `documents`")
    return SchemaError(f"{word or 'the schema'} breaks the rules of its draft: {message}", path=path)


def _pattern_error(path: str, pattern: str, reason: object) -> SchemaError:
    return SchemaError(
        f"the pattern {pattern[:80]!r} cannot be judged here: {reason}"[:400],
        path=path,
        hint="write it without atomic groups and conditions, and shorter; or check it in the model",
    )


def _refuse_circles(root: _Part, form: _Form) -> None:
    """A schema that judges the same value by itself again has no end; one that does so very often, none in time."""
    rounds: dict[int, int | None] = {}  # None while the parts of a schema are being counted
    for part in _parts(root, form):
        _count(part, rounds, form)
        if form.draft == "2019-09" and "unevaluatedProperties" in form.features and "patternProperties" in part.node:
            message = "patternProperties beside unevaluatedProperties is judged in draft 2020-12 only"
            raise SchemaError(message, path=_shown(part.path), hint="name draft 2020-12 in $schema")


def _count(part: _Part, rounds: dict[int, int | None], form: _Form) -> None:
    todo: list[tuple[_Part, list[_Part] | None]] = [(part, None)]
    while todo:
        here, below = todo.pop()
        if below is not None:
            count = rounds[id(here.node)] = 1 + sum(rounds[id(child.node)] or 0 for child in below)
            if count > MAX_ROUNDS:
                raise SchemaError(f"more than {MAX_ROUNDS:,} schemas judge one value", path=_shown(here.path))
        elif _BINDING.isdisjoint(here.node):
            rounds[id(here.node)] = 1
        elif id(here.node) not in rounds:
            rounds[id(here.node)] = None
            below = list(_in_place(here, form))
            todo.append((here, below))
            todo.extend((child, None) for child in below)
        elif rounds[id(here.node)] is None:
            raise SchemaError("the schema refers to itself without end", path=_shown(here.path))


@dataclass(frozen=True, slots=True)
class _Part:
    """A subschema, what resolves its references, and its place."""

    node: dict[str, Any]
    resolver: Any
    path: _Path


def _parts(root: _Part, form: _Form) -> Iterator[_Part]:
    """Every subschema that is part of a schema or referred to from it."""
    todo, seen = [root], {id(root.node)}
    while todo:
        part = todo.pop()
        if not isinstance(part.node, dict):
            continue
        form.note(part.node)
        yield part
        for child in (*_targets(part, form), *_children(part, _SCHEMAS | _LISTS | _MAPS, form)):
            if id(child.node) not in seen:
                seen.add(id(child.node))
                todo.append(child)


def _children(part: _Part, words: Iterable[str], form: _Form) -> Iterator[_Part]:
    for child, place in _below(part.node, part.path, words):
        if isinstance(child, dict):
            inner = part.resolver
            if "$id" in child or "id" in child:
                inner = inner.in_subresource(form.resource(child))
            yield _Part(child, inner, place)


def _below(node: dict[str, Any], path: _Path, words: Iterable[str]) -> Iterator[tuple[Any, _Path]]:
    for word, value in node.items():
        if word not in words:
            continue
        place = (path, word)
        if isinstance(value, list) and word in _LISTS:
            yield from ((item, (place, index)) for index, item in enumerate(value))
        elif word in _MAPS and isinstance(value, dict):
            yield from ((item, (place, name)) for name, item in value.items())
        elif word not in _MAPS:
            yield value, place


def _in_place(part: _Part, form: _Form) -> Iterator[_Part]:
    """The subschemas that judge the same value as this one."""
    yield from _targets(part, form)
    yield from _children(part, _IN_PLACE, form)


def _targets(part: _Part, form: _Form) -> list[_Part]:
    if _REFS.isdisjoint(part.node):
        return []
    if id(part.node) not in form.targets:
        form.targets[id(part.node)] = list(_referred(part))
    return form.targets[id(part.node)]


def _referred(part: _Part) -> Iterator[_Part]:
    for word in _REFS:
        ref = part.node.get(word)
        if not isinstance(ref, str):
            continue
        path = (part.path, word)
        try:
            found = part.resolver.lookup(ref)
        except (Unresolvable, Unretrievable, ValueError, AttributeError, TypeError):  # the last two: no schema there
            hint = "give the schema in `documents`"
            raise SchemaError(f"{ref!r} leads nowhere; nothing is fetched", path=_shown(path), hint=hint) from None
        if isinstance(found.contents, dict):
            yield _Part(found.contents, found.resolver, path)


# ---- jsonschema, made exact and linear


class _TooManyStepsError(Exception):
    """Writing the messages takes too long."""


class _Session:
    """One judgement by jsonschema: what its keywords share, handed down in place of a format checker."""

    def __init__(self, verdict: Verdict, instance: Any) -> None:
        self.matches = verdict._matches
        self._formats = verdict._formats
        self._left = MAX_STEPS_ALONE if verdict.routed else MAX_STEPS
        self.weight = 1 + len(json.dumps(instance, default=str)) // 2_000  # of a message that shows the whole value

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise _TooManyStepsError

    def check(self, instance: Any, format: str) -> None:
        judge = self._formats.get(format)
        if judge and not judge(instance):
            raise FormatError(f"{instance!r} is not a {format!r}")


def _evolve(self: Any, **changes: Any) -> Any:
    """As jsonschema's own, which would leave our classes for its own at a `$schema`."""
    schema = changes.get("schema", self.schema)
    draft = _draft_of(schema) if _known_draft(schema) else None
    session = changes.get("format_checker", self.format_checker)
    if session is not None:
        session.spend(1)
    return (_CLASSES[draft] if draft else type(self))(
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


_ENGINES: Mapping[str, tuple[Any, Any, int]] = {
    "04": (jsonschema.Draft4Validator, jsonschema_rs.Draft4Validator, jsonschema_rs.Draft4),
    "06": (jsonschema.Draft6Validator, jsonschema_rs.Draft6Validator, jsonschema_rs.Draft6),
    "07": (jsonschema.Draft7Validator, jsonschema_rs.Draft7Validator, jsonschema_rs.Draft7),
    "2019-09": (jsonschema.Draft201909Validator, jsonschema_rs.Draft201909Validator, jsonschema_rs.Draft201909),
    "2020-12": (jsonschema.Draft202012Validator, jsonschema_rs.Draft202012Validator, jsonschema_rs.Draft202012),
}
_SPECIFICATIONS: Mapping[str, Any] = {
    "04": referencing.jsonschema.DRAFT4,
    "06": referencing.jsonschema.DRAFT6,
    "07": referencing.jsonschema.DRAFT7,
    "2019-09": referencing.jsonschema.DRAFT201909,
    "2020-12": referencing.jsonschema.DRAFT202012,
}
_CLASSES = {draft: _class(engines[0], draft) for draft, engines in _ENGINES.items()}
_BY_CLASS = {engines[0]: draft for draft, engines in _ENGINES.items()}


def _known_draft(schema: Any) -> bool:
    """Whether the schema names a draft; another address, of a meta-schema of one's own, is 2020-12 for jsonschema."""
    return isinstance(schema, Mapping) and isinstance(schema.get("$schema"), str) and _class_named(schema) is not None


def _draft_of(schema: Any) -> str:
    """SchemaError: draft 03."""
    if not _known_draft(schema):
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


# ---- numbers, formats, issues


def _exact(node: Any) -> Any:
    """The value with its fractions as Decimals: a float means its shortest digits (three times 0.1 is 0.3 then)."""
    if isinstance(node, Mapping):
        found: dict[str, Any] = {}
        for key, value in node.items():  # no comprehension: half the depth of the stack
            found[key] = _exact(value)
        return found
    if isinstance(node, list | tuple):
        items = []
        for item in node:
            items.append(_exact(item))
        return items
    return Decimal(repr(node)) if isinstance(node, float) else node


_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d"
_TIME = re.compile(rf"{_CLOCK}(:[0-5]\d(\.\d{{1,9}})?)?(Z|[+-]{_CLOCK})?", re.ASCII | re.IGNORECASE)


def _is_date(value: object) -> bool:
    if not isinstance(value, str):
        return True
    try:
        return bool(_DATE.fullmatch(value) and dt.date.fromisoformat(value))
    except ValueError:
        return False


def _is_time(value: object) -> bool:
    return not isinstance(value, str) or bool(_TIME.fullmatch(value))


def _is_date_time(value: object) -> bool:
    """RFC 3339, the zone left open: the model says whether it needs one."""
    if not isinstance(value, str):
        return True
    day, _, clock = value.replace("t", "T").replace(" ", "T").partition("T")
    return _is_date(day) and bool(_TIME.fullmatch(clock))


_FORMATS: Mapping[str, Callable[[object], bool]] = {"date": _is_date, "time": _is_time, "date-time": _is_date_time}


def _order(path: Iterable[int | str]) -> list[tuple[bool, int | str]]:
    """Items of a list by number: the 2nd before the 10th."""
    return [(isinstance(step, str), step) for step in path]


def _issue(error: Violation) -> Issue:
    return Issue("schema", f"schema.{error.validator}", error.json_path, error.message[:500], _short(error.instance))


def _short(value: Any) -> Any:
    """The offending value, whole if small: the raw answer is kept beside it anyway."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return value if len(text) <= 500 else text[:500] + "…"
