"""When calls begin and which failures count, in virtual time."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import uvloop

from extract.client import Client
from extract.client.dial import dial
from extract.client.wire import Connection
from extract.config import Limits, Model, Retry
from extract.control import Verdict
from extract.errors import APIError, ErrorClass, RunStopped
from extract.gate import FIRST_PATIENCE, Gate
from extract.limits import held_back, with_limits
from extract.media import MediaError
from extract.records import ChatRequest, Completion
from extract.retry import with_retries
from extract.stop import Stop
from extract.testing import Call, Reply, ScriptedServer, completion
from extract.turns import Turn
from tests import virtual
from tests.support import answer, failure, request

PRICED = Model(max_tokens=5, input_usd_per_million=1000, output_usd_per_million=2000)  # 0.02 USD for 10 and 5 tokens

Server = Callable[["Scene", str], APIError | None]  # what becomes of a call: an error, or an answer


class Scene:
    """A sender behind limits that notes when calls begin and how many are in flight."""

    def __init__(self, limits: Limits, model: Model = PRICED, server: Server = lambda scene, name: None) -> None:
        self.limits, self.model, self.server = limits, model, server
        self.stop = Stop()
        self.begun: list[float] = []
        self.calls: Counter[str] = Counter()
        self.parked: Counter[str] = Counter()
        self.served = self.in_flight = self.most = 0
        self.seconds_a_call = 0.1
        self.retry = Retry(max_attempts=1)
        self.refuse: Callable[[ChatRequest], None] = lambda request: None

    async def send(self, asked: ChatRequest) -> Completion:
        self.begun.append(self.now)
        self.calls[asked.hash] += 1
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(self.seconds_a_call)
        self.in_flight -= 1
        if error := self.server(self, asked.hash):
            raise error
        self.served += 1
        return answer()

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def sender(self) -> Callable[[ChatRequest], Any]:
        def park(asked: ChatRequest, error: APIError) -> None:
            self.parked[asked.hash] += 1

        self.stop.attach()
        gate = Gate(self.limits, self.model, self.stop, retry=self.retry)
        send = with_limits(self.send, gate, refuse=self.refuse, on_parked=park)

        async def sender(asked: ChatRequest) -> Completion:
            try:
                return await send(asked)
            except RunStopped as error:  # as the runner does
                self.stop.request(error)
                raise

        return with_retries(sender, self.retry, sleep=self.stop.sleep, clock=lambda: self.now)

    async def all_of(self, count: int) -> list[Completion | BaseException]:
        send = self.sender()
        requests = [ChatRequest(b" " * 40, str(number)) for number in range(count)]  # 10 tokens, by their size
        return await asyncio.gather(*map(send, requests), return_exceptions=True)

    def run(self, count: int) -> list[Completion | BaseException]:
        return virtual.run(self.all_of(count))


def down(start: float, end: float) -> Server:
    return lambda scene, name: failure(status=503) if start <= scene.now < end else None


def test_calls_in_flight_never_pass_the_concurrency() -> None:
    scene = Scene(Limits(concurrency=3))
    scene.run(20)
    assert (3, 20) == (scene.most, scene.served)


def test_a_failed_call_gives_its_permit_back_and_says_how_long_it_waited() -> None:
    scene = Scene(Limits(concurrency=1), server=lambda scene, name: failure(ErrorClass.REQUEST))
    found = scene.run(3)
    assert [0.0, 0.1, 0.2] == [round(error.waited, 6) for error in found if isinstance(error, APIError)]


def test_a_cancelled_call_gives_its_permit_back() -> None:
    scene = Scene(Limits(concurrency=1))

    async def story() -> Completion:
        send = scene.sender()
        first, second = (asyncio.ensure_future(send(request(name))) for name in "ab")
        await asyncio.sleep(0.05)
        first.cancel()
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        found: Completion = await send(request("c"))
        return found

    assert 1 == virtual.run(story()).attempts
    assert ["a", "c"] == list(scene.calls)


def test_starts_are_spaced_evenly() -> None:
    """120 a minute: half a second apart, the first at once."""
    scene = Scene(Limits(concurrency=100, requests_per_minute=120))
    scene.run(5)
    assert pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0], abs=0.02) == sorted(scene.begun)


def test_tokens_a_minute_are_kept_by_what_answers_used() -> None:
    """15 tokens each, 900 a minute: one call a second, whatever was guessed from the request's two bytes."""
    scene = Scene(Limits(concurrency=100, tokens_per_minute=900))
    scene.run(61)
    assert 58 <= scene.begun[-1] <= 62


