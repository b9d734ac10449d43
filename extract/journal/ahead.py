"""Answers read before they are looked up: a run that is done again looks for them nearly in the order in which they
were stored, and one statement for many costs a fifth of one for each."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import Any

LEAST, MOST = 1, 512  # answers read at once: twice as many while half of them are asked for, else half as many
BYTES = 8_000_000  # of answers that are held at most

_FIELDS = "a.kind, a.status, a.attempts, a.message, a.body, a.digest, n.body, n.digest"
_TABLES = "answers a LEFT JOIN notes n ON n.request = a.request AND n.kind = 'research'"

Stored = tuple[Any, ...]  # the fields of one answer, and its row


class Ahead:
    """The answers stored after the one that was found last."""

    def __init__(self, reader: sqlite3.Connection, reading: threading.Lock) -> None:
        self._reader = reader
        self._reading = reading
        self._found: dict[str, Stored] = {}  # the oldest first
        self._bytes = 0
        self._size = 16
        self._hits = 0
        self._end = 0  # the last row that was read
        row = "a.rowid" if _has_rows(reader) else "0"  # older journals keep answers in the order of their names
        self.query = f"SELECT {_FIELDS}, {row} FROM {_TABLES} WHERE a.request = ?"  # noqa: S608

    def take(self, request: str) -> Stored | None:
        """What was read of this answer; once, since it is looked up once. An answer that has changed is to be dropped
        by this too."""
        with self._reading:
            found = self._drop(request)
            self._hits += found is not None
            return found

    def clear(self) -> None:
        with self._reading:
            self._found.clear()
            self._bytes = 0

    def follow(self, row: int) -> None:
        """Read what was stored after this row, unless that was done. What cannot be read is left to its own lookup."""
        with self._reading:
            if row <= self._end:
                return
            self._size = min(MOST, self._size * 2) if self._hits * 2 >= self._size else max(LEAST, self._size // 2)
            self._hits = 0
            start = self._end if row - self._end <= self._size else row
            try:
                self._read(start)
            except (sqlite3.Error, UnicodeError):
                self._end = row

    def _read(self, start: int) -> None:
        query = f"SELECT a.request, {_FIELDS}, a.rowid FROM {_TABLES} WHERE a.rowid > ? ORDER BY a.rowid LIMIT ?"  # noqa: S608
        added = 0
        with closing(self._reader.execute(query, (start, self._size))) as cursor:
            for request, *found in cursor:
                self._end = found[-1]
                if isinstance(found[4], bytes):
                    self._drop(request)
                    self._found[request] = tuple(found)
                    added += len(found[4])
                if added > BYTES // 2:
                    break
        self._bytes += added
        while self._bytes > BYTES:
            self._drop(next(iter(self._found)))

    def _drop(self, request: str) -> Stored | None:
        found = self._found.pop(request, None)
        self._bytes -= len(found[4]) if found else 0
        return found


def _has_rows(reader: sqlite3.Connection) -> bool:
    try:
        reader.execute("SELECT rowid FROM answers LIMIT 0").close()
    except (sqlite3.Error, UnicodeError):
        return False
    return True
