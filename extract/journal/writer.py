"""The thread that writes: one commit, and so one fsync, for all entries that came within a moment."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from extract.disk import told
from extract.errors import ExtractError, RunDirectoryError
from extract.failpoints import failpoint
from extract.journal.entries import Answer, Entry
from extract.journal.file import connect

GROUP = 256  # answers in one commit at most; fewer wait in line behind a slow disk when they share its fsync
WINDOW = 0.005  # seconds that a commit waits for more; what comes during its fsync is in the next anyway

Insert = Callable[[sqlite3.Connection, Sequence[Entry]], list[Answer | None]]


class Writer:
    """Writes what is put into its queue; `insert` makes rows of a group and tells what became of each entry."""

    def __init__(self, path: Path, insert: Insert) -> None:
        """Open the file and start. Raises RunDirectoryError when it is no journal or cannot be used."""
        self.connection = connect(path)
        self.connection.isolation_level = None
        self._path = path
        self._insert = insert
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
        """Waits for an entry, then takes what comes within the window."""
        group: list[Entry] = []
        deadline = None
        while len(group) < GROUP:
            try:
                entry = self._queue.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if entry is None:
                return group, True
            group.append(entry)
            deadline = deadline or time.monotonic() + WINDOW
        return group, False

    def _commit(self, group: Sequence[Entry]) -> None:
        """One transaction for the group; then each waiting caller gets its answer or the error."""
        answers: list[Answer | None] = [None] * len(group)
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            answers = self._insert(self.connection, group)
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


def _resolve(settled: Iterable[tuple[asyncio.Future[Answer], Answer | None]], failure: ExtractError | None) -> None:
    for done, answer in settled:
        if done.done():  # the caller was cancelled; the answer is stored all the same
            continue
        if failure is not None:
            done.set_exception(failure)
        elif answer is not None:
            done.set_result(answer)
