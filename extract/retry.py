"""Which errors are tried again and how long to wait, as a tenacity policy; wraps a sender."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception
from tenacity.stop import stop_base

from extract.config import Retry
from extract.errors import APIError, ErrorClass, let_go
from extract.records import ChatRequest, Completion, Sender


def with_retries(
    send: Sender,
    policy: Retry,
    *,
    on_failure: Callable[[ChatRequest, APIError], None] = lambda request, error: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
    jitter: Callable[[], float] = random.random,
) -> Sender:
    """A sender that calls `send` up to `max_attempts` times: rate and transient errors only.

    The completion carries the number of calls, or the greater one that it has already. The last error is raised as it
    came. `on_failure` hears of every failed call. An error that turns out to be `of_outage` is no attempt, as often as
    `max_attempts`: what always fails may look like an outage, and has to end.
    """

    async def sender(request: ChatRequest) -> Completion:
        started = clock()
        try:
            return await send(request)  # most calls need no second one, and are spared what watches over retries
        except APIError as error:
            if not error.retryable:
                raise
            return await again(request, error, started)

    async def again(request: ChatRequest, first: APIError, started: float) -> Completion:
        waited = 0.0  # for turns, which is not the record's fault
        errors: list[APIError] = []

        def fail(state: RetryCallState) -> None:
            nonlocal waited
            if error := _error(state):
                errors.append(error)
                waited += error.waited
                on_failure(request, error)

        def counted() -> int:
            """Attempts, as far as is known now."""
            return len(errors) - min(sum(error.of_outage for error in errors), policy.max_attempts)

        retrying = AsyncRetrying(
            sleep=sleep,
            retry=retry_if_exception(lambda error: isinstance(error, APIError) and error.retryable),
            stop=_Stop(policy, counted, lambda: clock() - started - waited),
            wait=lambda state: wait_seconds(policy, state.attempt_number, _error(state), jitter()),
            after=fail,
            reraise=True,
        )

        async def ask() -> Completion:
            if not errors:
                raise first
            let_go(errors[-1])
            return await send(replace(request, attempt=max(2, counted() + 1)))

        try:
            completion: Completion = await retrying(ask)
            return replace(completion, attempts=max(1 + len(errors), completion.attempts))
        finally:  # errors know this frame: what it keeps of them is a ring, and stays until the collector comes
            errors.clear()
            retrying.iter_state.reset()

    return sender


def wait_seconds(policy: Retry, attempt: int, error: APIError | None, jitter: float) -> float:
    """Seconds before the next call: what the server asks for within its cap, else backoff with jitter.

    `attempt` is the number of the failed call, `jitter` is drawn from [0, 1). At least half of the backoff is kept, so
    that the retries of many records do not fall into one moment. A rate limit that asks for less than the first wait
    says nothing: all attempts would burn within its window.
    """
    backoff: float = min(policy.max_wait, policy.initial_wait * 2.0 ** min(attempt - 1, 60))
    wait = backoff * (0.5 + 0.5 * jitter)
    if error is None or error.retry_after is None:
        return wait
    asked = min(error.retry_after, policy.max_retry_after)
    if error.kind is ErrorClass.RATE and asked < policy.initial_wait:
        return max(asked, wait)
    return asked + policy.initial_wait * jitter


class _Stop(stop_base):
    """Stop by attempts, or when the next wait would pass the total time."""

    def __init__(self, policy: Retry, counted: Callable[[], int], elapsed: Callable[[], float]) -> None:
        self._policy = policy
        self._counted = counted
        self._elapsed = elapsed

    def __call__(self, state: RetryCallState) -> bool:
        upcoming = state.upcoming_sleep or 0.0
        return self._counted() >= self._policy.max_attempts or self._elapsed() + upcoming > self._policy.max_seconds


def _error(state: RetryCallState) -> APIError | None:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, APIError) else None
