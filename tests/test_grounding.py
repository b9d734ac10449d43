"""Evidence in a run: what the source supports goes to the evidence table, what it does not is dealt with as asked."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import pytest
from pydantic import BaseModel

import extract
from extract import Evidence, Media, Pipeline, Prompt
from extract.api import Result
from extract.errors import ConfigError
from extract.testing import ScriptedServer
from tests.media.making import pdf
from tests.support import NO_WAIT

TEXT = "ACME Trading\nInvoice of 12. März 2018\nSubtotal 10.00\nTOTAL 12.50\nfor two persons"


class Kind(Enum):
    BILL = "bill"


class Line(BaseModel):
    label: str
    amount: Decimal


class Bill(BaseModel):
    company: str
    day: dt.date
    total: Decimal | None
    persons: int = 2
    paid: bool = True
    kind: Kind = Kind.BILL
    lines: list[Line] = []


GOOD: dict[str, Any] = {"company": "Acme Trading", "day": "2018-03-12", "total": 12.5, "persons": 2, "paid": True}
GOOD |= {"kind": "bill", "lines": [{"label": "Subtotal", "amount": 10}]}


def ran(tmp_path: Path, answer: Any, schema: Any = Bill, text: str = TEXT, **settings: Any) -> Result:
    pipeline = Pipeline(name="bills", schema=schema, prompt="{{ text }}", retry=NO_WAIT, **settings)
    with ScriptedServer(lambda call: answer) as server:
        frame = pd.DataFrame({"text": [text], "other": ["99.99"]})
        return extract.run(pipeline, frame, out=tmp_path / "out", endpoint=server.endpoint())


def evidence(result: Result) -> dict[str, tuple[Any, ...]]:
    names = ("quote", "how", "supported")
    return {row["path"]: tuple(row[name] for name in names) for row in result.evidence.to_pylist()}


def flags(result: Result) -> list[str]:
    return list(result.table["_flags"].to_pylist()[0])


def test_every_value_that_has_a_writing_is_looked_up(tmp_path: Path) -> None:
    """Its place goes to the evidence table; truth values and enums are concluded, not written."""
    result = ran(tmp_path, GOOD, evidence=True)
    assert {
        "$.company": ("ACME Trading", "normalised", True),
        "$.day": ("12. März 2018", "exact", True),
        "$.total": ("12.50", "exact", True),
        "$.persons": ("two", "normalised", True),
        "$.lines[0].label": ("Subtotal", "exact", True),
        "$.lines[0].amount": ("10.00", "exact", True),
    } == evidence(result)
    row = next(each for each in result.evidence.to_pylist() if each["path"] == "$.total")
    assert (1, "text", "12.50") == (row["key"], row["column"], TEXT[row["start"] : row["end"]])
    assert [] == flags(result)


def test_without_evidence_there_is_no_table(tmp_path: Path) -> None:
    """Nothing is looked up that nobody asked for."""
    result = ran(tmp_path, GOOD | {"total": 77})
    assert [] == flags(result)
    assert not (result.path / "evidence").exists()


def test_an_unsupported_value_is_flagged(tmp_path: Path) -> None:
    """The row stays; what is most like the value is in the evidence table, as no support."""
    answer = GOOD | {"company": "Acme Trding", "total": 77, "lines": [{"label": "Subtotal", "amount": 3}]}
    result = ran(tmp_path, answer, evidence=True)
    unsupported = ["$.company", "$.total", "$.lines[0].amount"]
    assert [f"evidence.unsupported:{path}" for path in unsupported] == flags(result)
    assert ("ACME Trading", "near", False) == evidence(result)["$.company"]
    assert result.ok


def test_a_value_of_another_item_is_no_support(tmp_path: Path) -> None:
    """Values of one item stand together; the evidence table points at its own line."""
    text = TEXT + "\nTea      4.00\nCoffee   7.00\nSugar    4.00"
    right = [{"label": "Tea", "amount": 4}, {"label": "Coffee", "amount": 7}, {"label": "Sugar", "amount": 4}]
    result = ran(tmp_path / "a", GOOD | {"lines": right}, text=text, evidence=True)
    assert [] == flags(result)
    starts = {row["path"]: row["start"] for row in result.evidence.to_pylist()}
    assert [text.index("4.00"), text.rindex("4.00")] == [starts[f"$.lines[{n}].amount"] for n in (0, 2)]
    wrong = [right[0] | {"amount": 7}, *right[1:]]
    result = ran(tmp_path / "b", GOOD | {"lines": wrong}, text=text, evidence=True)
    assert ["evidence.unsupported:$.lines[0].amount"] == flags(result)


def test_an_unsupported_cell_is_emptied(tmp_path: Path) -> None:
    """Null and a flag in its place, the row is kept."""

    class Emptied(Bill):
        total: Annotated[Decimal | None, Evidence(unsupported="null")]

    result = ran(tmp_path, GOOD | {"total": 77}, Emptied)
    assert [None] == result.table["total"].to_pylist()
    assert ["evidence.nulled:$.total"] == flags(result)
    assert {} == evidence(result)  # only the marked field was looked up


@pytest.mark.parametrize("policy", ["reject", "repair"])
def test_an_unsupported_record_is_rejected(tmp_path: Path, policy: Literal["reject", "repair"]) -> None:
    """Its reason names the field, the value and what is most like it."""
    result = ran(tmp_path, GOOD | {"company": "Acme Trding"}, evidence=Evidence(unsupported=policy))
    (row,) = result.quarantine.to_pylist()
    assert ("evidence.unsupported", "semantic", "$.company") == (row["reason"], row["stage"], row["path"])
    assert "most like it: 'ACME Trading'" in row["message"]


def test_likeness_can_be_support(tmp_path: Path) -> None:
    """Where that is wanted; the row says so."""
    result = ran(tmp_path, GOOD | {"company": "Acme Trding"}, evidence=Evidence(near=0.9))
    assert ["evidence.near:$.company"] == flags(result)
    assert ("ACME Trading", "near", True) == evidence(result)["$.company"]


class Quoted(BaseModel):
    total: Annotated[Decimal, Evidence(quote="said")]
    said: str | None


@pytest.mark.parametrize(
    ("said", "total", "expected"),
    [
        ("TOTAL 12.50", 12.5, []),
        ("total  12.50", 12.5, []),
        ("Subtotal 10.00", 12.5, ["evidence.unsupported:$.total"]),  # it stands there, and proves another value
        ("TOTAL 99", 12.5, ["evidence.quote:$.total"]),  # it does not stand there; the value does
        ("TOTAL 99", 99, ["evidence.quote:$.total", "evidence.unsupported:$.total"]),
        (None, 12.5, []),
    ],
)
def test_a_models_own_quote_is_checked(tmp_path: Path, said: str | None, total: float, expected: list[str]) -> None:
    """It has to stand in the source, and the value in the quote."""
    result = ran(tmp_path, {"total": total, "said": said}, Quoted)
    assert expected == flags(result)
    if not expected:
        row = result.evidence.to_pylist()[0]
        assert TEXT.index("12.50") == row["start"]


def test_one_column_alone_can_be_looked_at(tmp_path: Path) -> None:
    """Also one that was not sent."""

    class Other(BaseModel):
        total: Annotated[Decimal, Evidence(column="other")]

    assert ["evidence.unsupported:$.total"] == flags(ran(tmp_path, {"total": 12.5}, Other))


def test_which_comes_first_can_be_said(tmp_path: Path) -> None:
    """02/05/2018 is the second of May where the day is first."""

    class Dated(BaseModel):
        day: Annotated[dt.date, Evidence(day_first=True)]

    assert [] == flags(ran(tmp_path / "a", {"day": "2018-05-02"}, Dated, "on 02/05/2018"))
    assert ["evidence.unsupported:$.day"] == flags(ran(tmp_path / "b", {"day": "2018-02-05"}, Dated, "on 02/05/2018"))


def test_the_text_of_a_file_has_pages(tmp_path: Path) -> None:
    """Where the text of a PDF is sent, a value's page is told; the lines between the pages support nothing."""
    (tmp_path / "a.pdf").write_bytes(pdf(["Number 4711", "TOTAL 12.50"]))

    class Paged(BaseModel):
        number: str
        total: Decimal
        pages: int

    pipeline = Pipeline(
        name="paged",
        schema=Paged,
        prompt=Prompt(user="Read it.", media=[Media(column="file", as_="text")]),
        evidence=True,
        retry=NO_WAIT,
    )
    source = tmp_path / "rows.csv"
    source.write_text("file\na.pdf\n")
    with ScriptedServer(lambda call: {"number": "4711", "total": 12.5, "pages": 2}) as server:
        result = extract.run(pipeline, source, out=tmp_path / "out", endpoint=server.endpoint())
    assert {"$.number": 1, "$.total": 2} == {row["path"]: row["page"] for row in result.evidence.to_pylist()}
    assert ["evidence.unsupported:$.pages"] == flags(result)


