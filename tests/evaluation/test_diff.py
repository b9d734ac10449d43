"""Two runs against each other: what moved, what changed, and whether one is better by more than chance."""

from __future__ import annotations

import math
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from extract.errors import InputError
from extract.evaluation import diff, evaluate
from extract.evaluation.significance import mcnemar, wilson
from tests.evaluation.conftest import COUNT
from tests.evaluation.making import answer, make_run


@pytest.mark.parametrize(("one", "two"), [(0, 0), (3, 3), (1, 9), (25, 16), (0, 7), (400, 500), (5000, 5200)])
def test_mcnemar_agrees_with_scipy(one: int, two: int) -> None:
    """The exact two-sided binomial test of a fair coin."""
    binomtest = import_module("scipy.stats").binomtest
    expected = binomtest(one, one + two).pvalue if one + two else 1.0
    assert pytest.approx(expected, rel=1e-6) == mcnemar(one, two)
    assert mcnemar(one, two) == mcnemar(two, one)


def test_mcnemar_by_hand() -> None:
    """1 of 10: twice the 1 + 10 outcomes of 1,024."""
    assert pytest.approx(22 / 1024) == mcnemar(1, 9)


@pytest.mark.parametrize(("part", "whole"), [(0, 20), (7, 20), (20, 20), (1, 1000)])
def test_wilson_agrees_with_scipy(part: int, whole: int) -> None:
    """The score interval without a correction."""
    binomtest = import_module("scipy.stats").binomtest
    expected = binomtest(part, whole).proportion_ci(0.95, method="wilson")
    assert pytest.approx((expected.low, expected.high), abs=1e-12) == wilson(part, whole, 0.95)


def test_records_move_between_table_and_quarantine(papers: Path) -> None:
    """Each record is counted where the two runs have it."""
    found = diff(papers / "one", papers / "two", resamples=0).moved
    said = [{seed: answer(number, seed) == "no JSON" for seed in (1, 2)} for number in range(COUNT)]
    lost = [f"k{at}" for at, failed in enumerate(said) if failed[2] and not failed[1]]
    won = [f"k{at}" for at, failed in enumerate(said) if failed[1] and not failed[2]]
    assert (lost, won) == (list(found.newly_quarantined), list(found.newly_passed))
    assert sum(failed[1] and failed[2] for failed in said) == found.both_quarantined
    assert sum(not failed[1] and not failed[2] for failed in said) == found.both
    assert ([], []) == (list(found.only_first), list(found.only_second))


def test_changes_by_hand() -> None:
    """Same, changed, null to value and back; lists by record; examples with both values."""
    one = pd.DataFrame(
        {"id": [1, 2, 3, 4, 5], "v": ["a", "b", None, "d", None], "l": [["x", "y"], ["x"], [], ["x"], None]}
    )
    two = pd.DataFrame(
        {"id": [2, 1, 3, 4, 6], "v": ["B", "a", "c", None, "e"], "l": [["z"], ["y", "x"], ["x"], [], []]}
    )
    found = diff(one, two, key="id", resamples=0)
    assert (4, ["5"], ["6"]) == (
        found.moved.both,
        [str(k) for k in found.moved.only_first],
        [str(k) for k in found.moved.only_second],
    )
    v, items = found.fields["v"], found.fields["l"]
    assert (1, 1, 1, 1, 0.75) == (v.same, v.changed, v.appeared, v.vanished, v.share)
    assert [(2, "b", "B"), (3, None, "c"), (4, "d", None)] == [(e.key, e.first, e.second) for e in v.examples]
    assert (1, 1, 1, 1) == (items.same, items.changed, items.appeared, items.vanished)
    assert wilson(3, 4, 0.95) == v.interval
    folded = diff(one, two, key="id", compare={"v": "folded"}, resamples=0)
    assert 2 == folded.fields["v"].same


def test_a_run_does_not_differ_from_itself(papers: Path, tmp_path: Path) -> None:
    """Whatever the layout of its tables; with gold there is no gain, and no record that only one has right."""
    other = make_run(tmp_path, "flat", COUNT, 1, children="tables", flat=True)
    found = diff(papers / "one", other, gold=papers / "gold.parquet", resamples=50)
    assert {0.0} == {field.share for field in found.fields.values()}
    for each in found.comparisons.values():
        assert (0.0, (0.0, 0.0)) == (each.gain, each.interval)
        assert (each.only_first, each.only_second, each.p) in ((0, 0, 1.0), (None, None, None))


