"""The HTTP side of the API: routes, key, limits and ledger round an engine.

Unknown fields are ignored, and so is the model's name unless the engine has several models: a pipeline written for
another model runs here unchanged.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from extract.server.answers import Answer, encoded
from extract.server.engine import ChatCall, Engine, Json, Pieces
from extract.server.ledger import GONE, Entry, Ledger
from extract.server.refusals import WireError, bad_request, server_error, too_many, unauthorized
from extract.server.sse import EventStream, next_of, unless_gone
from extract.server.wire import read_call

MAX_BODY = 16 * 1024 * 1024  # bytes
MAX_WAITING = 256  # requests beside those that are worked on
KEEP_ALIVE = 10.0  # seconds
PATIENCE = 8  # times the size of a body


def create_app(
    engine: Engine,
    *,
    api_key: str | None = None,
    ledger: Path | None = None,
    hosts: Sequence[str] = (),
    max_body: int = MAX_BODY,
    max_waiting: int = MAX_WAITING,
    keep_alive: float = KEEP_ALIVE,
    faults: str | None = None,
    seed: int = 0,
) -> ASGIApp:
    """The ASGI app. Every /v1 request must carry `api_key`, if set; `ledger` gets a JSON line per chat request.

    `hosts`: the names that requests may call this server by, none for any; on loopback they keep out pages whose own
    name was made to point at this machine. `max_body` is in bytes; over `max_waiting` requests that wait for the
    engine the answer is a 429; `keep_alive` seconds without a token put a comment into a stream. `faults` is a profile
    of faults to show, with its `seed`.
    """
    api = _Api(engine, api_key, Ledger(ledger), max_body, engine.slots + max_waiting, keep_alive)
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", api.chat, methods=["POST"]),
            Route("/{model:path}/v1/chat/completions", api.chat, methods=["POST"]),
            Route("/v1/models", api.models, methods=["GET"]),
            Route("/v1/balance", api.balance, methods=["GET"]),
            Route("/health", api.health, methods=["GET"]),
            Route("/ledger", api.counts, methods=["GET"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts or ["*"])],
        exception_handlers={WireError: _refused, HTTPException: _not_found, Exception: _failed},
    )
    if faults is None:
        return app
    from extract.server.faults import with_faults

    return with_faults(app, faults, seed)


class _Api:
    def __init__(
        self, engine: Engine, api_key: str | None, ledger: Ledger, max_body: int, most: int, keep_alive: float
    ) -> None:
        self._engine, self._api_key, self._ledger = engine, api_key, ledger
        self._max_body, self._most, self._keep_alive = max_body, most, keep_alive

    async def chat(self, request: Request) -> Response:
        entry = self._ledger.arrived(request.url.path, request.headers)
        try:
            self._check_key(request)
            _check_type(request)
            entry.raw = await _read(request, self._max_body)
            call = read_call(_with_model(_decode(entry.raw), request.path_params.get("model")))
            entry.stream = call.stream
            if self._ledger.in_work >= self._most:
                raise too_many(self._most)
            entry.begin()
            answer = Answer(self._engine.model or str(call.body.get("model") or ""))
            give = self._streamed if call.stream else self._whole
            response = await give(request, call, answer, entry)
        except WireError as error:
            entry.close(error.status)
            raise
        except BaseException:  # a fault of ours, or the task was cancelled: its line is a 500, its place is free again
            entry.close()
            raise
        if response is None:
            entry.close(GONE)
            return Response(status_code=GONE)
        return response

    async def _whole(self, request: Request, call: ChatCall, answer: Answer, entry: Entry) -> Response | None:
        async def work() -> Response:
            async for piece in self._watched(call, entry):
                answer.add(piece)
            return _json(answer.body())

        return await unless_gone(request.receive, work())

    async def _streamed(self, request: Request, call: ChatCall, answer: Answer, entry: Entry) -> Response | None:
        pieces = self._watched(call, entry)
        first = asyncio.ensure_future(next_of(pieces))
        # What is refused before there is anything to send is refused with a status of its own.
        try:
            await unless_gone(request.receive, _patience(first, self._keep_alive))
        except asyncio.CancelledError:
            first.cancel()
            raise
        if first.done():
            first.result()
        return EventStream(pieces, first, answer, usage=call.include_usage, interval=self._keep_alive)

    async def _watched(self, call: ChatCall, entry: Entry) -> Pieces:
        """The engine's pieces, entered in the ledger as they come."""
        pieces, status = self._engine.stream(call), GONE  # unless it ends by itself: who waits for it went
        try:
            async for piece in pieces:
                entry.is_billed = True
                entry.usage = getattr(piece, "usage", None)
                yield piece
            status = 200
        except WireError as error:
            status = error.status
            raise
        except Exception:  # a fault of ours: others tell the client, here it is entered only
            status = 500
            raise
        finally:
            entry.close(status)
            await pieces.aclose()

    async def models(self, request: Request) -> Response:
        self._check_key(request)
        return _json({"object": "list", "data": await self._engine.models()})

    async def balance(self, request: Request) -> Response:
        self._check_key(request)
        return _json({"success": True, "remain_balance": -1, "used_balance": 0, "unlimited_quota": True})

    async def health(self, _: Request) -> Response:
        return _json({"status": "ok"})

    async def counts(self, _: Request) -> Response:
        return _json(self._ledger.counts())

    def _check_key(self, request: Request) -> None:
        if self._api_key is None:
            return
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._api_key}".encode()):
            raise unauthorized()


async def _patience(first: asyncio.Task[object], seconds: float) -> None:
    await asyncio.wait({first}, timeout=seconds)


def _check_type(request: Request) -> None:
    # A page in a browser may send text/plain to this machine unasked; JSON it may not.
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise bad_request(f"The content type is {kind}, send application/json.", status=415)


async def _read(request: Request, most: int) -> bytes:
    # A body too large is read on and thrown away, within reason: a client that still sends would not see the answer.
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > PATIENCE * most:
            break
        if size <= most:
            chunks.append(chunk)
        else:
            chunks.clear()
    if size > most:
        raise bad_request(f"The request body is larger than {most:,} bytes.", code="request_too_large", status=413)
    return b"".join(chunks)


def _decode(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise bad_request("The request body is not valid JSON.") from None


def _with_model(body: object, model: str | None) -> object:
    """The body with the model of the path, which stands where a body says none."""
    return {"model": model, **body} if model and isinstance(body, dict) else body


async def _refused(_: Request, refusal: Exception) -> Response:
    error = cast("WireError", refusal)
    return _json(error.body, error.status, error.headers)


async def _not_found(request: Request, missing: Exception) -> Response:
    error = cast("HTTPException", missing)
    message = f"{request.method} {request.url.path}: {error.detail}."
    body: Json = bad_request(message, code="not_found").body
    return _json(body, error.status_code, error.headers)


async def _failed(_: Request, __: Exception) -> Response:
    return _json(server_error("The server failed while it answered.").body, 500)


def _json(body: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(encoded(body), status, headers, media_type="application/json")
