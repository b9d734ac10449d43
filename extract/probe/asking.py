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
from pydantic_core import to_json

from extract.client import PLAIN, Client, auth_headers, default_transport, read_bytes
from extract.client.classify import has_error
from extract.client.headers import limits_in, lowered
from extract.client.values import json_or_none, objects_in, part_of
from extract.config import Dialect, Endpoint, Limits, is_loopback
from extract.dialects import DIALECTS, DialectRules, rules_of, settled
from extract.errors import APIConnectionError, APIError, ConfigError, ErrorClass
from extract.probe.cache import recalled
from extract.probe.findings import Finding, ProbeReport
from extract.probe.questions import ROOM, Heard, Question, failed, planned, usage_of
from extract.records import ChatRequest, Usage

AT_ONCE = 4
MOST_BALANCE = 1e15  # more, or what is no number at all, is no balance
MOST_BYTES = 4 * 1024 * 1024  # of a list of models
SECONDS = 120.0  # for one answer
_LIMITS = Limits(timeout=SECONDS, idle_timeout=60)
_NAMES = ("code", "type", "param")
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


@dataclass(frozen=True, slots=True)
class Plain:
    """The answer to a request that asks no model."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The JSON of the body, None where it is none."""
        return json_or_none(self.body)

    @property
    def is_refusal(self) -> bool:
        """Whether somebody refused it, so that the path is there."""
        return self.status in _REFUSALS or (self.status == 200 and has_error(self.document))


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
    listed: Plain | None = None  # the answer for the list of models, once it was asked for

    async def run(self) -> ProbeReport:
        self.endpoint = await self.settle()
        first, *others = planned()
        heard = await self._ask(first, "")
        if heard.error:
            raise heard.error
        findings = [first.read(heard, ""), usage_of(heard), await self._models(), await self._balance()]
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
                answer = await self._plain("POST", rules.path_for(self.model), {})
                if answer.is_refusal:
                    return self.endpoint.resolved(await self._kind(dialect, answer))
        raise ConfigError(
            f"{self.endpoint.base_url} has no chat completions at {' or '.join(sorted(tried))}",
            hint="check EXTRACT_BASE_URL, or set EXTRACT_DIALECT",
        )

    async def _kind(self, dialect: Dialect, answer: Plain) -> Dialect:
        """Of the dialects with this path the one that shows itself, in its refusal or its list of models."""
        alike = {name: rules.signs for name, rules in DIALECTS.items() if rules.path == DIALECTS[dialect].path}
        for name, signs in alike.items():
            if (signs.header and signs.header in answer.headers) or _refusal(answer) in signs.refusals:
                return name
        owned = {name: signs.owner for name, signs in alike.items() if signs.owner}
        entries = _entries(await self._list(DIALECTS[dialect].models_path or "")) if owned else []
        found = (name for name, owner in owned.items() if any(entry.get("owned_by") == owner for entry in entries))
        return next(found, dialect)

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
        found = limits_in(headers, own=self.rules.limit_headers)
        self.limits |= {name: asdict(window) for name, window in found.windows.items()}
        if found.category:
            self.limits["category"] = found.category

    async def _models(self) -> Finding:
        """Whether the endpoint lists its models, and this one among them."""
        if self.rules.models_path is None:
            return Finding("models", "no", "the dialect has no list")
        try:
            answer = await self._list(self.rules.models_path)
        except APIError:
            return Finding("models", "no", "no list that can be read")
        if answer.status != 200:
            return Finding("models", "no", f"status {answer.status}")
        if not isinstance(_document(answer).get("data"), list):
            return Finding("models", "no", "no list that can be read")
        names = [str(entry.get("id")) for entry in _entries(answer)]
        listed = "this one is listed" if self.model in names else "this one is not listed"
        return Finding("models", "yes", f"{len(names)} models, {listed}")

    async def _balance(self) -> Finding:
        """What is left on the account, where the dialect has a place for it and the endpoint serves it."""
        if self.rules.balance_path is None:
            return Finding("balance", "no", "the dialect has no place for it")
        try:
            answer = await self._plain("GET", self.rules.balance_path, None)
        except APIError:
            return Finding("balance", "no", "no answer that can be read")
        if answer.status != 200:
            return Finding("balance", "no", f"status {answer.status}")
        document = _document(answer)
        left = document.get(self.rules.balance_field)
        is_number = isinstance(left, int | float) and not isinstance(left, bool) and abs(left) < MOST_BALANCE
        if has_error(document) or not is_number:
            return Finding("balance", "no", "no answer that can be read")
        return Finding("balance", "yes", "no limit" if document.get("unlimited_quota") is True else f"{left:g} left")

    async def _list(self, path: str) -> Plain:
        """The list of models, asked for once. Raises APIError."""
        if self.listed is None:
            self.listed = await self._plain("GET", path, None)
        return self.listed

    async def _plain(self, method: str, path: str, body: Any) -> Plain:
        """One request that asks no model. Raises APIError."""
        try:
            return await self._exchanged(method, path, body)
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            said = str(error) or type(error).__name__
            raise APIConnectionError(f"{self.endpoint.base_url}: {said}", kind=ErrorClass.TRANSIENT) from error

    async def _exchanged(self, method: str, path: str, body: Any) -> Plain:
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
        return Plain(response.status_code, lowered(response.headers), found)


def _document(answer: Plain) -> Mapping[str, Any]:
    """The JSON object of an answer, empty for anything else."""
    document = answer.document
    return document if isinstance(document, dict) else {}


def _entries(answer: Plain) -> list[dict[str, Any]]:
    return objects_in(_document(answer).get("data"))


def _refusal(answer: Plain) -> tuple[Any, Any, Any]:
    """Code, type and param of an error, as it came; what is no text is None."""
    error = part_of(_document(answer), "error")
    code, kind, param = (value if isinstance(value := error.get(name), str) else None for name in _NAMES)
    return code, kind, param


@asynccontextmanager
async def _shared(
    endpoint: Endpoint, transport: httpx.AsyncBaseTransport | None
) -> AsyncIterator[httpx.AsyncBaseTransport]:
    """The transport for all requests; one that was given is left open."""
    if transport is not None:
        yield transport
        return
    url = httpx.URL(endpoint.base_url)
    async with default_transport(_LIMITS, loopback=is_loopback(url.host), url=url) as own:
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
