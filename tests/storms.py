"""Storms in virtual time: servers with limits, faults and outages against the load controller and two simple ones.

`python -m tests.storms` runs the campaign (make storm); the test suite runs a few hundred of the same storms.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import multiprocessing
import random
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from extract.control import AFTER_ANOTHER, Answered, Controller, Limited, LoadRules, Suspects, Troubled, Verdict

KINDS = ("bucket", "tight bucket", "second", "minute", "sliding second", "sliding minute", "calls")
HEADERS = ("exact", "whole", "short", "long", "none")
WHOLE = ("second", "sliding second", "calls")  # kinds that count whole calls in a short time
_DRAWS = 4096
_TINY = 1e-6
DOWN = Troubled("down")


@dataclass(frozen=True, kw_only=True)
class Storm:
    """One endpoint, as a client that knows nothing of it meets it."""

    seed: int = 0
    kind: str = "bucket"
    limit: float = 100.0  # calls per second, or in flight for the kind "calls"
    burst: float = 1.0  # seconds' worth that a bucket stores
    header: str = "exact"  # Retry-After
    latency: float = 0.2  # seconds, mean
    spread: float = 0.4  # sigma of the log-normal
    refusal: float = 0.03  # seconds to a 429
    concurrency: int = 256
    seconds: float = 90.0
    change_at: float = math.inf
    change: float = 1.0  # factor of the limit
    errors: float = 0.0  # share of calls that fail, independently
    noise: float = 0.0  # share of calls that the kind "noise" refuses, whatever their rate
    outage: tuple[float, float] = (math.inf, math.inf)  # from, to
    failure: float = 0.01  # seconds to an error
    rows: float = math.inf
    max_attempts: int = 1000

    @property
    def reach(self) -> float:
        """Calls per second that can be had."""
        most = self.concurrency / self.latency
        if self.kind in ("none", "noise"):
            return most * (1 - self.noise)
        return min(most, self.limit / self.latency if self.kind == "calls" else self.limit)


@dataclass
class Curve:
    """What became of a storm."""

    storm: Storm
    accepted: list[int]  # by second of start
    refused: list[int]
    early: int = 0  # calls begun before a Retry-After had passed
    failed_in_outage: int = 0  # calls begun in the outage
    looks: list[float] = field(default_factory=list)  # when each was, once the breaker had opened
    openings: int = 0
    calls: int = 0
    rows: int = 0  # finished
    lost: int = 0  # rows out of attempts,
    lost_to_outage: int = 0  # one of which was a call that began in the outage
    ended: float = 0.0

    def goodput(self, begin: float, end: float) -> float:
        """Accepted calls per second."""
        return sum(self.accepted[int(begin) : int(end)]) / max(1, int(end) - int(begin))

    def share_refused(self, begin: float, end: float) -> float:
        refused = sum(self.refused[int(begin) : int(end)])
        return refused / max(1, refused + sum(self.accepted[int(begin) : int(end)]))

    def reached(self, rate: float, begin: float, over: int = 5) -> float:
        """Seconds from `begin` until the goodput of the next seconds is at this rate; infinite if never."""
        for second in range(math.ceil(begin), len(self.accepted) - over):
            if self.goodput(second, second + over) >= rate:
                return second - begin
        return math.inf


class Server:
    """Accepts or refuses calls; `take` gives None or the exact seconds until a call would pass."""

    def __init__(self, storm: Storm) -> None:
        self.rate = storm.limit

    def take(self, now: float) -> float | None:
        return None

    def done(self, now: float) -> None:
        """A call has left the server."""


class Bucket(Server):
    """Fills at the limit; stores some seconds' worth, at least one call."""

    def __init__(self, storm: Storm) -> None:
        super().__init__(storm)
        self.seconds = storm.burst if storm.kind == "bucket" else 0.0
        self.level = max(1.0, self.rate * self.seconds)
        self.at = 0.0

    def take(self, now: float) -> float | None:
        level = min(max(1.0, self.rate * self.seconds), self.level + (now - self.at) * self.rate)
        self.at = now
        if level >= 1 - _TINY:
            self.level = level - 1
            return None
        self.level = level
        return (1 - level) / self.rate


