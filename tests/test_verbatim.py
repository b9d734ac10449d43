"""Fields bound to their source: candidates, reading, and the check afterwards."""

from __future__ import annotations

import datetime as dt
import re
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.errors import ConfigError
from extract.records import Record
from extract.verbatim import (
    SlowPattern,
    Target,
    UnreadableSpan,
    Verbatim,
    candidates,
    contains,
    offers,
    read,
    reading,
    supports,
    value_spans,
)

RECEIPT = "ACME LTD\nBread 2.50\nMilk 1.20\nTOTAL 3.70\nCash 5.00\n25/03/2018 12:30"
TEXTS = st.text(alphabet="0123456789.,:/-'() \n\tRM$€aJjanuary年月日%", max_size=120)
MARKS = [
    (Verbatim("money"), "decimal"),
    (Verbatim("money", labelled=True), "decimal"),
    (Verbatim("money", labelled=True), "str"),
    (Verbatim("number"), "int"),
    (Verbatim("number"), "float"),
    (Verbatim("number", labelled=True, first=3), "decimal"),
    (Verbatim("date", day_first=True), "date"),
    (Verbatim("date", day_first=False), "date"),
    (Verbatim("date", day_first=True, labelled=True), "date"),
    (Verbatim("date"), "str"),
    (Verbatim("line"), "str"),
    (Verbatim("line", first=2, trim=True), "str"),
    (Verbatim(r"\d+/\d+"), "str"),
    (Verbatim(r"RM(.*)$"), "str"),
]


def record(text: Any = RECEIPT, **cells: Any) -> Record:
    return Record(key="k", position=0, cells={"text": text, **cells})


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "("},
        {"kind": "[a-"},
        {"kind": "money", "limit": 0},
        {"kind": "money", "first": 0},
        {"kind": "line", "labelled": True},
        {"kind": "money", "trim": True},
        {"kind": r"\d", "labelled": True},
    ],
)
def test_a_mark_that_cannot_work_is_refused(given: dict[str, Any]) -> None:
    """Regular expressions, limits and options are checked when the mark is made."""
    with pytest.raises(ConfigError, match="Verbatim"):
        Verbatim(**given)


@pytest.mark.parametrize(
    ("mark", "found"),
    [
        (Verbatim("money"), ["2.50", "1.20", "3.70", "5.00"]),
        (Verbatim("money", first=2), ["2.50", "1.20"]),
        (Verbatim("money", labelled=True, first=3), ["Bread 2.50", "Milk 1.20", "TOTAL 3.70"]),
        (Verbatim("date"), ["25/03/2018"]),
        (Verbatim("line", first=2), ["ACME LTD", "Bread 2.50"]),
        (Verbatim(r"\d\d:\d\d"), ["12:30"]),
        (Verbatim(r"^(\w+) \d"), ["Bread", "Milk", "TOTAL", "Cash"]),
        (Verbatim(re.compile(r"cash|(bread)", re.IGNORECASE)), ["Bread"]),
        (Verbatim(lambda record: [record["text"][:4], "", "ACME"]), ["ACME"]),
        (Verbatim("nothing like it"), []),
    ],
)
def test_candidates_of_each_kind(mark: Verbatim, found: list[str]) -> None:
    """Distinct spans in order of appearance; a regex gives its first group."""
    assert found == candidates(mark, record(), ["text"])


def test_candidates_come_from_the_columns_that_are_named() -> None:
    """The mark's own column, else those given; cells that are no text hold nothing."""
    row = record("1.00", other="2.00", number=3.0, empty=None)
    assert ["1.00", "2.00"] == candidates(Verbatim("money"), row, ["text", "other", "number", "empty", "missing"])
    assert ["2.00"] == candidates(Verbatim("money", column="other"), row, ["text"])


@pytest.mark.parametrize(
    ("mark", "span", "target", "value"),
    [
        (Verbatim("money"), "1.234,50", "decimal", Decimal("1234.50")),
        (Verbatim("money", labelled=True), "2 x TOTAL 3.70", "decimal", Decimal("3.70")),
        (Verbatim("money", labelled=True), "TOTAL 3.70", "str", "3.70"),
        (Verbatim("money", labelled=True), "3,70", "decimal", Decimal("3.70")),
        (Verbatim("line"), "ACME  LTD", "str", "ACME  LTD"),
        (Verbatim("date", day_first=True), "02/05/2018", "date", "2018-05-02"),
        (Verbatim("date", day_first=False), "02/05/2018", "date", "2018-02-05"),
        (Verbatim("date"), "2 May 2018", "date", "2018-05-02"),
    ],
)
def test_a_span_reads_as_the_type_of_the_field(mark: Verbatim, span: str, target: Target, value: Any) -> None:
    """In terms of JSON: exact numbers, ISO dates, the text itself."""
    assert value == read(mark, span, target)
    assert value == reading(mark, span, target)


