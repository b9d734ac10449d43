"""Asks the questions of a probe, a few at a time, each once; what fails is told and not asked again."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
from pydantic_core import from_json, to_json

from extract.client import PLAIN, Client, auth_headers, default_transport, read_bytes
from extract.client.classify import has_error
from extract.client.headers import limits_in
from extract.config import Dialect, Endpoint, Limits, is_loopback
from extract.dialects import DIALECTS, DialectRules, rules_of, settled
from extract.errors import APIConnectionError, APIError, ConfigError, ErrorClass
from extract.probe.cache import recalled
from extract.probe.findings import Finding, ProbeReport
from extract.probe.questions import ROOM, Heard, Question, failed, planned, usage_of
from extract.records import ChatRequest, Usage

AT_ONCE = 4
MOST_BYTES = 4 * 1024 * 1024  # of a list of models
SECONDS = 120.0  # for one answer
_LIMITS = Limits(timeout=SECONDS, idle_timeout=60)
_REFUSALS = (400, 401, 402, 403, 413, 422, 429)  # of an empty request, where there is somebody to refuse it


async def probe(
    endpoint: Endpoint,
    model: str,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    heard: Callable[[Finding], None] = lambda finding: None,
) -> ProbeReport:
    """Ask an endpoint what it does: at most `MOST` small requests, nearly all of them paid.

    `heard` hears of each finding as it comes. Raises the APIError of the first, plain question when that has no answer:
    a wrong key, an unknown model, no such address.
    """
    async with _shared(endpoint, transport) as inner:
        asking = Probe(endpoint, model, inner, heard)
        return await asking.run()


async def settle(endpoint: Endpoint, model: str, transport: httpx.AsyncBaseTransport | None = None) -> Endpoint:
    """The endpoint with the dialect that it speaks: as an earlier probe found, its host tells, or an empty request.

    No gateway bills that. Raises ConfigError when none of the paths is there, APIConnectionError when nothing is.
    """
    found = settled(recalled(endpoint, model))
    if found.dialect != "auto":
        return found
    async with _shared(endpoint, transport) as inner:
        return await Probe(endpoint, model, inner).settle()


@dataclass
class Probe:
    """One probe at work: counts what it asks and what that costs."""

    endpoint: Endpoint
    model: str
    transport: httpx.AsyncBaseTransport
    heard: Callable[[Finding], None] = lambda finding: None
    requests: int = 0
    usage: Usage = Usage()
    limits: dict[str, Any] = field(default_factory=dict)

    async def run(self) -> ProbeReport:
        self.endpoint = await self.settle()
        first, *others = planned()
        heard = await self._ask(first, "")
        if heard.error:
            raise heard.error
        findings = [first.read(heard, ""), usage_of(heard), await self._models()]
        for finding in findings:
            self.heard(finding)
        places = asyncio.Semaphore(AT_ONCE)
        findings += await asyncio.gather(*(self._finding(question, places) for question in others))
        return ProbeReport(
            base_url=self.endpoint.base_url,
            model=self.model,
            dialect=self.endpoint.dialect,
            findings=tuple(findings),
            limits=self.limits,
            requests=self.requests,
            input_tokens=self.usage.input_tokens,
            output_tokens=self.usage.output_tokens,
            probed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    async def settle(self) -> Endpoint:
        """The endpoint with its dialect: that of the first path that is there."""
        found = settled(self.endpoint)
        if found.dialect != "auto":
            return found
        tried: set[str] = set()
        for dialect, rules in DIALECTS.items():
            if rules.path not in tried:
                tried.add(rules.path)
                status, body = await self._plain("POST", rules.path_for(self.model), {})
                if status in _REFUSALS or (status == 200 and has_error(_json(body))):
                    return self.endpoint.resolved(await self._kind(dialect))
        raise ConfigError(
            f"{self.endpoint.base_url} has no chat completions at {' or '.join(sorted(tried))}",
            hint="check EXTRACT_BASE_URL, or set EXTRACT_DIALECT",
        )

    async def _kind(self, dialect: Dialect) -> Dialect:
        """llama.cpp says in its list of models what it is; others with the same path are alike."""
        if DIALECTS["llamacpp"].path != DIALECTS[dialect].path:
            return dialect
        _, body = await self._plain("GET", DIALECTS["llamacpp"].models_path or "", None)
        return "llamacpp" if b'"owned_by":"llamacpp"' in body.replace(b" ", b"") else dialect

    @property
    def rules(self) -> DialectRules:
        return rules_of(self.endpoint)

    async def _finding(self, question: Question, places: asyncio.Semaphore) -> Finding:
        nonce = secrets.token_hex(4)
        async with places:
            heard = await self._ask(question, nonce)
        found = failed(question.name, heard.error) if heard.error else question.read(heard, nonce)
        found = replace(found, name=question.name)
        self.heard(found)
        return found

    async def _ask(self, question: Question, nonce: str) -> Heard:
        body: dict[str, Any] = {"model": self.model} if self.rules.model_in_body else {}
        body |= {self.rules.output_limit: ROOM, **question.fields(nonce)}
        if question.stream is not None:
            body["stream"] = question.stream
        watched = _Watched(self.transport)
        self.requests += 1
        try:
            async with Client(self.endpoint, self.model, _LIMITS, watched, stream=question.stream is True) as client:
                completion = await client(ChatRequest(to_json(body), question.name))
        except APIError as error:
            return Heard(None, error, watched.streamed)
        finally:
            self._note(watched.headers)
        self.usage += completion.usage
        return Heard(completion, None, watched.streamed)

    def _note(self, headers: Mapping[str, str]) -> None:
        found = limits_in(headers)
        self.limits |= {name: asdict(window) for name, window in found.windows.items()}
        if found.category:
            self.limits["category"] = found.category

    async def _models(self) -> Finding:
        """Whether the endpoint lists its models, and this one among them."""
        if self.rules.models_path is None:
            return Finding("models", "no", "the dialect has no list")
        try:
            status, body = await self._plain("GET", self.rules.models_path, None)
            names = [str(entry.get("id")) for entry in from_json(body)["data"]] if status == 200 else []
        except (APIError, ValueError, LookupError, TypeError, AttributeError):
            return Finding("models", "no", "no list that can be read")
        if status != 200:
            return Finding("models", "no", f"status {status}")
        listed = "this one is listed" if self.model in names else "this one is not listed"
        return Finding("models", "yes", f"{len(names)} models, {listed}")

    async def _plain(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        """One request that asks no model. Raises APIConnectionError."""
        try:
            return await self._exchanged(method, path, body)
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            said = str(error) or type(error).__name__
            raise APIConnectionError(f"{self.endpoint.base_url}: {said}", kind=ErrorClass.TRANSIENT) from error

    async def _exchanged(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        self.requests += 1
        url = httpx.URL(self.endpoint.base_url.rstrip("/") + path)
        headers = {
            "Host": url.netloc.decode(),
            "Content-Type": "application/json",
            **PLAIN,
            **auth_headers(self.endpoint),
        }
        content = None if body is None else to_json(body)
        timeout = {"connect": 10.0, "read": 30.0, "write": 30.0, "pool": None}
        request = httpx.Request(method, url, headers=headers, content=content, extensions={"timeout": timeout})
        async with asyncio.timeout(30):
            response = await self.transport.handle_async_request(request)
            try:
                found = b"".join([chunk async for chunk in read_bytes(response, MOST_BYTES)])
            finally:
                await response.aclose()
        return response.status_code, found


def _json(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError:
        return None


@asynccontextmanager
async def _shared(
    endpoint: Endpoint, transport: httpx.AsyncBaseTransport | None
) -> AsyncIterator[httpx.AsyncBaseTransport]:
    """The transport for all requests; one that was given is left open."""
    if transport is not None:
        yield transport
        return
    async with default_transport(_LIMITS, loopback=is_loopback(httpx.URL(endpoint.base_url).host)) as own:
        yield own


class _Watched(httpx.AsyncBaseTransport):
    """A shared transport that notes what one answer looked like before it was read."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.headers: Mapping[str, str] = {}
        self.streamed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        self.headers = response.headers
        stream = _Watching(response.stream, self._first)
        return httpx.Response(
            response.status_code, headers=response.headers, stream=stream, extensions=response.extensions
        )

    def _first(self, chunk: bytes) -> None:
        self.streamed = not chunk.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"["))


class _Watching(httpx.AsyncByteStream):
    """A body whose first bytes are shown to `first`."""

    def __init__(self, inner: Any, first: Callable[[bytes], None]) -> None:
        self._inner = inner
        self._first = first

    async def __aiter__(self) -> AsyncIterator[bytes]:
        shown = False
        async for chunk in self._inner:
            if chunk and not shown:
                shown = True
                self._first(chunk)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
