"""Failed answers are asked for again: only what failed, in the way that fits what is wrong, and within a budget."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pytest
from pydantic import BaseModel, Field

import extract
from extract import Endpoint, Evidence, Issue, Model, Pipeline, Repair
from extract.api import Result
from extract.errors import ConfigError, RunStopped
from extract.fsck import fsck
from extract.testing import Call, Reply, ScriptedServer
from tests.support import NO_WAIT

PRICED = {"input_usd_per_million": 1.0, "output_usd_per_million": 2.0}


class Bill(BaseModel):
    company: str = Field(min_length=2)
    total: Decimal = Field(ge=0)
    note: str | None = None


GOOD = {"company": "ACME", "total": 12.5, "note": None}


def reply(content: Any, finish: str = "stop", tokens: tuple[int, int] = (100, 10), **message: Any) -> Reply:
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    given, made = tokens
    usage = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    return Reply({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})


def ran(
    folder: Path,
    answers: Sequence[Any] | Callable[[Call], Any],
    *,
    texts: Sequence[str] = ("ACME, TOTAL 12.50",),
    **settings: Any,
) -> tuple[Result, list[dict[str, Any]]]:
    """The result of a run, and the bodies of its requests."""
    more = {"repair": Repair(max_repairs=2), "schema": Bill} | settings
    pipeline = Pipeline(name="bills", prompt="{{ text }}", retry=NO_WAIT, **more)
    script = iter(answers) if not callable(answers) else None

    def answer(call: Call) -> Any:
        return answers(call) if script is None else next(script)  # type: ignore[operator]  # one of both

    with ScriptedServer(answer) as server:
        result = extract.run(pipeline, pd.DataFrame({"text": texts}), out=folder / "out", endpoint=server.endpoint())
        return result, [call.body for call in server.calls]


def asked_fields(body: dict[str, Any]) -> list[str]:
    return list(body["response_format"]["json_schema"]["schema"]["properties"])


def flags(result: Result) -> list[str]:
    return list(result.table["_flags"].to_pylist()[0])


def efforts(folder: Path) -> list[tuple[str, int, int]]:
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    return [(each["what"], each["answers"], each["passed"]) for each in manifest.get("efforts", [])]


def test_fields_are_asked_for_without_the_examples_but_the_whole_record_with_them(tmp_path):
    """The answer shows the form already: a repair of fields does not pay for the examples again."""
    examples = [
        {"record": {"text": "Blue Cow, TOTAL 3.00"}, "answer": {"company": "Blue Cow", "total": 3, "note": None}}
    ]
    prompt = extract.Prompt(system="Read the bill.", user="{{ text }}", examples=examples, nearest=1)
    answers = ["no record", {**GOOD, "total": -1}, {"total": 12.5}]
    script = iter([reply(answer) for answer in answers])
    with ScriptedServer(lambda call: next(script)) as server:
        pipeline = Pipeline(name="bills", schema=Bill, prompt=prompt, retry=NO_WAIT, repair=Repair(max_repairs=2))
        source = pd.DataFrame({"text": ["ACME, TOTAL 12.50"]})
        result = extract.run(pipeline, source, out=tmp_path / "out", endpoint=server.endpoint())
        shown = ["Blue Cow" in json.dumps(call.body["messages"]) for call in server.calls]
    assert [True, True, False] == shown
    assert ["total"] == asked_fields(server.calls[-1].body)
    assert ["ACME"] == result.table["company"].to_pylist()


def test_only_the_field_that_failed_is_asked_for_again(tmp_path: Path) -> None:
    """The request carries the answer, what is wrong with it and where, and a schema of the failing field alone."""
    result, (first, second) = ran(tmp_path, [reply(GOOD | {"total": -1}), reply({"total": 12.5})])
    assert ["company", "total", "note"] == asked_fields(first)
    assert ["total"] == asked_fields(second)
    assert first["messages"] == second["messages"][: len(first["messages"])]
    answer, wrong = second["messages"][len(first["messages"]) :]
    assert "assistant" == answer["role"]
    assert GOOD | {"total": -1} == json.loads(answer["content"])
    assert "$.total: -1 is less than the minimum of 0" in wrong["content"]
    assert ["repaired:total"] == flags(result)
    (row,) = result.table.to_pylist()
    assert ("ACME", Decimal("12.5"), 2, 200, 20) == (
        *(row["company"], row["total"], row["_attempts"], row["_input_tokens"], row["_output_tokens"]),
    )
    assert [("ask", 1, 0), ("repair", 1, 1)] == efforts(tmp_path)
    assert "1 of 1 repairs helped" in result.report.line
    assert fsck(tmp_path / "out").is_sound


def test_several_fields_and_a_missing_one_are_asked_for_together(tmp_path: Path) -> None:
    """In the schema's order."""
    result, (_, second) = ran(tmp_path, [reply({"company": "A", "note": None}), reply({"company": "AB", "total": 1})])
    assert ["company", "total"] == asked_fields(second)
    assert ["repaired:company,total"] == flags(result)


