"""What a request may hold, what it is refused for, and what is counted of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from functools import reduce
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from extract.server.engine import CallRules, ChatCall, Tool, Turn
from extract.server.refusals import WireError
from extract.server.wire import read_call, read_schema
from server.shapes import ANSWER
from server.support import KEY, SEARCH, STRING, USER, WEATHER, Api, FakeEngine, Json, form_c, make_api

TOOL = Tool("get_weather", "The weather in a city", WEATHER["function"]["parameters"])


def api_limit() -> int:
    from extract.server import ServeOptions

    return ServeOptions().max_body


@pytest.fixture
def api() -> Api:
    return make_api()


def test_the_answer_has_the_complete_openai_shape(api: Api) -> None:
    """A 200 carries every field a client may read, on both paths."""
    for path in ("/v1/chat/completions", "/gemini-3-pro/v1/chat/completions", "/a/b/v1/chat/completions"):
        answer = api.post({"messages": [USER], "max_tokens": 7}, path=path).json()
        jsonschema.validate(answer, ANSWER)
        message = {"role": "assistant", "content": '{"a": 1}', "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        assert [choice] == answer["choices"]
        assert "fake" == answer["model"]
        assert (5, 3, 8) == tuple(answer["usage"][f"{name}_tokens"] for name in ("prompt", "completion", "total"))


def test_the_model_may_be_in_the_path() -> None:
    """An engine of several models gets the name from the path where the body has none."""
    api = make_api(FakeEngine(model=""))
    named = api.post({"messages": [USER]}, path="/gemini-3-pro/v1/chat/completions").json()
    other = api.post({"messages": [USER], "model": "b"}, path="/gemini-3-pro/v1/chat/completions").json()
    assert ("gemini-3-pro", "b") == (named["model"], other["model"])


def test_a_missing_field_is_the_documented_400(api: Api) -> None:
    """The body is the one of the provider's documentation, to the letter."""
    response = api.post({"max_tokens": 7})
    assert response.status_code == 400
    assert response.json() == {
        "error": {
            "code": "invalid_request_error",
            "message": "The 'messages' field is required.",
            "param": "messages",
            "type": "invalid_request_error",
        }
    }


@pytest.mark.parametrize("given", [None, "Bearer wrong", KEY, f"Bearer {KEY}x", "Bearer é"])
def test_a_wrong_key_is_the_documented_401(given: str | None) -> None:
    """No key, a wrong one, and one without Bearer are refused with the documented body."""
    api = make_api(api_key=KEY)
    headers = {} if given is None else {"Authorization": given.encode()}
    for response in (api.post({"messages": [USER]}, headers=headers), api.get("/v1/models", headers=headers)):
        assert response.status_code == 401
        assert response.json() == {
            "error": {"code": "unauthorized", "message": "Invalid API key", "type": "authentication_error"}
        }


