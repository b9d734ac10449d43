"""Several answers to one question vote field by field, and the table says how far they agree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import extract
from extract import Model, Pipeline, Repair, Samples
from extract.api import Result, prepare_run
from extract.errors import ConfigError
from extract.survey import survey
from extract.testing import Reply, ScriptedServer
from extract.votes import elected
from tests.support import NO_WAIT
from tests.test_repair import reply


class Line(BaseModel):
    label: str


class Bill(BaseModel):
    company: str
    total: Decimal
    lines: list[Line] = []


def ran(folder: Path, answers: Sequence[Any], *, text: str = "ACME 12.50", **settings: Any) -> tuple[Result, list[Any]]:
    more = {"samples": Samples(n=3)} | settings
    limits = extract.Limits(concurrency=1)  # the answers come in the order of their requests
    pipeline = Pipeline(name="bills", schema=Bill, prompt="{{ text }}", retry=NO_WAIT, limits=limits, **more)
    script = iter(answers)
    with ScriptedServer(lambda call: next(script)) as server:
        frame = pd.DataFrame({"text": [text]})
        result = extract.run(pipeline, frame, out=folder / "out", endpoint=server.endpoint())
        return result, [call.body for call in server.calls]


def bill(company: str = "ACME", total: float = 12.5, *labels: str) -> Reply:
    return reply({"company": company, "total": total, "lines": [{"label": label} for label in labels]})


def confidence(result: Result) -> dict[str, float]:
    (found,) = result.table["_confidence"].to_pylist()
    return {name: round(value, 3) for name, value in found.items()}


def test_each_field_takes_what_most_answers_have(tmp_path: Path) -> None:
    """No answer needs to be right as a whole; each field says how many agree."""
    result, bodies = ran(tmp_path, [bill("ACME", 1), bill("ACNE", 12.5, "x"), bill("ACME", 12.50, "x")])
    (row,) = result.table.to_pylist()
    assert ("ACME", Decimal("12.5"), [{"label": "x"}]) == (row["company"], row["total"], row["lines"])
    assert {"company": 0.667, "total": 0.667, "lines": 0.667} == confidence(result)
    assert (3, 300, 30) == (row["_attempts"], row["_input_tokens"], row["_output_tokens"])
    assert bodies[0] == bodies[1] == bodies[2]
    assert 3 == len(row["_request"].split())


def test_equal_values_are_one_however_they_are_written() -> None:
    """Numbers with more places, objects in another order; true is no number."""
    one, other = {"n": Decimal("12.50"), "o": {"a": 1, "b": 2}}, {"n": Decimal("12.5"), "o": {"b": 2, "a": 1}}
    vote = elected([one, {"n": True, "o": None}, other], lambda name, value: 0.0)
    assert {"n": 0.6667, "o": 0.6667} == vote.agreement


def test_a_seed_is_another_one_for_each_answer(tmp_path: Path) -> None:
    """Else a server that heeds it would give the same answer three times."""
    _, bodies = ran(tmp_path, [bill()] * 3, model=Model(seed=7, temperature=0.5))
    assert [7, 8, 9] == [body["seed"] for body in bodies]


def test_of_tied_values_the_one_that_the_source_supports_is_taken(tmp_path: Path) -> None:
    """Else the first."""
    result, _ = ran(tmp_path, [bill("AMCE", 1), bill("ACME", 2)], samples=Samples(n=2))
    (row,) = result.table.to_pylist()
    assert ("ACME", Decimal(1)) == (row["company"], row["total"])


def test_an_answer_that_is_none_agrees_with_nothing(tmp_path: Path) -> None:
    """The others vote; its share is missing."""
    result, _ = ran(tmp_path, [bill(), reply("no JSON"), bill()])
    assert {"company": 0.667, "total": 0.667, "lines": 0.667} == confidence(result)


def test_no_answer_at_all_is_quarantined(tmp_path: Path) -> None:
    result, _ = ran(tmp_path, [reply("no JSON")] * 3)
    assert 1 == result.report.quarantined


def test_a_rerun_pays_nothing_and_gives_the_same_bytes(tmp_path: Path) -> None:
    """Each answer is in the journal under its own name."""
    ran(tmp_path, [bill("ACME", 1), bill("ACNE", 2), bill("ACME", 2)])
    (path,) = (tmp_path / "out" / "table").iterdir()
    before = path.read_bytes()
    path.unlink()
    _, bodies = ran(tmp_path, [])
    assert [] == bodies
    assert before == path.read_bytes()


def test_the_answer_of_a_run_without_a_vote_is_not_paid_again(tmp_path: Path) -> None:
    """The first of the questions is the plain one."""
    ran(tmp_path, [bill()], samples=None)
    _, bodies = ran(tmp_path, [bill()] * 2)
    assert 2 == len(bodies)


def test_what_the_answers_disagree_about_goes_to_the_next_model(tmp_path: Path) -> None:
    """Where that is wanted, though the record passed."""
    models = [Model(name="cheap"), Model(name="strong")]
    samples = Samples(n=3, escalate_below=0.6)
    result, bodies = ran(tmp_path, [bill("A"), bill("B"), bill("C"), bill("D")], models=models, samples=samples)
    assert ["cheap"] * 3 + ["strong"] == [body["model"] for body in bodies]
    assert ["D"] == result.table["company"].to_pylist()
    _, bodies = ran(tmp_path / "b", [bill("A"), bill("A"), bill("C")], models=models, samples=samples)
    assert 3 == len(bodies)


def test_an_unsure_record_stays_when_the_next_model_fails(tmp_path: Path) -> None:
    """What passed is not lost."""
    models = [Model(name="cheap"), Model(name="strong")]
    samples = Samples(n=2, escalate_below=0.9)
    result, _ = ran(tmp_path, [bill("A"), bill("B"), reply("none")], models=models, samples=samples)
    assert ["A"] == result.table["company"].to_pylist()


def test_what_was_elected_is_repaired(tmp_path: Path) -> None:
    """A repaired field has no agreement."""

    def low(value: Any, record: Any) -> extract.Issue | None:
        issue = extract.Issue("semantic", "semantic.low", "$.total", "too low", severity="repair")
        return issue if value.total < 5 else None

    answers = [bill("ACME", 1), bill("ACME", 1), reply({"total": 12.5})]
    result, _ = ran(tmp_path, answers, samples=Samples(n=2), repair=Repair(max_repairs=1), checks=[low])
    (row,) = result.table.to_pylist()
    assert Decimal("12.5") == row["total"]
    assert {"company": 1.0, "total": None, "lines": 1.0} == row["_confidence"]


def row_flags(result: Result) -> list[str]:
    return list(result.table["_flags"].to_pylist()[0])


def test_fields_that_answers_disagree_about_are_flagged(tmp_path: Path) -> None:
    """Below a share, and not at it; without `flag_below` none is."""
    answers = [bill("A", 1), bill("B", 2), bill("C", 2)]
    result, _ = ran(tmp_path / "a", answers, samples=Samples(n=3, flag_below=0.6))
    assert ["low_confidence:$.company"] == row_flags(result)
    result, _ = ran(tmp_path / "b", answers, samples=Samples(n=3, flag_below=0.67))
    assert ["low_confidence:$.company", "low_confidence:$.total"] == row_flags(result)
    result, _ = ran(tmp_path / "c", answers)
    assert [] == row_flags(result)
    result, _ = ran(tmp_path / "d", [bill("A"), bill("B")], samples=Samples(n=2, flag_below=0.5))
    assert [] == row_flags(result)


def test_flags_of_doubt_are_of_the_answer_that_counts(tmp_path: Path) -> None:
    """A repaired field has none any more, the others keep theirs; one that another model answered has none."""

    def low(value: Any, record: Any) -> extract.Issue | None:
        issue = extract.Issue("semantic", "semantic.low", "$.total", "too low", severity="repair")
        return issue if value.total < 5 else None

    samples = Samples(n=2, flag_below=0.9)
    answers = [bill("A", 1), bill("B", 2)]
    more = {"samples": samples, "checks": [low]}
    result, _ = ran(tmp_path / "a", [*answers, reply({"total": 12})], repair=Repair(max_repairs=1), **more)
    assert ["repaired:total", "low_confidence:$.company"] == row_flags(result)
    models = [Model(name="cheap"), Model(name="strong")]
    result, _ = ran(tmp_path / "b", [*answers, bill("D", 12)], models=models, **more)
    assert ["escalated:strong"] == row_flags(result)


def test_an_unsure_record_that_stays_keeps_its_flag(tmp_path: Path) -> None:
    """The next model had nothing better."""
    models = [Model(name="cheap"), Model(name="strong")]
    samples = Samples(n=2, escalate_below=0.9, flag_below=0.9)
    result, _ = ran(tmp_path, [bill("A"), bill("B"), reply("none")], models=models, samples=samples)
    assert ["low_confidence:$.company"] == row_flags(result)


def test_what_cannot_be_read_lowers_confidence(tmp_path: Path) -> None:
    """One of three is none: two thirds is all that a field can have."""
    result, _ = ran(tmp_path, [bill(), reply("none"), bill()], samples=Samples(n=3, flag_below=0.7))
    assert [f"low_confidence:$.{name}" for name in ("company", "total", "lines")] == row_flags(result)


@pytest.mark.parametrize("settings", [{"format": "csv"}, {"flat": True}], ids=["csv", "flat"])
def test_confidence_in_flat_tables(tmp_path: Path, settings: dict[str, Any]) -> None:
    """It reads back as it was."""
    result, _ = ran(tmp_path, [bill()] * 3, **settings)
    assert {"company": 1.0, "total": 1.0, "lines": 1.0} == confidence(result)
    assert pa.types.is_struct(result.table.schema.field("_confidence").type)


def test_the_estimate_knows_of_all_answers(tmp_path: Path) -> None:
    """Each of them is a request."""
    pipeline = Pipeline(name="bills", schema=Bill, prompt="{{ text }}", samples=Samples(n=3))
    frame = pd.DataFrame({"text": ["a", "b"]})
    assert 6 == survey(prepare_run(pipeline, frame, endpoint=extract.Endpoint(api_key="k")), None)["requests"]


@pytest.mark.parametrize("given_", [{"n": 1}, {"n": 99}, {"n": 3, "escalate_below": 0}, {"n": 3, "flag_below": 1.5}])
def test_impossible_settings_are_refused(given_: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Samples"):
        Samples(**given_)


def test_a_vote_needs_fields(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="samples vote"):
        ran(tmp_path, [], split_fields=2)


ANSWERS = st.lists(
    st.dictionaries(
        st.sampled_from("abc"), st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.text(max_size=1))
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None)  # a busy machine is no mistake
@given(ANSWERS)
def test_a_vote_is_by_the_most(answers: list[dict[str, Any]]) -> None:
    """Against a plain count; the agreement is the winner's share."""
    vote = elected(answers, lambda name, value: 0.0)
    for name in {name for each in answers for name in each}:
        ballots = [json.dumps(each[name]) if name in each else "" for each in answers]
        most = max(map(ballots.count, ballots))
        chosen = json.dumps(vote.answer[name]) if name in vote.answer else ""
        assert most == ballots.count(chosen)
        assert round(most / len(answers), 4) == vote.agreement[name]
