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


class _AtWork:
    """How many records have a task that has not ended."""

    def __init__(self) -> None:
        self.count = 0
        self._ended = asyncio.Event()

    def add(self, found: Found) -> Found:
        if not isinstance(found, Outcome):
            self.count += 1
            found.add_done_callback(self._end)
        return found

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
    window: deque[Found] = deque()
    at_work = _AtWork()
    turn_ends = time.monotonic() + TURN
    for record in records:
        if ended():
            break
        window.append(at_work.add(begin(record)))
        while window:
            if _is_there(window[0]) or len(window) >= width + AHEAD:
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


async def _deliver_first(window: deque[Found], deliver: Deliver) -> bool:
    first = window.popleft()
    outcome = first if isinstance(first, Outcome) else await first
    if outcome is None:
        return False
    await deliver(outcome)
    return True


def _is_there(found: Found) -> bool:
    return isinstance(found, Outcome) or found.done()
