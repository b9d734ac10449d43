"""Failures of which nobody knows yet whether they are their records' own, or the first ones of an outage."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from extract.control.controller import Controller

Failure = TypeVar("Failure")


class Suspects(Generic[Failure]):
    """Calls that failed: each is an attempt of its record, unless the breaker opens over it.

    They are as many as the failures in a row that the breaker counts.
    """

    def __init__(self) -> None:
        self._failed: deque[tuple[float, Failure]] = deque()

    def __len__(self) -> int:
        return len(self._failed)

    def add(self, ended: float, failure: Failure) -> None:
        self._failed.append((ended, failure))

    def known(self, control: Controller) -> Iterator[tuple[Failure, bool]]:
        """Those of which it is known by now, and whether it was an outage; they are suspects no more."""
        since, is_open = control.failing_since, control.is_open
        while self._failed and (is_open or self._failed[0][0] < since):
            ended, failure = self._failed.popleft()
            yield failure, ended >= since

    def __iter__(self) -> Iterator[Failure]:
        return (failure for _, failure in self._failed)
