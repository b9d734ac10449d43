"""What each process has said of itself: its limits, its calls in flight, and how much is waiting for its turn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

from extract.config import Limits

CAPS = ("max_requests", "max_cost_usd", "max_total_tokens")
MOST = 256  # processes
STATED = ("concurrency", "requests_per_minute", "tokens_per_minute", *CAPS)  # the smaller holds


@dataclass(slots=True)
class Place:
    """One process, as numbers."""

    number: float
    in_flight: float = 0.0
    looks: float = 0.0  # one of its calls looks whether an outage is over
    held_input: float = 0.0  # tokens that its calls in flight will likely use
    held_output: float = 0.0
    held_usd: float = 0.0
    waiting: float = 0.0  # calls
    due: float = 0.0  # when it looks for a turn again
    seen: float = 0.0  # when it wrote this
    turns: float = 0.0  # calls begun, and those of others while it had nothing to do
    concurrency: float = math.inf
    requests_per_minute: float = math.inf
    tokens_per_minute: float = math.inf
    max_requests: float = math.inf
    max_cost_usd: float = math.inf
    max_total_tokens: float = math.inf
    max_retry_after: float = math.inf
    adaptive: float = 1.0

    def state(self, limits: Limits, max_retry_after: float) -> None:
        for name in STATED:
            value = getattr(limits, name)
            setattr(self, name, math.inf if value is None else float(value))
        self.max_retry_after, self.adaptive = max_retry_after, float(limits.adaptive)

    @property
    def is_sound(self) -> bool:
        limits = min(self.requests_per_minute, self.tokens_per_minute, self.max_retry_after)
        return 1 <= self.number <= MOST and 0 <= self.in_flight < 1e9 and 1 <= self.concurrency < 1e9 and limits > 0


SIZE = len(fields(Place))
_NUMBERS = attrgetter(*(field.name for field in fields(Place)))


def numbers_of(places: Sequence[Place]) -> Iterator[float]:
    return (number for place in places for number in _NUMBERS(place))


def share(wants: Sequence[float], most: int) -> int:
    """How many of `most` calls in flight are due at most to one of those that want so many each.

    Who wants less than an equal part gets that; the others part the rest among them. Rounded up, so that all are used.
    """
    left, who = float(most), len(wants)
    for want in sorted(wants):
        part = left / who
        if want > part:
            return max(1, math.ceil(part))
        left, who = left - want, who - 1
    return most
