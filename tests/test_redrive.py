"""`redrive` asks again for quarantined records and for nothing else, whatever happens on the way."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import BaseModel

import extract
from extract import Limits, Prompt, Redriven, Repair, Samples, failpoints
from extract.disk import DiskPause
from extract.errors import ConfigError, RunStopped
from extract.fsck import fsck
from extract.records import Record
from extract.redriving import Plan
from extract.runner import Runner
from extract.testing import Call, Reply, ScriptedServer, completion
from tests import anew
from tests.commands import said
from tests.crash import campaign, tree
from tests.support import item, parts, pipeline, rows_csv

ROWS = 20


class Model7:
    """A server's mood: which records it answers badly, and how."""

    def __init__(self) -> None:
        self.bad: dict[int, Any] = {4: "no JSON", 8: "no JSON", 12: {"name": "x"}, 16: "no JSON"}
        self.more: dict[str, Any] = {}  # of the body

    def __call__(self, call: Call) -> Reply:
        number = int(call.prompt.split()[-1])
        found = self.bad.get(number)
        if isinstance(found, Reply):
            return found
        content = item(call) if found is None else found
        return Reply({**completion(content), "model": call.body["model"]} | self.more)


@pytest.fixture
def mood() -> Model7:
    return Model7()


@pytest.fixture
def server(mood: Model7) -> Iterator[ScriptedServer]:
    with ScriptedServer(mood) as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return rows_csv(tmp_path / "items.csv", ROWS)


@pytest.fixture
def out(tmp_path: Path, source: Path, server: ScriptedServer) -> Path:
    """A finished run with four records in the quarantine."""
    result = run(server, source, tmp_path / "out")
    assert [16, {"parse.json": 3, "schema.required": 1}] == [result.report.ok, dict(result.report.reasons)]
    server.calls.clear()
    return tmp_path / "out"


def small(**changes: Any) -> extract.Pipeline:
    return pipeline(**({"shard_rows": 7} | changes))


def run(server: ScriptedServer, source: Any, out: Path, options: Any = None, **changes: Any) -> extract.Result:
    return anew.run(server, small(**changes), source, out, options)


def redrive(server: ScriptedServer, source: Any, out: Path, changes: Any = None, **options: Any) -> Redriven:
    return extract.redrive(out, small(**(changes or {})), source, endpoint=server.endpoint(), **options)


def asked(server: ScriptedServer) -> list[int]:
    return sorted(int(call.prompt.split()[-1]) for call in server.calls)


def derived_anew(server: ScriptedServer, source: Any, out: Path, **changes: Any) -> dict[str, bytes]:
    return anew.derived_anew(server, small(**changes), source, out)


def test_the_quarantined_are_asked_again_and_nothing_else(
    source: Path, out: Path, server: ScriptedServer, mood: Model7
) -> None:
    """As many requests as records; the tables are those of a run that was answered well, but for the attempts."""
    before = parts(out)
    mood.bad.clear()
    result = redrive(server, source, out)
    assert [4, 8, 12, 16] == asked(server)
    assert [4, 4, 20, 0] == [result.mended, result.report.requests, result.report.ok, result.report.quarantined]
    assert [1 + (n % 4 == 0 and n < 20) for n in range(1, ROWS + 1)] == result.table["_attempts"].to_pylist()
    assert [f"item {n}" for n in range(1, ROWS + 1)] == result.table["name"].to_pylist()
    assert before.keys() == parts(out).keys()
    assert [] == fsck(out, source).violations
    assert "done" == json.loads((out / "manifest.json").read_text())["redrive"]["state"]


def test_what_was_answered_stays_in_later_runs(source: Path, out: Path, server: ScriptedServer, mood: Model7) -> None:
    """The same run asks nothing; tables that are derived anew have the same bytes; a changed check is asked nothing too."""
    mood.bad.clear()
    redrive(server, source, out)
    after = parts(out)
    run(server, source, out)
    assert 4 == len(server.calls)
    assert after == derived_anew(server, source, out)
    result = run(server, source, out, checks=[extract.checks.verbatim("name")])
    assert [20, 4] == [result.report.ok, len(server.calls)]


