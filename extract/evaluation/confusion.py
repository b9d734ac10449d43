"""Labels against each other: how often gold said one and the run another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from extract.evaluation.counting import NO_ROW

Pair = tuple[str | None, str | None]

NULL_LABEL = "(null)"


@dataclass(frozen=True, slots=True)
class LabelScore:
    """One label against all others; None where there is nothing to divide by."""

    label: str
    support: int  # how often gold has it
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Confusion:
    """`pairs`: (gold, predicted) → how often; null is `(null)`, a record without a row `(no row)`."""

    pairs: Mapping[tuple[str, str], int]
    labels: Sequence[LabelScore]

    @property
    def mistakes(self) -> list[tuple[str, str, int]]:
        """Gold, predicted, how often: the most frequent first. A record without a row says nothing wrong."""
        wrong = [(gold, said, number) for (gold, said), number in self.pairs.items() if gold != said != NO_ROW]
        return sorted(wrong, key=lambda each: (-each[2], each[0], each[1]))

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        pairs = [{"gold": gold, "predicted": said, "count": number} for (gold, said), number in self.pairs.items()]
        return {"pairs": pairs, "labels": [asdict(each) for each in self.labels]}


def confusion_of(counted: Mapping[Pair, int]) -> Confusion:
    """The matrix, in the order of the labels, and each label's own precision, recall and F1."""
    pairs: Counter[tuple[str, str]] = Counter()
    for (gold, said), number in counted.items():
        pairs[gold if gold is not None else NULL_LABEL, said if said is not None else NULL_LABEL] += number
    ordered = dict(sorted(pairs.items()))
    names = sorted({name for pair in ordered for name in pair} - {NULL_LABEL, NO_ROW})
    support, given = Counter[str](), Counter[str]()
    for (gold, said), number in ordered.items():
        support[gold] += number
        given[said] += number
    return Confusion(ordered, [_label_score(name, ordered.get((name, name), 0), support, given) for name in names])


def _label_score(name: str, right: int, support: Mapping[str, int], given: Mapping[str, int]) -> LabelScore:
    wanted, said = support.get(name, 0), given.get(name, 0)
    return LabelScore(
        name,
        wanted,
        right / said if said else None,
        right / wanted if wanted else None,
        2 * right / (wanted + said) if wanted + said else None,
    )
