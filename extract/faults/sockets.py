"""Plays a script of bytes on a socket, down to the reset."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

from extract.faults.wire import End, Wire

_LINGER_NOT = struct.pack("ii", 1, 0)  # closing then resets


async def play(wire: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, stall: float) -> bool:
    """Send a response; whether the connection stays. A stall ends after `stall` seconds, or when the client goes."""
    writer.transport.set_write_buffer_limits(0)  # so that drain() means sent: a reset throws away what is not
    waiting = b"" if wire.silent else head_of(wire)
    for step in wire.steps:
        if isinstance(step, bytes):
            writer.write(waiting + _framed(wire, step))
            waiting = b""
            await writer.drain()
            continue
        if waiting:
            writer.write(waiting)
            waiting = b""
            await writer.drain()
        if isinstance(step, End):
            await _end(step, reader, writer, stall)
            return False
        await asyncio.sleep(step)
    writer.write(waiting + (b"0\r\n\r\n" if wire.framing == "chunked" else b""))
    await writer.drain()
    return wire.framing != "close"


def head_of(wire: Wire) -> bytes:
    """Status line and headers, with what tells the body's end."""
    headers = {name.lower(): value for name, value in wire.headers.items()}
    if wire.framing == "length":
        headers.setdefault("content-length", str(len(wire.body)))
    elif wire.framing == "chunked":
        headers["transfer-encoding"] = "chunked"
    else:
        headers["connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {wire.status} Scripted\r\n{lines}\r\n".encode("latin-1")


def _framed(wire: Wire, data: bytes) -> bytes:
    if wire.framing != "chunked" or not data:
        return data  # an empty chunk would be the end
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def _end(end: End, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stall: float) -> None:
    if end is End.STALL:
        with suppress(TimeoutError):
            async with asyncio.timeout(stall):
                while await reader.read(65536):
                    pass
    if end is End.RESET:
        found: socket.socket = writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        writer.transport.abort()
