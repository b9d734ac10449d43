"""Processes that share a file take turns: what SQLite refuses at once for another's sake is tried again."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 30.0  # seconds; SQLite itself waits as long for the writer before us, but not for one who opens or closes
_PAUSE = 0.01
_PRIMARY = 0xFF  # the part of an extended result code that names its kind

T = TypeVar("T")


def patiently(work: Callable[[], T], seconds: float = PATIENCE) -> T:
    """What `work` gives, once no other process holds the file. Raises sqlite3.Error when that takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            busy = int(getattr(error, "sqlite_errorcode", 0) or 0) & _PRIMARY == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)
