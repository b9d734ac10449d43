"""One request with its good answer, as a fault sees it, and the fault as data."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any, Literal

from extract.dialects import DIALECTS
from extract.errors import ErrorClass
from extract.faults.wire import Json, Wire, chunks_of, encode, plain, sse

OK = "ok"
OUTPUT = "output"
BALANCE, CONFIG, REQUEST, POLICY, SCHEMA, RATE, TRANSIENT = (
    str(kind)
    for kind in (
        ErrorClass.BALANCE,
        ErrorClass.CONFIG,
        ErrorClass.REQUEST,
        ErrorClass.POLICY,
        ErrorClass.SCHEMA,
        ErrorClass.RATE,
        ErrorClass.TRANSIENT,
    )
)


@dataclass(frozen=True)
class Turn:
    """The good answer (a chat.completion), the request's body, and what chance and the clock say."""

    answer: Json
    body: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    now: float = 0.0  # seconds since 1970, for dates in headers

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return self.body.get("stream") is True

    @property
    def usage(self) -> bool:
        """Whether the stream's last chunk with usage was asked for."""
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    @property
    def rng(self) -> Random:
        """The same numbers each time."""
        return Random(self.seed)  # noqa: S311

    @cached_property
    def message(self) -> Json:
        choices = self.answer.get("choices") or [{}]
        return dict(choices[0].get("message") or {})

    @cached_property
    def content(self) -> str:
        """The good answer's text."""
        content = self.message.get("content")
        return content if isinstance(content, str) else ""

    @cached_property
    def data(self) -> Json:
        """The good answer's JSON object; other content as the one value of an object."""
        try:
            found = json.loads(self.content)
        except (ValueError, RecursionError):
            found = self.content
        return found if isinstance(found, dict) else {"answer": found}

    def document(self, **changes: Any) -> Json:
        """A copy of the good answer with other top-level fields."""
        return copy.deepcopy(self.answer) | changes

    def with_message(self, *, finish_reason: Any = ..., usage: Any = None, **changes: Any) -> Json:
        """The document with another message; a change to `...` takes a field away."""
        document = self.document()
        choice = dict((document.get("choices") or [{"index": 0}])[0])
        message = {**self.message, **changes}
        choice["message"] = {name: value for name, value in message.items() if value is not ...}
        if finish_reason is not ...:
            choice["finish_reason"] = finish_reason
        document["choices"] = [choice]
        if usage is not None:
            document["usage"] = {**(document.get("usage") or {}), **usage}
        return document

    def chunks(self, document: Json | None = None, *, usage: bool | None = None) -> list[Json]:
        """The good stream's chunks, or those of `document`."""
        whole = self.answer if document is None else document
        return chunks_of(whole, usage=self.usage if usage is None else usage, rng=self.rng)

    def reply(self, document: Json | None = None, *, usage: bool | None = None) -> Wire:
        """A document in the form that was asked for."""
        if self.stream:
            return sse(self.chunks(document, usage=usage))
        return plain(self.answer if document is None else document)

    def say(self, content: Any, **changes: Any) -> Wire:
        """The good answer with other content."""
        return self.reply(self.with_message(content=content, **changes))

    def say_data(self, data: Any) -> Wire:
        """The good answer with other JSON as its content."""
        return self.say(encode(data).decode())


@dataclass(frozen=True, slots=True)
class Fault:
    """One quirk, in one of its forms.

    `name` is the number in PROTOCOL §7 and the form (`Q19.kie`). `expect`: what a robust client makes of it, the
    likeliest first: "ok", "output" (the answer is wrong) or an error class. `flagged`: a row saved from it says so.
    `billed`: the model has answered, so that it costs. `make` turns a good answer into what is sent.
    """

    name: str
    says: str
    expect: tuple[str, ...]
    make: Callable[[Turn], Wire]
    on: Literal["any", "stream", "plain"] = "any"
    billed: bool = True
    flagged: bool = False

    @property
    def quirk(self) -> str:
        """The number alone: `Q19`."""
        return self.name.partition(".")[0]

    def applies(self, body: Mapping[str, Any]) -> bool:
        """Whether it can be shown to this request."""
        return self.on == "any" or (self.on == "stream") == (body.get("stream") is True)


def refusal(name: str, says: str, wire: Wire | Callable[[Turn], Wire], *expect: str) -> Fault:
    """A fault instead of the model's answer, so that it costs nothing; a `wire` is the same whatever was asked."""
    return Fault(name, says, expect, wire if callable(wire) else lambda turn: wire, billed=False)


def kie_error(code: int, message: str) -> Wire:
    """A refusal as KIE writes it: its own code under HTTP 200."""
    envelope = DIALECTS["kie"].envelopes[0]
    return plain(envelope.body(code, message), envelope.http_status or code)


def error(http: int, message: str, headers: Mapping[str, str] | None = None, **more: Any) -> Wire:
    """A refusal with this HTTP status in the usual envelope."""
    return plain({"error": {"message": message, **more}}, http, headers)
