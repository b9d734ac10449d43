"""What a check raises is its author's error: told with record and place; three times in a row, and the run stops."""

from __future__ import annotations

import logging
import os
import sysconfig
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import pydantic
import pydantic_core

from extract.errors import RunStopped
from extract.records import Issue, Key

logger = logging.getLogger("extract.checks")

IN_A_ROW = 3  # records for which a check raised, one after the other

_LIBRARIES = (
    f"{Path(__file__).parents[1]}{os.sep}",
    *(f"{Path(module.__file__ or '').parent}{os.sep}" for module in (pydantic, pydantic_core)),
)
_STANDARD = f"{sysconfig.get_paths()['stdlib']}{os.sep}"


class BrokenCheck(RunStopped):
    """A check raises for record after record."""

    code = "check.error"


@dataclass
class Faults:
    """Counts, for each check, the records in a row for which it raised. `which` tells checks of one name apart."""

    streaks: dict[int, int] = field(default_factory=dict)

    def passed(self, which: int) -> None:
        """A check has judged a record, whatever it found."""
        self.streaks.pop(which, None)

    def raised(self, which: int, check: str, key: Key, error: Exception) -> Issue:
        """A check raised: the issue of the record. Raises BrokenCheck for the last of too many in a row."""
        place = place_of(error)
        said = f"{type(error).__name__}: {error}"[:500]
        self.streaks[which] = self.streaks.get(which, 0) + 1
        if self.streaks[which] >= IN_A_ROW:
            raise BrokenCheck(
                f"the check {check} raised for {IN_A_ROW} records in a row, last for {key!r}: {said}, at {place}",
                hint="repair the check, then run the same command again: nothing is asked anew",
            ) from error
        logger.warning("the check %s raised for record %r at %s: %s", check, key, place, said)
        trace = "".join(traceback.format_exception(error, limit=-5))[-4_000:]
        message = f"the check {check} raised for record {key!r}, at {place}: {trace}"
        return Issue("semantic", "check.error", "$", message)


def place_of(error: Exception) -> str:
    """File and line of the user's code where an exception began; of the last code where there is none."""
    frames = _frames(error.__traceback__)
    users = [frame for frame in frames if _is_users(frame[0])] or frames
    file, line = users[-1] if users else ("?", 0)
    return f"{file}, line {line}"


def is_users(error: Exception) -> bool:
    """Whether code of the user took part in an exception."""
    return any(_is_users(file) for file, _ in _frames(error.__traceback__))


def _frames(trace: TracebackType | None) -> list[tuple[str, int]]:
    return [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(trace)]


def _is_users(file: str) -> bool:
    if file.startswith(_LIBRARIES):
        return False
    return not file.startswith(_STANDARD) or "site-packages" in file
