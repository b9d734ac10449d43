"""Gold that no one here wrote: each set is right against itself, whatever its types."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import extract
from benchmarks.results import TASKS, Task
from tests.support import SHARED

GOLD = sorted((SHARED / "data").glob("*/gold.parquet"))

pytestmark = [pytest.mark.shared, pytest.mark.skipif(not GOLD, reason="needs ../shared")]


@pytest.mark.parametrize("path", GOLD, ids=[path.parent.name for path in GOLD])
def test_gold_is_right_against_itself(path: Path) -> None:
    """Lists of objects, objects, nulls, labels: every figure is one or has nothing to divide by."""
    found = extract.evaluate(pq.read_table(path), path, key="id", resamples=0)
    assert (1, 1, 1) == (found.exact, found.f1, found.micro.coverage)
    assert {1.0, None} >= {field.score.f1 for field in found.fields.values()}


@pytest.mark.parametrize("path", GOLD, ids=[path.parent.name for path in GOLD])
def test_gold_as_json_lines_is_the_same_gold(path: Path, tmp_path: Path) -> None:
    """Without types, and nested values as text: still right against the typed table."""
    table = pq.read_table(path).slice(0, 60)
    pd.DataFrame(table.to_pylist()).to_json(tmp_path / "gold.jsonl", orient="records", lines=True, force_ascii=False)
    found = extract.evaluate(table, tmp_path / "gold.jsonl", key="id", resamples=0)
    assert (1, 1) == (found.exact, found.f1)


@pytest.mark.parametrize("task", TASKS, ids=[task.name for task in TASKS])
def test_the_published_figures_are_counted_by_field(task: Task) -> None:
    """The comparators of benchmarks.results fit the gold, and see a mistake in each field."""
    gold = pd.read_parquet(SHARED / "data" / task.name / "gold.parquet").head(task.scored)
    same = extract.evaluate(gold, gold, key="id", fields=task.fields, compare=task.compare, resamples=0)
    assert {task.scored} == {same.fields[name].right for name in task.fields}
    for name in task.fields:
        other = gold.assign(**{name: gold[name].iloc[::-1].to_numpy()})
        found = extract.evaluate(other, gold, key="id", fields=task.fields, compare=task.compare, resamples=0)
        assert found.fields[name].right < task.scored
        assert {task.scored} == {found.fields[each].right for each in task.fields if each != name} or len(
            task.fields
        ) == 1
