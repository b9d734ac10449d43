"""A server and our connections to it, in one loop."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx

from extract.client.pool import DirectTransport, Line
from extract.config import Limits

LIMITS = Limits(concurrency=8, timeout=10, connect_timeout=5)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
Handler = Callable[["Peer"], Awaitable[None]]
Go = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


class Peer:
    """One connection as the server has it."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number  # from 1
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """The next one, whole; raises IncompleteReadError at the end of the connection."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
        return head + await self.reader.readexactly(length)

    async def send(self, *pieces: bytes | float) -> None:
        """Bytes, and seconds to wait."""
        for piece in pieces:
            if isinstance(piece, bytes):
                self.writer.write(piece)
                await self.writer.drain()
            else:
                await asyncio.sleep(piece)

    def reset(self) -> None:
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@asynccontextmanager
async def serving(handle: Handler, **options: Any) -> AsyncIterator[str]:
    """The address of a server, whose connections end when their handlers do."""
    tasks: set[asyncio.Task[None]] = set()
    count = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handle(Peer(count, reader, writer))
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=2**20, **options)
    scheme = "https" if options.get("ssl") else "http"
    try:
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 1)


@asynccontextmanager
async def line_to(url: str, limits: Limits = LIMITS) -> AsyncIterator[Line]:
    address = httpx.URL(url)
    async with DirectTransport(limits) as transport:
        yield transport.line(address, {"Host": address.netloc.decode(), "X-Key": "k"}, limits)


async def post(line: Line, body: bytes = b"ask") -> tuple[int, bytes]:
    """Status and whole body."""
    reply = await line.post(body)
    try:
        return reply.status, b"".join([piece async for piece in reply])
    finally:
        await reply.aclose()


def answering(*pieces: bytes | float, ends: bool = False) -> tuple[Handler, list[bytes]]:
    """A server that answers each request so, and the requests that it has seen, with the number of the connection."""
    seen: list[bytes] = []

    async def handle(peer: Peer) -> None:
        while True:
            await peer.request()
            seen.append(b"%d" % peer.number)
            await peer.send(*pieces)
            if ends:
                return

    return handle, seen
