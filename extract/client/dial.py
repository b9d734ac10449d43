"""How a connection is made: addresses tried side by side, certificates as the environment or the system has them."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any

import certifi

from extract.client.wire import Connection
from extract.errors import NOT_SENT

_NEXT = 0.25  # seconds after which the next address is tried as well
_HANGS = 10.0  # seconds of a lookup, after which the next call that needs one tries another,
_LOOKUPS = 4  # at a time
Make = Callable[[], Connection]
Address = tuple[int, str]  # family, host


class Names:
    """Addresses of one host, looked up in a thread of its own: one that hangs keeps nothing else from being done.

    All that ask at a time wait for the same lookup. The threads are nobody's to wait for, not even at the end of the
    process, and end with their lookup; there are never more than `_LOOKUPS`.
    """

    def __init__(self) -> None:
        self._asking: asyncio.Future[list[Address]] | None = None
        self._since = 0.0
        self._threads: list[threading.Thread] = []

    async def of(self, host: str, port: int) -> list[Address]:
        """Families and addresses. Raises OSError or UnicodeError."""
        loop = asyncio.get_running_loop()
        asking, now = self._asking, loop.time()
        if asking is None or asking.done() or asking.get_loop() is not loop or self._is_late(now):
            asking = self._asking = self._ask(loop, host, port)
            self._since = now
        return await asyncio.shield(asking)

    def close(self) -> None:
        """Who waits for an answer hears that there will be none."""
        asking = self._asking
        if asking is not None and not asking.done() and not asking.get_loop().is_closed():
            asking.set_exception(ConnectionAbortedError("closed before its address was known"))

    def _is_late(self, now: float) -> bool:
        """Whether to try once more beside the lookups that hang."""
        return now - self._since > _HANGS and sum(thread.is_alive() for thread in self._threads) < _LOOKUPS

    def _ask(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> asyncio.Future[list[Address]]:
        asking: asyncio.Future[list[Address]] = loop.create_future()
        asking.add_done_callback(lambda asking: asking.cancelled() or asking.exception())  # somebody may hear of it

        def tell(found: list[Address] | Exception) -> None:
            if asking.done():
                return
            if isinstance(found, Exception):
                asking.set_exception(found)
            else:
                asking.set_result(found)

        def look() -> None:
            found: list[Address] | Exception
            try:
                answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                found = [(int(family), str(address[0])) for family, _, _, _, address in answers]
            except Exception as error:  # OSError, UnicodeError; whatever it is, it is told
                found = error
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(tell, found)

        thread = threading.Thread(target=look, name=f"look up {host}", daemon=True)
        self._threads = [*(other for other in self._threads if other.is_alive()), thread]
        try:
            thread.start()
        except RuntimeError as error:  # too many threads
            raise OSError(str(error)) from error
        return asking


async def dial(
    make: Make, host: str, port: int, context: ssl.SSLContext | None, names: Names | None = None
) -> Connection:
    """A connection to a host by whichever of its addresses answers first. Raises OSError or UnicodeError.

    asyncio has this too (`happy_eyeballs_delay`), but leaks a socket when it is cancelled as one connects; uvloop has
    it not. What cancels it says that nothing was sent.
    """
    try:
        return await _dial(make, host, port, context, names or Names())
    except asyncio.CancelledError as error:
        error.add_note(NOT_SENT)
        raise


async def _dial(make: Make, host: str, port: int, context: ssl.SSLContext | None, names: Names) -> Connection:
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"ssl": context, "server_hostname": host} if context else {}
    coming = deque([(0, host)]) if _is_number(host) else _in_turns(await names.of(host, port))

    async def attempt(family: int, host: str) -> Connection:
        _, made = await loop.create_connection(make, host, port, family=family, **options)
        return made

    return await (attempt(*coming[0]) if len(coming) == 1 else _side_by_side(attempt, coming))


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _in_turns(found: Iterable[Address]) -> deque[Address]:
    """Each once, families in turn."""
    addresses = list(dict.fromkeys(found))
    first = [address for address in addresses if address[0] == addresses[0][0]]
    others = [address for address in addresses if address[0] != addresses[0][0]]
    return deque(address for address in chain(*zip_longest(first, others)) if address)


async def _side_by_side(attempt: Callable[..., Any], coming: deque[Address]) -> Connection:
    tries: set[asyncio.Task[Connection]] = set()
    errors: list[BaseException] = []
    try:
        while coming or tries:
            if coming:
                tries.add(asyncio.create_task(attempt(*coming.popleft())))
            wait = _NEXT if coming else None
            done, _ = await asyncio.wait(tries, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            tries -= done
            errors += [error for task in done if (error := task.exception())]
            made = [task.result() for task in done if not task.exception()]
            for late in made[1:]:
                late.abort()
            if made:
                return made[0]
    finally:
        for task in tries:
            task.cancel()
        for task in tries:
            with suppress(asyncio.CancelledError, OSError):
                (await task).abort()
    raise errors[0]


def trust() -> ssl.SSLContext:
    """Certificates of SSL_CERT_FILE and SSL_CERT_DIR where they are set, else of the system and of the package certifi.

    Raises OSError, which names the file.
    """
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    try:
        context = ssl.create_default_context(cafile=file or None, capath=folder or None)
    except OSError as error:
        raise OSError(f"the certificates of SSL_CERT_FILE={file!r} cannot be read: {error}") from error
    if not (file or folder):
        context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
