"""The default transport: keep-alive connections in the run's own loop, behind httpx's interface and by a short cut.

A request is sent a second time, once and on a new connection, only where the server cannot have had it: the connection
was an old one and broke before all of the request had left this machine. A server that closes an old connection just
when it is used may as well have died over the request: that is an error, for the caller to decide.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress

import httpx

from extract.client.dial import Names, dial, trust
from extract.client.packings import Unpacker, unpacker_of
from extract.client.wire import BUFFER, Connection
from extract.config import Limits

_MAX_IDLE = 60.0  # seconds; what was longer out of use may be forgotten on its way
_LATE = 0.1  # seconds that a call may last beyond its time
_CLOSING = 1.0  # seconds
_PORTS = {"http": 80, "https": 443}
_NOT_IN_HEADERS = frozenset(b"\r\n\0")


class Reply:
    """An answer whose head is here: its body is read by iteration, once, and then closed.

    `body` is all of it where all has come at once, as it does for what is small; `patience`: seconds that the next
    bytes may take, then IdleTimeout is raised. br and zstd are undone.
    """

    def __init__(self, connection: Connection, pool: Pool, timed: set[Connection] | None = None) -> None:
        self.status = connection.status
        self.headers = connection.headers
        self.patience: float | None = None
        self.body: bytes | None = None
        self._connection: Connection | None = connection
        self._pool = pool
        self._timed = timed
        self._unpacker = self._packed() if "content-encoding" in self.headers else None
        self._unpacked: Iterator[bytes] = iter(())
        if connection.whole and "content-encoding" not in connection.headers:
            self.body = connection.take()
            self.close()

    def _packed(self) -> Unpacker | None:
        unpacker = unpacker_of(self.headers["content-encoding"])
        if unpacker:
            self.headers = {
                name: text for name, text in self.headers.items() if name not in ("content-encoding", "content-length")
            }
        return unpacker

    def __aiter__(self) -> Reply:
        return self

    async def __anext__(self) -> bytes:
        """Some of the body. Raises httpx.RequestError."""
        if self.body is not None:
            body, self.body = self.body, b""
            if body:
                return body
            raise StopAsyncIteration
        while True:
            for piece in self._unpacked:
                if piece:
                    await asyncio.sleep(0)  # few bytes may be many pieces, and others wait
                    return piece
            came = await self._connection.more(self.patience) if self._connection else b""
            if not came:
                break
            if self._unpacker is None:
                return came
            self._unpacked = self._unpacker.feed(came)
        if self._unpacker is not None and not self._unpacker.whole:
            raise httpx.DecodingError("the packed answer breaks off")
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """As `close`."""
        self.close()

    def close(self) -> None:
        """Give the connection back; it ends where the answer was not read to its end."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._timed is not None:
            self._timed.discard(connection)
            if not self._timed:  # else it keeps the room of all that were in it, until its time has come
                self._timed.clear()
        if connection.release():
            self._pool.keep(connection)


class DirectTransport(httpx.AsyncBaseTransport):
    """Connects to whatever host a request names, without a proxy; follows no redirect.

    Keeps as many idle connections to a host as there are calls in flight at most. It belongs to one loop at a time.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pools: dict[tuple[str, str, int], Pool] = {}
        self.is_closed = False

    def line(self, url: httpx.URL, headers: Mapping[str, str], limits: Limits) -> Line:
        """The short cut: to post to one address, with headers that stay, without an object of httpx per call."""
        return Line(self, url, headers, limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Timeouts as the request has them: to connect, and for each wait."""
        if request.method in ("HEAD", "CONNECT"):
            raise httpx.UnsupportedProtocol(f"{request.method} is not spoken here")
        body = await request.aread()
        named = [(name, text) for name, text in request.headers.raw if name.lower() not in _FRAMING]
        times = request.extensions.get("timeout", {})
        pool = self.pool(request.url)
        head = _head(request.method, request.url, named) + _length(body)
        read = times.get("read")

        async def send(connection: Connection) -> None:
            await connection.ask(head, body, until_body=False, seconds=read)

        connection = await pool.ask(send, lambda: times.get("connect"))
        reply = Reply(connection, pool)
        reply.patience = read
        return httpx.Response(
            reply.status,
            headers=reply.headers,
            stream=_Stream(reply),
            extensions={"http_version": b"HTTP/1.1"},
        )

    def pool(self, url: httpx.URL) -> Pool:
        """The connections to the host of this address. Raises httpx.UnsupportedProtocol or LocalProtocolError."""
        if self.is_closed:
            raise httpx.LocalProtocolError("the transport is closed")
        if url.scheme not in _PORTS or not url.raw_host:
            raise httpx.UnsupportedProtocol(f"no http(s) address: {url}")
        place = url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme]
        found = self._pools.get(place)
        if found is None:
            found = self._pools[place] = Pool(*place, self._limits.concurrency)
        return found

    async def aclose(self) -> None:
        """Ends all connections; calls in flight fail."""
        self.is_closed = True
        await asyncio.gather(*(pool.aclose() for pool in self._pools.values()))


_FRAMING = (b"content-length", b"transfer-encoding", b"connection")


class _Stream(httpx.AsyncByteStream):
    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._reply:
            yield piece

    async def aclose(self) -> None:
        self._reply.close()


