"""Ready semantic checks, and users' own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from pydantic import BaseModel

from extract import checks
from extract.errors import ConfigError
from extract.records import Issue, Record


class Kind(StrEnum):
    FOOD = "food"


class Line(BaseModel):
    name: str
    amount: Decimal | None


class Bill(BaseModel):
    shop: str | None = None
    total: Decimal | None = None
    day: dt.date | None = None
    at: dt.datetime | None = None
    paid: bool = True
    kind: Kind = Kind.FOOD
    lines: list[Line] = []  # pydantic copies defaults


def record(**cells: Any) -> Record:
    return Record(key="k", position=0, cells=cells)


def paths(issues: list[Issue]) -> list[str]:
    return [issue.path for issue in issues]


def bill(**fields: Any) -> Bill:
    lines = [Line(name=name, amount=amount) for name, amount in fields.pop("lines", [])]
    return Bill(**fields, lines=lines)


def test_verbatim_finds_values_that_stand_in_the_record() -> None:
    """Text as it is, white space folded; numbers and dates in any usual writing; null and bool pass."""
    row = record(text="ACME  Ltd 1.234,50 on 2 May 2018 food", number=5)
    fields = ("shop", "total", "day", "at", "paid", "kind", "lines.name", "lines.amount")
    good = bill(
        shop="ACME Ltd",
        total=Decimal("1234.5"),
        day=dt.date(2018, 5, 2),
        at=dt.datetime(2018, 5, 2, 9),
        lines=[("ACME", None)],
    )
    assert [] == checks.verbatim(*fields)(good, row)
    assert [] == checks.verbatim(*fields)(bill(kind="food"), row)
    bad = bill(
        shop="Acme Ltd", total=Decimal(5), day=dt.date(2018, 5, 3), lines=[("ACME", None), ("Bread", Decimal(1))]
    )
    assert ["$.shop", "$.total", "$.day", "$.lines[1].name", "$.lines[1].amount"] == paths(
        checks.verbatim(*fields)(bad, row)
    )
    assert [] == checks.verbatim("shop", ignore_case=True)(bad, row)


def test_verbatim_issues_carry_code_and_value() -> None:
    """Stage, stable code, path, message, value."""
    (issue,) = checks.verbatim("shop")(bill(shop="X"), record(text="y"))
    assert ("semantic", "semantic.verbatim", "$.shop", "X") == (issue.stage, issue.code, issue.path, issue.value)
    assert issue.message


def test_verbatim_can_look_in_one_column() -> None:
    """Only that column counts; one without text holds nothing."""
    check = checks.verbatim("shop", column="head")
    assert [] == check(bill(shop="A"), record(text="", head="A"))
    assert ["$.shop"] == paths(check(bill(shop="A"), record(text="A", head="B")))
    assert ["$.shop"] == paths(check(bill(shop="A"), record(text="A", head=None)))
    assert ("head",) == check.columns


def test_sums_to_compares_exactly() -> None:
    """The parts add up to the total, within the tolerance; nulls and an empty list pass."""
    check = checks.sums_to("lines.amount", "total")
    parts = [("a", Decimal("0.1")), ("b", Decimal("0.2")), ("c", None)]
    assert [] == check(bill(total=Decimal("0.3"), lines=parts), record())
    assert [] == check(bill(total=None, lines=parts), record())
    assert [] == check(bill(total=Decimal(7)), record())
    (issue,) = check(bill(total=Decimal("0.31"), lines=parts), record())
    assert ("semantic.sums_to", "$.total", Decimal("0.31")) == (issue.code, issue.path, issue.value)
    assert "0.3" in issue.message
    loose = checks.sums_to("lines.amount", "total", tolerance=0.01)
    assert [] == loose(bill(total=Decimal("0.31"), lines=parts), record())
    assert ["$.total"] == paths(loose(bill(total=Decimal("0.311"), lines=parts), record()))


@pytest.mark.parametrize(
    ("cell", "separator", "passes"),
    [
        ("food", None, True),
        ("food; drink", ";", True),
        (["food", "drink"], None, True),
        ("food; drink", None, False),
        ("drink", ";", False),
        ([], None, False),
        (None, None, False),
    ],
)
def test_one_of_column(cell: Any, separator: str | None, passes: bool) -> None:
    """The allowed values come from the record: a list, parted text or one value."""
    check = checks.one_of_column("kind", "allowed", separator=separator)
    found = check(bill(), record(allowed=cell))
    assert passes == (not found)
    assert all(issue.code == "semantic.one_of_column" and issue.value == "food" for issue in found)


def test_fields_columns_and_settings_are_known_before_a_run() -> None:
    """What a ready check reads can be looked up, and what else decides differs between settings."""
    assert (("lines.amount", "total"), ()) == (
        checks.sums_to("lines.amount", "total").fields,
        checks.sums_to("lines.amount", "total").columns,
    )
    assert checks.sums_to("a", "b", tolerance=1).settings != checks.sums_to("a", "b").settings
    assert checks.verbatim("a", ignore_case=True).settings != checks.verbatim("a").settings


def test_a_users_check_may_answer_in_any_form() -> None:
    """Nothing, a message, an issue, or several of these; a message is filed under the function's name."""
    own = Issue("semantic", "shop.unknown", "$.shop", "who?", "X")

    def nothing(value: Any, record: Record) -> None: ...

    def message(value: Any, record: Record) -> str:
        return "too dear"

    def issue(value: Any, record: Record) -> Issue:
        return own

    def several(value: Any, record: Record) -> list[str | Issue]:
        return ["too dear", own]

    def yielding(value: Any, record: Record) -> Iterator[str]:
        yield "one"
        yield "two"

    class Named:
        def __call__(self, value: Any, record: Record) -> str:
            return "x"

    def codes(check: checks.Check) -> list[str]:
        return [found.code for found in checks.run_check(check, bill(), record())]

    assert [] == codes(nothing)
    assert [Issue("semantic", "semantic.message", "$", "too dear")] == checks.run_check(message, bill(), record())
    assert [own] == checks.run_check(issue, bill(), record())
    assert ["semantic.several", "shop.unknown"] == codes(several)
    assert ["semantic.yielding"] * 2 == codes(yielding)
    assert ["semantic.Named"] == codes(Named())
    assert ["semantic.lambda"] == codes(lambda value, record: "x")


