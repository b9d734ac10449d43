"""Counts as a line, as data and as a small page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from extract.records import Issue, Outcome, Record, Usage
from extract.report import Report, Tally, by_number


def report(**changes: Any) -> Report:
    settings: dict[str, Any] = {"records": 50, "ok": 47, "quarantined": 3, "requests": 50, "retries": 0}
    settings |= {"reasons": {"semantic.verbatim": 2, "schema.enum": 1}, "input_tokens": 21000, "output_tokens": 340}
    settings |= {"cost_usd": None, "seconds": 1.23456}
    return Report(**(settings | changes))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {},
            "47 ok, 3 quarantined (semantic.verbatim 2, schema.enum 1), 50 requests, 21,340 tokens, 0 retries",
        ),
        (
            {"records": 60, "quarantined": 0, "reasons": {}, "cost_usd": 0.5},
            "47 ok, 0 quarantined, 13 pending, 50 requests, 21,340 tokens, 0 retries, 0.5000 USD",
        ),
        (
            {"records": 12345, "ok": 12342, "requests": 2000, "retries": 1500, "cost_usd": 0.0},
            "12,342 ok, 3 quarantined (semantic.verbatim 2, schema.enum 1), 2,000 requests, 21,340 tokens, 1,500 retries",
        ),
        (
            {"ambiguous": 2, "unmetered": 47},
            "47 ok, 3 quarantined (semantic.verbatim 2, schema.enum 1), 50 requests, 21,340 tokens, 0 retries, "
            "2 without an answer that may be billed, 47 answers without a count of tokens",
        ),
    ],
)
def test_the_closing_line(changes: dict[str, Any], line: str) -> None:
    assert line == report(**changes).line


def test_a_relaxed_schema_is_in_the_line_and_the_data() -> None:
    """What the wire gave up, in its order."""
    found = report(relaxed=("array bounds", "formats"))
    assert found.line.endswith(", schema relaxed (array bounds, formats)")
    assert ["array bounds", "formats"] == found.as_dict()["relaxed"]


def test_a_report_is_json_in_the_words_of_the_manifest() -> None:
    found = report(stopped="no balance", losses=["x"]).as_dict()
    assert found == json.loads(json.dumps(found))
    assert {"in": 50, "ok": 47, "quarantined": 3, "pending": 0} == found["counts"]
    assert ({"input": 21000, "output": 340}, 1.235, "no balance") == (
        found["tokens"],
        found["seconds"],
        found["stopped"],
    )


def test_the_page_escapes_what_users_name() -> None:
    """A reason may be called anything."""
    page = report(reasons={"<script>": 3})._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert 'title="ok 47"' in page


def test_an_empty_report_has_a_page() -> None:
    assert "<table>" not in report(records=0, ok=0, quarantined=0, reasons={})._repr_html_()


def test_a_tally_counts_records_and_calls() -> None:
    """The first issue is the reason; cost is unknown until a call has one."""
    tally = Tally(records=3)
    record = Record(key=1, position=0, cells={})
    tally.count(Outcome(record))
    tally.count(Outcome(record, issues=(Issue("a", "first", "$", ""), Issue("a", "second", "$", ""))))
    assert (2, 1, 1, {"first": 1}) == (tally.done, tally.ok, tally.quarantined, dict(tally.reasons))
    tally.answered(Usage(10, 5), None, retry=False)
    assert tally.cost_usd is None
    tally.answered(Usage(1, 1), 0.5, retry=True)
    tally.answered(Usage(), 0.25, retry=True)
    tally.failed(retry=True, may_be_billed=False)
    tally.failed(retry=False, may_be_billed=True)
    assert (5, 3, Usage(11, 6), 0.75) == (tally.requests, tally.retries, tally.usage, tally.cost_usd)
    assert (1, 1) == (tally.unmetered, tally.ambiguous)
    assert 0 <= tally.seconds < 60


def test_reasons_stand_by_number_then_by_name() -> None:
    assert ["b", "a", "c"] == list(by_number({"c": 1, "a": 1, "b": 2}))


@pytest.mark.parametrize(
    "flag",
    [
        *("semantic.between:$.total", "own.code:$", "evidence.nulled:$.a", "nulled:semantic.x:$.a"),
        *("low_confidence:$.a", "table.unique:$.number", "untrusted.encoded"),
    ],
)
def test_a_row_with_a_doubt_counts_as_flagged(flag: str) -> None:
    """Once, whatever else it went through; what is quarantined is no row."""
    tally, record = Tally(records=3), Record("k", 0, {})
    tally.count(Outcome(record, flags=("fenced", flag, flag)))
    tally.count(Outcome(record, issues=(Issue("semantic", "x", "$", "no"),), flags=(flag,)))
    assert (1, 1) == (tally.flagged, tally.ok)


@pytest.mark.parametrize(
    "flag",
    [
        *("repaired", "repaired:$", "repaired:total", "escalated:m", "human", "overridden:semantic.x:$.a", "fenced"),
        *("naive_datetime:$.at", "undeclared:$.a", "unwrapped:$ref", "schema_relaxed:formats", "usage_estimated"),
    ],
)
def test_what_a_row_went_through_is_no_doubt(flag: str) -> None:
    tally = Tally(records=1)
    tally.count(Outcome(Record("k", 0, {}), flags=(flag,)))
    assert 0 == tally.flagged


def test_flagged_rows_are_in_the_line_and_the_data() -> None:
    """Beside those by hand; nothing is said where there are none."""
    assert report(flagged=1).line.startswith("47 ok (1 flagged), 3 quarantined")
    assert report(flagged=1200, human=4).line.startswith("47 ok (4 by hand, 1,200 flagged), 3 quarantined")
    assert 1 == report(flagged=1).as_dict()["flagged"]
    assert "flagged" not in report().as_dict()
