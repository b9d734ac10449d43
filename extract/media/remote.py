"""URLs of media: which are passed on, and, only where it is asked for, fetching them from public addresses."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from extract.media.files import too_large
from extract.media.part import MediaError

if TYPE_CHECKING:
    import httpx

Allowed = Callable[[str], bool]

_LONGEST = 8192  # characters of a URL
_HOPS = 5
_UNFIT = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class Fetching:
    """The bounds of a download: bytes, seconds for all of it, and which addresses may be reached."""

    most: int
    seconds: float
    allowed: Allowed


def is_public(address: str) -> bool:
    """Whether an IP address is of the open internet: not loopback, private, link-local, shared, multicast."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    return ip.is_global and not ip.is_multicast and (inner is None or inner.is_global)


def checked_url(url: str) -> str:
    """An http(s) URL as it is passed on. Raises MediaError."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fits = False
    if not fits or len(url) > _LONGEST or _UNFIT.search(url):
        raise MediaError("media.url", "this is no http or https URL")
    return url


def fetched(url: str, bounds: Fetching) -> bytes:
    """The content of a URL. Raises MediaError."""
    # In a thread of its own, for the caller's may have a loop.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _fetched(url, bounds)).result()


async def _fetched(url: str, bounds: Fetching) -> bytes:
    """A client that waits can be stopped: other timeouts count anew with every byte that drips in."""
    import httpx

    try:
        async with (
            asyncio.timeout(bounds.seconds),
            httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=bounds.seconds) as client,
        ):
            for _ in range(_HOPS):
                found = await _get(client, checked_url(url), bounds)
                if isinstance(found, bytes):
                    return found
                url = urljoin(url, found)
    except TimeoutError as error:
        raise _failed(f"it took more than {bounds.seconds:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        raise _failed(f"{type(error).__name__}: {error}") from error
    raise _failed("too many redirects")


async def _get(client: httpx.AsyncClient, url: str, bounds: Fetching) -> bytes | str:
    """The content, or where it has moved to. The address that was checked is the one that is asked."""
    target = client.build_request("GET", url).url
    host = target.host
    address = await _address(host, target.port or {"http": 80, "https": 443}[target.scheme], bounds.allowed)
    extensions = {"sni_hostname": host} if target.scheme == "https" else {}
    headers = {"Host": target.netloc.decode("ascii"), "Accept-Encoding": "identity"}
    pinned = target.copy_with(host=address, userinfo=b"")
    async with client.stream("GET", pinned, headers=headers, extensions=extensions) as response:
        if response.has_redirect_location:
            return response.headers["Location"]
        if response.status_code != 200:
            raise _failed(f"the server answers {response.status_code}")
        return await _content(response, bounds.most)


async def _content(response: httpx.Response, most: int) -> bytes:
    data = bytearray()
    async for block in response.aiter_raw():
        data += block
        if len(data) > most:
            raise too_large(len(data), most)
    return bytes(data)


async def _address(host: str, port: int, allowed: Allowed) -> str:
    entries = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found = [str(entry[4][0]) for entry in entries]
    if not found or not all(map(allowed, found)):
        raise MediaError("media.url", "the URL leads to an address that is not public")
    return found[0]


def _failed(why: str) -> MediaError:
    return MediaError("media.fetch", f"the URL cannot be fetched: {why}")
