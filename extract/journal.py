"""Every answer and every attempt, in SQLite, stored before it is judged.

What functions gave back to the model is kept beside the answers, so that a restart does not call them again.
Answers are kept under the hash of the exact request: a restart asks only what has no answer, and a change of checks or
columns re-derives the tables without a call. A thread of its own commits in groups, so that one fsync serves many.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from extract.errors import APIError, RunDirectoryError
from extract.records import Completion, Research, Usage

logger = logging.getLogger("extract.journal")

_RESEARCH_READER = TypeAdapter(Research)

GROUP = 64  # answers in one commit at most
WINDOW = 0.005  # seconds that a commit waits for more; what comes during its fsync is in the next anyway
FORMAT = 1

_APPLICATION = 0x7461626C  # "tabl"
_TABLES = """
CREATE TABLE answers (request TEXT PRIMARY KEY, kind TEXT NOT NULL, status INTEGER, attempts INTEGER NOT NULL,
                      input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, message TEXT, body BLOB NOT NULL,
                      digest BLOB NOT NULL)
                      WITHOUT ROWID;
CREATE TABLE attempts (id INTEGER PRIMARY KEY, request TEXT NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL,
                       status INTEGER, code TEXT, message TEXT, input_tokens INTEGER NOT NULL,
                       output_tokens INTEGER NOT NULL);
CREATE INDEX attempts_request ON attempts (request);
CREATE TABLE totals (requests INTEGER NOT NULL, retries INTEGER NOT NULL, input_tokens INTEGER NOT NULL,
                     output_tokens INTEGER NOT NULL, cost_usd REAL, answers INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0, 0, 0, NULL, 0);
