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
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from extract.disk import told
from extract.errors import APIError, ExtractError, RunDirectoryError
from extract.failpoints import failpoint
from extract.records import Completion, Research, Usage

logger = logging.getLogger("extract.journal")

_RESEARCH_READER = TypeAdapter(Research)

GROUP = 256  # answers in one commit at most; fewer wait in line behind a slow disk when they share its fsync
WINDOW = 0.005  # seconds that a commit waits for more; what comes during its fsync is in the next anyway
FORMAT = 2  # 1: digests of answers covered their bodies only
SYNCHRONOUS = "FULL"  # each commit is on the disk when it returns

APPLICATION = 0x7461626C  # "tabl"
_TABLES = """
CREATE TABLE answers (request TEXT PRIMARY KEY, kind TEXT NOT NULL, status INTEGER, attempts INTEGER NOT NULL,
                      input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, message TEXT, body BLOB NOT NULL,
                      digest BLOB NOT NULL);
CREATE TABLE attempts (id INTEGER PRIMARY KEY, request TEXT NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL,
                       status INTEGER, code TEXT, message TEXT, input_tokens INTEGER NOT NULL,
                       output_tokens INTEGER NOT NULL);
CREATE INDEX attempts_failed ON attempts (request) WHERE kind <> 'completion';
CREATE TABLE totals (requests INTEGER NOT NULL, retries INTEGER NOT NULL, input_tokens INTEGER NOT NULL,
                     output_tokens INTEGER NOT NULL, cost_usd REAL, answers INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0, 0, 0, NULL, 0);
"""
_LATER = """
CREATE TABLE IF NOT EXISTS notes (request TEXT PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL, digest BLOB)
                                  WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_too_complex ON answers (kind) WHERE kind = 'schema_too_complex'
"""  # older journals get these when they are opened; the index is small, since there are few
_UNUSABLE = "cannot be used as a journal"
_HEADER = 512  # bytes of the smallest page
_SEAL, _OLD_SEAL = 16, 8  # bytes of a digest; those of format 1 told only of the body
CHECKPOINT = 4000  # pages in the log before they go into the file: fewer fsyncs, and 16 MB on the disk
CACHE = 64_000  # kB at most; an index of a million requests stays in memory
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
        self._failure: ExtractError | None = None  # of a note that nobody waits for; the next caller hears of it
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_groups, name="extract-journal", daemon=True)
        self._thread.start()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self._queue.put(None)
        self._thread.join()
        try:
            failpoint("journal.close.before")
            self._writer.close()
            self._reader.close()
            failpoint("journal.close.after")
        except (OSError, sqlite3.Error) as refused:  # all is committed; the next who opens it settles the log
            logger.warning("%s could not be closed: %s", self.path, refused)

    def lookup(self, request: str) -> Answer | None:
        """The stored answer to this exact request."""
        found = self._row(
            "SELECT a.kind, a.status, a.attempts, a.message, a.body, a.digest, n.body, n.digest"
            " FROM answers a LEFT JOIN notes n ON n.request = a.request AND n.kind = 'research' WHERE a.request = ?",
            request,
        )
        if found is None:
            return None
        kind, status, attempts, message, body, digest, note, seal_of_note = found
        if not is_sealed(request, found[:5], digest):
            logger.warning("%s: the answer to %s is damaged and is asked for again", self.path, request)
            return None
        return Answer(kind, status, attempts, message, body, _research(request, note, seal_of_note))

    def stored_answer(self, request: str) -> Answer:
        """The answer that was just stored. Raises RunDirectoryError when it cannot be read back."""
        found = self.lookup(request)
        if found is None:
            raise RunDirectoryError(f"{self.path} does not give back what was stored", hint="look at the disk")
        return found

    def totals(self) -> Totals:
        """Requests, retries and tokens of all attempts so far, and the answers that are kept."""
        found = self._row("SELECT * FROM totals")
        if found is None:
            raise RunDirectoryError(f"{self.path} cannot be read: its totals are gone", hint="see `extract fsck`")
        requests, retries, given, made, cost_usd, answers = found
        return Totals(requests, retries, Usage(given, made), cost_usd, answers)

    def has_relaxed(self) -> bool:
        """Whether some request was refused for its schema, so that answers may stand under relaxed ones."""
        return bool(self._row("SELECT EXISTS (SELECT 1 FROM answers WHERE kind = 'schema_too_complex')")[0])

    def result(self, call: str) -> bytes | None:
        """What a function gave back in this call, if it was made before."""
        found = self._row("SELECT body, digest FROM notes WHERE request = ? AND kind = 'result'", call)
        return found[0] if found and _is_sealed_note(call, _RESULT, *found) else None

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
        except (sqlite3.Error, UnicodeError) as error:  # UnicodeError: in the words of an error about a damaged page
            raise RunDirectoryError(f"{self.path} cannot be read: {error}", hint="see `extract fsck`") from error

    async def _stored(self, entry: _Entry) -> Answer:
        entry.loop = asyncio.get_running_loop()
        entry.done = entry.loop.create_future()
        self._queue.put(entry)
        return await entry.done

    def _write_groups(self) -> None:
        is_last = False
        while not is_last:
            group, is_last = self._next_group()
            if group:
                self._failure = _commit(self._writer, self.path, group, self._failure)

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
    loop: asyncio.AbstractEventLoop | None = None


