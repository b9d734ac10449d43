"""Rows of the quarantine that people fill in: accepted as an answer would be, kept, and taken back."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pytest
from pydantic import BaseModel, Field, field_validator
from typer.testing import CliRunner

import extract
from extract import EditError, Evidence, InputError, Issue, Verbatim, failpoints
from extract.accepting import write_template
from extract.accepting.cells import shown_value, wire_value
from extract.api import prepare_run
from extract.checks import between
from extract.cli import app
from extract.errors import ConfigError
from extract.fsck import fsck
from extract.schema import compile_schema
from extract.survey import looked
from extract.testing import Call, Reply, ScriptedServer, completion
from tests import anew
from tests.crash import campaign, tree
from tests.support import item, parts, pipeline, rows_csv

ROWS = 14
BAD: dict[int, Any] = {4: "no JSON", 8: {"name": "x"}, 12: {"name": "x", "number": "twelve"}}
GOOD = "key,name,number,checked\nk2,two,2,x\nk4,four,4,x\nk8,eight,8,yes\nk12,zwölf,12,1\n"


MOOD: dict[int, Any] = {}


@pytest.fixture
def bad() -> dict[int, Any]:
    """What the server answers badly."""
    MOOD.clear()
    MOOD.update(BAD)
    return MOOD


@pytest.fixture(scope="module")
def one_server() -> Iterator[ScriptedServer]:
    def answer(call: Call) -> Reply:
        found = MOOD.get(int(call.prompt.split()[-1]))
        return found if isinstance(found, Reply) else Reply(completion(item(call) if found is None else found))

    with ScriptedServer(answer) as running:
        yield running


@pytest.fixture
def server(one_server: ScriptedServer, bad: dict[int, Any]) -> ScriptedServer:
    one_server.calls.clear()
    return one_server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The second record has nothing to ask about."""
    return rows_csv(tmp_path / "items.csv", ROWS, lambda n: "" if n == 2 else f"item {n}")


