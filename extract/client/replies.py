"""An answer as it comes, whichever transport carries it: status, headers, and a body to be read once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Protocol, Self

import httpx

from extract.client.wire import IdleTimeout


class Incoming(Protocol):
    """`body` is the whole of it, and unpacked, where it is there already; else it comes by iteration, as it is sent.

    `patience`: seconds that the next bytes may take; None: any.
    """

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes | None: ...

    patience: float | None

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


class HttpxReply:
    """That of a transport behind httpx's interface. Its iteration raises httpx.RequestError or OSError."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.patience: float | None = None
        self.body: bytes | None = None
        self._response = response
        try:
            self.body = response.content  # as that of a mock
        except httpx.ResponseNotRead:
            self._raw = response.aiter_raw()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            if self.patience is None:
                return await anext(self._raw)
            async with asyncio.timeout(self.patience) as time:
                return await anext(self._raw)
        except TimeoutError as error:
            if self.patience is not None and time.expired():
                raise IdleTimeout(f"no byte for {self.patience:g} s") from error
            raise
        except AttributeError as error:
            raise _race(error) from error

    async def aclose(self) -> None:
        """The answer is read, or will not be: what goes wrong in closing its connection changes nothing."""
        try:
            await self._response.aclose()
        except AttributeError as error:
            _race(error)
        except (httpx.RequestError, OSError):
            return


def _race(error: AttributeError) -> httpx.ReadError:
    """anyio's transport, when a server drops the socket: `'NoneType' object has no attribute 'call_soon'`.

    Any other is a program's fault, and raised as it is.
    """
    if error.name != "call_soon":
        raise error
    return httpx.ReadError("the connection was dropped")
