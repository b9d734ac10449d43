"""What a server puts on the wire as data, and the two good forms of an answer: a JSON body and an event stream."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any, Literal

Json = dict[str, Any]
Framing = Literal["length", "chunked", "close"]

JSON_TYPE = {"content-type": "application/json"}
SSE_TYPE = {"content-type": "text/event-stream; charset=utf-8"}
HTML_TYPE = {"content-type": "text/html; charset=utf-8"}
DONE = b"data: [DONE]\n\n"
MAX_PIECES = 64  # of one answer's text
_LISTED = frozenset({"role", "tool_calls", "content"})


class End(Enum):
    """How an answer breaks off."""

    RESET = "reset"  # the connection is reset
    DROP = "drop"  # the connection is closed
    STALL = "stall"  # nothing more is said, the connection stays


Step = bytes | float | End


@dataclass(frozen=True, slots=True)
class Wire:
    """A script of one response: bytes to send, seconds to wait, how it breaks off.

    `framing`: how the end of the body is told: its length, HTTP chunks (one for each bytes), or the end of the
    connection. With `silent` there is no head either.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    framing: Framing = "length"
    silent: bool = False

    @property
    def body(self) -> bytes:
        """All bytes of the body."""
        return b"".join(step for step in self.steps if isinstance(step, bytes))

    @property
    def breaks(self) -> bool:
        """Whether it ends otherwise than it should."""
        return any(isinstance(step, End) for step in self.steps)


def encode(data: Any) -> bytes:
    """JSON as UTF-8, letters as they are."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def plain(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Wire:
    """A whole JSON body, or text."""
    return Wire(status, {**JSON_TYPE, **(headers or {})}, (encode(data),))


def event(data: Any) -> bytes:
    """One event of a stream."""
    return b"data: " + encode(data) + b"\n\n"


def sse(chunks: Iterable[Any], *, done: bool = True, steps: Sequence[Step] = ()) -> Wire:
    """A stream of these chunks, then `steps`; bytes among the chunks stand as they are."""
    events = tuple(chunk if isinstance(chunk, bytes) else event(chunk) for chunk in chunks)
    return streamed((*events, *((DONE,) if done else ()), *steps))


def streamed(steps: Iterable[Step]) -> Wire:
    """A stream of these steps."""
    return Wire(200, {**SSE_TYPE, "cache-control": "no-cache"}, tuple(steps), "chunked")


def chunks_of(document: Json, *, usage: bool = False, rng: Random | None = None) -> list[Json]:
    """The chunks of a completion: role, pieces of the content, finish_reason; then its usage, if asked for."""
    frame = {key: value for key, value in document.items() if key not in ("choices", "usage")}
    frame["object"] = "chat.completion.chunk"
    if usage:
        frame["usage"] = None
    chunks = [
        {**frame, "choices": [{"index": choice.get("index", 0), "delta": delta, "finish_reason": reason}]}
        for choice in document.get("choices") or []
        for delta, reason in _deltas(choice, rng or Random(0))  # noqa: S311
    ]
    if usage and "usage" in document:
        chunks.append({**frame, "choices": [], "usage": document["usage"]})
    return chunks


def _deltas(choice: Json, rng: Random) -> Iterator[tuple[Json, str | None]]:
    message = choice.get("message") or {}
    content = message.get("content")
    yield {"role": message.get("role", "assistant"), "content": ""}, None
    for name in message:  # in their order: a set has another in each process
        if name not in _LISTED:
            yield {name: message[name]}, None
    if message.get("tool_calls"):
        yield {"tool_calls": [{"index": at, **call} for at, call in enumerate(message["tool_calls"])]}, None
    for piece in pieces(content, rng) if isinstance(content, str) else [content]:
        if piece is not None:
            yield {"content": piece}, None
    yield {}, choice.get("finish_reason")


def pieces(text: str, rng: Random) -> list[str]:
    """A text in pieces of uneven length, in order."""
    longest = max(12, 2 * len(text) // MAX_PIECES)
    found, at = [], 0
    while at < len(text):
        size = rng.randint(1, longest)
        found.append(text[at : at + size])
        at += size
    return found


def split(data: bytes, rng: Random, longest: int = 7) -> tuple[bytes, ...]:
    """Bytes cut anywhere, in order."""
    found, at = [], 0
    while at < len(data):
        size = rng.randint(1, longest)
        found.append(data[at : at + size])
        at += size
    return tuple(found)
