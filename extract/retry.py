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
from extract.errors import APIError, ErrorClass
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
    came. `on_failure` hears of every failed call.
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

        def fail(state: RetryCallState) -> None:
            nonlocal waited
            if error := _error(state):
                waited += error.waited
                on_failure(request, error)

        retrying = AsyncRetrying(
            sleep=sleep,
            retry=retry_if_exception(lambda error: isinstance(error, APIError) and error.retryable),
            stop=_Stop(policy, lambda: clock() - started - waited),
            wait=lambda state: wait_seconds(policy, state.attempt_number, _error(state), jitter()),
            after=fail,
            reraise=True,
        )
        attempts = 0
        async for attempt in retrying:
            with attempt:
                attempts = attempt.retry_state.attempt_number
                if attempts == 1:
                    raise first
                completion = await send(replace(request, attempt=attempts))
        return replace(completion, attempts=max(attempts, completion.attempts))

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
    """Stop by calls, or when the next wait would pass the total time."""

    def __init__(self, policy: Retry, elapsed: Callable[[], float]) -> None:
        self._policy = policy
        self._elapsed = elapsed

    def __call__(self, state: RetryCallState) -> bool:
        upcoming = state.upcoming_sleep or 0.0
        return (
            state.attempt_number >= self._policy.max_attempts or self._elapsed() + upcoming > self._policy.max_seconds
        )


def _error(state: RetryCallState) -> APIError | None:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, APIError) else None
