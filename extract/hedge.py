"""A second call for a request whose first does not answer in time. Wraps a sender, and is off unless asked for.

It stands inside the limits and inside the journal. Inside the limits, for its clock has to run from the moment when a
call begins, not while that waits for its turn; the second call pays for a turn of its own, which `Room` gives. Inside
the journal, for one answer is stored: which one has to be settled before.

Both calls are accounted. The one that is given up counts as failed, in the journal too, and as one that may be billed,
unless it is known that nothing of it was sent. At the gate the first turn ends with whatever is returned or raised
here, and the second one with what became of the other call.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from typing import Protocol

from extract.errors import HEDGED, NOT_SENT, APIConnectionError, APIError, ErrorClass
from extract.records import ChatRequest, Completion, Sender

MOST = 0.05  # of the calls are second ones
HEARD = 20  # answers before their share tells anything
MEMORY = 500  # answers of late
AGAIN = 0.25  # seconds until the next look whether there is room, at least
GIVING_UP = 1.0  # seconds for a call to end that is given up

OnLost = Callable[[ChatRequest, APIError], None]


class Spare(Protocol):
    """The turn of a second call."""

    @property
    def is_resting(self) -> bool: ...

    def answered(self, completion: Completion) -> None: ...

    async def failed(self, error: APIError) -> None: ...

    def lost(self) -> None: ...

    def unsent(self) -> None: ...


class Room(Protocol):
    """Where second calls get their turn."""

    async def spare(self, request: ChatRequest) -> Spare: ...


def with_hedges(send: Sender, after: float | str, room: Room, on_lost: OnLost) -> Sender:
    """A sender that asks twice where the first call takes longer than `after`: seconds, or a share of the answers.

    The first answer counts, and the other call is cancelled; `on_lost` hears of each call that came to nothing, or to
    an answer that nobody needs. A passing fault of one call lets the other go on; any other error is final.
    """
    hedging = _Hedging(send, after, room, on_lost)
    return hedging.ask


class _Delay:
    """Seconds after which a call is late."""

    def __init__(self, after: float | str) -> None:
        self._fixed = after if isinstance(after, float | int) else None
        self._share = 0.0 if self._fixed else float(str(after)[1:]) / 100
        self._took: deque[float] = deque(maxlen=MEMORY)
        self._in_order: list[float] = []

    def seconds(self) -> float | None:
        """None: not known yet."""
        if self._fixed is not None:
            return self._fixed
        heard = len(self._in_order)
        return self._in_order[min(heard - 1, int(self._share * heard))] if heard >= HEARD else None

    def heard(self, seconds: float) -> None:
        if self._fixed is not None:
            return
        if len(self._took) == MEMORY:
            del self._in_order[bisect_left(self._in_order, self._took[0])]
        self._took.append(seconds)
        insort(self._in_order, seconds)


class _Call:
    """One of the two."""

    def __init__(self, send: Sender, request: ChatRequest) -> None:
        self.is_sent = False
        self.task = asyncio.create_task(self._run(send, request))

    async def _run(self, send: Sender, request: ChatRequest) -> Completion:
        self.is_sent = True
        try:
            return await send(request)
        except asyncio.CancelledError as error:
            self.is_sent = NOT_SENT not in getattr(error, "__notes__", ())
            raise

    async def give_up(self) -> None:
        if not self.task.done():
            self.task.cancel()
            await asyncio.wait({self.task}, timeout=GIVING_UP)

    @property
    def error(self) -> BaseException | None:
        """Why it brought no answer; None while nothing is known, or when it has."""
        return self.task.exception() if self.task.done() and not self.task.cancelled() else None

    @property
    def answer(self) -> Completion | None:
        return self.task.result() if self.task.done() and not self.task.cancelled() and not self.error else None

    def is_over(self, *, of_rate: bool = False) -> bool:
        """Whether it has an answer or an error that is final; a refusal for the rate may be one."""
        error = self.error
        if error is None:
            return self.answer is not None
        return not (isinstance(error, APIError) and error.retryable) or (of_rate and error.kind is ErrorClass.RATE)


class _Hedging:
    def __init__(self, send: Sender, after: float | str, room: Room, on_lost: OnLost) -> None:
        self._send, self._room, self._on_lost = send, room, on_lost
        self._delay = _Delay(after)
        self._calls = self._twice = 0  # requests, and those asked twice

    async def ask(self, request: ChatRequest) -> Completion:
        self._calls += 1
        loop = asyncio.get_running_loop()
        begun, delay = loop.time(), self._delay.seconds()
        if delay is None:
            completion = await self._send(request)
        else:
            completion = await self._in_time(request, delay)
        self._delay.heard(loop.time() - begun)
        return completion

    async def _in_time(self, request: ChatRequest, delay: float) -> Completion:
        first = _Call(self._send, request)
        try:
            while True:
                await asyncio.wait({first.task}, timeout=delay)
                if first.task.done():
                    return await first.task
                if self._twice + 1 <= MOST * self._calls and (spare := await self._turn(request, first)):
                    return await self._first_of(request, first, spare)
                delay = max(delay, AGAIN)
        finally:
            await first.give_up()

    async def _turn(self, request: ChatRequest, first: _Call) -> Spare | None:
        """A turn for a second call, unless the first one ends before there is one, or there is none to be had."""
        self._twice += 1
        asking = asyncio.ensure_future(self._room.spare(request))
        spare: Spare | None = None
        try:
            await asyncio.wait({first.task, asking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asking.cancel()
            await asyncio.wait({asking})
            if not asking.cancelled() and not asking.exception():
                spare = asking.result()
            if spare is not None and (first.task.done() or spare.is_resting or _is_cancelled()):
                spare.unsent()
                spare = None
            self._twice -= spare is None
        return spare

    async def _first_of(self, request: ChatRequest, first: _Call, spare: Spare) -> Completion:
        """The first answer. A passing fault of one call is none."""
        second = _Call(self._send, request)
        turn: Spare | None = spare
        counts = first
        try:
            while not (first.is_over(of_rate=True) or second.is_over()):
                going = {call.task for call in (first, second) if not call.task.done()}
                if not going:
                    break
                await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
                error = second.error
                if turn and isinstance(error, APIError) and not second.is_over():
                    turn = None  # the gate hears of it at once, for others may have to wait for it
                    self._on_lost(request, error)
                    await spare.failed(error)
            counts = second if second.is_over() and not first.is_over(of_rate=True) else first
            return await counts.task
        finally:
            await first.give_up()
            await second.give_up()
            if turn:
                await self._settle(request, turn, first if counts is second else second)

    async def _settle(self, request: ChatRequest, spare: Spare, other: _Call) -> None:
        """End the second turn with the call whose end is not what is returned."""
        error, answer = other.error, other.answer
        if answer is None and not other.is_sent:
            spare.unsent()
        elif isinstance(error, APIError):
            self._on_lost(request, error)
            await spare.failed(error)
        else:
            self._on_lost(request, _given_up())
            if answer is not None:
                spare.answered(answer)
            else:
                spare.lost()


def _is_cancelled() -> bool:
    """Whether whoever waits here is to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _given_up() -> APIError:
    error = APIConnectionError(
        "given up, since another call for the same request was faster; it may have been billed",
        kind=ErrorClass.TRANSIENT,
        code=HEDGED,
    )
    error.may_be_billed = True
    return error