class Fixed(Server):
    """So many calls in each second, or minute, of the server's clock."""

    def __init__(self, storm: Storm) -> None:
        super().__init__(storm)
        self.length = 60.0 if storm.kind == "minute" else 1.0
        self.phase = random.Random(storm.seed).random() * self.length
        self.index = -1
        self.used = 0

    def take(self, now: float) -> float | None:
        index = int((now + self.phase) / self.length)
        if index != self.index:
            self.index, self.used = index, 0
        if self.used + 1 <= max(1.0, self.rate * self.length) + _TINY:
            self.used += 1
            return None
        return (index + 1) * self.length - self.phase - now


class Sliding(Server):
    """So many calls in any second, or minute."""

    def __init__(self, storm: Storm) -> None:
        super().__init__(storm)
        self.length = 60.0 if storm.kind == "sliding minute" else 1.0
        self.taken: deque[float] = deque()

    def take(self, now: float) -> float | None:
        taken = self.taken
        while taken and taken[0] <= now - self.length + _TINY:
            taken.popleft()
        room = max(1, int(self.rate * self.length + _TINY))
        if len(taken) < room:
            taken.append(now)
            return None
        return taken[len(taken) - room] + self.length - now


class Calls(Server):
    """So many calls in flight."""

    def __init__(self, storm: Storm) -> None:
        super().__init__(storm)
        self.in_flight = 0
        self.hint = storm.latency / 2

    def take(self, now: float) -> float | None:
        if self.in_flight + 1 <= max(1.0, self.rate):
            self.in_flight += 1
            return None
        return self.hint

    def done(self, now: float) -> None:
        self.in_flight -= 1


class Noise(Server):
    """Refuses a share of all calls, as gateways do whose upstreams are overloaded by others."""

    def __init__(self, storm: Storm) -> None:
        super().__init__(storm)
        self.share = storm.noise
        self.random = random.Random(storm.seed)

    def take(self, now: float) -> float | None:
        return 0.0 if self.random.random() < self.share else None


SERVERS = {"bucket": Bucket, "tight bucket": Bucket, "second": Fixed, "minute": Fixed}
SERVERS |= {"sliding second": Sliding, "sliding minute": Sliding, "calls": Calls, "none": Server, "noise": Noise}


class Simple:
    """What the two simple policies share: a window, waits of single calls, and a pause of all."""

    def __init__(self, storm: Storm, jitter: random.Random) -> None:
        self.window = float(storm.concurrency)
        self.ceiling = storm.concurrency
        self.in_flight = 0
        self.until = 0.0
        self.held: list[float] = []  # calls that wait by themselves and keep their place
        self.jitter = jitter
        self.is_open = False
        self.failing_since = math.inf

    def may_start(self, now: float, tokens: float = 0, *, retry: bool = False) -> float:
        while self.held and self.held[0] <= now + _TINY:
            heapq.heappop(self.held)
        if self.in_flight + len(self.held) >= int(self.window):
            return self.held[0] - now if self.held and not self.in_flight else AFTER_ANOTHER
        return max(0.0, self.until - now)

    def started(self, now: float, tokens: float = 0, *, retry: bool = False) -> float:
        self.in_flight += 1
        return now