def test_a_pause_is_not_made_up_for() -> None:
    """After a quiet time there is no burst."""
    scene = Scene(Limits(requests_per_minute=60))

    async def story() -> None:
        send = scene.sender()
        await asyncio.gather(send(request("a")), send(request("b")))
        await asyncio.sleep(1000)
        await asyncio.gather(send(request("c")), send(request("d")))

    virtual.run(story())
    assert 1.0 == pytest.approx(scene.begun[3] - scene.begun[2], abs=0.02)


@pytest.mark.parametrize("per_minute", [None, 6000.0])
def test_max_requests_is_never_passed(per_minute: float | None) -> None:
    """Not even by calls that wait for their turn; those in flight are finished."""
    scene = Scene(Limits(concurrency=8, max_requests=5, requests_per_minute=per_minute))
    results = scene.run(12)
    assert (5, 5) == (len(scene.begun), scene.served)
    stopped = [str(found) for found in results if isinstance(found, RunStopped)]
    assert 7 == len(stopped)
    assert "5 requests made, the cap of this run (raise limits.max_requests)" == stopped[0]


def test_max_requests_counts_failed_calls() -> None:
    """Retries pay too."""
    scene = Scene(Limits(concurrency=1, max_requests=2), server=lambda scene, name: failure())
    assert [APIError, APIError, RunStopped] == [type(found) for found in scene.run(3)]


def test_max_cost_is_passed_by_one_call_at_most() -> None:
    """Calls in flight hold back what they may cost, so near the cap they go one by one."""
    scene = Scene(Limits(concurrency=16, max_cost_usd=0.05))
    results = scene.run(10)
    assert 3 == scene.served
    stopped = [found for found in results if isinstance(found, RunStopped)]
    assert "0.0600 USD spent, the cap of this run (raise limits.max_cost_usd)" == str(stopped[0])
    assert 10 == len(stopped) + scene.served


def test_a_call_that_is_refused_at_its_turn_counts_for_nothing() -> None:
    """Neither a turn of the pace nor one of the requests that are allowed; its permit is given back."""
    scene = Scene(Limits(concurrency=1, max_requests=2, requests_per_minute=60))

    def refuse(asked: ChatRequest) -> None:
        if asked.rung == 0:
            raise KeyError

    async def calls() -> list[Completion | BaseException]:
        scene.refuse = refuse
        send = scene.sender()
        requests = [ChatRequest(b"{}", "a", rung=rung) for rung in (0, 0, 1, 0, 1)]
        return await asyncio.gather(*map(send, requests), return_exceptions=True)

    found = virtual.run(calls())
    assert [True, True, False, True, False] == [isinstance(each, KeyError) for each in found]
    assert pytest.approx([0.0, 1.0], abs=0.02) == scene.begun


def test_a_stop_is_heard_by_all_that_wait() -> None:
    """No call begins after it, and nobody waits for a turn that does not come."""
    scene = Scene(Limits(concurrency=1, requests_per_minute=1))

    async def story() -> list[Completion | BaseException]:
        asyncio.get_running_loop().call_later(5, scene.stop.request, RunStopped("enough"))
        found = await scene.all_of(4)
        assert 6 > scene.now
        return found

    assert [Completion, RunStopped, RunStopped, RunStopped] == [type(found) for found in virtual.run(story())]
    assert 1 == len(scene.begun)


def test_an_outage_costs_few_calls_and_no_record() -> None:
    """A minute down in the middle: at most 3 calls per permit fail, nothing is raised, all is answered soon after."""
    scene = Scene(Limits(concurrency=16), server=down(10, 70))
    scene.retry = Retry()
    found = scene.run(3000)
    assert {Completion} == set(map(type, found))
    assert len(scene.begun) - 3000 <= 3 * 16
    assert scene.parked.total() >= 5
    in_order = sorted(scene.begun)
    recovered = next(at for at in in_order if at >= 70)
    assert recovered <= 70 + 30 + 1.5
    tenth = in_order.index(recovered) + 1000
    assert in_order[tenth] - recovered <= 1000 / 160 + 5  # of 160 a second


def test_a_parked_call_says_how_many_it_took() -> None:
    scene = Scene(Limits(concurrency=8), server=down(0, 7))
    scene.retry = Retry()
    calls = sum(found.attempts for found in scene.run(100) if isinstance(found, Completion))
    assert len(scene.begun) >= calls > 100


