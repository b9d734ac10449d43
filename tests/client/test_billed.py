"""Of which failed call it is said that it may be billed: where the request may have been taken, and no answer came."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
from typing import Any

import httpx
import pytest

from extract.client import DirectTransport, exchange
from extract.config import Endpoint, Limits
from extract.errors import APIConnectionError, APIError, APITimeoutError, ErrorClass, InvalidResponseError
from extract.testing import Reply, ScriptedServer, completion
from tests.client.peer import Go, Peer, serving
from tests.client.raw import GOOD, answer, asked, delta, events, head, plain
from tests.client.raw import refused as refused_after
from tests.client.test_exchange import refused

OWN = [DirectTransport, httpx.AsyncHTTPTransport]
LIMITS = Limits(timeout=0.4, idle_timeout=0.2, connect_timeout=5)


def transport_of(kind: Any) -> Any:
    return kind(LIMITS) if kind is DirectTransport else kind()


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ((), APIConnectionError),
        ((b"HTTP/1.1 200 OK\r\n",), APIConnectionError),
        ((head(length=500), b"{"), APIConnectionError),
        ((b"SSH-2.0\r\n",), APIConnectionError),
        ((head(), events(*GOOD[:2], done=False)), InvalidResponseError),
        ((plain(b"no completion"),), InvalidResponseError),
        ((plain({}),), InvalidResponseError),
        ((plain(answer(finish=None)),), InvalidResponseError),
        ((head().replace(b"\r\n\r\n", b"\r\ncontent-encoding: x\r\n\r\n"), b"packed"), InvalidResponseError),
        ((head().replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"), b"no gzip"), APIConnectionError),
        ((0.6,), APITimeoutError),
        ((head(), b": x\n\n", 0.6), APITimeoutError),
        ((head(), *(b": x\n\n", 0.05) * 20), APITimeoutError),
    ],
)
def test_what_was_sent_and_has_no_whole_answer_may_be_billed(
    kind: Any, pieces: tuple[bytes | float, ...], error: type[APIError]
) -> None:
    """Dropped, silent, cut off, unreadable."""
    found = refused_after(*pieces, transport=transport_of(kind), limits=LIMITS)
    assert (error, True) == (type(found), found.may_be_billed)
    if error is APITimeoutError:
        assert found.message.endswith("it may have been billed")


@pytest.mark.parametrize("kind", OWN)
def test_an_answer_that_is_too_large_may_be_billed(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_ANSWER", 10_000)
    for reply in (Reply("x" * 1_000_000), Reply(gzip.compress(b"x" * 99_999), headers={"content-encoding": "gzip"})):
        with ScriptedServer(lambda call, reply=reply: reply) as server:
            found = refused(server.endpoint(), transport=transport_of(kind))
        assert ("the answer is larger than 10000 bytes", True) == (found.message, found.may_be_billed)


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("status", [301, 400, 401, 402, 404, 429, 500, 502, 503])
def test_an_answer_that_refuses_is_not_billed(kind: Any, status: int) -> None:
    """However its body ends: whole, broken off, packed as nobody can read, silent."""
    reply = Reply({"error": {"message": "no"}}, status=status)
    with ScriptedServer(lambda call: reply) as server:
        assert not refused(server.endpoint(), transport=transport_of(kind)).may_be_billed
    packed = head(status=status, length=6).replace(b"\r\n\r\n", b"\r\ncontent-encoding: x\r\n\r\n")
    for pieces in ((head(status=status, length=9), 0.05), (head(status=status, length=9), 0.6), (packed, b"packed")):
        assert not refused_after(*pieces, transport=transport_of(kind), limits=LIMITS).may_be_billed


@pytest.mark.parametrize("kind", OWN)
def test_an_error_instead_of_an_answer_is_not_billed(kind: Any) -> None:
    """With HTTP 200, as JSON and as the first event of a stream."""
    error = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}
    for pieces in ((plain(error),), (head(), events(error))):
        found = refused_after(*pieces, transport=transport_of(kind))
        assert (ErrorClass.RATE, False) == (found.kind, found.may_be_billed)


@pytest.mark.parametrize("kind", OWN)
def test_what_never_found_its_server_is_not_billed(kind: Any) -> None:
    """Refused, and a name that does not exist."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/v1", "http://nobody.invalid/v1"):
        found = refused(Endpoint(base_url=url), transport=transport_of(kind))
        assert (APIConnectionError, False) == (type(found), found.may_be_billed)


