"""What no repair has mended: the record is quarantined, or its faulty cells alone are emptied or flagged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import pytest
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, JsonValue, computed_field, model_validator

import extract
from extract import Evidence, Issue, Model, Pipeline, Repair, Samples, checks
from extract.api import prepare_run
from extract.errors import ConfigError
from extract.fsck import fsck
from extract.repair.last import LastWord
from extract.testing import Reply, ScriptedServer
from tests.support import NO_WAIT, answer
from tests.test_repair import efforts, flags, ran, reply


class Line(BaseModel):
    label: str
    amount: Decimal | None


class Bill(BaseModel):
    company: str
    total: Decimal | None
    net: Decimal | None = Field(default=None, alias="net-amount")
    lines: list[Line] = []
    prices: dict[str, Decimal | None] = {}


GOOD: dict[str, Any] = {"company": "ACME", "total": 12.5, "net-amount": 10, "lines": [], "prices": {}}
HIGH = GOOD | {"total": 100}
LOW = checks.between("total", 0, 50)


def once(failed: str, **more: Any) -> Repair:
    return Repair(**{"max_repairs": 1, "failed": failed} | more)


def run(folder: Path, answers: Any, failed: str = "null", **settings: Any) -> Any:
    """The result of a run in which the bill is too high, with requests."""
    return ran(folder, answers, **{"schema": Bill, "checks": [LOW], "repair": once(failed)} | settings)


def test_by_default_the_record_is_quarantined(tmp_path: Path) -> None:
    """As what a check rejects is."""
    result, _ = run(tmp_path, [reply(HIGH), reply({"total": 99})], "quarantine")
    assert ["semantic.between"] == result.quarantine["reason"].to_pylist()


def test_a_cell_is_emptied(tmp_path: Path) -> None:
    """Null in its place, the flag says what was found there; all else of the row is as it was answered."""
    result, bodies = run(tmp_path, [reply(HIGH), reply({"total": 99})])
    assert 2 == len(bodies)
    (row,) = result.table.to_pylist()
    assert ("ACME", None, Decimal(10)) == (row["company"], row["total"], row["net"])
    assert ["repaired:total", "nulled:semantic.between:$.total"] == flags(result)
    assert (2, 200, 20) == (row["_attempts"], row["_input_tokens"], row["_output_tokens"])
    assert 2 == len(row["_request"].split())
    assert (1, 0) == (result.report.ok, result.report.quarantined)
    assert [("ask", 1, 0), ("repair", 1, 0)] == efforts(tmp_path)  # no repair has helped
    assert fsck(tmp_path / "out").is_sound


def test_a_value_is_flagged(tmp_path: Path) -> None:
    """It stays, as what is only warned of."""
    result, _ = run(tmp_path, [reply(HIGH), reply({"total": 99})], "flag")
    assert [Decimal(99)] == result.table["total"].to_pylist()
    assert ["repaired:total", "semantic.between:$.total"] == flags(result)


@pytest.mark.parametrize(("failed", "total"), [("null", None), ("flag", Decimal(100))])
def test_without_repairs_it_is_done_at_once(tmp_path: Path, failed: str, total: Decimal | None) -> None:
    """Nothing more is asked."""
    result, bodies = run(tmp_path, [reply(HIGH)], repair=Repair(failed=failed))
    assert 1 == len(bodies)
    assert [total] == result.table["total"].to_pylist()


def test_a_repair_that_helps_is_not_touched(tmp_path: Path) -> None:
    result, _ = run(tmp_path, [reply(HIGH), reply({"total": 12.5})])
    assert ["repaired:total"] == flags(result)
    assert [Decimal("12.5")] == result.table["total"].to_pylist()


class Supported(BaseModel):
    company: str
    total: Annotated[Decimal | None, Evidence(unsupported="repair")]


@pytest.mark.parametrize(
    ("failed", "total", "flag"),
    [("null", None, "evidence.nulled:$.total"), ("flag", Decimal("12.58"), "evidence.unsupported:$.total")],
)
def test_what_the_source_does_not_support(tmp_path: Path, failed: str, total: Decimal | None, flag: str) -> None:
    """Has the flags of `Evidence`."""
    answers = [reply({"company": "ACME", "total": 99}), reply({"total": 12.58})]
    result, _ = run(tmp_path, answers, failed, schema=Supported, checks=[])
    assert [total] == result.table["total"].to_pylist()
    assert ["repaired:total", flag] == flags(result)


def test_what_is_most_like_an_emptied_text_is_told(tmp_path: Path) -> None:
    """In the evidence table, as no support; texts that are supported are there too."""

    class Named(BaseModel):
        shop: Annotated[str | None, Evidence(unsupported="repair")]
        company: Annotated[str, Evidence()]
        branch: Annotated[str, Evidence()]

    said = {"shop": "Acme Trding", "company": "Acme", "branch": "Acme Tradng"}
    result, _ = run(
        tmp_path, [reply(said)], schema=Named, checks=[], repair=Repair(failed="null"), texts=["ACME Trading"]
    )
    found = [(row["path"], row["quote"], row["supported"]) for row in result.evidence.to_pylist()]
    like = [("$.branch", "ACME Trading", False), ("$.shop", "ACME Trading", False)]
    assert sorted([*like, ("$.company", "ACME", True)]) == sorted(found)


def test_cells_of_items_and_entries(tmp_path: Path) -> None:
    """Each by its own path; names that the answer spells otherwise too."""
    lines = [{"label": "a", "amount": 1}, {"label": "b", "amount": 77}]
    answer = GOOD | {"lines": lines, "prices": {"a b": 66, "c": 2}, "net-amount": 55}
    limits = [checks.between(field, 0, 50) for field in ("lines.amount", "prices.*", "net")]
    result, _ = run(tmp_path, [reply(answer)], checks=limits, repair=Repair(failed="null"))
    (row,) = result.table.to_pylist()
    assert [Decimal(1), None] == [line["amount"] for line in row["lines"]]
    assert {"a b": None, "c": Decimal(2)} == dict(row["prices"])
    assert row["net"] is None
    paths = ["$.lines[1].amount", "$.prices['a b']", "$.net"]
    assert [f"nulled:semantic.between:{path}" for path in paths] == flags(result)


def test_an_item_by_itself(tmp_path: Path) -> None:
    class Tags(BaseModel):
        tags: list[str | None]

    check = checks.matches("tags", "^[a-z]+$")
    result, _ = run(
        tmp_path, [reply({"tags": ["a", "B", "c"]})], schema=Tags, checks=[check], repair=Repair(failed="null")
    )
    assert [["a", None, "c"]] == result.table["tags"].to_pylist()


class Cash(BaseModel):
    kind: Literal["cash"]
    given: Decimal | None


class Card(BaseModel):
    kind: Literal["card"]
    fee: Decimal | None


class Paid(BaseModel):
    by: Cash | Card
    first: tuple[int, str | None]


def test_parts_of_unions_and_tuples(tmp_path: Path) -> None:
    """As the schema has them, not as they go over the wire."""

    def short(value: Any, record: Any) -> Issue | None:
        return Issue("semantic", "semantic.short", "$.first[1]", "short", severity="repair") if value.first[1] else None

    answer = reply({"by": {"tag": "card", "cash": None, "card": {"kind": "card", "fee": 99}}, "first": [1, "a"]})
    given = [checks.between("by.fee", 0, 50), short]
    result, _ = run(tmp_path, [answer], schema=Paid, checks=given, repair=Repair(failed="null"))
    assert ["nulled:semantic.between:$.by.fee", "nulled:semantic.short:$.first[1]"] == flags(result)
    (row,) = result.table.to_pylist()
    assert row["by"]["card"]["fee"] is None
    assert [1, None] == list(row["first"].values())


def test_items_of_a_bare_list(tmp_path: Path) -> None:
    """Whose path begins with the column that it stands in."""
    answer = reply({"value": [{"label": "a", "amount": 1}, {"label": "b", "amount": 99}]})
    check = checks.between("value.amount", 0, 50)
    result, _ = run(tmp_path, [answer], schema=list[Line], checks=[check], repair=Repair(failed="null"))
    assert ["nulled:semantic.between:$.value[1].amount"] == flags(result)


def test_what_was_asked_for_in_parts(tmp_path: Path) -> None:
    """Is emptied in the whole."""

    def answer(call: Any) -> dict[str, Any]:
        asked = call.body["response_format"]["json_schema"]["schema"]["properties"]
        return {name: value for name, value in HIGH.items() if name in asked}

    result, _ = run(tmp_path, answer, split_fields=2)
    assert ["repaired:total", "nulled:semantic.between:$.total"] == flags(result)
    assert ["ACME"] == result.table["company"].to_pylist()


def test_a_place_within_an_emptied_one(tmp_path: Path) -> None:
    """Both are told, whichever was found first; a place that is named twice is emptied once."""

    class Nested(BaseModel):
        line: Line | None

    def both(value: Any, record: Any) -> Iterator[Issue]:
        if value.line is not None:
            for path in ("$.line.amount", "$.line", "$.line"):
                yield Issue("semantic", "semantic.both", path, "no", severity="repair")

    answer = reply({"line": {"label": "a", "amount": 1}})
    result, _ = run(tmp_path, [answer], schema=Nested, checks=[both], repair=Repair(failed="null"))
    assert [None] == result.table["line"].to_pylist()
    assert ["nulled:semantic.both:$.line.amount", "nulled:semantic.both:$.line"] == flags(result)


def test_a_cell_that_may_not_be_null_leaves_the_record_in_the_quarantine(tmp_path: Path) -> None:
    """With its own reason, also beside one that might be emptied."""
    both = [LOW, checks.matches("company", "^[a-z]+$")]
    result, _ = run(tmp_path, [reply(HIGH)], checks=both, repair=Repair(failed="null"))
    (row,) = result.quarantine.to_pylist()
    assert ("semantic.between", []) == (row["reason"], row["flags"])
    assert ["semantic.between", "semantic.matches"] == [issue["code"] for issue in json.loads(row["issues"])]


def whole(value: Any, record: Any) -> Issue | None:
    return Issue("semantic", "semantic.own", "$", "no bill", severity="repair") if value.total else None


@pytest.mark.parametrize(("failed", "ok"), [("null", 0), ("flag", 1)])
def test_what_is_wrong_with_the_whole_record(tmp_path: Path, failed: str, ok: int) -> None:
    """It cannot be emptied, only flagged."""
    result, _ = run(tmp_path, [reply(HIGH)], checks=[whole], repair=Repair(failed=failed))
    assert (ok, 1 - ok) == (result.report.ok, result.report.quarantined)


@pytest.mark.parametrize("failed", ["null", "flag"])
@pytest.mark.parametrize(
    "settings",
    [
        {"checks": [checks.between("total", 0, 50, severity="reject")]},
        {"checks": [LOW, checks.matches("company", "^[a-z]+$", severity="reject")]},
        {"answer": {**GOOD, "total": "many"}},
        {"answer": {"refusal": "no"}},
    ],
    ids=["rejected", "rejected beside", "schema", "refusal"],
)
def test_what_is_rejected_stays_so(tmp_path: Path, failed: str, settings: dict[str, Any]) -> None:
    """The policy is of what was to be repaired by a check or by evidence, and of nothing else."""
    answer = settings.get("answer", HIGH)
    first = reply(None, refusal="no") if "refusal" in answer else reply(answer)
    result, _ = run(tmp_path, [first], checks=settings.get("checks", []), repair=Repair(failed=failed))
    assert 1 == result.report.quarantined


def test_what_another_field_needs_cannot_be_emptied(tmp_path: Path) -> None:
    """The answer is judged again with the null: by checks, and by the model."""

    class Priced(BaseModel):
        total: Decimal | None
        currency: str | None

        @model_validator(mode="after")
        def together(self) -> Priced:
            if self.total is not None and self.currency is None:
                raise ValueError("no currency")
            return self

    check = checks.currency("currency")
    answer = reply({"total": 1, "currency": "Euro"})
    result, _ = run(tmp_path / "a", [answer], schema=Priced, checks=[check], repair=Repair(failed="null"))
    assert ["semantic.currency"] == result.quarantine["reason"].to_pylist()
    needed = checks.required_if("total", "net")
    result, _ = run(tmp_path / "b", [reply(HIGH)], checks=[LOW, needed], repair=Repair(failed="null"))
    assert ["semantic.between"] == result.quarantine["reason"].to_pylist()


def test_a_check_that_wants_another_value_there_has_been_heard(tmp_path: Path) -> None:
    """Null does not please it either, which its flag says already."""

    def twelve(value: Any, record: Any) -> Issue | None:
        if value.total != 12:
            return Issue("semantic", "semantic.twelve", "$.total", "12 would be right", severity="repair")
        return None

    result, _ = run(tmp_path / "a", [reply(HIGH)], checks=[twelve], repair=Repair(failed="null"))
    assert ([None], ["nulled:semantic.twelve:$.total"]) == (result.table["total"].to_pylist(), flags(result))
    missing = reply(GOOD | {"total": None})
    result, _ = run(tmp_path / "b", [missing], checks=[twelve], repair=Repair(failed="null"))
    assert ["semantic.twelve"] == result.quarantine["reason"].to_pylist()


def test_what_comes_to_light_then_is_emptied_too(tmp_path: Path) -> None:
    """Evidence is looked for when no check finds anything: what it does not find then has no support either."""

    class Both(BaseModel):
        total: Decimal | None
        net: Annotated[Decimal | None, Evidence(unsupported="repair")]

    result, _ = run(tmp_path, [reply({"total": 100, "net": 77})], schema=Both, repair=Repair(failed="null"))
    assert [(None, None)] == [(row["total"], row["net"]) for row in result.table.to_pylist()]
    assert ["nulled:semantic.between:$.total", "evidence.nulled:$.net"] == flags(result)


def test_a_value_that_is_missing_cannot_be_taken_away(tmp_path: Path) -> None:
    """What a check wants filled stays in the quarantine."""
    needed = checks.required_if("total", "company")
    result, _ = run(tmp_path, [reply(GOOD | {"total": None})], checks=[needed], repair=Repair(failed="null"))
    assert ["semantic.required_if"] == result.quarantine["reason"].to_pylist()


@pytest.mark.parametrize("path", ["$.nothing", "$.lines[0].amount", "$.company.x", "total", "$..", "$.prices['x']", ""])
def test_places_that_are_none_leave_the_record_in_the_quarantine(tmp_path: Path, path: str) -> None:
    """A check of one's own may name anything."""

    def odd(value: Any, record: Any) -> Issue:
        return Issue("semantic", "semantic.odd", path, "odd", severity="repair")

    result, _ = run(tmp_path, [reply(GOOD)], checks=[odd], repair=Repair(failed="null"))
    assert ["semantic.odd"] == result.quarantine["reason"].to_pylist()


