"""The figures: against scikit-learn, by hand, and what must hold for any two tables."""

from __future__ import annotations

import random
import time
from importlib import import_module
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import extract
from extract.evaluation import Evaluation
from extract.evaluation.calibration import calibration

SETTINGS = settings(max_examples=40, deadline=None)
LABELS = ["a", "b", "c", None]
ITEMS = st.lists(st.fixed_dictionaries({"n": st.sampled_from(["p", "q"]), "v": st.integers(0, 2)}), max_size=3)
RECORDS = st.fixed_dictionaries(
    {
        "word": st.sampled_from(LABELS),
        "number": st.one_of(st.none(), st.integers(0, 3).map(float)),
        "object": st.fixed_dictionaries({"x": st.sampled_from(LABELS), "tags": st.lists(st.sampled_from("xyz"))}),
        "items": ITEMS,
    }
)
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("word", pa.dictionary(pa.int32(), pa.string())),
        ("number", pa.float64()),
        ("object", pa.struct([("x", pa.string()), ("tags", pa.list_(pa.string()))])),
        ("items", pa.list_(pa.struct([("n", pa.string()), ("v", pa.int64())]))),
    ]
)
MEASURES = ("precision", "recall", "f1", "coverage", "accuracy")


def table(records: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([{"id": at, **record} for at, record in enumerate(records)], schema=SCHEMA)


def evaluate(predicted: Any, gold: Any, **more: Any) -> Evaluation:
    return extract.evaluate(predicted, gold, **{"key": "id", "resamples": 0, **more})


@SETTINGS
@given(st.lists(RECORDS, min_size=1, max_size=6))
def test_a_table_is_all_right_against_itself(records: list[dict[str, Any]]) -> None:
    """Every measure is one, or has nothing to divide by."""
    found = evaluate(table(records), table(records))
    assert 1 == found.exact
    for score in (found.micro, found.macro, *(field.score for field in found.fields.values())):
        assert {getattr(score, name) for name in MEASURES} <= {1.0, None}
        assert 1 == score.accuracy


@SETTINGS
@given(st.lists(st.tuples(RECORDS, RECORDS), min_size=1, max_size=6))
def test_the_other_way_round_precision_is_recall(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """In every field, list and total; F1 and the counts of right cells stay."""
    one, two = (table(list(side)) for side in zip(*pairs, strict=True))
    there, back = evaluate(one, two), evaluate(two, one)
    for path, field in there.fields.items():
        other = back.fields[path]
        assert (field.score.precision, field.score.recall) == (other.score.recall, other.score.precision)
        assert (field.score.f1, field.correct, field.wrong) == (other.score.f1, other.correct, other.wrong)
        assert (field.spurious, field.missed) == (other.missed, other.spurious)
    assert (there.micro.precision, there.micro.f1) == (back.micro.recall, back.micro.f1)
    assert there.exact == back.exact


@SETTINGS
@given(st.lists(st.tuples(RECORDS, RECORDS), min_size=1, max_size=6), st.integers(0, 5))
def test_an_interval_holds_its_point(pairs: list[tuple[dict[str, Any], dict[str, Any]]], seed: int) -> None:
    """And the same seed gives the same interval."""
    one, two = (table(list(side)) for side in zip(*pairs, strict=True))
    found = evaluate(one, two, resamples=200, seed=seed)
    assert found.as_dict() == evaluate(one, two, resamples=200, seed=seed).as_dict()
    for score in (found.micro, found.macro, *(field.score for field in found.fields.values())):
        for name, (low, high) in score.intervals.items():
            assert low - 1e-12 <= getattr(score, name) <= high + 1e-12


def labelled(count: int, seed: int) -> tuple[list[Any], list[Any]]:
    chance = random.Random(seed)
    gold = [chance.choice(LABELS) for _ in range(count)]
    return gold, [label if chance.random() < 0.6 else chance.choice(LABELS) for label in gold]


def test_labels_agree_with_scikit_learn() -> None:
    """The field's figures are micro averages over the labels without null; each label's own; the matrix."""
    metrics = import_module("sklearn.metrics")
    gold, said = labelled(400, 1)
    found = evaluate(frame(said), frame(gold), compare={"word": "enum"})
    true, given_ = ([str(label) for label in side] for side in (gold, said))
    names = ["a", "b", "c"]
    p, r, f, _ = metrics.precision_recall_fscore_support(true, given_, labels=names, average="micro")
    score = found.fields["word"].score
    assert pytest.approx((p, r, f)) == (score.precision, score.recall, score.f1)
    assert pytest.approx(metrics.accuracy_score(true, given_)) == score.accuracy
    own = metrics.precision_recall_fscore_support(true, given_, labels=names)
    matrix = found.confusion["word"]
    for at, label in enumerate(matrix.labels):
        expected = [each[at] for each in own]
        assert pytest.approx(expected) == [label.precision, label.recall, label.f1, label.support]
    every = ["a", "b", "c", "None"]
    shown = {name: "(null)" if name == "None" else name for name in every}
    expected = metrics.confusion_matrix(true, given_, labels=every)
    assert expected.tolist() == [[matrix.pairs.get((shown[a], shown[b]), 0) for b in every] for a in every]


def test_records_without_a_row_are_no_mistake_of_a_label() -> None:
    """They are withheld, and would hide what is mixed up."""
    said = pd.DataFrame({"id": [0, 1], "word": ["a", "b"]})
    found = evaluate(said, frame(["a", "a", "b", "b"]), compare={"word": "enum"}, key="id").confusion["word"]
    assert [("a", "b", 1)] == found.mistakes
    assert 2 == found.pairs["b", "(no row)"]


def frame(values: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({"id": range(len(values)), "word": pd.Series(values, dtype=object)})


def test_the_draws_are_those_of_a_plain_bootstrap() -> None:
    """The vectorised intervals are those of drawing rows one sample after another and scoring each."""
    metrics = import_module("sklearn.metrics")
    gold, said = labelled(80, 2)
    found = evaluate(frame(said), frame(gold), resamples=200, seed=7)
    draws = np.random.default_rng(7).integers(0, 80, (200, 80))
    values = [
        metrics.f1_score(
            [str(gold[at]) for at in rows], [str(said[at]) for at in rows], labels=list("abc"), average="micro"
        )
        for rows in draws
    ]
    assert pytest.approx(np.quantile(values, [0.025, 0.975])) == found.fields["word"].score.intervals["f1"]
    assert found.micro.intervals == found.fields["word"].score.intervals


def test_draws_in_several_blocks_are_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """How much is drawn at once changes no interval."""
    gold, said = labelled(50, 3)
    whole = evaluate(frame(said), frame(gold), resamples=90)
    monkeypatch.setattr("extract.evaluation.measures._AT_ONCE", 50 * 7)
    assert whole.as_dict() == evaluate(frame(said), frame(gold), resamples=90).as_dict()


def test_figures_by_hand() -> None:
    """Null on either side, on both, a wrong value, a quarantined record and one that the run never saw."""
    gold = pd.DataFrame({"id": [1, 2, 3, 4, 5, 6, 7], "v": ["a", "b", None, None, "e", "f", None]})
    said = pd.DataFrame({"id": [1, 2, 3, 4, 5], "v": ["a", "x", "y", None, None]})
    found = evaluate(said, gold).fields["v"]
    assert (1, 1, 1, 1, 1, 1) == (found.correct, found.wrong, found.spurious, found.null, found.missed, found.withheld)
    score = found.score
    assert (1 / 3, 1 / 4, 2 / 7) == (score.precision, score.recall, score.f1)
    assert (2 / 4, 2 / 7) == (score.coverage, score.accuracy)
    skipped = evaluate(said, gold, missing="skip")
    assert (5, 1 / 3, 2 / 5) == (skipped.records, skipped.micro.recall, skipped.micro.accuracy)


def test_nothing_on_either_side_is_no_figure() -> None:
    """A column of agreed nulls has accuracy 1, no F1, and does not count in the mean of the fields."""
    both = pd.DataFrame({"id": [1, 2], "v": ["a", "b"], "w": [None, None]})
    found = evaluate(both, both)
    assert (None, None, 1.0) == (found.fields["w"].score.f1, found.fields["w"].score.recall, found.macro.f1)
    assert 1 == found.fields["w"].score.accuracy


def lists(predicted: list[Any], gold: list[Any], **more: Any) -> Evaluation:
    sides = [pa.table({"id": [1], "l": pa.array([items])}) for items in (predicted, gold)]
    return evaluate(*sides, **more)


def test_items_are_matched_by_what_they_share() -> None:
    """Order does not count; a part that differs is one wrong cell, an item too many as many as it has parts."""
    gold = [{"n": "tea", "p": 1}, {"n": "milk", "p": 2}]
    found = lists([{"n": "salt", "p": 9}, {"n": "milk", "p": 3}, {"n": "tea", "p": 1}], gold).fields
    assert (2, 0, 1) == (found["l.n"].correct, found["l.n"].wrong, found["l.n"].spurious)
    assert (1, 1, 1) == (found["l.p"].correct, found["l.p"].wrong, found["l.p"].spurious)
    assert (1, 1, 1, 0) == (found["l[]"].correct, found["l[]"].wrong, found["l[]"].spurious, found["l[]"].missed)


def test_items_that_share_nothing_are_no_pair() -> None:
    """One is too many, the other is lacking: neither is a wrong value of the other."""
    found = lists([{"n": "salt", "p": 9}], [{"n": "tea", "p": 1}]).fields
    assert (0, 1, 1) == (found["l.n"].wrong, found["l.n"].spurious, found["l.n"].missed)
    assert (0, 1, 1) == (found["l[]"].wrong, found["l[]"].spurious, found["l[]"].missed)


def test_of_equal_pairings_the_one_with_more_whole_items_counts() -> None:
    """Two right cells in one item, or one in each of two: the first."""
    said, gold = [{"n": "z", "p": 1}, {"n": "x", "p": 1}], [{"n": "x", "p": 2}, {"n": "x", "p": 1}]
    for compare in ({}, {"l.p": "number:0.1"}):
        assert 1 == lists(said, gold, compare=compare).fields["l[]"].correct


def test_whole_items_are_not_in_the_totals() -> None:
    """Their parts are; counting both would count each mistake twice."""
    found = lists([{"n": "tea", "p": 1}], [{"n": "tea", "p": 2}])
    assert (1, 1) == (sum(f.correct for f in found.fields.values() if f.counted), found.fields["l[]"].wrong)
    assert 0.5 == found.micro.f1


KINDS = [
    ({}, ["x", "x", "y"], ["y", "x"], (2, 1, 0)),  # duplicates count, order does not
    ({"l": "set"}, ["x", "x", "y"], ["y", "x"], (2, 0, 0)),
    ({"l": "set:folded"}, ["X", "x"], ["x "], (1, 0, 0)),
    ({"l": "folded"}, ["X", "Y"], ["y", "z"], (1, 1, 1)),
    ({"l": "similar:0.6"}, ["teas", "milk"], ["milch", "tea"], (2, 0, 0)),
    ({}, [], ["x"], (0, 0, 1)),
    ({}, None, ["x"], (0, 0, 1)),
    ({}, ["x"], None, (0, 1, 0)),
]


@pytest.mark.parametrize(("compare", "predicted", "gold", "expected"), KINDS)
def test_lists_of_single_values(compare: Any, predicted: Any, gold: Any, expected: tuple[int, int, int]) -> None:
    """As they are, as sets, with a comparator for the items: right, too many, missed."""
    kind = pa.list_(pa.string())
    sides = [pa.table({"id": [1], "l": pa.array([items], kind)}) for items in (predicted, gold)]
    found = evaluate(*sides, compare=compare).fields["l"]
    assert expected == (found.correct, found.spurious, found.missed)


def test_a_list_as_one_cell() -> None:
    """`exact` is the same items in the same order."""
    assert 1 == lists(["x", "y"], ["x", "y"], compare={"l": "exact"}).fields["l"].correct
    assert 1 == lists(["y", "x"], ["x", "y"], compare={"l": "exact"}).fields["l"].wrong
    same = [{"n": "tea", "p": 1.0}]
    assert ["l"] == list(lists(same, same, compare={"l": "exact"}).fields)


def test_a_map_is_matched_by_its_entries() -> None:
    """Keys and values, in any order; an object that JSON has in its place will do."""
    kind = pa.map_(pa.string(), pa.int64())
    said = pa.table({"id": [1], "m": pa.array([[("a", 1), ("b", 2)]], kind)})
    gold = pa.table({"id": [1], "m": pa.array([[("b", 2), ("a", 3)]], kind)})
    found = evaluate(said, gold).fields
    assert (2, 1, 1) == (found["m.key"].correct, found["m.value"].correct, found["m.value"].wrong)
    written = pa.table({"id": [1], "m": pa.array([{"b": 2, "a": 3}])})
    assert (2, 1) == (evaluate(said, written).fields["m.key"].correct, evaluate(said, written).fields["m.value"].wrong)


def test_lists_within_lists() -> None:
    """Items that hold lists are paired by all that is right in them."""
    gold = [{"t": [{"r": 1}, {"r": 2}], "n": "a"}, {"t": [{"r": 3}], "n": "b"}]
    found = lists(gold[::-1], gold)
    assert 1 == found.micro.f1
    assert {"l[]", "l.n", "l.t[]", "l.t.r"} == set(found.fields)


@SETTINGS
@given(ITEMS, ITEMS)
def test_no_other_matching_has_more_right_cells(predicted: list[dict[str, Any]], gold: list[dict[str, Any]]) -> None:
    """Against every pairing of the items, equal ones among them."""
    found = lists([{"n": "z", "v": 9}, *predicted], [{"n": "y", "v": 8}, *gold]).fields
    fewer, more = sorted((predicted, gold), key=len)
    best = max(
        sum((a["n"] == b["n"]) + (a["v"] == b["v"]) for a, b in zip(fewer, order, strict=False))
        for order in permutations(more)
    )
    assert best == found["l.n"].correct + found["l.v"].correct


def test_lists_of_long_lists_are_no_hang() -> None:
    """Two hundred rows of two hundred cells, each unlike the others."""
    begun = time.monotonic()
    gold, said = ([[f"{side}{row}.{at % 90}" for at in range(200)] for row in range(200)] for side in "gs")
    assert 0 == lists(said, gold).fields["l"].correct
    assert time.monotonic() - begun < 20


def test_a_long_list_is_no_wait() -> None:
    """Thousands of items that nothing matches are compared in their order, and equal ones are still found."""
    gold = [{"n": f"g{at}", "p": at} for at in range(3000)]
    said = [{"n": f"g{at}", "p": at} if at % 2 else {"n": f"s{at}", "p": -at - 1} for at in range(3000)][::-1]
    found = lists(said, gold).fields["l[]"]
    assert (1500, 1500) == (found.correct, found.wrong)


def test_calibration_agrees_with_scikit_learn() -> None:
    """Bins, Brier score; ECE from the bins by its definition."""
    metrics, curve = import_module("sklearn.metrics"), import_module("sklearn.calibration")
    chance = random.Random(5)
    pairs = [(value, chance.random() < value * 0.8) for value in (chance.random() for _ in range(500))]
    found = calibration("c", pairs)
    assert found is not None
    values, right = [value for value, _ in pairs], [is_right for _, is_right in pairs]
    share, mean = curve.calibration_curve(right, values, n_bins=10)
    assert pytest.approx(share.tolist()) == [each.right for each in found.bins]
    assert pytest.approx(mean.tolist()) == [each.confidence for each in found.bins]
    assert pytest.approx(metrics.brier_score_loss(right, values)) == found.brier
    expected = sum(each.number / 500 * abs(a - b) for each, a, b in zip(found.bins, share, mean, strict=True))
    assert pytest.approx(expected) == found.ece


def test_confidence_by_hand() -> None:
    """Of a field, of the record, from a struct; what is no share is ignored and counted."""
    said = pa.table(
        {
            "id": [1, 2, 3, 4],
            "v": ["a", "b", "c", "d"],
            "v_confidence": [0.9, 0.9, 0.2, 7.0],
            "confidence": [1.0, 0.5, None, 0.0],
        }
    )
    gold = pa.table({"id": [1, 2, 3, 4], "v": ["a", "x", "y", "z"]})
    found = evaluate(said, gold).calibration
    assert (3, 1) == (found["v"].number, found["v"].ignored)
    assert pytest.approx((0.01 + 0.81 + 0.04) / 3) == found["v"].brier
    assert pytest.approx((2 * abs(0.9 - 0.5) + 0.2) / 3) == found["v"].ece
    assert (3, pytest.approx(0.25 / 3)) == (found["(record)"].number, found["(record)"].brier)
    record = found["(record)"].bins
    assert [(0.0, 1), (0.5, 1), (0.9, 1)] == [(each.low, each.number) for each in record if each.number]
    assert pytest.approx(0.5 / 3) == found["(record)"].ece  # quite sure and right, quite unsure and wrong
    struct = said.drop_columns(["v_confidence", "confidence"]).append_column(
        "_confidence", pa.array([{"v": value} for value in (0.9, 0.9, 0.2, None)])
    )
    assert (3, "_confidence.v") == (
        evaluate(struct, gold).calibration["v"].number,
        evaluate(struct, gold).calibration["v"].source,
    )


@pytest.mark.parametrize("compare", [{}, {"l.q": "number:0.5"}], ids=["equal", "within a tolerance"])
def test_of_equally_good_pairings_the_one_with_whole_items_counts(compare: dict[str, str]) -> None:
    """Two parts right in one item, rather than one in each of two."""
    said = pa.table({"id": [1], "l": [[{"p": 1, "q": 2}, {"p": 1, "q": 7}]]})
    gold = pa.table({"id": [1], "l": [[{"p": 5, "q": 2}, {"p": 1, "q": 2}]]})
    found = evaluate(said, gold, compare=compare).fields
    assert (1, 1, 1) == tuple(found[path].correct for path in ("l[]", "l.p", "l.q"))


def test_nulls_of_items_without_a_partner_are_no_agreement() -> None:
    """There is nothing on the other side to agree with."""
    kind = pa.list_(pa.struct({"p": pa.int64(), "q": pa.int64()}))
    said = pa.table({"id": [1], "l": pa.array([[{"p": 1, "q": None}]], kind)})
    gold = pa.table({"id": [1], "l": pa.array([[{"p": 1, "q": 2}, {"p": 3, "q": None}]], kind)})
    found = evaluate(said, gold).fields
    assert (0, 1, 1) == (found["l.q"].null, found["l.q"].missed, found["l.p"].missed)


def test_whole_items_are_shown_and_not_in_the_totals() -> None:
    """Their parts are: neither in the sums nor in the mean."""
    said = pa.table({"id": [1], "l": [[{"p": 1, "q": 5}, {"p": 2, "q": 6}]]})
    gold = pa.table({"id": [1], "l": [[{"p": 1, "q": 0}, {"p": 2, "q": 6}]]})
    found = evaluate(said, gold)
    assert {"l[]": 0.5, "l.p": 1.0, "l.q": 0.5} == {path: each.score.f1 for path, each in found.fields.items()}
    assert (0.75, 0.75) == (found.micro.f1, found.macro.f1)


def test_a_flag_that_names_a_field_tells_of_its_mistake() -> None:
    """A wrong cell counts as unflagged unless a flag of its row names it, or what it is part of."""
    said = pa.table(
        {
            "id": [1, 2, 3, 4],
            "v": ["x", "x", "x", "a"],
            "w": ["a", "a", "x", "a"],
            "_flags": [["unsupported:$.v"], ["fences"], ["unsupported:$.vw"], ["unsupported:$.v"]],
        }
    )
    gold = pa.table({"id": [1, 2, 3, 4], "v": ["a"] * 4, "w": ["a"] * 4})
    found = evaluate(said, gold).fields
    assert (3, 2) == (found["v"].wrong_rows, found["v"].unflagged)
    assert (1, 1) == (found["w"].wrong_rows, found["w"].unflagged)
    odd = {"id": [1, 2], "Total due": [5, 5], "_flags": [["nulled:semantic.between:$['Total due']"], ["fences"]]}
    found = evaluate(pa.table(odd), pd.DataFrame({"id": [1, 2], "Total due": [1, 1]}), key="id").fields
    assert (2, 1) == (found["Total due"].wrong_rows, found["Total due"].unflagged)
    said = pa.table({"id": [1, 2], "l": [[{"p": 1}], [{"p": 1}]], "_flags": [["unsupported:$.l[0].p"], ["fences"]]})
    gold = pa.table({"id": [1, 2], "l": [[{"p": 2}], [{"p": 2}]]})
    found = evaluate(said, gold).fields
    assert [(2, 1), (2, 1)] == [(found[path].wrong_rows, found[path].unflagged) for path in ("l[]", "l.p")]
