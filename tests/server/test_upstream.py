"""The server in front of another endpoint: what is sent on, what comes back, and whose key is whose."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from extract.server import LocalServer, Upstream
from extract.testing import Reply, ScriptedServer, completion
from server.shapes import CHUNK
from server.support import KEY, USER, WEATHER, Json, chunks, form_c, joined, make_api

OWN = {"Authorization": f"Bearer {KEY}"}
CALLS = [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]


@contextmanager
def fronted(script: Callable[[Any], Any], **options: Any) -> Iterator[tuple[str, ScriptedServer]]:
    """A server in front of a scripted one, and that one."""
    with ScriptedServer(script) as behind:
        url = behind.base_url
        with LocalServer(upstream=url, upstream_key="sk-upstream", api_key=KEY, **options) as server:
            yield server.base_url, behind


def post(url: str, body: Json, **more: Any) -> httpx.Response:
    return httpx.post(f"{url}/chat/completions", json=body, headers=OWN, timeout=10, **more)


def events(*data: Any, end: bytes = b"data: [DONE]\n\n") -> Reply:
    body = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in data) + end
    return Reply(body, headers={"Content-Type": "text/event-stream"})


def piece(finish_reason: str | None = None, **delta: Any) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "u", "object": "chat.completion.chunk", "model": "big-1", "choices": [choice]}


def test_a_request_goes_on_as_it_came_but_for_the_key(tmp_path: Path) -> None:
    """Every field, our key for theirs; the answer with its model, and a line in our ledger."""
    answered = completion("{}", reasoning_content="Well.", annotations=[{"type": "url_citation"}])
    sent = {"model": "big", "messages": [USER], "response_format": form_c({"type": "object"}), "top_a": 0.5}
    with fronted(lambda _: Reply({**answered, "model": "big-1"}), ledger=tmp_path / "l") as (url, behind):
        answer = post(url, sent).json()
    assert {**sent, "stream": False} == behind.calls[0].body
    headers = {name.lower(): value for name, value in behind.calls[0].headers.items()}
    assert "Bearer sk-upstream" == headers["authorization"]
    assert KEY not in str(headers)
    message = answer["choices"][0]["message"]
    assert ("big-1", "{}", "Well.") == (answer["model"], message["content"], message["reasoning_content"])
    assert [{"type": "url_citation"}] == message["annotations"]
    assert 15 == answer["usage"]["total_tokens"]
    line = json.loads((tmp_path / "l").read_text())
    assert (200, True, 10) == (line["status"], line["billed"], line["prompt_tokens"])


def test_an_upstream_on_this_machine_is_asked_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is not shown its key."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with fronted(lambda _: "{}") as (url, _):
        answer = post(url, {"messages": [USER]}, trust_env=False)
    assert 200 == answer.status_code


def test_our_checks_come_first() -> None:
    """What we refuse, and who has no key, never gets there."""
    with fronted(lambda _: "{}") as (url, behind):
        assert 400 == post(url, {"messages": []}).status_code
        assert 400 == post(url, {"messages": [USER], "n": 2}).status_code
        body = {"messages": [USER]}
        assert 401 == httpx.post(f"{url}/chat/completions", json=body).status_code
    assert [] == behind.calls


def test_calls_come_back_whole() -> None:
    """Function calls keep their ids."""
    with fronted(lambda _: Reply(completion(None, finish_reason="tool_calls", tool_calls=CALLS))) as (url, _):
        choice = post(url, {"messages": [USER], "tools": [WEATHER]}).json()["choices"][0]
    assert ("tool_calls", CALLS, None) == (
        choice["finish_reason"],
        choice["message"]["tool_calls"],
        choice["message"]["content"],
    )


def test_a_stream_is_a_stream() -> None:
    """Chunk by chunk, with the usage that we always ask for given to those who asked."""
    used = {**piece(), "choices": [], "usage": completion("")["usage"]}
    script = events(piece(role="assistant"), piece(content="a"), piece(content="b"), piece("stop"), used)
    with fronted(lambda _: script) as (url, behind):
        asked = {"messages": [USER], "stream": True, "stream_options": {"include_usage": True}}
        found = chunks(post(url, asked))
        plain = chunks(post(url, {"messages": [USER], "stream": True}))
    assert {"include_usage": True} == behind.calls[1].body["stream_options"]
    assert ("ab", "ab") == (joined(found, "content"), joined(plain, "content"))
    assert (15, None) == (found[-1]["usage"]["total_tokens"], plain[-1]["usage"])
    assert "stop" == plain[-1]["choices"][0]["finish_reason"]
    assert "big-1" == plain[-1]["model"]
    jsonschema.validate(plain[1], CHUNK)


def test_json_in_place_of_a_stream_is_streamed() -> None:
    """An upstream that does not stream is as good."""
    with fronted(lambda _: "whole") as (url, _):
        assert "whole" == joined(chunks(post(url, {"messages": [USER], "stream": True})), "content")


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (Reply({"error": {"code": "rate", "message": "slow"}}, 429, {"Retry-After": "7"}), 429, "rate"),
        (Reply({"error": {"code": "bad", "message": "no"}}, 400), 400, "bad"),
        (Reply({"error": {"message": "your key is sk-upstream"}}, 401), 502, "upstream_unauthorized"),
        (Reply("<html>", 504), 504, "upstream_error"),
        (Reply({}, 302, {"Location": "http://127.0.0.1:1/"}), 502, "upstream_error"),
        (Reply("no json"), 502, "upstream_error"),
        (Reply({"choices": []}), 502, "upstream_error"),
        (Reply({"choices": None, "error": {"code": "odd"}}), 502, "odd"),
        (Reply({"choices": [{"message": {"tool_calls": "f"}}]}), 502, "upstream_error"),
        (Reply('{"choices": [{"message": {"content": NaN}}]}'), 502, "upstream_error"),
        (Reply(drop=True), 502, "upstream_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_goes_wrong_behind_is_told(reply: Reply, status: int, code: str, stream: bool) -> None:
    """Errors keep their status, body and Retry-After; our key's trouble is not blamed on the client's."""
    with fronted(lambda _: reply) as (url, _):
        answer = post(url, {"messages": [USER], "stream": stream})
    assert (status, code) == (answer.status_code, answer.json()["error"]["code"])
    assert (reply.headers.get("Retry-After"), False) == (answer.headers.get("retry-after"), "sk-" in answer.text)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (events(piece(content="a"), {"error": {"code": "died"}}), "died"),
        (events(piece(content="a")), "upstream_error"),
        (events(piece(content="a"), end=b""), "upstream_error"),
        (events(piece(content="a"), end=b"data: {\n\n"), "upstream_error"),
        (events(piece(content="a"), piece(tool_calls=[{"function": "f"}])), "upstream_error"),
    ],
)
def test_a_stream_that_breaks_off_is_no_answer(reply: Reply, code: str) -> None:
    """What has no finish_reason ends in an error event, and not in [DONE]."""
    with fronted(lambda _: reply) as (url, _):
        text = post(url, {"messages": [USER], "stream": True}).text
    *_, last = [line for line in text.split("\n") if line]
    assert code == json.loads(last.removeprefix("data: "))["error"]["code"]


def test_models_are_the_upstreams() -> None:
    """/v1/models is asked there; an upstream that is gone is a 502."""
    with ScriptedServer(lambda _: Reply({"data": [{"id": "big"}, 7]})) as behind:
        api = make_api(Upstream(behind.base_url))
        listed = api.get("/v1/models")
    assert (200, {"object": "list", "data": [{"id": "big"}]}) == (listed.status_code, listed.json())
    assert 502 == api.get("/v1/models").status_code


SECRET = "sk-up/stream+key=1234"


@pytest.mark.parametrize("quoted", [SECRET, SECRET.replace("/", "\\/"), SECRET.replace("s", "\\u0073")])
@pytest.mark.parametrize("status", [200, 400, 429])
@pytest.mark.parametrize("stream", [False, True])
def test_our_key_is_not_told_in_an_error(quoted: str, status: int, stream: bool) -> None:
    """However it is written, in an error of any status, in a stream, and in a header."""
    body = f'{{"error": {{"message": "wrong: {quoted}", "{quoted}": ["{quoted}"]}}}}'
    headers = {"x-request-id": SECRET}
    if stream and status == 200:
        body, headers = f"data: {body}\n\n", {"content-type": "text/event-stream"}
    with (
        ScriptedServer(lambda call: Reply(body.encode(), status=status, headers=headers)) as behind,
        LocalServer(upstream=behind.base_url, upstream_key=SECRET, api_key=KEY) as server,
    ):
        answer = post(server.base_url, {"model": "m", "messages": [USER], "stream": stream})
        listed = httpx.get(f"{server.base_url}/models", headers=OWN, timeout=10)
    for found in (answer, listed):
        assert "stream+key" not in found.text.replace("\\", "")
        assert "stream+key" not in str(found.headers)
    assert "wrong: ***" in answer.text


def test_the_upstream_is_asked_for_plain_answers_and_layers_are_refused() -> None:
    twice = gzip.compress(gzip.compress(json.dumps(completion("{}")).encode()))
    reply = Reply(twice, headers={"content-encoding": "gzip, gzip"})
    with fronted(lambda _: reply) as (url, behind):
        answer = post(url, {"model": "m", "messages": [USER]})
        assert "identity" == behind.calls[0].headers["accept-encoding"]
    assert (502, "upstream_error") == (answer.status_code, answer.json()["error"]["code"])