def test_a_check_that_cannot_take_the_null_stops_nothing(tmp_path: Path) -> None:
    """The records keep their own reason: it was not asked to judge a null before."""

    def high(value: Any, record: Any) -> Iterator[Issue]:
        if value.total > 50:
            yield Issue("semantic", "semantic.high", "$.total", "too much", severity="repair")

    texts = [f"bill {number}" for number in range(5)]
    result, _ = run(tmp_path, lambda call: HIGH, checks=[high], repair=Repair(failed="null"), texts=texts)
    assert ["semantic.high"] * 5 == result.quarantine["reason"].to_pylist()


def test_judging_again_is_in_no_row_of_faults(tmp_path: Path) -> None:
    """However many records in a row a check cannot judge with the null."""

    def high(value: Any, record: Any) -> Iterator[Issue]:
        if value.total > 50:
            yield Issue("semantic", "semantic.high", "$.total", "too much", severity="repair")

    repair = Repair(failed="null")
    pipeline = Pipeline(name="b", schema=Bill, prompt="{{ text }}", checks=[high], repair=repair)
    prepared = prepare_run(pipeline, pd.DataFrame({"text": ["a"]}), endpoint=extract.Endpoint(api_key="k"))
    record = next(iter(prepared.source.records()))
    outcome = prepared.judge(record, answer(json.dumps(HIGH)))
    last = LastWord(prepared.judge, repair)
    assert [outcome] * 5 == [last(record, outcome) for _ in range(5)]


