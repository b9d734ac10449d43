"""One HTTP/1.1 connection in the run's own loop: a request goes out, llhttp reads the answer as its bytes arrive."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, cast

import httptools
import httpx

MAX_HEAD = 64 * 1024  # bytes without one of the body: of heads, of what frames chunks, of trailers
BUFFER = 64 * 1024  # bytes that are read at a time
_HELD = 256 * 1024  # bytes of a body that wait for their reader; then the server has to wait
_PIECE = 256 * 1024  # bytes of a request that are handed on before the network has taken them
_NO_BODY = (204, 304)
_KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 6}  # seconds, seconds, times
_GONE = "the server closed the connection"


class IdleTimeout(httpx.ReadTimeout):
    """No byte for too long of an answer that has begun."""


class Owner(Protocol):
    """Is told which connections are open."""

    def made(self, connection: Connection) -> None: ...

    def lost(self, connection: Connection) -> None: ...


class _Stop(Exception):  # noqa: N818  # ends the parser's work; what is wrong stands in the connection
    """Raised through the parser."""


class Connection(asyncio.BufferedProtocol):
    """Serves one request at a time.

    Errors tell whether the server can have answered: a WriteError or WriteTimeout comes only where a part of the
    request never left this machine and no byte came back; all others may be of a request that is paid.

    `status` is 0 until the head of the answer has come, `headers` have names in lower case and lists joined, `whole`:
    all of the answer is here, `is_dead`: nothing more can be sent. `buffer` may be shared by all connections of one
    loop, since what is read into it is parsed at once.
    """

    def __init__(self, buffer: memoryview, owner: Owner) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.whole = False
        self.is_dead = False
        self.idle_since = 0.0  # the loop's time
        self._buffer = buffer
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._transport = cast("asyncio.Transport", None)
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._error: httpx.TransportError | None = None
        self._pieces: list[bytes] = []
        self._asked = False  # a request is out, and its answer not yet read
        self._begun = False  # a byte of the answer has come
        self._interim = False  # it is the head of an 1xx that was read last
        self._to_end = False  # the body ends with the connection
        self._keep = False  # another request may follow
        self._unsent = False  # a part of the request has not been written
        self._clogged = False  # what was written has not left
        self._paused = False  # reading waits for the reader
        self._held = 0  # bytes in _pieces
        self._idle_bytes = 0  # since the last one of the body

    # what the owner does

    async def ask(self, head: bytes, body: bytes, *, until_body: bool = True, seconds: float | None = None) -> None:
        """Send a request and wait for the head of its answer; with a 200 for some of the body, or its end, too.

        Raises httpx.TransportError.
        """
        if self.is_dead:
            raise httpx.WriteError(f"{_GONE} before it had the request")
        self.status, self.headers, self.whole = 0, {}, False
        self._error, self._pieces = None, []
        self._asked, self._begun, self._interim, self._to_end = True, False, False, False
        self._keep, self._held, self._idle_bytes = False, 0, 0
        if len(body) <= _PIECE:
            self._transport.write(head + body)
        else:
            self._unsent = True
            await self._send(head, body, seconds)
        while not (self._pieces or self.whole or (self.status and (self.status != 200 or not until_body))):
            await self._woken(seconds)

    async def _send(self, head: bytes, body: bytes, seconds: float | None) -> None:
        """As fast as the network takes it; a refusal, or the whole answer, ends it early."""
        self._transport.write(head)
        view = memoryview(body)
        for start in range(0, len(view), _PIECE):
            while self._clogged:
                if self.whole or self.status >= 300:
                    return
                await self._woken(seconds)
            self._transport.write(view[start : start + _PIECE])
        self._unsent = False

    async def more(self, seconds: float | None = None) -> bytes:
        """What has come of the body, awaited; none at its end.

        Raises httpx.TransportError, IdleTimeout after so many seconds.
        """
        while not self._pieces and not self.whole:
            await self._woken(seconds)
        return self.take()

    def take(self) -> bytes:
        """What has come of the body."""
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces, self._held = [], 0
        if self._paused:
            self._paused = False
            if not self.is_dead:
                self._transport.resume_reading()
        return data

    def release(self) -> bool:
        """The owner is done with the answer. Whether another request may follow; the connection ends otherwise."""
        self._asked = False
        self.take()
        if self.whole and self._keep and not (self.is_dead or self._unsent or self._clogged):
            return True
        self.abort()
        return False

    @property
    def is_quiet(self) -> bool:
        """Whether the server has neither closed nor said a word, be it that the loop has not yet seen it."""
        return not (self.is_dead or self._has_input())

    def expire(self, error: httpx.TimeoutException | None = None) -> None:
        """The time for the whole call is over, or that for which `error` is given."""
        if not (self._sent or self._begun):
            self.fail(httpx.WriteTimeout("the request was not taken in time"))
        else:
            self.fail(error or httpx.ReadTimeout("no whole answer in time"))

    def fail(self, error: httpx.TransportError) -> None:
        """End with this error for whoever waits."""
        if self._error is None:
            self._error = error
        self.abort()

    def abort(self) -> None:
        """End at once."""
        self.is_dead = True
        self._transport.abort()
        self._wake()

    @property
    def _sent(self) -> bool:
        return not (self._unsent or self._clogged)

    async def _woken(self, seconds: float | None) -> None:
        """Wait for whatever comes next."""
        if self._error is not None:  # the stored one stays here, and would know who waits
            raise type(self._error)(str(self._error))
        waiter = self._waiter = self._loop.create_future()
        timer = None
        if seconds is not None:
            timer = self._loop.call_later(seconds, self.expire, IdleTimeout(f"no byte for {seconds:g} s"))
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by name
        self._transport.set_write_buffer_limits(high=1, low=0)  # what has not left is to be known
        self._is_plain = transport.get_extra_info("sslcontext") is None
        found = transport.get_extra_info("socket")
        with suppress(OSError):  # a peer that is gone is found out within minutes, and a firewall stays awake
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEP_ALIVE.items():
                if hasattr(socket, name):
                    found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._has_input = _readiness(found.fileno())
        self._owner.made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        if not self._asked:  # nobody asked: this must not become the answer to the next request
            self.abort()
            return
        self._begun = True
        held = self._held
        try:
            self._parser.feed_data(self._buffer[:size])
        except _FAULTS as error:
            self._keep = False
            if not self.whole:  # what comes after the end counts for nothing
                self.fail(self._error or httpx.RemoteProtocolError(f"no HTTP/1.1 answer: {error}"))
                return
        if self._held == held:
            self._idle_bytes += size
            if self._idle_bytes > MAX_HEAD and not self.whole:
                self.fail(httpx.RemoteProtocolError(f"more than {MAX_HEAD} bytes of head or framing"))
                return
        else:
            self._idle_bytes = 0
            if self._held > _HELD and not (self._paused or self.is_dead):
                self._paused = True
                self._transport.pause_reading()
        if self.status:
            self._wake()

    def eof_received(self) -> None:
        if self._to_end and self._asked and not self._error:
            self.whole = True
        self._keep = False
        self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_dead = True
        if self._asked and not self.whole and self._error is None:
            self._error = self._broken(error)
        self._wake()
        del self._parser  # which holds this object
        self._owner.lost(self)

    def pause_writing(self) -> None:
        self._clogged = True

    def resume_writing(self) -> None:
        self._clogged = False
        self._wake()

    def _broken(self, error: Exception | None) -> httpx.TransportError:
        said = f"{_GONE}: {error}" if error else _GONE
        if self._begun:
            return httpx.ReadError(f"{said} before the answer was whole")
        refused = self._is_plain and isinstance(error, BrokenPipeError)  # which only a write can meet
        if self._sent and not refused:
            return httpx.ReadError(f"{said} without an answer")
        return httpx.WriteError(f"{said} before it had the request")

    # what the parser tells

    def on_message_begin(self) -> None:
        if self.whole:  # a second answer to one request
            raise _Stop

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status:  # a trailer
            return
        key, text = name.decode("latin-1").lower(), _text_of(value)
        known = self.headers.get(key)
        self.headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == 101 or status < 100 or not self._parser.get_http_version().startswith("1."):
            raise self._refused(f"HTTP/{self._parser.get_http_version()} {status} was not asked for")
        if status < 200:
            self._interim = True
            return
        coding = self.headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            raise self._refused(f"transfer-encoding {coding[:100]!r} was not asked for")
        self._to_end = coding is None and "content-length" not in self.headers and status not in _NO_BODY
        self.status = status

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim, self.headers = False, {}
            return
        self.whole = True
        self._keep = self._parser.should_keep_alive()

    def _refused(self, reason: str) -> _Stop:
        self._error = httpx.RemoteProtocolError(reason)
        return _Stop()


_FAULTS = (httptools.HttpParserError, httptools.HttpParserUpgrade)


def _text_of(value: bytes) -> str:
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        return value.decode("latin-1").strip()


def _readiness(fileno: int) -> Callable[[], Any]:
    """Tells whether there is anything to be read, be it the end."""
    if not hasattr(select, "poll"):
        return lambda: select.select([fileno], [], [], 0)[0]
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return partial(poll.poll, 0)