def test_the_right_key_is_let_in() -> None:
    """With the key, requests pass; /health needs none."""
    api = make_api(api_key=KEY)
    assert api.post({"messages": [USER]}, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    assert api.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"messages": []}, "messages", "at least 1 item"),
        ({"messages": "hello"}, "messages", "valid list"),
        ({"messages": [{"role": "user"}]}, "messages", "messages.0.content: Field required"),
        ({"messages": [{"role": "critic", "content": "x"}]}, "messages", "messages.0.role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages", "the id of a call before it"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]}, "messages", "the id of a call before"),
        (
            {"messages": [{"role": "user", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": ""}}]}]},
            "messages",
            "only the assistant calls",
        ),
        ({"messages": [{"role": "user", "content": None}]}, "messages", "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "have an 'image_url'"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages", "text part"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": "7"}, "max_tokens", "valid integer"),
        ({"max_tokens": True}, "max_tokens", "valid integer"),
        ({"max_tokens": None}, "max_tokens", "valid integer"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "at most 4"),
        ({"stream": "yes"}, "stream", "valid boolean"),
        ({"stream_options": {"include_usage": True}}, "stream_options", '"stream": true only'),
        ({"n": 2}, "n", "one answer"),
        ({"logprobs": True}, "logprobs", "does not give logprobs"),
        ({"seed": -1}, "seed", "greater than or equal to 0"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort", "'low'"),
        ({"include_thoughts": "yes"}, "include_thoughts", "valid boolean"),
        ({"functions": [{"name": "f"}]}, "functions", "declare functions in 'tools'"),
        ({"tools": [{"type": "function", "function": {"name": "two words"}}]}, "tools", "pattern"),
        ({"tools": [{"type": "web_search"}]}, "tools", "tools.0.function"),
        ({"tools": [WEATHER, WEATHER]}, "tools", "Two functions have one name"),
        ({"tools": [{"function": {"name": "f", "parameters": {"type": "array"}}}]}, "tools", "must be an object"),
        ({"tools": [WEATHER], "tool_choice": "always"}, "tool_choice", "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"function": {"name": "\ud800"}}}, "tool_choice", "has no function"),
        ({"tool_choice": "auto"}, "tool_choice", "only allowed with 'tools'"),
        (
            {"tools": [{"function": {"name": "f"}}], "response_format": {"type": "json_object"}},
            "tools",
            "response_format are mutually exclusive",
        ),
        (
            {"tools": [{"function": {"name": "googleSearch"}}, {"function": {"name": "f"}}]},
            "tools",
            "googleSearch and function calling are mutually exclusive",
        ),
        ({"response_format": {"type": "yaml"}}, "response_format", "expected a bare schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "holds no schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format", "no schema"),
        ({"response_format": "json"}, "response_format", "valid dictionary"),
    ],
)
def test_a_bad_field_is_a_400_that_names_it(api: Api, fields: Json, param: str, words: str) -> None:
    """Each malformed or unsupported field is named, with what is wrong about it."""
    response = api.post({"messages": [USER], **fields})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert words in error["message"]


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_not_json_is_a_400(api: Api, raw: bytes) -> None:
    """Empty, cut, mis-encoded and absurdly nested bodies are refused, never a 500."""
    response = api.post(raw)
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "The request body is not valid JSON."


def test_a_body_that_is_no_object_is_a_400(api: Api) -> None:
    """A JSON array is not a request."""
    assert api.post([1]).json()["error"]["message"] == "The request body must be a JSON object."


def test_a_body_over_the_limit_is_a_413() -> None:
    """A body too large has a status of its own and the usual error shape; the limit is 16 MB unless told."""
    assert api_limit() == 16 * 1024 * 1024
    api = make_api(max_body=200)
    assert api.post({"messages": [USER]}).status_code == 200
    response = api.post(b" " * 201)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"


def test_unknown_paths_and_methods_are_json_errors(api: Api) -> None:
    """A wrong URL gives the usual error shape, not a page."""
    missing, wrong = api.get("/v2/models"), api.get("/v1/chat/completions")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert missing.json()["error"]["message"] == "GET /v2/models: Not Found."


def test_models_lists_the_one_model(api: Api) -> None:
    """/v1/models has the OpenAI list shape."""
    listed = api.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [entry["id"] for entry in listed["data"]] == ["fake"]


def test_a_call_carries_what_was_asked(api: Api) -> None:
    """Messages become plain text, sampling fields pass, unknown and thinking fields are ignored, null is absent."""
    sent = {
        "model": "gemini-3-pro",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ],
        "max_completion_tokens": 9,
        "temperature": 1,
        "top_k": 5,
        "seed": None,
        "stop": "END",
        "stream": False,
        "tools": [],
        "reasoning_effort": "low",
        "include_thoughts": False,
        "whatever": 1,
    }
    api.post(sent)
    assert api.engine.calls == [
        ChatCall(
            turns=(Turn("system", ("Be brief.",)), Turn("user", ("a", "b"))),
            max_tokens=9,
            sampling={"temperature": 1, "top_k": 5, "stop": "END"},
            effort="low",
            body=sent,
        )
    ]


@pytest.mark.parametrize(
    ("choice", "rules"),
    [
        (None, CallRules((TOOL,))),
        ("auto", CallRules((TOOL,))),
        ("none", None),
        ("required", CallRules((TOOL,), must=True)),
        ({"type": "function", "function": {"name": "get_weather"}}, CallRules((TOOL,), must=True)),
    ],
)
def test_tool_choice_decides_what_may_be_called(choice: Any, rules: CallRules | None) -> None:
    """auto lets the model choose, none forbids calls, required and a name demand one."""
    call = read_call({"messages": [USER], "tools": [WEATHER], "tool_choice": choice})
    assert rules == call.calls


def test_a_named_function_is_the_only_one() -> None:
    """Of several functions the named one is left; several calls are for those who ask for them."""
    other = {"function": {"name": "f"}}
    named = {"messages": [USER], "tools": [WEATHER, other], "tool_choice": {"function": {"name": "f"}}}
    many = {"messages": [USER], "tools": [WEATHER, other], "parallel_tool_calls": True}
    assert CallRules((Tool("f"),), must=True) == read_call(named).calls
    assert CallRules((TOOL, Tool("f")), many=True) == read_call(many).calls


def test_search_is_no_function() -> None:
    """googleSearch alone, or with a schema, is a search and nothing to call."""
    call = read_call({"messages": [USER], "tools": [SEARCH], "response_format": {"type": "json_object"}})
    assert (True, None, {"type": "object"}) == (call.search, call.calls, call.schema)


def test_max_tokens_has_a_default() -> None:
    """A request without max_tokens may use 1024."""
    assert read_call({"messages": [USER]}).max_tokens == 1024


@pytest.mark.parametrize(
    "response_format",
    [
        {"type": "json_schema", "properties": {"a": STRING}, "required": ["a"]},
        {"type": "object", "properties": {"a": STRING}, "required": ["a"]},
        form_c({"type": "object", "properties": {"a": STRING}, "required": ["a"]}),
        {"type": "json_schema", "schema": {"type": "object", "properties": {"a": STRING}, "required": ["a"]}},
    ],
)
def test_every_form_of_response_format_is_the_same_schema(response_format: Json) -> None:
    """Flat, bare, OpenAI's and llama.cpp's form carry one and the same schema."""
    assert read_schema(response_format) == {"type": "object", "properties": {"a": STRING}, "required": ["a"]}


def test_json_object_and_text_forms() -> None:
    """json_object asks for any object, text and nothing for free text."""
    assert read_schema({"type": "json_object"}) == {"type": "object"}
    assert read_schema({"type": "text"}) is None
    assert read_schema(None) is None


def test_the_ledger_counts_requests_and_completions(tmp_path: Path) -> None:
    """Every chat request is counted as it arrives, every answer as it leaves, and each gets a line."""
    path = tmp_path / "ledger.jsonl"
    api = make_api(ledger=path)
    good = json.dumps({"messages": [USER]}).encode()
    for raw in (good, b"{", good):
        api.post(raw)
    assert api.get("/ledger").json() == {"requests": 3, "completions": 2, "in_work": 0}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(1, 200, 5, True), (2, 400, None, False), (3, 200, 5, True)] == [
        (line["request"], line["status"], line["prompt_tokens"], line["billed"]) for line in lines
    ]
    assert lines[0]["sha256"] == hashlib.sha256(good).hexdigest()


def test_a_crash_of_the_engine_is_a_500_in_the_ledger(tmp_path: Path) -> None:
    """A bug in the engine is not hidden from the ledger."""
    path = tmp_path / "ledger.jsonl"
    api = make_api(ledger=path)
    api.engine.error = RuntimeError("bug")
    assert api.post({"messages": [USER]}).status_code == 500
    assert json.loads(path.read_text())["status"] == 500


def test_a_crash_of_the_engine_is_told_in_the_usual_shape() -> None:
    """A 500 is JSON too, and says nothing of the inside."""
    answer = make_api(FakeEngine(error=RuntimeError("secret"))).post({"messages": [USER]})
    expected = {"code": "server_error", "message": "The server failed while it answered.", "type": "server_error"}
    assert {"error": expected} == answer.json()


def test_the_ledger_says_what_a_request_was_for(tmp_path: Path) -> None:
    """The row and the attempt that a client names are in its line, cut to a length, beside the path."""
    path = tmp_path / "ledger.jsonl"
    headers = {"X-Row-Key": "r" * 300, "X-Attempt": "2"}
    make_api(ledger=path).post({"messages": [USER], "stream": True}, path="/m/v1/chat/completions", headers=headers)
    line = json.loads(path.read_text())
    assert ("r" * 200, "2", "/m/v1/chat/completions", True) == tuple(
        line[name] for name in ("row", "attempt", "path", "stream")
    )


def test_balance_is_the_documented_body(api: Api) -> None:
    """A local model has no quota; the key is asked for."""
    expected = {"success": True, "remain_balance": -1, "used_balance": 0, "unlimited_quota": True}
    assert expected == api.get("/v1/balance").json()
    assert 401 == make_api(api_key=KEY).get("/v1/balance").status_code


def test_too_many_requests_are_a_429_with_retry_after() -> None:
    """Beyond those worked on and those that may wait the answer is a 429, until one of them is done."""
    api = make_api(FakeEngine(slots=1, wait=0.1), max_waiting=1)

    async def ask(count: int) -> list[Any]:
        posts = (api.http.post("/v1/chat/completions", json={"messages": [USER]}) for _ in range(count))
        return list(await asyncio.gather(*posts))

    async def both() -> tuple[list[Any], list[Any]]:
        return await ask(3), await ask(2)

    first, second = asyncio.run(both())
    assert [200, 200, 429] == sorted(answer.status_code for answer in first)
    assert [200, 200] == [answer.status_code for answer in second]
    refused = next(answer for answer in first if answer.status_code == 429)
    assert ("1", "rate_limit_exceeded") == (refused.headers["retry-after"], refused.json()["error"]["code"])


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"max_tokens": 10**30}, "max_tokens"),
        ({"top_k": 10**20}, "top_k"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages"),
        (
            {"response_format": {"type": "object", "properties": {"a": {"type": "array", "minItems": 10**9}}}},
            "response_format",
        ),
        ({"response_format": {"type": "object", "properties": {"a": {"enum": ["\udfff"]}}}}, "response_format"),
        (
            {"response_format": {"type": "object", "properties": reduce(lambda a, _: {"p": a}, range(300), {})}},
            "response_format",
        ),
    ],
)
def test_what_would_keep_the_server_busy_or_break_it_is_a_400(change: dict[str, Any], param: str) -> None:
    """Counts and depths are bounded, and text is text."""
    with pytest.raises(WireError) as caught:
        read_call({"messages": [{"role": "user", "content": "x"}]} | change)
    assert (400, param) == (caught.value.status, caught.value.body["error"]["param"])


