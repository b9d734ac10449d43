"""One chat-completions attempt per call, through httpx's transport interface; wire errors become ours."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any

import httpx

from extract.client.classify import error_from, invalid
from extract.client.coding import PLAIN, unpacked, within
from extract.client.pool import DirectTransport, Line, go_on
from extract.client.reading import Answer
from extract.client.replies import HttpxReply, Incoming
from extract.client.transport import default_transport
from extract.client.wire import IdleTimeout
from extract.config import Endpoint, Limits, is_loopback
from extract.dialects import finish_is_optional, rules_of
from extract.errors import APIConnectionError, APIError, APITimeoutError, ConfigError, ErrorClass, InvalidResponseError
from extract.records import ChatRequest, Completion
from extract.version import __version__

MAX_ANSWER = 64 * 1024 * 1024  # bytes of one answer
MAX_ERROR = 1024 * 1024  # bytes that are read of the answer of an error
QUOTED_KEY = 8  # characters; what is shorter is no real key, and may stand in any answer
_LINGER = 5.0  # seconds without a byte after the whole answer, for its usage and its end
_DRAIN = 0.2  # seconds for the end of a body after [DONE]
_UNSENT = (  # of which it is certain that no server has the request
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.LocalProtocolError,
    httpx.UnsupportedProtocol,
)
_UNSENT_OF_OWN = (*_UNSENT, httpx.WriteError, httpx.WriteTimeout)


class Client:
    """Sends requests to one endpoint; an async context manager, since it owns its transport.

    `stream`: what the requests ask for; the answer is read as what it is. `finish_optional`: a whole answer counts
    though it has no finish_reason; None: as the endpoint and its dialect say.

    `before_sending` is called where a call had to connect first, which takes its time: with what it raises nothing is
    sent. Transports besides our own do not know that moment.
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
        self._base_url = endpoint.base_url.rstrip("/")
        self._url = self._url_for(model)
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
        loopback = is_loopback(self._url.host)
        self._transport = transport or default_transport(limits, loopback=loopback, url=self._url)
        self.before_sending: Callable[[], None] = go_on
        self._lines: dict[str, Line] = {}  # of other models, where they have addresses of their own
        self._line: Line | None = None
        self._unsent: tuple[type[Exception], ...] = _UNSENT
        if isinstance(self._transport, DirectTransport):
            self._line = self._line_to(self._transport, self._url)
            self._unsent = _UNSENT_OF_OWN

    async def __aenter__(self) -> Client:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._transport.__aexit__(*error)

    async def __call__(self, request: ChatRequest) -> Completion:
        """One attempt. Raises APIError."""
        reply: Incoming | None = None
        try:
            if self._line is not None:  # which keeps the time itself
                line = self._line_for(request.tier) if request.tier else self._line
                reply = await line.post(request.body)
                return await self._read(reply, request.body)
            async with asyncio.timeout(self._limits.timeout):
                reply = await self._through_httpx(request)
                return await self._read(reply, request.body)
        except InvalidResponseError as error:
            error.may_be_billed = True
            raise
        except (httpx.RequestError, OSError) as error:
            if reply is not None and reply.status != 200:  # no time for its body; the status counts
                raise error_from(reply.status, reply.headers, b"", dialect=self._dialect) from error
            raise self._lost(error, may_be_billed=not isinstance(error, self._unsent)) from error

    def _lost(self, error: Exception, *, may_be_billed: bool) -> APIError:
        """What became of a request without a whole answer."""
        limits, kind = self._limits, ErrorClass.TRANSIENT
        made: APIError
        if isinstance(error, httpx.ConnectTimeout):
            seconds = min(limits.connect_timeout, limits.timeout)
            made = APITimeoutError(f"{self._place}: no connection within {seconds:g} s", kind=kind)
        elif isinstance(error, TimeoutError | httpx.TimeoutException):
            said = f"no answer within {limits.timeout:g} s"
            if isinstance(error, IdleTimeout):
                said = f"no byte of the answer for {limits.idle_timeout:g} s"
            made = APITimeoutError(f"{said}; it may have been billed" if may_be_billed else said, kind=kind)
        else:
            made = APIConnectionError(f"{self._place}: {str(error) or type(error).__name__}", kind=kind)
        made.may_be_billed = may_be_billed
        return made

    @property
    def _place(self) -> str:
        return f"{self._url.host}:{self._url.port or self._url.scheme}"

    def _without_key(self, body: bytes) -> bytes:
        """Some servers quote the key in their answer, and answers are kept."""
        for quoted in self._quoted:
            body = body.replace(quoted, b"***")
        return body

    def _url_for(self, model: str) -> httpx.URL:
        return httpx.URL(self._base_url + self._dialect.path_for(model))

    def _line_for(self, model: str) -> Line:
        """The line to another model than the first: the same one, unless the model is in the path."""
        if model not in self._lines:
            assert isinstance(self._transport, DirectTransport)  # noqa: S101  # else there are no lines
            self._lines[model] = self._line_to(self._transport, self._url_for(model))
        return self._lines[model]

    def _line_to(self, transport: DirectTransport, url: httpx.URL) -> Line:
        line = transport.line(url, self._headers, self._limits)
        line.connected = self._connected
        return line

    def _connected(self) -> None:
        self.before_sending()  # which may be another by now

    async def _through_httpx(self, asked: ChatRequest) -> HttpxReply:
        timeout = {"connect": self._limits.connect_timeout, "pool": None}
        timeout |= {"read": self._limits.timeout, "write": self._limits.timeout}
        url = self._url_for(asked.tier) if asked.tier else self._url
        request = httpx.Request("POST", url, headers=self._headers, content=asked.body, extensions={"timeout": timeout})
        response = await self._transport.handle_async_request(request)
        response.request = request
        return HttpxReply(response)

    async def _read(self, reply: Incoming, request: bytes) -> Completion:
        try:
            if reply.status != 200:
                said = await self._error_body(reply)
                raise error_from(reply.status, reply.headers, said, dialect=self._dialect)
            return await self._completion(reply, request)
        finally:
            await reply.aclose()

    async def _completion(self, reply: Incoming, request: bytes) -> Completion:
        answer = Answer(
            reply.headers,
            finish_optional=self._finish_optional,
            clean=self._without_key if self._quoted else bytes,
            request=request,
            dialect=self._dialect,
        )
        cut = False
        if reply.body is not None:
            answer.feed(within(reply.body, MAX_ANSWER))
        else:
            cut = await self._feed(answer, reply)
        completion = answer.completion(cut=cut)
        if completion.finish_reason is None and not completion.refusal:  # it may be a part of one, as in a stream
            said = "the answer has no finish_reason; it may have been billed"
            hint = "where answers are whole without: Endpoint(finish_optional=True)"
            raise invalid(said, completion.raw, reply.headers, hint)
        return completion

    async def _feed(self, answer: Answer, reply: Incoming) -> bool:
        """Let the answer grow until nothing more counts. Whether the connection broke, after what is a whole answer."""
        async with aclosing(_Chunks(reply, self._limits.idle_timeout)) as chunks:
            due = math.inf  # what comes after the whole answer may drip for ever
            try:
                while not answer.over:
                    now = asyncio.get_running_loop().time()
                    due = min(due, now + _LINGER) if answer.finished() else math.inf
                    if due <= now or not (chunk := await chunks.next(None if due == math.inf else due - now)):
                        break
                    answer.feed(chunk)
            except (httpx.RequestError, OSError):  # a timeout too: an answer that is whole needs no more
                if not (answer.finished() or answer.is_whole_object()):
                    raise
                return True
            if answer.done:
                await chunks.drain()
        return False

    async def _error_body(self, reply: Incoming) -> bytes:
        """The body of an error as far as it is read, without what may be the first half of a key at its end."""
        body = bytearray()
        async with aclosing(_Chunks(reply, self._limits.idle_timeout)) as chunks:
            try:
                while len(body) < MAX_ERROR and (chunk := await chunks.next()):
                    body += chunk
            except (APIError, httpx.RequestError, OSError):
                pass  # packed as nobody can read, or broken off: the status counts
        longest = max(map(len, self._quoted), default=0)
        return self._without_key(bytes(body))[: -longest or None] if chunks.more else self._without_key(bytes(body))


