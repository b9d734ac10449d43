"""Records in, outcomes out in the order of the input: so many at work at once, and the loop is never held up long."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from extract.records import Outcome, Record

AHEAD = 10_000  # records that may be done before the first one is: some seconds of a fast run, some dozens of MB
TURN = 0.005  # seconds of reading records and of outcomes at hand, after which everything else has its turn

Found = Outcome | asyncio.Task[Outcome | None]  # None: the run stops before there is an outcome
Begin = Callable[[Record], Found]
Deliver = Callable[[Outcome], Awaitable[None]]


class _Place:
    """Of one record: the task for it, and once that is done no more than what it came to."""

    __slots__ = ("found",)

    def __init__(self, found: Found) -> None:
        self.found: Found | None = found
        if not isinstance(found, Outcome):
            found.add_done_callback(self._settle)

    def _settle(self, task: asyncio.Task[Outcome | None]) -> None:
        if not (task.cancelled() or task.exception()):  # else it is raised in its turn
            self.found = task.result()

    @property
    def is_there(self) -> bool:
        return not isinstance(self.found, asyncio.Task) or self.found.done()


class _AtWork:
    """How many records have a task that has not ended."""

    def __init__(self) -> None:
        self.count = 0
        self._ended = asyncio.Event()

    def place(self, found: Found) -> _Place:
        if not isinstance(found, Outcome):
            self.count += 1
            found.add_done_callback(self._end)
        return _Place(found)

    async def one_ends(self) -> None:
        self._ended.clear()
        await self._ended.wait()

    def _end(self, _: object) -> None:
        self.count -= 1
        self._ended.set()


async def feed(
    records: Iterable[Record], begin: Begin, deliver: Deliver, *, width: int, ended: Callable[[], bool]
) -> None:
    """Begin with each record while at most `width` are at work, and deliver their outcomes in order.

    A record that takes long, since it is tried again and again, holds nobody up until AHEAD others are done behind it.
    No record is begun once the run has `ended`; those at work are waited for up to the first without an outcome: what
    comes after it has no place in a table yet.
    """
    window: deque[_Place] = deque()
    at_work = _AtWork()
    turn_ends = time.monotonic() + TURN
    for record in records:
        if ended():
            break
        window.append(at_work.place(begin(record)))
        while window:
            if window[0].is_there or len(window) >= width + AHEAD:
                if not await _deliver_first(window, deliver):
                    return
            elif at_work.count >= width:
                await at_work.one_ends()
            else:
                break
        if time.monotonic() > turn_ends:
            await asyncio.sleep(0)
            turn_ends = time.monotonic() + TURN
    while window and await _deliver_first(window, deliver):
        pass


async def _deliver_first(window: deque[_Place], deliver: Deliver) -> bool:
    found = window.popleft().found
    outcome = await found if isinstance(found, asyncio.Task) else found
    if outcome is None:
        return False
    await deliver(outcome)
    return True
