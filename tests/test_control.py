"""The load controller: single decisions, then storms in virtual time."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extract.control import (
    AFTER_ANOTHER,
    NOW,
    Answered,
    Cancelled,
    Controller,
    Limited,
    LoadRules,
    Refused,
    Suspects,
    Ticket,
    Troubled,
    Verdict,
)
from extract.errors import ConfigError
from tests.storms import KINDS, Storm, jobs, outage_storm, play, run, span_of

PER_SECOND = [kind for kind in KINDS if not kind.endswith("minute")]


def controller(**rules: float) -> Controller:
    return Controller(LoadRules(**{"concurrency": 64, **rules}), 0.0, lambda: 0.0)


def fill(control: Controller, now: float, tokens: float = 0) -> list[Ticket]:
    """Begin as many calls as may begin at this moment."""
    tickets = []
    while control.may_start(now, tokens) == NOW:
        tickets.append(control.started(now, tokens))
    return tickets


def serve(control: Controller, begin: float, end: float, latency: float = 0.1) -> int:
    """Answer every call between two moments, one after another; how many there were."""
    now, calls = begin, 0
    while now < end:
        wait = control.may_start(now)
        if wait:
            now += wait
            continue
        control.finished(control.started(now), now + latency, Answered())
        now += latency
        calls += 1
    return calls


def fail(control: Controller, now: float, calls: int) -> list[Verdict]:
    """Calls that fail one after another."""
    return [control.finished(control.started(now), now, Troubled()) for _ in range(calls)]


@pytest.mark.parametrize("name", LoadRules.__slots__)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_impossible_rules(name: str, value: float) -> None:
    """Limits of zero, below it, without end or that are no number are refused by name."""
    with pytest.raises(ConfigError, match=name):
        LoadRules(**{name: value})


def test_window_doubles() -> None:
    """The window begins small and doubles with each clean round, up to the ceiling."""
    control = controller(concurrency=50)
    rounds = []
    for now in range(5):
        tickets = fill(control, float(now))
        rounds.append(len(tickets))
        assert AFTER_ANOTHER == control.may_start(float(now))
        for ticket in tickets:
            control.finished(ticket, now + 0.5, Answered())
    assert [8, 16, 32, 50, 50] == rounds


def test_errors_pause_growth() -> None:
    """A failed call neither grows nor shrinks the window."""
    control = controller()
    for ticket in fill(control, 0.0):
        control.finished(ticket, 0.1, Troubled("503"))
    assert 8 == control.window
    assert 8 == len(fill(control, 0.2))


def test_retry_after_is_one_pause() -> None:
    """What the server asks for holds for all calls; the longest counts, and then one call goes ahead."""
    control = controller()
    tickets = fill(control, 0.0)
    assert Verdict.PARK is control.finished(tickets[0], 0.1, Limited(5.0))
    control.finished(tickets[1], 0.2, Limited(3.0))
    control.finished(tickets[2], 0.3, Limited(7.0))
    assert 7.0 == pytest.approx(control.may_start(0.3))
    assert control.may_start(7.2) > 0
    assert NOW == control.may_start(7.3)
    control.started(7.3)
    assert control.may_start(7.3) > 0


@pytest.mark.parametrize("asked", [None, 0.0, -3.0, math.nan])
def test_no_retry_after(asked: float | None) -> None:
    """A refusal that names no time to wait is met by a pause all the same, which grows when it was too short."""
    control = controller()
    now, waits = 0.0, []
    for _ in range(4):
        control.finished(control.started(now), now + 0.01, Limited(asked))
        waits.append(round(control.may_start(now + 0.01), 2))
        now += 0.01 + waits[-1]
    assert [0.25, 0.5, 1.0, 2.0] == waits


def test_retry_after_is_bounded() -> None:
    """A server cannot stop a run for a year."""
    control = controller(max_retry_after=60)
    control.finished(control.started(0.0), 0.0, Limited(math.inf))
    assert 60.0 == control.may_start(0.0)


def test_one_decrease_per_episode() -> None:
    """Calls that were in flight when the pace was lowered do not lower it again."""
    control = controller()
    serve(control, 0.0, 2.0)
    tickets = fill(control, 2.0)
    control.finished(tickets[0], 2.01, Limited(1.0))
    pace = control.pace(2.5)
    for ticket in tickets[1:]:
        control.finished(ticket, 2.02, Limited(1.0))
    assert pace == control.pace(2.5)
    assert math.isfinite(pace)


@pytest.mark.parametrize("hours", [1, 5, 24 * 30])
def test_a_window_that_was_refused_once_grows_for_as_long_as_a_run_takes(hours: int) -> None:
    """After hours without another refusal all that is allowed is in flight again."""
    control = controller()
    for begin in (0.0, 1.0, 2.0):
        tickets = fill(control, begin)
        for ticket in tickets[:-1]:
            control.finished(ticket, begin + 0.1, Answered())
        control.finished(tickets[-1], begin + 0.2, Limited(1.0) if begin == 2.0 else Answered())
    assert len(tickets) - 1 == control.window
    serve(control, 4.0, 5.0)
    assert 64 == len(fill(control, hours * 3600.0))


def test_requests_per_minute() -> None:
    """Starts are spaced evenly: never more in a minute than allowed."""
    control = controller(requests_per_minute=120)
    assert 120 == serve(control, 0.0, 60.0, latency=0.001)


def test_tokens_per_minute() -> None:
    """Tokens are taken by the estimate and settled by the answer."""
    control = controller(tokens_per_minute=6000, concurrency=1000)
    first = control.started(0.0, 1000)  # more than is there at once: the next one waits for it
    assert 10.0 == pytest.approx(control.may_start(0.0, 1000))
    control.finished(first, 0.0, Answered(200))
    assert 2.0 == pytest.approx(control.may_start(0.0, 1000))
    second = control.started(2.0, 1000)
    control.finished(second, 2.0, Limited())  # a refused call has used none
    third = control.started(3.0, 100)
    control.finished(third, 3.0, Answered(5000))
    assert 50.0 == pytest.approx(control.may_start(3.0, 100))


def test_opens_and_looks() -> None:
    """Failures in a row open the breaker; single calls look, ever more rarely, and one answer closes it."""
    control = controller(concurrency=8)
    assert [Verdict.COUNT] * 16 + [Verdict.PARK] == fail(control, 1.0, 17)
    assert control.is_open
    looks, now = [], 1.0
    for _ in range(5):
        now += control.may_start(now)
        looks.append(now)
        ticket = control.started(now)
        assert AFTER_ANOTHER == control.may_start(now)
        assert Verdict.PARK is control.finished(ticket, now, Troubled())
    assert [6.0, 16.0, 36.0, 66.0, 96.0] == looks
    assert 95.0 == control.outage_seconds(96.0)
    now += control.may_start(now)
    control.finished(control.started(now), now, Refused())  # any word from the server will do
    assert not control.is_open
    assert 0.0 == control.outage_seconds(now)


def test_late_failures_are_parked() -> None:
    """A call that began in an outage and fails after it counts for no record and opens nothing."""
    control = controller(concurrency=8)
    late = control.started(0.5)
    fail(control, 1.0, 17)
    now = 1.0 + control.may_start(1.0)
    control.finished(control.started(now), now, Answered())
    assert Verdict.PARK is control.finished(late, now + 30, Troubled("timeout"))


def test_old_answers_close_nothing() -> None:
    """An answer that was under way when an outage began neither hides nor ends it."""
    control = controller(concurrency=8)
    old = [control.started(0.0), control.started(0.0)]
    fail(control, 1.0, 16)
    control.finished(old[0], 1.1, Answered())
    fail(control, 1.2, 1)
    assert control.is_open
    control.finished(old[1], 1.3, Answered())
    assert control.is_open


def test_cancelled_look() -> None:
    """A look that is given up is followed by another."""
    control = controller(concurrency=8)
    fail(control, 0.0, 17)
    control.finished(control.started(5.0), 5.5, Cancelled())
    assert 10.5 == 5.5 + control.may_start(5.5)
    assert 0 == control.in_flight


def test_only_refusals_is_an_outage_too() -> None:
    """A server that refuses for its rate and serves nothing is given up in the end."""
    control = controller()
    now = 0.0
    while now < 100:
        control.finished(control.started(now), now, Limited(10.0))
        now += control.may_start(now)
    assert control.outage_seconds(now) >= 100


def test_retries_are_rationed_when_most_fail() -> None:
    """When nine of ten calls fail, retries are a tenth of first calls; when all is well they are free."""
    control = controller(concurrency=256)
    begun = {True: 0, False: 0}
    for number in range(4000):
        now = number / 1000
        retry = control.may_start(now, retry=True) == NOW
        ticket = control.started(now, retry=retry)
        if number >= 200:  # by then it is known
            begun[retry] += 1
        control.finished(ticket, now, Answered() if number % 10 == 9 else Troubled())
    assert begun[False] > 3000
    assert begun[True] <= 0.1 * begun[False] + 4  # and one a second
    serve(control, 4.0, 10.0)
    for _ in range(10):  # more than one a second
        assert NOW == control.may_start(10.0, retry=True)
        control.started(10.0, retry=True)


EVENTS = st.lists(
    st.tuples(
        st.floats(0, 5),
        st.sampled_from(["start", "end"]),
        st.sampled_from([Answered(7), Limited(), Limited(2.0), Limited(0.001), Troubled("x"), Refused(), Cancelled()]),
        st.integers(0, 10),
    ),
    max_size=300,
)


@given(EVENTS, st.sampled_from([1, 2, 8, 40]), st.sampled_from([None, 60.0, 6000.0]))
@settings(max_examples=200, deadline=None)
def test_never_stuck(events: list[tuple[float, str, object, int]], permits: int, per_minute: float | None) -> None:
    """Whatever happens: never more in flight than permitted, none within a pause, and with none in flight a call may
    begin after a finite wait."""
    control = controller(concurrency=permits, requests_per_minute=per_minute, tokens_per_minute=per_minute)
    now, quiet_until = 0.0, 0.0
    tickets: list[Ticket] = []
    for step, what, end, which in events:
        now += step
        if what == "start":
            wait = control.may_start(now, 5)
            if not tickets:
                assert math.isfinite(wait)
            if wait == NOW:
                assert now >= quiet_until - 1e-5
                tickets.append(control.started(now, 5))
        elif tickets:
            control.finished(tickets.pop(which % len(tickets)), now, end)
            if isinstance(end, Limited) and end.retry_after:
                quiet_until = max(quiet_until, now + end.retry_after)
        assert len(tickets) == control.in_flight <= permits
    for ticket in tickets:
        control.finished(ticket, now, Answered())
    waits = 0
    while wait := control.may_start(now, 5):
        assert math.isfinite(wait)
        now += wait
        waits += 1
        assert waits < 10


def test_same_events_same_decisions() -> None:
    """A storm played twice is the same storm."""
    storm = Storm(kind="second", header="none", seconds=30)
    assert run(storm) == run(storm)


@pytest.mark.parametrize(
    ("storm", "begin"),
    [
        *((Storm(kind=kind, limit=30.0, latency=0.3, seconds=120), 30) for kind in PER_SECOND),
        *((Storm(kind=kind, limit=20.0, seconds=180), 0) for kind in KINDS if kind not in PER_SECOND),
    ],
    ids=lambda given: given.kind if isinstance(given, Storm) else None,
)
@pytest.mark.parametrize("header", ["exact", "whole", "short", "none"])
def test_unknown_limit(storm: Storm, begin: int, header: str) -> None:
    """Nine tenths of an unknown limit, from 30 s on or, of a quota of a minute, over whole minutes; at most one refusal
    in twenty, no call before Retry-After ends."""
    curve = run(replace(storm, header=header))
    end = int(storm.seconds)
    assert 0 == curve.early
    assert curve.goodput(begin, end) >= 0.9 * storm.reach
    assert curve.share_refused(begin, end) <= 0.05


@pytest.mark.parametrize("kind", PER_SECOND)
def test_pauses_that_are_too_long(kind: str) -> None:
    """A server that asks for three times the wait that it needs is obeyed, and costs no more than a seventh."""
    storm = Storm(kind=kind, header="long", limit=30.0, latency=0.3, seconds=120)
    curve = run(storm)
    assert 0 == curve.early
    assert curve.goodput(30, 120) >= storm.reach * 6 / 7
    assert curve.share_refused(30, 120) <= 0.05


@pytest.mark.parametrize("kind", PER_SECOND)
def test_limit_doubled(kind: str) -> None:
    """A limit that doubles is found within a minute."""
    storm = Storm(kind=kind, limit=20.0, seconds=170, change_at=75.3, change=2.0)
    new = 2 * storm.limit / (storm.latency if kind == "calls" else 1)
    assert run(storm).reached(0.9 * new, storm.change_at, 10) <= 60


@pytest.mark.parametrize("kind", [kind for kind in PER_SECOND if kind != "calls"])
def test_limit_halved(kind: str) -> None:
    """A limit per second that halves is met within ten seconds."""
    storm = Storm(kind=kind, limit=20.0, seconds=140, change_at=75.3, change=0.5)
    curve = run(storm)
    assert curve.reached(0.9 * storm.limit / 2, storm.change_at, 10) <= 10
    assert curve.share_refused(storm.change_at, storm.change_at + 30) <= 0.06


@pytest.mark.parametrize("seconds", [60, 600])
@pytest.mark.parametrize("permits", [16, 64, 256])
def test_outage(seconds: int, permits: int) -> None:
    """An outage of a minute costs three failed calls per permit and no row; the rate is back 30 s after it."""
    end = 30.0 + seconds
    storm = Storm(
        kind="none", concurrency=permits, outage=(30.0, end), seconds=end + 50, rows=1e9, max_attempts=6, latency=0.5
    )
    curve = run(storm)
    assert 1 == curve.openings
    assert 0 == curve.lost
    assert curve.failed_in_outage - max(0, len(curve.looks) - 3) <= 3 * permits
    assert all(later - earlier >= 5 for earlier, later in zip(curve.looks, curve.looks[1:], strict=False))
    assert curve.reached(0.9 * curve.goodput(20, 30), end, 3) <= 30


# In each of them, rows that had failed by themselves met the beginning of the outage.
@pytest.mark.parametrize("seed", [545, 1385, 4181, 4674, 4741, 5086, 6478])
def test_no_row_is_lost_to_an_outage(seed: int) -> None:
    """What failed before the breaker opened is given back, and the last attempt waits until it is known."""
    curve = run(outage_storm(seed))
    assert 1 <= curve.openings
    assert (0, 0) == (curve.lost, curve.lost_to_outage)


def test_suspects() -> None:
    """Failures in a row are under suspicion until a later call is served, or the breaker opens over them."""
    control, suspects = controller(concurrency=8), Suspects[str]()

    def fails(name: str, begun: float, now: float) -> None:
        ticket = control.started(begun)
        assert Verdict.COUNT is control.finished(ticket, now, Troubled())
        suspects.add(now, name)

    fails("a", 0.0, 1.0)
    control.finished(control.started(1.0), 1.5, Answered())
    assert [("a", False)] == list(suspects.known(control))
    fails("b", 2.0, 2.5)
    assert ([], 1, ["b"]) == (list(suspects.known(control)), len(suspects), list(suspects))
    fail(control, 3.0, 30)
    assert control.is_open
    assert [("b", True)] == list(suspects.known(control))


def test_a_pause_that_one_request_is_told_says_nothing_of_the_pace() -> None:
    """Everybody waits, and goes on as if the clock had stood still."""
    control, same = controller(), controller()
    for each in (control, same):
        tickets = fill(each, 0.0)
        each.finished(tickets[0], 0.1, Limited(1.0))
        for ticket in tickets[1:]:
            each.finished(ticket, 0.2, Answered())
        serve(each, 1.2, 10.0)
    begun, twin = control.started(20.0), same.started(20.0)
    control.finished(begun, 20.1, Refused(7.0))
    same.finished(twin, 20.1, Refused())
    assert 7.0 == pytest.approx(control.may_start(20.1))
    assert not control.is_calm(27.5)
    assert same.pace(20.2) == pytest.approx(control.pace(27.2))
    assert same.may_start(20.1) == pytest.approx(max(0.0, control.may_start(27.1)), abs=1e-9)


@pytest.mark.parametrize("permits", [8, 32, 128])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_independent_errors(permits: int, share: float) -> None:
    """Errors of single calls: every row passes, with 5 % more attempts than there must be, and no breaker opens."""
    storm = Storm(kind="none", concurrency=permits, errors=share, rows=10_000, seconds=1e5, failure=0.2, seed=permits)
    curve = run(storm)
    assert storm.rows == curve.rows
    assert curve.calls <= 1.05 * storm.rows / (1 - share)
    assert 0 == curve.openings


def test_better_than_simple_policies() -> None:
    """More goodput and fewer refusals than a window alone, or a pause of ten seconds."""
    storms = [
        Storm(kind=kind, header=header, limit=30.0, seconds=90) for kind in PER_SECOND for header in ("exact", "none")
    ]
    found = {}
    for policy in ("ours", "inspect", "curator"):
        curves = [run(storm, policy) for storm in storms]
        goodput = statistics.fmean(curve.goodput(30, 90) / curve.storm.reach for curve in curves)
        found[policy] = (goodput, statistics.fmean(curve.share_refused(30, 90) for curve in curves))
    for other in ("inspect", "curator"):
        assert found["ours"][0] > found[other][0] + 0.1
        assert found["ours"][1] < found[other][1] / 3


def test_campaign() -> None:
    """Two hundred storms of every sort: none begins a call before it may, none loses a row."""
    results = [play(job) for job in jobs(200, "ours")]
    assert 0 == sum(result.figures.get("early", 0) for result in results)
    assert 0 == sum(result.figures.get("lost", 0) for result in results)
    by_rate = [
        result.figures for result in results if result.group in ("bucket", "tight bucket", "second", "sliding second")
    ]
    assert statistics.median(figures["goodput"] for figures in by_rate) >= 0.9
    assert statistics.median(figures["refused"] for figures in by_rate) <= 0.05
    outages = [result.figures["seconds"] for result in results if result.group == "outage"]
    assert statistics.median(outages) <= 30


def test_span() -> None:
    """Goodput is measured from 30 s on, and over whole minutes for quotas of a minute."""
    assert (30.0, 90.0) == span_of(Storm())
    assert (0.0, 180.0) == span_of(replace(Storm(), kind="minute"))


@pytest.mark.parametrize("share", [0.005, 0.01, 0.03])
def test_refusals_that_come_whatever_the_pace_is_do_not_slow_a_run_to_nothing(share: float) -> None:
    """As when a gateway passes on those of an upstream that others overload."""
    found = []
    for seed in range(6):
        storm = Storm(kind="noise", noise=share, seed=seed, concurrency=32, latency=0.2, header="none", seconds=120)
        found.append(run(storm).goodput(30, 120) / storm.reach)
    assert statistics.median(found) >= 0.9
