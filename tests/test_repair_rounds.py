"""Repairs at their edges: what a request names, how room grows, what of a reply is taken, when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

import extract
from extract import Issue, Model, Repair
from extract.testing import Call, Reply
from tests.test_repair import CHEAP, GOOD, STRONG, asked_fields, efforts, flags, ran, reply

CUT = reply('{"company": "AC', "length")
DOWN = Reply({"error": {"message": "x"}}, 503)


@pytest.mark.parametrize(("count", "last"), [(20, "- $.total: wrong 19"), (21, "- and 1 more"), (25, "- and 5 more")])
def test_a_request_names_twenty_issues(tmp_path: Path, count: int, last: str) -> None:
    """And how many more there are."""

    def wrong(value: Any, record: Any) -> Iterator[Issue]:
        for number in range(count if value.total > 99 else 0):
            yield Issue("semantic", "semantic.wrong", "$.total", f"wrong {number}", severity="repair")

    _, (_, second) = ran(tmp_path, [reply(GOOD | {"total": 100}), reply({"total": 1})], checks=[wrong])
    lines = second["messages"][-1]["content"].splitlines()
    assert (last, 20) == (lines[-2], sum(": wrong " in line for line in lines))


def test_room_is_doubled_each_time(tmp_path: Path) -> None:
    """Up to the longest answer, and that too; all else of the model stays."""
    model = Model(max_tokens=100, temperature=0.3)
    repair = Repair(max_repairs=9, longest_answer=800)
    _, bodies = ran(tmp_path, [CUT] * 4, model=model, repair=repair)
    assert [100, 200, 400, 800] == [body["max_tokens"] for body in bodies]
    assert {0.3} == {body["temperature"] for body in bodies}


def test_room_grows_by_what_was_cut_alone(tmp_path: Path) -> None:
    """Another repair before it does not count."""
    _, bodies = ran(tmp_path, [reply("none"), CUT, reply(GOOD)], model=Model(max_tokens=100))
    assert [100, 100, 200] == [body["max_tokens"] for body in bodies]


def test_an_answer_that_is_empty_without_thoughts_is_left(tmp_path: Path) -> None:
    """More room would not help."""
    result, bodies = ran(tmp_path, [reply("")])
    assert (1, ["output.empty"]) == (len(bodies), result.quarantine["reason"].to_pylist())


@pytest.mark.parametrize("usage", [{"reasoning_content": "hm"}, {}], ids=["thoughts", "none"])
def test_an_empty_answer_that_says_stop(tmp_path: Path, usage: dict[str, Any]) -> None:
    """Is asked for again when it was all thoughts."""
    _, bodies = ran(tmp_path, [reply("", **usage), reply(GOOD)], model=Model(max_tokens=100))
    assert (2 if usage else 1) == len(bodies)


def test_only_what_was_asked_for_is_taken_of_a_reply(tmp_path: Path) -> None:
    """Nothing that was right is changed by the way."""
    result, _ = ran(tmp_path, [reply(GOOD | {"total": -1}), reply({"total": 12.5, "company": "OTHER"})])
    assert ["ACME"] == result.table["company"].to_pylist()


class Spelt(BaseModel):
    net: float = Field(alias="netAmount")
    other: float = 0.0


@pytest.mark.parametrize("path", ["$.net", "$.netAmount", "$['netAmount']"])
def test_a_check_may_name_a_field_either_way(tmp_path: Path, path: str) -> None:
    """As the model calls it, or as the answer does."""

    def high(value: Any, record: Any) -> Issue | None:
        return Issue("semantic", "semantic.high", path, "high", severity="repair") if value.net > 9 else None

    answers = [reply({"netAmount": 10, "other": 1}), reply({"netAmount": 1})]
    result, (_, second) = ran(tmp_path, answers, schema=Spelt, checks=[high])
    assert ["netAmount"] == asked_fields(second)
    assert ["repaired:net"] == flags(result)


def test_a_record_that_waits_for_a_repair_goes_to_no_other_model(tmp_path: Path) -> None:
    """Nobody answered: a later run asks for that again, before it pays for more."""
    answers = [reply(GOOD | {"total": -1}), DOWN, DOWN, DOWN]
    _, bodies = ran(tmp_path, answers, models=[CHEAP, STRONG], repair=Repair(max_repairs=1))
    assert {"cheap"} == {body["model"] for body in bodies}
    _, bodies = ran(tmp_path, [reply({"total": -2}), reply(GOOD)], models=[CHEAP, STRONG], repair=Repair(max_repairs=1))
    assert ["cheap", "strong"] == [body["model"] for body in bodies]


def test_the_second_model_fails_too(tmp_path: Path) -> None:
    """The record has the reason of the last answer, and nothing helped."""
    answers = [reply(GOOD | {"total": -1}), reply("none")]
    result, _ = ran(tmp_path, answers, models=[CHEAP, STRONG], repair=Repair())
    assert ["parse.json"] == result.quarantine["reason"].to_pylist()
    assert [("ask", 1, 0), ("escalate", 1, 0)] == efforts(tmp_path)


def test_what_was_paid_is_in_no_cap_of_a_later_run(tmp_path: Path) -> None:
    """Repairs of the journal cost nothing any more."""

    def answer(call: Call) -> Any:
        return reply({"total": 12.5} if len(call.body["messages"]) > 1 else GOOD | {"total": -1})

    texts = [f"text {number}" for number in range(5)]
    ran(tmp_path, answer, texts=texts, repair=Repair(max_repairs=1))
    result, bodies = ran(tmp_path, [], texts=texts, repair=Repair(max_repairs=1, max_tokens=1))
    assert ([], 5) == (bodies, result.report.ok)


def test_the_price_of_all_models_is_told_by_effort(tmp_path: Path) -> None:
    """Without a price of one of them its own are unknown, and no others."""
    answers = [reply(GOOD | {"total": -1}), reply(GOOD)]
    result, _ = ran(tmp_path, answers, models=[CHEAP, STRONG], repair=Repair())
    found = {each["what"]: each["cost_usd"] for each in result.report.as_dict()["efforts"]}
    assert {"ask": pytest.approx(120e-6), "escalate": None} == found


def test_sums_of_efforts_keep_what_is_not_known() -> None:
    """A price that is not known for one answer is not known for the sum."""
    efforts = extract.efforts.Efforts({"repair m": [1, 1, 10, 2, 0.5]})
    efforts.take({"repair m": [2, 0, 10, 2, None], "ask m": [3, 3, 1, 1, 0.25]})
    assert {"repair m": [3, 1, 20, 4, None], "ask m": [3, 3, 1, 1, 0.25]} == efforts
    assert ["1 of 3 repairs helped"] == efforts.words
