"""Named places at every durable step, where a test ends the process or lets the disk refuse.

`EXTRACT_FAILPOINT=name:N` ends the process, as kill -9 would, when that place is passed for the N-th time;
`name:N:ENOSPC` (or EIO, EROFS, EMFILE …) lets it fail there once, `name:N+:ENOSPC` from then on. Several are parted
by commas. Without the variable a place costs less than a microsecond.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from functools import cache

VARIABLE = "EXTRACT_FAILPOINT"
EXIT = 86  # of a process that was ended here

JOURNAL = (
    *("journal.create.before", "journal.create.after"),
    *("journal.tables.before", "journal.tables.after"),
    *("journal.commit.before", "journal.commit.after"),
    *("journal.close.before", "journal.close.after"),
)
LOCK = ("lock.sign.before", "lock.sign.after")
WHOLE_FILES = tuple(
    f"{what}.{step}"
    for what in ("shard", "manifest")
    for step in ("write.before", "written", "synced", "renamed", "folder_synced")
)
SHELF = ("shelf.shard.before", "shelf.shard.after", "shelf.manifest.after")
REPLACEMENT = (
    *("next.made", "next.dropped"),
    *("replace.before", "replace.old_made", "replace.away", "replace.placed", "replace.folders_synced"),
    *("replace.manifest_placed", "replace.synced", "replace.next_dropped", "replace.after"),
)
OF_RUNS = (*JOURNAL, *LOCK, *WHOLE_FILES, *SHELF, *REPLACEMENT)
REDRIVE = ("redrive.marked", "redrive.note.before", "redrive.note.after", "redrive.asked", "redrive.derived")
ACCEPT = ("accept.marked", "accept.noted", "accept.derived")
TABLE_REPAIR = ("table_repair.noted", "table_repair.marked", "table_repair.derived")
NAMES = (*OF_RUNS, *REDRIVE, *ACCEPT, *TABLE_REPAIR)


@dataclass
class _Plan:
    """What is to happen at one name."""

    name: str
    number: int
    code: int | None  # None: the process ends
    lasting: bool
    passed: int = 0

    @property
    def is_due(self) -> bool:
        return self.passed == self.number or (self.lasting and self.passed > self.number)


def failpoint(name: str) -> None:
    """Pass this place. Raises OSError, or ends the process, when the environment says so."""
    text = os.environ.get(VARIABLE)
    if text:
        _pass(name, text)


def _pass(name: str, text: str) -> None:
    for plan in _plans(text):
        if plan.name != name:
            continue
        plan.passed += 1
        if plan.is_due and plan.code is None:
            os._exit(EXIT)
        if plan.is_due and plan.code is not None:
            raise OSError(plan.code, os.strerror(plan.code))


@cache
def _plans(text: str) -> tuple[_Plan, ...]:
    """The plans of this text; they count for as long as the process lives. Raises ValueError for unknown names."""
    return tuple(_plan(item) for item in text.split(","))


def _plan(text: str) -> _Plan:
    name, _, rest = text.strip().partition(":")
    number, _, code = rest.partition(":")
    if name not in NAMES:
        raise ValueError(f"{VARIABLE}: no failpoint {name!r}")
    if code and not hasattr(errno, code):
        raise ValueError(f"{VARIABLE}: no error {code!r}")
    return _Plan(name, int(number.removesuffix("+")), getattr(errno, code) if code else None, number[-1:] == "+")


def forget_counts() -> None:
    """Begin counting anew."""
    _plans.cache_clear()
