"""What a run may spend, and what its calls in flight hold back."""

from __future__ import annotations

import re
from typing import Any

import pytest

from extract.budget import HEED, Budget
from extract.config import Limits, Model
from extract.errors import RunStopped
from extract.records import Usage

PRICED = Model(max_tokens=100, input_usd_per_million=1000, output_usd_per_million=2000)
USED = Usage(10, 5)  # 0.02 USD


def budget(**caps: Any) -> Budget:
    return Budget(Limits(**caps), PRICED)


def spend(account: Budget, calls: int, used: Usage = USED, guessed: int = 10) -> None:
    for _ in range(calls):
        assert account.has_room(guessed, 0.0)
        account.answered(account.hold(guessed), used)


@pytest.mark.parametrize(
    ("caps", "calls", "message"),
    [
        ({"max_requests": 3}, 3, "3 requests made, the cap of this run (raise limits.max_requests)"),
        ({"max_cost_usd": 0.05}, 3, "0.0600 USD spent, the cap of this run (raise limits.max_cost_usd)"),
        ({"max_total_tokens": 45}, 3, "45 tokens used, the cap of this run (raise limits.max_total_tokens)"),
    ],
)
def test_a_cap_that_is_reached_stops_the_run(caps: dict[str, Any], calls: int, message: str) -> None:
    """One call alone may pass it, by what it costs."""
    account = budget(**caps)
    spend(account, calls)
    with pytest.raises(RunStopped, match=f"^{re.escape(message)}$"):
        account.has_room(10, 0.0)


def test_the_time_of_a_run_begins_with_its_first_call() -> None:
    account = budget(max_seconds=60)
    assert account.has_room(10, 1000.0)
    assert account.has_room(10, 1059.0)
    with pytest.raises(RunStopped, match=r"^60 seconds passed, the cap of this run \(raise limits.max_seconds\)$"):
        account.has_room(10, 1060.0)


def test_beside_others_a_call_begins_only_when_all_fit_below_the_cap() -> None:
    """As long as no answer tells, each holds back the most that it can use: here 10 tokens in and 100 out."""
    account = budget(max_total_tokens=250)
    first = account.hold(10)
    assert account.has_room(10, 0.0)
    second = account.hold(10)
    assert not account.has_room(10, 0.0)
    account.answered(first, USED)
    assert account.has_room(10, 0.0)
    account.answered(second, USED)
    assert Usage(20, 10) == account.spent


def test_answers_tell_what_the_next_calls_will_use() -> None:
    """Their output on average, and how far the guess of their input was off."""
    account = budget(max_total_tokens=10_000)
    spend(account, HEED, Usage(20, 4), guessed=10)
    assert Usage(60, 4) == account.hold(30).usage


@pytest.mark.parametrize(
    ("end", "spent"),
    [
        (lambda account, hold: account.answered(hold, USED), USED),
        (lambda account, hold: account.answered(hold, Usage()), Usage(10, 100)),
        (lambda account, hold: account.lost(hold), Usage(10, 100)),
        (lambda account, hold: account.refused(hold), Usage()),
    ],
    ids=["answered", "without usage", "lost", "refused"],
)
def test_a_call_counts_as_what_it_may_be_billed(end: Any, spent: Usage) -> None:
    """An answer that does not say what it used, and a call that timed out, count as what they held."""
    account = budget(max_total_tokens=1000)
    end(account, account.hold(10))
    assert (spent, 1) == (account.spent, account.requests)
    again = account.hold(10)
    account.answered(again, USED)
    assert spent + USED == account.spent


def test_without_caps_there_is_always_room() -> None:
    account = budget()
    spend(account, 1000)
    assert account.has_room(10**9, 0.0)


def test_without_prices_nothing_costs() -> None:
    account = Budget(Limits(max_cost_usd=0.01), Model())
    for _ in range(10):
        assert account.has_room(10, 0.0)
        account.answered(account.hold(10), USED)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "name",
    ["requests_per_minute", "tokens_per_minute", "max_cost_usd", "max_total_tokens", "max_seconds", "outage_timeout"],
)
def test_limits_that_cannot_be_are_refused(name: str, value: float) -> None:
    from extract.errors import ConfigError

    with pytest.raises(ConfigError, match=rf"Limits\.{name}: "):
        Limits(**{name: value})


def test_a_dearer_model_of_the_same_run_counts_with_its_own_price() -> None:
    """Tokens of one are not tokens of the other, held or spent."""
    dear = Model(max_tokens=100, input_usd_per_million=10_000, output_usd_per_million=20_000)
    account = Budget(Limits(max_cost_usd=3), PRICED, {"dear": dear})
    account.answered(account.hold(10), Usage(10, 5))
    held = account.hold(10, "dear")  # as it looks 10 tokens in and 100 out: 2.1 USD
    assert account.has_room(10, 0.0)
    assert not account.has_room(10, 0.0, "dear")
    account.answered(held, Usage(10, 200))  # 4.1 USD
    assert Usage(20, 205) == account.spent
    with pytest.raises(RunStopped, match=r"4\.1200 USD spent"):
        account.has_room(10, 0.0)
