"""What the tests of checks share: records, and how checks are asked."""

from __future__ import annotations

from typing import Any

from extract.checks import Check, run_check
from extract.records import Issue, Record


def record(**cells: Any) -> Record:
    return Record(key="k", position=0, cells=cells)


def found(check: Check, value: Any, **cells: Any) -> list[Issue]:
    return run_check(check, value, record(**cells))


def paths(check: Check, value: Any, **cells: Any) -> list[str]:
    return [issue.path for issue in found(check, value, **cells)]
