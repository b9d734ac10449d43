"""Checks in the judge and in a run: severities, what is refused before a request, and checks that raise."""

from __future__ import annotations

import datetime as dt
import json
import logging
import signal
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, RootModel, ValidationInfo, create_model, field_validator
from typing_extensions import TypedDict

import extract
from extract import ConfigError, Endpoint, Issue, Result, RunStopped, checks
from extract.cli import main
from extract.preparing import prepare
from extract.records import Completion, Outcome, Record, Usage
from extract.schema import compile_schema
from extract.sources import open_source
from extract.testing import ScriptedServer
from extract.validate import Judge
from tests.support import item, pipeline, rows_csv

RECORD = Record("r1", 0, {"text": "ACME"})


def outcome(model: Any, content: str, *use: checks.Check, judge: Judge | None = None) -> Outcome:
    judge = judge or Judge(compile_schema(model), use, ["text"])
    return judge(RECORD, Completion(content, "stop", "m", Usage(), b""))


class Item(BaseModel):
    name: str
    number: int
    day: dt.datetime | None = None


def test_a_warning_flags_the_row() -> None:
    """Which stays; its flags stand behind those of the value."""
    use = [checks.between("number", 0, 5, severity="warn"), checks.verbatim("name", severity="warn")]
    found = outcome(Item, '{"name": "X", "number": 9, "day": "2024-01-01T00:00:00"}', *use)
    assert found.ok
    assert ("naive_datetime:$.day", "semantic.between:$.number", "semantic.verbatim:$.name") == found.flags


@pytest.mark.parametrize("severity", ["reject", "repair"])
def test_reject_and_repair_quarantine(severity: Any) -> None:
    """The issue says which; a warning beside it is a flag all the same."""
    use = [checks.verbatim("name", severity="warn"), checks.between("number", 0, 5, severity=severity)]
    found = outcome(Item, '{"name": "X", "number": 9}', *use)
    assert [("semantic.between", severity)] == [(issue.code, issue.severity) for issue in found.issues]
    assert ("semantic.verbatim:$.name",) == found.flags
    assert found.row is None


def test_a_users_issue_has_a_severity() -> None:
    """Reject unless it says so."""

    def own(value: Item, record: Record) -> list[str | Issue]:
        return ["odd", Issue("semantic", "own.warned", "$.name", "m", severity="warn")]

    found = outcome(Item, '{"name": "X", "number": 9}', own)
    assert [("semantic.own", "reject")] == [(issue.code, issue.severity) for issue in found.issues]
    assert ("own.warned:$.name",) == found.flags


def faulty(limit: int) -> checks.Check:
    """Raises for numbers above the limit."""

    def check(value: Any, record: Record) -> None:
        if value.number > limit:
            raise ZeroDivisionError(f"number {value.number}")

    return check


def test_three_in_a_row_stop() -> None:
    """Of the same check; a record that it can judge begins the count anew. The message names check, file and line."""
    judge = Judge(compile_schema(Item), [faulty(5), checks.between("number", 0)], ["text"])

    def ask(number: int) -> list[str]:
        return [issue.code for issue in outcome(Item, f'{{"name": "a", "number": {number}}}', judge=judge).issues]

    assert [["check.error"], ["check.error"], [], ["check.error"], ["check.error"]] == [ask(n) for n in (9, 9, 1, 9, 9)]
    with pytest.raises(RunStopped, match=r"the check check raised for 3 records in a row, last for 'r1'") as stopped:
        ask(9)
    assert f"{__file__}, line " in str(stopped.value)
    assert "number 9" in str(stopped.value)
    with pytest.raises(RunStopped):
        ask(9)


def test_a_models_faults_are_counted_too() -> None:
    """A validator that raises for three in a row stops as a check does."""

    class Checked(BaseModel):
        number: int

        @field_validator("number")
        @classmethod
        def look(cls, value: int) -> int:
            return 10 // (value - 9) + value

    judge = Judge(compile_schema(Checked), (), ["text"])
    found = [outcome(None, f'{{"number": {n}}}', judge=judge).ok for n in (9, 9, 1, 9, 9)]
    assert [False, False, True, False, False] == found
    with pytest.raises(RunStopped, match="of the model Checked raised for 3 records in a row"):
        outcome(None, '{"number": 9}', judge=judge)


def test_the_issue_names_record_check_and_place(caplog: pytest.LogCaptureFixture) -> None:
    """With the traceback; the log has it too."""
    caplog.set_level(logging.WARNING)
    (issue,) = outcome(Item, '{"name": "a", "number": 9}', faulty(5)).issues
    assert "the check check raised for record 'r1', at " in issue.message
    assert __file__ in issue.message
    assert "ZeroDivisionError: number 9" in issue.message
    assert any("record 'r1'" in record.getMessage() for record in caplog.records)


