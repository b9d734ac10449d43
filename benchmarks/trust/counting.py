"""How much of a table is wrong, and how much of that looks right: counted by `extract.evaluate` and what it is made of.

A cell is one field of one record, a list one cell for each part of its items. It is wrong when its row has another
value than gold, one where gold has none, or none where gold has one. It is flagged when `_flags` of its row names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from extract.evaluation.counting import OK, score
from extract.evaluation.plan import make_plan
from extract.evaluation.scoring import Draws, Evaluation, evaluated
from extract.evaluation.sides import open_gold, open_table

Row = Mapping[str, Any]
RESAMPLES = 1000


@dataclass(frozen=True)
class Trust:
    """One table against gold: `cells` are all, of records without a row too."""

    found: Evaluation
    cells: int
    wrong: int
    unflagged: int  # wrong, and nothing says so
    right_flagged: int  # right, and called doubtful

    @property
    def misleading(self) -> float:
        """The share of all cells that are wrong and look right."""
        return self.unflagged / self.cells


def trust(rows: Sequence[Row], gold: Sequence[Row], compare: Mapping[str, str], resamples: int = RESAMPLES) -> Trust:
    """Rows with `id`, fields and `_flags` against gold; a record of gold without a row counts as withheld."""
    known = {str(row["id"]) for row in rows}
    ours = open_table(_table(rows or gold[:1], gold[0]), "id")
    without = {str(row["id"]): "no row" for row in gold if str(row["id"]) not in known}
    ours = replace(ours, rows=ours.rows if rows else {}, quarantined=without)
    truth = open_gold(_table(gold, gold[0]), "id")
    fields = list(dict.fromkeys(path.partition(".")[0] for path in compare))
    scored = score(ours, truth, make_plan(ours, truth, compare, fields))
    counted = [number for number, column in enumerate(scored.columns) if column.counted]
    right, flagged = scored.right[:, counted], scored.flagged[:, counted]
    wrong = (scored.status == OK)[:, None] & ~right
    return Trust(
        evaluated(ours, truth, scored, Draws(resamples, 0.95, 0)),
        cells=right.size,
        wrong=int(wrong.sum()),
        unflagged=int((wrong & ~flagged).sum()),
        right_flagged=int((right & flagged).sum()),
    )


def _table(rows: Sequence[Row], like: Row) -> pa.Table:
    names = list(dict.fromkeys([*like, *(name for row in rows for name in row)]))
    return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
