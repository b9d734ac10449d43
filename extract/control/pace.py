"""The pace, in calls per second, once a server has refused a call."""

from __future__ import annotations

import math

from extract.control.times import CREDIT

AIM = 0.97  # of the pace that was refused, as the next one to hold: one part in thirty is the cost of being near
BACK = 0.9  # of the pace that was refused, to begin with: what was stored up while too fast drains within the climb
CLIMB = 5.0  # seconds from the beginning to the pace to hold: half of the ten that a fall of the limit may cost
PROBE = 15.0  # seconds: the pace then grows as a cubic, +10 % after this long, twofold after 32 s:
PROBE_STEP = 0.1  # a limit twice as high is found within the minute
PROBE_CALLS = 25  # and at least as many calls: one refusal in them is 4 %
PROBE_PAUSES = 25  # and as many times the pause that a refusal costs, so that pauses take 5 %,
PROBE_LONGEST = 60.0  # seconds, within reason
STEADY = 3.0  # seconds and
STEADY_CALLS = 10  # calls without a refusal: this pace was nearly right
DEEPEST = 8.0  # the climb begins at this part of the refused pace at least, and so passes no limit by more than a step
QUOTA_SHARE = 1 / 3  # of the time at work, spent in pauses: a quota for a longer time is used up early
QUOTA_CALLS = 8  # accepted, so that their mean says something
QUOTA_LONG = 10.0  # seconds from one end of it to the next; below that the mean says little, so
QUICK = 5.0  # seconds take the place of PROBE
QUOTA_AIM = 1.1  # of the calls accepted per second, pauses included
FEW_AIM = 0.85  # of the pace that was refused after fewer calls: to step down by 3 % takes too many refusals
SEARCH = 1.0  # seconds for twofold growth after the very first refusal, which may have been of a burst, until the next
SEARCH_LONGEST = 30.0  # seconds


class Pace:
    """Calls per second that a server takes, learned from its refusals.

    After one the pace begins at `_low`, climbs to `_hold` and stays about there for a while; then it grows by a cubic,
    slowly near the old limit and ever faster beyond it (TCP CUBIC, and the adaptive mode of botocore).
    """

    def __init__(self) -> None:
        self.is_known = False
        self.next = -math.inf  # when the next call may begin
        self._low = self._hold = math.inf
        self._origin = 0.0  # when the climb began
        self._is_new = False  # learned, and not yet begun
        self._probe = PROBE
        self._is_search = False

    @property
    def is_settled(self) -> bool:
        """Whether it was refused before, but for the first time, which may have been a burst."""
        return self.is_known and not self._is_search

    def rate(self, now: float) -> float:
        since = now - self._origin
        if self._is_search:
            return self._low * math.pow(2.0, min(max(since, 0.0), SEARCH_LONGEST) / SEARCH)
        if since <= CLIMB:
            return self._low * math.pow(self._hold / self._low, max(since, 0.0) / CLIMB)
        return self._hold * (1 + PROBE_STEP * ((since - CLIMB) / self._probe) ** 3)

    def start(self, now: float) -> None:
        gap = 1 / self.rate(now)
        late = now - self.next
        if late > gap + CREDIT:  # it is not the pace that holds calls back, so it learns nothing
            self._origin += late
        self.next = max(self.next, now - CREDIT) + gap

    def resume(self, now: float, grace: float) -> None:
        if self._is_new:
            self._is_new = False
            self._origin = now
        else:
            self._origin += max(0.0, now - self.next)
        self.next = now + max(grace, 1 / self.rate(now))

    def delay(self, seconds: float) -> None:
        self._origin += seconds

    def halt(self, seconds: float) -> None:
        """Nothing begins for so long, and nothing is learned."""
        self._origin += seconds
        self.next += seconds

    def search(self, at: float) -> None:
        """Find the limit anew from this pace."""
        self._low, self._is_search = at, True
        self._is_new = True

    def learn(self, at: float, accepted: int, lived: float, paused: float) -> None:
        """A call was refused at this pace, after as many accepted ones in `lived` seconds, and a pause before that."""
        span = max(lived + paused, 1e-3)
        mean = accepted / span
        self._is_search = not self.is_known
        self._hold = AIM * at if accepted >= STEADY_CALLS else max(FEW_AIM * at, math.sqrt(mean * at))
        if paused > lived * QUOTA_SHARE and accepted >= QUOTA_CALLS:
            self._hold = min(self._hold, QUOTA_AIM * mean * math.sqrt(span / max(lived, 1e-3)))
            self._low = min(mean, self._hold)
            self._probe = PROBE if span > QUOTA_LONG else QUICK
        elif self.is_known and lived > STEADY and accepted >= STEADY_CALLS:
            self._low = BACK * at
            self._probe = min(PROBE_LONGEST, max(PROBE, PROBE_PAUSES * paused))
        else:
            self._low = min(max(mean, at / DEEPEST), BACK * at)
            self._probe = PROBE if self._hold >= BACK * at else QUICK
        self._probe = max(self._probe, PROBE_CALLS / self._hold)
        self.is_known = self._is_new = True
