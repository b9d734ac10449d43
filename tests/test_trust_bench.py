"""How the benchmark of trust counts: what is wrong in a table, and how much of that looks right."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from benchmarks.trust.counting import trust
from benchmarks.trust.described import OPINIONS
from benchmarks.trust.page import Column, set_section
from benchmarks.trust.printed import Printed, total_of
from benchmarks.trust.sets import SETS, DataSet, Part, parts
from benchmarks.trust.sides import Table
from benchmarks.trust.spoken import spoken
from benchmarks.trust.with_instructor import _whole_lines
from extract import Record
from tests.support import SHARED

COMPARE = {"name": "text", "total": "number:0.005", "tags": "list"}
GOLD = [
    {"id": "a", "name": "Ada", "total": 1.0, "tags": ["x"]},
    {"id": "b", "name": "Bob", "total": 2.0, "tags": []},
    {"id": "c", "name": None, "total": 3.0, "tags": ["y"]},
    {"id": "d", "name": "Dot", "total": 4.0, "tags": ["z"]},
]


def row(key: str, name: str | None, total: float | None, tags: list[str], *flags: str) -> dict[str, object]:
    return {"id": key, "name": name, "total": total, "tags": tags, "_flags": list(flags)}


def test_a_wrong_cell_counts_as_unflagged_unless_a_flag_names_it():
    """Another value, one too many and one that is lacking are wrong; the flag has to name that very field."""
    rows = [
        row(
            "a", "Eve", 9.0, ["x"], "semantic.second_opinion:$.total", "repaired:name"
        ),  # name unflagged, total flagged
        row("b", "Bob", None, ["w"], "evidence.nulled:$.total", "semantic.x:$.tags[0]"),  # both flagged
        row("c", "Cat", 3.0, ["y"], "evidence.unsupported:$.total"),  # name unflagged, total right and flagged
    ]
    found = trust(rows, GOLD, COMPARE)
    assert (12, 5, 2, 1) == (found.cells, found.wrong, found.unflagged, found.right_flagged)
    assert 2 / 12 == found.misleading


def test_a_record_without_a_row_is_withheld_and_never_wrong():
    """It costs recall and nothing else; a table without any row has no precision at all."""
    some = trust([row("a", "Ada", 1.0, ["x"])], GOLD, COMPARE)
    assert (0, 1.0) == (some.wrong, some.found.micro.precision)
    assert 3 / 10 == some.found.micro.recall
    none = trust([], GOLD, COMPARE)
    assert (12, 0, 0, 4) == (none.cells, none.wrong, none.unflagged, none.found.quarantined)
    assert (None, 0.0) == (none.found.micro.precision, none.found.micro.recall)


def test_the_section_says_how_ours_stands_to_the_others():
    """The ratio of the shares, and whether it reaches the goal."""
    data = DataSet("bills", 0, 4, COMPARE)
    part = Part(_frame(), GOLD)
    wrong = Table([row(each["id"], "Eve", 0.0, []) for each in GOLD], 4, 400, {})
    ours = Table([row("a", "Eve", 1.0, ["x"])], 4, 800, {"semantic.x": 3})
    columns = {name: Column(trust(t.rows, GOLD, COMPARE), t) for name, t in (("zero-shot", wrong), ("ours", ours))}
    page = set_section(data, part, "measured", columns)
    assert "| **wrong and not flagged** | **11 (91.7%)** | **1 (8.3%)** |" in page
    assert "| records without a row | 0 | 3 (semantic.x 3) |" in page
    assert "Against zero-shot: 11.0 times fewer cells that are wrong and not flagged (the goal is 5), F1 +0.31." in page


def _frame():
    import pandas as pd

    return pd.DataFrame({"id": [each["id"] for each in GOLD], "text": ["", "", "", ""]})


def test_a_second_opinion_speaks_against_a_wrong_cell_alone():
    """Places to eat by their words, receipts by their layout, commands by what was counted."""
    text = "Clowns is a cheap pub in the city centre near Café Rouge. It is not family friendly."
    said = {"name": "Clowns", "eat_type": "pub", "food": None, "price_range": "cheap", "customer_rating": None}
    said |= {"area": "city centre", "family_friendly": False, "near": "Café Rouge"}
    assert [] == _against(OPINIONS, said, text)
    wrong = said | {"price_range": "high", "family_friendly": True, "near": None, "food": "French"}
    assert ["$.family_friendly", "$.food", "$.near", "$.price_range"] == _against(OPINIONS, wrong, text)

    receipt = "CORNER SHOP SDN BHD\nNO 3, JALAN INDAH\n81750 JOHOR\n02/05/2018\nTOTAL  9.40\nCASH  10.00\nCHANGE  0.60"
    printed = {"company": "CORNER SHOP SDN BHD", "date": None, "total": total_of(receipt), "address": None}
    assert ["$.address", "$.date"] == _against([Printed()], printed, receipt)

    check = spoken([("play jazz on radio", "Play", [("genre", "jazz"), ("service", "radio")])] * 3)
    slots = [SimpleNamespace(slot="genre", value="jazz"), SimpleNamespace(slot="service", value="radio")]
    assert [] == _against([check], {"intent": "Play", "slots": slots}, "play jazz on radio")
    assert ["$.slots"] == _against([check], {"intent": "Play", "slots": slots[:1]}, "play jazz on radio")


def _against(checks, value, text):
    record = Record("a", 0, {"text": text})
    return sorted(issue.path for check in checks for issue in check(SimpleNamespace(**value), record))


def test_answers_of_a_run_that_was_killed_are_kept_but_for_the_line_it_was_writing(tmp_path):
    """The rest is asked again."""
    file = tmp_path / "instructor.jsonl"
    file.write_text(json.dumps({"id": "a"}) + "\n" + '{"id": "b", "ro', "utf-8")
    assert {"a"} == _whole_lines(file)
    assert '{"id": "a"}\n' == file.read_text("utf-8")
    assert set() == _whole_lines(tmp_path / "none")


@pytest.mark.shared
@pytest.mark.parametrize("data", SETS, ids=lambda data: data.name)
def test_no_record_is_in_two_parts(data):
    """What settings were chosen on, and what is shown as an example, is not measured; gold reads as it is compared."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared")
    split = parts(data, folder=SHARED / "data")
    ids = [set(part.records["id"]) for part in (split.development, split.measured, split.examples)]
    assert sum(map(len, ids)) == len(set.union(*ids))
    assert data.measured == len(ids[1])
    gold = [{"id": each["id"], **data.shaped(each)} for each in split.measured.gold[:20]]
    own = trust([{**each, "_flags": []} for each in gold], gold, data.compare, resamples=0)
    assert (0, 1.0) == (own.wrong, own.found.f1)
