"""The HTTP side of the local API: routes, key, size limit and ledger round an engine.

`reasoning_effort` and `include_thoughts` are accepted and ignored: the local model does not think. So are unknown
fields and the model's name, which lets a pipeline written for another model run here unchanged.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from extract.server.wire import (
    ChatResult,
    Engine,
    Json,
    WireError,
    answer_body,
    bad_request,
    read_call,
    unauthorized,
)

MAX_BODY = 16 * 1024 * 1024


def create_app(
    engine: Engine, *, api_key: str | None = None, ledger: Path | None = None, hosts: Sequence[str] = ()
) -> Starlette:
    """The ASGI app. Every /v1 request must carry `api_key`, if set; `ledger` gets a JSON line per chat request.

    `hosts`: the names that requests may call this server by, none for any; on loopback they keep out pages whose own
    name was made to point at this machine.
    """
    api = _Api(engine, api_key, Ledger(ledger))
    return Starlette(
        routes=[
            Route("/v1/chat/completions", api.chat, methods=["POST"]),
            Route("/v1/models", api.models, methods=["GET"]),
            Route("/health", api.health, methods=["GET"]),
            Route("/ledger", api.counts, methods=["GET"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts or ["*"])],
        exception_handlers={WireError: _refused, HTTPException: _not_found},
    )


class Ledger:
    """Counts chat requests as they arrive and as they are answered, and writes a line about each to a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.requests = 0
        self.completions = 0

    def arrived(self) -> int:
        """The number of a request that has just come in, from 1."""
        self.requests += 1
        return self.requests

    def answered(self, number: int, status: int, raw: bytes, result: ChatResult | None) -> None:
        """Record the outcome of request `number`."""
        self.completions += result is not None
        if self._path is None:
            return
        line = {
            "request": number,
            "time": datetime.now(UTC).isoformat(),
            "status": status,
            "prompt_tokens": result.prompt_tokens if result else None,
            "completion_tokens": result.completion_tokens if result else None,
            "sha256": hashlib.sha256(raw).hexdigest(),
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class _Api:
    def __init__(self, engine: Engine, api_key: str | None, ledger: Ledger) -> None:
        self._engine, self._api_key, self._ledger = engine, api_key, ledger

    async def chat(self, request: Request) -> Response:
        number, raw, result, status = self._ledger.arrived(), b"", None, 500
        try:
            self._check_key(request)
            _check_type(request)
            raw = await _read(request)
            result = await self._engine.complete(read_call(_decode(raw)))
            status = 200
            return JSONResponse(answer_body(self._engine.model, result))
        except WireError as error:
            status = error.status
            raise
        finally:
            self._ledger.answered(number, status, raw, result)

    async def models(self, request: Request) -> Response:
        self._check_key(request)
        entry = {"id": self._engine.model, "object": "model", "created": 0, "owned_by": "local"}
        return JSONResponse({"object": "list", "data": [entry]})

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def counts(self, _: Request) -> Response:
        return JSONResponse({"requests": self._ledger.requests, "completions": self._ledger.completions})

    def _check_key(self, request: Request) -> None:
        if self._api_key is None:
            return
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._api_key}".encode()):
            raise unauthorized()


def _check_type(request: Request) -> None:
    # A page in a browser may send text/plain to this machine unasked; JSON it may not.
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise bad_request(f"The content type is {kind}, send application/json.", status=415)


async def _read(request: Request) -> bytes:
    # A body too large is read to its end and thrown away: a client that is still sending would not see the answer.
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY:
            chunks.append(chunk)
        else:
            chunks.clear()
    if size > MAX_BODY:
        raise bad_request("The request body is larger than 16 MB.", code="request_too_large", status=413)
    return b"".join(chunks)


def _decode(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise bad_request("The request body is not valid JSON.") from None


async def _refused(_: Request, refusal: Exception) -> Response:
    error = cast("WireError", refusal)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return JSONResponse(error.body, status_code=error.status, headers=headers)


async def _not_found(request: Request, missing: Exception) -> Response:
    error = cast("HTTPException", missing)
    message = f"{request.method} {request.url.path}: {error.detail}."
    body: Json = bad_request(message, code="not_found").body
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)
