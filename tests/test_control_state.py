"""What a controller has learned, as numbers that another takes over."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from extract.control import (
    NOW,
    Answered,
    Cancelled,
    Controller,
    Limited,
    LoadRules,
    Refused,
    Troubled,
    bound,
    learn,
    numbers_of,
)
from extract.control.state import LENGTH


def known(control: Controller) -> dict[str, Any]:
    """Everything that it and its parts hold, but what they were made with."""
    parts = [
        control,
        *(value for value in vars(control).values() if type(value).__module__.startswith("extract.control")),
    ]
    made = {"rules", "_rules", "_jitter", "_began", "_first", "_longest"}
    return {
        f"{type(part).__name__}.{name}": value
        for part in parts
        if not isinstance(part, LoadRules)
        for name, value in vars(part).items()
        if name not in made and not type(value).__module__.startswith("extract.control")
    }


def test_what_a_controller_has_learned_can_be_taken_over() -> None:
    """At any moment of a storm another one goes on with the same answers, whatever it knew itself."""
    chance = Random(3)
    for seed in range(40):
        first = Controller(LoadRules(concurrency=16, requests_per_minute=6000 if seed % 2 else None), 0.0, lambda: 0.0)
        now, flying = 0.0, []
        ends = [Answered(10), Answered(None), Limited(0.5), Limited(None), Troubled("503"), Refused(), Cancelled()]
        weights = [20, 5, 1, 1, 12 if seed % 5 == 0 else 1, 1, 1]
        for step in range(300):
            now += chance.uniform(0, 0.05)
            if step % 50 == 49:
                second = Controller(first.rules, now + 5, lambda: 0.0)
                learn(second, numbers_of(first))
                second.in_flight = first.in_flight
                assert known(first) == known(second)
                first = second
            if first.may_start(now, 10) == NOW:
                flying.append(first.started(now, 10))
            elif flying:
                first.finished(flying.pop(chance.randrange(len(flying))), now, *chance.choices(ends, weights))


@pytest.mark.parametrize("change", [lambda numbers: numbers[:-1], lambda numbers: [math.nan, *numbers[1:]]])
def test_numbers_that_no_controller_wrote_are_refused(change: Any) -> None:
    control = Controller(LoadRules(), 0.0)
    with pytest.raises(ValueError, match=r"not all there|no number"):
        learn(control, change(list(numbers_of(control))))


def test_who_knows_more_permits_than_are_allowed_here_keeps_to_fewer() -> None:
    """And a ceiling that was never reached is the one of the rules."""
    many, few = (Controller(LoadRules(concurrency=number), 0.0) for number in (64, 4))
    for _ in range(200):
        many.finished(many.started(0.0), 0.1, Answered())
    learn(few, numbers_of(many))
    assert (4, 4) == (few.window, few.most_in_flight(0.2))
    learn(many, numbers_of(few))
    assert 64 == many._cap.limit


@pytest.mark.parametrize("value", [-math.inf, math.inf, -1.0, 0.0, 1e18, 1e300])
def test_nobody_waits_for_ever_for_what_another_wrote(value: float) -> None:
    """Whatever number it is: it is refused, or heeded within bounds; nothing else is raised."""
    for place in range(LENGTH):
        writer = Controller(LoadRules(requests_per_minute=600, tokens_per_minute=6000), 0.0, lambda: 0.0)
        for now, end in ((0.0, Answered(10)), (0.1, Limited(0.5)), (1.0, Answered(10))):
            writer.finished(writer.started(now, 10), now, end)
        numbers = numbers_of(writer)
        numbers[place] = value
        reader = Controller(writer.rules, 1.0, lambda: 0.0)
        try:
            learn(reader, numbers)
        except ValueError:
            continue
        bound(reader, 1.0, 60.0)
        assert NOW == reader.may_start(62.0, 10), place
        reader.finished(reader.started(62.0, 10), 62.1, Answered(10))
        assert math.isfinite(reader.may_start(62.1, 10)), place
