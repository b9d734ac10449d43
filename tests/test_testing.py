"""The scripted server: real HTTP, answers that the test decides, a ledger of what came."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from extract.testing import Call, Reply, ScriptedServer, completion


def post(server: ScriptedServer, content: str = "hi", **more: object) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": content}]}
    return httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=5, **more)  # type: ignore[arg-type]


def test_content_becomes_a_completion() -> None:
    """Text as it stands, data as its JSON."""
    with ScriptedServer(lambda call: {"n": call.number, "said": call.prompt}) as server:
        answer = post(server, "ä").json()
    assert {"n": 1, "said": "ä"} == json.loads(answer["choices"][0]["message"]["content"])
    assert {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15} == answer["usage"]


def test_a_reply_decides_everything() -> None:
    with ScriptedServer(lambda call: Reply(b"busy", status=503, headers={"retry-after": "7"})) as server:
        answer = post(server)
    assert (503, b"busy", "7") == (answer.status_code, answer.content, answer.headers["retry-after"])


def test_a_dropped_connection_has_no_answer() -> None:
    with ScriptedServer(lambda call: Reply(drop=True)) as server, pytest.raises(httpx.RemoteProtocolError):
        post(server)


def test_the_ledger_keeps_all_calls_with_their_headers() -> None:
    with ScriptedServer(lambda call: "x") as server:
        post(server, "one")
        post(server, "two", headers={"X-Own": "Value"})
        httpx.get(f"{server.base_url}/models")
    assert [1, 2, 3] == [call.number for call in server.calls]
    assert ["one", "two"] == [call.prompt for call in server.calls[:2]]
    assert ("Value", "/v1/models", {}) == (server.calls[1].headers["x-own"], server.calls[2].path, server.calls[2].body)
    assert isinstance(server.calls[0], Call)


def test_it_knows_how_many_calls_it_had_at_one_time() -> None:
    async def many(url: str) -> None:
        async with httpx.AsyncClient() as client:
            body = {"messages": [{"content": "x"}]}
            await asyncio.gather(*(client.post(f"{url}/chat/completions", json=body) for _ in range(5)))

    with ScriptedServer(lambda call: Reply(completion("x"), delay=0.2)) as server:
        asyncio.run(many(server.base_url))
        assert (5, 0) == (server.most_in_flight, server.in_flight)


def test_it_ends_while_calls_are_in_flight() -> None:
    """Leaving the block does not wait for slow answers."""

    async def hang(url: str) -> None:
        async with httpx.AsyncClient(timeout=0.2) as client:
            with pytest.raises(httpx.TimeoutException):
                await client.post(f"{url}/chat/completions", json={"messages": [{"content": "x"}]})

    with ScriptedServer(lambda call: Reply("x", delay=60)) as server:
        asyncio.run(hang(server.base_url))


def test_a_completion_can_be_anything() -> None:
    found = completion(None, finish_reason="length", tokens=(1, 2), refusal="no")
    assert {"role": "assistant", "content": None, "refusal": "no"} == found["choices"][0]["message"]
    assert ("length", 3) == (found["choices"][0]["finish_reason"], found["usage"]["total_tokens"])
