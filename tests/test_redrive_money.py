"""Redrives of runs with repairs, votes and several models: each call goes where its name says, at that model's price."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import extract
from extract import ConfigError, Limits, Model, Redriven, Repair, Samples, failpoints
from extract.efforts import beside
from extract.fsck import fsck
from extract.redriving import Plan, Wanted, planned
from extract.testing import Call, Reply, ScriptedServer, completion
from tests.children import nursery
from tests.commands import console
from tests.crash import answer
from tests.support import parts, pipeline, rows_csv

CHEAP, DEAR, NEXT = "cheap", "dear", "next"
PRICES = {CHEAP: (1, 2), DEAR: (100, 200), NEXT: (10, 20)}  # US dollars per million tokens
ROWS = 5
Mood = Callable[[int, str, bool], Any]  # record, model and whether it is a repair → content, or a reply


def model(name: str, **changes: Any) -> Model:
    given, made = PRICES[name]
    return Model(name=name, input_usd_per_million=given, output_usd_per_million=made, **changes)


ANOTHER = {"model.input_usd_per_million": "100", "model.output_usd_per_million": "200"}


class Endpoint:
    """A server's mood, and what it would bill."""

    def __init__(self, mood: Mood) -> None:
        self.mood = mood
        self.asked: list[tuple[str, int, bool]] = []  # model, record, whether it is a repair
        self.billed = 0.0

    def __call__(self, call: Call) -> Reply:
        name = call.body.get("model") or next(each for each in PRICES if f"/{each}/" in call.path)
        messages = call.body["messages"]
        number = int(next(word for word in str(messages[0]["content"]).split() if word.isdigit()))
        self.asked.append((name, number, len(messages) > 1))
        content = self.mood(number, name, len(messages) > 1)
        if isinstance(content, Reply):
            return content
        given, made = PRICES[name]
        self.billed += (10 * given + 5 * made) / 1e6
        return Reply({**completion(content, prompt_tokens=10, completion_tokens=5), "model": name})


GOOD, BAD = {"name": "x", "number": 1}, {"name": "x", "number": "none"}


class Scene:
    """One directory, whose server's ledger is compared with what its manifest says."""

    def __init__(self, folder: Path, server: ScriptedServer, endpoint: Endpoint, dialect: Any, **changes: Any) -> None:
        self.out, self.server, self.endpoint, self.dialect = folder / "out", server, endpoint, dialect
        self.source = rows_csv(folder / "items.csv", ROWS)
        self.pipeline = pipeline(**({"model": model(CHEAP), "shard_rows": 2} | changes))

    def run(self, out: Path | None = None) -> extract.Result:
        there = self.server.endpoint(dialect=self.dialect)
        return extract.run(self.pipeline, self.source, out=out or self.out, endpoint=there)

    def redrive(self, **options: Any) -> Redriven:
        self.endpoint.asked.clear()
        there = self.server.endpoint(dialect=self.dialect)
        return extract.redrive(self.out, self.pipeline, self.source, endpoint=there, **options)

    def check(self) -> None:
        """The account is the server's, nothing is asked again, and the tables come out of the journal as they are."""
        manifest = json.loads((self.out / "manifest.json").read_text())
        assert pytest.approx(self.endpoint.billed) == manifest["cost_usd"]
        calls = len(self.server.calls)
        assert calls == manifest["requests"]
        copy = self.out.with_name("copy")
        shutil.copytree(self.out, copy)
        (copy / "manifest.json").unlink()
        self.run(copy)
        assert (calls, parts(self.out)) == (len(self.server.calls), parts(copy))
        shutil.rmtree(copy)
        assert [] == fsck(self.out, self.source).violations


@pytest.mark.parametrize("dialect", ["openai", "kie"])
def test_repairs_of_another_model_s_answers_are_the_run_s_own(tmp_path: Path, dialect: str) -> None:
    """They go to the model that they are named after, wherever its name stands, at its price, which is counted once."""
    bad = {3}

    def badly(number: int, name: str, is_repair: bool) -> Any:
        return BAD if number in bad else {"name": "x", "number": "dear"} if name == DEAR else GOOD

    mood = Endpoint(badly)
    with ScriptedServer(mood) as server:
        scene = Scene(tmp_path, server, mood, dialect, repair=Repair(max_repairs=1))
        assert 1 == scene.run().report.quarantined
        bad.clear()
        result = scene.redrive(model=DEAR, settings=ANOTHER)
        assert [(DEAR, 3, False), (CHEAP, 3, True)] == mood.asked
        row = result.table.to_pylist()[2]
        assert [0.002 + 0.00002, True] == [pytest.approx(row["_cost_usd"]), "repaired:number" in row["_flags"]]
        assert pytest.approx(0.00202) == result.report.cost_usd
        scene.check()