@pytest.mark.parametrize(
    ("fault", "billed"),
    [
        (httpx.ConnectTimeout, False),
        (httpx.ConnectError, False),
        (httpx.PoolTimeout, False),
        (httpx.ProxyError, False),
        (httpx.UnsupportedProtocol, False),
        (httpx.LocalProtocolError, False),
        (httpx.WriteError, True),
        (httpx.WriteTimeout, True),
        (httpx.ReadError, True),
        (httpx.ReadTimeout, True),
        (httpx.RemoteProtocolError, True),
        (httpx.TransportError, True),
        (OSError, True),
    ],
)
def test_faults_of_a_transport_that_is_not_ours(fault: type[Exception], billed: bool) -> None:
    """Where it is not certain, it may be billed."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise fault("no")

    endpoint = Endpoint(base_url="https://example.invalid/v1")
    found = refused(endpoint, transport=httpx.MockTransport(handler))
    assert billed is found.may_be_billed
    assert billed is ("billed" in found.message) or type(found) is APIConnectionError


def test_a_large_request_that_was_not_taken_is_not_billed(go: Go) -> None:
    """The server breaks the connection, or is silent, while most of it has not left this machine."""
    from extract.client import Client
    from extract.records import ChatRequest

    async def breaking(peer: Peer) -> None:
        await peer.reader.read(1000)
        peer.reset()

    async def deaf(peer: Peer) -> None:
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(9)

    async def test() -> None:
        for handle, error in ((breaking, APIConnectionError), (deaf, APITimeoutError)):
            async with (
                serving(handle) as url,
                Client(Endpoint(base_url=url), "m", LIMITS, DirectTransport(LIMITS)) as client,
            ):
                with pytest.raises(APIError) as caught:
                    await client(ChatRequest(bytes(30_000_000), "h"))
                assert (error, False) == (type(caught.value), caught.value.may_be_billed)

    go(test)


def test_a_whole_answer_is_no_error_though_its_connection_breaks() -> None:
    body = json.dumps(completion("x")).encode()
    with ScriptedServer(lambda call: Reply(body, headers={"connection": "close"})) as server:
        from tests.client.test_exchange import ask

        assert "x" == ask(server.endpoint(), DirectTransport(LIMITS)).content
    found = refused_after(head(), events(delta("{}")), transport=DirectTransport(LIMITS))
    assert found.may_be_billed


def chunked(body: bytes, end: bytes = b"") -> tuple[bytes, ...]:
    start = head("application/json").replace(b"\r\n\r\n", b"\r\ntransfer-encoding: chunked\r\n\r\n")
    return start, f"{len(body):x}\r\n".encode() + body + b"\r\n", end


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize(
    "pieces",
    [
        chunked(json.dumps(answer()).encode()),
        chunked(json.dumps(answer()).encode() + b"\n"),
        (head("application/json", length=len(json.dumps(answer())) + 7), json.dumps(answer()).encode()),
    ],
    ids=["no last chunk", "and a line break", "more was promised"],
)
def test_a_paid_answer_that_is_whole_is_kept_though_its_framing_is_not(kind: Any, pieces: tuple[bytes, ...]) -> None:
    """One JSON object that has its end: nothing of it can be missing. One that has not is asked for again."""
    assert '{"a": 1}' == asked(*pieces, stream=False, transport=transport_of(kind), limits=LIMITS).content
    cut = [piece.replace(b'"stop"}]}', b'"stop"}]') for piece in pieces]
    assert refused_after(*cut, stream=False, transport=transport_of(kind), limits=LIMITS).may_be_billed


@pytest.mark.parametrize("kind", OWN)
def test_what_drips_after_a_stream_has_ended_does_not_hold_its_permit(kind: Any) -> None:
    """Heartbeats after [DONE]: the answer is there, and is not lost to a deadline."""
    limits = Limits(timeout=3, idle_timeout=2, connect_timeout=5)
    start = time.monotonic()
    drip = (b": hb\n\n", 0.05) * 100
    transport = kind(limits) if kind is DirectTransport else kind()
    found = asked(head(), events(*GOOD), *drip, limits=limits, transport=transport)
    assert '{"a": 1}' == found.content
    assert time.monotonic() - start < 2
