"""The window, in calls in flight, where it is their number that is refused."""

from __future__ import annotations

import math

from extract.control.calls import Ticket

HOLD = 15.0  # seconds before a window that was refused is tried again, then
DOUBLE = 15.0  # seconds for twofold growth,
DOUBLINGS = 64.0  # so often at most: more is above any ceiling, and after hours above what a float holds
CAP_CALLS = 16  # accepted ones, so that their number in flight says something


class Cap:
    """Calls in flight that a server takes, where it is their number that it limits.

    It is when calls are refused only with more beside them than any accepted one had.
    """

    def __init__(self, ceiling: float) -> None:
        self.limit = ceiling
        self._ceiling = ceiling
        self._most = 0  # beside an accepted call
        self._accepted = 0
        self._anew = -math.inf  # calls begun before do not count
        self._refused_from = self._refused_until = -math.inf
        self._origin = math.inf

    def calls(self, now: float) -> int:
        since = now - self._origin - HOLD
        growth = 2 ** min(since / DOUBLE, DOUBLINGS)
        return int(min(self._ceiling, self.limit * growth) if since > 0 else self.limit)

    def resume(self, now: float) -> None:
        if self.limit < self._ceiling:
            self._origin = now

    def accepted(self, ticket: Ticket) -> None:
        if ticket.start >= self._anew and not self._refused_from <= ticket.start <= self._refused_until:
            self._accepted += 1
            self._most = max(self._most, ticket.beside)

    def is_refusing(self, start: float | None, now: float) -> None:
        """Refused calls were in flight until now, since `start` if they are the first: what is beside them misleads."""
        self._refused_from = self._refused_from if start is None else start
        self._refused_until = now

    def refused(self, beside: int, now: float) -> bool:
        """Whether it was the number in flight; the next one is then below it."""
        is_number = beside > self._most and self._accepted >= max(CAP_CALLS, beside // 2)
        if is_number:
            self.limit = float(max(1, beside - 1))
        elif beside <= self._most:  # it is something else, or the number is another now
            self.limit = self._ceiling
            self._anew = now
            self._most = self._accepted = 0
        self._origin = math.inf
        return is_number
