"""Fakes for tests of the server: an engine and a text model that say what they are told, and an app in process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from extract.server import Assistant, Corpus, create_app
from extract.server.engine import ChatCall, Delta, End, Pieces, Prompt, Written, usage
from extract.server.media import Media

Json = dict[str, Any]

KEY = "sk-local"
USER = {"role": "user", "content": "TESCO 12 March 2024 milk 1.20 total 2.10"}
STRING = {"type": "string"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": STRING}, "required": ["city"]},
    },
}
SEARCH = {"type": "function", "function": {"name": "googleSearch"}}


def closed(**properties: Json) -> Json:
    """A schema of an object that has exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def form_c(schema: Json) -> Json:
    """The schema as OpenAI's response_format."""
    return {"type": "json_schema", "json_schema": {"name": "row", "strict": True, "schema": schema}}


@dataclass
class FakeEngine:
    """Answers with fixed pieces and remembers the calls.

    `error` is raised after `before` pieces; `wait` is awaited before each piece; `closed` counts ended streams.
    """

    model: str = "fake"
    slots: int = 2
    pieces: tuple[Delta, ...] = (Delta({"content": '{"a": 1}'}),)
    error: Exception | None = None
    before: int = 0
    wait: float = 0.0
    calls: list[ChatCall] = field(default_factory=list)
    in_work: int = 0
    closed: int = 0

    async def stream(self, call: ChatCall) -> Pieces:
        self.calls.append(call)
        self.in_work += 1
        try:
            for number, piece in enumerate(self.pieces):
                await asyncio.sleep(self.wait)
                if self.error is not None and number == self.before:
                    raise self.error
                yield piece
            if self.error is not None:
                raise self.error
            yield End("stop", usage(5, 3))
        finally:
            self.in_work -= 1
            self.closed += 1

    async def models(self) -> list[Json]:
        return [{"id": self.model, "object": "model", "created": 0, "owned_by": "test"}]


@dataclass
class FakeModel:
    """A text model that writes the given texts one after another, a letter at a time, and remembers the prompts."""

    texts: list[str]
    finish_reason: str = "stop"
    model: str = "fake"
    slots: int = 1
    prompts: list[Prompt] = field(default_factory=list)

    async def write(self, prompt: Prompt) -> AsyncGenerator[str | Written, None]:
        self.prompts.append(prompt)
        text = self.texts[len(self.prompts) - 1]
        for letter in text:
            yield letter
        yield Written(self.finish_reason, 10, len(text))


@dataclass
class Api:
    """The app in this process, asked over HTTP's own interface."""

    engine: Any
    http: httpx.AsyncClient

    def post(self, body: Any = None, *, path: str = "/v1/chat/completions", **more: Any) -> httpx.Response:
        payload = {"content": body if isinstance(body, bytes) else json.dumps(body)}

        async def ask() -> httpx.Response:
            return await self.http.post(path, **payload, **more)

        return asyncio.run(ask())

    def get(self, path: str, **more: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            return await self.http.get(path, **more)

        return asyncio.run(ask())


def make_api(engine: Any = None, **options: Any) -> Api:
    engine = engine or FakeEngine()
    transport = httpx.ASGITransport(create_app(engine, **options), raise_app_exceptions=False)
    return Api(engine, httpx.AsyncClient(transport=transport, base_url="http://local"))


def assistant(
    *texts: str, corpus: Path | None = None, media: Media | None = None, finish_reason: str = "stop"
) -> tuple[Api, FakeModel]:
    """An app over an assistant whose model writes these texts."""
    model = FakeModel(list(texts), finish_reason)
    found = None if corpus is None else Corpus(corpus)
    return make_api(Assistant(model, corpus=found, media=media)), model


def chunks(response: httpx.Response | str) -> list[Json]:
    """The data of each event but [DONE], which must be the last."""
    text = response if isinstance(response, str) else response.text
    data = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    assert "[DONE]" == data.pop()
    return [json.loads(each) for each in data]


def joined(deltas: Iterable[Json], name: str) -> str:
    """The texts of this field of the chunks' deltas."""
    return "".join(choice["delta"].get(name) or "" for chunk in deltas for choice in chunk["choices"])
