"""A transport that sees, by the client's own clock, whether a call begins before a Retry-After has ended."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import httpx

from extract import Limits
from extract.client import DirectTransport
from extract.client.headers import retry_after
from extract.client.pool import Line, Reply


class Witness(DirectTransport):
    """The built-in transport, which sees whether a call begins while a Retry-After that was heard has not ended.

    The server cannot tell that from a call that waited in a socket while the machine did something else.
    """

    early = 0
    _quiet = -math.inf

    def line(self, url: httpx.URL, headers: Mapping[str, str], limits: Limits) -> Line:
        return _Watched(self, url, headers, limits)

    def begins(self) -> None:
        self.early += time.monotonic() < self._quiet

    def heard(self, reply: Reply) -> None:
        seconds = retry_after(reply.headers) if reply.status == 429 else None
        if seconds:
            self._quiet = max(self._quiet, time.monotonic() + seconds)


class _Watched(Line):
    """Where the witness stands."""

    def __init__(self, witness: Witness, url: httpx.URL, headers: Mapping[str, str], limits: Limits) -> None:
        super().__init__(witness, url, headers, limits)
        self._witness = witness

    async def post(self, body: bytes) -> Reply:
        self._witness.begins()
        reply = await super().post(body)
        self._witness.heard(reply)
        return reply