class _Chunks:
    """The bytes of an answer as they come: within the cap, and never long without one once they have begun.

    `more`: whether the end was not seen.
    """

    def __init__(self, reply: Incoming, seconds: float) -> None:
        self.more = True
        self._reply = reply
        self._seconds: float | None = None
        self._idle_seconds = seconds
        self._chunks = _chunks(reply)

    async def next(self, seconds: float | None = None) -> bytes:
        """The next bytes, none at the end. Raises IdleTimeout after these seconds, or when it is silent for long."""
        self._reply.patience = self._seconds if seconds is None else seconds
        async for chunk in self._chunks:
            self._seconds = self._idle_seconds
            return chunk
        self.more = False
        return b""

    async def drain(self) -> None:
        """Read on for a moment, for what ends the body: its connection can then serve again."""
        with suppress(TimeoutError, httpx.RequestError, OSError, APIError):
            async with asyncio.timeout(_DRAIN):
                while await self.next():
                    pass

    async def aclose(self) -> None:
        await self._chunks.aclose()


async def _chunks(reply: Incoming) -> AsyncGenerator[bytes, None]:
    if reply.body is not None:
        if body := within(reply.body, MAX_ANSWER):
            yield body
        return
    async with aclosing(unpacked(reply, reply.status, reply.headers, MAX_ANSWER)) as pieces:
        async for piece in pieces:
            yield piece


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