def test_an_outage_from_the_beginning_stops_the_run_within_the_first_patience() -> None:
    """Nothing was ever answered: it is the address, and nobody waits half an hour for that."""
    scene = Scene(Limits(concurrency=10), server=lambda scene, name: failure(status=503, hint="look at it"))

    async def story() -> tuple[list[Completion | BaseException], float]:
        return await scene.all_of(100), scene.now

    found, took = virtual.run(story())
    assert FIRST_PATIENCE < took < FIRST_PATIENCE + 40
    assert {RunStopped} == set(map(type, found))
    assert re.fullmatch(r"no answer for \d\d seconds: it failed \(look at it\)", str(scene.stop.reason))
    assert len(scene.begun) <= 30 + 8


def test_an_outage_later_stops_the_run_after_its_timeout() -> None:
    scene = Scene(Limits(concurrency=10, outage_timeout=600), server=down(10, 1e9))

    async def story() -> float:
        await scene.all_of(2000)
        return scene.now

    assert 600 < virtual.run(story()) < 660
    assert len(scene.begun) - scene.served <= 30 + 30


def test_a_rate_that_is_too_high_parks_calls_until_the_server_takes_them() -> None:
    """Retry-After is one pause for all: nothing begins before it ends."""

    def server(scene: Scene, name: str) -> APIError | None:
        if scene.served >= 20 and scene.now < 30:
            return failure(ErrorClass.RATE, status=429, retry_after=30 - scene.now)
        return None

    scene = Scene(Limits(concurrency=8), server=server)
    assert {Completion} == set(map(type, scene.run(200)))
    refused = len(scene.begun) - 200
    assert 1 <= refused <= 16
    at_the_end = max(at for at in scene.begun if at < 30)
    assert at_the_end < 2


def test_a_request_that_alone_is_refused_for_its_rate_is_given_up() -> None:
    """Others are served between two of its refusals, so it is the request: its attempts count."""

    def server(scene: Scene, name: str) -> APIError | None:
        return failure(ErrorClass.RATE, status=429) if name == "3" else None

    scene = Scene(Limits(concurrency=2), server=server)
    found = scene.run(50)
    assert [3] == [number for number, each in enumerate(found) if isinstance(each, APIError)]
    assert 2 <= scene.calls["3"] <= 3


def test_nobody_is_refused_for_its_rate_for_ever() -> None:
    """The last requests of a run may be refused alone, with nobody served between; their time ends that."""
    scene = Scene(Limits(concurrency=2), server=lambda scene, name: failure(ErrorClass.RATE) if name > "3" else None)
    scene.retry = Retry(max_attempts=1, max_seconds=100)
    found = scene.run(6)
    assert [4, 5] == [number for number, each in enumerate(found) if isinstance(each, APIError)]
    assert 100 < scene.begun[-1] < 200


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_independent_errors_count_for_their_records(share: float) -> None:
    """They open no breaker: each is raised, for the retries to heed."""
    from random import Random

    chance = Random(7)
    scene = Scene(Limits(concurrency=16), server=lambda scene, name: failure() if chance.random() < share else None)
    found = scene.run(2000)
    failed = sum(isinstance(each, APIError) for each in found)
    assert (0, len(scene.begun) - 2000) == (scene.parked.total(), 0)
    assert share == pytest.approx(failed / 2000, abs=0.04)


def test_limits_that_are_known_can_be_all_that_counts() -> None:
    """Without adaptation all permits are used from the beginning, and only a named pause slows the run."""

    def server(scene: Scene, name: str) -> APIError | None:
        return failure(ErrorClass.RATE, retry_after=2.0 if scene.now < 1 else None) if scene.calls[name] == 1 else None

    scene = Scene(Limits(concurrency=50, adaptive=False), server=server)
    assert {Completion} == set(map(type, scene.run(100)))
    assert 50 == scene.begun.count(0.0)
    assert [] == [at for at in scene.begun if 0.2 < at < 2]
    assert 4 > scene.begun[-1]


def test_refusals_without_end_stop_the_run() -> None:
    """Each request is patient for a while; what none of them gets any more is an outage, and no fault of theirs."""

    def server(scene: Scene, name: str) -> APIError | None:
        return failure(ErrorClass.RATE, status=429) if scene.now > 10 else None

    scene = Scene(Limits(concurrency=4, outage_timeout=1800), server=server)
    scene.retry = Retry()

    async def story() -> tuple[list[Completion | BaseException], float]:
        return await scene.all_of(600), scene.now

    found, took = virtual.run(story())
    assert {Completion, RunStopped} == set(map(type, found))
    assert 1800 < took < 2000
    assert str(scene.stop.reason).startswith("no answer for 1")


