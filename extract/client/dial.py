"""How a connection is made: addresses tried side by side, certificates as the environment or the system has them."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any

import certifi

from extract.client.wire import Connection

_NEXT = 0.25  # seconds after which the next address is tried as well
Make = Callable[[], Connection]
Address = tuple[int, str]  # family, host


async def dial(make: Make, host: str, port: int, context: ssl.SSLContext | None) -> Connection:
    """A connection to a host by whichever of its addresses answers first. Raises OSError or UnicodeError.

    asyncio has this too (`happy_eyeballs_delay`), but leaks a socket when it is cancelled as one connects; uvloop has
    it not.
    """
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"ssl": context, "server_hostname": host} if context else {}
    if _is_number(host):
        coming = deque([(0, host)])
    else:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        coming = _in_turns((int(family), str(address[0])) for family, _, _, _, address in found)

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