def test_it_stays_when_the_journal_moves_out_of_its_directory(
    source: Path, out: Path, server: ScriptedServer, mood: Model7
) -> None:
    """To be shared from then on: this directory keeps its answers and its account, others get those of the run."""
    mood.bad.clear()
    redrive(server, source, out)
    after = parts(out)
    (out / "journal.db").rename(out.parent / "shared.db")
    (out / "manifest.json").unlink()
    run(server, source, out, {"journal": out.parent / "shared.db"})
    other = run(server, source, out.parent / "other", {"journal": out.parent / "shared.db"})
    assert [after, 4, 16] == [parts(out), len(server.calls), other.report.ok]


def test_an_answer_that_is_bad_again_is_the_row_of_the_quarantine(
    source: Path, out: Path, server: ScriptedServer, mood: Model7
) -> None:
    """With all calls that were made for it; and it can be asked once more."""
    for attempts in (2, 3):
        result = redrive(server, source, out, keys=["k12"])
        assert [{"schema.required": 1, "parse.json": 3}, 0] == [dict(result.report.reasons), result.mended]
        rows = {row["key"]: row for row in result.quarantine.to_pylist()}
        assert attempts == rows["k12"]["attempts"]
        assert 1 == rows["k4"]["attempts"]
    assert [12, 12] == asked(server)
    assert parts(out) == derived_anew(server, source, out)


def test_what_was_paid_before_stays_on_the_account(
    source: Path, out: Path, server: ScriptedServer, mood: Model7
) -> None:
    mood.bad.clear()
    redrive(server, source, out)
    manifest = json.loads((out / "manifest.json").read_text())
    assert [24, 4] == [manifest["requests"], len(server.calls)]
    assert {"input": 240, "output": 120} == manifest["tokens"]


@pytest.mark.parametrize(
    ("chosen", "numbers"),
    [
        ({"reasons": ["parse.json"]}, [4, 8, 16]),
        ({"reasons": ["schema.*"]}, [12]),
        ({"reasons": ["schema.*", "parse.json"], "keys": ["k4", "k12"]}, [4, 12]),
        ({"keys": ["k8"]}, [8]),
    ],
)
def test_records_are_chosen_by_reason_and_by_key(
    source: Path, out: Path, server: ScriptedServer, mood: Model7, chosen: Any, numbers: list[int]
) -> None:
    mood.bad.clear()
    result = redrive(server, source, out, **chosen)
    assert numbers == asked(server)
    assert 20 - 4 + len(numbers) == result.report.ok


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"reasons": ["parse.jsn"]}, r"no quarantined record has the reason 'parse.jsn' \(did you mean 'parse.json'"),
        ({"keys": ["k5"]}, "the quarantine has no record 'k5'"),
        ({"reasons": "parse.json"}, "reasons is 'parse.json', not a list"),
    ],
)
def test_a_choice_that_finds_nothing_is_an_error(
    source: Path, out: Path, server: ScriptedServer, chosen: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        redrive(server, source, out, **chosen)
    assert [] == server.calls


def test_an_empty_quarantine_asks_nothing_and_changes_nothing(
    tmp_path: Path, source: Path, server: ScriptedServer, mood: Model7
) -> None:
    mood.bad.clear()
    run(server, source, tmp_path / "out")
    before = tree(tmp_path / "out")
    result = redrive(server, source, tmp_path / "out")
    assert [20, 20, 0] == [len(server.calls), result.report.ok, result.report.requests]
    assert before == tree(tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "{{ text }}!"}, "the pipeline is not that of the tables in"),
        ({"shard_rows": 8}, "the pipeline is not that of the tables in"),
    ],
)
def test_another_pipeline_is_refused(
    source: Path, out: Path, server: ScriptedServer, changes: Any, message: str
) -> None:
    before = tree(out)
    with pytest.raises(ConfigError, match=message):
        redrive(server, source, out, changes)
    assert before == tree(out)


