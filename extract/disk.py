"""What a disk refuses for now: a run pauses for it, and the same command goes on when there is room again."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from extract.errors import ExtractError, RunDirectoryError, RunStopped

_REMEDIES = {
    errno.ENOSPC: "free space, then run again",
    errno.EDQUOT: "free space, then run again",
    errno.EFBIG: "the limit of a file's size is reached: raise it, then run again",
    errno.EIO: "look at the disk, then run again",
    errno.EROFS: "make it writable, then run again",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n), then run again",
    errno.ENFILE: "too many open files: close some programs, then run again",
}
_OF_SQLITE = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
}
_TIGHT = 1 << 20  # bytes; with less an I/O error is most likely for want of room
_PRIMARY = 0xFF  # the part of an extended result code that names its kind


class DiskPause(RunStopped):
    """The disk refuses for now; nothing that was stored is lost, and the same command goes on."""

    code = "disk"


def told(error: OSError | sqlite3.Error, where: Path, what: str = "cannot be written") -> ExtractError:
    """A DiskPause for what may pass, else a RunDirectoryError; both name the place and what to do."""
    code = error.errno if isinstance(error, OSError) else _errno_of(error, where)
    words = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    if code in _REMEDIES:
        if isinstance(error, sqlite3.Error):
            words = f"{os.strerror(code)} ({words})"
        return DiskPause(f"{where} {what}: {words}", hint=_REMEDIES[code])
    if isinstance(error, sqlite3.Error) and _primary(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DiskPause(f"{where} {what}: {words}", hint="another process holds it: wait for it, then run again")
    if isinstance(error, sqlite3.Error) and _primary(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        hint = "look with `extract fsck`; put it aside to ask anew, or bring back a copy"
        return RunDirectoryError(f"{where} {what}: {words}", hint=hint)
    return RunDirectoryError(f"{where} {what}: {words}", hint="look at its place and its rights")


@contextmanager
def pausing(where: Path) -> Iterator[None]:
    """What the system refuses inside is told as `told` says it."""
    try:
        yield
    except OSError as error:
        raise told(error, where) from error


def _primary(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & _PRIMARY


def _errno_of(error: sqlite3.Error, where: Path) -> int | None:
    """SQLite calls a full disk an I/O error where it cannot make its log's index, and says only that a file cannot be
    opened; so the disk is asked for its room, and a file is opened."""
    primary = _primary(error)
    try:
        if primary == sqlite3.SQLITE_CANTOPEN:
            os.close(os.open(os.devnull, os.O_RDONLY))
        room = os.statvfs(where.parent)
        if primary == sqlite3.SQLITE_IOERR and room.f_bavail * room.f_frsize < _TIGHT:
            return errno.ENOSPC
    except OSError as refused:
        return refused.errno
    return _OF_SQLITE.get(primary)
