"""Answers in a stream of events, and work that ends when the client goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from extract.server.answers import Answer, encoded
from extract.server.engine import Delta, End, Pieces
from extract.server.refusals import Json, WireError, server_error

KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"

logger = logging.getLogger("extract.server")
Result = TypeVar("Result")


class EventStream(Response):
    """The pieces of an answer as server-sent events; the client's going closes `pieces`, and so stops the model.

    `first` is the piece that is already under way; `interval` the seconds without a piece after which a comment is
    sent, for proxies and clients that take silence for death.
    """

    def __init__(
        self, pieces: Pieces, first: asyncio.Task[Delta | End], answer: Answer, *, usage: bool, interval: float
    ) -> None:
        super().__init__(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        del self.headers["content-length"]
        self._pieces, self._first, self._answer, self._usage, self._interval = pieces, first, answer, usage, interval

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_gone(receive, self._send(send))
        finally:
            await _end(self._first)
            await self._pieces.aclose()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        with suppress(OSError):  # the client is gone
            async with aclosing(self._events()) as events:
                async for data in events:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncGenerator[bytes, None]:
        yield event(self._answer.first_chunk())
        try:
            async with aclosing(patiently(self._pieces, self._first, self._interval)) as pieces:
                async for piece in pieces:
                    yield KEEP_ALIVE if piece is None else event(self._answer.chunk(piece))
        except WireError as error:
            yield event(error.body)
            return
        except Exception:  # the status is sent: what is left is to say so in the stream
            logger.exception("an answer broke off")
            yield event(server_error("The server failed while it answered.").body)
            return
        if self._usage:
            yield event(self._answer.usage_chunk())
        yield DONE


async def patiently(
    pieces: AsyncGenerator[Result, None], first: asyncio.Task[Result], interval: float
) -> AsyncGenerator[Result | None, None]:
    """`first` and all pieces after it; None whenever `interval` seconds pass without one."""
    waiting = first
    try:
        while True:
            done, _ = await asyncio.wait({waiting}, timeout=interval)
            if not done:
                yield None
                continue
            try:
                piece = waiting.result()
            except StopAsyncIteration:
                return
            waiting = asyncio.ensure_future(next_of(pieces))
            yield piece
    finally:
        await _end(waiting)


async def next_of(pieces: AsyncGenerator[Result, None]) -> Result:
    """The next piece, as a coroutine that can be a task."""
    return await anext(pieces)


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result | None:
    """The result of `work`, which is cancelled when the client goes; None then."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        await _end(working, gone)


def event(data: Json) -> bytes:
    """One event with this data."""
    return b"data: " + encoded(data) + b"\n\n"


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
