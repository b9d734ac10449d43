"""The loop: how far it reads ahead, how it stops, what it stores."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extract import Endpoint, Model
from extract.api import prepare_run
from extract.client import completion_from
from extract.config import Limits
from extract.errors import APIError, ErrorClass, RunDirectoryError, RunStopped
from extract.gate import Gate
from extract.journal import Journal
from extract.journaled import journaled
from extract.ladder import Ladder
from extract.limits import with_limits
from extract.records import ChatRequest, Completion, Outcome, Record, Sender
from extract.report import Tally
from extract.runner import Runner
from extract.stop import Stop
from tests.support import answer, failure, pipeline, request

GOOD = b'{"choices": [{"message": {"content": "{\\"name\\": \\"x\\", \\"number\\": 1}"}, "finish_reason": "stop"}]}'


class Scene:
    """A runner over generated records with a sender of the test's own."""

    def __init__(self, path: Path, count: int, width: int = 10, text: str = "t {}") -> None:
        self.stop = Stop()
        self.path, self.count, self.width, self.text = path, count, width, text
        self.read = self.asked = self.most_ahead = 0
        self.delivered: list[Outcome] = []

    def records(self) -> Iterator[Record]:
        for number in range(self.count):
            self.read += 1
            self.most_ahead = max(self.most_ahead, self.read - len(self.delivered))
            yield Record(key=number, position=number, cells={"id": str(number), "text": self.text.format(number)})

    async def send(self, _: ChatRequest) -> Completion:
        self.asked += 1
        await asyncio.sleep(0)
        return completion_from(GOOD, {})

    async def deliver(self, outcome: Outcome) -> None:
        self.delivered.append(outcome)

    def run(self, send: Sender | None = None, judge: Any = None) -> Tally:
        import pyarrow as pa

        frame = pa.table({"id": ["0"], "text": ["t"]})
        prepared = prepare_run(pipeline(), frame, endpoint=Endpoint(base_url="http://127.0.0.1/v1"))
        tally = Tally(self.count)

        async def all_of_it() -> None:
            self.stop.attach()
            with Journal(self.path / "journal.db") as journal:
                runner = Runner(
                    ladders=[Ladder(question) for question in prepared.questions],
                    judge=judge or prepared.judge,
                    journal=journal,
                    send=with_limits(
                        journaled(send or self.send, journal, Model()), Gate(Limits(), Model(), self.stop)
                    ),
                    model=Model(),
                    tally=tally,
                    stop=self.stop,
                    width=self.width,
                )
                await runner.run(self.records(), self.deliver)

        asyncio.run(all_of_it())
        return tally


def test_records_are_read_only_as_they_are_needed(tmp_path: Path) -> None:
    """Memory is bounded by the records in flight, not by the source."""
    scene = Scene(tmp_path, 200, width=10)
    tally = scene.run()
    assert list(range(200)) == [outcome.record.key for outcome in scene.delivered]
    assert 10 == scene.most_ahead
    assert (200, 200) == (tally.ok, tally.requests)


def test_nothing_is_read_or_asked_after_a_stop(tmp_path: Path) -> None:
    scene = Scene(tmp_path, 100)
    scene.stop.request(RunStopped("before"))
    scene.run()
    assert (0, 0) == (scene.asked, len(scene.delivered))
    assert 1 >= scene.read


def test_the_first_reason_to_stop_counts() -> None:
    stop = Stop()
    first = RunStopped("first")
    stop.request(first)
    stop.request(RunStopped("second"))
    assert first is stop.reason


def test_a_stop_ends_a_sleep_and_a_sleep_ends_by_itself() -> None:
    async def scene() -> bool:
        stop = Stop()
        stop.attach()
        await stop.sleep(0.001)
        asyncio.get_running_loop().call_soon(stop.request, RunStopped("now"))
        await asyncio.wait_for(stop.sleep(60), 5)
        return stop.requested

    assert asyncio.run(scene())


def test_a_stop_after_the_loop_has_ended_is_harmless() -> None:
    stop = Stop()

    async def scene() -> None:
        stop.attach()

    asyncio.run(scene())
    stop.request(RunStopped("late"))
    assert stop.requested


async def answered(_: ChatRequest) -> Completion:
    return answer()


def test_an_answer_is_stored_before_its_sender_returns(tmp_path: Path) -> None:
    """So that a permit is held until then. Refusals that are final are stored too, all other errors not."""

    async def scene() -> list[str | None]:
        found = []
        with Journal(tmp_path / "journal.db") as journal:
            await journaled(answered, journal, Model())(request("ok"))
            for kind in ErrorClass:

                async def refused(_: ChatRequest, kind: ErrorClass = kind) -> Completion:
                    raise failure(kind)

                with pytest.raises(APIError):
                    await journaled(refused, journal, Model())(request(kind))
            for name in ("ok", *ErrorClass):
                stored = journal.lookup(name)
                found.append(stored and stored.kind)
        return found

    stored = ["completion", None, None, None, "request", "policy", "schema_too_complex", None, None, "output"]
    assert stored == asyncio.run(scene())


def test_a_fault_in_judging_costs_one_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its trace is kept; the run goes on."""
    scene = Scene(tmp_path, 3)

    def judge(record: Record, completion: Completion) -> Outcome:
        return Outcome(record, attempts=1 // (record.key != 1))

    tally = scene.run(judge=judge)
    assert {"internal.error": 1} == dict(tally.reasons)
    assert "ZeroDivisionError" in scene.delivered[1].issues[0].message
    assert "record 1" in caplog.text


def test_a_fault_of_the_sink_ends_the_run_after_the_calls_in_flight(tmp_path: Path) -> None:
    scene = Scene(tmp_path, 50)

    async def full(outcome: Outcome) -> None:
        raise RunDirectoryError("full")

    scene.deliver = full  # type: ignore[method-assign]
    scene.run()
    assert "full" == str(scene.stop.reason)
    assert scene.asked <= 11


def test_an_error_that_would_hit_every_record_ends_the_reading(tmp_path: Path) -> None:
    """No further record is read once the first has no outcome."""
    scene = Scene(tmp_path, 100, width=3)

    async def refused(_: ChatRequest) -> Completion:
        await asyncio.sleep(0.01)
        raise failure(ErrorClass.AUTH)

    scene.run(send=refused)
    assert ("it failed", []) == (str(scene.stop.reason), scene.delivered)
    assert 3 >= scene.read


def test_a_journal_that_cannot_be_read_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No record is blamed for it."""

    def damaged(self: Journal, name: str) -> None:
        raise RunDirectoryError("damaged")

    monkeypatch.setattr(Journal, "lookup", damaged)
    scene = Scene(tmp_path, 5)
    scene.run()
    assert ("damaged", []) == (str(scene.stop.reason), scene.delivered)
