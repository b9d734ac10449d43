"""Records in, outcomes out in the order of the input: so many at work at once, and the loop is never held up long."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from extract.records import Outcome, Record

TURN = 0.005  # seconds of reading records and of outcomes at hand, after which everything else has its turn

Found = Outcome | asyncio.Task[Outcome | None]  # None: the run stops before there is an outcome
Begin = Callable[[Record], Found]
Deliver = Callable[[Outcome], Awaitable[None]]


async def feed(
    records: Iterable[Record], begin: Begin, deliver: Deliver, *, width: int, ended: Callable[[], bool]
) -> None:
    """Begin with each record while at most `width` are at work, and deliver their outcomes in order.

    No record is begun once the run has `ended`; those at work are waited for up to the first without an outcome: what
    comes after it has no place in a table yet.
    """
    window: deque[Found] = deque()
    turn_ends = time.monotonic() + TURN
    for record in records:
        if ended():
            break
        window.append(begin(record))
        while window and (len(window) >= width or _is_there(window[0])):
            if not await _deliver_first(window, deliver):
                return
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
