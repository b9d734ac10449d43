"""Which errors are tried again, how often and after how long; nothing here really waits."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections.abc import Iterable

import pytest

from extract.config import Retry
from extract.errors import APIError, ErrorClass
from extract.records import ChatRequest, Completion
from extract.retry import wait_seconds, with_retries
from tests.support import answer, failure, request


class Scene:
    """A sender that fails as told, with a clock that only sleeping moves."""

    def __init__(self, outcomes: Iterable[Exception | None], policy: Retry, seconds_a_call: float = 0.0) -> None:
        self.outcomes = iter(outcomes)
        self.now = 100.0
        self.seconds_a_call = seconds_a_call
        self.slept: list[float] = []
        self.heard: list[tuple[str, APIError]] = []
        self.calls = 0
        self.sender = with_retries(
            self.send,
            policy,
            on_failure=lambda sent, error: self.heard.append((sent.hash, error)),
            sleep=self.sleep,
            clock=lambda: self.now,
            jitter=lambda: 0.0,
        )

    async def send(self, sent: ChatRequest) -> Completion:
        self.calls += 1
        self.now += self.seconds_a_call
        if error := next(self.outcomes):
            raise error
        return answer()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def run(self) -> Completion:
        return asyncio.run(self.sender(request()))  # type: ignore[arg-type]


def test_a_passing_fault_is_tried_again_and_the_calls_are_counted() -> None:
    scene = Scene([failure(), failure(ErrorClass.RATE), None], Retry(initial_wait=2))
    assert 3 == scene.run().attempts
    assert [1.0, 2.0] == scene.slept
    assert ["a", "a"] == [name for name, _ in scene.heard]


def test_a_first_answer_counts_one() -> None:
    assert 1 == Scene([None], Retry()).run().attempts


@pytest.mark.parametrize("kind", [kind for kind in ErrorClass if kind not in (ErrorClass.RATE, ErrorClass.TRANSIENT)])
def test_nothing_else_is_tried_again(kind: ErrorClass) -> None:
    error = failure(kind)
    scene = Scene([error], Retry())
    with pytest.raises(APIError) as caught:
        scene.run()
    assert error is caught.value
    assert (1, [], []) == (scene.calls, scene.slept, scene.heard)


def test_an_error_of_the_program_passes_through() -> None:
    scene = Scene([ZeroDivisionError()], Retry())
    with pytest.raises(ZeroDivisionError):
        scene.run()
    assert 1 == scene.calls


def test_max_attempts_counts_the_first_call_and_the_last_error_is_raised_as_it_came() -> None:
    errors = [failure(), failure(), failure()]
    scene = Scene(errors, Retry(max_attempts=3))
    with pytest.raises(APIError) as caught:
        scene.run()
    assert errors[2] is caught.value
    assert (3, errors) == (scene.calls, [error for _, error in scene.heard])


def test_one_attempt_means_no_second() -> None:
    scene = Scene([failure()], Retry(max_attempts=1))
    with pytest.raises(APIError):
        scene.run()
    assert (1, []) == (scene.calls, scene.slept)


def test_max_seconds_bounds_calls_and_waits_together() -> None:
    """A wait that would pass the total time is not begun."""
    scene = Scene(
        itertools.repeat(failure()), Retry(max_attempts=100, max_seconds=20, initial_wait=2), seconds_a_call=3
    )
    with pytest.raises(APIError):
        scene.run()
    assert [1.0, 2.0, 4.0] == scene.slept  # 3+1+3+2+3+4+3 = 19, and 8 more would be 27
    assert 20 >= scene.now - 100


def test_waiting_for_a_turn_takes_no_time_of_a_record() -> None:
    """Calls that wait an hour for their turn, as under a low limit a minute, are made again all the same."""
    error = failure()
    error.waited = 3600.0
    scene = Scene([error, error, None], Retry(max_seconds=20, initial_wait=2), seconds_a_call=3602)
    assert 3 == scene.run().attempts


def test_each_request_has_its_own_time() -> None:
    scene = Scene([failure(), None, failure(), None], Retry(max_seconds=10, initial_wait=16, max_wait=16))
    assert [2, 2] == [scene.run().attempts, scene.run().attempts]


POLICY = Retry(initial_wait=1, max_wait=8, max_retry_after=60)


@pytest.mark.parametrize(
    ("attempt", "jitter", "expected"),
    [(1, 0.0, 0.5), (1, 1.0, 1.0), (2, 0.0, 1.0), (3, 0.5, 3.0), (4, 1.0, 8.0), (5, 1.0, 8.0), (1000, 0.0, 4.0)],
)
def test_the_backoff_doubles_up_to_its_cap_and_keeps_at_least_half(
    attempt: int, jitter: float, expected: float
) -> None:
    assert expected == wait_seconds(POLICY, attempt, failure(), jitter)


@pytest.mark.parametrize("kind", [ErrorClass.RATE, ErrorClass.TRANSIENT])
def test_what_the_server_asks_for_wins_within_the_cap(kind: ErrorClass) -> None:
    """Never less than asked; a little jitter on top spreads many records."""
    assert 30.0 == wait_seconds(POLICY, 5, failure(kind, retry_after=30.0), 0.0)
    assert 31.0 == wait_seconds(POLICY, 5, failure(kind, retry_after=30.0), 1.0)
    assert 60.0 == wait_seconds(POLICY, 1, failure(kind, retry_after=9999.0), 0.0)


def test_a_rate_limit_that_asks_for_no_wait_still_backs_off() -> None:
    """Else all retries would burn within one window."""
    assert 2.0 == wait_seconds(POLICY, 3, failure(ErrorClass.RATE, retry_after=0.0), 0.0)
    assert 0.0 == wait_seconds(POLICY, 3, failure(ErrorClass.TRANSIENT, retry_after=0.0), 0.0)


@pytest.mark.parametrize(
    ("asked", "attempt", "expected"),
    [(0.0, 1, 0.5), (0.02, 1, 0.5), (0.02, 4, 4.0), (0.9, 1, 0.9), (1.0, 4, 1.0), (1.5, 4, 1.5)],
)
def test_a_rate_limit_that_asks_for_a_moment_has_a_floor(asked: float, attempt: int, expected: float) -> None:
    """What is shorter than the first wait counts for nothing; what is as long counts alone."""
    assert expected == wait_seconds(POLICY, attempt, failure(ErrorClass.RATE, retry_after=asked), 0.0)


@pytest.mark.parametrize("jitter", [0.0, 0.25, 0.999])
def test_no_jitter_makes_the_wait_after_a_rate_limit_collapse(jitter: float) -> None:
    """Half of the backoff at the least, whatever is drawn."""
    for attempt in range(1, 20):
        half = min(8.0, 2.0 ** (attempt - 1)) / 2
        assert half <= wait_seconds(POLICY, attempt, failure(ErrorClass.RATE), jitter)
        assert half <= wait_seconds(POLICY, attempt, failure(ErrorClass.RATE, retry_after=0.0), jitter)


def test_without_an_error_the_backoff_counts() -> None:
    assert 0.5 == wait_seconds(POLICY, 1, None, 0.0)


def of_outage(error: APIError) -> APIError:
    error.of_outage = True
    return error


def test_a_failure_that_turns_out_to_be_of_an_outage_is_no_attempt() -> None:
    """It is still a call; the limits hear which of its attempts a call is."""
    scene = Scene([failure(), of_outage(failure()), failure(), None], Retry(max_attempts=3, initial_wait=0))
    assert 4 == scene.run().attempts


def test_what_always_looks_like_an_outage_comes_to_an_end() -> None:
    scene = Scene((of_outage(failure()) for _ in itertools.count()), Retry(max_attempts=3, initial_wait=0))
    with pytest.raises(APIError):
        scene.run()
    assert 6 == scene.calls


def test_a_call_that_failed_leaves_nothing_to_the_collector() -> None:
    """Its error knows the frames that it passed, and they know what the call held: megabytes in a long run."""

    class Held:
        pass

    kept: list[weakref.ref[Held]] = []

    async def send(sent: ChatRequest) -> Completion:
        held = Held()
        kept.append(weakref.ref(held))
        if len(kept) % 4 == 0:
            return answer()
        error = ValueError("below")  # which this frame knows, as a connection knows why it broke
        try:
            raise error
        except ValueError as caught:
            raise failure() from caught

    async def no_wait(seconds: float) -> None:
        pass

    sender = with_retries(send, Retry(initial_wait=0), sleep=no_wait)

    async def story() -> None:
        for _ in range(5):
            await sender(request())

    gc.collect()
    gc.disable()
    try:
        asyncio.run(story())
        assert (20, []) == (len(kept), [each for each in kept if each() is not None])
    finally:
        gc.enable()