def test_emptying_comes_to_an_end(tmp_path: Path) -> None:
    """A check that finds something new each time does not keep the run."""

    def endless(value: Any, record: Any) -> Issue:
        at = next(number for number, line in enumerate(value.lines) if line.amount is not None)
        return Issue("semantic", "semantic.endless", f"$.lines[{at}].amount", "no", severity="repair")

    lines = [{"label": "a", "amount": number} for number in range(40)]
    answer = reply(GOOD | {"lines": lines})
    result, _ = run(tmp_path, [answer], checks=[endless], repair=Repair(failed="null"))
    assert ["semantic.endless"] == result.quarantine["reason"].to_pylist()


def amounts(*values: int) -> list[dict[str, Any]]:
    return [{"label": "a", "amount": value} for value in values]


def kept_back(folder: Path, kind: Any, value: Any, field: str = "found") -> None:
    """A field of this type, of which one value is above 50, leaves its record in the quarantine."""
    schema = type("Holder", (BaseModel,), {"__annotations__": {"found": kind, "other": Decimal | None}})
    check = checks.between(field, 1, 50)
    answer = reply({"found": value, "other": 1})
    result, _ = run(folder, [answer], schema=schema, checks=[check], repair=Repair(failed="null"))
    assert (0, ["semantic.between"]) == (result.report.ok, result.quarantine["reason"].to_pylist())


