"""One chat-completions attempt per call, through httpx's transport interface; wire errors become ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
from pydantic_core import from_json

from extract.client.classify import error_from, has_error
from extract.client.transport import default_transport
from extract.config import Endpoint, Limits, is_loopback
from extract.dialects import DIALECTS
from extract.errors import APIConnectionError, APIError, APITimeoutError, ConfigError, ErrorClass, InvalidResponseError
from extract.records import ChatRequest, Completion, Usage
from extract.version import __version__

MAX_ANSWER = 64 * 1024 * 1024  # bytes of one answer
MAX_TOKENS = 10**9  # more are no count of tokens of one call
QUOTED_KEY = 8  # characters; what is shorter is no real key, and may stand in any answer


class Client:
    """Sends requests to one endpoint; an async context manager, since it owns its transport."""

    def __init__(
        self, endpoint: Endpoint, model: str, limits: Limits, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        path = DIALECTS[endpoint.dialect].path.format(model=model)
        self._url = httpx.URL(endpoint.base_url.rstrip("/") + path)
        self._headers = {
            "Host": self._url.netloc.decode(),
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"tablecast/{__version__}",
        }
        self._key = _usable_key(endpoint)
        if self._key:
            self._headers["Authorization"] = f"Bearer {self._key}"
        self._limits = limits
        self._transport = transport or default_transport(limits, loopback=is_loopback(self._url.host))

    async def __aenter__(self) -> Client:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._transport.__aexit__(*error)

    async def __call__(self, request: ChatRequest) -> Completion:
        """One attempt. Raises APIError."""
        try:
            async with asyncio.timeout(self._limits.timeout):
                status, headers, body = await self._post(request.body)
        except httpx.ConnectTimeout as error:
            raise APITimeoutError(
                f"{self._place}: no connection within {self._limits.connect_timeout:g} s", kind=ErrorClass.TRANSIENT
            ) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise APITimeoutError(
                f"no answer within {self._limits.timeout:g} s; it may have been billed", kind=ErrorClass.TRANSIENT
            ) from error
        except (httpx.RequestError, OSError) as error:
            raise APIConnectionError(
                f"{self._place}: {str(error) or type(error).__name__}", kind=ErrorClass.TRANSIENT
            ) from error
        body = self._without_key(body)
        if status != 200:
            raise error_from(status, headers, body)
        return completion_from(body, headers)

    @property
    def _place(self) -> str:
        return f"{self._url.host}:{self._url.port or self._url.scheme}"

    def _without_key(self, body: bytes) -> bytes:
        """Some servers quote the key in their answer, and answers are kept. JSON may write its slashes otherwise."""
        if len(self._key) < QUOTED_KEY:
            return body
        return body.replace(self._key.encode(), b"***").replace(self._key.replace("/", "\\/").encode(), b"***")

    async def _post(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        timeout = {"connect": self._limits.connect_timeout, "pool": None}
        timeout |= {"read": self._limits.timeout, "write": self._limits.timeout}
        request = httpx.Request("POST", self._url, headers=self._headers, content=body, extensions={"timeout": timeout})
        response = await self._transport.handle_async_request(request)
        response.request = request
        try:
            return response.status_code, response.headers, await _read_capped(response)
        finally:
            await response.aclose()


def completion_from(body: bytes, headers: Mapping[str, str]) -> Completion:
    """The completion of an HTTP 200 body. Raises APIError when it holds an error or no completion."""
    try:
        document = _document(body)
        refused = has_error(document)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"HTTP 200, but no JSON: {error}", body, headers) from None
    if refused:
        raise error_from(200, headers, body)
    choice = _only_choice(document)
    message = choice.get("message") if choice else None
    if not isinstance(message, dict) or choice is None:
        raise _invalid("HTTP 200, but not one choice with a message", body, headers)
    return Completion(
        content=_text(message.get("content")),
        finish_reason=str(choice["finish_reason"]).lower() if choice.get("finish_reason") else None,
        model=_encodable(document["model"]) if isinstance(document.get("model"), str) else None,
        usage=_usage(document.get("usage")),
        raw=body,
        refusal=message.get("refusal") or None,
        reasoning=_text(message.get("reasoning_content")),
        request_id=headers.get("x-request-id"),
    )


def _document(body: bytes) -> Any:
    """The JSON of a body. Python's own reader takes what the strict one refuses: half a surrogate pair."""
    try:
        return from_json(body)
    except ValueError:
        return json.loads(body)


def _usable_key(endpoint: Endpoint) -> str:
    """The key, empty for none. Raises ConfigError, without the key, for one that no header can hold."""
    key = endpoint.api_key.get_secret_value() if endpoint.api_key else ""
    if not all("!" <= character <= "~" for character in key):
        raise ConfigError(
            "the API key holds a blank, a line break or a letter that no key has", hint="set EXTRACT_API_KEY anew"
        )
    return key


async def _read_capped(response: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > MAX_ANSWER:
            raise APIError(f"the answer is larger than {MAX_ANSWER} bytes", kind=ErrorClass.TRANSIENT)
        parts.append(part)
    return b"".join(parts)


def _invalid(message: str, body: bytes, headers: Mapping[str, str]) -> InvalidResponseError:
    return InvalidResponseError(
        message,
        kind=ErrorClass.TRANSIENT,
        status=200,
        body=body[:65536],
        request_id=headers.get("x-request-id"),
        hint="is EXTRACT_BASE_URL the address of a chat-completions API?",
    )


def _only_choice(document: Any) -> dict[str, Any] | None:
    """Two answers to one request are none: nobody says which is meant."""
    choices = document.get("choices") if isinstance(document, dict) else None
    found = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    return found if isinstance(found, dict) else None


def _text(content: Any) -> str | None:
    """Content as text; of a list of parts, the text parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else None


def _encodable(text: str) -> str:
    """Half of a surrogate pair, which no file can hold, as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def _usage(usage: Any) -> Usage:
    """Output counts what is billed: thoughts that appear only in the total are added."""
    if not isinstance(usage, dict):
        return Usage()
    given, made, total = (_count(usage.get(f"{name}_tokens")) for name in ("prompt", "completion", "total"))
    return Usage(input_tokens=given, output_tokens=max(made, total - given))


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < MAX_TOKENS else 0
