"""The file: made, recognised, brought up to the format of today."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from extract.disk import told
from extract.errors import RunDirectoryError
from extract.failpoints import failpoint
from extract.journal import accounts
from extract.journal.patience import patiently

FORMAT = 3  # 1: digests of answers covered their bodies only; 2: one directory's, without accounts or what is unsure
SYNCHRONOUS = "FULL"  # each commit is on the disk when it returns
CHECKPOINT = 4000  # pages in the log before they go into the file: fewer fsyncs, and 16 MB on the disk
CACHE = 16_000  # kB at most, in each of two connections; what is not there is read from the cache of the system

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
CREATE INDEX IF NOT EXISTS answers_too_complex ON answers (kind) WHERE kind = 'schema_too_complex';
CREATE INDEX IF NOT EXISTS notes_instead ON notes (kind) WHERE kind = 'instead'
"""  # older journals get these when they are opened; the indexes are small, since there are few
_UNUSABLE = "cannot be used as a journal"
_HEADER = 512  # bytes of the smallest page


def connect(path: Path) -> sqlite3.Connection:
    """Open or make the file. Raises RunDirectoryError when it is no journal or cannot be used."""
    _refuse_others(path)
    try:
        if not path.exists():
            failpoint("journal.create.before")
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))  # answers may be confidential
            failpoint("journal.create.after")
        if 0 < path.stat().st_size < _HEADER:  # which SQLite would take for an empty one
            raise RunDirectoryError(f"{path} {_UNUSABLE}: it is cut off", hint="put it aside to ask anew")
        connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
    except (sqlite3.Error, OSError) as error:
        raise told(error, path, _UNUSABLE) from error
    try:
        patiently(lambda: _prepare(connection, path))
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error | OSError):
            raise told(error, path, _UNUSABLE) from error
        if isinstance(error, UnicodeError | TypeError):  # of a damaged first page
            raise RunDirectoryError(f"{path} {_UNUSABLE}: it is damaged", hint="see `extract fsck`") from error
        raise
    return connection


def _refuse_others(path: Path) -> None:
    """Raises RunDirectoryError for what is no file, or leads elsewhere: what is there would be overwritten."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        if path.with_name(name).is_symlink():
            raise RunDirectoryError(f"{path.with_name(name)} is a symbolic link", hint="name the file itself")
    if path.exists() and not path.is_file():
        raise RunDirectoryError(f"{path} {_UNUSABLE}: it is no file", hint="name a file, such as answers.db")


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    tables, version = _look(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
    connection.execute(f"PRAGMA cache_size = -{CACHE}")
    if tables and version == FORMAT:
        return
    connection.isolation_level = None
    if connection.in_transaction:  # of a turn that had to be tried again
        connection.execute("ROLLBACK")
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
    for statement in (*_LATER.split(";"), accounts.TABLE):
        connection.execute(statement)
    columns = [row[1] for row in connection.execute("PRAGMA table_info (notes)")]
    if "digest" not in columns:
        connection.execute("ALTER TABLE notes ADD COLUMN digest BLOB")
    for statement in accounts.UNSURE:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
