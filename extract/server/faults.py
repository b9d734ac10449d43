"""Faults in front of the local API: an ASGI app round another that gives wrong answers on purpose.

An app cannot do all that a socket can. A reset (Q13.reset, Q69) and a lost answer (Q61) end here as a connection that
is closed in the middle of a response with its head; a body that ends with the connection (Q13.eof) is sent in HTTP
chunks, whose end is missing. All else is as `extract.testing.FaultServer` sends it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from typing import Any

from extract.faults import Dealer, End, Fault, Profile, Turn, UnknownFault, Wire, plain, profile_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

MAX_BODY = 64 * 1024 * 1024  # bytes of a request that may get a fault; what is larger goes through


def with_faults(app: App, profile: str | Profile | None = None, seed: int = 0, *, stall: float = 60.0) -> App:
    """An app that gives faults of `profile` (toapis, kie, newapi, chaos, or the name of a quirk) in place of answers.

    A request with the header `X-Fault: Q14` gets that fault (None as profile: only such requests get one). Answers with
    a fault carry its name in `x-fault`. The same requests with the same seed get the same faults, in any order.
    `stall`: seconds that a silent connection is kept. Raises UnknownFault.
    """
    return _Faulty(app, Dealer(profile_of(profile) if profile else None, seed), stall)


class _Faulty:
    def __init__(self, app: App, dealer: Dealer, stall: float) -> None:
        self._app, self._dealer, self._stall = app, dealer, stall

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith("/chat/completions")
        if not asked:
            return await self._app(scope, receive, send)
        came = await _read(receive)
        raw = b"".join(message.get("body", b"") for message in came)
        again = _again(came, receive)
        body = _object(raw)
        if body is None or came[-1].get("more_body"):
            return await self._app(scope, again, send)
        wanted = dict(scope["headers"]).get(b"x-fault", b"").decode("latin-1")
        try:
            deal = self._dealer.deal(raw, body, wanted)
        except UnknownFault as error:
            detail = {"code": "invalid_request_error", "message": str(error), "type": "invalid_request_error"}
            return await self._play(plain({"error": {**detail, "param": "X-Fault"}}, 400), "", receive, send)
        if deal.fault is None:
            return await self._app(scope, again, send)
        return await self._give(deal.fault, deal.seed, scope, body, receive, send)

    async def _give(
        self,
        fault: Fault,
        seed: int,
        scope: MutableMapping[str, Any],
        body: dict[str, Any],
        receive: Receive,
        send: Send,
    ) -> None:
        answer: dict[str, Any] = {"choices": []}
        if fault.billed:
            answered = await self._good(scope, body)
            found = _object(b"".join(message.get("body", b"") for message in answered))
            if answered[0]["status"] != 200 or not found or not found.get("choices"):
                for message in answered:  # a refusal of the app's own
                    await send(message)
                return
            answer = found
        await self._play(fault.make(Turn(answer, body, seed, time.time())), fault.name, receive, send)

    async def _good(self, scope: MutableMapping[str, Any], body: dict[str, Any]) -> list[Message]:
        """The app's whole answer, asked for without a stream."""
        whole = {name: value for name, value in body.items() if name != "stream_options"} | {"stream": False}
        raw = json.dumps(whole).encode()
        headers = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
        answered: list[Message] = []

        async def keep(message: Message) -> None:
            answered.append(message)

        request = {"type": "http.request", "body": raw, "more_body": False}
        changed = {**scope, "headers": [*headers, (b"content-length", str(len(raw)).encode())]}
        await self._app(changed, _again([request], _never), keep)
        return answered

    async def _play(self, wire: Wire, name: str, receive: Receive, send: Send) -> None:
        headers = dict(wire.headers) | ({"x-fault": name} if name else {})
        if wire.framing == "length" and not wire.breaks:
            headers["content-length"] = str(len(wire.body))
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": wire.status, "headers": pairs})
        for step in wire.steps:
            if isinstance(step, bytes):
                await send({"type": "http.response.body", "body": step, "more_body": True})
            elif isinstance(step, End):
                if step is End.STALL:
                    await _gone(receive, self._stall)
                return  # uvicorn closes the connection of a response that is not complete
            else:
                await asyncio.sleep(step)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _read(receive: Receive) -> list[Message]:
    """The messages of a request's body; the last says `more_body` when it is larger than can be kept."""
    came: list[Message] = []
    size = 0
    while True:
        message = await receive()
        came.append(message)
        size += len(message.get("body", b""))
        if not message.get("more_body") or size > MAX_BODY:
            return came


def _again(came: Iterable[Message], receive: Receive) -> Receive:
    """What was read, then what is still to come."""
    kept = iter(came)

    async def again() -> Message:
        for message in kept:
            return message
        return await receive()

    return again


async def _never() -> Message:
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # nobody leaves


async def _gone(receive: Receive, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
