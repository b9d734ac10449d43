"""Answers in a stream: the events and their order, silence, errors, and a client that goes."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from extract.server import Delta, LocalServer, create_app
from extract.server.refusals import bad_request, server_error
from server.shapes import CHUNK
from server.support import USER, FakeEngine, Json, chunks, joined, make_api

STREAM: Json = {"messages": [USER], "stream": True}
WORDS = tuple(Delta({"content": word}) for word in ("{", '"é', "\u2028", "\ud800", '"}'))


def test_a_stream_has_the_openai_shape() -> None:
    """The role first, the deltas as they come, the reason of the end, [DONE]; every chunk has every field."""
    response = make_api(FakeEngine(pieces=WORDS)).post(STREAM)
    assert (200, "text/event-stream") == (response.status_code, response.headers["content-type"])
    found = chunks(response)
    for chunk in found:
        jsonschema.validate(chunk, CHUNK)
    assert {"role": "assistant", "content": "", "refusal": None} == found[0]["choices"][0]["delta"]
    assert '{"é\u2028\ud800"}' == joined(found, "content")
    assert [None] * 6 + ["stop"] == [chunk["choices"][0]["finish_reason"] for chunk in found]
    assert 1 == len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in found})


def test_usage_comes_last_and_only_if_asked_for() -> None:
    """stream_options.include_usage adds a chunk without choices; else no chunk has a usage."""
    api = make_api(FakeEngine())
    plain, asked = (chunks(api.post({**STREAM, "stream_options": {"include_usage": told}})) for told in (False, True))
    assert [None] * 3 == [chunk["usage"] for chunk in plain]
    assert [None] * 3 == [chunk["usage"] for chunk in asked[:-1]]
    jsonschema.validate(asked[-1], CHUNK)
    assert ([], 8) == (asked[-1]["choices"], asked[-1]["usage"]["total_tokens"])


def test_silence_is_filled_with_comments() -> None:
    """While no token comes, a comment says that the connection lives; the role is sent before."""
    text = make_api(FakeEngine(wait=0.2), keep_alive=0.03).post(STREAM).text
    first, second, *_ = text.split("\n\n")
    assert first.startswith("data: ")
    assert ": keep-alive" == second
    assert 3 <= text.count(": keep-alive\n\n")
    assert '{"a": 1}' == joined(chunks(text), "content")


def test_an_error_before_the_first_token_has_its_status() -> None:
    """What is refused at once is refused as without a stream."""
    for error, status in ((bad_request("no", "messages"), 400), (server_error("gone", status=503), 503)):
        response = make_api(FakeEngine(error=error)).post(STREAM)
        assert (status, error.body) == (response.status_code, response.json())
    assert 500 == make_api(FakeEngine(error=RuntimeError("bug"))).post(STREAM).status_code


@pytest.mark.parametrize("error", [server_error("gone", status=503), RuntimeError("bug")])
@pytest.mark.parametrize("before", [0, 1])
def test_a_later_error_is_an_event(error: Exception, before: int, tmp_path: Path) -> None:
    """When the status is sent already, the error comes in the stream, and neither an end nor [DONE]."""
    engine = FakeEngine(pieces=WORDS, error=error, before=before, wait=0.1)
    response = make_api(engine, keep_alive=0.02, ledger=tmp_path / "l").post(STREAM)
    assert 200 == response.status_code
    *_, last = [line for line in response.text.split("\n") if line.startswith("data: ")]
    assert "server_error" == json.loads(last.removeprefix("data: "))["error"]["type"]
    assert "[DONE]" not in response.text
    line = json.loads((tmp_path / "l").read_text())
    expected = getattr(error, "status", 500)
    assert (expected, before > 0) == (line["status"], line["billed"])


async def leave(url: str, body: Json, after: int) -> None:
    """Close the connection after this many lines of the stream, or while the answer is made."""
    async with httpx.AsyncClient() as http:
        if not body.get("stream"):
            with pytest.raises(httpx.ReadTimeout):
                await http.post(url, json=body, timeout=0.3)
            return
        async with http.stream("POST", url, json=body) as response:
            lines = response.aiter_lines()
            for _ in range(after):
                await anext(lines)


@pytest.mark.parametrize("after", [1, 5])
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_stops_the_engine(stream: bool, after: int, tmp_path: Path) -> None:
    """The work for nobody ends at once, is freed for others, and its line in the ledger says so."""
    engine = FakeEngine(pieces=WORDS * 1000, wait=0.05)
    with LocalServer(engine=engine, keep_alive=0.02, ledger=tmp_path / "l") as server:
        url = f"{server.base_url}/chat/completions"
        asyncio.run(leave(url, {**STREAM, "stream": stream}, after))
        deadline = time.monotonic() + 5
        while engine.closed == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (1, 0) == (engine.closed, engine.in_work)
        counts = httpx.get(server.base_url.replace("/v1", "/ledger")).json()
        assert {"requests": 1, "completions": 0, "in_work": 0} == counts
    line = json.loads((tmp_path / "l").read_text())
    assert (499, stream) == (line["status"], line["stream"])


def test_a_client_that_reads_no_more_and_goes_stops_the_engine() -> None:
    """Also when the server was just stuck in sending: the engine is closed before the request is over."""
    engine = FakeEngine(pieces=WORDS * 1000, wait=0.02)
    app = create_app(engine)
    inbox: list[Json] = [{"type": "http.request", "body": json.dumps(STREAM).encode(), "more_body": False}]
    stuck = asyncio.Event()

    async def receive() -> Json:
        if inbox:
            return inbox.pop()
        await stuck.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if b"content" in message.get("body", b"") and b"role" not in message["body"]:
            stuck.set()
            await asyncio.sleep(60)

    scope: Json = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b""}
    scope |= {"headers": [(b"host", b"local")], "scheme": "http", "server": ("local", 80), "root_path": ""}

    async def serve() -> tuple[int, int]:
        await asyncio.wait_for(app(scope, receive, send), 10)
        return engine.closed, engine.in_work

    assert (1, 0) == asyncio.run(serve())


def test_a_stream_leaves_room_for_the_next_request() -> None:
    """A stream that has ended, or was refused, is no longer counted as in work."""
    api = make_api(FakeEngine(slots=1), max_waiting=0)
    statuses: list[Any] = [api.post(STREAM).status_code for _ in range(3)]
    api.engine.error = bad_request("no")
    statuses += [api.post(STREAM).status_code for _ in range(3)]
    assert [200, 200, 200, 400, 400, 400] == statuses
