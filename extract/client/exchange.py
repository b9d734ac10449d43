"""One chat-completions attempt per call, through httpx's transport interface; wire errors become ours."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx

from extract.client.classify import error_from, invalid
from extract.client.coding import PLAIN, read_bytes
from extract.client.reading import Answer
from extract.client.transport import default_transport
from extract.config import Endpoint, Limits, is_loopback
from extract.dialects import finish_is_optional, rules_of
from extract.errors import APIConnectionError, APIError, APITimeoutError, ConfigError, ErrorClass
from extract.records import ChatRequest, Completion
from extract.version import __version__

MAX_ANSWER = 64 * 1024 * 1024  # bytes of one answer
MAX_ERROR = 1024 * 1024  # bytes that are read of the answer of an error
QUOTED_KEY = 8  # characters; what is shorter is no real key, and may stand in any answer
_LINGER = 5.0  # seconds without a byte after the whole answer, for its usage and its end
_DRAIN = 0.2  # seconds for the end of a body after [DONE]


class Client:
    """Sends requests to one endpoint; an async context manager, since it owns its transport.

    `stream`: what the requests ask for; the answer is read as what it is. `finish_optional`: a whole answer counts
    though it has no finish_reason; None: as the endpoint and its dialect say.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        limits: Limits,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        stream: bool = False,
        finish_optional: bool | None = None,
    ) -> None:
        self._dialect = rules_of(endpoint)
        self._url = httpx.URL(endpoint.base_url.rstrip("/") + self._dialect.path_for(model))
        self._headers = {
            "Host": self._url.netloc.decode(),
            "Content-Type": "application/json",
            "Accept": "text/event-stream, application/json" if stream else "application/json",
            "User-Agent": f"tablecast/{__version__}",
            **PLAIN,
        }
        self._headers |= auth_headers(endpoint)
        self._quoted = forms_of_key(_usable_key(endpoint))
        self._finish_optional = finish_is_optional(endpoint) if finish_optional is None else finish_optional
        self._limits = limits
        self._transport = transport or default_transport(limits, loopback=is_loopback(self._url.host))

    async def __aenter__(self) -> Client:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._transport.__aexit__(*error)

    async def __call__(self, request: ChatRequest) -> Completion:
        """One attempt. Raises APIError."""
        idle = asyncio.timeout(None)
        try:
            async with asyncio.timeout(self._limits.timeout), idle:
                return await self._exchange(request.body, idle)
        except httpx.ConnectTimeout as error:
            raise APITimeoutError(
                f"{self._place}: no connection within {self._limits.connect_timeout:g} s", kind=ErrorClass.TRANSIENT
            ) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            said = f"no answer within {self._limits.timeout:g} s"
            if idle.expired():
                said = f"no byte of the answer for {self._limits.idle_timeout:g} s"
            raise APITimeoutError(f"{said}; it may have been billed", kind=ErrorClass.TRANSIENT) from error
        except (httpx.RequestError, OSError) as error:
            raise APIConnectionError(
                f"{self._place}: {str(error) or type(error).__name__}", kind=ErrorClass.TRANSIENT
            ) from error

    @property
    def _place(self) -> str:
        return f"{self._url.host}:{self._url.port or self._url.scheme}"

    def _without_key(self, body: bytes) -> bytes:
        """Some servers quote the key in their answer, and answers are kept."""
        for quoted in self._quoted:
            body = body.replace(quoted, b"***")
        return body

    async def _exchange(self, body: bytes, idle: asyncio.Timeout) -> Completion:
        timeout = {"connect": self._limits.connect_timeout, "pool": None}
        timeout |= {"read": self._limits.timeout, "write": self._limits.timeout}
        request = httpx.Request("POST", self._url, headers=self._headers, content=body, extensions={"timeout": timeout})
        response = await self._transport.handle_async_request(request)
        response.request = request
        try:
            if response.status_code != 200:
                said = await self._error_body(response, idle)
                raise error_from(response.status_code, response.headers, said, dialect=self._dialect)
            return await self._completion(response, body, idle)
        finally:
            await _close(response)

    async def _completion(self, response: httpx.Response, request: bytes, idle: asyncio.Timeout) -> Completion:
        answer = Answer(
            response.headers,
            finish_optional=self._finish_optional,
            clean=self._without_key if self._quoted else bytes,
            request=request,
            dialect=self._dialect,
        )
        chunks = _Chunks(response, idle, self._limits.idle_timeout)
        cut = False
        try:
            while not answer.over and (chunk := await chunks.next(_LINGER if answer.finished() else None)):
                answer.feed(chunk)
        except (httpx.RequestError, OSError):  # a timeout too: an answer that is whole needs no more
            if not answer.finished():
                raise
            cut = True
        if answer.done:
            await chunks.drain()
        completion = answer.completion(cut=cut)
        if completion.finish_reason is None and not completion.refusal:  # it may be a part of one, as in a stream
            said = "the answer has no finish_reason; it may have been billed"
            hint = "where answers are whole without: Endpoint(finish_optional=True)"
            raise invalid(said, completion.raw, response.headers, hint)
        return completion

    async def _error_body(self, response: httpx.Response, idle: asyncio.Timeout) -> bytes:
        """The body of an error as far as it is read, without what may be the first half of a key at its end."""
        body = bytearray()
        chunks = _Chunks(response, idle, self._limits.idle_timeout)
        try:
            while len(body) < MAX_ERROR and (chunk := await chunks.next()):
                body += chunk
        except (APIError, httpx.DecodingError):  # packed as nobody can read: the status counts
            pass
        except (httpx.RequestError, OSError):
            if not body:
                raise
        longest = max(map(len, self._quoted), default=0)
        return self._without_key(bytes(body))[: -longest or None] if chunks.more else self._without_key(bytes(body))