def test_gains_are_those_of_the_two_evaluations(papers: Path) -> None:
    """F1 of each field, the totals and the exact records, with the split that McNemar's test is of."""
    gold = papers / "gold.parquet"
    found = diff(papers / "one", papers / "two", gold=gold, resamples=300)
    one, two = evaluate(papers / "one", gold, resamples=0), evaluate(papers / "two", gold, resamples=0)
    for path, field in one.fields.items():
        each = found.comparisons[path]
        assert (field.score.f1, two.fields[path].score.f1) == (each.first, each.second)
        assert each.only_first is not None
        assert each.only_second is not None
        assert field.right - two.fields[path].right == each.only_first - each.only_second
        assert mcnemar(each.only_first, each.only_second) == each.p
    for path, values in (("(micro)", (one.f1, two.f1)), ("(exact records)", (one.exact, two.exact))):
        each = found.comparisons[path]
        assert values == (each.first, each.second)
        assert each.gain is not None
        assert each.interval is not None
        assert each.interval[0] <= each.gain <= each.interval[1]
    assert two.f1 == found.f1


def test_both_runs_are_drawn_alike() -> None:
    """A run that is better on every record is better in every draw, however much the draws differ."""
    keys = list(range(40))
    gold = pd.DataFrame({"id": keys, "v": ["a"] * 40})
    worse = pd.DataFrame({"id": keys, "v": ["a" if at % 2 else "x" for at in keys]})
    better = pd.DataFrame({"id": keys, "v": ["a" if at % 2 or at % 4 == 0 else "x" for at in keys]})
    found = diff(worse, better, gold=gold, key="id", resamples=500).comparisons["v"]
    assert (10, 0) == (found.only_second, found.only_first)
    assert found.interval is not None
    assert 0 < found.interval[0] < 0.25 < found.interval[1] < 0.5


def test_a_field_of_one_run_only_is_said() -> None:
    """A schema that has changed: what both have is compared, a new name is no error."""
    one, two = (pd.DataFrame({"id": [1], "v": ["a"], name: ["b"]}) for name in ("total", "totals"))
    found = diff(one, two, key="id", resamples=0)
    assert ["v"] == list(found.fields)
    assert ["only in DataFrame, not compared: total", "only in DataFrame, not compared: totals"] == list(found.notes)


def test_values_that_cannot_be_read_are_compared_as_they_are() -> None:
    """A comparator that suits neither value: the same text is the same."""
    one = pa.table({"id": [1, 2, 3], "v": ["soon", "soon", "1"]})
    two = pa.table({"id": [1, 2, 3], "v": ["soon", "late", "1.0"]})
    found = diff(one, two, key="id", compare={"v": "number"}, resamples=0).fields["v"]
    assert (2, 1) == (found.same, found.changed)


def test_runs_without_a_common_record_are_refused(papers: Path, tmp_path: Path) -> None:
    """The error names a key of each."""
    other = pd.DataFrame({"id": ["x1"], "total": [1]})
    with pytest.raises(InputError, match=r"no record is in .* too \(the first has 'k0', the second 'x1'\)"):
        diff(papers / "one", other, key="id")


def test_gold_without_a_field_of_the_runs_is_no_error(papers: Path) -> None:
    """A comparator for a field that gold lacks still counts for the runs."""
    gold = pd.DataFrame({"id": [f"k{at}" for at in range(COUNT)], "kind": ["other"] * COUNT})
    found = diff(papers / "one", papers / "two", gold=gold, compare={"total": "number:5"}, resamples=0)
    assert 0 == found.fields["total"].share
    assert {"kind", "(micro)", "(macro)", "(exact records)"} == set(found.comparisons)


def test_hostile_values_are_plain_json() -> None:
    """NaN, infinity, bytes and halves of pairs in changed values."""
    one: dict[str, Any] = {"id": ["a"], "n": [math.inf], "b": [b"\xff"], "t": ["x"]}
    two: dict[str, Any] = {"id": ["a"], "n": [1.0], "b": [b"\x00"], "t": ["\x1b[2J<script>"]}
    found = diff(pa.table(one), pa.table(two), key="id", resamples=0)
    data = found.as_dict()["fields"]
    assert [{"key": "a", "first": "inf", "second": 1.0}] == data["n"]["examples"]
    assert [{"key": "a", "first": "/w==", "second": "AA=="}] == data["b"]["examples"]
    assert "<script>" not in found.html()


def test_a_copy_of_a_run_is_the_run(papers: Path, tmp_path: Path) -> None:
    """Nothing of the place of a run is in the figures."""
    shutil.copytree(papers / "two", tmp_path / "two")
    here, there = (diff(papers / "one", two, resamples=0).as_dict() for two in (papers / "two", tmp_path / "two"))
    assert here["fields"] == there["fields"]
