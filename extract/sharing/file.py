"""The file: numbers that one process at a time may change, and which of those that use it still live.

Of the media that were measured (docs/load.md) plain reads and writes under a lock cost half of what SQLite asks for a
transaction. Mapped memory would cost a third, but a file that somebody cuts off would end all that have it mapped.

Locks belong to an open file and go with it, however its process ends: nobody has to be believed dead. A change goes
into the one of two places that is not in use, and then its number into the head: a process that is killed over it has
changed nothing.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path

from extract.errors import ConfigError

FORMAT = 1
MAGIC = b"tablecast limits"
_HEAD = struct.Struct("<16sQQ64s")  # magic, format, number of the last change, whose clock it is
_NUMBER = struct.Struct("<Q")
_NUMBER_AT = 24
_AREA = struct.Struct("<QLL")  # number of the change, bytes, checksum
_AREAS = (1 << 12, (1 << 12) + (1 << 23))  # the space between is never used, and takes no room on the disk
_LONGEST = 1 << 22  # bytes
_LOCK = struct.Struct("hhqqi4x")  # struct flock, as Linux has it
_TURN = 0  # the byte that is locked by whom it is the turn of; the next ones are of processes
_HINT = "name another file, or remove it when no run uses it"


class NotSharedError(ConfigError):
    """The file cannot be used."""


class LimitsFile:
    """An open file of shared limits. Raises NotSharedError, with the path, for what cannot be one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not hasattr(fcntl, "F_OFD_SETLK"):
            raise NotSharedError("limits can be shared on Linux only")
        try:
            self._handle = _opened(path)
        except OSError as error:
            raise self.wrong(error.strerror or str(error)) from error

    def wrong(self, what: str) -> NotSharedError:
        return NotSharedError(f"{self.path} cannot hold shared limits: {what}", hint=_HINT)

    def close(self) -> None:
        os.close(self._handle)  # which gives all its locks back

    def try_turn(self) -> bool:
        """Whether it is this process's turn now, until `end_turn`."""
        return self._lock(_TURN, fcntl.F_WRLCK)

    def end_turn(self) -> None:
        self._lock(_TURN, fcntl.F_UNLCK)

    def take_place(self, number: int) -> bool:
        """Whether this place, from 1, was free and is this process's until the file is closed."""
        return self._lock(number, fcntl.F_WRLCK)

    def is_taken(self, number: int) -> bool:
        """Whether another process lives in this place."""
        asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
        found = fcntl.fcntl(self._handle, fcntl.F_OFD_GETLK, asked)
        return bool(_LOCK.unpack(found)[0] != fcntl.F_UNLCK)

    def _lock(self, number: int, kind: int) -> bool:
        try:
            fcntl.fcntl(self._handle, fcntl.F_OFD_SETLK, _LOCK.pack(kind, os.SEEK_SET, number, 1, 0))
        except (BlockingIOError, PermissionError):
            return False
        return True

    def begin(self, clock: bytes) -> bytes:
        """In one's turn: make the head of an empty file, or read that of another. Whose clock its times are of."""
        head = os.pread(self._handle, _HEAD.size, 0)
        if not head:
            os.pwrite(self._handle, _HEAD.pack(MAGIC, FORMAT, 0, clock), 0)
            return clock
        if not head.startswith(MAGIC[: len(head)]):
            raise self.wrong("it is a file of something else")
        if len(head) < _HEAD.size:
            raise self.wrong("it is cut off")
        _, version, _, theirs = _HEAD.unpack(head)
        if version > FORMAT:
            raise NotSharedError(
                f"{self.path} was written by a newer version (format {version})", hint="upgrade tablecast"
            )
        if version != FORMAT:
            raise self.wrong("it is damaged")
        return bytes(theirs.rstrip(b"\0"))

    def set_clock(self, clock: bytes) -> None:
        os.pwrite(self._handle, clock.ljust(64, b"\0"), _NUMBER_AT + _NUMBER.size)

    def number(self) -> int:
        """Of the last change; 0: there was none."""
        found = os.pread(self._handle, _NUMBER.size, _NUMBER_AT)
        if len(found) < _NUMBER.size:
            raise self.wrong("it was cut off")
        return int(_NUMBER.unpack(found)[0])

    def read(self, number: int) -> array[float]:
        """What this change has written."""
        place = _AREAS[number % 2]
        found = os.pread(self._handle, _AREA.size + (1 << 12), place)
        if len(found) < _AREA.size:
            raise self.wrong("it is cut off")
        of, length, checksum = _AREA.unpack_from(found)
        if length > _LONGEST or length % 8 or of != number:
            raise self.wrong("it is damaged")
        body = found[_AREA.size : _AREA.size + length]
        if len(body) < length:
            body = os.pread(self._handle, length, place + _AREA.size)
        if len(body) != length or zlib.crc32(body) != checksum:
            raise self.wrong("it is damaged")
        numbers: array[float] = array("d")
        numbers.frombytes(body)
        return numbers

    def write(self, number: int, numbers: Sequence[float]) -> None:
        """The change that comes next, which then counts."""
        body = array("d", numbers).tobytes()
        os.pwrite(self._handle, _AREA.pack(number, len(body), zlib.crc32(body)) + body, _AREAS[number % 2])
        os.pwrite(self._handle, _NUMBER.pack(number), _NUMBER_AT)

    def is_in_place(self) -> bool:
        """Whether others that name the path find this file."""
        try:
            there, here = os.stat(self.path, follow_symlinks=False), os.fstat(self._handle)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _opened(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe would wait for a reader
    try:
        handle = os.open(path, flags, 0o600)
    except OSError:
        if path.is_symlink():  # it could lead anywhere
            raise OSError(f"{path.name} is a symbolic link") from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("it is no file")
    return handle