def test_what_still_fails_is_asked_once_more(tmp_path: Path) -> None:
    """From the answer as it is by then; after the last repair it goes to the quarantine with its own reason."""
    answers = [reply(GOOD | {"total": -1, "company": "A"}), reply({"company": "AB", "total": -2}), reply({"total": -3})]
    result, bodies = ran(tmp_path, answers)
    assert [["company", "total", "note"], ["company", "total"], ["total"]] == [asked_fields(body) for body in bodies]
    (row,) = result.quarantine.to_pylist()
    assert ("schema.minimum", 3) == (row["reason"], row["attempts"])
    assert {"company": "AB", "total": -3, "note": None} == json.loads(row["raw_answer"])
    assert [("ask", 1, 0), ("repair", 2, 0)] == efforts(tmp_path)


def test_nothing_is_asked_twice_unchanged(tmp_path: Path) -> None:
    """A reply that changes nothing ends it, however many repairs are left."""
    answers = [reply(GOOD | {"total": -1}), reply({"total": -1})]
    result, bodies = ran(tmp_path, answers, repair=Repair(max_repairs=5))
    assert 2 == len(bodies)
    assert [2] == result.quarantine["attempts"].to_pylist()
    assert [("ask", 1, 0), ("repair", 1, 0)] == efforts(tmp_path)


def test_without_repairs_nothing_is_asked_again(tmp_path: Path) -> None:
    """That is the default."""
    result, bodies = ran(tmp_path, [reply(GOOD | {"total": -1})], repair=Repair())
    assert 1 == len(bodies)
    assert [] == efforts(tmp_path)
    assert 1 == result.report.quarantined


def test_a_cut_answer_gets_more_room(tmp_path: Path) -> None:
    """Twice the tokens, and twice again, up to the longest answer; never the same question."""
    cut = reply('{"company": "AC', "length")
    result, bodies = ran(tmp_path, [cut, cut, reply(GOOD)], model=Model(max_tokens=100))
    assert [100, 200, 400] == [body["max_tokens"] for body in bodies]
    assert bodies[0]["messages"] == bodies[2]["messages"]
    assert ["repaired:max_tokens=400"] == flags(result)


def test_a_cut_answer_gets_no_more_room_than_may_be(tmp_path: Path) -> None:
    cut = reply('{"company": "AC', "length")
    repair = Repair(max_repairs=9, longest_answer=300)
    result, bodies = ran(tmp_path, [cut, cut], model=Model(max_tokens=100), repair=repair)
    assert [100, 200] == [body["max_tokens"] for body in bodies]
    assert ["output.truncated"] == result.quarantine["reason"].to_pylist()


def test_an_answer_that_is_all_thoughts_gets_more_room_once(tmp_path: Path) -> None:
    """Thoughts may use up any room."""
    bare = reply("", "length", reasoning_content="hm")
    _, bodies = ran(tmp_path, [bare, bare], model=Model(max_tokens=100), repair=Repair(max_repairs=5))
    assert [100, 200] == [body["max_tokens"] for body in bodies]


def test_the_other_name_of_the_limit_grows_too(tmp_path: Path) -> None:
    cut = reply('{"company": "AC', "length")
    _, bodies = ran(tmp_path, [cut, reply(GOOD)], model=Model(extra_body={"max_completion_tokens": 50}))
    assert [50, 100] == [body["max_completion_tokens"] for body in bodies]


