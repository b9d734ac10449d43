"""Outages: when there is one, which failures belong to it, and when to look whether it is over."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from extract.control.calls import Ticket
from extract.control.rules import LoadRules
from extract.control.times import AFTER_ANOTHER, SPREAD

LEAST_FAILED = 12  # calls in flight are assumed for the breaker: 22 failures in a row come once in 8 million at 50 %
LOOKS = 3  # calls that look within a minute: with those in flight, an outage of a minute costs three per permit
SURE_FROM = 8  # permits: 17 failures in a row are an outage, less may be chance and are asked after soon
FIRST_LOOK = 0.05  # seconds per permit, then: with one permit three failures in a row are common


class Breaker:
    """Tells an outage from errors of single calls, and looks when it is over."""

    def __init__(self, rules: LoadRules, jitter: Callable[[], float]) -> None:
        self.open_since: float | None = None
        self._rules = rules
        self._jitter = jitter
        self._failed: deque[tuple[float, float]] = deque()  # in a row: begun and ended
        self._beside = 0  # calls in flight, the most while they failed
        self._over = -math.inf  # when the last outage was
        self._interval = 0.0
        self._look_at = math.inf
        self._is_looking = False

    @property
    def is_open(self) -> bool:
        return self.open_since is not None

    @property
    def failing_since(self) -> float:
        """When the first call of this outage failed, or of the failures in a row that may become one; else infinite."""
        if self.open_since is not None:
            return self.open_since
        return self._failed[0][1] if self._failed else math.inf

    def wait(self, now: float) -> float:
        return AFTER_ANOTHER if self._is_looking else self._look_at - now

    def look(self) -> None:
        self._is_looking = True

    def forget(self, ticket: Ticket, now: float) -> None:
        """The call ended without a word on the server."""
        if ticket.probe and self.is_open:
            self._is_looking = False
            self._look_at = now + self._interval

    def failed(self, ticket: Ticket, now: float) -> bool:
        """Whether this belongs to an outage."""
        if self.open_since is not None:
            if ticket.probe:
                self._interval = min(2 * self._interval, self._rules.longest_probe_interval)
                self._again(now)
            return True
        if ticket.start <= self._over:  # begun in the outage before
            return True
        self._failed.append((ticket.start, now))
        self._beside = max(self._beside, ticket.beside)
        permits = self._rules.concurrency
        is_sure = permits >= SURE_FROM
        enough = 2 * min(permits, max(self._beside, LEAST_FAILED)) + 1
        if len(self._failed) < (enough - LOOKS if permits >= LEAST_FAILED else enough):
            return False
        self.open_since = self._failed[0][1]
        self._interval = self._rules.probe_interval if is_sure else FIRST_LOOK * permits
        self._again(now)
        return True

    def served(self, ticket: Ticket, now: float) -> bool:
        """The server did something; whether that ends an outage."""
        if self.open_since is None:
            while self._failed and self._failed[0][0] <= ticket.start:  # calls begun later may fail all the same
                self._failed.popleft()
            if not self._failed:
                self._beside = 0
            return False
        if ticket.start < self.open_since:  # of a call from before, whose answer was under way
            return False
        self._over = now
        self.open_since = None
        self._failed.clear()
        self._beside = 0
        self._is_looking = False
        return True

    def _again(self, now: float) -> None:
        self._is_looking = False
        spread = 1 + SPREAD * self._jitter()
        self._look_at = now + min(self._interval * spread, self._rules.longest_probe_interval)
