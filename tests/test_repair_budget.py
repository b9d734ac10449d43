"""What repairs may cost: of a run and of a record, in tokens and in money, one after the other and side by side."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import extract
from extract import Model, Repair
from extract.records import ChatRequest, Usage
from extract.repair.allowance import Account, Allowance
from extract.testing import Call
from tests.test_repair import GOOD, PRICED, ran, reply

PRICE = 100 * 1e-6 + 10 * 2e-6  # of one repair


def answer(call: Call) -> Any:
    return reply({"total": 12.5} if len(call.body["messages"]) > 1 else GOOD | {"total": -1})


def repairs(folder: Path, concurrency: int = 1, **settings: Any) -> int:
    """How many of ten records were repaired."""
    texts = [f"text {number}" for number in range(10)]
    limits = extract.Limits(concurrency=concurrency)
    more = {"repair": Repair(max_repairs=1, **settings), "model": Model(**PRICED), "limits": limits}
    result, bodies = ran(folder, answer, texts=texts, **more)
    made = sum(len(body["messages"]) > 1 for body in bodies)
    assert (made, 10 - made) == (result.report.ok, result.report.quarantined)
    return made


@pytest.mark.parametrize(
    ("settings", "made"),
    [
        ({"max_tokens": 220}, 2),
        ({"max_tokens": 221}, 3),
        ({"max_cost_usd": 2 * PRICE}, 2),
        ({"max_cost_usd": 2.5 * PRICE}, 3),
        ({"max_cost_usd": 2 * PRICE, "max_tokens": 10_000_000}, 2),
        ({}, 10),
    ],
)
def test_a_cap_that_is_reached_ends_repairs(tmp_path: Path, settings: dict[str, Any], made: int) -> None:
    """Reached is reached: at the cap, not beyond it."""
    assert made == repairs(tmp_path, **settings)


@pytest.mark.parametrize("settings", [{"max_tokens": 250}, {"max_cost_usd": 2.5 * PRICE}])
def test_a_cap_holds_side_by_side(tmp_path: Path, settings: dict[str, Any]) -> None:
    """What is under way is held back, so that eight at once pass it no further than one."""
    assert 3 == repairs(tmp_path, concurrency=8, **settings)


def test_a_record_has_a_cap_in_money(tmp_path: Path) -> None:
    """Repairs alone are in it; what the first answer cost is not."""
    answers = [reply(GOOD | {"total": number}) for number in (-1, -2, -3, -4)]
    bodies = [reply({"total": number}) for number in (-2, -3, -4)]
    repair = Repair(max_repairs=5, max_cost_usd_per_record=2 * PRICE)
    _, asked = ran(tmp_path, [answers[0], *bodies], repair=repair, model=Model(**PRICED))
    assert 3 == len(asked)


def test_what_is_settled_is_not_held_any_more() -> None:
    """Repairs that have ended are in nobody's way, those without an answer too."""

    async def granted() -> list[Usage | None]:
        allowance, request, model = Allowance(Repair(max_tokens=5_000)), ChatRequest(b"{}", "a"), Model(max_tokens=1000)
        for used in (None, Usage(10, 10), None, None):
            held = await allowance.take(request, model, Account())
            assert held is not None
            await allowance.settle(held, model, used)
        assert (20, 0.0) == (allowance.spent.tokens, allowance.spent.cost_usd)
        both = (allowance.take(request, model, Account()) for _ in range(4))
        return list(await asyncio.wait_for(asyncio.gather(*both), 5))

    assert all(asyncio.run(granted()))


def test_one_waits_until_there_is_room() -> None:
    """And begins when another ends, or is told that nothing is left."""

    async def waits(used: Usage) -> Usage | None:
        allowance, request, model = Allowance(Repair(max_tokens=1_500)), ChatRequest(b"{}", "a"), Model(max_tokens=1000)
        first = await allowance.take(request, model, Account())
        second = asyncio.ensure_future(allowance.take(request, model, Account()))
        await asyncio.sleep(0.01)
        assert first is not None
        assert not second.done()
        await allowance.settle(first, model, used)
        return await asyncio.wait_for(second, 5)

    assert asyncio.run(waits(Usage(100, 10))) is not None
    assert asyncio.run(waits(Usage(1_500, 10))) is None
