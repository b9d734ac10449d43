"""An engine that asks another endpoint: its models behind our checks, key, limits and ledger."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import httpx

from extract.client.coding import PLAIN, read_bytes
from extract.client.exchange import forms_of_key
from extract.client.sse import Decoder
from extract.config import is_loopback
from extract.errors import APIError, ConfigError
from extract.server.engine import ChatCall, Delta, End, Json, Pieces
from extract.server.refusals import WireError, server_error

SLOTS = 64
TIMEOUT = httpx.Timeout(600, connect=5)
MAX_ANSWER = 64 * 1024 * 1024  # bytes
PASSED = ("retry-after", "retry-after-ms", "x-should-retry", "x-request-id")


class Upstream:
    """Forwards checked requests to `url` (…/v1) with `key`; the key of our own clients stays here.

    Raises ConfigError for a URL that is none, or one that would take the key over plain HTTP off this machine.
    """

    model = ""
    slots = SLOTS

    def __init__(self, url: str, key: str | None = None) -> None:
        _check(url, key)
        self._url = url.rstrip("/")
        self._tls = httpx.create_ssl_context()  # once: it reads all certificates
        # A proxy would be told the key of an endpoint on this machine, which it cannot reach anyway.
        self._trust_env = not is_loopback(urlsplit(url).hostname or "")
        self._headers = dict(PLAIN) if key is None else {**PLAIN, "Authorization": f"Bearer {key}"}
        self._forms = forms_of_key(key or "")

    async def stream(self, call: ChatCall) -> Pieces:
        """The upstream's answer in pieces, streamed if the request is. Raises WireError."""
        body = json.dumps({**call.body, "stream": call.stream}).encode()
        if call.stream:
            body = json.dumps({**call.body, "stream": True, "stream_options": {"include_usage": True}}).encode()
        try:
            async with self._client() as http, self._post(http, body) as response:
                await _require_ok(response)
                kind = response.headers.get("content-type", "")
                read = _streamed if call.stream and kind.startswith("text/event-stream") else _whole
                async with aclosing(read(response)) as pieces:
                    async for piece in pieces:
                        yield piece
        except WireError as error:
            raise self._without_key(error) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreached(error) from error

    async def models(self) -> list[Json]:
        """The upstream's models. Raises WireError."""
        try:
            async with self._client() as http, http.stream("GET", f"{self._url}/models") as response:
                await _require_ok(response)
                listed = _decoded(await _capped(response)).get("data")
        except WireError as error:
            raise self._without_key(error) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreached(error) from error
        return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []

    def _without_key(self, error: WireError) -> WireError:
        """Some endpoints quote the key in their errors, and ours is not for our clients."""
        said = json.dumps([error.body, error.headers]).encode()
        for form in self._forms:
            said = said.replace(form, b"***")
        return WireError(error.status, *json.loads(said))

    def _client(self) -> httpx.AsyncClient:
        # No redirects: another address would be given the key.
        return httpx.AsyncClient(
            headers=self._headers,
            timeout=TIMEOUT,
            follow_redirects=False,
            verify=self._tls,
            trust_env=self._trust_env,
        )

    def _post(self, http: httpx.AsyncClient, body: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        return http.stream("POST", f"{self._url}/chat/completions", content=body, headers=headers)


def _check(url: str, key: str | None) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise ConfigError(f"not the URL of an endpoint: {url}", hint="like https://api.example.com/v1")
    if key is not None and parts.scheme == "http" and not is_loopback(host):
        raise ConfigError("a key is not sent over plain http except to loopback", hint="use https")


async def _require_ok(response: httpx.Response) -> None:
    if response.status_code == 200:
        return
    raw = await _capped(response)
    if response.status_code in (401, 403):
        # Passed on as it is, it would read as if the client's own key were wrong.
        raise server_error("The upstream refuses this server's key.", status=502, code="upstream_unauthorized")
    if response.status_code < 400:
        raise _odd(f"The upstream answered HTTP {response.status_code}.")
    headers = {name: value for name in PASSED if (value := response.headers.get(name)) is not None}
    raise WireError(response.status_code, _error_body(raw, response.status_code), headers)


def _error_body(raw: bytes, status: int) -> Json:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict):
        return body
    return server_error(f"The upstream answered HTTP {status} without a JSON object.", code="upstream_error").body


async def _whole(response: httpx.Response) -> Pieces:
    body = _decoded(await _capped(response))
    if body.get("error"):
        raise WireError(502, {"error": body["error"]})
    choice = _choice(body)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise _odd("The upstream's answer has no message.")
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        numbered = [{"index": at, **call} for at, call in enumerate(calls) if isinstance(call, dict)]
        message = {**message, "tool_calls": numbered}
    yield Delta(_fields(message), _model(body))
    yield _end(choice.get("finish_reason"), body.get("usage"))


async def _streamed(response: httpx.Response) -> Pieces:
    finish_reason, usage = None, None
    async for data in _data(response):
        if data == "[DONE]":
            break
        chunk = _decoded(data)
        if chunk.get("error"):
            raise WireError(502, {"error": chunk["error"]})
        choice = _choice(chunk)
        usage = chunk.get("usage") or usage
        finish_reason = finish_reason or choice.get("finish_reason")
        delta = choice.get("delta")
        fields = _fields(delta) if isinstance(delta, dict) else {}
        if fields:
            yield Delta(fields, _model(chunk))
    if finish_reason is None:
        raise _odd("The upstream's stream broke off.")
    yield _end(finish_reason, usage)


async def _data(response: httpx.Response) -> AsyncIterator[str]:
    decoder = Decoder()
    async for chunk in _read(response):
        for event in decoder.feed(chunk):
            yield event.text
    if last := decoder.close():
        yield last.text


async def _capped(response: httpx.Response) -> bytes:
    return b"".join([chunk async for chunk in _read(response)])


async def _read(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in read_bytes(response, MAX_ANSWER):
            yield chunk
    except APIError as error:
        raise _odd(f"The upstream: {error.message}.") from error


def _decoded(raw: bytes | str) -> Json:
    try:
        body = json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise _odd("The upstream's answer is no JSON object.")
    return body


def _no_number(name: str) -> None:
    raise ValueError(name)


def _choice(body: Json) -> Json:
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _model(body: Mapping[str, Any]) -> str | None:
    model = body.get("model")
    return model if isinstance(model, str) and model else None


def _fields(message: Json) -> Json:
    """Without the role, which is sent once, and without what says nothing. Raises WireError for odd calls."""
    fields = {name: value for name, value in message.items() if name != "role" and value not in (None, "", [])}
    calls = fields.get("tool_calls", [])
    if not isinstance(calls, list) or not all(_is_call(call) for call in calls):
        raise _odd("The upstream's answer has calls of an unknown shape.")
    return fields


def _is_call(call: object) -> bool:
    if not isinstance(call, dict):
        return False
    function = call.get("function") or {}
    return isinstance(function, dict) and isinstance(function.get("arguments") or "", str)


def _end(finish_reason: object, usage: object) -> End:
    return End(finish_reason if isinstance(finish_reason, str) else None, usage if isinstance(usage, dict) else None)


def _odd(message: str) -> WireError:
    return server_error(message, status=502, code="upstream_error")


def _unreached(error: Exception) -> WireError:
    status = 504 if isinstance(error, httpx.TimeoutException) else 502
    return server_error(
        f"The upstream could not be reached: {type(error).__name__}.", status=status, code="upstream_error"
    )