@pytest.mark.parametrize("broken", ["no JSON at all", '{"company": "ACME", "total": }'])
def test_what_is_no_answer_is_asked_for_as_a_whole(tmp_path: Path, broken: str) -> None:
    """With the reason."""
    result, (first, second) = ran(tmp_path, [reply(broken), reply(GOOD)])
    assert asked_fields(first) == asked_fields(second)
    assert broken == second["messages"][-2]["content"]
    assert "cannot be used" in second["messages"][-1]["content"]
    assert ["repaired:$"] == flags(result)


@pytest.mark.parametrize(
    "answer", [reply(None, refusal="no"), reply("x", "content_filter")], ids=["refusal", "content filter"]
)
def test_a_refusal_is_not_asked_for_again(tmp_path: Path, answer: Reply) -> None:
    """The same text would be refused again."""
    result, bodies = ran(tmp_path, [answer])
    assert 1 == len(bodies)
    assert result.quarantine["reason"].to_pylist()[0].startswith("policy.")


def rejected(value: Any, record: Any) -> Issue | None:
    return Issue("semantic", "semantic.own", "$.total", "too much") if value.total > 99 else None


def repairable(value: Any, record: Any) -> Issue | None:
    return Issue("semantic", "semantic.own", "$.total", "too much", severity="repair") if value.total > 99 else None


def test_a_check_says_whether_it_is_asked_for_again(tmp_path: Path) -> None:
    """`reject` leaves it, `repair` asks for the field that the issue names."""
    high = reply(GOOD | {"total": 100})
    _, bodies = ran(tmp_path / "a", [high], checks=[rejected])
    assert 1 == len(bodies)
    result, (_, second) = ran(tmp_path / "b", [high, reply({"total": 12.5})], checks=[repairable])
    assert ["total"] == asked_fields(second)
    assert "$.total: too much" in second["messages"][-1]["content"]
    assert result.ok


class Supported(BaseModel):
    company: str
    total: Annotated[Decimal, Evidence(unsupported="repair")]


def test_a_value_without_evidence_is_asked_for_again(tmp_path: Path) -> None:
    """And judged again with the same eyes."""
    answers = [reply({"company": "X", "total": 99}), reply({"total": 12.5})]
    result, (_, second) = ran(tmp_path, answers, schema=Supported)
    assert ["total"] == asked_fields(second)
    assert ["12.50"] == result.evidence["quote"].to_pylist()


def test_a_rerun_asks_nothing(tmp_path: Path) -> None:
    """Repairs are in the journal as every answer is: tables made anew are the same, byte for byte."""
    answers = [reply(GOOD | {"total": -1}), reply({"total": 12.5})]
    ran(tmp_path, answers)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out" / "table").iterdir()}
    for path in (tmp_path / "out" / "table").iterdir():
        path.unlink()
    result, bodies = ran(tmp_path, [])
    assert [] == bodies
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "out" / "table").iterdir()}
    assert result.ok


def test_repairs_have_a_budget(tmp_path: Path) -> None:
    """Of tokens for the run: the repair that passes it is the last."""

    def answer(call: Call) -> Any:
        is_repair = len(call.body["messages"]) > 1
        return reply({"total": 12.5}) if is_repair else reply(GOOD | {"total": -1})

    repair = Repair(max_repairs=1, max_tokens=250)
    limits = extract.Limits(concurrency=1)
    texts = [f"text {number}" for number in range(10)]
    result, bodies = ran(tmp_path, answer, texts=texts, repair=repair, limits=limits)
    repairs = sum(len(body["messages"]) > 1 for body in bodies)
    assert 3 == repairs  # 110 tokens each
    assert (repairs, 10 - repairs) == (result.report.ok, result.report.quarantined)


def test_a_record_has_a_budget(tmp_path: Path) -> None:
    """It is heeded before each repair."""
    answers = [reply(GOOD | {"total": -1}), reply({"total": -2}), reply({"total": -3})]
    _, bodies = ran(tmp_path, answers, repair=Repair(max_repairs=5, max_tokens_per_record=200))
    assert 3 == len(bodies)


def test_a_failed_repair_leaves_the_first_reason(tmp_path: Path) -> None:
    """No answer to it: the record keeps its reason, and a later run asks again."""
    result, _ = ran(tmp_path, [reply(GOOD | {"total": -1}), *[Reply({"error": {"message": "x"}}, 503)] * 3])
    assert ["schema.minimum"] == result.quarantine["reason"].to_pylist()
    result, bodies = ran(tmp_path, [reply({"total": 12.5})])
    assert 1 == len(bodies)
    assert result.ok