"""
_LATER = """
CREATE TABLE IF NOT EXISTS notes (request TEXT PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_too_complex ON answers (kind) WHERE kind = 'schema_too_complex'
"""  # older journals get these when they are opened; the index is small, since there are few
COMPLETION = "completion"
_FLUSH = "flush"  # an entry that is only waited for
_FORGET = "forget"  # likewise: drop an answer
_RESEARCH, _RESULT = "research", "result"  # kinds of notes: what went before an answer, what a function gave back


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer. `kind` is "completion", or the error class of a refusal that is final for its record."""

    kind: str
    status: int | None
    attempts: int
    message: str | None
    body: bytes
    research: Research = Research()


@dataclass(frozen=True, slots=True)
class Totals:
    """What all runs in this directory have asked and paid."""

    requests: int = 0
    retries: int = 0
    usage: Usage = Usage()
    cost_usd: float | None = None  # None: no call had a price
    answers: int = 0  # requests that will not be made again


class Journal:
    """The journal of one run directory. Read from any thread, written by a thread of its own."""

    def __init__(self, path: Path) -> None:
        """Open or make the journal; raises RunDirectoryError when the file is no journal or cannot be used."""
        self.path = path
        self._reader = _connect(path)
        self._reading = threading.Lock()
        try:
            self._writer = _connect(path)
        except RunDirectoryError:
            self._reader.close()
            raise
        self._writer.isolation_level = None
        self._failure: RunDirectoryError | None = None  # of a note that nobody waits for; the next caller hears of it
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_groups, name="extract-journal", daemon=True)
        self._thread.start()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self._queue.put(None)
        self._thread.join()
        self._writer.close()
        self._reader.close()

    def lookup(self, request: str) -> Answer | None:
        """The stored answer to this exact request."""
        found = self._row(
            "SELECT kind, status, attempts, message, body, digest,"
            " (SELECT body FROM notes WHERE request = ?1 AND kind = 'research') FROM answers WHERE request = ?1",
            request,
        )
        if found is None:
            return None
        kind, status, attempts, message, body, digest, note = found
        answer = Answer(kind, status, attempts, message, body, _research(note))
        if not isinstance(answer.body, bytes) or _digest(answer.body) != digest:
            logger.warning("%s: the answer to %s is damaged and is asked for again", self.path, request)
            return None
        return answer

    def stored_answer(self, request: str) -> Answer:
        """The answer that was just stored. Raises RunDirectoryError when it cannot be read back."""
        found = self.lookup(request)
        if found is None:
            raise RunDirectoryError(f"{self.path} does not give back what was stored", hint="look at the disk")
        return found

    def totals(self) -> Totals:
        """Requests, retries and tokens of all attempts so far, and the answers that are kept."""
        requests, retries, given, made, cost_usd, answers = self._row("SELECT * FROM totals")
        return Totals(requests, retries, Usage(given, made), cost_usd, answers)

    def has_relaxed(self) -> bool:
        """Whether some request was refused for its schema, so that answers may stand under relaxed ones."""
        return bool(self._row("SELECT EXISTS (SELECT 1 FROM answers WHERE kind = 'schema_too_complex')")[0])

    def result(self, call: str) -> bytes | None:
        """What a function gave back in this call, if it was made before."""
        found = self._row("SELECT body FROM notes WHERE request = ? AND kind = 'result'", call)
        return found[0] if found and isinstance(found[0], bytes) else None

    async def store(
        self, request: str, completion: Completion, cost_usd: float | None = None, research: Research | None = None
    ) -> Answer:
        """Store a completion, what it cost and what went before it; returns when it is on disk."""
        note = None if research is None else to_json(research)
        entry = _Entry(request, COMPLETION, completion.status, None, None, completion.raw, completion.usage, cost_usd)
        entry.note = note
        return await self._stored(entry)

    async def store_result(self, call: str, result: bytes) -> None:
        """Store what a function gave back; returns when it is on disk."""
        await self._stored(_Entry(call, _RESULT, None, None, None, None, note=result))

    async def store_refusal(self, request: str, error: APIError) -> Answer:
        """Store an error that is final for its record; returns when it is on disk."""
        return await self._stored(_Entry(request, error.kind, error.status, error.code, error.message, error.body))

    def note_failure(self, request: str, error: APIError) -> None:
        """Note a failed attempt that will be made again, or that leaves its record without an answer."""
        self._queue.put(_Entry(request, error.kind, error.status, error.code, error.message, None))

    async def forget(self, requests: Sequence[str]) -> None:
        """Drop these answers, so that they are asked for again; the attempts stay on the account."""
        for request in requests:
            self._queue.put(_Entry(request, _FORGET, None, None, None, None))
        await self.flush()

    async def flush(self) -> None:
        """Return when everything stored or noted so far is on disk."""
        await self._stored(_Entry("", _FLUSH, None, None, None, None))

    def _row(self, query: str, *values: str) -> Any:
        """One row. A statement that is still open in another thread would hold an old state of the file for all."""
        try:
            with self._reading, closing(self._reader.execute(query, values)) as cursor:
                return cursor.fetchone()
        except sqlite3.Error as error:
            raise RunDirectoryError(f"{self.path} cannot be read: {error}") from error

    async def _stored(self, entry: _Entry) -> Answer:
        loop = asyncio.get_running_loop()
        entry.done = loop.create_future()
        entry.call_soon = loop.call_soon_threadsafe
        self._queue.put(entry)
        return await entry.done

    def _write_groups(self) -> None:
        is_last = False
        while not is_last:
            group, is_last = self._next_group()
            if group:
                self._failure = _commit(self._writer, group, self._failure)

    def _next_group(self) -> tuple[list[_Entry], bool]:
        """Waits for an entry, then takes what comes within the window."""
        group: list[_Entry] = []
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


@dataclass(slots=True)
class _Entry:
    request: str
    kind: str
    status: int | None
    code: str | None
    message: str | None
    body: bytes | None  # None: an attempt without an answer
    usage: Usage = Usage()
    cost_usd: float | None = None
    note: bytes | None = None
    done: asyncio.Future[Answer] | None = None
    call_soon: Callable[..., Any] | None = None


def _commit(
    connection: sqlite3.Connection, group: list[_Entry], failure: RunDirectoryError | None
) -> RunDirectoryError | None:
    """One transaction for the group; then each waiting caller gets its answer or the error.

    Gives back the failure that no caller has heard of yet.
    """
    answers: list[Answer | None] = [None] * len(group)
    try:
        connection.execute("BEGIN IMMEDIATE")
        answers = [_insert(connection, entry) for entry in group]
        connection.execute("COMMIT")
    except Exception as error:  # whatever it is: a writer that died would leave its callers waiting for ever
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        failure = RunDirectoryError(f"the journal cannot be written: {error}", hint="free space, then run again")
    for entry, answer in zip(group, answers, strict=True):
        _resolve(entry, answer, failure)
    return None if any(entry.done for entry in group) else failure


