"""What is most like another: examples like a record (BM25 over words, word pairs and letter runs), a name misspelt."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import pairwise

_WORD = re.compile(r"\w+")
_SATURATION = 1.2  # BM25's k1 and b, the usual values
_LENGTH = 0.75


class Nearest:
    """An inverted index over a few hundred or thousand texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(_terms(text)) for text in texts]
        lengths = [sum(count.values()) for count in counts]
        mean = (sum(lengths) / len(lengths) if lengths else 1.0) or 1.0
        spread = Counter(term for count in counts for term in count)
        self._weights: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for index, count in enumerate(counts):
            damping = _SATURATION * (1 - _LENGTH + _LENGTH * lengths[index] / mean)
            for term, times in count.items():
                rarity = math.log(1 + (len(texts) - spread[term] + 0.5) / (spread[term] + 0.5))
                self._weights[term].append((index, rarity * times * (_SATURATION + 1) / (times + damping)))
        self._size = len(texts)

    def closest(self, text: str, number: int) -> list[int]:
        """The indexes of the closest texts, the closest first; ties in their own order."""
        scores = [0.0] * self._size
        for term in dict.fromkeys(_terms(text)):
            for index, weight in self._weights.get(term, ()):
                scores[index] += weight
        return sorted(range(self._size), key=lambda index: -scores[index])[:number]


def did_you_mean(name: str, names: Iterable[str], otherwise: str = "there are", *, above: str = "") -> str:
    """A hint for a name that is none of `names`: the one most like it, else all of them after `otherwise`.

    `above`: what stands before each of them, such as the `lines.` of a path.
    """
    known = list(names)
    close = get_close_matches(name, known, n=1)
    shown = f"{above}{close[0]}" if close else ", ".join(f"{above}{each}" for each in known)
    return f"did you mean {shown!r}?" if close else f"{otherwise}: {shown}"


def _terms(text: str) -> list[str]:
    """Words, pairs of words, and runs of three and four letters, which see through endings and misspelling."""
    words = _WORD.findall(text.casefold())
    pairs = [f"{a} {b}" for a, b in pairwise(words)]
    return [*words, *pairs, *(run for word in words for run in _runs(f"<{word}>"))]


def _runs(word: str) -> Iterator[str]:
    return (f"#{word[at : at + size]}" for size in (3, 4) for at in range(len(word) - size + 1))