def test_two_checks_are_counted_apart() -> None:
    """Though they have one name: what another one does not raise ends no row."""
    judge = Judge(compile_schema(Item), [faulty(5), faulty(6), faulty(9)], ["text"])
    assert [2, 1] == [len(outcome(Item, f'{{"name": "a", "number": {n}}}', judge=judge).issues) for n in (7, 6)]
    with pytest.raises(RunStopped, match="check check"):
        outcome(Item, '{"name": "a", "number": 8}', judge=judge)


def test_a_validator_that_raises_is_the_users_fault() -> None:
    """Other than a ValueError: a bug in it, told as that of a check."""

    class Checked(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def look(cls, value: str, info: ValidationInfo) -> str:
            return str(info.context["record"]["nothing"])  # type: ignore[index]

    (issue,) = outcome(Checked, '{"name": "a"}').issues
    assert "check.error" == issue.code
    assert "of the model Checked" in issue.message
    assert f"{__file__}, line " in issue.message


def test_validators_see_the_record_in_every_form() -> None:
    """A plain model, one in a union with tags, and one that is read back from another form."""

    class Seen(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def look(cls, value: str, info: ValidationInfo) -> str:
            if info.context is None or info.context["record"].key != "r1":
                raise ValueError("no record")
            return value

    class Other(BaseModel):
        name: str
        more: int

    for annotation, answer in ((Seen, {"name": "x"}), (Seen | None, {"name": "x"}), (list[Seen], [{"name": "x"}])):
        model = create_model("M", a=(annotation, ...), days=(dict[str, int], {}))
        schema = compile_schema(model)
        wire = schema.answer_form(
            model.model_construct(
                a=[Seen.model_construct(name="x")] if isinstance(answer, list) else Seen.model_construct(name="x"),
                days={"a": 1},
            )
        )
        found = Judge(schema, (), ["text"])(RECORD, Completion(json.dumps(wire), "stop", "m", Usage(), b""))
        assert () == found.issues
    union = compile_schema(create_model("U", a=(Seen | Other, ...)))
    wire = union.answer_form(union.model.model_construct(a=Seen.model_construct(name="x")))
    assert () == Judge(union, (), ["text"])(RECORD, Completion(json.dumps(wire), "stop", "m", Usage(), b"")).issues


# before the first request


class Part(BaseModel):
    sku: str
    amount: Decimal
    first: dt.date
    last: dt.datetime | None = None


class Flat(TypedDict):
    city: str


class Names(RootModel[list[str]]):
    pass


class Whole(BaseModel):
    name: str = Field(alias="Full name")
    paid: bool
    total: Decimal
    at: dt.time
    parts: list[Part]
    prices: dict[str, Part]
    home: Flat
    names: Names
    either: Part | Names
    level: Literal["a", "b"] = "a"


def refuse(*use: checks.Check, schema: Any = Whole, **changes: Any) -> None:
    source = open_source(Path(__file__).parent / "sample.csv")
    endpoint = Endpoint(base_url="http://127.0.0.1:9", api_key="k")
    prepare(pipeline(schema=schema, key=None, checks=use, profile="full", **changes), source, endpoint)


@pytest.mark.parametrize(
    "check",
    [
        checks.verbatim("name", "parts.sku", "home.city", "names", "prices.*.sku", "either.sku", "level", "paid"),
        checks.sums_to("parts.amount", "total"),
        checks.between("parts.amount", 0),
        checks.between("prices.*.amount", 0),
        checks.between("parts.first", dt.date(2024, 1, 1)),
        checks.not_after("parts.first", "parts.last"),
        checks.unique_items("parts"),
        checks.unique_items("parts", by=["sku", "first"]),
        checks.required_if("parts", "paid", equals=True),
        checks.language("name", "en"),
        checks.matches("home.city", "x"),
        checks.checksum("name", "iban"),
        checks.matches_column("name", "text"),
        checks.between("at", dt.time(9)),
    ],
)
def test_fields_that_are_there_pass(check: checks.Check) -> None:
    """Through lists, dicts, unions, root models and TypedDicts."""
    refuse(check)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (checks.verbatim("nmae"), "'nmae' that the schema has not .did you mean 'name'"),
        (checks.verbatim("Full name"), "that the schema has not"),
        (checks.unique_items("parts", by="sk"), "'parts.sk'"),
        (checks.verbatim("prices.sku"), r"that the schema has not .there are: prices\.\*"),
        (checks.verbatim("name.first"), "below objects and lists"),
        (checks.verbatim("parts.*.sku"), "that the schema has not"),
        (checks.matches_column("name", "txt"), "reads a column 'txt' that the source has not .did you mean 'text'"),
        (checks.between("name", 0), "takes decimal or float or int, and name is str"),
        (checks.between("total", dt.date(2024, 1, 1)), "takes date or datetime, and total is decimal"),
        (checks.not_after("parts.first", "total"), "cannot compare parts.first, total"),
        (checks.not_after("name", "total"), "and name is str"),
        (checks.sums_to("parts.sku", "total"), "and parts.sku is str"),
        (checks.sums_to("paid", "total"), "and paid is bool"),
        (checks.unit("total", "mass"), "takes str, and total is decimal"),
        (checks.unit("name", "masss"), "no dimension 'masss'"),
        (checks.language("name", "xx"), "no language"),
        (checks.one_of_table("name", "gone.csv", "x"), "cannot read gone.csv"),
        (checks.tables.unique("name"), "table_checks="),
    ],
)
def test_what_is_not_there_is_refused(check: Any, message: str) -> None:
    """A field, a column, a file, and a kind of value that the check can make nothing of."""
    with pytest.raises(ConfigError, match=message):
        refuse(check)


