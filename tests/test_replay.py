"""An estimate from answers knows what a record takes beside its first answer: votes, repairs, escalations."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

import extract
from extract import Issue, Limits, Model, Pipeline, Repair, Samples
from extract.api import prepare_run
from extract.sampling import sample
from extract.survey import survey
from extract.testing import Call, Reply, ScriptedServer, completion
from tests.support import pipeline, rows_csv

CHEAP = {"name": "cheap", "input_usd_per_million": 1.0, "output_usd_per_million": 10.0}
STRONG = {"name": "strong", "input_usd_per_million": 100.0, "output_usd_per_million": 1000.0}


def text(number: int) -> str:
    return f"item {'long ' * Random(number).randrange(60)}{number}"


def answer(call: Call) -> Reply:
    """A number that is too low at first; right when it is asked for again, or by the strong model."""
    is_good = len(call.body["messages"]) > 1 or call.body["model"] == "strong"
    found = {"number": 7} if len(call.body["messages"]) > 1 else {"name": "a", "number": 7 if is_good else -1}
    return Reply(completion(found, tokens=(300, 20) if is_good else (100, 10)))


def low(value: Any, record: Any) -> Issue | None:
    return Issue("semantic", "semantic.low", "$.number", "too low", severity="repair") if value.number < 0 else None


def estimated(folder: Path, flow: Pipeline) -> tuple[dict[str, Any], Any]:
    """What the rest of 40 records is estimated to take after a sample of 20, and the report of a run over the rest."""
    source = rows_csv(folder / "items.csv", 40, text)
    with ScriptedServer(answer) as server:
        sample(flow, source, number=20, out=folder / "out", endpoint=server.endpoint())
        prepared = prepare_run(flow, source, endpoint=server.endpoint())
        found = survey(prepared, folder / "out" / "journal.db")
        assert 20 == found["answered"]
        return found["estimate"], extract.run(flow, source, out=folder / "out", endpoint=server.endpoint()).report


@pytest.mark.parametrize(
    "settings",
    [
        {"samples": Samples(n=3), "model": Model(**CHEAP)},
        {"repair": Repair(max_repairs=2), "checks": [low], "model": Model(**CHEAP)},
        {"models": [Model(**CHEAP), Model(**STRONG)], "checks": [low]},
        {"samples": Samples(n=2), "repair": Repair(max_repairs=1), "checks": [low], "model": Model(**CHEAP)},
        {"split_fields": 2, "model": Model(**CHEAP)},
    ],
    ids=["votes", "repairs", "escalations", "repaired votes", "parts"],
)
def test_what_a_record_takes_in_all_is_estimated(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Each answer takes the same here, so that the estimate is what the rest really takes, money included."""
    found, report = estimated(tmp_path, pipeline(limits=Limits(concurrency=4), **settings))
    assert pytest.approx(report.input_tokens) == found["input_tokens"]["expected"]
    assert pytest.approx(report.output_tokens) == found["output_tokens"]["expected"]
    assert pytest.approx(report.cost_usd) == found["cost_usd"]["expected"]


def test_a_model_without_a_price_leaves_the_cost_open(tmp_path: Path) -> None:
    """Where it was asked; tokens are known."""
    models = [Model(**CHEAP), Model(name="strong")]
    found, _ = estimated(tmp_path, pipeline(limits=Limits(concurrency=4), models=models, checks=[low]))
    assert found["cost_usd"] is None
    assert found["input_tokens"]["expected"] > 0


def test_a_check_that_raises_does_not_stop_an_estimate(tmp_path: Path) -> None:
    """The run will say so."""

    def broken(value: Any, record: Any) -> None:
        raise KeyError("x")

    source = rows_csv(tmp_path / "items.csv", 40, text)
    with ScriptedServer(answer) as server:
        sample(pipeline(), source, number=20, out=tmp_path / "out", endpoint=server.endpoint())
        flow = pipeline(repair=Repair(max_repairs=1), checks=[broken])
        found = survey(prepare_run(flow, source, endpoint=server.endpoint()), tmp_path / "out" / "journal.db")
    assert 20 == found["estimate"]["answers"]


def test_a_sample_counts_its_votes_against_the_caps(tmp_path: Path) -> None:
    """Before anything is asked."""
    flow = pipeline(samples=Samples(n=3), limits=Limits(max_requests=10))
    with pytest.raises(extract.ConfigError, match="makes 12 requests"), ScriptedServer(answer) as server:
        sample(flow, rows_csv(tmp_path / "a.csv", 9, text), number=4, out=tmp_path / "out", endpoint=server.endpoint())
