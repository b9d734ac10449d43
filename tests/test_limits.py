"""Permits, pace and caps, with a clock that only sleeping moves."""

from __future__ import annotations

import asyncio

import pytest

from extract.config import Limits, Model
from extract.errors import APIError, RunStopped
from extract.limits import with_limits
from extract.records import ChatRequest, Completion
from tests.support import answer, failure, request

PRICED = Model(input_usd_per_million=1000, output_usd_per_million=2000)  # 0.02 USD for 10 and 5 tokens


class Scene:
    """A sender behind limits that notes when calls begin and how many are in flight."""

    def __init__(self, limits: Limits, model: Model = PRICED, error: APIError | None = None) -> None:
        self.now = 0.0
        self.begun: list[float] = []
        self.finished = 0
        self.in_flight = self.most = 0
        self.error = error
        self.sender = with_limits(self.send, limits, model, sleep=self.sleep, clock=lambda: self.now)

    async def send(self, _: ChatRequest) -> Completion:
        self.begun.append(self.now)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        for _ in range(3):
            await asyncio.sleep(0)
        self.in_flight -= 1
        self.finished += 1
        if self.error:
            raise self.error
        return answer()

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        await asyncio.sleep(0)
        self.now = max(self.now, until)

    def run(self, count: int) -> list[Completion | BaseException]:
        async def all_of_them() -> list[Completion | BaseException]:
            return await asyncio.gather(*(self.sender(request()) for _ in range(count)), return_exceptions=True)

        return asyncio.run(all_of_them())


def test_calls_in_flight_never_pass_the_concurrency() -> None:
    scene = Scene(Limits(concurrency=3))
    scene.run(20)
    assert (3, 20) == (scene.most, scene.finished)


def test_a_failed_call_gives_its_permit_back() -> None:
    scene = Scene(Limits(concurrency=1), error=failure())
    scene.run(3)
    assert 3 == scene.finished


def test_starts_are_spaced_evenly() -> None:
    """120 a minute: half a second apart, the first at once."""
    scene = Scene(Limits(concurrency=100, requests_per_minute=120))
    scene.run(5)
    assert [0.0, 0.5, 1.0, 1.5, 2.0] == sorted(scene.begun)


def test_a_pause_is_not_made_up_for() -> None:
    """After a quiet time there is no burst."""
    scene = Scene(Limits(requests_per_minute=60))
    scene.run(2)
    scene.now = 1000.0
    scene.run(2)
    assert [0.0, 1.0, 1000.0, 1001.0] == scene.begun


@pytest.mark.parametrize("per_minute", [None, 6000.0])
def test_max_requests_is_never_passed(per_minute: float | None) -> None:
    """Not even by calls that wait for their turn; those in flight are finished."""
    scene = Scene(Limits(concurrency=8, max_requests=5, requests_per_minute=per_minute))
    results = scene.run(12)
    assert (5, 5) == (len(scene.begun), scene.finished)
    stopped = [str(found) for found in results if isinstance(found, RunStopped)]
    assert 7 == len(stopped)
    assert "5 requests made, the cap of this run (raise limits.max_requests)" == stopped[0]


def test_max_requests_counts_failed_calls() -> None:
    """Retries pay too."""
    scene = Scene(Limits(concurrency=1, max_requests=2), error=failure())
    assert [APIError, APIError, RunStopped] == [type(found) for found in scene.run(3)]


def test_max_cost_stops_when_it_is_reached() -> None:
    """The calls in flight are finished, so the cap may be passed by what they cost."""
    scene = Scene(Limits(concurrency=2, max_cost_usd=0.05))
    results = scene.run(10)
    assert 3 <= scene.finished <= 4
    stopped = [found for found in results if isinstance(found, RunStopped)]
    assert "raise limits.max_cost_usd" in str(stopped[0])
    assert 10 == len(stopped) + scene.finished


def test_without_prices_nothing_is_spent() -> None:
    scene = Scene(Limits(max_cost_usd=0.01), Model())
    scene.run(10)
    assert 10 == scene.finished


def test_a_call_that_is_refused_at_its_turn_counts_for_nothing() -> None:
    """Neither a turn of the pace nor one of the requests that are allowed; its permit is given back."""
    scene = Scene(Limits(concurrency=1, max_requests=2, requests_per_minute=60))

    def refuse(request: ChatRequest) -> None:
        if request.rung == 0:
            raise KeyError

    limits = Limits(concurrency=1, max_requests=2, requests_per_minute=60)
    sender = with_limits(scene.send, limits, PRICED, refuse=refuse, sleep=scene.sleep, clock=lambda: scene.now)

    async def calls() -> list[Completion | BaseException]:
        requests = [ChatRequest(b"{}", "a", rung=rung) for rung in (0, 0, 1, 0, 1)]
        return await asyncio.gather(*map(sender, requests), return_exceptions=True)

    found = asyncio.run(calls())
    assert [True, True, False, True, False] == [isinstance(each, KeyError) for each in found]
    assert [0.0, 1.0] == scene.begun
