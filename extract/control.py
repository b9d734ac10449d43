"""When a call may begin: decided from what became of the calls before it, and from nothing else.

`Controller` does no I/O, knows no clock and no event loop: times are passed in (seconds, monotonic), and so is the
source of jitter. The same events at the same times give the same answers, so a simulator can run it in virtual time.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from extract.errors import ConfigError

NOW: Final = 0.0  # may_start: begin the call
AFTER_ANOTHER: Final = math.inf  # may_start: ask again when a call has ended
_SOON = 1e-6  # seconds: a timer set for a moment may fire this much before it

# Slow start
FIRST_SHARE = 32  # the first window is this part of the ceiling: five rounds reach it, 25 s when an answer takes 5 s
FIRST_LEAST = 8  # calls; a burst that every server takes

# The pace, in calls per second, once a server has refused a call
AIM = 0.97  # of the pace that was refused, as the next one to hold: one part in thirty is the cost of being near
BACK = 0.9  # of the pace that was refused, to begin with: what was stored up while too fast drains within the climb
CLIMB = 5.0  # seconds from the beginning to the pace to hold: half of the ten that a fall of the limit may cost
PROBE = (
    15.0  # seconds: the pace then grows as a cubic, +10 % after this long, twofold after 32 s: a limit twice as high
)
PROBE_STEP = 0.1  # is found within the minute
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
CREDIT = 0.01  # seconds that a start may be late and the next ones catch up: timers are about 1 ms late

# The window, in calls in flight, where it is their number that is refused
HOLD = 15.0  # seconds before a window that was refused is tried again, then
DOUBLE = 15.0  # seconds for twofold growth
CAP_CALLS = 16  # accepted ones, so that their number in flight says something

# Refusals that have nothing to do with the pace: gateways pass on those of upstreams which others overload
NOISE_REFUSALS = 3  # in a row,
NOISE_FALL = 0.985  # each at less than this part of the pace before,
NOISE_DEPTH = (
    0.7  # and the last below this part of the first: a limit refuses near itself, and one that fell more often
)
NOISE_SHARE = 0.12  # of late calls refused, at most: a limit that fell refuses half of them and more
NOISE_MEMORY = 64  # calls that this share looks back
NOISE_DOUBLE, NOISE_MORE, NOISE_MOST = 2.0, 0.03, 0.15  # share above which it is the pace again

# Pauses
PAUSE_LEAST = 0.05  # seconds; less is within the spread of the network
PAUSE_FIRST = 0.25  # seconds, where the server names none: a limit per second is then open again after two steps
PAUSE_AGAIN = 0.75  # of the last pause: the best guess, and it shrinks when it was too long
PAUSE_MOST = 30.0  # seconds: half of the longest window in use, a minute
SPREAD = 0.05  # of a pause is added at random, so that processes do not come back in one moment
GRACE = 2.0  # times a refusal takes: the first call after a pause goes ahead by this much
GRACE_MOST = 1.0  # seconds

# Outages
LEAST_FAILED = 12  # calls in flight are assumed for the breaker: 22 failures in a row come once in 8 million at 50 %
LOOKS = 3  # calls that look within a minute: with those in flight, an outage of a minute costs three per permit
SURE_FROM = 8  # permits: 17 failures in a row are an outage, less may be chance and are asked after soon
FIRST_LOOK = 0.05  # seconds per permit, then: with one permit three failures in a row are common

# Retries when most calls fail
MEMORY = 32  # calls that the share of failed ones looks back
TROUBLE = 0.8  # share of failed calls from which retries are rationed: five spreads above 50 %
CALM = 0.65  # share at which they are free again
RATION = 0.1  # retries for each first call, as the Google SRE book has it
TRICKLE = 1.0  # retries per second in any case, so that the last rows learn that all is well


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRules:
    """What is known of the endpoint and what is wanted. Raises ConfigError for values that cannot be."""

    concurrency: int = 32  # calls in flight at most
    requests_per_minute: float | None = None  # begun, evenly spaced; None: no limit that is known
    tokens_per_minute: float | None = None  # estimated at the beginning, settled at the end
    first_window: int | None = None  # calls in flight at first; None: a part of the ceiling
    probe_interval: float = 5.0  # seconds to the first look during an outage, doubled each time
    longest_probe_interval: float = 30.0  # seconds
    outage_timeout: float = 3600.0  # seconds without a served call, after which the caller gives up
    max_retry_after: float = 300.0  # seconds, cap of what a server may ask for

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name} must be above 0 and finite, got {value!r}")


@dataclass(frozen=True, slots=True)
class Answered:
    """The server did the work; `tokens` is what it says it used."""

    tokens: float | None = None


@dataclass(frozen=True, slots=True)
class Limited:
    """The server refused the call for its rate; `retry_after` seconds, if it said."""

    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Troubled:
    """No answer, or a passing fault of the server."""

    kind: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server is well and says no to this request."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller gave the call up."""


