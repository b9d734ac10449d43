"""Records in, outcomes out: the order, how many are at work, and who else has a turn meanwhile."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from extract.feed import TURN, Found, feed
from extract.records import Outcome, Record


def record(number: int) -> Record:
    return Record(key=number, position=number, cells={})


class Scene:
    """Records 0 to `count`, what is begun with each, and what was delivered."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.begun = self.at_work = self.most_at_work = self.most_held = 0
        self.delivered: list[int] = []
        self.ended = False

    def records(self) -> Iterator[Record]:
        for number in range(self.count):
            yield record(number)

    async def deliver(self, outcome: Outcome) -> None:
        self.delivered.append(outcome.record.position)

    def run(self, begin: Callable[[Record], Found], width: int = 10) -> None:
        async def all_of_it() -> None:
            await feed(self.records(), self._counted(begin), self.deliver, width=width, ended=lambda: self.ended)

        asyncio.run(all_of_it())

    def _counted(self, begin: Callable[[Record], Found]) -> Callable[[Record], Found]:
        def counted(each: Record) -> Found:
            self.begun += 1
            self.most_held = max(self.most_held, self.begun - len(self.delivered))
            found = begin(each)
            if isinstance(found, asyncio.Task):
                self.at_work += 1
                self.most_at_work = max(self.most_at_work, self.at_work)
                found.add_done_callback(self._done)
            return found

        return counted

    def _done(self, _: object) -> None:
        self.at_work -= 1


def after(seconds: Callable[[int], float]) -> Callable[[Record], Found]:
    """Outcomes that take so long, or none where it is negative."""

    async def found(each: Record) -> Outcome | None:
        await asyncio.sleep(abs(seconds(each.position)))
        return Outcome(each) if seconds(each.position) >= 0 else None

    return lambda each: asyncio.create_task(found(each))


def test_outcomes_come_in_the_order_of_the_records() -> None:
    """Whichever is there first; and no more than so many are at work."""
    scene = Scene(60)
    scene.run(after(lambda number: 0.01 if number % 7 == 0 else 0.0))
    assert list(range(60)) == scene.delivered
    assert 10 == scene.most_at_work


def test_a_record_that_takes_long_holds_nobody_up() -> None:
    """The others go on, and wait for it with their outcomes."""
    scene, began = Scene(500), time.monotonic()
    scene.run(after(lambda number: 0.3 if number % 100 == 0 else 0.001), width=20)
    assert 1.2 > time.monotonic() - began  # one after the other would be 1.5
    assert list(range(500)) == scene.delivered
    assert 20 == scene.most_at_work


def test_only_so_many_wait_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are held in memory."""
    monkeypatch.setattr("extract.feed.AHEAD", 50)
    scene = Scene(500)
    scene.run(after(lambda number: 0.2 if number == 0 else 0.0), width=10)
    assert list(range(500)) == scene.delivered
    assert 60 == scene.most_held


def test_those_that_wait_are_held_without_their_tasks() -> None:
    """A task, its context and its coroutine are a third of what a row takes."""
    scene, tasks, left = Scene(100), weakref.WeakSet[asyncio.Task[Outcome | None]](), []

    async def found(each: Record) -> Outcome:
        if each.position == 0:
            await asyncio.sleep(0.1)
            left.append(len(tasks))
        return Outcome(each)

    def begin(each: Record) -> Found:
        task = asyncio.create_task(found(each))
        tasks.add(task)
        return task

    scene.run(begin)
    assert [1] == left
    assert list(range(100)) == scene.delivered


def test_a_fault_behind_the_first_is_raised_in_its_turn() -> None:
    """What goes before it is delivered."""
    scene = Scene(40)

    async def found(each: Record) -> Outcome:
        await asyncio.sleep(0.05 if each.position == 0 else 0)
        if each.position == 7:
            raise ValueError("the seventh")
        return Outcome(each)

    with pytest.raises(ValueError, match="the seventh"):
        scene.run(lambda each: asyncio.create_task(found(each)))
    assert list(range(7)) == scene.delivered


def test_an_outcome_that_is_there_is_delivered_at_once() -> None:
    """It does not wait until so many are at work."""
    scene = Scene(60)
    scene.run(Outcome)
    assert list(range(60)) == scene.delivered
    assert 1 == scene.most_held


@pytest.mark.parametrize("without", [0, 12, 39])
def test_nothing_is_delivered_after_a_record_without_an_outcome(without: int) -> None:
    """It would take that record's place in the table."""
    scene = Scene(40)
    scene.run(after(lambda number: -0.01 if number == without else 0.0))
    assert list(range(without)) == scene.delivered


def test_no_record_is_begun_once_the_run_has_ended() -> None:
    """Those at work are delivered still."""
    scene = Scene(40)

    def begin(each: Record) -> Found:
        scene.ended = each.position == 20
        return after(lambda number: 0.001)(each)

    scene.run(begin)
    assert list(range(21)) == scene.delivered
    assert 21 == scene.begun


def test_others_have_their_turn_while_outcomes_are_at_hand() -> None:
    """A run that finds all in its journal does not hold up the loop until it is done."""
    scene, turns = Scene(60), 0

    def begin(each: Record) -> Found:
        until = time.thread_time() + TURN / 4
        while time.thread_time() < until:
            pass
        return Outcome(each)

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def all_of_it() -> None:
        other = asyncio.create_task(others())
        await feed(scene.records(), begin, scene.deliver, width=100, ended=lambda: False)
        other.cancel()

    asyncio.run(all_of_it())
    assert list(range(60)) == scene.delivered
    assert 60 // 5 <= turns
