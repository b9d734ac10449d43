"""Every part of a schema and where its references lead: one that refers to itself without end is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from referencing.exceptions import Unresolvable, Unretrievable

from extract.errors import SchemaError
from extract.verdict.reading import Form, Place, shown
from extract.verdict.words import BINDING, IN_PLACE, LISTS, MAPS, REFS, SCHEMAS

MAX_ROUNDS = 100_000  # schemas that judge one and the same value


def refuse_circles(root: Part, form: Form) -> None:
    """A schema that judges the same value by itself again has no end; one that does so very often, none in time."""
    rounds: dict[int, int | None] = {}  # None while the parts of a schema are being counted
    for part in _parts(root, form):
        _count(part, rounds, form)
        if form.draft == "2019-09" and "unevaluatedProperties" in form.features and "patternProperties" in part.node:
            message = "patternProperties beside unevaluatedProperties is judged in draft 2020-12 only"
            raise SchemaError(message, path=shown(part.path), hint="name draft 2020-12 in $schema")


def _count(part: Part, rounds: dict[int, int | None], form: Form) -> None:
    todo: list[tuple[Part, list[Part] | None]] = [(part, None)]
    while todo:
        here, below = todo.pop()
        if below is not None:
            count = rounds[id(here.node)] = 1 + sum(rounds[id(child.node)] or 0 for child in below)
            if count > MAX_ROUNDS:
                raise SchemaError(f"more than {MAX_ROUNDS:,} schemas judge one value", path=shown(here.path))
        elif BINDING.isdisjoint(here.node):
            rounds[id(here.node)] = 1
        elif id(here.node) not in rounds:
            rounds[id(here.node)] = None
            below = list(_in_place(here, form))
            todo.append((here, below))
            todo.extend((child, None) for child in below)
        elif rounds[id(here.node)] is None:
            raise SchemaError("the schema refers to itself without end", path=shown(here.path))


@dataclass(frozen=True, slots=True)
class Part:
    """A subschema, what resolves its references, and its place."""

    node: dict[str, Any]
    resolver: Any
    path: Place


def _parts(root: Part, form: Form) -> Iterator[Part]:
    """Every subschema that is part of a schema or referred to from it."""
    todo, seen = [root], {id(root.node)}
    while todo:
        part = todo.pop()
        if not isinstance(part.node, dict):
            continue
        form.note(part.node)
        yield part
        for child in (*_targets(part, form), *_children(part, SCHEMAS | LISTS | MAPS, form)):
            if id(child.node) not in seen:
                seen.add(id(child.node))
                todo.append(child)


def _children(part: Part, words: Iterable[str], form: Form) -> Iterator[Part]:
    for child, place in _below(part.node, part.path, words):
        if isinstance(child, dict):
            inner = part.resolver
            if "$id" in child or "id" in child:
                inner = inner.in_subresource(form.resource(child))
            yield Part(child, inner, place)


def _below(node: dict[str, Any], path: Place, words: Iterable[str]) -> Iterator[tuple[Any, Place]]:
    for word, value in node.items():
        if word not in words:
            continue
        place = (path, word)
        if isinstance(value, list) and word in LISTS:
            yield from ((item, (place, index)) for index, item in enumerate(value))
        elif word in MAPS and isinstance(value, dict):
            yield from ((item, (place, name)) for name, item in value.items())
        elif word not in MAPS:
            yield value, place


def _in_place(part: Part, form: Form) -> Iterator[Part]:
    """The subschemas that judge the same value as this one."""
    yield from _targets(part, form)
    yield from _children(part, IN_PLACE, form)


def _targets(part: Part, form: Form) -> list[Part]:
    if REFS.isdisjoint(part.node):
        return []
    if id(part.node) not in form.targets:
        form.targets[id(part.node)] = list(_referred(part))
    return form.targets[id(part.node)]


def _referred(part: Part) -> Iterator[Part]:
    for word in REFS:
        ref = part.node.get(word)
        if not isinstance(ref, str):
            continue
        path = (part.path, word)
        try:
            found = part.resolver.lookup(ref)
        except (Unresolvable, Unretrievable, ValueError, AttributeError, TypeError):  # the last two: no schema there
            hint = "put what it names under $defs"
            raise SchemaError(f"{ref!r} leads nowhere; nothing is fetched", path=shown(path), hint=hint) from None
        if isinstance(found.contents, dict):
            yield Part(found.contents, found.resolver, path)
