"""A second call for a request whose first does not answer in time."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import extract
from extract.config import Limits, Model
from extract.errors import HEDGED, NOT_SENT, APIError, ConfigError, ErrorClass, RunStopped
from extract.gate import Gate
from extract.hedge import HEARD, with_hedges
from extract.limits import with_limits
from extract.records import ChatRequest, Completion
from extract.stop import Stop
from extract.testing import Call, Reply, ScriptedServer, completion
from tests import virtual
from tests.support import answer, failure, item, pipeline, rows_csv

CALL = 0.1  # seconds
Plan = Callable[
    ["Scene", str, int], "float | tuple[float, APIError]"
]  # name and number of the call: seconds, or a fault
ODD = {"7"}  # most stories are of one request among others


def hangs_once(scene: Scene, name: str, number: int) -> float:
    return 60.0 if name in ODD and number == 1 else CALL


class Scene:
    """Calls that take as long as planned, behind limits and with second calls."""

    def __init__(self, plan: Plan = hangs_once, after: float | str = 1.0, **limits: Any) -> None:
        self.plan, self.after, self.limits = plan, after, Limits(**{"concurrency": 8, **limits})
        self.stop = Stop()
        self.begun: list[tuple[float, str]] = []
        self.ended: Counter[str] = Counter()
        self.lost: list[tuple[str, str | None, bool]] = []
        self.parked: list[str] = []
        self.in_flight = self.most = 0

    async def send(self, asked: ChatRequest) -> Completion:
        loop = asyncio.get_running_loop()
        self.begun.append((loop.time(), asked.hash))
        number = sum(name == asked.hash for _, name in self.begun)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        planned = self.plan(self, asked.hash, number)
        seconds, error = planned if isinstance(planned, tuple) else (planned, None)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.ended["cancelled"] += 1
            raise
        finally:
            self.in_flight -= 1
        if error:
            raise error
        return answer(f"{asked.hash} of call {number}")

    async def story(self, count: int) -> list[Completion | BaseException]:
        self.stop.attach()
        self.gate = Gate(self.limits, Model(max_tokens=5), self.stop)

        def lose(asked: ChatRequest, error: APIError) -> None:
            self.lost.append((asked.hash, error.code or str(error.kind), error.may_be_billed))

        hedged = with_hedges(self.send, self.after, self.gate, lose)
        send = with_limits(hedged, self.gate, on_parked=lambda asked, error: self.parked.append(asked.hash))
        requests = [ChatRequest(b" " * 40, str(number)) for number in range(count)]
        found = await asyncio.gather(*map(send, requests), return_exceptions=True)
        self.took = asyncio.get_running_loop().time()
        self.tasks = len(asyncio.all_tasks())
        return found

    def run(self, count: int) -> list[Completion | BaseException]:
        return virtual.run(self.story(count))

    def calls(self, name: str) -> list[float]:
        return [at for at, called in self.begun if called == name]

    @property
    def spent(self) -> int:
        return self.gate._budget.spent.total


def test_a_second_call_answers_for_one_that_hangs() -> None:
    """The first answer counts, the other call is cancelled, and counts as one that may be billed."""
    scene = Scene(max_requests=1000)
    found = scene.run(60)
    assert [answer(f"{number} of call {2 if str(number) in ODD else 1}") for number in range(60)] == found
    (first, second) = scene.calls("7")
    assert second - first == pytest.approx(1.0, abs=0.02)
    assert [("7", HEDGED, True)] == scene.lost
    assert (1, 1) == (scene.ended["cancelled"], scene.tasks)
    assert scene.took < 3
    assert (61, 61 * 15) == (scene.gate._budget.requests, scene.spent)


def test_a_first_call_that_is_late_may_still_be_the_faster_one() -> None:
    scene = Scene(lambda scene, name, number: 1.5 if name in ODD and number == 1 else 5.0 if name in ODD else CALL)
    found = scene.run(60)
    assert answer("7 of call 1") == found[7]
    assert (2, [("7", HEDGED, True)]) == (len(scene.calls("7")), scene.lost)


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), True, "p49", "p100", "p5", "soon", []])
def test_a_moment_that_cannot_be_is_a_config_error(bad: Any) -> None:
    with pytest.raises(ConfigError, match=r"Limits\.hedge_after: "):
        Limits(hedge_after=bad)


@pytest.mark.parametrize(("given", "found"), [("2.5", 2.5), (3, 3.0), ("p95", "p95"), ("p99.9", "p99.9")])
def test_seconds_and_shares_come_from_the_command_line_too(given: Any, found: float | str) -> None:
    assert found == Limits().replaced({"hedge_after": given}).hedge_after


def test_without_being_asked_for_nobody_asks_twice() -> None:
    """It is off unless it is set."""
    assert Limits().hedge_after is None


@pytest.mark.parametrize("per_minute", [None, 1200])
def test_second_calls_are_one_in_twenty_at_most(per_minute: float | None) -> None:
    """Though every third is late."""
    scene = Scene(
        lambda scene, name, number: 3.0 if int(name) % 3 == 0 and number == 1 else CALL,
        after=0.3,
        requests_per_minute=per_minute,
    )
    found = scene.run(300)
    assert {Completion} == set(map(type, found))
    assert 5 <= len(scene.begun) - 300 <= 15


def test_second_calls_keep_to_the_permits_and_the_rate() -> None:
    """They wait for a turn of their own, before calls that are not begun yet."""
    plan = lambda scene, name, number: 60.0 if name == "40" and number == 1 else CALL  # noqa: E731
    scene = Scene(plan, concurrency=4, requests_per_minute=600)
    scene.run(100)
    assert 4 >= scene.most
    begun = sorted(at for at, _ in scene.begun)
    assert begun[-1] >= (len(begun) - 1) / 10 - 0.1
    first, second = scene.calls("40")
    assert 1.0 <= second - first <= 1.5


def test_a_call_that_answers_while_its_second_waits_for_a_turn_needs_none() -> None:
    """All permits are taken until then: nothing is begun, nothing counts."""
    scene = Scene(lambda scene, name, number: 2.0, after=1.0, concurrency=2)
    scene.run(40)
    assert (40, []) == (len(scene.begun), scene.lost)


def test_no_second_call_while_calls_are_refused_for_their_rate_or_a_while_after() -> None:
    def plan(scene: Scene, name: str, number: int) -> Any:
        if name == "3" and number == 1:
            return CALL, failure(ErrorClass.RATE, status=429, retry_after=1.0)
        return 3.0 if int(name) in (30, 31, 150) and number == 1 else CALL

    scene = Scene(plan, after=1.0, concurrency=1, adaptive=False)
    found = scene.run(160)
    assert {Completion} == set(map(type, found))
    assert [1, 1] == [len(scene.calls(name)) for name in ("30", "31")]
    assert [] == [lost for lost in scene.lost if lost[1] == HEDGED]


def test_no_second_call_in_an_outage() -> None:
    def plan(scene: Scene, name: str, number: int) -> Any:
        now = asyncio.get_running_loop().time()
        return (2.0, failure(status=503)) if 5 <= now < 60 else CALL

    scene = Scene(plan, after=1.0)
    scene.run(1000)
    late = [at for at, name in scene.begun if 20 < at < 60]
    assert len(late) <= 4 * 2  # looks, and nothing beside them


def test_no_second_call_above_a_cap() -> None:
    scene = Scene(max_requests=60)
    found = scene.run(60)
    assert (60, 60) == (len(scene.begun), sum(isinstance(one, Completion) for one in found))


def test_a_stop_lets_the_first_call_finish_alone() -> None:
    scene = Scene(lambda scene, name, number: 3.0 if name in ODD else CALL)

    async def story() -> list[Completion | BaseException]:
        asyncio.get_running_loop().call_later(0.95, scene.stop.request, RunStopped("enough"))
        return await scene.story(60)

    found = virtual.run(story())
    assert answer("7 of call 1") == found[7]
    assert 1 == len(scene.calls("7"))


def test_a_share_of_the_answers_is_known_after_some() -> None:
    """p90: a call is late when nine of ten were faster. Before twenty answers nobody knows."""
    assert 1 == len(_times_of(0, HEARD - 2))
    first, second = _times_of(100, 160)
    assert second - first == pytest.approx(0.19, abs=0.02)


def _times_of(odd: int, count: int) -> list[float]:
    def plan(scene: Scene, name: str, number: int) -> float:
        return 5.0 if int(name) == odd and number == 1 else 0.1 + int(name) % 10 / 100

    scene = Scene(plan, after="p90")
    scene.run(count)
    return scene.calls(str(odd))


@pytest.mark.parametrize("first", [True, False])
def test_a_passing_fault_of_one_call_lets_the_other_go_on(first: bool) -> None:
    """It counts as a failed call, and the answer is that of the other."""

    def plan(scene: Scene, name: str, number: int) -> Any:
        if name not in ODD:
            return CALL
        fails = (number == 1) is first
        return (1.5 if number == 1 else 0.5, failure(status=503)) if fails else 2.5

    scene = Scene(plan)
    found = scene.run(60)
    assert answer(f"7 of call {2 if first else 1}") == found[7]
    assert [("7", "transient", False)] == scene.lost
    assert 2 == len(scene.calls("7"))


def test_when_both_fail_the_first_error_is_that_of_the_request() -> None:
    def plan(scene: Scene, name: str, number: int) -> Any:
        return (1.5, failure(status=500 + number)) if name in ODD and number < 3 else CALL

    scene = Scene(plan)
    found = scene.run(60)
    assert isinstance(found[7], APIError)
    assert (501, [("7", "transient", False)]) == (found[7].status, scene.lost)


def test_a_refusal_of_one_call_is_final_for_both() -> None:
    """The server has understood the request and says no."""

    def plan(scene: Scene, name: str, number: int) -> Any:
        return (
            (0.2, failure(ErrorClass.REQUEST, status=400))
            if name in ODD and number == 2
            else hangs_once(scene, name, 1)
        )

    scene = Scene(plan)
    found = scene.run(60)
    assert isinstance(found[7], APIError)
    assert (400, [("7", HEDGED, True)]) == (found[7].status, scene.lost)
    assert 3 > scene.took


@pytest.mark.parametrize("number", [1, 2])
def test_a_refusal_for_the_rate_is_heard_at_once(number: int) -> None:
    """Nobody begins a call while the other of the two still waits for its answer."""

    def plan(scene: Scene, name: str, called: int) -> Any:
        if name != "40" or called > 2:
            return CALL
        return (1.2 if number == 1 else 0.2, failure(ErrorClass.RATE, retry_after=5.0)) if called == number else 2.0

    scene = Scene(plan, concurrency=2, adaptive=False)
    found = scene.run(100)
    assert {Completion} == set(map(type, found))
    assert 2 <= len(scene.calls("40"))
    refused = scene.calls("40")[0] + 1.2
    assert [] == [at for at, _ in scene.begun if refused + 0.02 < at < refused + 5.0]


def test_a_call_that_never_left_is_not_billed() -> None:
    """What hangs while it connects has sent nothing, and says so."""

    async def story() -> None:
        scene = Scene(max_requests=1000)
        real = scene.send

        async def send(asked: ChatRequest) -> Completion:
            try:
                return await real(asked)
            except asyncio.CancelledError as error:
                error.add_note(NOT_SENT)
                raise

        scene.send = send  # type: ignore[method-assign]
        await scene.story(60)
        assert [] == scene.lost
        assert 60 * 15 == scene.spent

    virtual.run(story())


def test_who_is_cancelled_ends_both_calls() -> None:
    scene = Scene(lambda scene, name, number: CALL if name not in ODD else 60.0)

    async def story() -> int:
        running = asyncio.ensure_future(scene.story(60))
        await asyncio.sleep(3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return len(asyncio.all_tasks())

    assert 1 == virtual.run(story())
    assert (2, 0) == (scene.ended["cancelled"], scene.in_flight)


def test_both_calls_are_in_the_journal_and_on_the_account_and_one_answer_is_stored(tmp_path: Path) -> None:
    """A real run: what the report and the journal count is what the server saw; the row is there once."""
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def script(call: Call) -> Reply:
        with lock:
            seen[call.prompt] += 1
            hangs = call.prompt in ("item 30", "item 31") and seen[call.prompt] == 1
        return Reply(completion(item(call)), delay=20.0 if hangs else 0.02)

    with ScriptedServer(script) as server:
        hedged = pipeline(limits=Limits(concurrency=8, hedge_after=0.3, timeout=20))
        source = rows_csv(tmp_path / "in.csv", 80)
        result = extract.run(hedged, source, out=tmp_path / "out", endpoint=server.endpoint())
        again = extract.run(hedged, source, out=tmp_path / "out", endpoint=server.endpoint())
    report = result.report
    assert (80, 82, 82, 2) == (report.ok, report.requests, len(server.calls), report.ambiguous)
    assert 10 > report.seconds
    assert 0 == again.report.requests
    attempts = dict(zip(result.table["id"].to_pylist(), result.table["_attempts"].to_pylist(), strict=True))
    assert {"k30": 2, "k31": 2} == {key: number for key, number in attempts.items() if number != 1}
    with sqlite3.connect(tmp_path / "out" / "journal.db") as journal:
        assert [(HEDGED, 2)] == journal.execute(
            "SELECT code, count(*) FROM attempts WHERE kind <> 'completion' GROUP BY code"
        ).fetchall()
        assert [(80,)] == journal.execute("SELECT count(*) FROM answers").fetchall()
    journal.close()
