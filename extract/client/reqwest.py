"""The transport through proxies: httpx's interface over Rust's reqwest, which works in a thread of its own."""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx

from extract.config import Limits

_LAST_CALLS = 1.0  # seconds
_MOMENT = 0.01  # seconds


def reqwest_transport(limits: Limits, *, loopback: bool = False) -> httpx.AsyncBaseTransport:
    """A transport with a pool of its own, which follows no redirect, and undoes br and zstd.

    The environment's proxies are honoured, but not for this machine itself: a key goes there in clear.
    """
    _import_for_good()
    from pyreqwest.client import ClientBuilder
    from pyreqwest.compatibility.httpx import HttpxTransport
    from pyreqwest.exceptions import PyreqwestError
    from pyreqwest.request import RequestBuilder

    class Transport(HttpxTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            try:
                response = await super().handle_async_request(request)
            except PyreqwestError as error:  # a kind that the library does not translate
                raise httpx.TransportError(str(error)) from error
            if isinstance(response.stream, httpx.AsyncByteStream):
                response.stream = _Body(response, response.stream)
            return response

        def _map_body(self, builder: RequestBuilder, request: httpx.Request) -> RequestBuilder:
            return super()._map_body(builder, request).streamed_read_buffer_limit(0)

    builder = ClientBuilder().follow_redirects(False).connect_timeout(timedelta(seconds=limits.connect_timeout))
    # in pieces of a few KB, as they come; gzip and deflate are left to `read_bytes`, whatever the transport
    builder = builder.gzip(False).deflate(False).brotli(True).zstd(True)
    return Transport((builder.no_proxy() if loopback else builder).build())


class _Body(httpx.AsyncByteStream):
    """The library's own waits until it has 64 KB, and translates no error that comes while a body is read."""

    def __init__(self, response: httpx.Response, body: httpx.AsyncByteStream) -> None:
        self._reader = response.extensions["pyreqwest_response"].body_reader
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        from pyreqwest.exceptions import PyreqwestError, TransportError

        try:
            while (chunk := await self._reader.read_chunk()) is not None:
                yield bytes(chunk)
        except TransportError as error:
            raise httpx.ReadError(str(error)) from error
        except PyreqwestError as error:  # no fault of the connection: a packing that is broken
            raise httpx.DecodingError(str(error)) from error

    async def aclose(self) -> None:
        await self._body.aclose()


def _import_for_good() -> None:
    """Import pyreqwest where it survives.

    pyreqwest 0.15 keeps hold of the thread that imports it first: once that thread has ended, the next client crashes
    the process. `run` works in a thread of its own, so the import is made by one that never ends.
    """
    atexit.unregister(_let_end)  # once is enough
    atexit.register(_let_end)
    if "pyreqwest" in sys.modules:
        return
    imported = threading.Event()

    def keep() -> None:
        try:
            import pyreqwest.client  # noqa: F401
        finally:
            imported.set()
        threading.Event().wait()

    threading.Thread(target=keep, name="extract-transport", daemon=True).start()
    imported.wait()


def _let_end() -> None:
    """Wait, at the end of the process, for what pyreqwest's threads still do in Python.

    Such a thread tells the loop of its result, and is then, for a moment, behind the loop: when the interpreter ends
    before it has come back, it aborts the process.
    """
    end = time.monotonic() + _LAST_CALLS
    while True:
        time.sleep(_MOMENT)  # for those that have yet to begin
        own = {thread.ident for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}
        if time.monotonic() > end or sys._current_frames().keys() <= own:
            return