def _commit(
    connection: sqlite3.Connection, path: Path, group: list[_Entry], failure: ExtractError | None
) -> ExtractError | None:
    """One transaction for the group; then each waiting caller gets its answer or the error.

    Gives back the failure that no caller has heard of yet.
    """
    answers: list[Answer | None] = [None] * len(group)
    try:
        connection.execute("BEGIN IMMEDIATE")
        answers = _insert(connection, group)
        failpoint("journal.commit.before")
        connection.execute("COMMIT")
        failpoint("journal.commit.after")
    except Exception as error:  # whatever it is: a writer that died would leave its callers waiting for ever
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        failure = _failure_of(error, path)
    _settle(group, answers, failure)
    return None if any(entry.done for entry in group) else failure


def _failure_of(error: Exception, path: Path) -> ExtractError:
    if isinstance(error, OSError | sqlite3.Error):
        return told(error, path)
    return RunDirectoryError(f"{path} cannot be written: {error}")


def _insert(connection: sqlite3.Connection, group: Sequence[_Entry]) -> list[Answer | None]:
    """What became of each entry. Answers are dropped in their turn, all else goes in together."""
    found: list[Answer | None] = []
    for forget, entries in groupby(group, lambda entry: entry.kind == _FORGET):
        found += (_drop if forget else _insert_together)(connection, list(entries))
    return found


def _drop(connection: sqlite3.Connection, entries: Sequence[_Entry]) -> list[Answer | None]:
    """Answers that are to be asked for again. Their attempts are marked: such are counted when the next one comes."""
    dropped = [entry.request for entry in entries]
    marks = ",".join("?" * len(dropped))
    number = connection.execute(f"DELETE FROM answers WHERE request IN ({marks})", dropped).rowcount  # noqa: S608
    connection.execute("UPDATE totals SET answers = answers - ?", (number,))
    if number:
        connection.execute(
            f"UPDATE attempts SET kind = 'forgotten' WHERE kind = 'completion' AND request IN ({marks})",  # noqa: S608
            dropped,
        )
    return [None] * len(entries)


def _insert_together(connection: sqlite3.Connection, entries: Sequence[_Entry]) -> list[Answer | None]:
    notes = [_note_row(entry) for entry in entries if entry.note is not None]
    if notes:
        connection.executemany("INSERT OR REPLACE INTO notes (request, kind, body, digest) VALUES (?,?,?,?)", notes)
    calls = [entry for entry in entries if entry.kind not in (_FLUSH, _RESULT)]
    attempts = iter(_insert_calls(connection, calls)) if calls else iter(())
    return [
        Answer(entry.kind, None, 0, None, entry.note or b"") if entry.kind in (_FLUSH, _RESULT) else next(attempts)
        for entry in entries
    ]


def _insert_calls(connection: sqlite3.Connection, calls: Sequence[_Entry]) -> list[Answer | None]:
    """Few statements for all: what a statement costs is more than what a row costs."""
    requests = {entry.request for entry in calls}
    made = Counter(dict(_among(connection, "attempts", requests, "AND kind <> 'completion'")))
    replaced = dict(_among(connection, "answers", requests))
    if replaced:  # answers that were found damaged: rare, and worth reading all attempts
        made.update(dict(_among(connection, "attempts", replaced, "AND kind = 'completion'")))
    known, now = len(made), time.time()
    found = []
    for entry in calls:
        made[entry.request] += 1
        found.append(None if entry.body is None else _answer_of(entry, made[entry.request], entry.body))
    answered = {entry.request: (entry, answer) for entry, answer in zip(calls, found, strict=True) if answer}
    connection.executemany(
        "INSERT INTO attempts (request, at, kind, status, code, message, input_tokens, output_tokens)"
        " VALUES (?,?,?,?,?,?,?,?)",
        [
            (e.request, now, e.kind, e.status, e.code, e.message, e.usage.input_tokens, e.usage.output_tokens)
            for e in calls
        ],
    )
    if answered:
        connection.executemany(
            "INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?,?,?,?,?)",
            [_answer_row(entry, answer) for entry, answer in answered.values()],
        )
    retries = len(calls) - (len(requests) - known)  # all but the first of each request
    _add_to_totals(connection, calls, retries, len(answered) - len(replaced.keys() & answered.keys()))
    return found


def _among(
    connection: sqlite3.Connection, table: str, requests: Iterable[str], which: str = ""
) -> Iterable[tuple[str, int]]:
    """How many rows of the table each of these requests has; those without any are left out."""
    named = tuple(requests)
    marks = ",".join("?" * len(named))
    query = f"SELECT request, count(*) FROM {table} WHERE request IN ({marks}) {which} GROUP BY request"  # noqa: S608
    return connection.execute(query, named)


