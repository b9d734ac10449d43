"""Permits in flight, requests per minute and the caps of a run; wraps a sender."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from extract.config import Limits, Model
from extract.errors import RunStopped
from extract.records import ChatRequest, Completion, Sender


def with_limits(
    send: Sender,
    limits: Limits,
    model: Model,
    *,
    refuse: Callable[[ChatRequest], None] = lambda request: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Sender:
    """A sender that holds a permit for each call and starts at most `requests_per_minute`, evenly spaced.

    `refuse` raises for a request that is not to be made any more: it hears of each that has got its permit and its
    turn, and what it refuses counts for nothing.

    Raises RunStopped when `max_requests` or `max_cost_usd` is reached; the calls in flight then are finished, so the
    cost may pass its cap by what these cost.
    """
    permits = asyncio.Semaphore(limits.concurrency)
    pace = _Pace(limits.requests_per_minute, sleep, clock)
    spent = _Spent(limits, model)

    async def sender(request: ChatRequest) -> Completion:
        async with permits:
            refuse(request)  # before it takes a turn
            await pace.wait()
            refuse(request)
            spent.check()  # after the wait, and in one step with the count, so that waiting calls cannot pass the cap
            spent.requests += 1
            completion = await send(request)
            spent.add(completion)
            return completion

    return sender


class _Pace:
    """Start times at least 60 / rate seconds apart."""

    def __init__(
        self, per_minute: float | None, sleep: Callable[[float], Awaitable[None]], clock: Callable[[], float]
    ) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._sleep = sleep
        self._clock = clock

    async def wait(self) -> None:
        if not self._gap:
            return
        now = self._clock()
        start = max(now, self._next)
        self._next = start + self._gap
        if start > now:
            await self._sleep(start - now)


class _Spent:
    """What this run has spent, against its caps."""

    def __init__(self, limits: Limits, model: Model) -> None:
        self._limits = limits
        self._model = model
        self.requests = 0
        self.cost_usd = 0.0

    def add(self, completion: Completion) -> None:
        usage = completion.usage
        self.cost_usd += self._model.cost_usd(usage.input_tokens, usage.output_tokens) or 0.0

    def check(self) -> None:
        limits = self._limits
        if limits.max_requests is not None and self.requests >= limits.max_requests:
            raise RunStopped(f"{self.requests} requests made, the cap of this run", hint="raise limits.max_requests")
        if limits.max_cost_usd is not None and self.cost_usd >= limits.max_cost_usd:
            raise RunStopped(f"{self.cost_usd:.4f} USD spent, the cap of this run", hint="raise limits.max_cost_usd")
