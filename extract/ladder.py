"""How far the schema of a request is relaxed: the rungs below the full one, and where a run stands on them.

An endpoint may refuse a schema as too complex. The same record is then asked with the schema one rung further down, and
later records begin there. What was refused and what was answered is in the journal, so that a run which is taken up
again finds for each record the answer of the first rung that has one. Answers are judged by the full schema always.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Generic, Protocol, TypeVar

from extract.errors import ErrorClass, RunStopped
from extract.parts import Part
from extract.records import ChatRequest, Record
from extract.requests import RequestBuilder
from extract.schema import RUNGS, CompiledSchema, Loss
from extract.schema.losses import BIG_ENUM


class Overtaken(Exception):  # noqa: N818  # it says what has become of a request
    """A request that is not sent any more, since its schema was refused for another record meanwhile."""


class TooComplex(RunStopped):
    """The endpoint refuses the schema even when all has been given up that can be."""

    code = "schema_too_complex"


class Answered(Protocol):
    """A stored answer; `kind` is the error class of one that is a refusal."""

    @property
    def kind(self) -> str: ...


Found = TypeVar("Found", bound=Answered)


@dataclass(frozen=True)
class Descent:
    """A schema and what it becomes rung by rung; compiled when an endpoint first refuses it."""

    schema: CompiledSchema

    @cached_property
    def schemas(self) -> tuple[CompiledSchema, ...]:
        """The full schema first."""
        return tuple(_relaxed(self.schema))

    def at(self, relaxed: Sequence[str]) -> CompiledSchema:
        """The schema that has given this up."""
        if not relaxed:
            return self.schema
        return next((schema for schema in self.schemas if len(schema.rungs) >= len(relaxed)), self.schemas[-1])


def _relaxed(schema: CompiledSchema) -> Iterator[CompiledSchema]:
    """The schema and its relaxed ones. On the last rung, a record's own big enums go too."""
    found: CompiledSchema | None = schema
    while found is not None and len(found.rungs) < len(RUNGS):
        yield found
        schema, found = found, found.relaxed()
    paths = [path for path, shape in schema.bindings if shape.verbatim and shape.verbatim.limit > BIG_ENUM]
    if paths:
        last = found or replace(schema, options=replace(schema.options, relax=len(RUNGS)))
        note = f"where a record holds more than {BIG_ENUM} candidates"
        losses = (Loss("$." + ".".join(path), "enum", "checked locally", None, note) for path in paths)
        yield replace(last, losses=(*last.losses, *losses))
    elif found is not None:
        yield found


@dataclass(frozen=True)
class Question:
    """What is asked of each record in one request: the whole schema, or a part of its fields."""

    build: RequestBuilder  # with the full schema
    descent: Descent  # of the whole
    part: Part | None = None

    @cached_property
    def builders(self) -> tuple[RequestBuilder, ...]:
        """A builder for each rung that changes what is asked."""
        found = [self.build]
        full = self.build.schema.wire_schema
        for whole in self.descent.schemas[1:]:
            schema = self.part.schema_of(whole) if self.part else whole
            own = schema.bindings and len(schema.rungs) == len(RUNGS)
            if own or schema.wire_schema != found[-1].schema.wire_schema:
                found.append(replace(self.build, schema=schema, unrelaxed=full))
        return tuple(found)

    @property
    def is_shared(self) -> bool:
        """Whether all records are asked with the same schema, so that a refusal of it speaks of all of them."""
        return not (self.build.schema.bindings or self.build.prompt.narrow)


