"""Limits that are known, and the ration of retries while most calls fail."""

from __future__ import annotations

from extract.control.times import CREDIT

# Retries when most calls fail
MEMORY = 32  # calls that the share of failed ones looks back
TROUBLE = 0.8  # share of failed calls from which retries are rationed: five spreads above 50 %
CALM = 0.65  # share at which they are free again
RATION = 0.1  # retries for each first call, as the Google SRE book has it
TRICKLE = 1.0  # retries per second in any case, so that the last rows learn that all is well


class Gaps:
    """Starts evenly spaced, for a limit that is known."""

    def __init__(self, gap: float, now: float) -> None:
        self.gap = gap
        self.next = now

    def start(self, now: float) -> None:
        self.next = max(self.next, now - CREDIT) + self.gap


class Tokens:
    """A bucket that fills at a steady rate. One call may take more than is there; the next ones wait for it."""

    def __init__(self, per_second: float, now: float) -> None:
        self.level = self.size = per_second  # one second's worth
        self._per_second = per_second
        self._filled = now

    def wait(self, now: float, tokens: float) -> float:
        level = min(self.size, self.level + (now - self._filled) * self._per_second)
        return (min(tokens, self.size) - level) / self._per_second

    def take(self, now: float, tokens: float) -> None:
        self.level = min(self.size, self.level + (now - self._filled) * self._per_second) - tokens
        self._filled = now

    def owe(self, now: float, most: float) -> None:
        """No more than what comes in so many seconds."""
        self._filled = min(self._filled, now)
        self.level = max(self.level, -most * self._per_second)


class Ration:
    """Retries for a share of first calls, as long as most calls fail."""

    def __init__(self, now: float) -> None:
        self.is_engaged = False
        self._share = 0.0  # of failed calls, of late
        self._left = 0.0
        self._filled = now

    def start(self, retry: bool) -> None:
        if self.is_engaged:
            self._left = self._left - 1 if retry else min(self._left + RATION, 1.0)

    def end(self, failed: bool) -> None:
        self._share += (failed - self._share) / MEMORY
        if self._share > TROUBLE and not self.is_engaged:
            self.is_engaged = True
            self._left = 0.0
        elif self._share < CALM:
            self.is_engaged = False

    def wait(self, now: float) -> float:
        """Seconds to the next retry; asking fills up what the trickle gives."""
        self._left = min(1.0, self._left + max(0.0, now - self._filled) * TRICKLE)
        self._filled = now
        return (1.0 - self._left) / TRICKLE
