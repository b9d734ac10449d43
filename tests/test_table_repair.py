"""Table repair: where checks of the table fail, the culprits' fields alone are asked again, once, whatever happens."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandera.pandas as pa_
import pytest
from pydantic import BaseModel

import extract
from extract import Limits, Model, Redriven, Repair, RunStopped, Samples, failpoints
from extract.checks import between, tables
from extract.checks.tables import TableCheck, Verdict
from extract.fsck import fsck
from extract.testing import Call, Reply, ScriptedServer, completion
from tests import anew
from tests.crash import campaign
from tests.support import files, parts, pipeline, rows_csv

ROWS = 12


class Bill(BaseModel):
    """A bill, and which one it corrects."""

    number: int
    corrects: int | None
    amount: int | None


class Clerk:
    """Answers for a server: what it reads at first, and what at a second look, by the record."""

    def __init__(self) -> None:
        self.first: dict[int, dict[str, Any]] = {}
        self.second: dict[int, Any] = {}

    def __call__(self, call: Call) -> Reply:
        number = asked_about(call)
        answer = {"number": number, "corrects": None, "amount": 10} | self.first.get(number, {})
        if is_second(call):
            names = call.body["response_format"]["json_schema"]["schema"]["required"]
            found = self.second.get(number, {})
            if isinstance(found, Reply):
                return found
            answer = {name: (answer | found)[name] for name in names}
        return Reply(completion(answer))


def asked_about(call: Call) -> int:
    """The record's number."""
    users = [message["content"] for message in call.body["messages"] if message["role"] == "user"]
    return int(users[0].split()[-1])


def is_second(call: Call) -> bool:
    return any(message["role"] == "assistant" for message in call.body["messages"])


@pytest.fixture
def clerk() -> Clerk:
    return Clerk()


@pytest.fixture
def server(clerk: Clerk) -> Iterator[ScriptedServer]:
    with ScriptedServer(clerk) as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return rows_csv(tmp_path / "bills.csv", ROWS, "bill {}".format)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def broken(rows: Any) -> Verdict:
    raise ZeroDivisionError("of the check itself")


UNIQUE = tables.unique("number", repair=True)


def bills(*found: TableCheck, **changes: Any) -> extract.Pipeline:
    return pipeline(**({"schema": Bill, "shard_rows": 5, "table_checks": found or (UNIQUE,)} | changes))


def run(server: ScriptedServer, source: Any, out: Path, *found: TableCheck, **changes: Any) -> extract.Result:
    return anew.run(server, bills(*found, **changes), source, out)


def second_looks(server: ScriptedServer) -> list[int]:
    return [asked_about(call) for call in server.calls if is_second(call)]


