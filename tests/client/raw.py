"""A server of raw bytes on loopback: what it sends, when, and how it ends is the test's to say."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

import httpx
import pytest

from extract.client import Client
from extract.config import Endpoint, Limits
from extract.errors import APIError
from extract.records import ChatRequest, Completion

REQUEST = ChatRequest(b'{"messages":[{"role":"user","content":"x"}]}', "h")
LIMITS = Limits(timeout=10, connect_timeout=5)
End = Literal["close", "reset", "hang"]


@contextmanager
def serving(*pieces: bytes | float, end: End = "close") -> Iterator[str]:
    """The address of a server that answers one request with these bytes (a number is a pause), then ends so."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            listener.settimeout(0.05)  # whoever asks nothing is not waited for
            with suppress(OSError):
                connection = _accepted(listener, over)
                with connection:
                    _read_request(connection)
                    _send(connection, pieces)
                    if end == "hang":
                        over.wait(30)
                    if end == "reset":
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            over.set()
            thread.join(5)


def _accepted(listener: socket.socket, over: threading.Event) -> socket.socket:
    while True:
        try:
            return listener.accept()[0]
        except TimeoutError:
            if over.is_set():
                raise


def _read_request(connection: socket.socket) -> None:
    connection.settimeout(5)
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)


def _send(connection: socket.socket, pieces: tuple[bytes | float, ...]) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in pieces:
        if isinstance(piece, bytes):
            connection.sendall(piece)
        else:
            time.sleep(piece)


def head(content_type: str | None = "text/event-stream", status: int = 200, length: int | None = None) -> bytes:
    """The head of an answer that ends with its connection, or after `length` bytes."""
    lines = [f"HTTP/1.1 {status} Raw", "connection: close"]
    lines += [f"content-type: {content_type}"] if content_type else []
    lines += [f"content-length: {length}"] if length is not None else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def asked(
    *pieces: bytes | float,
    end: End = "close",
    stream: bool = True,
    limits: Limits = LIMITS,
    transport: httpx.AsyncBaseTransport | None = None,
    key: str | None = None,
    finish_optional: bool = False,
) -> Completion:
    """What the client reads from these bytes."""

    async def once(url: str) -> Completion:
        endpoint = Endpoint(base_url=url, api_key=key)
        settings = {"stream": stream, "finish_optional": finish_optional}
        async with Client(endpoint, "m", limits, transport, **settings) as client:
            return await client(REQUEST)

    with serving(*pieces, end=end) as url:
        return asyncio.run(once(url))


def refused(*pieces: bytes | float, **settings: Any) -> APIError:
    """The error that the client makes of these bytes."""
    with pytest.raises(APIError) as caught:
        asked(*pieces, **settings)
    return caught.value


def answer(content: Any = '{"a": 1}', finish: Any = "stop", usage: Any = None, **message: Any) -> dict[str, Any]:
    """The body of a completion."""
    message = {"role": "assistant", "content": content, **message}
    found = {"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    return found | ({"usage": usage} if usage else {})


def plain(document: Any, content_type: str | None = "application/json", status: int = 200) -> bytes:
    """A whole HTTP answer that is not streamed."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return head(content_type, status, len(body)) + body


def delta(content: Any = None, finish: Any = None, usage: Any = None, **more: Any) -> dict[str, Any]:
    """One chunk."""
    made = ({} if content is None else {"content": content}) | more
    chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": made, "finish_reason": finish}]}
    return chunk | ({"usage": usage} if usage else {})


DONE = b"data: [DONE]\n\n"


def events(*chunks: Any, done: bool = True) -> bytes:
    """A stream of these chunks (bytes go as they are)."""
    parts = [
        chunk if isinstance(chunk, bytes) else b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks
    ]
    return b"".join(parts) + (DONE if done else b"")


def streamed(*chunks: Any, done: bool = True) -> bytes:
    """A whole HTTP answer that is."""
    return head() + events(*chunks, done=done)


GOOD = (delta('{"a":'), delta(" 1}"), delta(finish="stop"))
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