@pytest.mark.parametrize(("bad", "concurrency"), [(1, 1), (2, 3), (4, 32)])
def test_the_last_records_may_be_bad_without_an_outage(bad: int, concurrency: int) -> None:
    """Nothing else is left to be served, so looks count as attempts: the run comes to its end."""
    scene = Scene(
        Limits(concurrency=concurrency),
        server=lambda scene, name: failure(status=500) if int(name) >= 40 else None,
    )
    scene.retry = Retry(max_attempts=6)
    found = scene.run(40 + bad)
    assert [APIError] * bad == [type(each) for each in found[40:]]
    assert max(scene.calls.values()) <= 10


def test_a_file_that_cannot_be_sent_costs_nothing() -> None:
    """The call was not made: its hold is given back, and its permit, and its tokens of the minute."""
    scene = Scene(Limits(concurrency=1, max_total_tokens=100, tokens_per_minute=60))
    missing = MediaError("media.changed", "gone")
    scene.server = lambda scene, name: missing if int(name) < 20 else None  # type: ignore[assignment,return-value]
    found = scene.run(22)
    assert [MediaError] * 20 + [Completion] * 2 == [type(each) for each in found]
    assert 60 > scene.begun[-1]


@pytest.mark.parametrize("passes", range(6))
def test_a_turn_that_a_refusal_overtakes_is_given_back(passes: int) -> None:
    """However many passes of the loop lie between the end of one call, the refusal of another, and the next turn."""
    scene = Scene(Limits(concurrency=2))
    real, begun = scene.send, [0]  # calls until the refusal was heard

    async def send(asked: ChatRequest) -> Completion:
        found = await real(asked)
        if asked.hash != "1" or scene.calls["1"] > 1:
            return found
        for _ in range(passes):
            await asyncio.sleep(0)
        begun[0] = len(scene.begun)
        raise failure(ErrorClass.RATE, retry_after=5.0)

    scene.send = send  # type: ignore[method-assign]
    found = scene.run(12)
    assert 12 == len([each for each in found if isinstance(each, Completion)])
    assert [] == [at for at in scene.begun[begun[0] :] if at < 5.1]
    assert 13 == len(scene.begun)


@pytest.mark.parametrize("attempts", [1, 2, 6])
def test_no_record_is_lost_to_an_outage_whatever_it_has_met_before(attempts: int) -> None:
    """Failures from before the breaker opened are no attempts either, and the last attempt waits for what is known."""
    from random import Random

    chance = Random(3)

    def server(scene: Scene, name: str) -> APIError | None:
        is_down = 20 <= scene.now < 80
        return failure(status=503) if is_down or (attempts > 1 and chance.random() < 0.02) else None

    scene = Scene(Limits(concurrency=8), server=server)
    scene.retry = Retry(max_attempts=attempts)
    found = scene.run(2500)
    lost = [each for each in found if not isinstance(each, Completion)]
    assert [] == (lost if attempts != 2 else lost[3:])  # with two, chance alone takes one in 2,500


def test_the_last_attempt_is_not_kept_waiting_where_nothing_else_is_at_work() -> None:
    """Nobody would ever tell it whether there is an outage."""
    scene = Scene(Limits(concurrency=8), server=lambda scene, name: failure())
    assert [APIError] == [type(each) for each in scene.run(1)]
    assert 1 == len(scene.begun)


def test_the_last_attempt_waits_for_what_is_known_only_so_often() -> None:
    """What always fails may look like an outage each time, and has to come to its end."""
    asked: list[bool] = []

    class Doubtful(Gate):
        async def failed(self, turn: Turn, error: APIError, *, is_last: bool = False) -> Verdict:
            asked.append(is_last)
            self.unsent(turn)
            return Verdict.PARK if is_last else Verdict.COUNT

    async def story() -> None:
        scene = Scene(Limits(), server=lambda scene, name: failure())
        gate = Doubtful(scene.limits, scene.model, scene.stop, retry=Retry(max_attempts=3))
        with pytest.raises(APIError):
            await with_limits(scene.send, gate)(replace(request(), attempt=3))

    virtual.run(story())
    assert [True, True, True, False] == asked


