"""Second opinions on spoken commands, by counting in labelled ones."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.trust.opinions import opposed
from extract import Issue, Record


@dataclass(frozen=True)
class Spoken:
    """Whether the words of a command are in slots and out of them as in labelled commands, and under their names.

    Learned by counting: which slot a run of words has, by its words and its neighbours, in commands of the same intent.
    """

    counts: Mapping[str, Mapping[str, Mapping[str, int]]]  # intent → clue → slot → times

    def __call__(self, value: Any, record: Record) -> Iterator[Issue]:
        tokens = _tokens(str(record["text"]))
        known = self.counts.get(value.intent, {})
        taken = [""] * len(tokens)
        for number, slot in enumerate(value.slots):
            for at in _place(tokens, _tokens(slot.value)):
                taken[at] = slot.slot
            if likely := _outvoted(slot.slot, _tokens(slot.value), tokens, known):
                yield opposed(f"slots[{number}].slot", slot.slot, likely)
        for at, slot_name in enumerate(taken):
            inside = _inside(tokens[at], known)
            if (inside > 0.6 and not slot_name) or (inside < 0.25 and slot_name):
                yield opposed("slots", tokens[at], "out of all slots" if slot_name else "in a slot")
                return


def spoken(commands: Iterable[tuple[str, str, Sequence[tuple[str, str]]]]) -> Spoken:
    """Counted over (text, intent, (slot, value) …)."""
    counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for text, intent, slots in commands:
        tokens, taken = _tokens(text), dict[int, str]()
        for slot, said in slots:
            places = _place(tokens, _tokens(said))
            taken |= dict.fromkeys(places, slot)
            for clue in _clues(_tokens(said), tokens, places):
                counts[intent][clue][slot] += 1
        for at, token in enumerate(tokens):
            counts[intent][f"in:{token}"][taken.get(at, "")] += 1
    return Spoken({intent: {clue: dict(found) for clue, found in clues.items()} for intent, clues in counts.items()})


def _clues(said: Sequence[str], tokens: Sequence[str], places: Sequence[int]) -> list[str]:
    before = tokens[places[0] - 1] if places and places[0] else ""
    after = tokens[places[-1] + 1] if places and places[-1] + 1 < len(tokens) else ""
    return [f"said:{' '.join(said)}", f"after:{before}", f"before:{after}", *(f"word:{word}" for word in said)]


def _outvoted(slot: str, said: Sequence[str], tokens: Sequence[str], known: Mapping[str, Mapping[str, int]]) -> str:
    """The slot that the clues speak for, where it is another one by far (naive Bayes)."""
    names = {name for clue, found in known.items() if clue.startswith("word:") for name in found}
    clues = _clues(said, tokens, _place(tokens, said))
    scores = dict.fromkeys(sorted(names), 0.0)
    for clue in clues:
        found = known.get(clue)
        for name in scores if found else ():
            scores[name] += math.log((found or {}).get(name, 0) + 0.3)
    best = max(scores, key=lambda name: scores[name], default="")
    return best if best != slot and scores[best] > scores.get(slot, -99.0) + 1.0 else ""


def _inside(token: str, known: Mapping[str, Mapping[str, int]]) -> float:
    """How often a word stands in a slot; one that was never seen is a name, mostly."""
    found = known.get(f"in:{token}", {})
    whole = sum(found.values())
    return 1 - (found.get("", 0) + 0.1) / (whole + 0.5) if whole else 0.9


def _tokens(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['’.,:/-][^\W_]+)*", text.casefold())


def _place(tokens: Sequence[str], said: Sequence[str]) -> list[int]:
    for start in range(len(tokens) - len(said) + 1):
        if said and list(tokens[start : start + len(said)]) == list(said):
            return list(range(start, start + len(said)))
    return []
