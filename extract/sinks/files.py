"""Files that are there whole or not at all: temp file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from extract.failpoints import failpoint

TEMP_SUFFIX = ".tmp"


def write_whole(path: Path, write: Callable[[Path], object], what: str = "shard") -> None:
    """Let `write` fill a temp file beside `path`, then put it in place. `what` names its failpoints."""
    temp = path.with_name(f".{path.name}{TEMP_SUFFIX}")
    failpoint(f"{what}.write.before")
    try:
        write(temp)
        failpoint(f"{what}.written")
        with open(temp, "rb+") as file:
            os.fsync(file.fileno())
        failpoint(f"{what}.synced")
        os.replace(temp, path)
    except OSError:
        with suppress(OSError):  # it takes space that may be what is missing
            temp.unlink(missing_ok=True)
        raise
    failpoint(f"{what}.renamed")
    sync_folder(path.parent)
    failpoint(f"{what}.folder_synced")


def sync_folder(path: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_temps(folder: Path) -> None:
    """Remove what an earlier process left half written."""
    for temp in folder.glob(f".*{TEMP_SUFFIX}"):
        temp.unlink(missing_ok=True)
