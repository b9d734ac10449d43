"""Requests with one thing wrong: whatever it is, there is an answer, and it is no 500."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from extract.server import Assistant
from extract.server.engine import Prompt, Written
from extract.server.grammar import grammar_of, without_enum_texts
from extract.server.tools import calls_grammar
from server.support import WEATHER, FakeModel, Json, form_c, make_api

CALLED = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PARTS = [
    {"type": "text", "text": "x"},
    {"type": "image_url", "image_url": {"url": "data:,a"}},
    {"type": "file", "file": {"file_data": "data:,b"}},
]
PLAIN: Json = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": PARTS},
        {"role": "assistant", "content": None, "tool_calls": [CALLED]},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ],
    "max_tokens": 5,
    "n": 1,
    "stop": ["a"],
    "stream": False,
    "stream_options": None,
    "seed": 1,
    "temperature": 1.0,
    "reasoning_effort": "low",
    "include_thoughts": True,
}
ITEM = {"type": "object", "properties": {"c": {}}, "required": ["c"], "minProperties": 1}
ROWS = {"type": "array", "items": ITEM, "minItems": 1}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "enum": ["x"]}, "b": ROWS}, "$defs": {"q": {}}}
BODIES: tuple[Json, ...] = (
    {**PLAIN, "tools": [WEATHER], "tool_choice": "auto"},
    {**PLAIN, "response_format": form_c(SCHEMA)},
)
ODD: tuple[Any, ...] = (
    *(None, 0, -1, 1e308, 10**30, "", "x", "\ud800", "data:,", "<|im_end|>", True),
    *([], {}, [[]], [{}], [None], {"a": 1}, {"url": 5}, {"type": "object"}, {"type": "function"}),
)


class Compiling(FakeModel):
    """Makes the grammars that llama.cpp would be given."""

    async def write(self, prompt: Prompt) -> AsyncGenerator[str | Written, None]:
        if prompt.calls is not None:
            calls_grammar(prompt.calls)
        if prompt.schema is not None:
            grammar_of(prompt.schema)
            grammar_of(without_enum_texts(prompt.schema))
        yield "text" if prompt.schema is None else '{"a": 1}'
        yield Written("stop", 1, 1)


def paths(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a body."""
    yield path
    steps = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, child in steps:
        yield from paths(child, (*path, step))


def changed(body: Json, path: tuple[Any, ...], *value: Any) -> Any:
    """The body with another value there, or with none."""
    copy = json.loads(json.dumps(body))
    if not path:
        return value[0]
    node = copy
    for step in path[:-1]:
        node = node[step]
    if value:
        node[path[-1]] = value[0]
    else:
        del node[path[-1]]
    return copy


def bodies() -> Iterator[Any]:
    for body in BODIES:
        for path in paths(body):
            yield from (changed(body, path, value) for value in ODD)
            if path:
                yield changed(body, path)


def test_one_thing_wrong_is_never_a_500() -> None:
    """Every value of two rich requests is replaced by every odd one, and dropped: 200 or 400, and both occur."""
    api = make_api(Assistant(Compiling([])))
    seen: Counter[int] = Counter()

    async def ask() -> None:
        for body in bodies():
            answer = await api.http.post("/v1/chat/completions", content=json.dumps(body))
            assert answer.status_code in (200, 400), (answer.text, body)
            seen[answer.status_code] += 1

    asyncio.run(ask())
    assert min(seen[200], seen[400]) > 500