def _add_to_totals(connection: sqlite3.Connection, calls: Sequence[_Entry], retries: int, answers: int) -> None:
    costs = [entry.cost_usd for entry in calls if entry.cost_usd is not None]
    cost = sum(costs) if costs else None
    connection.execute(
        "UPDATE totals SET requests = requests + ?, retries = retries + ?, input_tokens = input_tokens + ?,"
        " output_tokens = output_tokens + ?, answers = answers + ?,"
        " cost_usd = coalesce(cost_usd + ?, cost_usd, ?)",
        (
            *(len(calls), retries, sum(entry.usage.input_tokens for entry in calls)),
            *(sum(entry.usage.output_tokens for entry in calls), answers, cost, cost),
        ),
    )


def _answer_of(entry: _Entry, attempts: int, body: bytes) -> Answer:
    return Answer(entry.kind, entry.status, attempts, entry.message, body)


def _answer_row(entry: _Entry, answer: Answer) -> tuple[Any, ...]:
    stored = (answer.kind, answer.status, answer.attempts, answer.message, answer.body)
    return (
        *(entry.request, *stored[:3], entry.usage.input_tokens, entry.usage.output_tokens),
        *(*stored[3:], _seal(entry.request, *stored)),
    )


def _note_row(entry: _Entry) -> tuple[str, str, bytes, bytes]:
    kind, body = _RESULT if entry.kind == _RESULT else _RESEARCH, entry.note or b""
    return entry.request, kind, body, _seal(entry.request, kind, None, 0, None, body)


def _research(request: str, note: object, digest: object) -> Research:
    """What was noted of the research before an answer; a note that is damaged is none."""
    if note is None or not _is_sealed_note(request, _RESEARCH, note, digest):
        return Research()
    try:
        return _RESEARCH_READER.validate_json(note)  # type: ignore[arg-type]  # sealed notes are bytes
    except ValueError:
        return Research()


def _is_sealed_note(request: str, kind: str, body: object, digest: object) -> bool:
    """Whether a note is as it was stored; those of format 1 have no digest."""
    if not isinstance(body, bytes):
        return False
    return digest is None or digest == _seal(request, kind, None, 0, None, body)


def _seal(request: str, kind: str, status: int | None, attempts: int, message: str | None, body: bytes) -> bytes:
    """A digest of all that is read back, so that a bit that turned over is seen wherever it stands."""
    head = f"{request}\0{kind}\0{status}\0{attempts}\0{message!r}\0"
    return hashlib.blake2b(head.encode() + body, digest_size=_SEAL).digest()


def is_sealed(request: str, stored: Sequence[Any], digest: object) -> bool:
    """Whether kind, status, attempts, message and body are as they were stored."""
    body = stored[-1]
    if not isinstance(body, bytes) or not isinstance(digest, bytes):
        return False
    if len(digest) == _OLD_SEAL:
        return hashlib.blake2b(body, digest_size=_OLD_SEAL).digest() == digest
    return _seal(request, *stored) == digest


def _settle(group: Sequence[_Entry], answers: Sequence[Answer | None], failure: ExtractError | None) -> None:
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


def _connect(path: Path) -> sqlite3.Connection:
    try:
        if not path.exists():
            failpoint("journal.create.before")
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))  # answers may be confidential
            failpoint("journal.create.after")
        if 0 < path.stat().st_size < _HEADER:  # which SQLite would take for an empty one
            raise RunDirectoryError(f"{path} {_UNUSABLE}: it is cut off", hint="put it aside to ask anew")
        connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
    except (sqlite3.Error, OSError) as error:
        raise told(error, path, _UNUSABLE) from error
    try:
        _prepare(connection, path)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error | OSError):
            raise told(error, path, _UNUSABLE) from error
        if isinstance(error, UnicodeError | TypeError):  # of a damaged first page
            raise RunDirectoryError(f"{path} {_UNUSABLE}: it is damaged", hint="see `extract fsck`") from error
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    tables, version = _look(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
    connection.execute(f"PRAGMA cache_size = -{CACHE}")
    if tables and version == FORMAT:
        return
    connection.isolation_level = None
    connection.execute("BEGIN IMMEDIATE")
    tables, version = _look(connection, path)  # another process may have been faster
    if not tables:
        failpoint("journal.tables.before")
        for statement in _TABLES.split(";"):
            connection.execute(statement)
    if version < FORMAT:
        _bring_up(connection)
    connection.execute("COMMIT")
    failpoint("journal.tables.after")


def _look(connection: sqlite3.Connection, path: Path) -> tuple[int, int]:
    """How many tables there are, and of which format. Raises RunDirectoryError for what is no journal of ours."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != APPLICATION:
        raise RunDirectoryError(f"{path} is a database of another program")
    if version > FORMAT:
        raise RunDirectoryError(f"{path} was written by a newer version (format {version})", hint="upgrade tablecast")
    return tables, version


def _bring_up(connection: sqlite3.Connection) -> None:
    """Older journals get what is new."""
    for statement in _LATER.split(";"):
        connection.execute(statement)
    columns = [row[1] for row in connection.execute("PRAGMA table_info (notes)")]
    if "digest" not in columns:
        connection.execute("ALTER TABLE notes ADD COLUMN digest BLOB")
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