def test_a_raw_schema_has_dates_as_text() -> None:
    """They are compared as dates."""
    day = {"type": "string", "format": "date"}
    schema = {"type": "object", "properties": {"a": day, "b": day}, "required": ["a", "b"]}
    refuse(checks.not_after("a", "b"), schema=schema)
    judge = Judge(compile_schema(schema, "full"), [checks.not_after("a", "b")], ["text"])
    assert outcome(None, '{"a": "2024-01-01", "b": "2024-01-02"}', judge=judge).ok
    assert ["$.a"] == [i.path for i in outcome(None, '{"a": "2024-01-03", "b": "2024-01-02"}', judge=judge).issues]


@pytest.mark.parametrize("field", ["", ".", "a..b", None, 5])
def test_a_path_is_a_path(field: Any) -> None:
    with pytest.raises((ConfigError, AttributeError)):
        checks.between(field, 0)


# runs


def run(server: ScriptedServer, source: Path, out: Path, **changes: Any) -> Result:
    return extract.run(pipeline(**changes), source, out=out, endpoint=server.endpoint())


def test_a_check_that_always_raises_stops_the_run(tmp_path: Path) -> None:
    """With nothing lost: once repaired, the same command asks nothing that was answered."""
    source, out = rows_csv(tmp_path / "items.csv", 12), tmp_path / "out"
    with ScriptedServer(item) as server:
        with pytest.raises(RunStopped, match=r"raised for 3 records in a row.*test_judging.py, line \d+") as stopped:
            run(server, source, out, checks=[faulty(0)])
        assert stopped.value.report is not None
        paid = len(server.calls)
        result = run(server, source, out, checks=[checks.between("number", 1)])
    assert result.ok
    assert 12 == len(server.calls)
    assert 3 <= paid <= 12


def test_a_check_that_raises_now_and_then_quarantines(tmp_path: Path) -> None:
    """The record, and the run goes on."""
    source, out = rows_csv(tmp_path / "items.csv", 9), tmp_path / "out"

    def now_and_then(value: Any, record: Record) -> None:
        if value.number % 4 == 0:
            raise KeyError("four")

    with ScriptedServer(item) as server:
        result = run(server, source, out, checks=[now_and_then])
    assert ["k4", "k8"] == result.quarantine["key"].to_pylist()
    assert {"check.error"} == set(result.quarantine["reason"].to_pylist())
    assert "record 'k4'" in result.quarantine["message"].to_pylist()[0]
    assert 7 == result.report.ok


def test_the_command_line_stops_with_4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """And says what to do."""
    rows_csv(tmp_path / "items.csv", 6)
    (tmp_path / "broken_flow.py").write_text(
        "from tests.support import pipeline as made\n"
        "def broken(value, record):\n    return value.missing\n"
        "pipeline = made(checks=[broken])\n"
    )
    monkeypatch.chdir(tmp_path)
    with ScriptedServer(item) as server:
        monkeypatch.setenv("EXTRACT_BASE_URL", server.endpoint().base_url or "")
        monkeypatch.setenv("EXTRACT_API_KEY", "k")
        monkeypatch.setattr(sys, "argv", ["extract", "run", "broken_flow.py", "items.csv", "--quiet"])
        before = signal.getsignal(signal.SIGTERM)
        try:
            with pytest.raises(SystemExit) as left:
                main()
        finally:
            signal.signal(signal.SIGTERM, before)
    assert 4 == left.value.code
    told = " ".join(capsys.readouterr().err.split())
    assert "the check broken raised for 3 records in a row" in told
    assert "line 3" in told


def test_warnings_are_flags_of_the_table(tmp_path: Path) -> None:
    source, out = rows_csv(tmp_path / "items.csv", 3), tmp_path / "out"
    with ScriptedServer(item) as server:
        result = run(server, source, out, checks=[checks.between("number", 2, severity="warn")])
    assert result.ok
    assert [["semantic.between:$.number"], [], []] == result.table["_flags"].to_pylist()
