"""The journal's writer heeds how busy the loop is whose callers wait for it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from extract.journal import Journal
from extract.journal.writer import AT_ONCE, AT_ONCE_BUSY, LATE, Load, _resolve
from tests.support import answer


def idle() -> Load:
    load = Load()
    for _ in range(50):
        load.heard(0.0)
    return load


def test_a_loop_is_taken_for_busy_until_it_was_early() -> None:
    """One moment decides nothing; a loop that is late again and again has no time."""
    assert Load().is_busy
    load = idle()
    assert not load.is_busy
    load.heard(5 * LATE)
    assert not load.is_busy
    for _ in range(20):
        load.heard(5 * LATE)
    assert load.is_busy


async def _told_in_a_turn(load: Load) -> int:
    loop = asyncio.get_running_loop()
    waiting = [(loop.create_future(), None) for _ in range(100)]
    _resolve(waiting, RuntimeError("the disk"), load)  # type: ignore[arg-type]
    told = sum(done.done() for done, _ in waiting)
    assert 100 == len(await asyncio.gather(*(done for done, _ in waiting), return_exceptions=True))
    return told


def test_callers_go_on_a_few_at_a_time_where_the_loop_has_time() -> None:
    """So that what each makes room for begins before the work of all is done; in a busy loop turns are what costs."""
    assert AT_ONCE == asyncio.run(_told_in_a_turn(idle()))
    assert AT_ONCE_BUSY == asyncio.run(_told_in_a_turn(Load()))


def test_the_writer_finds_out_how_busy_the_loop_is(tmp_path: Path) -> None:
    """From how late the loop hears of its commits, and anew when that changes."""

    async def until(journal: Journal, busy: bool, work: float) -> bool:
        async def work_on() -> None:
            while True:
                time.sleep(work)  # it is to hold up the loop
                await asyncio.sleep(0)

        working = asyncio.create_task(work_on()) if work else None
        end = time.monotonic() + 20
        while journal._writer._load.is_busy != busy and time.monotonic() < end:
            await journal.store(str(time.monotonic_ns()), answer())
        if working:
            working.cancel()
        return journal._writer._load.is_busy

    async def scene() -> list[bool]:
        with Journal(tmp_path / "journal.db") as journal:
            return [await until(journal, busy, work) for busy, work in ((False, 0.0), (True, 0.01), (False, 0.0))]

    assert [False, True, False] == asyncio.run(scene())