def test_a_refused_repair_leaves_the_first_reason(tmp_path: Path) -> None:
    result, _ = ran(tmp_path, [reply(GOOD | {"total": -1}), Reply({"error": {"message": "bad"}}, 400)])
    assert ["schema.minimum"] == result.quarantine["reason"].to_pylist()


CHEAP, STRONG = Model(name="cheap", **PRICED), Model(name="strong", max_tokens=2000, temperature=0.5)


def test_what_fails_goes_to_the_next_model(tmp_path: Path) -> None:
    """As a whole, with that model's own settings; the row says who answered, the report what each tier did."""
    answers = [reply(GOOD | {"total": -1}), reply(GOOD)]
    result, (first, second) = ran(tmp_path, answers, models=[CHEAP, STRONG], repair=Repair())
    assert [("cheap", 1024, None), ("strong", 2000, 0.5)] == [
        (body["model"], body["max_tokens"], body.get("temperature")) for body in (first, second)
    ]
    assert first["messages"] == second["messages"]
    assert ["escalated:strong"] == flags(result)
    assert [("ask", 1, 0), ("escalate", 1, 1)] == efforts(tmp_path)
    assert [None] == result.table["_cost_usd"].to_pylist()  # the second has no price


def test_each_model_repairs_before_the_next_is_asked(tmp_path: Path) -> None:
    """And each is paid at its own price."""
    strong = STRONG.replaced({"input_usd_per_million": 10.0, "output_usd_per_million": 20.0})
    answers = [reply(GOOD | {"total": -1}), reply({"total": -2}), reply(GOOD | {"total": -3}), reply({"total": 1})]
    result, bodies = ran(tmp_path, answers, models=[CHEAP, strong], repair=Repair(max_repairs=1))
    assert ["cheap", "cheap", "strong", "strong"] == [body["model"] for body in bodies]
    assert [pytest.approx(2 * 120e-6 + 2 * 1200e-6)] == result.table["_cost_usd"].to_pylist()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert pytest.approx(2 * 120e-6 + 2 * 1200e-6) == manifest["cost_usd"]
    assert pytest.approx(2 * 120e-6 + 2 * 1200e-6) == result.report.cost_usd


def test_a_policy_refusal_goes_to_no_other_model(tmp_path: Path) -> None:
    _, bodies = ran(tmp_path, [reply(None, refusal="no")], models=[CHEAP, STRONG])
    assert 1 == len(bodies)


def test_models_in_the_path_have_addresses_of_their_own(tmp_path: Path) -> None:
    """As one dialect wants it."""
    pipeline = Pipeline(name="bills", schema=Bill, prompt="{{ text }}", retry=NO_WAIT, models=[CHEAP, STRONG])
    script = iter([reply(GOOD | {"total": -1}), reply(GOOD)])
    with ScriptedServer(lambda call: next(script)) as server:
        endpoint = Endpoint(base_url=server.endpoint().base_url, dialect="kie", api_key="k")
        result = extract.run(pipeline, pd.DataFrame({"text": ["x"]}), out=tmp_path / "out", endpoint=endpoint)
        paths = [call.path for call in server.calls]
    assert result.ok
    assert ["cheap", "strong"] == [next(name for name in ("cheap", "strong") if name in path) for path in paths]


@pytest.mark.parametrize(
    "settings",
    [
        {"models": [CHEAP, Model()]},
        {"models": [CHEAP, CHEAP]},
        {"models": [CHEAP, STRONG], "model": Model(name="other")},
        {"models": CHEAP},
        {"models": [CHEAP, Model(name="x", mode="tool")]},
    ],
)
def test_impossible_models_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="model"):
        ran(tmp_path, [], **settings)


@pytest.mark.parametrize("settings", [{"max_repairs": -1}, {"max_tokens": 0}, {"max_cost_usd": float("nan")}])
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Repair"):
        Repair(**settings)


def test_a_run_cap_stops_repairs_too(tmp_path: Path) -> None:
    """They are calls as all others; the run goes on when the cap is raised."""
    with pytest.raises(RunStopped):
        ran(tmp_path, [reply(GOOD | {"total": -1})], limits=extract.Limits(max_requests=1))
    result, bodies = ran(tmp_path, [reply({"total": 12.5})])
    assert 1 == len(bodies)
    assert result.ok