@dataclass
class Ladder:
    """Where a run stands with one of its questions."""

    question: Question
    number: int = 0  # of the question
    rung: int = 0  # where records begin
    looks_down: bool = False  # the journal may hold answers on lower rungs
    said: int = 0  # the rung that was last spoken of
    _answered: int = 0  # the lowest rung that something was answered on
    _scout: asyncio.Event | None = None

    def __post_init__(self) -> None:
        self.said = self.rung = min(self.rung, self.last) if self.rung else 0

    @property
    def last(self) -> int:
        return len(self.question.builders) - 1

    @property
    def rungs(self) -> int:
        """How many rungs are looked at for an answer."""
        return self.last + 1 if self.rung or self.looks_down else 1

    @property
    def relaxed(self) -> tuple[str, ...]:
        """What is given up where records begin."""
        return self.question.builders[self.rung].schema.rungs if self.rung else ()

    def reached(self, rung: int, *, answered: bool = False) -> None:
        """Some record is at this rung."""
        self.rung = max(self.rung, rung)
        if answered:
            self._answered = max(self._answered, rung)

    def is_open(self, rung: int) -> bool:
        """Whether something was answered there, so that no request has to wait for another."""
        return rung <= self._answered

    @asynccontextmanager
    async def turn(self, rung: int) -> AsyncIterator[bool]:
        """Whether a request may be sent now, or is to look again first.

        On a lower rung where nothing was answered yet, one request goes ahead and the others wait for what it finds:
        so a schema that must come down far is refused for one record, not for all that are at work.
        """
        if rung <= self._answered:
            yield True
        elif self._scout is None:
            self._scout = asyncio.Event()
            try:
                yield True
            finally:
                self._scout.set()
                self._scout = None
        else:
            await self._scout.wait()
            yield False

    def too_complex(self, message: str) -> TooComplex:
        """The error for a schema that was refused on the last rung."""
        part, relaxed = self.question.part, self.question.builders[-1].schema.rungs
        of_part = f" of {', '.join(part.names)}" if part else ""
        without = f" even without {', '.join(relaxed)}" if relaxed else ""
        return TooComplex(
            f"the endpoint finds the schema{of_part} too complex{without}: {message}",
            hint=f"make it smaller, or ask for its fields in {'more' if part else 'several'} requests: split_fields",
        )


def refuse_overtaken(ladders: Sequence[Ladder]) -> Callable[[ChatRequest], None]:
    """Raises Overtaken for a request whose rung the run has left."""

    def refuse(request: ChatRequest) -> None:
        if ladders[request.part].rung > request.rung and not request.is_repair:
            raise Overtaken

    return refuse


@dataclass(frozen=True, slots=True)
class Step(Generic[Found]):
    """A request on its rung; `answer` is stored already, or None: it is to be asked.

    An answer that is a refusal of the schema: no rung is left.
    """

    request: ChatRequest
    answer: Found | None
    relaxed: tuple[str, ...]


@dataclass
class Climb:
    """One record's way down a ladder. Raises Unaskable when made for a record that cannot be asked."""

    ladder: Ladder
    record: Record
    refused: list[str] = field(default_factory=list)  # requests of this record that were too complex
    _requests: list[ChatRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._request(0)

    def look(self, lookup: Callable[[str], Found | None]) -> Step[Found]:
        """The answer of the first rung that has one; else what to ask: below all refusals, where the run stands."""
        self.refused.clear()
        wanted, refusal = self.ladder.rung, None
        for rung in range(self.ladder.rungs):
            found = lookup(self._request(rung).hash)
            if found is None:
                continue
            if found.kind != ErrorClass.SCHEMA:
                return self._step(rung, found)
            self.refused.append(self._request(rung).hash)
            wanted, refusal = max(wanted, rung + 1), found
        if refusal is None or wanted <= self.ladder.last:
            return self._step(wanted, None)
        return self._step(self.ladder.last, refusal)

    def rung_of(self, name: str) -> int:
        """The rung of a request that was asked or found."""
        return next(rung for rung, request in enumerate(self._requests) if request.hash == name)

    def _step(self, rung: int, answer: Found | None) -> Step[Found]:
        return Step(self._request(rung), answer, self.ladder.question.builders[rung].schema.rungs if rung else ())

    def _request(self, rung: int) -> ChatRequest:
        while len(self._requests) <= rung:
            number = len(self._requests)
            build = self.ladder.question.builders[number] if number else self.ladder.question.build
            request = build(self.record)
            part = self.ladder.number
            self._requests.append(replace(request, part=part, rung=number) if part or number else request)
        return self._requests[rung]
