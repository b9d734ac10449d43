"""`diff`: two runs cell by cell, and with gold whether one is better."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from extract.errors import InputError
from extract.evaluation.counting import Missing, Scored, score
from extract.evaluation.measures import draws, interval_of, label_of, measured, sums_of
from extract.evaluation.plain import plain
from extract.evaluation.plan import Compare, make_plan
from extract.evaluation.scoring import (
    LEVEL,
    RESAMPLES,
    Draws,
    Evaluation,
    evaluated,
    open_predicted,
    refuse_settings,
)
from extract.evaluation.sides import Side, open_gold
from extract.evaluation.significance import mcnemar, wilson
from extract.evaluation.tree import MISSED, SPURIOUS, WRONG

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Change:
    """One record whose value differs: what the first run says, what the second."""

    key: Any
    first: Any
    second: Any


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field over the records that both tables hold, by record."""

    path: str
    same: int
    changed: int
    appeared: int  # null → value
    vanished: int  # value → null
    share: float  # of records that differ
    interval: tuple[float, float]
    examples: Sequence[Change]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        found = asdict(self) | {"interval": list(self.interval)}
        return found | {"examples": [_shown(each) for each in self.examples]}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field, or all (`(micro)`, `(macro)`, `(exact records)`), against gold: how much better the second run is."""

    path: str
    first: float | None
    second: float | None
    gain: float | None
    interval: tuple[float, float] | None  # of the gain, by draws of the same rows for both
    only_first: int | None = None  # records that only the first run has right
    only_second: int | None = None
    p: float | None = None  # McNemar's exact test

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"interval": list(self.interval) if self.interval else None}


@dataclass(frozen=True, slots=True)
class Moved:
    """Where the records of the two runs are: in both tables, in one, in a quarantine, or in one run only."""

    both: int
    newly_quarantined: Sequence[Any]  # in the first table, in the second quarantine
    newly_passed: Sequence[Any]
    both_quarantined: int
    only_first: Sequence[Any]
    only_second: Sequence[Any]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True, repr=False)
class Difference:
    """How two runs differ. `evaluations` and `comparisons` are there with gold."""

    first: str
    second: str
    moved: Moved
    fields: Mapping[str, FieldChange]
    comparisons: Mapping[str, Comparison]
    evaluations: tuple[Evaluation, Evaluation] | None
    notes: Sequence[str]
    level: float = LEVEL

    @property
    def f1(self) -> float | None:
        """Micro F1 of the second run; None without gold."""
        return self.evaluations[1].f1 if self.evaluations else None

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "first": self.first,
            "second": self.second,
            "records": self.moved.as_dict(),
            "fields": {path: found.as_dict() for path, found in self.fields.items()},
            "comparisons": {path: found.as_dict() for path, found in self.comparisons.items()},
            "evaluations": [each.as_dict() for each in self.evaluations] if self.evaluations else None,
            "level": self.level,
            "notes": list(self.notes),
        }

    def html(self) -> str:
        """A page with tables and plots that stands by itself."""
        from extract.evaluation.page import difference_page

        return difference_page(self)

    def _repr_html_(self) -> str:
        from extract.evaluation.page import difference_body

        return difference_body(self)

    def __repr__(self) -> str:
        return f"<Difference of {self.first} and {self.second}: {self.moved.both:,} records in both tables>"


def diff(
    first: Any,
    second: Any,
    *,
    gold: Any = None,
    key: str | None = None,
    compare: Compare | None = None,
    fields: Collection[str] = (),
    missing: Missing = "count",
    examples: int = EXAMPLES,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Difference:
    """Compare two runs (or tables) cell by cell; with gold also which of them is right.

    The arguments are those of `evaluate`. Raises ConfigError and InputError.
    """
    refuse_settings(resamples, level)
    one, two = open_predicted(first, key), open_predicted(second, key)
    plan = make_plan(two, one, compare, fields, is_gold=False)
    shared = [name for name in one.rows if name in two.rows]
    moved = _moved(one, two, shared)
    found: dict[str, FieldChange] = {}
    if shared:
        scored = score(two, replace(one, rows={name: one.rows[name] for name in shared}), plan, strict=False)
        found = {change.path: change for change in _changes(one, two, scored, examples, level)}
    notes = [*one.notes, *two.notes, *plan.notes]
    if gold is None:
        return Difference(one.label, two.label, moved, found, {}, None, notes, level)
    true = open_gold(gold, key or one.key)
    pair = [score(side, true, make_plan(side, true, compare, fields), missing) for side in (one, two)]
    left, right = _alike(*pair)
    settings = Draws(resamples, level, seed)
    evaluations = (evaluated(one, true, left, settings), evaluated(two, true, right, settings))
    comparisons = {each.path: each for each in _comparisons(left, right, resamples, level, seed)}
    return Difference(one.label, two.label, moved, found, comparisons, evaluations, notes, level)


def _moved(one: Side, two: Side, shared: Sequence[str]) -> Moved:
    def keys(found: Iterator[str]) -> list[Any]:
        return [one.keys.get(name, two.keys.get(name, name)) for name in found]

    known = (one.rows.keys() | one.quarantined.keys(), two.rows.keys() | two.quarantined.keys())
    if not known[0] & known[1]:
        a, b = (next(iter([*side.rows, *side.quarantined]), None) for side in (one, two))
        hint = f"the first has {a!r}, the second {b!r}"
        raise InputError(f"no record is in {one.label} too", file=two.label, column=two.key, hint=hint)
    return Moved(
        len(shared),
        keys(name for name in one.rows if name in two.quarantined),
        keys(name for name in two.rows if name in one.quarantined),
        len(one.quarantined.keys() & two.quarantined.keys()),
        keys(name for name in (*one.rows, *one.quarantined) if name not in known[1]),
        keys(name for name in (*two.rows, *two.quarantined) if name not in known[0]),
    )


def _changes(one: Side, two: Side, scored: Scored, examples: int, level: float) -> Iterator[FieldChange]:
    """The first run stands where gold stands: what it lacks has appeared, what only it has is gone."""
    for number, column in enumerate(scored.columns):
        if not column.counted:
            continue
        counts = scored.counts[:, number, :]
        differs = (counts[:, (WRONG, SPURIOUS, MISSED)] > 0).any(axis=1)
        only = {state: differs & (counts[:, state] > 0) for state in (SPURIOUS, MISSED)}
        single = not column.in_list
        appeared = int(only[SPURIOUS].sum()) if single else _from_nothing(one, scored, differs, column.path)
        vanished = int(only[MISSED].sum()) if single else _from_nothing(two, scored, differs, column.path)
        whole, unlike = len(scored.keys), int(differs.sum())
        keys = [scored.keys[int(at)] for at in np.flatnonzero(differs)[:examples]]
        yield FieldChange(
            column.path,
            whole - unlike,
            unlike - appeared - vanished,
            appeared,
            vanished,
            unlike / whole,
            wilson(unlike, whole, level),
            [Change(one.keys[key], _at(one, key, column.path), _at(two, key, column.path)) for key in keys],
        )


def _from_nothing(side: Side, scored: Scored, differs: Any, path: str) -> int:
    """The records that differ where this side holds nothing at all."""
    return sum(_is_nothing(_at(side, scored.keys[int(at)], path)) for at in np.flatnonzero(differs))


def _is_nothing(value: Any) -> bool:
    return value is None or value in ([], "[]", {}) or (isinstance(value, list) and all(map(_is_nothing, value)))


def _at(side: Side, key: str, path: str) -> Any:
    """What stands at a path; below a list what stands there in each item."""
    value: Any = side.rows[key]
    for position, name in enumerate(path.split(".")):
        if isinstance(value, list):
            rest = path.split(".")[position:]
            return [_below(item, rest) for item in value]
        value = value.get(name) if isinstance(value, Mapping) else value
    return value


def _below(item: Any, rest: Sequence[str]) -> Any:
    for name in rest:
        item = item.get(name) if isinstance(item, Mapping) else item
    return item


def _alike(left: Scored, right: Scored) -> tuple[Scored, Scored]:
    """The two over the same fields and the same gold records."""
    paths = [(column.path, column.counted) for column in left.columns]
    others = [(column.path, column.counted) for column in right.columns]
    common = [each for each in paths if each in others]
    keys = [key for key in left.keys if key in set(right.keys)]
    if not common or not keys:
        raise InputError("the two runs have no field and gold record in common")
    return (
        _cut(left, [paths.index(each) for each in common], keys),
        _cut(right, [others.index(each) for each in common], keys),
    )


def _cut(scored: Scored, columns: list[int], keys: list[str]) -> Scored:
    places = {key: at for at, key in enumerate(scored.keys)}
    rows = [places[key] for key in keys]
    return replace(
        scored,
        columns=[scored.columns[at] for at in columns],
        keys=keys,
        counts=scored.counts[np.ix_(rows, columns)],
        status=scored.status[rows],
        flagged=scored.flagged[np.ix_(rows, columns)],
    )


def _comparisons(left: Scored, right: Scored, resamples: int, level: float, seed: int) -> Iterator[Comparison]:
    """F1 of each field and in all, the share of exact records; the same draws of the rows for both runs."""
    one, two = measured(sums_of(left)), measured(sums_of(right))
    pairs = zip(draws(left, resamples, seed), draws(right, resamples, seed), strict=True)
    drawn = [(measured(a), measured(b)) for a, b in pairs]

    def compared(path: str, name: str, at: Any, rights: tuple[Any, Any] | None) -> Comparison:
        first, second = float(one[name][at]), float(two[name][at])
        gains = [b[name][..., at] - a[name][..., at] if at != () else b[name] - a[name] for a, b in drawn]
        interval = interval_of(np.concatenate(gains), level) if gains else None
        none = np.isnan(first) or np.isnan(second)
        test = _tested(*rights) if rights else (None, None, None)
        one_f1, two_f1 = (None if np.isnan(value) else value for value in (first, second))
        gain = None if none else second - first
        return Comparison(path, one_f1, two_f1, gain, None if none else interval, *test)

    for number, column in enumerate(left.columns):
        yield compared(label_of(column), "f1", number, (left.right[:, number], right.right[:, number]))
    yield compared("(micro)", "micro.f1", (), None)
    yield compared("(macro)", "macro.f1", (), None)
    yield compared("(exact records)", "exact", (), (left.exact, right.exact))


def _tested(one: Any, two: Any) -> tuple[int, int, float]:
    """Records that only the first run has right, only the second, and the p of such a split."""
    only_one, only_two = int((one & ~two).sum()), int((two & ~one).sum())
    return only_one, only_two, mcnemar(only_one, only_two)


def _shown(change: Change) -> dict[str, Any]:
    return {"key": plain(change.key), "first": plain(change.first), "second": plain(change.second)}