@pytest.fixture(scope="module")
def finished(one_server: ScriptedServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with four records in the quarantine, of which one was never asked."""
    MOOD.update(BAD)
    folder = tmp_path_factory.mktemp("finished")
    source = rows_csv(folder / "items.csv", ROWS, lambda n: "" if n == 2 else f"item {n}")
    result = run(one_server, source, folder / "out")
    assert {"parse.json", "prompt.empty", "schema.required", "schema.type"} == set(result.report.reasons)
    return folder / "out"


@pytest.fixture
def out(tmp_path: Path, finished: Path, server: ScriptedServer) -> Path:
    """A copy of it."""
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


def small(**changes: Any) -> extract.Pipeline:
    return pipeline(**({"shard_rows": 5} | changes))


def run(server: ScriptedServer, source: Any, out: Path, options: Any = None, **changes: Any) -> extract.Result:
    return anew.run(server, small(**changes), source, out, options)


def accept(
    server: ScriptedServer, source: Any, out: Path, edits: Any = None, changes: Any = None, **options: Any
) -> extract.Accepted:
    if isinstance(edits, str) and "\n" in edits:
        path = out.with_name("edits.csv")
        path.write_text(edits)
        edits = path
    return extract.accept(out, small(**(changes or {})), edits, source, endpoint=server.endpoint(), **options)


def rows(result: extract.Result) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in result.table.to_pylist()}


def derived_anew(server: ScriptedServer, source: Any, out: Path, **changes: Any) -> dict[str, bytes]:
    return anew.derived_anew(server, small(**changes), source, out)


def refused(server: ScriptedServer, source: Any, out: Path, edits: Any, changes: Any = None, **options: Any) -> str:
    """What is said of edits that are not accepted; nothing has changed."""
    before = tree(out)
    with pytest.raises(InputError) as caught:
        accept(server, source, out, edits, changes, **options)
    assert before == tree(out)
    assert [] == server.calls
    return str(caught.value)


def test_what_people_say_is_in_the_table_and_marked(source: Path, out: Path, server: ScriptedServer) -> None:
    """Also of the record that nobody asked about; what was paid stays on the row, and nothing is asked."""
    result = accept(server, source, out, GOOD)
    assert [14, 4, 0, []] == [result.report.ok, result.report.human, result.report.quarantined, server.calls]
    assert result.report.line.startswith("14 ok (4 by hand), 0 quarantined, 0 requests")
    found = rows(result)
    assert ["two", 2, 0, ["human"], "human", 0, None] == values(found["k2"])
    assert ["zwölf", 12, 1, ["human"], "human", 10, None] == values(found["k12"])
    assert [f"k{number}" for number in range(1, ROWS + 1)] == list(found)
    manifest = json.loads((out / "manifest.json").read_text())
    assert [4, {"in": 14, "ok": 14, "quarantined": 0, "pending": 0}] == [manifest["human"], manifest["counts"]]
    assert "done" == manifest["redrive"]["state"]
    assert [] == fsck(out, source).violations


def values(row: Mapping[str, Any]) -> list[Any]:
    names = ("name", "number", "_attempts", "_flags", "_model", "_input_tokens", "_cost_usd")
    return [row[name] for name in names]


def test_what_was_paid_stays_on_the_row(source: Path, tmp_path: Path, server: ScriptedServer) -> None:
    changes = {"model": extract.Model(input_usd_per_million=100, output_usd_per_million=200)}
    run(server, source, tmp_path / "out", **changes)
    result = accept(server, source, tmp_path / "out", "key,name,number\nk4,four,4\n", changes)
    assert pytest.approx(0.002) == rows(result)["k4"]["_cost_usd"]


@pytest.mark.parametrize("kind", ["csv", "xlsx", "jsonl"])
def test_the_template_comes_back_filled_in(source: Path, out: Path, server: ScriptedServer, kind: str) -> None:
    """It shows key, reason, message, the source and what was answered; only rows that are checked count."""
    path = out.with_name(f"edits.{kind}")
    assert 4 == write_template(out, small(), path, source, endpoint=server.endpoint())
    names, found = read(path)
    assert ["key", "reason", "message", "text", "name", "number", "checked", "override"] == names
    assert ["k12", "schema.type", "$.number: 'twelve' is not of type 'integer'", "item 12", "x", "twelve"] == [
        found[-1][name] for name in names[:6]
    ]
    assert [None, None, None] == [found[0][name] or None for name in ("name", "number", "checked")]
    assert "no row is checked" in refused(server, source, out, path)
    found[-1] |= {"number": 12 if kind != "csv" else "12", "checked": "x"}
    write(path, names, found)
    result = accept(server, source, out, path)
    assert [11, "x", 12] == [result.report.ok, rows(result)["k12"]["name"], rows(result)["k12"]["number"]]


def read(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    if path.suffix == ".csv":
        with open(path, newline="") as file:
            found = list(csv.DictReader(file))
        return list(found[0]), found
    if path.suffix == ".jsonl":
        found = [json.loads(line) for line in path.read_text().splitlines()]
        return list(found[0]), found
    import openpyxl

    names, *cells = openpyxl.load_workbook(path).active.iter_rows(values_only=True)
    return list(names), [dict(zip(names, row, strict=True)) for row in cells]


def write(path: Path, names: Sequence[str], found: Sequence[Mapping[str, Any]]) -> None:
    if path.suffix == ".csv":
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(found)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in found))
    else:
        import openpyxl

        book = openpyxl.Workbook()
        for row in ([*names], *([row[name] for name in names] for row in found)):
            book.active.append(row)
        book.save(path)


def test_a_template_is_of_chosen_records_and_never_written_over(
    source: Path, out: Path, server: ScriptedServer
) -> None:
    path = out.with_name("edits.csv")

    def template(**chosen: Any) -> int:
        return write_template(out, small(), path, source, endpoint=server.endpoint(), **chosen)

    assert 2 == template(reasons=["schema.*"])
    with pytest.raises(ConfigError, match="is there already"):
        template()
    path.unlink()
    assert 1 == template(keys=["k4"])
    path.unlink()
    for chosen, message in (({"reasons": ["schema.typ"]}, "did you mean 'schema.type'"), ({"keys": ["k1"]}, "'k1'")):
        with pytest.raises(ConfigError, match=message):
            template(**chosen)


def test_columns_that_the_file_lacks_keep_what_was_answered(source: Path, out: Path, server: ScriptedServer) -> None:
    """Of a table in memory too."""
    result = accept(server, source, out, pa.table({"id": ["k12", "k8"], "number": [12, 8]}))
    assert [["x", 12], ["x", 8]] == [values(rows(result)[key])[:2] for key in ("k12", "k8")]


def test_texts_that_look_like_formulas_come_back_as_they_were(
    tmp_path: Path, server: ScriptedServer, bad: dict[int, Any]
) -> None:
    """The template has an apostrophe in front, so that no spreadsheet runs them."""
    source, path = rows_csv(tmp_path / "items.csv", 1), tmp_path / "edits.csv"
    bad[1] = {"name": "=1+cmd", "number": "one"}
    run(server, source, tmp_path / "out")
    write_template(tmp_path / "out", small(), path, source, endpoint=server.endpoint())
    names, [row] = read(path)
    assert "'=1+cmd" == row["name"]
    write(path, names, [{**row, "number": "1", "checked": "x"}])
    assert "=1+cmd" == rows(accept(server, source, tmp_path / "out", path))["k1"]["name"]


# They stay


def test_they_survive_runs_redrives_and_tables_made_anew(
    source: Path, out: Path, server: ScriptedServer, bad: dict[int, Any]
) -> None:
    """Byte for byte, and nobody is asked for them."""
    accept(server, source, out, "key,name,number\nk2,two,2\nk4,four,4\n")
    after = parts(out)
    assert after == derived_anew(server, source, out)
    run(server, source, out)
    assert [after, []] == [parts(out), server.calls]
    bad.clear()
    result = extract.redrive(out, small(), source, endpoint=server.endpoint())
    assert [2, 14, 2] == [len(server.calls), result.report.ok, result.report.human]
    assert ["two", "four", "item 8"] == [rows(result)[key]["name"] for key in ("k2", "k4", "k8")]
    assert parts(out) == derived_anew(server, source, out)
    assert [] == fsck(out, source).violations


def test_they_survive_another_prompt_and_another_model(source: Path, out: Path, server: ScriptedServer) -> None:
    """All others are asked again; the survey does not count them either."""
    accept(server, source, out, GOOD)
    changes = {"prompt": "the {{ text }}"}
    prepared = prepare_run(small(**changes), source, endpoint=server.endpoint())
    assert 10 == len(looked(prepared, out / "journal.db").asked)
    result = run(server, source, out, **changes)
    assert [10, 14, 4] == [len(server.calls), result.report.ok, result.report.human]
    assert {4, 8, 12}.isdisjoint(int(call.prompt.split()[-1]) for call in server.calls)


def test_they_last_while_the_record_says_what_it_said(source: Path, out: Path, server: ScriptedServer) -> None:
    """A column that is new does not matter, nor do other rows; a cell that has changed does."""
    accept(server, source, out, GOOD)
    lines = source.read_text().splitlines()
    more = [lines[0] + ",new", "k0,item 0,n", *(f"{line},n" for line in lines[1:])]
    source.write_text("\n".join(more) + "\n")
    result = run(server, source, out)
    assert [15, 4, 1] == [result.report.ok, result.report.human, len(server.calls)]
    source.write_text("\n".join(more).replace("k4,item 4,", "k4,item 40,") + "\n")
    result = run(server, source, out)
    assert [15, 3, 2] == [result.report.ok, result.report.human, len(server.calls)]
    assert ["item 40", "four"] != [rows(result)["k4"]["name"], rows(result)["k4"]["name"]]
    assert "item 40" == rows(result)["k4"]["name"]


def test_they_are_judged_again_when_checks_or_schema_change(source: Path, out: Path, server: ScriptedServer) -> None:
    """One that does not pass any more is quarantined for that, is not asked, and can be accepted anew."""
    accept(server, source, out, GOOD)
    changes = {"checks": [between("number", high=11, severity="repair")]}
    result = run(server, source, out, **changes)
    assert [{"semantic.between": 3}, 0] == [dict(result.report.reasons), len(server.calls)]
    [row] = [row for row in result.quarantine.to_pylist() if row["key"] == "k12"]
    assert [["human"], None, '{"name":"zw\\u00f6lf","number":12}'] == [
        row[n] for n in ("flags", "request", "raw_answer")
    ]
    result = accept(server, source, out, "key,name,number,override\nk12,zwölf,12,yes\n", changes)
    assert ["human", "overridden:semantic.between:$.number"] == rows(result)["k12"]["_flags"]
    assert [] == fsck(out, source).violations
    assert parts(out) == derived_anew(server, source, out, **changes)


def test_they_can_be_corrected_and_are_accepted_once(source: Path, out: Path, server: ScriptedServer) -> None:
    first = accept(server, source, out, GOOD)
    before = tree(out)
    again = accept(server, source, out, GOOD)
    assert [4, 0, 4] == [len(first.intended.accepted), len(again.intended.accepted), again.intended.unchanged]
    assert before == tree(out)
    result = accept(server, source, out, "key,name\nk4,quatre\n")
    assert ["quatre", 4, 1, ["human"], "human", 10, None] == values(rows(result)["k4"])
    assert parts(out) == derived_anew(server, source, out)


def test_another_directory_on_the_same_journal_has_its_own_rows(
    source: Path, tmp_path: Path, server: ScriptedServer
) -> None:
    shared = {"journal": tmp_path / "shared.db"}
    run(server, source, tmp_path / "one", shared)
    run(server, source, tmp_path / "other", shared)
    accept(server, source, tmp_path / "one", GOOD)
    after = parts(tmp_path / "one")
    for name in ("one", "other"):
        (tmp_path / name / "manifest.json").unlink()
    assert [14, 10] == [run(server, source, tmp_path / name, shared).report.ok for name in ("one", "other")]
    assert after == parts(tmp_path / "one")
    assert [] == fsck(tmp_path / "one", source).violations


@pytest.mark.parametrize(
    "changes", [{"format": "csv"}, {"share_answers": False}, {"split_fields": 2}, {"columns": ["text"]}]
)
def test_whatever_the_layout(tmp_path: Path, server: ScriptedServer, changes: Any) -> None:
    """The rest is as without edits."""
    if "split_fields" in changes:  # parts are asked by field; any answer to a part of a whole item is refused
        changes = {**changes, "mend_json": True}
    source = rows_csv(tmp_path / "items.csv", 6)
    run(server, source, tmp_path / "out", **changes)
    result = accept(server, source, tmp_path / "out", "key,name,number\nk4,four,4\n", changes)
    assert ["four", 4] == values(rows(result)["k4"])[:2]
    assert parts(tmp_path / "out") == derived_anew(server, source, tmp_path / "out", **changes)
    assert [] == fsck(tmp_path / "out", source).violations


def test_rows_without_a_key_column_go_by_their_number(tmp_path: Path, server: ScriptedServer) -> None:
    source = rows_csv(tmp_path / "items.csv", 6)
    run(server, source, tmp_path / "out", key=None)
    result = accept(server, source, tmp_path / "out", "key,name,number\n4,four,4\n", {"key": None})
    assert ["four", [4]] == [result.table["name"].to_pylist()[3], [note.key for note in result.intended.accepted]]


# They are taken back


def test_what_is_taken_back_is_as_it_was(source: Path, out: Path, server: ScriptedServer) -> None:
    before = parts(out)
    accept(server, source, out, GOOD)
    result = accept(server, source, out, undo=["k2", "k4", "k8", "k12"])
    assert [before, 0, []] == [parts(out), result.report.human, server.calls]
    assert before == derived_anew(server, source, out)
    assert 1 == accept(server, source, out, undo=["k2"]).intended.unchanged
    assert 11 == accept(server, source, out, "key,name,number\nk4,four,4\n").report.ok
    assert "nobody has accepted this record" in refused(server, source, out, None, undo=["k5"])


def test_a_record_that_got_no_answer_is_asked_again_once_it_is_taken_back(
    tmp_path: Path, server: ScriptedServer, bad: dict[int, Any]
) -> None:
    """Not by the command itself: its row in the quarantine comes back first."""
    bad.clear()
    bad[3] = Reply({"error": {"message": "try later"}}, status=500)
    source, out = rows_csv(tmp_path / "items.csv", 6), tmp_path / "out"
    run(server, source, out)
    before, calls = parts(out), len(server.calls)
    result = accept(server, source, out, "key,name,number\nk3,three,3\n")
    assert ["three", 3] == [rows(result)["k3"]["name"], rows(result)["k3"]["_attempts"]]
    assert [] == fsck(out, source).violations
    bad.clear()
    run(server, source, out)
    accept(server, source, out, undo=["k3"])
    assert [before, calls] == [parts(out), len(server.calls)]
    assert [6, calls + 1] == [run(server, source, out).report.ok, len(server.calls)]


# They are judged


def test_evidence_and_checks_that_ask_for_a_repair_can_be_overridden(
    source: Path, out: Path, server: ScriptedServer, tmp_path: Path
) -> None:
    """In words, for each row; the flags say what was overruled."""
    changes = {"evidence": Evidence(unsupported="reject"), "checks": [between("number", high=11, severity="repair")]}
    out = tmp_path / "strict"
    run(server, source, out, **changes)
    server.calls.clear()
    edits = "key,name,number,override\nk12,item,13,{}\n"
    said = refused(server, source, out, edits.format(""), changes)
    assert "column 'number', value '13'" in said
    assert "write yes in the column 'override' if it is right all the same" in said
    result = accept(server, source, out, edits.format("yes"), changes)
    flags = ["human", "overridden:semantic.between:$.number", "overridden:evidence.unsupported:$.number"]
    assert [flags, ["k12"]] == [rows(result)["k12"]["_flags"], result.intended.overridden]
    assert parts(out) == derived_anew(server, source, out, **changes)


class Loose(BaseModel):
    """A thing of which anything may be missing."""

    name: str | None
    number: int | None


def test_a_value_is_not_emptied_in_silence(tmp_path: Path, server: ScriptedServer) -> None:
    """Where the policy is to empty what the source does not support, a person has to say so or stand by it."""
    source, changes = rows_csv(tmp_path / "items.csv", 6), {"schema": Loose, "evidence": Evidence(unsupported="null")}
    run(server, source, tmp_path / "out", **changes)
    server.calls.clear()
    edits = "key,name,number,override\nk4,item,13,{}\n"
    assert "[evidence.unsupported]" in refused(server, source, tmp_path / "out", edits.format("no"), changes)
    found = rows(accept(server, source, tmp_path / "out", edits.format("x"), changes))["k4"]
    assert [13, ["human", "overridden:evidence.unsupported:$.number"]] == [found["number"], found["_flags"]]


class Bound(BaseModel):
    """A thing whose number is one that the record prints."""

    name: str
    number: Annotated[int, Verbatim("number")]


def test_what_the_record_does_not_print_can_be_overridden(tmp_path: Path, server: ScriptedServer) -> None:
    """A scanner may have misread it; what cannot be read as the field's type stays refused."""
    source, changes = rows_csv(tmp_path / "items.csv", 6), {"schema": Bound}
    run(server, source, tmp_path / "out", **changes)
    server.calls.clear()
    edits = "key,name,number,override\nk4,item,{},{}\n"
    said = refused(server, source, tmp_path / "out", edits.format(13, ""), changes)
    assert "column 'number', value '13': the value does not stand in the record [semantic.verbatim]" in said
    assert "[verbatim.unreadable]" in refused(server, source, tmp_path / "out", edits.format("four", "yes"), changes)
    found = rows(accept(server, source, tmp_path / "out", edits.format(13, "yes"), changes))["k4"]
    assert [13, ["human", "overridden:semantic.verbatim:$.number"]] == [found["number"], found["_flags"]]


def no_seven(value: Any, record: Any) -> list[Issue]:
    return [Issue("semantic", "semantic.no_seven", "$.number", "seven")] if value.number == 7 else []


class Strict(BaseModel):
    """A thing whose number a validator knows."""

    name: str
    number: int

    @field_validator("number")
    @classmethod
    def small(cls, value: int) -> int:
        if value > 99:
            raise ValueError("too much")
        return value


STRICT = {"schema": Strict, "checks": [no_seven]}


@pytest.fixture(scope="module")
def strict(one_server: ScriptedServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A source, and a run whose rows a validator and a check look at."""
    MOOD.update(BAD)
    folder = tmp_path_factory.mktemp("strict")
    source = rows_csv(folder / "items.csv", 6)
    run(one_server, source, folder / "out", **STRICT)
    return source, folder / "out"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("k4,four,,yes", "column 'number', empty: the cell is empty, and the field needs a value [schema.type]"),
        (
            "k4,four,4.5,yes",
            "column 'number', value '4.5': 4.5 is not of type 'integer' [schema.type] (write a whole number",
        ),
        ("k4,four,1e999,yes", "value '1e999': '1e999' is not of type 'integer'"),
        (
            "k4,four,7,yes",
            "value '7': seven [semantic.no_seven] (correct it: this check rejects, and cannot be overridden)",
        ),
        ("k4,four,100,yes", "value '100': Value error, too much [model.value_error]"),
        ("k4,four,4,maybe", "column 'override': line 2: 'maybe' says neither yes nor no"),
        ("k44,four,4,", "line 2, key 'k44': the source has no record with this key [edit.key]"),
        ("k5,five,5,", "line 2, key 'k5': this record is not quarantined [edit.key] (its row is in the table"),
        (",four,4,", "the key is empty"),
        ("k4,=1+3,4,", "line 2, column 'name': a formula"),
        ("k4,four,4,\nk4,quatre,4,", "the key 'k4' comes twice, first at line 2"),
        ("k4,four,4", "cells, the header has 4"),
    ],
)
def test_what_does_not_pass_is_named_and_nothing_is_changed(
    strict: tuple[Path, Path], server: ScriptedServer, row: str, message: str
) -> None:
    source, out = strict
    assert message in refused(server, source, out, f"key,name,number,override\n{row}\n", STRICT)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ("key,nmae\nk4,x\n", "column 'nmae': 'nmae' is no field (did you mean 'name'?)"),
        ("ky,name\nk4,x\n", "there is no column 'key'"),
        ("key,text\nk4,x\n", "no column is a field (the fields: name, number)"),
        ("key,name,name\nk4,x,y\n", "'name'"),
        ("key,name\n", "no rows"),
    ],
)
def test_a_file_that_is_none_of_edits_is_refused(
    source: Path, out: Path, server: ScriptedServer, edits: str, message: str
) -> None:
    assert message in refused(server, source, out, edits)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"key": "k4", "name": }', "line 1"),
        ('{"key": "k4", "name": "a", "name": "b"}', "line 1"),
        ("[1]", "a line holds one JSON object"),
        ('{"key": "k4", "name": 4, "number": 4}', "4 is not of type 'string'"),
        ("", "the file is empty"),
    ],
)
def test_json_lines_that_are_none_are_refused(
    source: Path, out: Path, server: ScriptedServer, line: str, message: str
) -> None:
    path = out.with_name("edits.jsonl")
    path.write_text(line + "\n")
    assert message in refused(server, source, out, path)


def test_a_spreadsheet_has_its_own_traps(source: Path, out: Path, server: ScriptedServer) -> None:
    """Formulas are refused, and dates that it made of texts; numbers may be what it takes for numbers."""
    path = out.with_name("edits.xlsx")
    for name, number, message in (("=1+1", 4, "a formula"), (date(2026, 2, 1), 4, "format the cell as text")):
        write(path, ["key", "name", "number"], [{"key": "k4", "name": name, "number": number}])
        assert message in refused(server, source, out, path)
    write(path, ["key", "name", "number"], [{"key": "k4", "name": 12.0, "number": 4.0}])
    assert ["12", 4] == values(rows(accept(server, source, out, path))["k4"])[:2]


def test_it_is_all_or_nothing_unless_partly_is_wanted(source: Path, out: Path, server: ScriptedServer) -> None:
    edits = "key,name,number\nk4,four,4\nk8,eight,acht\nk99,a,1\n"
    with pytest.raises(EditError, match="2 of 3 rows cannot be accepted; nothing was changed") as caught:
        accept(server, source, out, edits)
    [first, second] = caught.value.problems
    assert ["line 3", "k8", "number", "acht", "schema.type"] == [
        getattr(first, name) for name in ("place", "key", "column", "value", "code")
    ]
    assert "edit.key" == getattr(second, "code", None)
    result = accept(server, source, out, edits, partial=True)
    assert [11, 2] == [result.report.ok, len(result.intended.problems)]
    with pytest.raises(EditError):
        accept(server, source, out, "key,name,number\nk8,eight,acht\n", partial=True)


def test_a_rehearsal_judges_and_changes_nothing(source: Path, out: Path, server: ScriptedServer) -> None:
    before = tree(out)
    assert 4 == len(accept(server, source, out, GOOD, dry_run=True).intended.accepted)
    assert before == tree(out)
    assert "1 of 1 rows cannot be accepted" in refused(server, source, out, "key,name\nk8,a\n", dry_run=True)

    def refuse(intended: Any) -> None:
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        accept(server, source, out, GOOD, approve=refuse)
    assert before == tree(out)


def test_another_pipeline_is_refused(source: Path, out: Path, server: ScriptedServer) -> None:
    for changes in ({"prompt": "{{ text }}!"}, {"shard_rows": 9}):
        with pytest.raises(ConfigError, match="the pipeline is not that of the tables in"):
            accept(server, source, out, GOOD, changes)
    with pytest.raises(ConfigError, match="holds no tables"):
        accept(server, source, out.with_name("none"), "key,name\nk1,a\n")
    with pytest.raises(ConfigError, match="not a list"):
        accept(server, source, out, undo="k4")
    with pytest.raises(ConfigError, match="nothing to accept"):
        accept(server, source, out)


def test_what_was_masked_is_shown_to_people(tmp_path: Path, server: ScriptedServer, bad: dict[int, Any]) -> None:
    """The journal holds placeholders; the template has the values of the source, and so may the edit."""
    source = rows_csv(tmp_path / "items.csv", 1, "mail ann@example.org item {}".format)
    bad[1], changes = {"name": "[EMAIL_1]", "number": "one"}, {"redact": ["email"]}
    run(server, source, tmp_path / "out", **changes)
    path, options = tmp_path / "edits.csv", {"endpoint": server.endpoint()}
    write_template(tmp_path / "out", small(**changes), path, source, **options)
    assert "ann@example.org" == read(path)[1][0]["name"]
    result = accept(server, source, tmp_path / "out", "key,name,number\nk1,ann@example.org,1\n", changes)
    assert ["ann@example.org", ["human"]] == [rows(result)["k1"]["name"], rows(result)["k1"]["_flags"]]


# What a cell says


class Size(Enum):
    SMALL = "S"
    LARGE = "L"


class Line(BaseModel):
    article: str
    price: Decimal


class Everything(BaseModel):
    """One field of each kind."""

    text: str
    whole: int
    part: float
    exact: Decimal
    yes: bool
    day: date
    size: Size
    level: Literal[1, 2, 3]
    lines: list[Line]
    named: dict[str, int]
    pair: tuple[int, str]
    either: int | str
    loose: str | None = None
    tally: int = Field(default=7, alias="Tally")


CELLS = {
    "text": ("007", "007"),
    "whole": ("12", 12),
    "part": ("1.5", Decimal("1.5")),
    "exact": ("12345678901234567.89", Decimal("12345678901234567.89")),
    "yes": ("TRUE", True),
    "day": ("2026-01-31", "2026-01-31"),
    "size": ("S", "S"),
    "level": ("2", 2),
    "lines": ('[{"article": "Öl", "price": 1.50}]', [{"article": "Öl", "price": Decimal("1.50")}]),
    "named": ('{"a": 1}', {"a": 1}),
    "pair": ('[1, "a"]', [1, "a"]),
    "either": ('"12"', "12"),
    "loose": ("", None),
    "tally": ("8", 8),
}


def test_each_kind_of_field_is_a_cell_and_back() -> None:
    fields = {item.field.name: item for item in compile_schema(Everything).form.properties}
    assert set(CELLS) == set(fields)
    for name, (cell, value) in CELLS.items():
        assert value == wire_value(fields[name], cell), name
        shown = shown_value(fields[name], value)
        assert value == wire_value(fields[name], shown), name
    assert "" == wire_value(fields["text"], '""')
    assert 12 == wire_value(fields["either"], "12")
    assert '""' == shown_value(fields["text"], "")


def test_each_kind_of_field_is_accepted(tmp_path: Path) -> None:
    """From nothing but an empty row of the template, and shown again as it was written."""
    source = tmp_path / "items.csv"
    source.write_text("id,text,key\nk1,item 1,a\n")
    out, path = tmp_path / "out", tmp_path / "edits.csv"
    with ScriptedServer(lambda call: "no JSON") as server:
        run(server, source, out, schema=Everything)
        write_template(out, small(schema=Everything), path, source, endpoint=server.endpoint())
        names, [row] = read(path)
        assert ["key", "reason", "message", "source.text", "source.key", *CELLS, "checked", "override"] == names
        assert ["item 1", "a"] == [row["source.text"], row["source.key"]]
        write(path, names, [{**row, **{name: cell for name, (cell, _) in CELLS.items()}, "checked": "x"}])
        [found] = accept(server, source, out, path, {"schema": Everything}).table.to_pylist()
    assert ["007", Decimal("12345678901234567.89"), date(2026, 1, 31), "S", 2, None, 8] == [
        found[name] for name in ("text", "exact", "day", "size", "level", "loose", "tally")
    ]
    assert [{"article": "Öl", "price": Decimal("1.5")}] == found["lines"]


# Whatever happens on the way


CHAIN = failpoints.ACCEPT  # `python -m tests.crash` sweeps them all


def test_it_may_end_at_every_durable_step(tmp_path: Path) -> None:
    """`extract fsck` finds nothing wrong, nothing is asked, all of the edits count or none; the same command again, after
    a plain run or without one, makes the bytes that it makes undisturbed."""
    with campaign(tmp_path) as running:
        running.accepted(CHAIN, (1,))
        assert [] == running.faults
        assert set(CHAIN) == running.died


def test_a_redrive_that_was_cut_off_is_ended_first(
    source: Path, out: Path, server: ScriptedServer, bad: dict[int, Any]
) -> None:
    """What it was answered is in the table, and what people say beside it."""
    bad.clear()
    caps = {"limits.max_requests": "1", "limits.concurrency": "1"}
    with pytest.raises(extract.RunStopped):
        extract.redrive(out, small(), source, endpoint=server.endpoint(), settings=caps)
    result = accept(server, source, out, "key,name,number\nk12,twelve,12\n")
    assert [12, 1, 1] == [result.report.ok, result.report.human, len(server.calls)]
    assert "item 4" == rows(result)["k4"]["name"]
    assert 14 == accept(server, source, out, "key,name,number\nk2,a,2\nk8,b,8\n").report.ok
    assert [] == fsck(out, source).violations


def test_a_manifest_that_counts_other_people_is_named(source: Path, out: Path, server: ScriptedServer) -> None:
    accept(server, source, out, GOOD)
    path = out / "manifest.json"
    path.write_text(path.read_text().replace('"human": 2', '"human": 1', 1))
    assert ["holds 2 rows by hand, the manifest says 1"] == [found.problem for found in fsck(out, source).violations]


def test_a_word_that_is_damaged_is_no_word(source: Path, out: Path, server: ScriptedServer) -> None:
    """The check names it; a run goes on without it, and without asking."""
    accept(server, source, out, GOOD)
    with sqlite3.connect(out / "journal.db") as connection:
        query = "UPDATE notes SET body = CAST(replace(body, 'four', 'fore') AS BLOB) WHERE kind = 'human'"
        connection.execute(query)
    connection.close()
    [found] = fsck(out, source).violations
    assert "1 notes of what people said do not fit their digests" == found.problem
    (out / "manifest.json").unlink()
    assert [13, 3, 0] == [(report := run(server, source, out).report).ok, report.human, len(server.calls)]


def test_a_row_whose_word_is_lost_is_found(source: Path, out: Path, server: ScriptedServer) -> None:
    accept(server, source, out, GOOD)
    with sqlite3.connect(out / "journal.db") as connection:
        connection.execute("DELETE FROM notes WHERE kind = 'human'")
    connection.close()
    [found] = fsck(out, source).violations
    assert "has no answer to 4 requests that rows of the table rest on" == found.problem


# From the command line

PIPELINE = """
from extract import Pipeline, Retry
from pydantic import BaseModel

class Item(BaseModel):
    name: str
    number: int

pipeline = Pipeline(name="items", schema=Item, prompt="{{ text }}", source="items.csv", key="id", retry=Retry(max_attempts=1))
"""


@pytest.fixture
def project(tmp_path: Path, source: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a run has been made from the command line."""
    (tmp_path / "things.py").write_text(PIPELINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXTRACT_BASE_URL", server.base_url)
    assert 3 == said("run", "things.py", "--quiet")[0]
    server.calls.clear()
    return tmp_path


def said(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words), catch_exceptions=True)
    if isinstance(result.exception, ConfigError | InputError):
        return 2, str(result.exception)
    return result.exit_code, result.stdout


def test_the_command_writes_takes_and_takes_back(project: Path, server: ScriptedServer) -> None:
    assert (0, "4 records in edits.csv\n") == said("accept", "out/items", "--template", "-o", "edits.csv")
    (project / "edits.csv").write_text(GOOD)
    assert (2, "nothing was changed (--yes goes on without asking)") == said("accept", "out/items", "edits.csv")
    assert (0, "4 rows would be accepted\n") == said("accept", "out/items", "edits.csv", "--dry-run")
    code, text = said("accept", "out/items", "edits.csv", "--yes", "--quiet")
    assert (0, "4 rows accepted\n14 ok (4 by hand), 0 quarantined, 0 requests, 0 tokens, 0 retries\n") == (code, text)
    assert (0, "4 records asked again") != said("redrive", "out/items", "--yes", "--quiet")
    code, text = said("accept", "out/items", "--undo", "k4", "--yes", "--json", "--quiet")
    assert [0, ["k4"], 3] == [code, json.loads(text)["accepted"]["undone"], json.loads(text)["human"]]
    assert 0 == said("fsck", "out/items")[0]
    assert [] == server.calls


def test_the_exit_code_is_3_while_a_check_of_the_table_fails(project: Path) -> None:
    """As that of a run; one that only warns is no failure, and a dry run says nothing of the table."""
    said_before = (project / "things.py").read_text()
    failing = said_before.replace("retry=", 'table_checks=[checks.tables.total("number", 1)], retry=')
    (project / "things.py").write_text(failing.replace("import Pipeline", "import Pipeline, checks"))
    (project / "edits.csv").write_text(GOOD)
    assert 0 == said("accept", "out/items", "edits.csv", "--dry-run")[0]
    code, text = said("accept", "out/items", "edits.csv", "--yes", "--quiet")
    assert [3, True] == [code, "1 of 1 table checks failed (total(number))" in text]
    assert 3 == said("run", "things.py", "--quiet")[0]
    (project / "things.py").write_text((project / "things.py").read_text().replace(", 1)", ', 1, severity="warn")'))
    assert 0 == said("accept", "out/items", "--undo", "k4", "--yes", "--quiet")[0]


def test_the_command_says_what_cannot_be_accepted(project: Path) -> None:
    (project / "edits.csv").write_text("key,name,number\nk4,four,4\nk8,eight,acht\n")
    code, text = said("accept", "out/items", "edits.csv", "--yes", "--quiet")
    assert [2, True] == [code, "edits.csv, line 3, key 'k8', column 'number', value 'acht'" in text]
    code, text = said("accept", "out/items", "edits.csv", "--yes", "--quiet", "--json")
    assert [2, "k8"] == [code, json.loads(text)["accepted"]["refused"][0]["key"]]
    code, text = said("accept", "out/items", "edits.csv", "--yes", "--quiet", "--partial")
    assert [3, True] == [code, text.startswith("1 rows accepted\nedits.csv, line 3")]


def test_the_command_says_how_it_is_used(project: Path) -> None:
    (project / "edits.txt").write_text(GOOD)
    for words, message in (
        ((), "which file of edits?"),
        (("none.csv",), "there is no such file"),
        (("edits.txt",), "unknown kind of file '.txt'"),
        (("--template",), "--template writes which file?"),
        (("--template", "-o", "edits.doc"), "edits are a .csv, .xlsx, .jsonl"),
        (("edits.txt", "--key", "k4"), "go with --template"),
        (("edits.txt", "a", "b", "c"), "one pipeline and one source"),
    ):
        code, text = said("accept", "out/items", *words, "--yes")
        assert [2, True] == [code, message in text], text
