"""One attempt over real HTTP: what goes on the wire, and how each fault of the wire is told."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from extract.client import Client, auth_headers, completion_from, exchange
from extract.config import Endpoint, Limits
from extract.errors import APIConnectionError, APIError, APITimeoutError, ConfigError, ErrorClass, InvalidResponseError
from extract.records import ChatRequest, Completion, Usage
from extract.testing import Reply, ScriptedServer, completion
from tests.support import KEY

REQUEST = ChatRequest(b'{"messages": [{"content": "x"}]}', "h")
LIMITS = Limits(timeout=10, connect_timeout=5)


def ask(endpoint: Endpoint, transport: httpx.AsyncBaseTransport | None = None, limits: Limits = LIMITS) -> Completion:
    async def once() -> Completion:
        async with Client(endpoint, "m", limits, transport) as client:
            return await client(REQUEST)

    return asyncio.run(once())


def refused(endpoint: Endpoint, limits: Limits = LIMITS, transport: httpx.AsyncBaseTransport | None = None) -> APIError:
    with pytest.raises(APIError) as caught:
        ask(endpoint, transport, limits)
    return caught.value


@contextmanager
def raw_server(answer: bytes) -> Iterator[str]:
    """A server that reads a request, sends these bytes and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        thread.join(5)


def test_the_request_goes_out_as_it_was_built() -> None:
    """Path, Bearer key, content type and the very bytes of the body."""
    with ScriptedServer(lambda call: "{}") as server:
        ask(server.endpoint(api_key=KEY))
        call = server.calls[0]
    assert "/v1/chat/completions" == call.path
    assert f"Bearer {KEY}" == call.headers["authorization"]
    assert "application/json" == call.headers["content-type"] == call.headers["accept"]
    assert call.headers["user-agent"].startswith("tablecast/")
    assert json.loads(REQUEST.body) == call.body


def test_without_a_key_no_authorization_is_sent() -> None:
    assert {} == auth_headers(Endpoint(base_url="https://example.invalid/v1"))
    with ScriptedServer(lambda call: "{}") as server:
        ask(server.endpoint())
        assert "authorization" not in server.calls[0].headers


def test_a_dialect_may_name_the_model_in_the_path() -> None:
    with ScriptedServer(lambda call: "{}") as server:
        ask(Endpoint(base_url=server.base_url.removesuffix("/v1") + "/", dialect="kie"))
        assert "/m/v1/chat/completions" == server.calls[0].path


@pytest.mark.parametrize("own", [None, httpx.AsyncHTTPTransport])
def test_transports_are_interchangeable(own: Any) -> None:
    """The built-in one and httpx's own give the same completion."""
    with ScriptedServer(lambda call: Reply(completion('{"a": 1}'), headers={"x-request-id": "r1"})) as server:
        found = ask(server.endpoint(api_key=KEY), own and own())
    assert ('{"a": 1}', "stop", "scripted", Usage(10, 5), "r1") == (
        *(found.content, found.finish_reason, found.model, found.usage, found.request_id),
    )


def test_a_users_mock_transport_is_used() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert f"Bearer {KEY}" == request.headers["authorization"]
        return httpx.Response(200, json=completion("hello"))

    endpoint = Endpoint(base_url="https://example.invalid/v1", api_key=KEY)
    assert "hello" == ask(endpoint, httpx.MockTransport(handler)).content


def test_a_compressed_answer_is_read() -> None:
    """And one that is not what it says is a connection error."""
    body = gzip.compress(json.dumps(completion("x")).encode())
    with ScriptedServer(lambda call: Reply(body, headers={"content-encoding": "gzip"})) as server:
        assert "x" == ask(server.endpoint()).content
        assert "x" == ask(server.endpoint(), httpx.AsyncHTTPTransport()).content
    for transport in (None, httpx.AsyncHTTPTransport()):
        with ScriptedServer(lambda call: Reply(b"no gzip", headers={"content-encoding": "gzip"})) as server:
            assert APIConnectionError is type(refused(server.endpoint(), transport=transport))


