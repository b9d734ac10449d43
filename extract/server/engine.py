"""The words between the parts of the server: a checked request, the pieces of an answer, and who makes them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]

AUTO, NONE, REQUIRED = "auto", "none", "required"


@dataclass(frozen=True, slots=True)
class Link:
    """A content part that is no text: the URL of a file (http or data), or None and the `kind` of the part."""

    url: str | None
    kind: str = "image_url"


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: its role, its parts, the calls that it makes or the id of the call that it answers."""

    role: str
    parts: tuple[str | Link, ...] = ()
    tool_calls: tuple[Json, ...] = ()
    answers: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call."""

    name: str
    description: str = ""
    parameters: Json = field(default_factory=lambda: {"type": "object", "properties": {}})


@dataclass(frozen=True, slots=True)
class CallRules:
    """The functions that an answer may call, whether it must call one, and whether several."""

    tools: tuple[Tool, ...]
    must: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One checked request; `body` is what was sent. `schema` None asks for free text, `calls` None for no call."""

    turns: tuple[Turn, ...]
    max_tokens: int
    sampling: Json = field(default_factory=dict)
    schema: Json | None = None
    calls: CallRules | None = None
    search: bool = False
    thoughts: bool = False
    effort: str = "high"
    stream: bool = False
    include_usage: bool = False
    body: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer as the fields of a chunk's delta; `model` if it is not the engine's."""

    fields: Json
    model: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The end of an answer: why it ended, and the tokens it took, in the shape of the API."""

    finish_reason: str | None
    usage: Json | None


Pieces = AsyncGenerator[Delta | End, None]


class Engine(Protocol):
    """What answers checked requests: deltas, and one `End` as the last piece; refuses with a WireError.

    `model` names it, empty if it has many; `slots` is how many requests it works on at a time.
    """

    @property
    def model(self) -> str: ...

    @property
    def slots(self) -> int: ...

    def stream(self, call: ChatCall) -> Pieces: ...

    async def models(self) -> list[Json]: ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a text model is asked: plain messages, and the shape that its text must have, if any."""

    messages: list[dict[str, str]]
    max_tokens: int
    sampling: Json = field(default_factory=dict)
    schema: Json | None = None
    calls: CallRules | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """The end of a text: why it ended (`stop` or `length`), and the tokens it took."""

    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class TextModel(Protocol):
    """A model that writes text in pieces, and one `Written` as the last."""

    @property
    def model(self) -> str: ...

    @property
    def slots(self) -> int: ...

    def write(self, prompt: Prompt) -> AsyncGenerator[str | Written, None]: ...


def usage(prompt: int, completion: int, reasoning: int = 0) -> Json:
    """The `usage` of an answer; `completion` includes the tokens of thoughts."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