class Inspect(Simple):
    """The constants of inspect_ai: x0.8 at most every 15 s, +5 % a clean round; each call backs off by itself."""

    def __init__(self, storm: Storm, jitter: random.Random) -> None:
        super().__init__(storm, jitter)
        self.window = min(20.0, self.window)
        self.cut_at = -math.inf
        self.clean = 0
        self.is_slow_start = True
        self.refusals = 0

    def finished(self, ticket: float, now: float, end: object) -> Verdict:
        self.in_flight -= 1
        if isinstance(end, Limited):
            self.clean = 0
            self.is_slow_start = False
            if now - self.cut_at >= 15:
                self.window = max(1.0, self.window * 0.8)
                self.cut_at = now
            self.refusals = min(self.refusals + 1, 6)
            own = min(60.0, 3.0 * 2 ** (self.refusals - 1)) * (0.5 + self.jitter.random())
            heapq.heappush(self.held, now + max(own, end.retry_after or 0.0))
            return Verdict.COUNT
        self.refusals = 0
        self.clean += 1
        if self.clean >= self.window:
            self.clean = 0
            self.window = min(self.ceiling, self.window * (2 if self.is_slow_start else 1.05))
        return Verdict.COUNT


class Curator(Simple):
    """The pause of bespoke curator: 10 s for all after a refusal, then all at once."""

    def finished(self, ticket: float, now: float, end: object) -> Verdict:
        self.in_flight -= 1
        if isinstance(end, Limited):
            self.until = max(self.until, now + 10.0)
        return Verdict.COUNT


def ours(storm: Storm, jitter: random.Random) -> Controller:
    return Controller(LoadRules(concurrency=storm.concurrency), 0.0, jitter.random)


POLICIES: dict[str, Any] = {"ours": ours, "inspect": Inspect, "curator": Curator}


@cache
def _draws(spread: float) -> list[float]:
    """Factors of a latency whose mean is 1."""
    source = random.Random(1)
    return [source.lognormvariate(-spread * spread / 2, spread) for _ in range(_DRAWS)]


_RETRY_AFTER: dict[str, Callable[[float], float | None]] = {
    "exact": lambda exact: exact,
    "whole": lambda exact: float(math.ceil(exact)),
    "short": lambda exact: 0.3 * exact,
    "long": lambda exact: 3 * exact + 1,
    "none": lambda exact: None,
}


def run(storm: Storm, policy: str = "ours") -> Curve:
    """Play one storm."""
    return _Play(storm, policy).run()


