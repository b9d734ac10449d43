"""The thread that writes: one commit, and so one fsync, for all entries that came within a moment."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from extract.disk import told
from extract.errors import ExtractError, RunDirectoryError
from extract.failpoints import failpoint
from extract.journal import statements
from extract.journal.entries import Answer, Entry
from extract.journal.file import connect
from extract.journal.patience import patiently

GROUP = 256  # answers in one commit at most; fewer wait in line behind a slow disk when they share its fsync
WINDOW = 0.002  # seconds that a commit waits for more, half of it where the loop has time to spare; what comes during
# its fsync is in the next anyway
WINDOWS = 3  # of them at most, for a busy loop, while CROWD entries come in each
CROWD = 16
AT_ONCE, AT_ONCE_BUSY = 8, 64  # callers that are told in one turn of their loop
LATE = 0.001  # seconds that a loop is late at which it is busy

_Settled = list[tuple[asyncio.Future[Answer], Answer | None]]  # the callers of one loop, with what they get


class Writer:
    """Writes what is put into its queue. `account`: on which calls are booked, besides the totals."""

    def __init__(self, path: Path, account: str | None = None) -> None:
        """Open the file and start. Raises RunDirectoryError when it is no journal or cannot be used."""
        self.connection = connect(path)
        self.connection.isolation_level = None
        self.account = account
        self.is_disturbed = False  # another process has written since
        self._path = path
        self._version = self._data_version()
        self._load = Load()
        self._failure: ExtractError | None = None  # of a note that nobody waits for; the next caller hears of it
        self._queue: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_groups, name="extract-journal", daemon=True)
        self._thread.start()

    def put(self, entry: Entry) -> None:
        """Have it written, sooner or later."""
        self._queue.put(entry)

    async def stored(self, entry: Entry) -> Answer:
        """Have it written; returns when it is on disk."""
        entry.loop = asyncio.get_running_loop()
        entry.done = entry.loop.create_future()
        self._queue.put(entry)
        return await entry.done

    def stop(self) -> None:
        """Return when all is written and the thread has ended; the connection is still open."""
        self._queue.put(None)
        self._thread.join()

    def _write_groups(self) -> None:
        is_last = False
        while not is_last:
            group, is_last = self._next_group()
            if group:
                self._commit(group)

    def _next_group(self) -> tuple[list[Entry], bool]:
        """Waits for an entry, then takes what comes within the window; the next ones too for a loop that is busy."""
        group = [self._queue.get()]
        windows, seconds = (WINDOWS, WINDOW) if self._load.is_busy else (1, WINDOW / 2)
        for _ in range(windows):
            before = len(group)
            if group[-1] is not None:
                time.sleep(seconds)  # and not a waiting for each entry, which would take the loop's turns
            while group[-1] is not None and len(group) < GROUP:
                try:
                    group.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            if len(group) < before + CROWD:
                break
        return [entry for entry in group if entry is not None], group[-1] is None

    def _commit(self, group: Sequence[Entry]) -> None:
        """One transaction for the group; then each waiting caller gets its answer or the error."""
        answers: list[Answer | None] = [None] * len(group)
        try:
            patiently(lambda: self.connection.execute("BEGIN IMMEDIATE"))
            self.is_disturbed = self.is_disturbed or self._data_version() != self._version
            answers = statements.insert(self.connection, group, self.account)
            failpoint("journal.commit.before")
            self.connection.execute("COMMIT")
            failpoint("journal.commit.after")
        except Exception as error:  # whatever it is: a writer that died would leave its callers waiting for ever
            with suppress(sqlite3.Error):
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
            self._failure = _failure_of(error, self._path)
        _settle(group, answers, self._failure, self._load)
        if any(entry.done for entry in group):
            self._failure = None

    def _data_version(self) -> int:
        """A number that changes when others write, and not when we do."""
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])


def _failure_of(error: Exception, path: Path) -> ExtractError:
    if isinstance(error, OSError | sqlite3.Error):
        return told(error, path)
    return RunDirectoryError(f"{path} cannot be written: {error}")


class Load:
    """Whether the loop whose callers wait has time to spare: how late it is with what it is told.

    Where it has, its callers wait for nothing but the disk, and go on a few at a time, so that the calls that they make
    room for begin at once. Where it has none, it is not waiting that costs but each commit and each turn of the loop:
    fewer and larger ones then save a fifth of the CPU time.
    """

    def __init__(self) -> None:
        self._late = 2 * LATE  # seconds, mean of late; busy until it is known better

    @property
    def is_busy(self) -> bool:
        return self._late > LATE

    def heard(self, late: float) -> None:
        """The loop has heard of a commit, so much later."""
        self._late += (late - self._late) / 8


def _settle(group: Sequence[Entry], answers: Sequence[Answer | None], failure: ExtractError | None, load: Load) -> None:
    """Tell the waiting callers, each loop at once: waking a loop costs a system call."""
    waiting: dict[asyncio.AbstractEventLoop, _Settled] = defaultdict(list)
    for entry, answer in zip(group, answers, strict=True):
        if entry.done is not None and entry.loop is not None:
            waiting[entry.loop].append((entry.done, answer))
    for loop, settled in waiting.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_hear, settled, failure, load, time.monotonic())


def _hear(settled: _Settled, failure: ExtractError | None, load: Load, told: float) -> None:
    load.heard(time.monotonic() - told)
    _resolve(settled, failure, load)


def _resolve(settled: _Settled, failure: ExtractError | None, load: Load) -> None:
    """Some in a turn of the loop: what they wake has work to do, and so have others meanwhile."""
    some = AT_ONCE_BUSY if load.is_busy else AT_ONCE
    if len(settled) > some:
        asyncio.get_running_loop().call_soon(_resolve, settled[some:], failure, load)
    for done, answer in settled[:some]:
        if done.done():  # the caller was cancelled; the answer is stored all the same
            continue
        if failure is not None:
            done.set_exception(failure)
        elif answer is not None:
            done.set_result(answer)
