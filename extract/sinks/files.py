"""Files that are there whole or not at all: temp file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

TEMP_SUFFIX = ".tmp"


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temp file beside `path`, then put it in place."""
    temp = path.with_name(f".{path.name}{TEMP_SUFFIX}")
    write(temp)
    with open(temp, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(temp, path)
    sync_folder(path.parent)


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
