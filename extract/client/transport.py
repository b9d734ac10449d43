"""The transport that is used where the user brings none."""

from __future__ import annotations

from urllib.request import getproxies, proxy_bypass

import httpx

from extract.client.pool import DirectTransport
from extract.client.reqwest import reqwest_transport
from extract.config import Limits


def default_transport(
    limits: Limits, *, loopback: bool = False, url: httpx.URL | None = None
) -> httpx.AsyncBaseTransport:
    """A transport that follows no redirect, and undoes br and zstd; to this `url`, or to any.

    Our own connects directly; through the environment's proxies goes pyreqwest's. `loopback`: to this machine itself,
    never through a proxy, since a key goes there in clear.
    """
    if loopback or not is_proxied(url):
        return DirectTransport(limits)
    return reqwest_transport(limits, loopback=loopback)


def is_proxied(url: httpx.URL | None) -> bool:
    """Whether the environment, or the system, may name a proxy for this address; None: for any."""
    proxies = getproxies()
    if url is None:
        return any(proxies.get(scheme) for scheme in ("http", "https", "all"))
    return bool(proxies.get(url.scheme) or proxies.get("all")) and not proxy_bypass(url.host)