class _Chunks:
    """The bytes of a response as they come: within the cap, and never long without one once they have begun.

    `more`: whether the end was not seen.
    """

    def __init__(self, response: httpx.Response, idle: asyncio.Timeout, seconds: float) -> None:
        self.more = True
        self._chunks = read_bytes(response, MAX_ANSWER)
        self._idle = idle
        self._seconds = seconds

    async def next(self, seconds: float | None = None) -> bytes:
        """The next bytes, none at the end. Raises TimeoutError after these seconds."""
        if seconds is not None:
            async with asyncio.timeout(seconds):
                return await self.next()
        chunk = await self._next()
        self._idle.reschedule(asyncio.get_running_loop().time() + self._seconds if chunk else None)
        return chunk

    async def _next(self) -> bytes:
        try:
            async for chunk in self._chunks:
                if chunk:
                    return chunk
        except AttributeError as error:
            raise _race(error) from error
        self.more = False
        return b""

    async def drain(self) -> None:
        """Read on for a moment, for what ends the body: its connection can then serve again."""
        with suppress(TimeoutError, httpx.RequestError, OSError, APIError):
            while await self.next(_DRAIN):
                pass


async def _close(response: httpx.Response) -> None:
    """The answer is read, or will not be: what goes wrong in closing its connection changes nothing."""
    try:
        await response.aclose()
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


def forms_of_key(key: str) -> tuple[bytes, ...]:
    """How a key may stand in an answer: as it is, or as JSON writes it, with its slashes or HTML's signs escaped."""
    if len(key) < QUOTED_KEY:
        return ()
    escaped = json.dumps(key)[1:-1]
    html = escaped.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return tuple({text.encode(): None for text in (key, escaped, escaped.replace("/", "\\/"), html)})


def auth_headers(endpoint: Endpoint) -> dict[str, str]:
    """What a request to this endpoint carries for its key. Raises ConfigError for a key that no header can hold."""
    key = _usable_key(endpoint)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _usable_key(endpoint: Endpoint) -> str:
    """The key, empty for none. Raises ConfigError, without the key, for one that no header can hold."""
    key = endpoint.api_key.get_secret_value() if endpoint.api_key else ""
    if not all("!" <= character <= "~" for character in key):
        raise ConfigError(
            "the API key holds a blank, a line break or a letter that no key has", hint="set EXTRACT_API_KEY anew"
        )
    return key