REFUSED = Reply({"error": {"message": "not this one"}}, status=400)


@pytest.mark.parametrize(("before", "after"), [((1,), ()), ((), (1,)), ((1,), (2,)), ((2,), (1,)), ((1, 2), ())])
def test_each_vote_takes_the_place_of_its_own(tmp_path: Path, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """However many were answered: some may be refused, in the run or in the redrive, which are not asked again either."""
    refused, content = set(before), {"name": "x", "number": "none"}

    def mood(number: int, name: str, is_repair: bool) -> Any:
        seed = server.calls[-1].body["seed"]
        if number == 3 and seed in refused:
            return REFUSED
        return {**content, "name": f"{name} {seed}"} if number == 3 else GOOD

    endpoint = Endpoint(mood)
    with ScriptedServer(endpoint) as server:
        scene = Scene(tmp_path, server, endpoint, "openai", model=model(CHEAP, seed=0), samples=Samples(n=3))
        scene.pipeline = scene.pipeline.with_settings({"limits.concurrency": "1"})
        assert 1 == scene.run().report.quarantined
        refused, content = set(after), {"name": "x", "number": 3}
        seen: list[int] = []
        result = scene.redrive(model=DEAR, settings=ANOTHER, approve=lambda plan: seen.append(plan.requests))
        assert [[3], 3, ROWS] == [seen, len(endpoint.asked), result.report.ok]
        row = result.table.to_pylist()[2]
        answered = 3 - len(after)
        assert [pytest.approx(0.002 * answered), 10 * answered] == [row["_cost_usd"], row["_input_tokens"]]
        scene.check()


@pytest.mark.parametrize("asked", [None, DEAR, NEXT])
def test_a_run_with_several_models_is_redriven(tmp_path: Path, asked: str | None) -> None:
    """The model that is named is asked in place of the first; what it fails with goes to the next as ever."""
    bad = {(3, CHEAP), (3, NEXT), (4, CHEAP)}
    mood = Endpoint(lambda number, name, is_repair: BAD if (number, name) in bad else GOOD)
    with ScriptedServer(mood) as server:
        scene = Scene(tmp_path, server, mood, "openai", model=Model(), models=[model(CHEAP), model(NEXT)])
        assert 1 == scene.run().report.quarantined
        bad.clear()
        prices = zip(ANOTHER, PRICES[asked or CHEAP], strict=True)
        result = scene.redrive(model=asked, settings={name: str(price) for name, price in prices})
        assert [(asked or CHEAP, 3, False)] == mood.asked
        assert ROWS == result.report.ok
        row = result.table.to_pylist()[2]
        assert asked or CHEAP == row["_model"]
        scene.check()


@pytest.mark.parametrize("why", ["a cap", "no answer"])
def test_rows_with_fewer_votes_than_wanted_stay_what_they_are(tmp_path: Path, why: str) -> None:
    """A redrive of others asks nothing for them; where an answer is still owed to one, a later run asks for it."""
    down = Reply({"error": {"message": "try later"}}, status=500)
    state = {"bad": True}

    def mood(number: int, name: str, is_repair: bool) -> Any:
        if why == "no answer" and number == 2 and server.calls[-1].body["seed"] == 2 and state["bad"]:
            return down
        return BAD if number == 3 and state["bad"] else GOOD

    endpoint = Endpoint(mood)
    limits = Limits(concurrency=1, **({"max_cost_usd_per_record": 0.00003} if why == "a cap" else {}))
    with ScriptedServer(endpoint) as server:
        cheap = model(CHEAP, seed=0, max_tokens=5)
        scene = Scene(tmp_path, server, endpoint, "openai", model=cheap, samples=Samples(n=3), limits=limits)
        assert {"schema.type": 1} == dict(scene.run().report.reasons)
        before = pq.read_table(scene.out / "table").to_pylist()
        state["bad"] = False
        result = scene.redrive()
        assert ({3}, ROWS) == ({number for _, number, _ in endpoint.asked}, result.report.ok)
        assert before == [row for row in result.table.to_pylist() if row["id"] != "k3"]
        endpoint.asked.clear()
        scene.run()
        assert ([] if why == "a cap" else [(CHEAP, 2, False)]) == endpoint.asked


@pytest.mark.parametrize("name", ["redrive.derived", "replace.placed"])
def test_a_redrive_that_was_killed_at_its_very_end_asks_nothing_again(tmp_path: Path, name: str) -> None:
    """Neither for records that were answered badly once more: only a redrive that has ended is followed by another."""
    control, out = tmp_path / "control", tmp_path / "out"
    source = rows_csv(tmp_path / "items.csv", 12)
    with ScriptedServer(answer) as server, nursery(tmp_path) as runs:
        assert 0 == runs.run(source, control, server), runs.said
        shutil.copytree(control, out)
        calls = len(server.calls)
        assert 0 == runs.run(source, control, server, redrive={}), runs.said
        assert failpoints.EXIT == runs.run(source, out, server, redrive={}, failpoint=f"{name}:1")
        assert (0, calls + 2) == (runs.run(source, out, server, redrive={}), len(server.calls)), runs.said
        assert [] == fsck(out, source).violations
        assert 0 == runs.run(source, out, server, redrive={}), runs.said
        assert calls + 3 == len(server.calls)


PRICE_OF_DEAR = '[[price]]\nmodel = "{}"\ninput = 100\noutput = 200\n'


@pytest.mark.parametrize("where", ["the table", "the models", "nowhere"])
def test_another_model_costs_what_its_own_name_says(tmp_path: Path, where: str) -> None:
    """And never what the pipeline's model costs; where nothing says it, the cost is not known, and no cap can hold."""
    bad = {3}
    mood = Endpoint(lambda number, name, is_repair: BAD if number in bad else GOOD)
    (table := tmp_path / "prices.toml").write_text(PRICE_OF_DEAR.format(DEAR if where == "the table" else "daer"))
    models = {"models": [model(CHEAP), model(DEAR)]} if where == "the models" else {"model": model(CHEAP)}
    with ScriptedServer(mood) as server:
        scene = Scene(tmp_path, server, mood, "openai", prices=table, **({"model": Model()} | models))
        assert 1 == scene.run().report.quarantined
        before = mood.billed
        bad.clear()
        there = scene.pipeline.with_settings({})
        plan = planned(scene.out, there, scene.source, Wanted(model=DEAR), {})
        capped = {"limits.max_cost_usd": "1"}
        if where == "nowhere":
            assert (None, None) == plan.cost_usd
            assert f"{table} has no price for 'dear' (did you mean 'daer'?)" in plan.text
            assert plan.cost_unknown == plan.as_dict()["cost_unknown"]
            with pytest.raises(ConfigError, match=r"limits.max_cost_usd needs the model's prices"):
                scene.redrive(model=DEAR, settings=capped)
            result = scene.redrive(model=DEAR)
            row = result.table.to_pylist()[2]
            assert [DEAR, None, None] == [row["_model"], row["_cost_usd"], result.report.cost_usd]
            assert pytest.approx(before) == json.loads((scene.out / "manifest.json").read_text())["cost_usd"]
            return
        assert pytest.approx(plan.tokens * 100e-6) == plan.cost_usd[0]
        result = scene.redrive(model=DEAR, settings=capped)
        assert [pytest.approx(0.002)] * 2 == [result.table.to_pylist()[2]["_cost_usd"], result.report.cost_usd]
        scene.check()


@pytest.mark.parametrize("way", ["model", "setting"])
def test_a_price_among_the_settings_is_that_of_the_other_model(tmp_path: Path, way: str) -> None:
    """However it is named; half a price is none, and is not filled up with the pipeline's."""
    mood = Endpoint(lambda number, name, is_repair: BAD if number == 3 else GOOD)
    with ScriptedServer(mood) as server:
        scene = Scene(tmp_path, server, mood, "openai", model=model(CHEAP))
        scene.run()
        name, named = (DEAR, {}) if way == "model" else (None, {"model.name": DEAR})

        def plan(settings: dict[str, str]) -> Plan:
            return planned(scene.out, scene.pipeline, scene.source, Wanted(model=name), named | settings)

        assert pytest.approx(plan(ANOTHER).tokens * 100e-6) == plan(ANOTHER).cost_usd[0]
        half = plan({"model.input_usd_per_million": "100"})
        assert (None, None) == half.cost_usd
        assert "model.output_usd_per_million is not set, and other prices of 'dear' are" in half.text
        assert "no prices are set for 'dear' (EXTRACT_PRICES" in plan({}).text
        same = planned(scene.out, scene.pipeline, scene.source, Wanted(model=CHEAP), {})
        assert pytest.approx(same.tokens * 1e-6) == same.cost_usd[0]


def test_what_a_redrive_has_replaced_is_still_on_the_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`extract status` says what the answers of the tables took, and what was paid beside them: together it is all."""
    bad = {2, 3}
    mood = Endpoint(lambda number, name, is_repair: BAD if number in bad else GOOD)
    with ScriptedServer(mood) as server:
        scene = Scene(tmp_path, server, mood, "openai", repair=Repair(max_repairs=1), model=model(CHEAP))
        scene.run()
        call = console(monkeypatch, capsys)
        assert "replaced" not in call("status", str(scene.out))[1]
        bad.clear()
        scene.redrive(model=DEAR, settings=ANOTHER)
        manifest = json.loads((scene.out / "manifest.json").read_text())
        said = call("status", str(scene.out))[1]
        assert f"\nreplaced, or in no table yet: 60 tokens, {4 * 0.00002:.4f} USD\n" in said
        asked = [(row["model"], row["answers"], row["cost_usd"]) for row in manifest["efforts"] if row["what"] == "ask"]
        assert [("cheap", 3, pytest.approx(0.00006)), ("dear", 2, pytest.approx(0.004))] == asked
        of_tables = sum(row["input_tokens"] + row["output_tokens"] for row in manifest["efforts"])
        assert manifest["tokens"]["input"] + manifest["tokens"]["output"] == of_tables + 60
        scene.check()


def test_efforts_that_do_not_add_up_say_why() -> None:
    """More was paid, less, at other prices; or all is there, also where a price is not known."""

    def said(tokens: int, cost: float | None, *rows: tuple[int, float | None]) -> str | None:
        efforts = [{"input_tokens": used, "output_tokens": 0, "cost_usd": usd} for used, usd in rows]
        return beside({"tokens": {"input": tokens, "output": 0}, "cost_usd": cost, "efforts": efforts})

    assert said(30, 0.3, (10, 0.1), (20, 0.2)) is None
    assert said(30, 0.3, (10, None), (20, 0.2)) is None
    assert said(30, 0.3) is None
    assert "replaced, or in no table yet: 5 tokens, 0.1000 USD" == said(35, 0.4, (10, 0.1), (20, 0.2))
    assert "replaced, or in no table yet: 5 tokens" == said(35, None, (30, None))
    assert "10 of these tokens were paid elsewhere, or once for records that share an answer" == said(20, 1, (30, 2))
    assert "paid when they were asked: 0.5000 USD, at the prices of then" == said(30, 0.5, (30, 0.1))


def test_a_redrive_says_that_its_cost_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where nobody was shown the plan."""
    bad = {3}
    mood = Endpoint(lambda number, name, is_repair: BAD if number in bad else GOOD)
    (tmp_path / "priced_items.py").write_text(FLOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with ScriptedServer(mood) as server:
        monkeypatch.setenv("EXTRACT_BASE_URL", server.endpoint().base_url)
        monkeypatch.setenv("EXTRACT_API_KEY", "k")
        rows_csv(tmp_path / "items.csv", ROWS)
        call = console(monkeypatch, capsys)
        assert 3 == call("run", "priced_items.py", "items.csv", "--out", "out", "--yes")[0]
        bad.clear()
        unknown = "cost unknown: no prices are set for 'dear' (EXTRACT_PRICES"
        assert unknown in call("redrive", "out", "--model", DEAR, "--dry-run")[1]
        code, said, _ = call("redrive", "out", "--model", DEAR, "--yes")
    sys.modules.pop("priced_items", None)
    assert (0, True) == (code, unknown in said), said


FLOW = """
from pydantic import BaseModel
from extract import Model, Pipeline

class Item(BaseModel):
    name: str
    number: int

model = Model(name="cheap", input_usd_per_million=1, output_usd_per_million=2)
pipeline = Pipeline(name="items", schema=Item, prompt="{{ text }}", key="id", model=model)
"""
