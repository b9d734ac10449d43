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
WINDOW = 0.002  # seconds that a commit waits for more; what comes during its fsync is in the next anyway
WINDOWS = 3  # of them at most, while CROWD entries come in each
CROWD = 16
AT_ONCE = 64  # callers that are told in one turn of their loop


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
        """Waits for an entry, then takes what comes within the window; the next windows too while much comes."""
        group = [self._queue.get()]
        for _ in range(WINDOWS):
            before = len(group)
            if group[-1] is not None:
                time.sleep(WINDOW)  # and not a waiting for each entry, which would take the loop's turns
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
        _settle(group, answers, self._failure)
        if any(entry.done for entry in group):
            self._failure = None

    def _data_version(self) -> int:
        """A number that changes when others write, and not when we do."""
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])


def _failure_of(error: Exception, path: Path) -> ExtractError:
    if isinstance(error, OSError | sqlite3.Error):
        return told(error, path)
    return RunDirectoryError(f"{path} cannot be written: {error}")


def _settle(group: Sequence[Entry], answers: Sequence[Answer | None], failure: ExtractError | None) -> None:
    """Tell the waiting callers, each loop at once: waking a loop costs a system call."""
    waiting: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Answer], Answer | None]]] = defaultdict(list)
    for entry, answer in zip(group, answers, strict=True):
        if entry.done is not None and entry.loop is not None:
            waiting[entry.loop].append((entry.done, answer))
    for loop, settled in waiting.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, settled, failure)


def _resolve(settled: Sequence[tuple[asyncio.Future[Answer], Answer | None]], failure: ExtractError | None) -> None:
    """Some in a turn of the loop: what they wake has work to do, and so have others meanwhile."""
    if len(settled) > AT_ONCE:
        asyncio.get_running_loop().call_soon(_resolve, settled[AT_ONCE:], failure)
    for done, answer in settled[:AT_ONCE]:
        if done.done():  # the caller was cancelled; the answer is stored all the same
            continue
        if failure is not None:
            done.set_exception(failure)
        elif answer is not None:
            done.set_result(answer)
