"""A schema read for both validators: its size, its features, and its form for the compiled one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias

import jsonschema_rs

from extract.errors import SchemaError
from extract.patterns import ENGINE, PatternError, pattern_error, portable
from extract.records import path_to
from extract.verdict.formats import FORMATS, exact
from extract.verdict.reference import ENGINES, SPECIFICATIONS, draft_of, known_draft
from extract.verdict.words import DATA, LISTS, MAPS, REFS, ROUTED, SCHEMAS, UNJUDGED

if TYPE_CHECKING:
    from extract.verdict.circles import Part

MAX_DEPTH = 240  # objects and lists of a schema within each other; jsonschema-rs ends at 255
MAX_NODES = 600_000  # values in a schema; a megabyte has fewer

Place: TypeAlias = tuple[Any, str | int] | None  # the path above and a step; written out in errors only


class Form:
    """A schema read for both validators: its features, and its form for the compiled one."""

    def __init__(self, draft: str, formats: bool) -> None:
        self.draft = draft
        self.formats = formats
        self.features: set[str] = set()
        self.portable: dict[str, str] = {}
        self.targets: dict[int, list[Part]] = {}  # what the references of a subschema lead to
        self._specification = SPECIFICATIONS[draft]

    def read(self, schema: Any) -> Any:
        """A copy with exact numbers. SchemaError: too deep, too big, no JSON."""
        if not isinstance(schema, Mapping | bool):
            raise SchemaError(f"a {type(schema).__name__} is no schema", path="$", hint="give an object")
        _refuse_size(schema)
        return exact(schema)

    def resource(self, schema: Any) -> Any:
        if isinstance(schema, dict) and schema.get("$schema") and known_draft(schema):
            return SPECIFICATIONS[draft_of(schema)].create_resource(schema)
        return self._specification.create_resource(schema)

    def note(self, node: dict[str, Any]) -> None:
        """Add what is in ROUTED of a subschema."""
        self.features.update(word for word in ROUTED if word in node and word != "$schema")
        if known_draft(node) and draft_of(node) != self.draft:
            self.features.add("$schema")

    def compiled(self, node: Any, path: Place = None, *, sure: bool = True) -> Any:
        """The schema as the compiled validator reads it alike; `sure` that this is one, not a value that looks so."""
        if isinstance(node, list):
            return [self.compiled(item, (path, index), sure=sure) for index, item in enumerate(node)]
        if not isinstance(node, dict):
            return node
        found: dict[str, Any] = {}
        for word, value in node.items():
            if word not in UNJUDGED:
                self._keyword(found, word, value, path, sure)
        return found

    def _keyword(self, found: dict[str, Any], word: str, value: Any, path: Place, sure: bool) -> None:
        place = (path, word)
        if word == "pattern" and isinstance(value, str):
            found[word] = self._portable(value, place, sure)
        elif word == "format" and isinstance(value, str):
            if self.formats and value in FORMATS:
                found[word] = value
        elif word == "$schema":
            if not isinstance(value, str) or (known_draft({word: value}) and draft_of({word: value}) != self.draft):
                found[word] = value
        elif word in MAPS and isinstance(value, dict):
            found[word] = self._map(word, value, place, sure)
        elif word in DATA:
            found[word] = value
        else:
            if word in REFS and isinstance(value, str) and "/patternProperties" in value:
                self.features.add("#/patternProperties")
            found[word] = self.compiled(value, place, sure=sure and (word in SCHEMAS or word in LISTS))

    def _map(self, word: str, value: dict[str, Any], place: Place, sure: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, part in value.items():
            below = (place, name)
            key = self._portable(name, below, sure) if word == "patternProperties" else name
            inner = self.compiled(part, below, sure=sure)
            found[key] = {"allOf": [found[key], inner]} if key in found else inner  # two spellings of one pattern
        return found

    def _portable(self, pattern: str, path: Place, sure: bool) -> str:
        try:
            if pattern not in self.portable:
                self.portable[pattern] = portable(pattern)
            return self.portable[pattern]
        except PatternError as error:
            if not sure:
                return pattern
            raise pattern_error(shown(path), pattern, error) from None


def shown(path: Place) -> str:
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


def compiled_validator(form: Form, whole: Any, others: Mapping[str, Any]) -> jsonschema_rs.Validator | SchemaError:
    """SchemaError is raised; but returned for a reference, whose place is looked for."""
    schema = form.compiled(whole)
    documents = [(address, form.compiled(other, sure=False)) for address, other in others.items()]
    if "#/patternProperties" in form.features:
        schema, documents = whole, list(others.items())
    _, build, number = ENGINES[form.draft]
    try:
        compiled: jsonschema_rs.Validator = build(
            schema,
            registry=jsonschema_rs.Registry(documents, draft=number) if documents else None,
            formats=dict(FORMATS) if form.formats else None,
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


def _schema_error(error: jsonschema_rs.ValidationError, form: Form) -> SchemaError:
    """What is wrong with a schema, by the first fault that the meta-schema or the compiler names."""
    path = "$"
    for step in error.instance_path:
        path = path_to(path, step)
    word = next((str(step) for step in reversed(error.instance_path) if isinstance(step, str)), "")
    message = error.message[:300]
    if error.kind.name == "format":
        pattern = next((each for each, other in form.portable.items() if other == error.instance), error.instance)
        return pattern_error(path, str(pattern), "it is none, or too big for the local engine, or lacking there")
    if error.kind.name == "$ref":
        return SchemaError(f"a $ref that leads nowhere: {message}", path=path, hint="put what it names under $defs")
    return SchemaError(f"{word or 'the schema'} breaks the rules of its draft: {message}", path=path)
