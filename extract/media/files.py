"""Reading files that lie below a folder, and no others: regular files only, whatever links stand in the way."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import IO

from extract.media.part import MediaError

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a pipe would wait for its writer
_FOLDER = getattr(os, "O_DIRECTORY", 0)
_STEPWISE = os.open in os.supports_dir_fd
_BLOCK = 1 << 20
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def read_below(root: Path, path: str, most: int) -> bytes:
    """The bytes of a file below `root`. Raises MediaError: as `open_below`, or for more than `most` bytes."""
    try:
        with open_below(root, path) as file:
            return _read(file, most)
    except OSError as error:
        raise _refusal(error) from error


def digest_below(root: Path, path: str, most: int) -> str:
    """A digest of a file below `root`, read block by block; of one above `most` bytes its size, else what is wrong."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open_below(root, path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > most:
                return f"{size} bytes"
            left = most
            while left >= 0 and (block := file.read(_BLOCK)):
                digest.update(block)
                left -= len(block)
    except MediaError as error:
        return error.issue.code
    except OSError as error:
        return _refusal(error).issue.code
    return digest.hexdigest()


def open_below(root: Path, path: str) -> IO[bytes]:
    """A regular file below `root`. Raises MediaError: missing, outside, no file, unreadable."""
    try:
        handle = _handle(root, path)
    except ValueError:  # a NUL, or characters that no path can hold
        raise MediaError("media.missing", "this can be no path") from None
    except OSError as error:
        raise _refusal(error) from error
    except RuntimeError:  # of Path.resolve
        raise MediaError("media.outside", "the path leads through links that go in a circle") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise MediaError("media.file", "this is no regular file")
    return os.fdopen(handle, "rb", buffering=0)


def _handle(root: Path, path: str) -> int:
    """An open file, reached by a path without links: one put in the way after the check is refused, not followed."""
    top = root.resolve()
    real = (top / path).resolve()
    if not real.is_relative_to(top):
        raise MediaError("media.outside", "the path leads out of the folder of the source")
    steps = real.relative_to(top).parts
    if not steps:
        raise MediaError("media.file", "this is a folder")
    if not _STEPWISE:
        return os.open(real, _FLAGS | _NO_LINK | _NO_WAIT)
    folder = os.open(top, _FLAGS | _FOLDER)
    try:
        for step in steps[:-1]:
            inner = os.open(step, _FLAGS | _FOLDER | _NO_LINK, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(steps[-1], _FLAGS | _NO_LINK | _NO_WAIT, dir_fd=folder)
    finally:
        os.close(folder)


def _read(file: IO[bytes], most: int) -> bytes:
    size = os.fstat(file.fileno()).st_size
    if size > most:
        raise too_large(size, most)
    data = bytearray()
    while block := file.read(min(_BLOCK, most + 1 - len(data))):
        data += block
    if len(data) > most:  # it grew
        raise too_large(len(data), most)
    return bytes(data)


def too_large(size: int, most: int) -> MediaError:
    return MediaError("media.size", f"{size:,} bytes, the limit is {most:,}")


def _refusal(error: OSError) -> MediaError:
    if error.errno in _GONE:
        return MediaError("media.missing", "there is no such file")
    if error.errno == errno.ELOOP:
        return MediaError("media.outside", "the path leads through a link that goes astray")
    return MediaError("media.unreadable", f"the file cannot be read: {error.strerror}")