def manifest(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return found


def numbers(result: extract.Result) -> list[int]:
    return list(result.table["number"].to_pylist())


def flagged(result: extract.Result) -> list[tuple[int, list[str]]]:
    """The rows that have flags, by their number from 0."""
    return [(number, flags) for number, flags in enumerate(result.table["_flags"].to_pylist()) if flags]


def settled(server: ScriptedServer, source: Path, out: Path, *found: TableCheck, **changes: Any) -> None:
    """The same command asks nothing and changes nothing; tables that are derived anew have the same bytes."""
    before, calls = files(out), len(server.calls)
    run(server, source, out, *found, **changes)
    assert before == files(out)
    assert calls == len(server.calls)
    assert parts(out) == anew.derived_anew(server, bills(*found, **changes), source, out)
    assert [] == fsck(out, source).violations
    assert not (out / ".next").exists()


def test_only_the_later_duplicates_are_asked_again(
    source: Path, out: Path, server: ScriptedServer, clerk: Clerk
) -> None:
    """For the field of the key alone, with the record, the answer and what is wrong; the row says so."""
    clerk.first = {7: {"number": 3}, 9: {"number": 3}}
    clerk.second = {7: {"number": 7}, 9: {"number": 9}}
    result = run(server, source, out)
    assert [7, 9] == sorted(second_looks(server))
    assert list(range(1, ROWS + 1)) == numbers(result)
    assert result.ok
    (finding,) = result.report.table_checks
    assert (True, 2, ()) == (finding.passed, finding.asked, finding.unmended)
    assert ROWS + 2 == result.report.requests == manifest(out)["requests"]
    call = next(call for call in server.calls if is_second(call))
    asked, answered, doubted = [message["content"] for message in call.body["messages"][-3:]]
    assert asked.endswith(f"bill {asked_about(call)}")
    assert {"number": 3, "corrects": None, "amount": 10} == json.loads(answered)
    assert "$.number: another record has the same number" in doubted
    assert ["number"] == list(call.body["response_format"]["json_schema"]["schema"]["properties"])
    rows = {row["id"]: row for row in result.table.to_pylist()}
    assert (["repaired:number"], 2, 2) == (
        *(rows["k7"]["_flags"], rows["k7"]["_attempts"], len(rows["k7"]["_request"].split())),
    )
    assert ([], 1) == (rows["k3"]["_flags"], rows["k3"]["_attempts"])
    settled(server, source, out)


def test_what_it_asked_cost_and_mended_is_told(source: Path, out: Path, server: ScriptedServer, clerk: Clerk) -> None:
    """In report and manifest: of two culprits one is mended, and the other is listed, and flagged in its row."""
    clerk.first, clerk.second = {7: {"number": 3}, 9: {"number": 3}}, {7: {"number": 7}}
    result = run(server, source, out, model=Model(input_usd_per_million=100, output_usd_per_million=200))
    assert not result.ok
    found = manifest(out)
    (check,) = found["table_checks"]
    assert (2, [["k9", "$.number"]], False, 2) == (check["asked"], check["unmended"], check["passed"], check["failing"])
    (effort,) = found["efforts"]
    assert ("table", 2, 1) == (effort["what"], effort["answers"], effort["passed"])
    assert effort["cost_usd"] == pytest.approx(2 * (10 * 100 + 5 * 200) / 1e6)
    assert {"round", "records"} == found["table_repair"].keys()
    assert 2 == found["table_repair"]["records"]
    assert "1 of 2 table repairs helped, 1 of 1 table checks failed (unique(number))" in result.report.line
    rows = {row["id"]: row for row in result.table.to_pylist()}
    assert (["table.unique:$.number"], 3) == (rows["k9"]["_flags"], rows["k9"]["number"])
    assert rows["k9"]["_cost_usd"] == pytest.approx(2 * (10 * 100 + 5 * 200) / 1e6)
    assert "done" == found["redrive"]["state"]
    settled(server, source, out, model=Model(input_usd_per_million=100, output_usd_per_million=200))


def test_each_kind_asks_for_its_culprits(source: Path, out: Path, server: ScriptedServer, clerk: Clerk) -> None:
    """Several fields of a key, the referring field, what is empty, and what a schema does not take: together in one
    request where they are of one record; a distribution asks for nothing."""
    clerk.first = {
        2: {"corrects": 99},
        4: {"amount": None},
        5: {"corrects": 98, "amount": None},
        6: {"number": 1000},
        8: {"number": 1, "amount": 10},
    }
    clerk.second = {
        2: {"corrects": 1},
        4: {"amount": 10},
        5: {"corrects": 1, "amount": 10},
        6: {"number": 6},
        8: {"number": 8},
    }
    earlier = out.with_name("earlier.csv")
    earlier.write_text("amount\n" + "77\n" * 20)
    schema = pa_.DataFrameSchema({"number": pa_.Column(checks=pa_.Check.less_than(100))})
    found = (
        tables.unique("number", "amount", repair=True),
        tables.foreign_key("corrects", "number", repair=True),
        tables.total("amount", 10 * ROWS, repair=True),
        tables.pandera(schema, repair=True),
        tables.shift("amount", earlier, limit=0.5, measure="ks", severity="warn", repair=True),
    )
    result = run(server, source, out, *found)
    assert [2, 4, 5, 6, 8] == sorted(second_looks(server))
    wanted = {2: ["corrects"], 4: ["amount"], 5: ["corrects", "amount"], 6: ["number"], 8: ["number", "amount"]}
    for call in filter(is_second, server.calls):
        schema_asked = call.body["response_format"]["json_schema"]["schema"]
        assert wanted[asked_about(call)] == list(schema_asked["properties"])
    assert [2, 2, 2, 1, 0] == [each.asked for each in result.report.table_checks]
    assert [True, True, True, True, False] == [each.passed for each in result.report.table_checks]
    assert result.ok
    settled(server, source, out, *found)


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (tables.total("amount", 5, repair=True), "total(amount)"),
        (TableCheck("table.odd", "odd", (), lambda rows: Verdict("odd", (("k2", "$.text"),), 1), repair=True), "odd"),
        (TableCheck("table.total", "own", (), broken, repair=True), "own"),
    ],
)
def test_where_no_field_can_be_named_nothing_is_asked_and_that_is_said(
    tmp_path: Path, out: Path, server: ScriptedServer, check: TableCheck, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A sum without an empty cell, a place that is a column of the source, a check that raises. A row that is named
    is flagged all the same."""
    source = rows_csv(tmp_path / "bills.csv", 4, lambda number: f"bill {1 + number % 2}")
    with caplog.at_level(logging.WARNING, "extract.table_repair"):
        result = run(server, source, out, check, columns=["text"], share_answers=False)
    assert [] == second_looks(server)
    assert not result.ok
    assert f"table check {said} failed, and there is no field to ask again" in caplog.text
    assert [[], ["table.odd:$.text"] if said == "odd" else [], [], []] == result.table["_flags"].to_pylist()
    caplog.clear()
    before = files(out)
    assert not run(server, source, out, check, columns=["text"], share_answers=False).ok
    assert ("", before) == (caplog.text, files(out))


def test_a_run_without_repair_is_as_before(source: Path, out: Path, server: ScriptedServer, clerk: Clerk) -> None:
    """Nothing is asked, nothing noted, the manifest does not speak of it; nor does one whose checks pass."""
    clerk.first = {7: {"number": 3}}
    result = run(server, source, out, tables.unique("number"))
    assert ([], ROWS) == (second_looks(server), result.report.requests)
    assert not {"table_repair", "redrive", "efforts"} & manifest(out).keys()
    run(server, source, out, tables.foreign_key("corrects", "number", repair=True))
    assert not {"table_repair", "redrive", "efforts"} & manifest(out).keys()
    assert ROWS == len(server.calls)


def test_a_check_that_wants_it_later_asks_over_the_tables_that_are_there(
    source: Path, out: Path, server: ScriptedServer, clerk: Clerk
) -> None:
    """And another check after that asks for what the first has not: the second look at a record that had one."""
    clerk.first = {7: {"number": 3, "corrects": 50}}
    run(server, source, out, tables.unique("number"))
    clerk.second = {7: {"number": 7}}
    assert run(server, source, out).ok
    assert ([7], ROWS + 1) == (second_looks(server), len(server.calls))
    clerk.second = {7: {"number": 7, "corrects": 1}}
    both = (UNIQUE, tables.foreign_key("corrects", "number", repair=True))
    result = run(server, source, out, *both)
    assert result.ok
    assert ([7, 7], ROWS + 2) == (second_looks(server), len(server.calls))
    assert ["repaired:number", "repaired:corrects"] == result.table["_flags"].to_pylist()[6]
    assert [7, 1] == [result.table[name].to_pylist()[6] for name in ("number", "corrects")]
    settled(server, source, out, *both)


def test_a_reply_that_the_judge_does_not_take_leaves_the_row(
    source: Path, out: Path, server: ScriptedServer, clerk: Clerk
) -> None:
    """Schema, semantic checks and evidence hold for it; no row is lost to a second look."""
    clerk.first = {number: {"number": 3} for number in (7, 8, 9, 10)}
    clerk.second = {7: {"number": "seven"}, 8: {"number": 800}, 9: {"number": 11}, 10: Reply(completion("no JSON"))}
    changes = {"checks": [between("number", 1, 100)], "evidence": extract.Evidence(unsupported="reject")}
    clerk.first |= {3: {"amount": None}, **{n: found | {"amount": None} for n, found in clerk.first.items()}}
    clerk.first |= {n: {"amount": None} for n in range(1, ROWS + 1) if n not in clerk.first}
    source.write_text(source.read_text().replace("bill 7", "3 or bill 7").replace("bill 8", "3 bill 8"))
    source.write_text(source.read_text().replace("bill 9", "3 bill 9").replace("bill 10", "3 bill 10"))
    result = run(server, source, out, **changes)
    assert [7, 8, 9, 10] == sorted(second_looks(server))
    assert (ROWS, 0) == (result.report.ok, result.report.quarantined)
    assert [3, 3, 3, 3] == numbers(result)[6:10]
    assert all("table.unique:$.number" in flags for flags in result.table["_flags"].to_pylist()[6:10])
    settled(server, source, out, **changes)


def test_one_round_is_all(source: Path, out: Path, server: ScriptedServer, clerk: Clerk) -> None:
    """A reply that makes a new culprit is not followed by another question, however many repairs there are."""
    clerk.first, clerk.second = {7: {"number": 3}}, {7: {"number": 5}, 5: {"number": 50}}
    result = run(server, source, out, repair=Repair(max_repairs=5))
    assert [7] == second_looks(server)
    (finding,) = result.report.table_checks
    assert (False, (("k7", "$.number"),)) == (finding.passed, finding.unmended)
    assert "0 of 1 table repairs helped" in result.report.line
    settled(server, source, out, repair=Repair(max_repairs=5))


def test_a_record_that_used_up_its_repairs_is_left(
    source: Path, out: Path, server: ScriptedServer, clerk: Clerk
) -> None:
    """`max_repairs` is of a record: one was mended at once, the other may still be asked."""
    clerk.first = {7: {"number": "x"}, 9: {"number": 3}}
    clerk.second = {7: {"number": 3}, 9: {"number": 9}}
    changes = {"repair": Repair(max_repairs=1)}
    result = run(server, source, out, **changes)
    assert [7, 9] == sorted(second_looks(server))
    assert [3, 9] == [numbers(result)[6], numbers(result)[8]]
    (finding,) = result.report.table_checks
    assert (False, 1) == (finding.passed, finding.asked)
    assert ["repaired:number", "table.unique:$.number"] == result.table["_flags"].to_pylist()[6]
    settled(server, source, out, **changes)


@pytest.mark.parametrize("most", [{"max_tokens": 40}, {"max_cost_usd": 0.005}])
def test_a_stop_makes_no_budget_anew(
    source: Path, out: Path, server: ScriptedServer, clerk: Clerk, most: dict[str, Any]
) -> None:
    """What the round and the records' own repairs took before counts: the tables are those of an undisturbed run."""
    clerk.first = {12: {"number": "x"}} | {number: {"number": 3} for number in range(5, 11)}
    clerk.second = {number: {"number": number} for number in range(5, 13)}
    model = Model(input_usd_per_million=100, output_usd_per_million=200, max_tokens=5)
    changes = {"repair": Repair(max_repairs=1, **most), "model": model}
    quiet = {"limits": Limits(concurrency=1, timeout=20)}
    control = out.with_name("control")
    result = run(server, source, control, **changes, **quiet)
    asked = second_looks(server)
    assert [12, 5, 6] == asked
    assert [["table.unique:$.number"]] * 4 == result.table["_flags"].to_pylist()[6:10]
    with pytest.raises(RunStopped):
        run(server, source, out, **changes, limits=Limits(concurrency=1, timeout=20, max_requests=ROWS + 2))
    assert [12, 5] == second_looks(server)[len(asked) :]
    run(server, source, out, **changes, **quiet)
    assert asked == second_looks(server)[len(asked) :]
    assert parts(control) == parts(out)
    before = files(out)
    run(server, source, out, **changes, **quiet)
    assert before == files(out)


@pytest.mark.parametrize("most", [{"max_tokens": 15}, {"max_cost_usd": 0.001}])
def test_the_budget_of_repairs_holds(
    source: Path, out: Path, server: ScriptedServer, clerk: Clerk, most: dict[str, Any]
) -> None:
    """What the records' own repairs have spent counts too."""
    clerk.first = {5: {"number": "x"}} | {number: {"number": 3} for number in (7, 8, 9)}
    clerk.second = {number: {"number": number} for number in (5, 7, 8, 9)}
    model = Model(input_usd_per_million=100, output_usd_per_million=200, max_tokens=5)
    changes = {"repair": Repair(max_repairs=1, **most), "model": model, "limits": Limits(concurrency=1, timeout=20)}
    result = run(server, source, out, **changes)
    assert [5] == second_looks(server)
    (finding,) = result.report.table_checks
    assert (False, 0) == (finding.passed, finding.asked)
    assert [["table.unique:$.number"]] * 3 == result.table["_flags"].to_pylist()[6:9]
    before = files(out)
    run(server, source, out, **changes)
    assert before == files(out)


def test_the_caps_of_the_run_hold_and_the_next_goes_on(
    source: Path, out: Path, server: ScriptedServer, clerk: Clerk
) -> None:
    """Calls of the run and of its table repair are counted together; the finished tables stay until the end."""
    clerk.first = {number: {"number": 3} for number in (7, 8, 9)}
    clerk.second = {number: {"number": number} for number in (7, 8, 9)}
    changes = {"limits": Limits(concurrency=1, timeout=20, max_requests=ROWS + 1)}
    with pytest.raises(RunStopped, match="the cap of this run") as caught:
        run(server, source, out, **changes)
    assert (ROWS + 1, 1) == (len(server.calls), len(second_looks(server)))
    assert ROWS + 1 == caught.value.report.requests  # type: ignore[attr-defined]
    assert manifest(out)["complete"]
    assert (out / ".next").exists()
    result = run(server, source, out, **changes)
    assert result.ok
    assert ROWS + 3 == len(server.calls)
    settled(server, source, out, **changes)


def test_a_second_look_without_an_answer_is_taken_by_a_later_run(
    source: Path, out: Path, server: ScriptedServer, clerk: Clerk
) -> None:
    """The row stays meanwhile, and says what is against it."""
    clerk.first, clerk.second = {7: {"number": 3}}, {7: Reply(status=500)}
    result = run(server, source, out)
    assert [7, 7, 7] == second_looks(server)
    assert (ROWS, 3) == (result.report.ok, numbers(result)[6])
    assert ["table.unique:$.number"] == result.table["_flags"].to_pylist()[6]
    clerk.second = {7: {"number": 7}}
    result = run(server, source, out)
    assert (True, ["repaired:number"]) == (result.ok, result.table["_flags"].to_pylist()[6])
    assert 4 == len(second_looks(server))
    settled(server, source, out)


def test_a_second_look_that_is_refused_leaves_a_row_that_says_so(
    source: Path, out: Path, server: ScriptedServer, clerk: Clerk
) -> None:
    """It is asked once; every row is kept, and the culprit has the flag of its check."""
    clerk.first, clerk.second = {7: {"number": 3}}, {7: Reply({"error": {"message": "no"}}, 400)}
    result = run(server, source, out)
    assert ([7], ROWS, 3) == (second_looks(server), result.report.ok, numbers(result)[6])
    assert [(6, ["table.unique:$.number"])] == flagged(result)
    assert "0 of 1 table repairs helped" in result.report.line
    settled(server, source, out)


def test_what_a_reply_leaves_as_it_was_keeps_the_flag_of_its_check(
    source: Path, out: Path, server: ScriptedServer, clerk: Clerk
) -> None:
    """One of two fields that were asked for together is mended, of two checks."""
    clerk.first = {7: {"number": 3, "corrects": 50}}
    clerk.second = {7: {"number": 7}}
    both = (UNIQUE, tables.foreign_key("corrects", "number", repair=True))
    result = run(server, source, out, *both)
    assert [7] == second_looks(server)
    assert [(6, ["repaired:number,corrects", "table.foreign_key:$.corrects"])] == flagged(result)
    settled(server, source, out, *both)


def test_whose_answer_it_is_is_asked(source: Path, out: Path, clerk: Clerk) -> None:
    """The model that a record was passed on to, by its own name."""
    clerk.first = {9: {"number": 3}}
    clerk.second = {9: {"number": 9}}
    models = [Model(name="cheap"), Model(name="strong")]

    def answer(call: Call) -> Reply:
        if asked_about(call) == 9 and call.body["model"] == "cheap":
            return Reply(completion("no JSON"))
        return clerk(call)

    with ScriptedServer(answer) as two:
        result = run(two, source, out, models=models)
        assert ["strong"] == [call.body["model"] for call in two.calls if is_second(call)]
        assert result.ok
        settled(two, source, out, models=models)


def test_votes_keep_their_confidence(source: Path, out: Path, server: ScriptedServer, clerk: Clerk) -> None:
    """But for the fields that were asked again."""
    clerk.first, clerk.second = {7: {"number": 3}}, {7: {"number": 7}}
    changes = {"samples": Samples(n=2), "model": Model(temperature=0.5)}
    result = run(server, source, out, **changes)
    assert result.ok
    assert {"number": None, "corrects": 1.0, "amount": 1.0} == result.table["_confidence"].to_pylist()[6]
    settled(server, source, out, **changes)


def test_new_records_are_another_round(source: Path, out: Path, server: ScriptedServer, clerk: Clerk) -> None:
    """What was mended stays so, and only the new culprit is asked."""
    clerk.first, clerk.second = {7: {"number": 3}}, {7: {"number": 7}}
    run(server, source, out)
    rows_csv(source, ROWS + 2, "bill {}".format)
    clerk.first |= {ROWS + 1: {"number": 2}}
    clerk.second |= {ROWS + 1: {"number": ROWS + 1}}
    result = run(server, source, out)
    assert [7, ROWS + 1] == second_looks(server)
    assert list(range(1, ROWS + 3)) == numbers(result)
    assert 1 == result.report.table_checks[0].asked
    settled(server, source, out)


def test_a_redrive_and_rows_by_hand_keep_what_was_mended(
    source: Path, out: Path, server: ScriptedServer, clerk: Clerk
) -> None:
    """And ask nothing for it; a person's row is never asked about."""
    clerk.first = {7: {"number": 3}, 9: {"number": "x"}, 10: {"number": "x"}}
    clerk.second = {7: {"number": 7}}
    run(server, source, out)
    clerk.first.pop(9)
    redriven: Redriven = extract.redrive(out, bills(), source, endpoint=server.endpoint(), keys=["k9"])
    assert ([7], 1) == (second_looks(server), redriven.mended)
    assert [7, 9] == [numbers(redriven)[6], numbers(redriven)[8]]
    edits = out.with_name("edits.csv")
    edits.write_text("key,number,corrects,amount\nk10,4,,10\n")
    extract.accept(out, bills(), edits, source, endpoint=server.endpoint())
    result = run(server, source, out)
    assert (False, [7]) == (result.ok, second_looks(server))
    rows_csv(source, ROWS + 1, "bill {}".format)
    result = run(server, source, out)
    assert ([7], 4) == (second_looks(server), numbers(result)[9])
    settled(server, source, out)


def test_a_redrive_that_takes_it_up_leaves_the_rest_to_a_run(
    source: Path, out: Path, server: ScriptedServer, clerk: Clerk
) -> None:
    """It derives what is answered, and asks nothing that it was not told to; the next run asks what is left."""
    clerk.first = {number: {"number": 3} for number in (7, 8, 9)} | {11: {"number": "x"}}
    clerk.second = {number: {"number": number} for number in (7, 8, 9)}
    limits = {"limits": Limits(concurrency=1, timeout=20, max_requests=ROWS + 1)}
    with pytest.raises(RunStopped):
        run(server, source, out, **limits)
    assert 1 == len(second_looks(server))
    clerk.first.pop(11)
    redriven = extract.redrive(out, bills(), source, endpoint=server.endpoint())
    assert (1, 1) == (redriven.mended, len(second_looks(server)))
    assert 2 == numbers(redriven).count(3) - 1 == len(redriven.report.table_checks[0].culprits)
    assert run(server, source, out).ok
    assert [7, 8, 9] == sorted(second_looks(server))
    settled(server, source, out)


def test_what_is_masked_stays_masked(tmp_path: Path, out: Path) -> None:
    """In a second look too, and in what is noted for it."""

    class Contact(BaseModel):
        mail: str

    def answer(call: Call) -> Reply:
        return Reply(completion({"mail": "[EMAIL_1]"}))

    source = rows_csv(tmp_path / "contacts.csv", 3, lambda number: f"write to ann@mail.example.org about {number}")
    check = tables.unique("mail", repair=True)
    with ScriptedServer(answer) as own:
        result = run(own, source, out, check, schema=Contact, redact=["email"])
        assert 2 == sum(map(is_second, own.calls))
        assert b"ann@mail" not in b"".join(call.raw for call in own.calls)
    assert ["ann@mail.example.org"] * 3 == result.table["mail"].to_pylist()
    assert 2 == len(result.report.table_checks[0].unmended)


def test_parts_of_a_record_are_asked_together(source: Path, out: Path, server: ScriptedServer, clerk: Clerk) -> None:
    """Whatever request a field came from."""

    def answer(call: Call) -> Reply:
        names = call.body["response_format"]["json_schema"]["schema"]["properties"]
        found = json.loads(json.loads(json.dumps(clerk(call).body))["choices"][0]["message"]["content"])
        return Reply(completion({name: found[name] for name in names}))

    clerk.first, clerk.second = {7: {"number": 3}}, {7: {"number": 7, "amount": 11}}
    check = tables.unique("number", "amount", repair=True)
    changes = {"split_fields": [["number"], ["corrects", "amount"]]}
    with ScriptedServer(answer) as own:
        result = run(own, source, out, check, **changes)
        assert [7] == second_looks(own)
        assert result.ok
        assert [7, 11] == [result.table[name].to_pylist()[6] for name in ("number", "amount")]
        settled(own, source, out, check, **changes)


def test_a_check_that_wants_none_any_more_asks_none(
    source: Path, out: Path, server: ScriptedServer, clerk: Clerk
) -> None:
    """Also of what was noted; what was answered counts."""
    clerk.first = {number: {"number": 3} for number in (7, 8)}
    clerk.second = {number: {"number": number} for number in (7, 8)}
    with pytest.raises(RunStopped):
        run(server, source, out, limits=Limits(concurrency=1, timeout=20, max_requests=ROWS + 1))
    result = run(server, source, out, tables.unique("number"))
    assert [7] == second_looks(server)
    assert [7, 3] == numbers(result)[6:8]
    settled(server, source, out, tables.unique("number"))


def test_it_is_killed_between_its_steps(tmp_path: Path) -> None:
    """At each of its own places: the next run asks only what has no answer, and the tables have the same bytes."""
    with campaign(tmp_path) as running:
        running.table_repaired((*failpoints.TABLE_REPAIR, "shelf.manifest.after", "journal.commit.after"), (1,))
        assert [] == running.faults
        assert set(failpoints.TABLE_REPAIR) < running.died