async def status_of(headers: dict[str, str]) -> int:
    """What a chat request with these headers gets from a server that answers to `local` only."""
    api = make_api(hosts=["local"])
    body = json.dumps({"messages": [{"role": "user", "content": "x"}]})
    async with api.http as http:
        response = await http.post("/v1/chat/completions", content=body, headers=headers)
    return response.status_code


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({}, 200),
        ({"content-type": "text/plain"}, 415),
        ({"host": "evil.example", "content-type": "application/json"}, 400),
    ],
)
def test_a_page_in_a_browser_cannot_use_the_server(headers: dict[str, str], status: int) -> None:
    """Neither by a content type that needs no permission, nor by a name of its own that points here."""
    assert status == asyncio.run(status_of(headers))


def test_a_body_without_end_is_not_read_for_ever() -> None:
    """Some of what is over the limit is read, so that the client sees the answer; not all there is."""
    api, read = make_api(max_body=1000), []

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            read.append(1)
            yield b" " * 100

    async def ask() -> int:
        return (await api.http.post("/v1/chat/completions", content=endless())).status_code

    assert 413 == asyncio.run(ask())
    assert 10 < len(read) < 100


def test_faults_stand_in_front_of_the_app() -> None:
    """An empty profile gives a fault to a request that asks for one, and to no other."""
    api = make_api(faults="")
    assert "x-fault" not in api.post({"messages": [USER]}).headers
    asked = api.post({"messages": [USER]}, headers={"X-Fault": "Q5"})
    assert "Q5" in asked.headers["x-fault"]
    assert "x-fault" not in make_api().post({"messages": [USER]}, headers={"X-Fault": "Q5"}).headers