@pytest.mark.parametrize("own", [None, httpx.AsyncHTTPTransport])
def test_a_refused_connection_is_transient_and_names_the_place(own: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = refused(Endpoint(base_url=f"http://127.0.0.1:{port}/v1"), transport=own and own())
    assert (APIConnectionError, ErrorClass.TRANSIENT, None) == (type(error), error.kind, error.status)
    assert f"127.0.0.1:{port}" in error.message


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n",
    ],
)
@pytest.mark.parametrize("own", [None, httpx.AsyncHTTPTransport])
def test_an_answer_that_breaks_off_is_a_connection_error(answer: bytes, own: Any) -> None:
    """Dropped before, within the head and within the body; and what is no HTTP."""
    with raw_server(answer) as url:
        error = refused(Endpoint(base_url=url), transport=own and own())
    assert (APIConnectionError, ErrorClass.TRANSIENT) == (type(error), error.kind)


@pytest.mark.parametrize("own", [None, httpx.AsyncHTTPTransport])
def test_a_server_that_hangs_is_a_timeout(own: Any) -> None:
    with ScriptedServer(lambda call: Reply(completion("x"), delay=30)) as server:
        error = refused(server.endpoint(), Limits(timeout=0.2), own and own())
    assert (APITimeoutError, ErrorClass.TRANSIENT) == (type(error), error.kind)
    assert "0.2 s" in error.message


def test_a_fault_that_the_transport_does_not_translate_is_a_connection_error() -> None:
    """Here: a client that is closed."""

    async def late() -> None:
        async with Client(Endpoint(base_url="http://127.0.0.1:1/v1"), "m", LIMITS) as client:
            pass
        await client(REQUEST)

    with pytest.raises(APIConnectionError, match=r"127\.0\.0\.1:1: "):
        asyncio.run(late())