def test_a_request_that_alone_is_refused_has_all_pause_as_long_as_it_is_told() -> None:
    """It counts as its own fault, and the time that the server names is for everybody all the same."""
    quiet: list[tuple[float, float]] = []

    def server(scene: Scene, name: str) -> APIError | None:
        if name != "3":
            return None
        quiet.append((scene.now, scene.now + 2))
        return failure(ErrorClass.RATE, status=429, retry_after=2.0)

    scene = Scene(Limits(concurrency=4), server=server)
    scene.retry = Retry(max_attempts=3)

    async def story() -> list[Completion | BaseException]:
        send, tasks = scene.sender(), []
        for number in range(600):
            tasks.append(asyncio.ensure_future(send(ChatRequest(b" " * 40, str(number)))))
            await asyncio.sleep(0.1)
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = virtual.run(story())
    assert [3] == [number for number, each in enumerate(found) if isinstance(each, APIError)]
    assert 4 <= len(quiet) <= 5  # and it holds nobody up for longer
    assert [] == [at for at in scene.begun for heard, end in quiet if heard < at < end]


def test_a_call_that_is_overtaken_on_its_way_is_not_made_yet() -> None:
    """What stands between the turn and the call takes its time: a refusal that is heard meanwhile holds it back."""
    scene = Scene(Limits(concurrency=4))
    heard: list[float] = []
    real = scene.send

    async def refused_once(asked: ChatRequest) -> Completion:
        found = await real(asked)
        if asked.hash == "5" and not heard:
            heard.append(scene.now)
            raise failure(ErrorClass.RATE, retry_after=5.0)
        return found

    async def story() -> list[Completion | BaseException]:
        scene.stop.attach()
        gate = Gate(scene.limits, scene.model, scene.stop, retry=scene.retry)
        inner = held_back(refused_once, gate)

        async def slow(asked: ChatRequest) -> Completion:
            await asyncio.sleep(0.03 * (1 + int(asked.hash) % 4))  # a file is read
            return await inner(asked)

        send = with_limits(slow, gate)
        requests = [ChatRequest(b" " * 40, str(number)) for number in range(20)]
        return await asyncio.gather(*map(send, requests), return_exceptions=True)

    assert {Completion} == set(map(type, virtual.run(story())))
    assert [] == [at for at in scene.begun if heard[0] < at < heard[0] + 5]
    assert 21 == len(scene.begun)


def test_a_call_that_still_connects_when_a_refusal_is_heard_is_not_made_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its turn is given back; it has another when the pause has ended, and counts once."""
    came: list[float] = []
    dialled = 0

    async def slow(*place: Any) -> Connection:
        nonlocal dialled
        dialled += 1
        await asyncio.sleep(0.3 if dialled == 2 else 0)
        return await dial(*place)

    monkeypatch.setattr("extract.client.pool.dial", slow)

    def script(call: Call) -> Reply:
        came.append(time.monotonic())
        headers = {"retry-after": "1"}
        return Reply(status=429, headers=headers) if call.number == 1 else Reply(completion("{}"))

    async def story(server: ScriptedServer) -> list[int]:
        limits, stop = Limits(concurrency=4), Stop()
        stop.attach()
        async with Client(server.endpoint(), "m", limits) as client:
            gate = Gate(limits, PRICED, stop)
            send = with_limits(held_back(client, gate), gate)
            asked = (ChatRequest(b'{"messages": []}', name) for name in "ab")
            return [each.attempts for each in await asyncio.gather(*map(send, asked))]

    with ScriptedServer(script) as server:
        assert [2, 1] == asyncio.run(story(server))
    assert 3 == len(came)
    assert came[0] + 1 <= came[1]
    assert 2 == dialled


def test_a_pause_is_measured_more_finely_than_in_milliseconds() -> None:
    """Which uvloop's clock has: by that a pause ends up to one too early."""

    async def moments() -> list[float]:
        gate = Gate(Limits(), PRICED, Stop())
        return [gate.now() for _ in range(20)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(moments())
    assert any(abs(now * 1000 - round(now * 1000)) > 0.001 for now in found)


def test_failures_from_just_before_the_breaker_opened_are_marked() -> None:
    """All that it opened over, and none that a later call was served after."""
    errors: list[tuple[float, APIError]] = []

    def server(scene: Scene, name: str) -> APIError | None:
        if not (20 <= scene.now < 80 or name == "7"):
            return None
        errors.append((scene.now, failure(status=503)))
        return errors[-1][1]

    scene = Scene(Limits(concurrency=8), server=server)
    scene.retry = Retry(max_attempts=2)
    scene.run(2500)
    assert [False, False] == [error.of_outage for at, error in errors if at < 10]
    marked = [at for at, error in errors if error.of_outage]
    assert 16 <= len(marked) <= 24
    assert 20 <= min(marked) <= max(marked) < 22
