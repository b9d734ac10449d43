"""Is a journal sound? Its pages, the digests of its answers, and its totals against its attempts."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Set
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from extract.disk import told
from extract.errors import RunDirectoryError
from extract.journal import APPLICATION, FORMAT, is_sealed
from extract.journal.by_hand import PREFIX, read_by_hand
from extract.journal.entries import HUMAN
from extract.journal.instead import read_note
from extract.journal.seals import is_sealed_note

_COPY = "bring it back from a copy; or put it aside, and what it held is asked and paid again"
_SAID_AGAIN = "run again, and accept these rows again: extract accept"
_BY_HAND = "SELECT request, body, digest FROM notes WHERE kind = 'human' AND request BETWEEN ? AND ?"
_ASKED_AGAIN = "nothing: the next run asks for them again"
SINCE_UNSURE = 3  # format of journals that say which calls may be billed, and which answers did not say what they used
_ANSWERED = "kind IN ('completion', 'forgotten')"
_SUMS = (
    "count(*)",
    "coalesce(sum(input_tokens), 0)",
    "coalesce(sum(output_tokens), 0)",
    f"count(*) FILTER (WHERE unsure AND NOT {_ANSWERED})",
    f"count(*) FILTER (WHERE unsure AND {_ANSWERED})",
)
_NAMES = ("requests", "input_tokens", "output_tokens", "ambiguous", "unmetered")


@dataclass
class JournalFindings:
    """Calls and whole answers, and what is wrong: each problem with what to do."""

    requests: int | None = None
    answers: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)


def check_journal(path: Path, wanted: Set[str], *, in_use: bool = False) -> JournalFindings:
    """Read all of a journal, and look for the requests that are `wanted` of it. Changes nothing.

    Raises RunDirectoryError for a journal of a newer version.
    """
    found = JournalFindings()
    try:
        with _opened(path, in_use) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if version > FORMAT:
                raise RunDirectoryError(f"{path} was written by a newer version", hint="upgrade tablecast")
            if tables and application != APPLICATION:
                found.problems.append(("is a database of another program", "move it elsewhere"))
            elif tables:
                _look_through(connection, wanted, found)
            elif wanted:
                found.problems.append(("is empty, and the tables rest on answers", _COPY))
    except (sqlite3.Error, UnicodeError, TypeError) as error:
        found.problems.append((f"cannot be read: {error}", _COPY))
    return found


def _look_through(connection: sqlite3.Connection, wanted: Set[str], found: JournalFindings) -> None:
    pages = [row[0] for row in connection.execute("PRAGMA integrity_check (5)")]
    if pages != ["ok"]:
        found.problems.append((f"is damaged: {'; '.join(map(str, pages))}", _COPY))
        return
    damaged = 0
    for request, *stored, digest in connection.execute(
        "SELECT request, kind, status, attempts, message, body, digest FROM answers"
    ):
        is_whole = is_sealed(request, stored, digest)
        found.answers += is_whole
        damaged += not is_whole
    if damaged:
        found.problems.append((f"{damaged:,} answers do not fit their digests", _ASKED_AGAIN))
    _check_totals(connection, found, found.answers + damaged)
    _check_by_hand(connection, found)
    missing = sum(1 for _ in _missing(connection, wanted))
    if missing:
        found.problems.append((f"has no answer to {missing:,} requests that rows of the table rest on", _COPY))


def _check_totals(connection: sqlite3.Connection, found: JournalFindings, answers: int) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    sums, names = (_SUMS, _NAMES) if version >= SINCE_UNSURE else (_SUMS[:3], _NAMES[:3])
    of_attempts = connection.execute(f"SELECT {', '.join(sums)} FROM attempts").fetchone()  # noqa: S608  # our own
    totals = connection.execute(f"SELECT {', '.join(names)}, answers FROM totals").fetchall()  # noqa: S608
    found.requests = of_attempts[0]
    if len(totals) != 1 or totals[0][:-1] != of_attempts:
        found.problems.append((f"its totals {totals} are not those of its attempts {of_attempts}", _COPY))
    elif totals[0][-1] < answers:  # the first format counted an answer that took another's place twice
        found.problems.append((f"counts {totals[0][-1]:,} answers and holds {answers:,}", _COPY))
    (unasked,) = connection.execute(
        "SELECT count(*) FROM answers WHERE request NOT IN (SELECT request FROM attempts)"
    ).fetchone()
    if unasked:
        found.problems.append((f"{unasked:,} answers belong to no attempt", _COPY))


def _missing(connection: sqlite3.Connection, wanted: Set[str]) -> Iterator[str]:
    names = iter(wanted)
    while some := list(islice(names, 500)):
        marks = ",".join("?" * len(some))
        query = f"SELECT request FROM answers WHERE request IN ({marks})"  # noqa: S608  # marks only
        left = set(some) - {row[0] for row in connection.execute(query, some)}
        yield from (name for name in left if not (_has_another(connection, name) or _is_by_hand(connection, name)))


def _check_by_hand(connection: sqlite3.Connection, found: JournalFindings) -> None:
    notes = connection.execute(_BY_HAND, (PREFIX, f"{PREFIX}~")) if _has_notes(connection) else ()
    damaged = sum(not is_sealed_note(name, HUMAN, body, digest) for name, body, digest in notes)
    if damaged:
        found.problems.append((f"{damaged:,} notes of what people said do not fit their digests", _SAID_AGAIN))


def _is_by_hand(connection: sqlite3.Connection, name: str) -> bool:
    """Whether a row rests on what a person said, in some run directory."""
    if not name.startswith(PREFIX) or not _has_notes(connection):
        return False
    notes = [read_by_hand(body) for _, body, _ in connection.execute(_BY_HAND, (f"{name}@", f"{name}@~"))]
    return any(note is not None for note in notes)


def _has_notes(connection: sqlite3.Connection) -> bool:
    """Not so an older journal."""
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'notes'").fetchone())


def _has_another(connection: sqlite3.Connection, request: str) -> bool:
    """Whether a redrive had it answered by another request, in some run directory."""
    if not _has_notes(connection):
        return False
    notes = connection.execute(
        "SELECT body FROM notes WHERE kind = 'instead' AND request BETWEEN ? AND ?", (f"{request}@", f"{request}@~")
    )
    others = [found.request for (body,) in notes if (found := read_note(body))]
    return any(connection.execute("SELECT 1 FROM answers WHERE request = ?", (name,)).fetchone() for name in others)


@contextmanager
def _opened(path: Path, in_use: bool) -> Iterator[sqlite3.Connection]:
    """To read only. Reading what a dead process left open would settle its log: so a copy is read."""
    log = path.with_name(f"{path.name}-wal")
    if in_use and path.with_name(f"{path.name}-shm").exists():
        with closing(sqlite3.connect(_uri(path, "mode=ro"), uri=True, timeout=30)) as connection:
            yield connection
    elif log.exists() and log.stat().st_size:
        with tempfile.TemporaryDirectory(prefix="extract-fsck-") as folder:
            copy = Path(folder) / path.name
            try:
                shutil.copyfile(path, copy)
                shutil.copyfile(log, copy.with_name(log.name))
            except OSError as error:
                raise told(error, Path(folder)) from error
            with closing(sqlite3.connect(copy)) as connection:
                yield connection
    else:
        with closing(sqlite3.connect(_uri(path, "immutable=1"), uri=True)) as connection:
            yield connection


def _uri(path: Path, how: str) -> str:
    return f"file:{quote(str(path.absolute()))}?{how}"