class Strict(BaseModel):
    total: Annotated[Decimal, Evidence(unsupported="null")]


class Misspelt(BaseModel):
    total: Annotated[Decimal, Evidence(quote="sayd")]
    said: str


class Elsewhere(BaseModel):
    total: Annotated[Decimal, Evidence(column="txt")]


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (Strict, r"\$\.total cannot be emptied: the field may not be null"),
        (Misspelt, r"\$\.total: there is no field 'sayd'.*said"),
        (Elsewhere, r"\$\.total: Evidence looks in a column 'txt' that the source has not"),
    ],
)
def test_what_cannot_be_is_refused_before_any_call(tmp_path: Path, schema: Any, message: str) -> None:
    """A cell that may not be empty, a quote that is no field, a column that is not there."""
    with pytest.raises(ConfigError, match=message):
        ran(tmp_path, GOOD, schema)


@pytest.mark.parametrize("settings", [{"unsupported": "drop"}, {"near": 0.2}, {"near": 2}, {"near": float("nan")}])
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Evidence"):
        Evidence(**settings)


def test_a_change_of_what_is_asked_makes_the_tables_anew_without_a_call(tmp_path: Path) -> None:
    """Evidence is found in what is there."""
    pipeline = Pipeline(name="bills", schema=Bill, prompt="{{ text }}", retry=NO_WAIT)
    frame = pd.DataFrame({"text": [TEXT]})
    with ScriptedServer(lambda call: GOOD) as server:
        extract.run(pipeline, frame, out=tmp_path / "out", endpoint=server.endpoint())
        again = Pipeline(name="bills", schema=Bill, prompt="{{ text }}", retry=NO_WAIT, evidence=True)
        result = extract.run(again, frame, out=tmp_path / "out", endpoint=server.endpoint())
        assert 1 == len(server.calls)
    assert 6 == result.evidence.num_rows