class _Play:
    def __init__(self, storm: Storm, policy: str) -> None:
        self.storm = storm
        self.random = random.Random(storm.seed)
        self.control = POLICIES[policy](storm, random.Random(storm.seed + 1))
        self.server = SERVERS[storm.kind](storm)
        bins = int(storm.seconds) + 2
        self.curve = Curve(storm, [0] * bins, [0] * bins)
        self.heap: list[tuple[float, int, Any, Any, Any, int]] = []
        self.number = itertools.count()
        self.fresh = storm.rows
        self.attempts: Counter[int] = Counter()  # of each row, that count
        self.suspects = Suspects[tuple[int, bool]]()  # rows, and whether that call did begin in the outage
        self.charged: Counter[int] = Counter()  # attempts of each row that count, and began in the outage
        self.undecided: set[int] = set()  # rows whose last attempt has failed, perhaps
        self.retries: list[tuple[float, int, int]] = []  # when, for order, which row
        self.wake = math.inf
        self.quiet_until = -math.inf

    def run(self) -> Curve:
        storm, heap, control, curve = self.storm, self.heap, self.control, self.curve
        if storm.change_at < math.inf:
            heapq.heappush(heap, (storm.change_at, next(self.number), "change", None, None, 0))
        self._start_all(0.0)
        finished = control.finished
        is_finite = storm.rows < math.inf
        now = 0.0
        while heap:
            now, _, ticket, end, accepted, row = heapq.heappop(heap)
            if now >= storm.seconds:
                break
            if ticket is None:
                if self.wake <= now:
                    self.wake = math.inf
            elif ticket == "change":
                self.server.rate *= storm.change
            else:
                if accepted:
                    self.server.done(now)
                was_open = control.is_open
                verdict = finished(ticket, now, end)
                curve.openings += control.is_open and not was_open
                if type(end) is Limited and end.retry_after:
                    self.quiet_until = max(self.quiet_until, now + min(end.retry_after, 300.0))
                if is_finite:
                    self._account(row, now, end, verdict)
                    self._review(now)
            self._start_all(now)
        curve.ended = now
        return curve

    def _account(self, row: int, now: float, end: object, verdict: Verdict) -> None:
        curve = self.curve
        if isinstance(end, Answered):
            curve.rows += 1
            curve.ended = now
            return
        wait = 0.0
        if verdict is Verdict.COUNT:
            is_down = end == DOWN
            self.attempts[row] += 1
            self.charged[row] += is_down
            self.suspects.add(now, (row, is_down))
            if self.attempts[row] >= self.storm.max_attempts:
                self.undecided.add(row)
                return
            wait = min(60.0, 0.5 * 2 ** min(self.attempts[row] - 1, 7)) * (0.5 + 0.5 * self.random.random())
        heapq.heappush(self.retries, (now + wait, next(self.number), row))

    def _review(self, now: float) -> None:
        """As the gate does: what turns out to be the outage's is no attempt."""
        for (row, is_down), of_outage in self.suspects.known(self.control):
            self.attempts[row] -= of_outage
            self.charged[row] -= of_outage and is_down
        if not self.undecided:
            return
        suspected = {row for row, _ in self.suspects}
        for row in [row for row in self.undecided if row not in suspected or not self.control.in_flight]:
            self.undecided.discard(row)
            if self.attempts[row] >= self.storm.max_attempts:
                self.curve.lost += 1
                self.curve.lost_to_outage += self.charged[row] > 0
            else:
                heapq.heappush(self.retries, (now, next(self.number), row))

    def _start_all(self, now: float) -> None:
        may_start = self.control.may_start
        while True:
            is_retry = bool(self.retries) and self.retries[0][0] <= now + _TINY
            if not is_retry and self.fresh <= 0:
                if self.retries:
                    self._wake_at(self.retries[0][0])
                return
            wait = may_start(now, 0, retry=is_retry)
            if wait and is_retry and self.fresh > 0:  # retries are rationed: first calls may go
                is_retry = False
                wait = min(wait, may_start(now, 0))
                if wait and wait == may_start(now, 0, retry=True):
                    is_retry = True
            if wait:
                if wait < AFTER_ANOTHER:
                    self._wake_at(now + wait)
                return
            self._start(now, is_retry)

    def _wake_at(self, at: float) -> None:
        if at < self.wake - _TINY:
            self.wake = at
            heapq.heappush(self.heap, (at, next(self.number), None, None, None, 0))

    def _start(self, now: float, is_retry: bool) -> None:
        storm, curve = self.storm, self.curve
        row = 0
        if is_retry:
            row = heapq.heappop(self.retries)[2]
        else:
            self.fresh -= 1
            row = curve.calls
        curve.calls += 1
        if now < self.quiet_until - _TINY:
            curve.early += 1
        is_look = self.control.is_open
        ticket = self.control.started(now, 0, retry=is_retry)
        second = int(now)
        draw = self.random.random
        end: Any
        accepted = False
        if storm.outage[0] <= now < storm.outage[1]:
            end, takes = DOWN, storm.failure
            curve.failed_in_outage += 1
            if is_look:
                curve.looks.append(now)
        else:
            exact = self.server.take(now)
            factor = _draws(storm.spread)[int(draw() * _DRAWS)]
            if exact is not None:
                curve.refused[second] += 1
                end = Limited(_RETRY_AFTER[storm.header](exact))
                takes = storm.refusal * factor
            elif storm.errors and draw() < storm.errors:
                accepted = True
                end, takes = Troubled("error"), storm.failure * factor
            else:
                accepted = True
                curve.accepted[second] += 1
                end, takes = Answered(), storm.latency * factor
        heapq.heappush(self.heap, (now + takes, next(self.number), ticket, end, accepted, row))


