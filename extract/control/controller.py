"""The controller: tells the parts what happened to a call, and heeds the longest wait that one of them asks for."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from extract.control.breaker import Breaker
from extract.control.buckets import Gaps, Ration, Tokens
from extract.control.calls import Answered, Cancelled, End, Limited, Ticket, Troubled, Verdict
from extract.control.cap import Cap
from extract.control.noise import Noise
from extract.control.pace import QUOTA_SHARE, Pace
from extract.control.rules import LoadRules
from extract.control.times import AFTER_ANOTHER, NOW, SOON, SPREAD

# Slow start
FIRST_SHARE = 32  # the first window is this part of the ceiling: five rounds reach it, 25 s when an answer takes 5 s
FIRST_LEAST = 8  # calls; a burst that every server takes

# Pauses
PAUSE_LEAST = 0.05  # seconds; less is within the spread of the network
PAUSE_FIRST = 0.25  # seconds, where the server names none: a limit per second is then open again after two steps
PAUSE_AGAIN = 0.75  # of the last pause: the best guess, and it shrinks when it was too long
PAUSE_MOST = 30.0  # seconds: half of the longest window in use, a minute
GRACE = 2.0  # times a refusal takes: the first call after a pause goes ahead by this much
GRACE_MOST = 1.0  # seconds

CALM = 10.0  # seconds since a call was refused for its rate, after which there may be some to spare


class Controller:
    """Tells when a call may begin. `may_start`, then at once `started`; `finished` when the call has ended."""

    def __init__(self, rules: LoadRules, now: float, jitter: Callable[[], float] = random.random) -> None:
        self.rules = rules
        self.in_flight = 0
        self._jitter = jitter
        self._began = now
        first = max(FIRST_LEAST, rules.concurrency // FIRST_SHARE)
        self._first = min(first, rules.concurrency) if rules.adaptive else rules.concurrency
        self._window = float(self._first)
        self._cap = Cap(float(rules.concurrency))
        self._pace = Pace()
        per_second = rules.requests_per_minute / 60 if rules.requests_per_minute else None
        self._requests = Gaps(1 / per_second, now) if per_second else None
        self._tokens = Tokens(rules.tokens_per_minute / 60, now) if rules.tokens_per_minute else None
        self._breaker = Breaker(rules, jitter)
        self._ration = Ration(now)
        self._noise = Noise()
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
        self._refused_at = -math.inf  # a call was, for its rate
        self._is_free = self._requests is None and self._tokens is None

    def may_start(self, now: float, tokens: float = 0, *, retry: bool = False) -> float:
        """NOW, or the seconds to wait before asking again, or AFTER_ANOTHER: when a call has ended."""
        if self._breaker.is_open:
            return _rest(max(self._breaker.wait(now), self._pause_until - now))
        if self.in_flight >= self._window or self.in_flight >= self._cap.calls(now):
            return AFTER_ANOTHER
        if retry and self._ration.is_engaged:
            rationed = self._ration.wait(now)
            if rationed > SOON:
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
            self._settle(ticket, 0 if end.is_unsent else None)
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
            self._refused_at = now
            self._settle(ticket, 0)
            self._refuse(ticket, now, end.retry_after)
            return Verdict.PARK
        self._limited_since = None
        self._settle(ticket, end.tokens if isinstance(end, Answered) else 0)
        if isinstance(end, Answered):
            self._answered(ticket, now)
        elif end.retry_after:
            self._refused_at = now
            self._rest_aside(now, _asked(end.retry_after, self.rules.max_retry_after))
        return Verdict.COUNT

    @property
    def is_open(self) -> bool:
        """Whether there is an outage: one call at a time looks whether it is over."""
        return self._breaker.is_open

    @property
    def failing_since(self) -> float:
        """When the first of the failures was of which an outage is made, or may be; infinite where there is none."""
        return self._breaker.failing_since

    def is_calm(self, now: float) -> bool:
        """Whether all is well, and has been for a while: calls that need not be made may be."""
        is_well = not (self._breaker.is_open or self._ration.is_engaged)
        return is_well and now >= max(self._pause_until, self._refused_at + CALM)

    def abandoned(self, calls: int, now: float, *, probe: bool) -> None:
        """So many calls end that nobody will ever tell of; whether one of them was to look after an outage."""
        self.in_flight -= calls
        if probe:
            self._breaker.forget(Ticket(now, 0, self._epoch, 0, 0, probe=True), now)

    def alone_again(self, now: float) -> None:
        """Nobody has made a call for a while: what an outage and failed calls said is old."""
        self._breaker = Breaker(self.rules, self._jitter)
        self._ration = Ration(now)
        self._limited_since = None

    def most_in_flight(self, now: float) -> int:
        """Calls in flight that are allowed now, pauses and pace aside."""
        return min(math.ceil(self._window), self._cap.calls(now))

    def rate(self, now: float, tokens: float) -> float:
        """Calls per second that may begin, if all use as many tokens; infinite where nothing limits them."""
        found = self.pace(now)
        if self.rules.requests_per_minute:
            found = min(found, self.rules.requests_per_minute / 60)
        if self.rules.tokens_per_minute:
            found = min(found, self.rules.tokens_per_minute / 60 / max(1.0, tokens))
        return found

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
        is_news = ticket.epoch == self._epoch and not self._noise.is_tolerated  # begun after the others were told
        if not (is_news and self.rules.adaptive):
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

    def _rest_aside(self, now: float, seconds: float) -> None:
        """A pause that says nothing of the pace: it goes on after that as if the clock had stood still."""
        if self._scout or not self._pace.is_known:
            self._cut_at = now
            self._rest_until(now, seconds)
            return
        until = now + self._spread(seconds)
        longer = max(0.0, until - max(now, self._pause_until))
        self._pause_until = max(self._pause_until, until)
        self._resumed += longer
        self._cut_at += longer
        self._pace.halt(longer)

    def _rest_until(self, now: float, seconds: float) -> None:
        self._pause_until = max(self._pause_until, now + self._spread(seconds))
        self._scout = True

    def _spread(self, seconds: float) -> float:
        return seconds + min(1.0, SPREAD * seconds) * self._jitter()

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
    return wait if wait > SOON else NOW


def _asked(retry_after: float | None, most: float) -> float:
    """Seconds that the server asks for, 0.0 when it says nothing of use."""
    if retry_after is None or not retry_after > 0:
        return 0.0
    return min(max(retry_after, PAUSE_LEAST), most)