def _sorted(lines: list[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (line.amount is None, line.amount))


@pytest.mark.parametrize(
    "moved",
    [_sorted, lambda lines: lines[::-1], lambda lines: [line for line in lines if line.amount != 2]],
    ids=["sorted", "reversed", "filtered"],
)
def test_where_a_validator_moves_items_nothing_is_emptied(tmp_path: Path, moved: Any) -> None:
    """A place in the row is then another one in the answer: no good value goes in place of a bad one."""
    kept_back(tmp_path, Annotated[list[Line], AfterValidator(moved)], amounts(2, 99, 3, 7), "found.amount")


def test_items_of_a_set_are_not_emptied(tmp_path: Path) -> None:
    """They have no places of their own."""
    kept_back(tmp_path, set[Decimal | None], [3, 99])


@pytest.mark.parametrize("instead", [0, 999])
@pytest.mark.parametrize("kind", [AfterValidator, BeforeValidator])
def test_where_a_validator_fills_the_null_nothing_is_emptied(tmp_path: Path, kind: Any, instead: int) -> None:
    """A cell that is told to be empty is empty."""
    filled = kind(lambda value: Decimal(instead) if value is None else value)
    kept_back(tmp_path, Annotated[Decimal | None, filled], 99)


def test_where_another_cell_changes_nothing_is_emptied(tmp_path: Path) -> None:
    """As one that is computed of it: nobody would be told."""

    class Summed(BaseModel):
        lines: list[Line]

        @computed_field  # type: ignore[prop-decorator]
        @property
        def total(self) -> Decimal:
            return sum((line.amount or Decimal(0) for line in self.lines), Decimal(0))

    check = checks.between("lines.amount", 1, 50)
    answer = reply({"lines": amounts(1, 99)})
    result, _ = run(tmp_path, [answer], schema=Summed, checks=[check], repair=Repair(failed="null"))
    assert ["semantic.between"] == result.quarantine["reason"].to_pylist()


def test_places_in_free_json_and_in_fields_without_column(tmp_path: Path) -> None:
    """Are emptied too; the other cells are what they were."""

    class Free(BaseModel):
        data: JsonValue
        hidden: Decimal | None = Field(exclude=True)
        total: Decimal | None

    def high(value: Any, record: Any) -> Iterator[Issue]:
        for path, found in (("$.data.lines[1]", value.data["lines"][1]), ("$.hidden", value.hidden)):
            if found is not None:
                yield Issue("semantic", "semantic.high", path, "too much", severity="repair")

    answer = reply({"data": {"lines": [1, 99]}, "hidden": 99, "total": 3})
    result, _ = run(tmp_path, [answer], schema=Free, checks=[high], repair=Repair(failed="null"))
    (row,) = result.table.to_pylist()
    assert ({"lines": [1, None]}, Decimal(3)) == (json.loads(row["data"]), row["total"])
    assert ["nulled:semantic.high:$.data.lines[1]", "nulled:semantic.high:$.hidden"] == flags(result)


def known(value: Any, record: Any) -> Iterator[Issue]:
    """Takes offence at nulls too."""
    for number, line in enumerate(value.lines):
        if line.amount is None or line.amount > 50:
            yield Issue("semantic", "semantic.known", f"$.lines[{number}].amount", "no", severity="repair")


MANY = reply(GOOD | {"lines": amounts(*range(100, 350))})  # more than a check tells of one record


@pytest.mark.parametrize("check", [known, checks.between("lines.amount", 0, 50)], ids=["own", "ready"])
def test_however_many_cells_are_wrong_all_are_emptied(tmp_path: Path, check: Any) -> None:
    """Those that were told already hide no others."""
    result, _ = run(tmp_path, [MANY], checks=[check], repair=Repair(failed="null"))
    assert [None] * 250 == [line["amount"] for line in result.table["lines"].to_pylist()[0]]
    assert 250 == len(flags(result))


@pytest.mark.parametrize("check", [known, checks.between("lines.amount", 0, 50)], ids=["own", "ready"])
def test_more_flags_than_a_check_tells(tmp_path: Path, check: Any) -> None:
    """The row as a whole is flagged for those that are left out; not for a hundred."""
    result, _ = run(tmp_path / "a", [MANY], "flag", checks=[check], repair=Repair(failed="flag"))
    code = "semantic.known" if check is known else "semantic.between"
    cells = [f"{code}:$.lines[{number}].amount" for number in range(99)]
    assert [*cells, f"{code}:$"] == flags(result)
    hundred = reply(GOOD | {"lines": amounts(*range(100, 200))})
    result, _ = run(tmp_path / "b", [hundred], "flag", checks=[check], repair=Repair(failed="flag"))
    assert [*cells, f"{code}:$.lines[99].amount"] == flags(result)


@pytest.mark.parametrize("failed", ["null", "flag"])
def test_what_is_rejected_is_not_hidden_by_what_is_told(tmp_path: Path, failed: str) -> None:
    """The gravest finding counts, however many stand before it."""

    def mixed(value: Any, record: Any) -> Iterator[Issue]:
        yield from known(value, record)
        yield Issue("semantic", "semantic.last", "$.company", "no")

    result, _ = run(tmp_path, [MANY], checks=[mixed], repair=Repair(failed=failed))
    assert ["semantic.known"] == result.quarantine["reason"].to_pylist()


@pytest.mark.parametrize("failed", ["null", "flag"])
def test_a_check_that_never_ends_leaves_the_record_in_the_quarantine(tmp_path: Path, failed: str) -> None:
    """It is not known what else it would say."""

    def endless(value: Any, record: Any) -> Iterator[Issue]:
        while True:
            yield Issue("semantic", "semantic.endless", "$.total", "no", severity="repair")

    result, _ = run(tmp_path, [reply(HIGH)], checks=[endless], repair=Repair(failed=failed))
    assert ["semantic.endless"] == result.quarantine["reason"].to_pylist()


def test_a_repair_without_an_answer_is_not_the_last_word(tmp_path: Path) -> None:
    """The record keeps its reason, and a later run asks again; then its cell is emptied."""
    result, _ = run(tmp_path, [reply(HIGH), *[Reply({"error": {"message": "x"}}, 503)] * 3])
    assert ["semantic.between"] == result.quarantine["reason"].to_pylist()
    result, bodies = run(tmp_path, [reply({"total": 99})])
    assert 1 == len(bodies)
    assert [None] == result.table["total"].to_pylist()


def test_a_cap_on_repairs_is_the_last_word(tmp_path: Path) -> None:
    """What may not be asked for again is not mended."""
    texts = [f"bill {number}" for number in range(3)]
    repair = once("null", max_tokens=50)
    limits = extract.Limits(concurrency=1)
    result, bodies = run(
        tmp_path,
        lambda call: reply({"total": 99} if len(call.body["messages"]) > 1 else HIGH),
        repair=repair,
        texts=texts,
        limits=limits,
    )
    assert 4 == len(bodies)
    assert [None] * 3 == result.table["total"].to_pylist()


CHEAP, STRONG = Model(name="cheap"), Model(name="strong")


def test_the_next_model_is_asked_before(tmp_path: Path) -> None:
    """Only what fails with all of them is emptied."""
    result, bodies = run(tmp_path, [reply(HIGH), reply(GOOD)], models=[CHEAP, STRONG], repair=Repair(failed="null"))
    assert ["cheap", "strong"] == [body["model"] for body in bodies]
    assert ["escalated:strong"] == flags(result)


@pytest.mark.parametrize("last", [reply("no JSON"), reply(None, refusal="no"), reply(GOOD | {"total": "x"})])
def test_of_an_earlier_answer_that_was_better(tmp_path: Path, last: Reply) -> None:
    """Where the last answer is none, the row is made of the one before, and all are paid and named."""
    result, _ = run(tmp_path, [reply(HIGH), last], models=[CHEAP, STRONG], repair=Repair(failed="null"))
    (row,) = result.table.to_pylist()
    assert (None, 2, 200) == (row["total"], row["_attempts"], row["_input_tokens"])
    assert 2 == len(row["_request"].split())
    assert ["nulled:semantic.between:$.total"] == flags(result)
    assert [("ask", 1, 0), ("escalate", 1, 0)] == efforts(tmp_path)


def test_records_whose_evidence_is_lacking_go_to_the_next_model(tmp_path: Path) -> None:
    """And when it finds no support either, the row stays with a flag: escalation of what the source disagrees with."""
    answers = [reply({"company": "ACME", "total": 99}), reply({"company": "ACME", "total": 98})]
    result, bodies = run(
        tmp_path, answers, schema=Supported, checks=[], models=[CHEAP, STRONG], repair=Repair(failed="flag")
    )
    assert ["cheap", "strong"] == [body["model"] for body in bodies]
    assert ["escalated:strong", "evidence.unsupported:$.total"] == flags(result)
    assert [Decimal(98)] == result.table["total"].to_pylist()


@pytest.mark.parametrize("failed", ["null", "flag"])
def test_a_rerun_asks_nothing_and_gives_the_same_bytes(tmp_path: Path, failed: str) -> None:
    texts = [f"bill {number}" for number in range(20)]

    def answer(call: Any) -> Reply:
        return reply({"total": 99} if len(call.body["messages"]) > 1 else HIGH if "3" in call.prompt else GOOD)

    first, _ = run(tmp_path, answer, failed, texts=texts)
    (path,) = (tmp_path / "out" / "table").iterdir()
    before = path.read_bytes()
    path.unlink()
    result, bodies = run(tmp_path, [], failed, texts=texts)
    assert [] == bodies
    assert before == path.read_bytes()
    assert (20, 0, 20) == (first.report.ok, first.report.quarantined, result.report.ok)


def test_another_policy_makes_the_tables_anew_without_a_request(tmp_path: Path) -> None:
    """What was paid is judged by it."""
    run(tmp_path, [reply(HIGH), reply({"total": 99})], "quarantine")
    for failed, found in (("null", [None]), ("flag", [Decimal(99)]), ("quarantine", [])):
        result, bodies = run(tmp_path, [], failed)
        assert [] == bodies
        assert found == result.table["total"].to_pylist()


def test_a_redrive_ends_alike(tmp_path: Path) -> None:
    """What fails again with another model is emptied, and a later run makes the same of it."""
    folder, frame = tmp_path / "out", pd.DataFrame({"text": ["a"]})
    pipeline = Pipeline(name="b", schema=Bill, prompt="{{ text }}", checks=[LOW], repair=once("null"), retry=NO_WAIT)
    answers = iter([reply("no JSON"), reply("no JSON"), reply(HIGH), reply({"total": 99})])
    with ScriptedServer(lambda call: next(answers)) as server:
        extract.run(pipeline, frame, out=folder, endpoint=server.endpoint())
        result = extract.redrive(folder, pipeline, frame, model="other", endpoint=server.endpoint())
        assert [None] == result.table["total"].to_pylist()
        assert "nulled:semantic.between:$.total" in flags(result)
        (path,) = (folder / "table").iterdir()
        before = path.read_bytes()
        path.unlink()
        extract.run(pipeline, frame, out=folder, endpoint=server.endpoint())
        assert 4 == len(server.calls)
    assert before == path.read_bytes()


def test_a_persons_value_is_not_taken_away(tmp_path: Path) -> None:
    """What a person fills in is refused, or accepted, as it was said."""
    frame = pd.DataFrame({"id": ["a"], "text": ["x"]})
    pipeline = Pipeline(
        name="b", schema=Bill, prompt="{{ text }}", key="id", checks=[LOW], repair=Repair(failed="null"), retry=NO_WAIT
    )
    with ScriptedServer(lambda call: reply("no JSON")) as server:
        extract.run(pipeline, frame, out=tmp_path / "out", endpoint=server.endpoint())
        edits = tmp_path / "edits.jsonl"
        edits.write_text(json.dumps({"key": "a", "company": "ACME", "total": 100, "lines": [], "prices": {}}) + "\n")
        with pytest.raises(extract.errors.ExtractError, match=r"semantic\.between"):
            extract.accept(tmp_path / "out", pipeline, edits, frame, endpoint=server.endpoint())


def test_emptied_fields_have_no_confidence(tmp_path: Path) -> None:
    """A share of answers that agree on a value says nothing of null."""
    samples = Samples(n=2, flag_below=0.9)
    result, _ = run(tmp_path, [reply(HIGH), reply(HIGH | {"total": 99})], samples=samples, repair=Repair(failed="null"))
    (found,) = result.table["_confidence"].to_pylist()
    assert (1.0, None) == (found["company"], found["total"])
    assert ["nulled:semantic.between:$.total"] == flags(result)


def test_masked_values_are_emptied_too(tmp_path: Path) -> None:
    """In the answer with the values put back."""

    class Contact(BaseModel):
        mail: str | None

    def answer(call: Any) -> dict[str, Any]:
        return {"mail": next(word for word in call.prompt.split() if "EMAIL" in word)}

    check = checks.matches("mail", "@example.org$")
    settings = {"schema": Contact, "checks": [check], "redact": ["email"], "repair": Repair(failed="null")}
    result, _ = run(tmp_path, answer, texts=["write to ann@example.com now"], **settings)
    assert [None] == result.table["mail"].to_pylist()


class Full(BaseModel):
    company: str
    lines: list[str]


def test_where_nothing_may_be_null_it_is_refused(tmp_path: Path) -> None:
    """Before any call."""
    with pytest.raises(ConfigError, match="no field may be null"):
        run(tmp_path, [], schema=Full, checks=[])


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ConfigError, match="failed"):
        Repair(failed="drop")  # type: ignore[arg-type]