def random_storm(seed: int) -> Storm:
    """Any endpoint; slow ones are more frequent, by as much as they are cheaper to play."""
    draw = random.Random(seed)
    kind = draw.choice(KINDS)
    most = 100.0 if kind == "calls" else 3000.0
    limit = 1 / (1 - draw.random() * (1 - 1 / most))  # of which half are above 2, a tenth above 10
    latency = math.exp(draw.uniform(math.log(0.005), math.log(5.0)))
    if kind == "calls":
        latency = max(latency, limit / 300)  # 300 calls a second at most, so that many storms can be played
    needed = limit if kind == "calls" else limit * latency
    seconds = 180.0 if kind.endswith("minute") else 90.0
    return Storm(
        seed=seed,
        kind=kind,
        limit=float(round(limit)) if kind in WHOLE else limit,
        burst=draw.choice([0.2, 1.0, 5.0]),
        header=draw.choice(HEADERS),
        latency=latency,
        spread=draw.uniform(0.05, 0.8),
        refusal=min(draw.uniform(0.002, 0.1), latency),  # it takes the way there and back, and so does an answer
        concurrency=2 ** max(3, math.ceil(math.log2(2.5 * needed))),
        seconds=seconds,
    )


def changing_storm(seed: int) -> Storm:
    """A limit per second or in flight that doubles or halves, some time after it was found."""
    storm = random_storm(seed)
    draw = random.Random(-seed)
    kind = draw.choice([name for name in KINDS if not name.endswith("minute")])
    limit = max(2.0, min(storm.limit, 200.0))
    return replace(
        storm,
        kind=kind,
        latency=max(storm.latency, limit / 300) if kind == "calls" else storm.latency,
        limit=2.0 * round(limit / 2) if kind in WHOLE else limit,
        concurrency=2 ** max(3, math.ceil(math.log2(5 * (limit if kind == "calls" else limit * storm.latency)))),
        header=draw.choice(["exact", "whole", "short", "none"]),
        change=draw.choice([2.0, 0.5]),
        change_at=draw.uniform(60, 90),
        seconds=170.0,
    )


def outage_storm(seed: int) -> Storm:
    """A server that is away for a minute or ten."""
    draw = random.Random(seed)
    length = draw.choice([60.0, 60.0, 600.0])
    return Storm(
        seed=seed,
        kind="none",
        latency=draw.uniform(0.2, 2.0),
        failure=draw.choice([0.005, 0.1, 1.0]),
        concurrency=draw.choice([8, 12, 32]),
        outage=(40.0, 40.0 + length),
        seconds=40.0 + length + 45,
        rows=1e9,
        max_attempts=6,
        errors=draw.choice([0.0, 0.0, 0.1]),
    )


def error_storm(seed: int) -> Storm:
    """Calls that fail independently."""
    draw = random.Random(seed)
    return Storm(
        seed=seed,
        kind="none",
        latency=draw.uniform(0.1, 2.0),
        failure=draw.uniform(0.05, 2.0),
        concurrency=draw.choice([8, 32, 128]),
        errors=draw.choice([0.1, 0.3, 0.5]),
        rows=1000,
        seconds=100_000.0,
    )


@dataclass(frozen=True)
class Result:
    """A storm in a few figures."""

    group: str
    figures: dict[str, float]


def span_of(storm: Storm) -> tuple[float, float]:
    """Where goodput is measured: from 30 s, and over whole minutes where the limit is of a minute."""
    return (0.0, 180.0) if storm.kind.endswith("minute") else (30.0, storm.seconds)