@pytest.mark.parametrize(
    ("mark", "span", "target", "code"),
    [
        (Verbatim("money"), "no figure", "decimal", "verbatim.unreadable"),
        (Verbatim(".*"), "1 a 2", "int", "verbatim.unreadable"),
        (Verbatim("date"), "31/02/2024", "date", "verbatim.unreadable"),
        (Verbatim("date", day_first=True), "12/25/2018", "date", "verbatim.unreadable"),
        (Verbatim("date"), "02/05/2018", "date", "verbatim.ambiguous"),
    ],
)
def test_what_cannot_be_read_says_why(mark: Verbatim, span: str, target: Target, code: str) -> None:
    """Unreadable and ambiguous spans have codes of their own; only the ambiguous one is still offered."""
    with pytest.raises(UnreadableSpan) as caught:
        read(mark, span, target)
    assert code == caught.value.code
    assert span in str(caught.value)
    assert reading(mark, span, target) is None
    assert (code == "verbatim.ambiguous") == offers(mark, span, target)


def test_an_iso_date_always_reads() -> None:
    """Whatever the order of day and month."""
    assert reading(Verbatim("date", day_first=True), "2018-05-02", "date") == "2018-05-02"


def test_a_fraction_is_not_offered_for_a_whole_number() -> None:
    """2.50 cannot be the value of an int."""
    assert [False, True] == [offers(Verbatim("number"), span, "int") for span in ("2.50", "2.00")]


def test_a_value_is_supported_by_a_span_that_reads_as_it() -> None:
    """Values are compared, not writings; what is not there is not supported."""
    row = record("Total 1.234,50 on 2 May 2018, ref A17, Main  Street")
    held: list[tuple[Verbatim, Any]] = [
        (Verbatim("money"), Decimal("1234.5")),
        (Verbatim("money"), 1234.5),
        (Verbatim("date"), dt.date(2018, 5, 2)),
        (Verbatim("line"), "Main Street"),
        (Verbatim(r"A\d+"), "A17"),
        (Verbatim(lambda _: ["made up"]), "made up"),
        (Verbatim("money", labelled=True), "1.234,50"),
    ]
    assert [True] * len(held) == [supports(mark, row, ["text"], value) for mark, value in held]
    absent: list[tuple[Verbatim, Any]] = [
        (Verbatim("money"), Decimal("1234.51")),
        (Verbatim("date"), dt.date(2018, 2, 5)),
        (Verbatim("line"), "Side Street"),
        (Verbatim("line"), ""),
        (Verbatim(r"A\d+"), "Total"),
        (Verbatim(lambda _: ["made up"]), "Total"),
        (Verbatim("money", column="other"), Decimal("1234.5")),
    ]
    assert [False] * len(absent) == [supports(mark, row, ["text"], value) for mark, value in absent]


@pytest.mark.parametrize(("mark", "target"), MARKS)
@given(text=TEXTS)
def test_every_candidate_stands_in_its_record_and_is_supported(mark: Verbatim, target: Target, text: str) -> None:
    """Candidate → read → supports holds for all text; a candidate is a substring, white space folded."""
    row = record(text)
    for span in candidates(mark, row, ["text"]):
        assert contains(text, span) or span in text
        if offers(mark, span, target):
            value = read(mark, span, target)
            typed = dt.date.fromisoformat(value) if target == "date" else value
            assert supports(mark, row, ["text"], typed)


def test_white_space_is_folded_when_looking_for_a_quote() -> None:
    """A quote may run over a line break; the empty quote stands nowhere."""
    assert contains("Main\n  Street 5", " Main Street ")
    assert not contains("MainStreet", "Main Street")
    assert not contains("text", " ")


@pytest.mark.parametrize(
    ("text", "value", "there"),
    [
        ("1.234,50 EUR", Decimal("1234.50"), True),
        ("3 pieces", 3, True),
        ("3 pieces", 3.0, True),
        ("13 pieces", 3, False),
        ("on 02/05/2018", dt.date(2018, 5, 2), True),
        ("on 02/05/2018", dt.date(2018, 2, 5), True),
        ("on 02/05/2018", dt.date(2018, 2, 6), False),
        ("on 02/05/2018 at 12:30", dt.datetime(2018, 5, 2, 12, 30), True),
    ],
)
def test_a_value_in_any_usual_writing(text: str, value: Any, there: bool) -> None:
    """Numbers by value, dates in either order, instants by their day."""
    assert there == value_spans(text, value)


def test_a_pattern_that_goes_back_for_ever_is_stopped() -> None:
    """The record goes to the quarantine, and says why; nothing is asked."""
    mark = Verbatim(r"((?:a+)+)b")
    text = "a" * 5000 + "c"
    began = time.process_time()
    with pytest.raises(SlowPattern, match=r"takes too long on a text of 5,001 characters"):
        candidates(mark, Record(1, 0, {"text": text}), ["text"])
    assert 20 > time.process_time() - began