End = Answered | Limited | Troubled | Refused | Cancelled


class Verdict(StrEnum):
    """What an end means for the record that asked."""

    COUNT = "count"  # one of the record's attempts
    PARK = "park"  # not the record's fault: it asks again when it may, and keeps its attempts


@dataclass(slots=True)
class Ticket:
    """One call in flight."""

    start: float
    tokens: float
    epoch: int  # of the controller, when the call began
    order: int  # among the calls of the epoch, from 1
    beside: int  # calls in flight, this one included
    probe: bool = False  # the one call that looks whether an outage is over


class Controller:
    """Tells when a call may begin. `may_start`, then at once `started`; `finished` when the call has ended."""

    def __init__(self, rules: LoadRules, now: float, jitter: Callable[[], float] = random.random) -> None:
        self.rules = rules
        self.in_flight = 0
        self._jitter = jitter
        self._began = now
        first = rules.first_window or max(FIRST_LEAST, rules.concurrency // FIRST_SHARE)
        self._first = min(first, rules.concurrency)
        self._window = float(self._first)
        self._cap = _Cap(float(rules.concurrency))
        self._pace = _Pace()
        per_second = rules.requests_per_minute / 60 if rules.requests_per_minute else None
        self._requests = _Gaps(1 / per_second, now) if per_second else None
        self._tokens = _Tokens(rules.tokens_per_minute / 60, now) if rules.tokens_per_minute else None
        self._breaker = _Breaker(rules, jitter)
        self._ration = _Ration(now)
        self._noise = _Noise()
        self._pause_until = now
        self._longest = min(PAUSE_MOST, rules.max_retry_after)
        self._pause = 0.0  # the last one that was our own guess
        self._is_doubted = False  # the server has named a pause that was too short
        self._scout = False  # the next call is the first after a pause
        self._epoch = 0
        self._order = 0  # calls begun in this epoch
        self._resumed = now  # when the first of them was
        self._cut_at = now  # when the call began whose refusal was the last to change the pace
        self._latency = 0.0  # seconds, mean of late
        self._refusal = 0.0  # the same, of refusals
        self._ended = now  # when the last call did
        self._limited_since: float | None = None  # nothing was served since
        self._is_free = self._requests is None and self._tokens is None

    def may_start(self, now: float, tokens: float = 0, *, retry: bool = False) -> float:
        """NOW, or the seconds to wait before asking again, or AFTER_ANOTHER: when a call has ended."""
        if self._breaker.is_open:
            return _rest(max(self._breaker.wait(now), self._pause_until - now))
        if self.in_flight >= self._window or self.in_flight >= self._cap.calls(now):
            return AFTER_ANOTHER
        if retry and self._ration.is_engaged:
            rationed = self._ration.wait(now)
            if rationed > _SOON:
                return rationed
        if self._is_free and not self._pace.is_known and now >= self._pause_until:
            return NOW
        wait = max(self._pause_until, self._pace.next) - now
        if self._requests:
            wait = max(wait, self._requests.next - now)
        if self._tokens:
            wait = max(wait, self._tokens.wait(now, tokens))
        return _rest(wait)

    def started(self, now: float, tokens: float = 0, *, retry: bool = False) -> Ticket:
        """A call begins; `tokens` is what it will likely use. Give the ticket back to `finished`."""
        self.in_flight += 1
        self._order += 1
        if self._scout:
            self._go_ahead(now)
        elif self._pace.is_known:
            self._pace.start(now)
        if self._requests:
            self._requests.start(now)
        if self._tokens:
            self._tokens.take(now, tokens)
        self._ration.start(retry)
        probe = self._breaker.is_open
        if probe:
            self._breaker.look()
        return Ticket(now, tokens, self._epoch, self._order, self.in_flight, probe)

    def finished(self, ticket: Ticket, now: float, end: End) -> Verdict:
        """The call has ended; what that means for its record."""
        self.in_flight -= 1
        interval, self._ended = now - self._ended, now
        if isinstance(end, Cancelled):
            self._breaker.forget(ticket, now)
            return Verdict.COUNT
        if isinstance(end, Troubled):
            self._pace.delay(interval)  # growth takes clean time
            self._ration.end(failed=True)
            belongs = self._breaker.failed(ticket, now)
            return Verdict.PARK if belongs else Verdict.COUNT
        self._ration.end(failed=False)
        if self._breaker.served(ticket, now):
            self._window = float(self._first)
        self._noise.end(isinstance(end, Limited))
        if isinstance(end, Limited):
            self._settle(ticket, 0)
            self._refuse(ticket, now, end.retry_after)
            return Verdict.PARK
        self._limited_since = None
        self._settle(ticket, end.tokens if isinstance(end, Answered) else 0)
        if isinstance(end, Answered):
            self._answered(ticket, now)
        return Verdict.COUNT

    @property
    def is_open(self) -> bool:
        """Whether there is an outage: one call at a time looks whether it is over."""
        return self._breaker.is_open

    @property
    def is_rationing(self) -> bool:
        """Whether most calls fail, so that retries wait for first calls."""
        return self._ration.is_engaged

    @property
    def window(self) -> float:
        """Calls in flight that are allowed now, pauses and pace aside."""
        return min(self._window, self._cap.limit)

    def pace(self, now: float) -> float:
        """Calls per second that are allowed now; infinite before any was refused."""
        return self._pace.rate(now) if self._pace.is_known else math.inf

    def outage_seconds(self, now: float) -> float:
        """For how long no call was served, as far as is known; above `rules.outage_timeout` the caller gives up."""
        since = [at for at in (self._breaker.open_since, self._limited_since) if at is not None]
        return max(0.0, now - min(since)) if since else 0.0

    def in_outage(self, at: float) -> bool:
        """Whether a failure at this time belongs to an outage, as it turned out: then it counts for no record."""
        return self._breaker.covers(at)

    def _answered(self, ticket: Ticket, now: float) -> None:
        latency = now - ticket.start
        self._latency += (latency - self._latency) / 16 if self._latency else latency
        if self._window < self.rules.concurrency:
            self._window += 1.0  # twofold with each clean round
        self._cap.accepted(ticket)

    def _settle(self, ticket: Ticket, tokens: float | None) -> None:
        if self._tokens and tokens is not None:
            self._tokens.level += ticket.tokens - tokens

    def _go_ahead(self, now: float) -> None:
        """The first call after a pause: the others follow when it could have been refused."""
        self._scout = False
        self._resumed = now
        grace = min(GRACE_MOST, GRACE * self._refusal)
        if self._pace.is_known:
            self._pace.resume(now, grace)
        else:
            self._pause_until = max(self._pause_until, now + grace)
        self._cap.resume(now)

    def _refuse(self, ticket: Ticket, now: float, retry_after: float | None) -> None:
        took = now - ticket.start
        self._refusal += (took - self._refusal) / 8 if self._refusal else took
        if self._limited_since is None:
            self._limited_since = now
        asked = _asked(retry_after, self.rules.max_retry_after)
        self._cap.is_refusing(ticket.start if ticket.epoch == self._epoch else None, now)
        if ticket.epoch != self._epoch or self._noise.is_tolerated:  # begun before the others were told, or no news
            if asked:
                self._rest_until(now, asked)
            return
        if ticket.order == 1:  # nothing was accepted since: it is early still, whatever the pace
            self._pause = min(self._longest, max(PAUSE_FIRST, 2 * self._pause))
            self._is_doubted = self._is_doubted or (asked > 0 and self._epoch > 0)
            self._rest_until(now, max(asked, self._pause))
        else:
            paused = max(0.0, self._resumed - self._cut_at)
            self._slow_down(ticket, now, paused)
            self._pause = min(self._longest, max(PAUSE_FIRST, PAUSE_AGAIN * paused))
            self._rest_until(now, max(asked, self._pause) if self._is_doubted else asked or self._pause)
        self._epoch += 1
        self._order = 0

    def _rest_until(self, now: float, seconds: float) -> None:
        spread = min(1.0, SPREAD * seconds) * self._jitter()
        self._pause_until = max(self._pause_until, now + seconds + spread)
        self._scout = True

    def _slow_down(self, ticket: Ticket, now: float, paused: float) -> None:
        """Once per epoch: less in flight where that was too many, else a slower pace."""
        self._cut_at = ticket.start
        if self._cap.refused(ticket.beside, now):
            return
        latency = self._latency or 1.0  # nothing was answered yet: a guess, the pace is found from any
        at = self._pace.rate(ticket.start) if self._pace.is_known else ticket.beside / latency
        lived = ticket.start - self._resumed
        is_quota = paused > lived * QUOTA_SHARE
        if self._pace.is_settled and not is_quota and self._noise.fell(at):
            self._pace.search(at)
        else:
            self._pace.learn(at, ticket.order - 1, lived, paused)


def _rest(wait: float) -> float:
    return wait if wait > _SOON else NOW


def _asked(retry_after: float | None, most: float) -> float:
    """Seconds that the server asks for, 0.0 when it says nothing of use."""
    if retry_after is None or not retry_after > 0:
        return 0.0
    return min(max(retry_after, PAUSE_LEAST), most)


class _Pace:
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


class _Noise:
    """Tells refusals that come whatever the pace is from those of a limit.

    They go on at the same share of calls however slow the pace has become; a pace that heeded them would come to
    nothing.
    """

    def __init__(self) -> None:
        self._share = 0.0  # of late calls that were refused
        self._most = 0.0  # share up to which it is noise; 0.0: it is not
        self._fastest = self._last = 0.0  # paces that were refused
        self._falls = 0  # refusals in a row, each at a slower pace than the one before

    @property
    def is_tolerated(self) -> bool:
        return self._most > 0

    def end(self, refused: bool) -> None:
        self._share += (refused - self._share) / NOISE_MEMORY
        if self._most and self._share > self._most:
            self._most = self._fastest = 0.0

    def fell(self, at: float) -> bool:
        """A call was refused at this pace; whether that was one too many to come from it."""
        if at > NOISE_FALL * self._last or self._share > NOISE_SHARE:
            self._fastest, self._falls = at, 0
        else:
            self._falls += 1
        self._last = at
        if self._falls < NOISE_REFUSALS or at > NOISE_DEPTH * self._fastest:
            return False
        self._most = min(NOISE_MOST, NOISE_DOUBLE * self._share + NOISE_MORE)
        self._fastest = 0.0
        return True


class _Cap:
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
        return int(min(self._ceiling, self.limit * 2 ** (since / DOUBLE)) if since > 0 else self.limit)

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


class _Gaps:
    """Starts evenly spaced, for a limit that is known."""

    def __init__(self, gap: float, now: float) -> None:
        self._gap = gap
        self.next = now

    def start(self, now: float) -> None:
        self.next = max(self.next, now - CREDIT) + self._gap


class _Tokens:
    """A bucket that fills at a steady rate. One call may take more than is there; the next ones wait for it."""

    def __init__(self, per_second: float, now: float) -> None:
        self.level = self._size = per_second  # one second's worth
        self._per_second = per_second
        self._filled = now

    def wait(self, now: float, tokens: float) -> float:
        level = min(self._size, self.level + (now - self._filled) * self._per_second)
        return (min(tokens, self._size) - level) / self._per_second

    def take(self, now: float, tokens: float) -> None:
        self.level = min(self._size, self.level + (now - self._filled) * self._per_second) - tokens
        self._filled = now


class _Breaker:
    """Tells an outage from errors of single calls, and looks when it is over."""

    def __init__(self, rules: LoadRules, jitter: Callable[[], float]) -> None:
        self.open_since: float | None = None
        self._rules = rules
        self._jitter = jitter
        self._failed: deque[tuple[float, float]] = deque()  # in a row: begun and ended
        self._beside = 0  # calls in flight, the most while they failed
        self._over = -math.inf  # when the last outage was
        self._outages: deque[tuple[float, float]] = deque(maxlen=64)
        self._interval = 0.0
        self._look_at = math.inf
        self._is_looking = False

    @property
    def is_open(self) -> bool:
        return self.open_since is not None

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
        self._outages.append((self.open_since, now))
        self._over = now
        self.open_since = None
        self._failed.clear()
        self._beside = 0
        self._is_looking = False
        return True

    def covers(self, at: float) -> bool:
        if self.open_since is not None and at >= self.open_since:
            return True
        return any(begin <= at <= end for begin, end in self._outages)

    def _again(self, now: float) -> None:
        self._is_looking = False
        spread = 1 + SPREAD * self._jitter()
        self._look_at = now + min(self._interval * spread, self._rules.longest_probe_interval)


class _Ration:
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
