"""Several answers to one question → one answer, field by field, and how far they agree. Pure.

Each field takes the value that most answers have. Of values with equally many votes the one that the source supports
is taken, else that of the earlier answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from extract.config import Samples
from extract.evidence import finder_of, has_writing
from extract.records import ChatRequest, Completion, Outcome, Record, path_to
from extract.requests import RequestBuilder
from extract.salvage import Answer
from extract.schema.nodes import json_text
from extract.validate import Judge, answer_of

LOW = "low_confidence"  # flag: answers agree too little about a field, as `low_confidence:$.total`

Support = Callable[[str, Any], float]  # field and value → how well the source supports it


@dataclass(frozen=True)
class Vote:
    """What was elected, and the share of the answers that have it, by field on the wire."""

    answer: dict[str, Any]
    agreement: dict[str, float]


def elected(answers: Sequence[Mapping[str, Any]], support: Support) -> Vote:
    """The answer that has, in each field, what most of them have. A field that most leave out is left out."""
    answer, agreement = {}, {}
    for name in dict.fromkeys(name for each in answers for name in each):
        votes: dict[str, list[Any]] = {}
        for each in answers:
            votes.setdefault(_ballot(each, name), []).append(each.get(name, _LEFT_OUT))
        most = max(map(len, votes.values()))
        tied = [values[0] for values in votes.values() if len(values) == most]
        value = tied[0] if len(tied) == 1 else max(tied, key=lambda each: support(name, each))
        agreement[name] = round(most / len(answers), 4)
        if value is not _LEFT_OUT:
            answer[name] = value
    return Vote(answer, agreement)


_LEFT_OUT = object()


def _ballot(answer: Mapping[str, Any], name: str) -> str:
    """Equal for equal values: 12.5 and 12.50, objects with their members in any order."""
    if name not in answer:
        return ""
    return json.dumps(_plain(answer[name]), sort_keys=True, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    number = Decimal(str(value))
    return {"number": str(number.normalize()) if number.is_finite() else str(number)}


@dataclass(frozen=True)
class Voting:
    """Asks for further answers to a record's question, and has them vote."""

    settings: Samples
    judge: Judge
    _samplers: dict[tuple[int, int], RequestBuilder] = field(default_factory=dict, repr=False, compare=False)

    def requests(self, build: RequestBuilder, rung: int, record: Record) -> list[ChatRequest]:
        """The requests beside the first; `rung` tells the builders apart. Raises Unaskable."""
        for number in range(1, self.settings.n):
            if (rung, number) not in self._samplers:
                self._samplers[rung, number] = _sampler(build, number)
        return [replace(self._samplers[rung, number](record), is_repair=True) for number in range(1, self.settings.n)]

    def outcome(self, record: Record, completions: Sequence[Completion]) -> Outcome | None:
        """The record judged by what was elected; None when no answer can vote beside another."""
        found = [answer_of(each, self.judge.root, mend_json=self.judge.mend_json) for each in completions]
        answers = [each.value for each in found if isinstance(each, Answer) and isinstance(each.value, dict)]
        if not answers or len(completions) < 2:
            return None
        vote = elected(answers, self._support(record))
        flags = dict.fromkeys(flag for each in completions for flag in each.flags)
        flags |= dict.fromkeys(flag for each in found if isinstance(each, Answer) for flag in each.flags)
        one = completions[next(number for number, each in enumerate(found) if isinstance(each, Answer))]
        content = json_text(vote.answer)
        judged = self.judge(record, replace(one, content=content, finish_reason="stop", flags=tuple(flags)))
        share = len(answers) / len(completions)  # what could not be read agrees with nothing
        names = {item.wire: item.name for item in self.judge.schema.shape.asked}
        agreement = {names[wire]: round(value * share, 4) for wire, value in vote.agreement.items() if wire in names}
        return self.marked(replace(judged, confidence=agreement))

    def marked(self, outcome: Outcome) -> Outcome:
        """The outcome with the flags of the fields that its answers agree too little about, and of no others."""
        least = self.settings.flag_below
        if least is None:
            return outcome
        low = [path_to("$", name) for name, share in (outcome.confidence or {}).items() if share < least]
        others = [flag for flag in outcome.flags if not flag.startswith(f"{LOW}:")]
        return replace(outcome, flags=(*others, *(f"{LOW}:{path}" for path in low)))

    def is_low(self, outcome: Outcome) -> bool:
        """Whether the answers agree too little about some field, so that another model is to be asked."""
        least = self.settings.escalate_below
        return least is not None and bool(outcome.confidence) and min(outcome.confidence.values()) < least  # type: ignore[union-attr]

    def _support(self, record: Record) -> Support:
        texts = [record[name] for name in self.judge.text_columns if isinstance(record.get(name), str)]

        def support(name: str, value: Any) -> float:
            if value is _LEFT_OUT or not has_writing(value):
                return 0.0
            found = [finder_of(text).find(value, name.split("_")) for text in texts]
            return max((each.score for each in found if each and each.is_support), default=0.0)

        return support


def _sampler(build: RequestBuilder, number: int) -> RequestBuilder:
    """The builder of the further questions: alike but for the seed, where there is one, and their name."""
    seed = build.model.seed
    model = build.model if seed is None else build.model.replaced({"seed": seed + number})
    return replace(build, model=model, sample=number)