def test_a_connection_that_takes_too_long_says_so() -> None:
    """It was not billed, and the limit is another one."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("slow", request=request)

    error = refused(Endpoint(base_url="https://example.invalid/v1"), transport=httpx.MockTransport(handler))
    assert (APITimeoutError, "example.invalid:https: no connection within 5 s") == (type(error), error.message)


def test_an_answer_beyond_the_cap_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_ANSWER", 100_000)
    with ScriptedServer(lambda call: "x" * 5_000_000) as server:
        assert "larger than 100000 bytes" in refused(server.endpoint()).message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("own", [None, httpx.AsyncHTTPTransport])
def test_a_redirect_is_never_followed(status: int, own: Any) -> None:
    """The other server sees nothing, above all no key."""
    with ScriptedServer(lambda call: "{}") as other:
        target = {"location": f"{other.base_url}/chat/completions"}
        with ScriptedServer(lambda call: Reply("", status=status, headers=target)) as server:
            error = refused(server.endpoint(api_key=KEY), transport=own and own())
        assert [] == other.calls
    assert ErrorClass.CONFIG is error.kind
    assert "redirect" in str(error)


def whole_story(error: BaseException) -> str:
    """All that a log could show of an error."""
    return repr(error) + str(error) + repr(vars(error)) + "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}, status=401),
        Reply({"error": {"message": "no", "code": f"{KEY}"}}, status=400),
        Reply(f"<html><title>{KEY}</title>", status=502),
        Reply({"code": 500, "msg": KEY}),
        Reply(f"not JSON {KEY}"),
        Reply({"echo": KEY}),
        Reply(drop=True),
        Reply("", status=307, headers={"location": "http://127.0.0.1:1/"}),
    ],
)
def test_the_key_is_in_no_error(reply: Reply) -> None:
    """Not even when the server quotes it."""
    with ScriptedServer(lambda call: reply) as server:
        error = refused(server.endpoint(api_key=KEY))
    assert KEY not in whole_story(error)
    assert KEY.encode() not in error.body


def test_the_key_is_in_no_stored_answer() -> None:
    """A debugging proxy may send it back in an answer that is kept."""
    with ScriptedServer(lambda call: call.headers["authorization"]) as server:
        found = ask(server.endpoint(api_key=KEY))
    assert "Bearer ***" == found.content
    assert KEY not in repr(found)


@pytest.mark.parametrize("key", [f"{KEY}\n", f" {KEY}", "ключ-0123456789"])
def test_a_key_that_no_header_can_hold_is_a_config_error_that_does_not_show_it(key: str) -> None:
    """A line break at the end, as from a file, would else show in a message of the HTTP library."""
    with pytest.raises(ConfigError, match="EXTRACT_API_KEY") as caught:
        Client(Endpoint(base_url="https://example.invalid/v1", api_key=key), "m", LIMITS)
    assert KEY not in whole_story(caught.value)


def body(**more: Any) -> bytes:
    message = {"role": "assistant", "content": "x"} | more.pop("message", {})
    choice = {"index": 0, "message": message, "finish_reason": "stop"} | more.pop("choice", {})
    return json.dumps({"choices": [choice]} | more).encode()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (body(), "x"),
        (body(message={"content": None}), None),
        (body(message={"content": ""}), ""),
        (body(message={"content": 7}), None),
        (body(message={"content": [{"type": "thinking", "text": "no"}, {"type": "text", "text": "a"}]}), "a"),
        (body(message={"content": [{"type": "text", "text": "a"}, "b", {"type": "text", "text": None}]}), "a"),
        (body().replace(b'"x"', b'"\\ud800"'), "\ud800"),
    ],
)
def test_content_is_read_in_all_its_shapes(raw: bytes, expected: str | None) -> None:
    """Text, null, a list of parts of which the text parts count; half a surrogate pair is for the judge to refuse."""
    assert expected == completion_from(raw, {}).content


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}, Usage(7, 3)),
        ({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}, Usage(35, 74)),
        ({"prompt_tokens": 7}, Usage(7, 0)),
        ({"prompt_tokens": -1, "completion_tokens": "3", "total_tokens": True}, Usage()),
        ({"prompt_tokens": 10**30, "completion_tokens": 1}, Usage(0, 1)),
        (None, Usage()),
        ("many", Usage()),
    ],
)
def test_usage_counts_what_is_billed(usage: Any, expected: Usage) -> None:
    """Thoughts that appear only in the total are output; nonsense is no count."""
    assert expected == completion_from(body(usage=usage), {}).usage


def test_the_other_fields_of_a_completion() -> None:
    """finish_reason in lower case or None; refusal "" is none; reasoning is kept apart."""
    found = completion_from(
        body(choice={"finish_reason": "STOP"}, message={"refusal": "", "reasoning_content": "hm"}, model=7), {}
    )
    assert ("stop", None, "hm", None) == (found.finish_reason, found.refusal, found.reasoning, found.model)
    found = completion_from(body(choice={"finish_reason": ""}, message={"refusal": "no"}), {})
    assert (None, "no") == (found.finish_reason, found.refusal)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"\xff",
        b"[" * 100_000,
        b"null",
        b"[]",
        b"{}",
        b'{"choices": null}',
        b'{"choices": []}',
        b'{"choices": [null]}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": {"0": {}}}',
    ],
)
def test_http_200_that_is_no_completion_is_transient(raw: bytes) -> None:
    """With the body for the reader and a hint at the address."""
    with pytest.raises(InvalidResponseError, match="EXTRACT_BASE_URL") as caught:
        completion_from(raw, {"x-request-id": "r"})
    assert (ErrorClass.TRANSIENT, 200, "r") == (caught.value.kind, caught.value.status, caught.value.request_id)
    assert raw[:65536] == caught.value.body


@pytest.mark.parametrize("raw", [b"data: {}", b"data: {}\n\ndata: [DONE]\n\n", b": hello\n\n", b"data: null\n\n"])
def test_a_stream_without_any_chunk_is_transient(raw: bytes) -> None:
    """With a hint at the address, since it may be another's."""
    with pytest.raises(InvalidResponseError, match="EXTRACT_BASE_URL") as caught:
        completion_from(raw, {"x-request-id": "r"})
    assert (ErrorClass.TRANSIENT, 200, "r") == (caught.value.kind, caught.value.status, caught.value.request_id)
