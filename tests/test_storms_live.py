"""The storms on real sockets, short: low limits, outages of seconds. `make storm` plays the long ones to the real bounds.

All are played at once, since they mostly wait. What depends on the machine has looser bounds here, all else has not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.storms_live import (
    ERRORS,
    FATAL,
    HEADERS,
    MOST_CALLS,
    QUICK,
    Played,
    Scene,
    found_errors,
    found_fatal,
    found_limit,
    play_all,
)
from tests.weather import Weather

LIMITED = Weather(kind="bucket", limit=30, latency=0.1, spread=0.4, seed=3)
DOWN = Weather(latency=0.1, spread=0.4, outage=(4.0, 12.0), seed=7)
C = 16
POISON = Weather(latency=0.02, poison=20, poison_fault=("500", "broken", "reset"), seed=13)
TAIL = Weather(latency=0.02, errors=0.02, faults=("hang", "drip"), seed=17)


def scenes() -> list[Scene]:
    """The slow ones first."""
    limits = [
        Scene(group="limit", label=header, weather=replace(LIMITED, header=header), concurrency=64, seconds=22, find=10)
        for header in HEADERS
    ]
    outages = [
        Scene(group="outage", label=kind, weather=replace(DOWN, outage_kind=kind), concurrency=C, seconds=26)
        for kind in ("503", "closed", "reset")
    ]
    errors = [
        Scene(
            group="errors",
            label=str(share),
            weather=Weather(latency=0.02, errors=share, faults=ERRORS, seed=11),
            concurrency=64,
            rows=1000,
            retry=QUICK,
        )
        for share in MOST_CALLS
    ]
    broke = Weather(latency=0.02, fatal_from=40)
    fatal = [
        Scene(group="fatal", label=status, weather=replace(broke, fatal=status), rows=200, concurrency=C)
        for status in FATAL
    ]
    quick = QUICK.replaced({"max_attempts": 4})
    others = [
        Scene(group="others", label="poison", weather=POISON, concurrency=C, rows=400, retry=quick),
        Scene(group="others", label="tail", weather=TAIL, concurrency=64, rows=600, timeout=1.5),
    ]
    return [replace(each, rows=min(each.rows, 3000)) for each in (*limits, *outages, *errors, *fatal, *others)]


@pytest.fixture(scope="module")
def played() -> Mapping[tuple[str, str], Played]:
    given = scenes()
    found = play_all(given, processes=6)
    return {(one.scene.group, one.scene.label): one for one in found}


Stormy = Mapping[tuple[str, str], Played]


@pytest.mark.timeout(150)
@pytest.mark.parametrize("header", HEADERS)
def test_an_unknown_limit_is_found(played: Stormy, header: str) -> None:
    """Within 10 s here, at 30 calls a second: most of it is used, little is refused, no call begins too early."""
    found = list(found_limit(played["limit", header]))
    assert 0 == played["limit", header].early
    assert 0 == played["limit", header].report.quarantined
    span = 10, 21
    assert 0.75 * LIMITED.limit <= played["limit", header].goodput(*span), found
    assert 0.1 >= played["limit", header].share_refused(*span), found


@pytest.mark.parametrize("kind", ["503", "closed", "reset"])
def test_an_outage_costs_few_calls_and_no_row(played: Stormy, kind: str) -> None:
    """Three failed calls for each permit, whatever the outage looks like; then the rate comes back.

    Four where the server closes its connections: it takes a loaded machine a moment, and what is answered meanwhile
    says that there is no outage yet.
    """
    outage = played["outage", kind]
    assert (4 if kind == "closed" else 3) * C >= outage.failed
    assert 0 == outage.report.quarantined
    assert 12 > outage.reached(0.5 * outage.goodput(2, 4), DOWN.outage[1], 1)


@pytest.mark.parametrize("share", [str(share) for share in MOST_CALLS])
def test_independent_errors_cost_what_they_must(played: Stormy, share: str) -> None:
    """All rows ok, and every call on the account. In 1,000 rows the number of errors is uncertain to 5 %."""
    found = played["errors", share]
    assert [] == [each for each in list(found_errors(found))[1:] if not each.met]
    assert MOST_CALLS[float(share)] * 1.05 >= found.ledger.calls / found.scene.rows


@pytest.mark.parametrize("status", FATAL)
def test_what_fails_for_every_record_is_a_pause(played: Stormy, status: str) -> None:
    """At most C calls after the first, nothing in the quarantine, exit code 4."""
    assert [] == [each for each in found_fatal(played["fatal", status]) if not each.met]


def test_poisoned_rows_take_no_more_than_their_attempts(played: Stormy) -> None:
    """And nobody else ends in the quarantine."""
    found = played["others", "poison"]
    assert (4, 20, 380) == (found.ledger.most_of_poisoned, found.report.quarantined, found.report.ok)


def test_calls_that_hang_or_drip_end_by_their_deadline(played: Stormy) -> None:
    """All rows come out, and each such call counts as one that may be billed."""
    found = played["others", "tail"]
    assert 600 == found.report.ok
    assert 0 < found.ledger.ambiguous == found.report.ambiguous