def _insert(connection: sqlite3.Connection, entry: _Entry) -> Answer | None:
    if entry.kind == _FLUSH:
        return Answer(_FLUSH, None, 0, None, b"")
    if entry.kind == _FORGET:
        dropped = connection.execute("DELETE FROM answers WHERE request = ?", (entry.request,)).rowcount
        connection.execute("UPDATE totals SET answers = answers - ?", (dropped,))
        return None
    if entry.note is not None:
        kind = _RESULT if entry.kind == _RESULT else _RESEARCH
        connection.execute("INSERT OR REPLACE INTO notes VALUES (?,?,?)", (entry.request, kind, entry.note))
    if entry.kind == _RESULT:
        return Answer(_RESULT, None, 0, None, entry.note or b"")
    usage = entry.usage
    connection.execute(
        "INSERT INTO attempts (request, at, kind, status, code, message, input_tokens, output_tokens)"
        " VALUES (?,?,?,?,?,?,?,?)",
        (
            *(entry.request, time.time(), entry.kind, entry.status, entry.code, entry.message),
            *(usage.input_tokens, usage.output_tokens),
        ),
    )
    (attempts,) = connection.execute("SELECT count(*) FROM attempts WHERE request = ?", (entry.request,)).fetchone()
    connection.execute(
        "UPDATE totals SET requests = requests + 1, retries = retries + ?, input_tokens = input_tokens + ?,"
        " output_tokens = output_tokens + ?, answers = answers + ?,"
        " cost_usd = coalesce(cost_usd + ?, cost_usd, ?)",
        (attempts > 1, usage.input_tokens, usage.output_tokens, entry.body is not None, entry.cost_usd, entry.cost_usd),
    )
    if entry.body is None:
        return None
    connection.execute(
        "INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?,?,?,?,?)",
        (
            *(entry.request, entry.kind, entry.status, attempts),
            *(usage.input_tokens, usage.output_tokens, entry.message, entry.body, _digest(entry.body)),
        ),
    )
    return Answer(entry.kind, entry.status, attempts, entry.message, entry.body)


def _research(note: bytes | None) -> Research:
    """What was noted of the research before an answer; a note that is damaged is none."""
    try:
        return _RESEARCH_READER.validate_json(note) if note else Research()
    except ValueError:
        return Research()


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8).digest()


def _resolve(entry: _Entry, answer: Answer | None, failure: Exception | None) -> None:
    if entry.done is None or entry.call_soon is None:
        return

    def settle() -> None:
        if entry.done is None or entry.done.done():  # the caller was cancelled; the answer is stored all the same
            return
        if failure is not None:
            entry.done.set_exception(failure)
        elif answer is not None:
            entry.done.set_result(answer)

    try:
        entry.call_soon(settle)
    except RuntimeError:  # the loop is closed: nobody waits any more
        return


def _connect(path: Path) -> sqlite3.Connection:
    try:
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))  # answers may be confidential
        connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
    except (sqlite3.Error, OSError) as error:
        raise RunDirectoryError(f"{path} cannot be used as a journal: {error}") from error
    try:
        _prepare(connection, path)
    except (sqlite3.Error, RunDirectoryError) as error:
        connection.close()
        if isinstance(error, RunDirectoryError):
            raise
        raise RunDirectoryError(f"{path} cannot be used as a journal: {error}") from error
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and application != _APPLICATION:
        raise RunDirectoryError(f"{path} is a database of another program")
    if version > FORMAT:
        raise RunDirectoryError(f"{path} was written by a newer version (format {version})", hint="upgrade tablecast")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if not tables:
        connection.executescript(
            f"BEGIN;{_TABLES}PRAGMA application_id = {_APPLICATION};PRAGMA user_version = {FORMAT};COMMIT;"
        )
    connection.executescript(_LATER)
