"""Second opinions: checks that read a field by a rule of their own and flag the cell where the answer says otherwise.

A rule is no better than the model by itself; what it is worth is that it errs elsewhere. Where both agree the cell
stands unflagged. The rules of the modules beside this one were written on the development parts (see `sets`), with
their gold, and not looked at again with the measured ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

from extract import Issue, Record
from extract.nearest import Nearest

CODE = "semantic.second_opinion"


def opposed(field: str, said: Any, other: str) -> Issue:
    """The warning that a cell is doubtful."""
    return Issue("semantic", CODE, f"$.{field}", f"{field} is {said!r}; a second opinion: {other}", said, "warn")


def likeness(one: str, other: str) -> float:
    """Of letters and digits alone."""
    first, second = (re.sub(r"[\W_]+", "", text.upper()) for text in (one, other))
    return SequenceMatcher(None, first, second, autojunk=False).ratio()


@dataclass(frozen=True)
class Neighbours:
    """The label that most of the nearest labelled texts have."""

    field: str
    texts: Sequence[str]
    labels: Sequence[str]
    number: int = 5

    def __call__(self, value: Any, record: Record) -> Iterator[Issue]:
        index = _index(tuple(self.texts))
        votes = Counter(self.labels[n] for n in index.closest(str(record["text"]), self.number))
        label, most = votes.most_common(1)[0]
        said = getattr(value, self.field)
        if label != said or most < self.number - 1:
            yield opposed(self.field, said, f"{most} of {self.number} neighbours say {label}")


@lru_cache(maxsize=4)
def _index(texts: tuple[str, ...]) -> Nearest:
    return Nearest(texts)