class Dated(BaseModel):
    total: Decimal | None = None
    day: dt.date | None = None
    name: str = "x"


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("tea 4.20\nTOTAL 7.20\nCASH 10.00", {"total": "7.20"}, []),
        ("tea 4.20\nTOTAL 7.20\nCASH 10.00", {"total": "10.00"}, ["$.total"]),
        ("Total to pay\n  7,20", {"total": "7.20"}, []),
        ("TOTAL 7.20\nCASH 7.20", {"total": "7.20"}, []),
        ("TOTAL 7.20", {"total": "8"}, ["$.total"]),
        ("TOTAL 7.20", {"total": None}, []),
        ("total on 02/05/2018", {"day": "2018-05-02"}, []),
        ("back until 02/05/2018", {"day": "2018-05-02"}, ["$.day"]),
    ],
)
def test_labelled_looks_at_the_words_before_the_value(text: str, found: dict[str, Any], expected: list[str]) -> None:
    """A value that the record prints only as something else is named, with what it stands as."""
    record = Record("k", 0, {"text": text, "n": 1})
    field = next(iter(found))
    issues = checks.labelled(field, "total|to pay")(Dated.model_validate(found), record)
    assert expected == [issue.path for issue in issues]
    assert all(issue.code == "semantic.labelled" for issue in issues)


def test_labelled_passes_text_and_refuses_a_broken_pattern() -> None:
    assert [] == checks.labelled("name", "total")(Dated(), Record("k", 0, {"text": "x"}))
    with pytest.raises(ConfigError, match="no regular expression"):
        checks.labelled("total", "(")