class Line:
    """Where the requests of one client go.

    `connected` is called when a connection had to be made, before the request is written: what it raises ends the call
    without a byte sent, and leaves the connection to others.
    """

    def __init__(self, transport: DirectTransport, url: httpx.URL, headers: Mapping[str, str], limits: Limits) -> None:
        self._transport = transport
        self._url = url
        self._head = _head("POST", url, [(name.encode(), text.encode()) for name, text in headers.items()])
        self._limits = limits
        self._deadlines = Deadlines(limits.timeout)
        self._pool: Pool | None = None
        self.connected: Callable[[], None] = go_on

    async def post(self, body: bytes) -> Reply:
        """Send one. Raises httpx.RequestError: a TimeoutException when the whole call takes too long."""
        pool = self._pool
        if pool is None or self._transport.is_closed:
            pool = self._pool = self._transport.pool(self._url)
        loop = asyncio.get_running_loop()
        due = loop.time() + self._limits.timeout
        head = self._head + _length(body)
        timed = self._deadlines.group(loop, due)

        async def send(connection: Connection) -> None:
            timed.add(connection)
            try:
                await connection.ask(head, body)
            except BaseException:  # cancelled too: there will be no Reply that takes it out
                timed.discard(connection)
                raise

        seconds = self._limits.connect_timeout
        connection = await pool.ask(send, lambda: min(seconds, max(0.0, due - loop.time())), self.connected)
        return Reply(connection, pool, timed)


def go_on() -> None:
    """Nothing speaks against it."""


class Deadlines:
    """Ends calls whose time is over, a moment late rather than with a timer for each."""

    def __init__(self, seconds: float) -> None:
        self._grain = min(_LATE, seconds / 20)
        self._groups: dict[int, set[Connection]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def group(self, loop: asyncio.AbstractEventLoop, due: float) -> set[Connection]:
        """Those that end then: to be joined, and left when all is well."""
        if loop is not self._loop:
            self._loop, self._groups = loop, {}
        number = int(due / self._grain) + 1
        found = self._groups.get(number)
        if found is None:
            found = self._groups[number] = set()
            loop.call_at(number * self._grain, self._end, number)
        return found

    def _end(self, number: int) -> None:
        for connection in self._groups.pop(number):
            connection.expire()


class Pool:
    """The connections to one host; the one that was used last is used next."""

    def __init__(self, scheme: str, host: str, port: int, most: int) -> None:
        self._host = host
        self._port = port
        self._most = most
        self._is_secure = scheme == "https"
        self._context: ssl.SSLContext | None = None
        self._names = Names()
        self._buffer = memoryview(bytearray(BUFFER))
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._all_lost: asyncio.Event | None = None

    async def ask(
        self,
        send: Callable[[Connection], Awaitable[None]],
        seconds: Callable[[], float | None],
        connected: Callable[[], None] = go_on,
    ) -> Connection:
        """The connection over which this could be sent; `seconds` are what there is to make a new one."""
        connection = self._reusable()
        while True:
            is_new = connection is None
            if connection is None:
                connection = await self._connect(seconds())
                try:
                    connected()
                except BaseException:
                    self.keep(connection)
                    raise
            try:
                await send(connection)
                return connection
            except httpx.WriteError:
                if is_new:
                    raise
                connection = None
            except BaseException:  # cancelled too: what was half sent cannot serve another call
                connection.abort()
                raise

    def _reusable(self) -> Connection | None:
        """A connection that is open and idle, if there is one."""
        if self._loop is not asyncio.get_running_loop():
            self._idle, self._open = [], set()  # of a loop that is gone
            return None
        oldest = self._loop.time() - _MAX_IDLE
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since >= oldest and connection.is_quiet:
                return connection
            connection.abort()
        return None

    def keep(self, connection: Connection) -> None:
        """Take one back that can serve again."""
        if len(self._idle) >= self._most or self._loop is None:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)

    async def _connect(self, seconds: float | None) -> Connection:
        """A new one. Raises httpx.ConnectError or ConnectTimeout."""
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                if self._is_secure and self._context is None:
                    self._context = trust()
                return await dial(self._connection, self._host, self._port, self._context, self._names)
        except TimeoutError as error:
            said = f"no connection within {seconds:g} s" if seconds is not None else "no connection"
            raise httpx.ConnectTimeout(f"{said}: {error}" if str(error) else said) from error
        except (OSError, UnicodeError) as error:  # the latter for a host that no name can be
            raise httpx.ConnectError(str(error) or type(error).__name__) from error

    def _connection(self) -> Connection:
        return Connection(self._buffer, self)

    def made(self, connection: Connection) -> None:
        """One has been opened."""
        self._open.add(connection)
        if self._all_lost is not None:  # too late
            connection.abort()

    def lost(self, connection: Connection) -> None:
        """One has ended."""
        self._open.discard(connection)
        with suppress(ValueError):
            self._idle.remove(connection)
        if self._all_lost is not None and not self._open:
            self._all_lost.set()

    async def aclose(self) -> None:
        """End all."""
        self._names.close()
        self._all_lost = asyncio.Event()
        if not self._open or self._loop is not asyncio.get_running_loop():
            return
        for connection in list(self._open):
            connection.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING):
                await self._all_lost.wait()


def _head(method: str, url: httpx.URL, headers: list[tuple[bytes, bytes]]) -> bytes:
    """All of a request's head but its length. Raises httpx.LocalProtocolError for what would break it."""
    lines = [b"%b %b HTTP/1.1" % (method.encode(), url.raw_path), *(b"%b: %b" % header for header in headers)]
    if any(_NOT_IN_HEADERS & set(line) for line in lines):
        raise httpx.LocalProtocolError("a header holds a line break")
    return b"\r\n".join(lines)


def _length(body: bytes) -> bytes:
    return b"\r\nContent-Length: %d\r\n\r\n" % len(body)