def test_another_source_is_refused(source: Path, out: Path, server: ScriptedServer) -> None:
    with pytest.raises(
        ConfigError, match=r"the source is not that of the tables in .*name the PIPELINE and the SOURCE"
    ):
        redrive(server, rows_csv(source, ROWS + 1), out)
    assert [] == server.calls


def test_a_folder_without_tables_is_refused_and_left_alone(
    tmp_path: Path, source: Path, server: ScriptedServer
) -> None:
    with pytest.raises(ConfigError, match="holds no tables"):
        redrive(server, source, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_without_its_journal_nothing_is_asked(source: Path, out: Path, server: ScriptedServer) -> None:
    """The other rows could not be derived."""
    (out / "journal.db").unlink()
    with pytest.raises(ConfigError, match=r"journal\.db is not there"):
        redrive(server, source, out)
    assert [] == server.calls


def test_a_row_whose_answer_is_lost_is_not_asked_on_the_way(
    source: Path, out: Path, server: ScriptedServer, mood: Model7
) -> None:
    """The old tables stay, what was answered is kept, and a plain run asks for the lost one."""
    mood.bad.clear()
    [lost] = [row["_request"] for row in run(server, source, out).table.to_pylist() if row["id"] == "k9"]
    with sqlite3.connect(out / "journal.db") as connection:
        connection.execute("UPDATE answers SET body = x'00' WHERE request = ?", (lost,))
    connection.close()
    with pytest.raises(RunStopped, match="which a row of the table rests on"):
        redrive(server, source, out)
    assert [4, 8, 12, 16] == asked(server)
    assert [20, 5] == [run(server, source, out).report.ok, len(server.calls)]


def test_a_run_that_is_not_complete_is_refused(tmp_path: Path, source: Path, server: ScriptedServer) -> None:
    with pytest.raises(RunStopped):
        run(server, source, tmp_path / "out", limits=Limits(max_requests=9, concurrency=2))
    with pytest.raises(ConfigError, match="is not complete"):
        redrive(server, source, tmp_path / "out")


@pytest.mark.parametrize("harm", [Path.unlink, lambda shard: shard.write_bytes(shard.read_bytes()[:-9])])
def test_a_shard_that_is_gone_or_cut_is_refused_until_a_run_made_it_anew(
    source: Path, out: Path, server: ScriptedServer, harm: Callable[[Path], Any]
) -> None:
    """The error says what to do, and that done, nothing was asked for it."""
    harm(next(out.glob("table/*.parquet")))
    with pytest.raises(
        ConfigError, match=r"shards are missing in .*\(run `extract run` first: it goes on from there\)$"
    ):
        redrive(server, source, out)
    assert [] == server.calls
    run(server, source, out)
    assert [] == server.calls
    assert redrive(server, source, out).plan.choice.rows  # type: ignore[union-attr]


def test_records_without_a_request_are_counted_and_left(tmp_path: Path, server: ScriptedServer, mood: Model7) -> None:
    """Nothing could be asked for them; they keep their rows."""
    source = rows_csv(tmp_path / "items.csv", 6, lambda n: "" if n == 2 else f"item {n}")
    run(server, source, tmp_path / "out")
    mood.bad.clear()
    result = redrive(server, source, tmp_path / "out")
    assert [1, 1, {"prompt.empty": 1}] == [result.plan.choice.unaskable, result.mended, dict(result.report.reasons)]  # type: ignore[union-attr]
    assert 6 == len(server.calls)


def test_a_request_that_rows_of_the_table_share_is_left(tmp_path: Path, server: ScriptedServer, mood: Model7) -> None:
    """Two records with the same text have one answer; a check that looks further refuses one of them."""
    source = tmp_path / "items.csv"
    source.write_text("id,text,wanted\na,item 1,1\nb,item 1,2\nc,item 4,4\n")

    def wanted(value: Any, record: Any) -> list[extract.Issue]:
        right = str(value.number) == record["wanted"]
        return [] if right else [extract.Issue("semantic", "semantic.wanted", "$.number", "not that")]

    run(server, source, tmp_path / "out", checks=[wanted])
    mood.bad.clear()
    server.calls.clear()
    result = redrive(server, source, tmp_path / "out", {"checks": [wanted]})
    assert [4] == asked(server)
    assert [1, {"semantic.wanted": 1}] == [result.plan.choice.sharing, dict(result.report.reasons)]  # type: ignore[union-attr]


def test_unchosen_records_without_an_answer_are_not_asked(
    tmp_path: Path, source: Path, server: ScriptedServer, mood: Model7
) -> None:
    """They keep their rows word for word, and a plain run asks for them as before."""
    mood.bad[5] = Reply({"error": {"message": "try later"}}, status=500)
    out = tmp_path / "out"
    run(server, source, out)
    before = {row["key"]: row for row in redrive_nothing(server, source, out).to_pylist()}
    mood.bad = {5: mood.bad[5]}
    server.calls.clear()
    result = redrive(server, source, out, reasons=["parse.json", "schema.*"])
    assert [4, 8, 12, 16] == asked(server)
    assert [before["k5"]] == result.quarantine.to_pylist()
    mood.bad.clear()
    assert [20, 1] == [run(server, source, out).report.ok, len(server.calls) - 4]


def redrive_nothing(server: ScriptedServer, source: Path, out: Path) -> pa.Table:
    return extract.run(small(), source, out=out, endpoint=server.endpoint(), limit=None).quarantine


def test_records_without_an_answer_are_asked_again_too(
    tmp_path: Path, source: Path, server: ScriptedServer, mood: Model7
) -> None:
    mood.bad = {5: Reply({"error": {"message": "try later"}}, status=500)}
    out = tmp_path / "out"
    run(server, source, out)
    mood.bad.clear()
    server.calls.clear()
    result = redrive(server, source, out, reasons=["api.*"])
    assert [[5], 20] == [asked(server), result.report.ok]
    assert [] == fsck(out, source).violations
    assert parts(out) == derived_anew(server, source, out)


def test_a_record_that_gets_no_answer_keeps_its_row(
    source: Path, out: Path, server: ScriptedServer, mood: Model7
) -> None:
    """The old answer stands as long as there is no other."""
    before = parts(out)
    mood.bad = dict.fromkeys((4, 8, 12, 16), Reply({"error": {"message": "try later"}}, status=500))
    result = redrive(server, source, out)
    assert [0, {"parse.json": 3, "schema.required": 1}] == [result.mended, dict(result.report.reasons)]
    assert 12 == result.report.requests
    assert before == parts(out)


def test_a_record_that_failed_for_a_fault_of_ours_keeps_its_row(
    tmp_path: Path, source: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no request, and would be asked now; that is left to a plain run."""
    real = Runner._climbs

    async def faulty(self: Runner, record: Record) -> Any:
        if record.key == "k3":
            raise ZeroDivisionError
        return await real(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(Runner, "_climbs", faulty)
        run(server, source, tmp_path / "out")
    server.calls.clear()
    result = redrive(server, source, tmp_path / "out", reasons=["parse.json"])
    assert [[4, 8, 16], 1] == [asked(server), result.report.reasons["internal.error"]]
    assert 3 in (run(server, source, tmp_path / "out"), asked(server))[1]


def test_rounds_with_functions_are_made_anew(tmp_path: Path, source: Path) -> None:
    """What was found the first time may be what was wrong; later runs have the new rounds' tokens."""
    bad = {5}

    def rounds(call: Call) -> Any:
        if "response_format" not in call.body:
            return "nothing to look up"
        number = int(str(call.body["messages"][0]["content"]).split()[-1])
        return "no JSON" if number in bad else {"name": "x", "number": number}

    def lookup(name: str) -> str:
        """Look a name up."""
        return name

    with ScriptedServer(rounds) as server:
        out = tmp_path / "out"
        run(server, source, out, tools=[lookup])
        assert 2 * ROWS == len(server.calls)
        bad.clear()
        result = redrive(server, source, out, {"tools": [lookup]})
        assert [2 * ROWS + 2, 20] == [len(server.calls), result.report.ok]
        assert {20} == set(result.table["_input_tokens"].to_pylist())
        assert parts(out) == derived_anew(server, source, out, tools=[lookup])


@pytest.mark.parametrize(
    "changes", [{"repair": Repair(max_repairs=1)}, {"samples": Samples(n=3)}], ids=["repair", "votes"]
)
def test_repairs_and_votes_are_the_run_s_own(tmp_path: Path, changes: Any) -> None:
    """They are made for the new answer as for the old one; a plain run finds them all."""
    state = {"turn": 0}

    def stubborn(call: Call) -> Any:
        number = int(next(word for word in str(call.body["messages"][0]["content"]).split() if word.isdigit()))
        good = {"name": "x", "number": number}
        if number != 3 or state["turn"] == 2 or (state["turn"] == 1 and len(call.body["messages"]) > 1):
            return good
        return {"name": "x", "number": f"none {state['turn']}"}

    source = rows_csv(tmp_path / "items.csv", 5)
    with ScriptedServer(stubborn) as server:
        out = tmp_path / "out"
        assert 1 == run(server, source, out, **changes).report.quarantined
        for turn in (1, 2):
            state["turn"] = turn
            before = len(server.calls)
            redrive(server, source, out, changes)
            assert before < len(server.calls) or turn == 2
            assert parts(out) == derived_anew(server, source, out, **changes)
            assert [] == fsck(out, source).violations
        assert 5 == run(server, source, out, **changes).report.ok


def test_another_model_may_answer(source: Path, out: Path, server: ScriptedServer, mood: Model7) -> None:
    """`_model` says who; the price is that model's; the original run keeps these rows and asks nothing."""
    mood.bad.clear()
    prices = {"model.input_usd_per_million": "100", "model.output_usd_per_million": "200"}
    result = redrive(server, source, out, model="stronger", settings=prices, reasons=["parse.json"])
    assert [4, 8, 16] == asked(server)
    assert {"stronger"} == {call.body["model"] for call in server.calls}
    rows = {row["id"]: row for row in result.table.to_pylist()}
    assert ["stronger", "gemini-3-1-pro-preview"] == [rows["k4"]["_model"], rows["k5"]["_model"]]
    assert [pytest.approx(0.002), None] == [rows["k4"]["_cost_usd"], rows["k5"]["_cost_usd"]]
    assert parts(out) == derived_anew(server, source, out)
    assert 17 + 2 == run(server, source, out).report.ok
    assert 3 == len(server.calls)


def test_a_model_that_does_not_say_its_name_has_the_one_that_was_asked(
    source: Path, out: Path, server: ScriptedServer, mood: Model7
) -> None:
    mood.bad, mood.more = {}, {"model": None}
    rows = {row["id"]: row for row in redrive(server, source, out, model="stronger").table.to_pylist()}
    assert ["stronger", "gemini-3-1-pro-preview"] == [rows["k4"]["_model"], rows["k5"]["_model"]]
    assert parts(out) == derived_anew(server, source, out)


def test_another_prompt_may_ask(source: Path, out: Path, server: ScriptedServer, mood: Model7) -> None:
    """System text, examples and files stay those of the run."""
    mood.bad.clear()
    changes = {"prompt": Prompt(system="Be exact.", user="{{ text }}")}
    fresh = out.with_name("with-system")
    mood.bad = {4: "no JSON"}
    run(server, source, fresh, **changes)
    server.calls.clear()
    mood.bad.clear()
    result = redrive(server, source, fresh, changes, prompt="Look again: {{ text }}")
    [call] = server.calls
    assert ["Be exact.", "Look again: item 4"] == [message["content"] for message in call.body["messages"]]
    assert 20 == result.report.ok
    assert parts(fresh) == derived_anew(server, source, fresh, **changes)


def test_a_prompt_that_does_not_fit_is_refused(source: Path, out: Path, server: ScriptedServer) -> None:
    with pytest.raises(extract.PromptError, match="txt"):
        redrive(server, source, out, prompt="{{ txt }}")
    assert [] == server.calls


class Two(BaseModel):
    """A thing, asked for in two requests."""

    name: str
    number: int


def test_all_parts_of_a_record_are_asked_again(tmp_path: Path, source: Path) -> None:
    """And the row is of the new answers alone."""
    bad = {3}

    def halves(call: Call) -> dict[str, Any] | str:
        fields = call.body["response_format"]["json_schema"]["schema"]["properties"]
        whole: dict[str, Any] = {**item(call), "name": f"{call.prompt} of {len(server.calls)}"}
        wrong = whole["number"] in bad and "number" in fields
        return "no JSON" if wrong else {name: whole[name] for name in fields}

    changes = {"schema": Two, "split_fields": 2}
    with ScriptedServer(halves) as server:
        out = tmp_path / "out"
        assert {"parse.json": 1} == dict(run(server, source, out, **changes).report.reasons)
        bad.clear()
        server.calls.clear()
        result = redrive(server, source, out, changes)
        assert [3, 3] == asked(server)
        assert 20 == result.report.ok
        assert result.table["name"].to_pylist()[2] in ("item 3 of 1", "item 3 of 2")
        assert parts(out) == derived_anew(server, source, out, **changes)


@pytest.mark.parametrize("changes", [{"format": "csv"}, {"share_answers": False}, {"key": None}])
def test_whatever_the_layout(tmp_path: Path, source: Path, server: ScriptedServer, mood: Model7, changes: Any) -> None:
    out = tmp_path / "out"
    run(server, source, out, **changes)
    server.calls.clear()
    mood.bad = {8: "no JSON"}
    result = redrive(server, source, out, changes)
    assert [[4, 8, 12, 16], 19] == [asked(server), result.report.ok]
    assert parts(out) == derived_anew(server, source, out, **changes)
    assert [] == fsck(out, source).violations


def test_a_plan_is_shown_before_anything_is_asked(source: Path, out: Path, server: ScriptedServer) -> None:
    """What it raises ends the redrive, and nothing has changed."""
    before, seen = tree(out), []

    def refuse(plan: Plan) -> None:
        seen.append(plan)
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        redrive(server, source, out, approve=refuse, reasons=["parse.json"])
    assert [3, 3, {"parse.json": 3}] == [len(seen[0].choice.rows), seen[0].requests, seen[0].choice.reasons]
    assert before == tree(out)
    assert [] == server.calls


def test_a_cap_ends_it_and_the_same_call_goes_on(source: Path, out: Path, server: ScriptedServer, mood: Model7) -> None:
    """What was answered is not asked again; until the end readers see the old tables."""
    before = parts(out)
    mood.bad.clear()
    with pytest.raises(RunStopped, match="max_requests"):
        redrive(server, source, out, settings={"limits.max_requests": "2", "limits.concurrency": "1"})
    assert before == {name: found for name, found in parts(out).items() if not name.startswith(".next")}
    assert [] == fsck(out, source).violations
    result = redrive(server, source, out)
    assert [[4, 8, 12, 16], 20] == [asked(server), result.report.ok]
    assert [2] * 4 == [n for n in result.table["_attempts"].to_pylist() if n > 1]


def test_a_plain_run_takes_up_what_was_answered(source: Path, out: Path, server: ScriptedServer, mood: Model7) -> None:
    """It asks nothing, and the rest can still be redriven."""
    mood.bad.clear()
    with pytest.raises(RunStopped):
        redrive(server, source, out, settings={"limits.max_requests": "2", "limits.concurrency": "1"})
    result = run(server, source, out)
    assert [18, 2] == [result.report.ok, len(server.calls)]
    assert [20, 4] == [redrive(server, source, out).report.ok, len(server.calls)]


def test_another_choice_begins_anew_after_what_was_answered(
    source: Path, out: Path, server: ScriptedServer, mood: Model7
) -> None:
    mood.bad.clear()
    with pytest.raises(RunStopped):
        redrive(server, source, out, settings={"limits.max_requests": "1", "limits.concurrency": "1"})
    result = redrive(server, source, out, reasons=["schema.*"])
    assert [[4, 12], 18] == [asked(server), result.report.ok]


def test_refusals_of_all_alike_are_no_answers(source: Path, out: Path, server: ScriptedServer, mood: Model7) -> None:
    """A model that is unknown stops the redrive, and the rows stay what they were."""
    before = parts(out)
    mood.bad = dict.fromkeys((4, 8, 12, 16), Reply({"error": {"message": "no such model"}}, status=404))
    with pytest.raises(extract.NotFoundError):
        redrive(server, source, out, model="unknown")
    run(server, source, out)
    assert before == parts(out)


# Killed on the way

CHAIN = (*failpoints.REDRIVE, "journal.commit.after", "replace.placed")  # `python -m tests.crash` sweeps them all


def test_it_may_end_at_every_durable_step(tmp_path: Path) -> None:
    """`extract fsck` finds nothing wrong, nothing that was stored is asked again, and the bytes are those of a redrive
    that nobody disturbed, whether another redrive goes on or a plain run does."""
    with campaign(tmp_path) as running:
        running.redriven(CHAIN, (1,))
        assert [] == running.faults
        assert set(CHAIN) == running.died


@pytest.mark.parametrize(("name", "code"), list(zip(failpoints.REDRIVE, ["ENOSPC", "EIO", "EROFS"] * 2, strict=False)))
def test_a_disk_that_refuses_is_a_pause(
    source: Path, out: Path, server: ScriptedServer, mood: Model7, monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    """The old tables stand, and the same call goes on with what is not answered."""
    mood.bad.clear()
    failpoints.forget_counts()
    with monkeypatch.context() as patch:
        patch.setenv(failpoints.VARIABLE, f"{name}:1:{code}")
        with pytest.raises(DiskPause):
            redrive(server, source, out)
    failpoints.forget_counts()
    assert [] == fsck(out, source).violations
    assert [20, [4, 8, 12, 16]] == [redrive(server, source, out).report.ok, asked(server)]


# From the command line

PIPELINE = """
from extract import Limits, Pipeline, Retry
from pydantic import BaseModel

class Item(BaseModel):
    name: str
    number: int

pipeline = Pipeline(
    name="items", schema=Item, prompt="{{ text }}", source="items.csv", retry=Retry(max_attempts=2, initial_wait=0),
)
"""


@pytest.fixture
def project(tmp_path: Path, source: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a run has been made from the command line."""
    (tmp_path / "things.py").write_text(PIPELINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXTRACT_BASE_URL", server.base_url)
    assert 3 == said("run", "things.py", "--key", "id", "--set", "model.seed=3", "--quiet")[0]
    server.calls.clear()
    return tmp_path


def test_the_run_directory_is_enough(project: Path, server: ScriptedServer, mood: Model7) -> None:
    """The manifest says how the run was started: pipeline, key and settings."""
    mood.bad = {16: "no JSON"}
    code, text = said("redrive", "out/items", "--yes", "--quiet")
    assert 3 == code
    assert "4 records asked again, 3 have a row now\n19 ok, 1 quarantined (parse.json 1), 4 requests" in text
    assert [4, 8, 12, 16] == asked(server)
    assert {3} == {call.body["seed"] for call in server.calls}
    mood.bad.clear()
    code, text = said("redrive", "out/items", "--yes", "--json", "--quiet", "--key", "k16", "--model", "other")
    assert [0, 1, 1] == [code, json.loads(text)["redriven"]["mended"], json.loads(text)["redriven"]["records"]]
    assert "other" == server.calls[-1].body["model"]
    assert 0 == said("run", "things.py", "--key", "id", "--set", "model.seed=3", "--quiet")[0]
    assert 5 == len(server.calls)


def test_an_ad_hoc_run_can_be_redriven(project: Path, server: ScriptedServer, mood: Model7) -> None:
    (project / "again.txt").write_text("Look again: {{ text }}")
    words = ("--schema", "things.py:Item", "--prompt", "the {{ text }}", "--limit", "9", "--out", "ad-hoc")
    assert 3 == said("run", "items.csv", *words, "--quiet")[0]
    mood.bad.clear()
    server.calls.clear()
    assert 0 == said("redrive", "ad-hoc", "--yes", "--quiet", "--prompt", "@again.txt")[0]
    assert ["Look again: item 4", "Look again: item 8"] == sorted(call.prompt for call in server.calls)


def test_a_dry_run_says_what_would_be_asked_and_changes_nothing(project: Path, server: ScriptedServer) -> None:
    before = tree(project / "out")
    code, text = said("redrive", "out/items", "--dry-run", "--reason", "parse.json", "--reason", "schema.*")
    assert 0 == code
    assert "4 of 4 quarantined records are asked again (parse.json 3, schema.required 1)\n4 requests to" in text
    code, text = said("redrive", "out/items", "--dry-run", "--json", "--key", "k4")
    assert [1, 1, 4] == [json.loads(text)[name] for name in ("records", "requests", "quarantined")]
    assert before == tree(project / "out")
    assert [] == server.calls


def test_without_a_terminal_it_asks_only_when_told_to(project: Path, server: ScriptedServer) -> None:
    assert (2, "nothing was asked (--yes goes on without asking)") == said("redrive", "out/items")
    assert [] == server.calls


def test_a_run_from_python_is_named(project: Path, server: ScriptedServer, mood: Model7) -> None:
    """Its manifest does not say how it was started."""
    run(server, project / "items.csv", project / "python", schema=Two, name="two")
    code, text = said("redrive", "python", "--yes")
    assert 2 == code
    assert "does not say how its run was started (name it: extract redrive RUN_DIR PIPELINE [SOURCE])" in text
    text = said("redrive", "python", "things.py", "items.csv", "--yes")[1]
    assert "the source, pipeline and schema are not those of the tables in python" in text
    assert "one pipeline and one source" in said("redrive", "python", "a", "b", "c")[1]
    assert [] == [call for call in server.calls if "redrive" in call.prompt]


def test_from_another_folder_it_says_where_the_run_was_started(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "elsewhere").mkdir()
    monkeypatch.chdir(project / "elsewhere")
    code, text = said("redrive", "../out/items", "--yes")
    assert 2 == code
    assert f"was started in {project}" in text


@pytest.mark.parametrize("told", [7, {"words": 3}, {"words": []}, {}])
def test_a_manifest_that_was_tampered_with_is_named(project: Path, told: Any) -> None:
    path = project / "out/items/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "started": told}))
    code, text = said("redrive", "out/items", "--yes")
    assert 2 == code
    assert "does not say well how the run was started" in text


def test_settings_that_may_hold_secrets_are_not_kept(project: Path, server: ScriptedServer, mood: Model7) -> None:
    """The redrive says that the pipeline is another one; it can be told again."""
    body = 'model.extra_body={"user": "hush-hush"}'
    said("run", "things.py", "--set", body, "--out", "secret", "--quiet")
    assert "hush-hush" not in (project / "secret/manifest.json").read_text()
    assert "the pipeline is not that of the tables" in said("redrive", "secret", "--yes")[1]


def test_a_template_that_cannot_be_read_is_a_usage_error(project: Path) -> None:
    assert "--prompt @none.txt: cannot be read" in said("redrive", "out/items", "--yes", "--prompt", "@none.txt")[1]
