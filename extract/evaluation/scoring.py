"""`evaluate`: the tables of a run against gold."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from extract.api import Result
from extract.errors import ConfigError, InputError
from extract.evaluation.calibration import Calibration, calibrations
from extract.evaluation.confusion import Confusion, confusion_of
from extract.evaluation.counting import ABSENT, NO_ROW, OK, QUARANTINED, Missing, Scored, score
from extract.evaluation.measures import FieldScore, Score, summary
from extract.evaluation.plan import Compare, make_plan
from extract.evaluation.runs import of_result, open_run
from extract.evaluation.sides import GOLD, Side, open_gold, open_table

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 1000
_MISSPELT = 0.85
LEVEL = 0.95


@dataclass(frozen=True, repr=False)
class Evaluation:
    """How a run's tables compare with gold. `fields` by path; `lines[]` are whole items of the list `lines`."""

    predicted: str
    gold: str
    records: int  # of gold, that were scored
    in_table: int
    quarantined: int
    absent: int
    fields: Mapping[str, FieldScore]
    micro: Score
    macro: Score
    exact: float  # share of records of which every compared field is right
    exact_interval: tuple[float, float] | None
    confusion: Mapping[str, Confusion]
    calibration: Mapping[str, Calibration]
    notes: Sequence[str]
    level: float = LEVEL
    resamples: int = RESAMPLES
    seed: int = 0

    @property
    def f1(self) -> float | None:
        """Micro F1 over all compared cells; None when neither side holds a value."""
        return self.micro.f1

    def reaches(self, min_f1: float) -> bool:
        """Whether micro F1 is at least `min_f1`. Raises InputError when there is no value to judge by."""
        if self.f1 is None:
            raise InputError("neither side holds a value in any compared field: there is no F1", file=self.gold)
        return self.f1 >= min_f1

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "predicted": self.predicted,
            "gold": self.gold,
            "records": {
                "scored": self.records,
                "in_table": self.in_table,
                "quarantined": self.quarantined,
                "absent": self.absent,
            },
            "micro": self.micro.as_dict(),
            "macro": self.macro.as_dict(),
            "exact": {"value": self.exact, "interval": list(self.exact_interval) if self.exact_interval else None},
            "fields": {path: found.as_dict() for path, found in self.fields.items()},
            "confusion": {path: found.as_dict() for path, found in self.confusion.items()},
            "calibration": {path: found.as_dict() for path, found in self.calibration.items()},
            "intervals": {"level": self.level, "resamples": self.resamples, "seed": self.seed},
            "notes": list(self.notes),
        }

    def to_pandas(self) -> pd.DataFrame:
        """A row a field: its measures and counts."""
        import pandas as pd

        rows = [{"field": path, **found.as_dict()} for path, found in self.fields.items()]
        return pd.DataFrame(rows).drop(columns="intervals").set_index("field")

    def html(self) -> str:
        """A page with tables and plots that stands by itself."""
        from extract.evaluation.page import evaluation_page

        return evaluation_page(self)

    def _repr_html_(self) -> str:
        from extract.evaluation.page import evaluation_body

        return evaluation_body(self)

    def __repr__(self) -> str:
        f1 = "–" if self.f1 is None else f"{self.f1:.3f}"
        return f"<Evaluation of {self.predicted}: F1 {f1}, {self.exact:.1%} of {self.records:,} records exact>"


class Draws(NamedTuple):
    """How intervals are made: draws of the rows, the share of them that an interval holds, and the seed."""

    resamples: int
    level: float
    seed: int


def evaluate(
    predicted: Any,
    gold: Any,
    *,
    key: str | None = None,
    compare: Compare | None = None,
    fields: Collection[str] = (),
    missing: Missing = "count",
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Evaluation:
    """Compare tables with gold: precision, recall, F1, coverage and accuracy by field, with bootstrap intervals.

    predicted: a result, a run directory, or any table (a path, a DataFrame, an Arrow table). gold: any table, a file
    that people labelled (`extract sample`) too. key: the key column; default the run's. compare: field → comparator,
    such as {"total": "number:0.01"}, or a function of two values. fields: only these. missing: whether gold records
    that the run never saw "count" as missed, or "skip". resamples: draws for the intervals, 0 for none.

    Raises ConfigError and InputError, which names file, row, column and value.
    """
    refuse_settings(resamples, level)
    ours = open_predicted(predicted, key)
    true = open_gold(gold, key or ours.key)
    scored = score(ours, true, make_plan(ours, true, compare, fields), missing)
    return evaluated(ours, true, scored, Draws(resamples, level, seed))


def open_predicted(given: Any, key: str | None) -> Side:
    """The rows of a run, a result or a table."""
    if isinstance(given, Result):
        return of_result(given).side
    if isinstance(given, str | Path) and Path(given).is_dir():
        return open_run(Path(given)).side
    return open_table(given, key)


def refuse_settings(resamples: int, level: float) -> None:
    """Refuse numbers that mean nothing. Raises ConfigError."""
    if resamples < 0 or not 0 < level < 1:
        raise ConfigError(f"resamples is {resamples}, level is {level}", hint="0 or more, and between 0 and 1")


def evaluated(ours: Side, gold: Side, scored: Scored, draws: Draws) -> Evaluation:
    """The evaluation of what was counted."""
    found = summary(scored, draws.resamples, draws.seed, draws.level)
    status = scored.status
    return Evaluation(
        ours.label,
        gold.label,
        len(scored.keys),
        int((status == OK).sum()),
        int((status == QUARANTINED).sum()),
        int((status == ABSENT).sum()),
        found.fields,
        found.micro,
        found.macro,
        found.exact,
        found.exact_interval,
        {path: confusion_of(counted) for path, counted in scored.labels.items()},
        calibrations(ours, scored),
        [*ours.notes, *scored.notes, *_odd_labels(gold, scored)],
        draws.level,
        draws.resamples,
        draws.seed,
    )


def _odd_labels(gold: Side, scored: Scored) -> Iterator[str]:
    """Labels of people that are nearly one that was predicted, and are never predicted themselves."""
    for path, counted in scored.labels.items() if gold.is_labels else ():
        known = {said for _, said in counted if said is not None}
        for label in sorted({label for label, _ in counted if label is not None} - known):
            close = get_close_matches(label, known - {NO_ROW}, n=1, cutoff=_MISSPELT)
            if close:
                row = next(
                    (place for key, place in gold.places.items() if str(_at(gold.rows[key], path)) == label), "?"
                )
                where = f"{gold.label}, {gold.place} {row}, column {GOLD + path!r}"
                yield f"{where}: {label!r} was never predicted; did you mean {close[0]!r}?"


def _at(row: Any, path: str) -> Any:
    for name in path.split("."):
        row = row.get(name) if isinstance(row, Mapping) else None
    return row