def play(job: tuple[str, int, str]) -> Result:
    """One storm of the campaign: which sort, its seed, the policy."""
    sort, seed, policy = job
    if sort == "limit":
        storm = random_storm(seed)
        curve = run(storm, policy)
        span = span_of(storm)
        figures = {"goodput": curve.goodput(*span) / storm.reach, "refused": curve.share_refused(*span)}
        by_minute = storm.kind.endswith("minute")
        group = f"{storm.kind}, too long" if by_minute and storm.header == "long" else storm.kind
        return Result(group, figures | {"early": curve.early, "calls": curve.calls})
    if sort == "change":
        storm = changing_storm(seed)
        curve = run(storm, policy)
        new = storm.limit * storm.change / (storm.latency if storm.kind == "calls" else 1)
        seconds = curve.reached(0.9 * new, storm.change_at, 10)
        refused = curve.share_refused(storm.change_at, storm.change_at + 30)
        group = "doubled" if storm.change > 1 else "halved"
        return Result(group, {"seconds": seconds, "refused": refused, "early": curve.early, "calls": curve.calls})
    if sort == "outage":
        storm = outage_storm(seed)
        curve = run(storm, policy)
        before = curve.goodput(25, 40)
        back = curve.reached(0.9 * before, storm.outage[1], 5)
        failed = curve.failed_in_outage - max(0, len(curve.looks) - 3)  # three looks fall into the first minute
        lost = {"lost": curve.lost_to_outage, "by errors": curve.lost - curve.lost_to_outage}
        return Result("outage", {"seconds": back, "failed": failed / storm.concurrency} | lost)
    storm = error_storm(seed)
    curve = run(storm, policy)
    overhead = curve.calls / (storm.rows / (1 - storm.errors))
    lost = storm.rows - curve.rows
    return Result(f"errors {storm.errors:.0%}", {"attempts": overhead, "lost": lost, "openings": curve.openings})


SORTS = ("limit", "limit", "limit", "limit", "limit", "change", "change", "change", "outage", "errors")


def jobs(storms: int, policy: str) -> Iterator[tuple[str, int, str]]:
    for seed in range(storms):
        yield SORTS[seed % len(SORTS)], seed, policy


def summary(results: list[Result]) -> Iterator[str]:
    """A line for each group and figure: the 5th, 50th and 95th of a hundred, the worst, the sum."""
    for group in sorted({result.group for result in results}):
        own = [result.figures for result in results if result.group == group]
        for name in own[0]:
            values = sorted(figures[name] for figures in own)
            parts = [values[int(share * (len(values) - 1))] for share in (0.05, 0.5, 0.95)]
            line = f"{group:26}{name:10}" + "".join(f"{value:10.3f}" for value in parts)
            line += f"{values[0]:10.3f}{values[-1]:10.3f}"
            if name == "goodput":
                line += f"   >=90 %: {statistics.fmean(value >= 0.9 for value in values):6.1%}"
            if name == "refused":
                line += f"   <=5 %:  {statistics.fmean(value <= 0.05 for value in values):6.1%}"
            if name == "seconds":
                goal = {"doubled": 60, "halved": 10}.get(group, 30)
                line += f"   <={goal} s:  {statistics.fmean(value <= goal for value in values):6.1%}"
            yield f"{line}   n={len(values)}"


def main() -> None:
    """The campaign, and the same storms with the two simple policies."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--storms", type=int, default=10_000)
    parser.add_argument("--baseline", type=int, default=500, help="storms for each simple policy")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    for policy in POLICIES:
        count = options.storms if policy == "ours" else options.baseline
        begun = time.perf_counter()
        with multiprocessing.Pool(options.processes) as pool:
            results = pool.map(play, jobs(count, policy), chunksize=10)
        took = time.perf_counter() - begun
        calls = sum(result.figures.get("calls", 0) for result in results)
        print(f"\n{policy}: {count} storms in {took:.1f} s, {count / took * 60:.0f} a minute, {calls:.0f} calls")
        print(f"{'':36}{'5 %':>10}{'median':>10}{'95 %':>10}{'least':>10}{'most':>10}")
        for line in summary(results):
            print(line)


if __name__ == "__main__":
    main()
