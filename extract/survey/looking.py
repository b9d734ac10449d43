"""Every record looked at, every request built, nothing sent: what is still to be asked."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from extract.by_hand import Hands
from extract.client import completion_from
from extract.journal import COMPLETION, Answer, Journal
from extract.ladder import Climb, Ladder
from extract.pipeline import Prepared
from extract.prices import cost_of
from extract.records import ChatRequest, Issue, Record, Usage
from extract.requests import Unaskable, estimated_tokens
from extract.survey.estimate import LEAST_INPUT, MOST_INPUT, Estimate, Range, estimate, least_tokens
from extract.survey.forecast import Rest
from extract.survey.replay import Answered, Replay, Spending
from extract.tools import Toolbox, first_round

MOST_SEEN = 1000  # records with answers that are looked at, drawn evenly from all


@dataclass(frozen=True, slots=True)
class _Seen:
    """A record that is answered: the requests, what was guessed for them, and what it took, repairs included."""

    requests: tuple[str, ...]
    guessed: int
    spent: Spending


@dataclass
class Survey:
    """What the records seen so far would ask."""

    prepared: Prepared
    lookup: Callable[[str], Answer | None]
    looks_down: bool  # the journal has answers to requests that demand less
    asked: set[str] = field(default_factory=set)
    answered: int = 0
    tokens: int = 0
    rounds: dict[str, int] = field(default_factory=dict)  # the first of each record: hash and tokens
    unaskable: list[tuple[Any, Issue]] = field(default_factory=list)
    first: ChatRequest | None = None  # what is sent first
    seen: list[_Seen] = field(default_factory=list)
    by_hand: Hands = field(default_factory=Hands)  # records that people spoke of
    places: array[int] = field(default_factory=lambda: array("q"))  # of the records that ask something
    guesses: array[int] = field(default_factory=lambda: array("q"))  # input tokens of what each of them asks

    def __post_init__(self) -> None:
        questions = enumerate(self.prepared.questions)
        self._ladders = [Ladder(each, number, looks_down=self.looks_down) for number, each in questions]
        self._random = Random(0)  # noqa: S311  # the same records each time
        self._whole = 0  # records with all their answers
        self._drawn: set[tuple[str, ...]] = set()
        self._replay = Replay(self.prepared, self.lookup)

    def look(self, record: Record) -> None:
        """Count what one record asks that no record before it did, and no journal answers."""
        if self.by_hand.stands_for(record):
            self.answered += 1
            return
        try:
            steps = [Climb(ladder, record).look(self.lookup) for ladder in self._ladders]
        except Unaskable as error:
            self.unaskable.append((record.key, error.issue))
            return
        self.first = self.first or self._opening(steps[0].request)
        missing = {step.request.hash: step.request for step in steps if step.answer is None}
        votes = [(request, self.lookup(request.hash)) for request in self._votes(record)]
        missing |= {request.hash: request for request, answer in votes if answer is None}
        fresh = {name: request for name, request in missing.items() if name not in self.asked}
        self.answered += not fresh
        if not missing:
            found = [(step.request, step.answer) for step in steps if step.answer]
            self._learn(record, found, [(request, answer) for request, answer in votes if answer])
        if not fresh:
            return
        self.asked |= fresh.keys()
        guessed = sum(map(estimated_tokens, fresh.values()))
        self.tokens += guessed
        if not self.prepared.toolbox.is_empty:
            before = {name: tokens for name, tokens in self._openings(fresh.values()) if name not in self.rounds}
            self.rounds |= before
            guessed += sum(before.values())
        self.places.append(record.position)
        self.guesses.append(guessed)

    def _votes(self, record: Record) -> list[ChatRequest]:
        """The further questions, where several answers vote."""
        voting, build = self.prepared.voting, self._ladders[0].question.build
        return voting.requests(build, 0, record) if voting else []

    def _learn(self, record: Record, first: Answered, votes: Answered) -> None:
        """Draw the record, or not, so that all records with whole answers are drawn alike."""
        found = [*first, *votes]
        if any(answer.kind != COMPLETION for _, answer in found):
            return
        names = tuple(request.hash for request, _ in found)
        self._whole += 1
        place = len(self.seen) if len(self.seen) < MOST_SEEN else self._random.randrange(self._whole)
        if place >= MOST_SEEN or names in self._drawn:  # records that are alike share one answer
            return
        guessed = sum(estimated_tokens(request) for request, _ in found)
        if not self.prepared.toolbox.is_empty:
            guessed += sum(dict(self._openings(request for request, _ in found)).values())
        self._drawn -= {each.requests for each in self.seen[place : place + 1]}
        self._drawn.add(names)
        spent = self._replay.after(record, first, votes)
        usage = _usage_of([answer for _, answer in found])
        spent.add(usage, cost_of(self.prepared.pipeline.model, usage))
        self.seen[place : place + 1] = [_Seen(names, guessed, spent)]

    def _openings(self, requests: Iterable[ChatRequest]) -> Iterable[tuple[str, int]]:
        """The first round before each of these requests: its name, and its tokens as guessed."""
        return [(each.hash, estimated_tokens(each)) for each in map(self._opening, requests)]

    def _opening(self, request: ChatRequest) -> ChatRequest:
        toolbox = self.prepared.toolbox
        return request if toolbox.is_empty else first_round(request, toolbox)

    @property
    def input_tokens(self) -> tuple[int, int]:
        """Estimated: at least, with one round a record, and with all rounds that it may take."""
        first = sum(self.rounds.values())
        more = (rounds_at_most(self.prepared.toolbox) - 1) * first  # the prompt goes with every round
        return self.tokens + first, self.tokens + first + more

    @property
    def output_tokens(self) -> int:
        """At most."""
        requests = len(self.asked) + rounds_at_most(self.prepared.toolbox) * len(self.rounds)
        return requests * self.prepared.pipeline.model.max_tokens


def looked(prepared: Prepared, journal_path: Path | None, account: str | None = None) -> Survey:
    """A look at every record."""
    with ExitStack() as stack:
        journal = None
        if journal_path:
            journal = stack.enter_context(Journal(journal_path, account, shared=account is not None))
        found = Survey(prepared, journal.lookup if journal else _nothing, journal is not None and journal.has_relaxed())
        if journal:
            found.by_hand = Hands(journal.by_hand(), prepared.judge, prepared.source.also)
        for record in prepared.source.records():
            found.look(record)
    return found


def estimated(found: Survey) -> Estimate:
    """For all that is still to be asked."""
    tokens, most = found.input_tokens
    least = sum(least_tokens(question.build.schema.wire_schema) for question in found.prepared.questions)
    least = round(least * len(found.asked) / len(found.prepared.questions))
    rest = Rest(len(found.places), sum(found.guesses))
    return _estimate(found, rest, (round(tokens * LEAST_INPUT), round(most * MOST_INPUT)), (least, found.output_tokens))


def estimated_for(found: Survey, chosen: Sequence[int]) -> Estimate:
    """For some of the records that ask something, given by their number among these."""
    rest = Rest(len(chosen), sum(found.guesses[each] for each in chosen))
    rounds = rounds_at_most(found.prepared.toolbox)
    requests = len(chosen) * (answers_wanted(found.prepared) + rounds)
    tokens = round(rest.guessed * MOST_INPUT * max(1, rounds)), requests * found.prepared.pipeline.model.max_tokens
    return _estimate(found, rest, (0, tokens[0]), (0, tokens[1]))


def _estimate(found: Survey, rest: Rest, given: Range, made: Range) -> Estimate:
    measured = [(each.guessed, each.spent) for each in found.seen if each.spent.usage.total]
    return estimate(found.prepared.pipeline.model, measured, rest, given, made)


def evenly(found: Survey, number: int) -> list[int]:
    """So many of the records that ask something, one from each of as many equal stretches of the source."""
    count = len(found.places)
    number = min(number, count)
    bounds = [count * each // number for each in range(number + 1)] if number else []
    random = Random(count)  # noqa: S311  # the same each time, and none of the source's own rhythms
    return [random.randrange(begin, end) for begin, end in pairwise(bounds)]


def answers_wanted(prepared: Prepared) -> int:
    """To the questions of one record, votes included; what fails may take more."""
    return len(prepared.questions) * (prepared.voting.settings.n if prepared.voting else 1)


def _usage_of(answers: Sequence[Answer]) -> Usage:
    """With the research before, which parts of a record share."""
    research = max((answer.research.usage for answer in answers), key=lambda usage: usage.total)
    return sum((completion_from(answer.body, {}).usage for answer in answers), research)


def rounds_at_most(toolbox: Toolbox) -> int:
    """How many requests may go before those for the record itself."""
    if toolbox.is_empty:
        return 0
    return 1 if toolbox.search else toolbox.rounds


def _nothing(_: str) -> Answer | None:
    """What a journal holds that is not there."""
    return None
