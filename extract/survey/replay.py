"""What records took beside their first answers: votes, repairs and escalations, as the journal has them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from extract.checks.faults import Faults
from extract.config import Repair
from extract.errors import RunStopped
from extract.journal import COMPLETION, Answer
from extract.journaled import completion_of
from extract.parts import Piece, outcome_of
from extract.pipeline import Prepared
from extract.prices import cost_of
from extract.records import ChatRequest, Record, Usage
from extract.repair import Allowance, Workshop
from extract.tools import record_of_call

Lookup = Callable[[str], Answer | None]
Answered = Sequence[tuple[ChatRequest, Answer]]


@dataclass
class Spending:
    """Tokens, and US dollars where all of the models have prices."""

    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = 0.0

    def add(self, usage: Usage, cost_usd: float | None) -> None:
        self.usage += usage
        self.cost_usd = None if cost_usd is None or self.cost_usd is None else self.cost_usd + cost_usd


class Replay:
    """Goes through what became of answered records once more, and asks nothing."""

    def __init__(self, prepared: Prepared, lookup: Lookup) -> None:
        self._prepared, self._lookup = prepared, lookup
        judge = replace(prepared.judge, faults=Faults())  # what raises here is told when the run judges it
        self._judge = judge
        self._tiers = [replace(tier, planner=replace(tier.planner, judge=judge)) for tier in prepared.tiers]
        self._is_needed = len(self._tiers) > 1 or bool(prepared.pipeline.repair.max_repairs)

    def after(self, record: Record, found: Answered, votes: Answered) -> Spending:
        """What repairs and escalations of a record took; `votes`: the answers beside the first that were to vote."""
        spent = Spending()
        if not self._is_needed:
            return spent
        try:
            self._mend(record, found, votes, spent)
        except RunStopped:  # a check that raises
            self._judge.faults.streaks.clear()
        return spent

    def _mend(self, record: Record, found: Answered, votes: Answered, spent: Spending) -> None:
        parts = [question.part for question in self._prepared.questions]
        pieces = [self._piece(request, answer) for request, answer in found]
        outcome = outcome_of(record, [part for part in parts if part], pieces, self._judge)
        voting = self._prepared.voting
        if voting is not None:
            completions = [each.completion for each in (*pieces, *(self._piece(*vote) for vote in votes))]
            voting = replace(voting, judge=self._judge)
            outcome = voting.outcome(record, [each for each in completions if each is not None]) or outcome
        models = {tier.name: tier.model for tier in self._tiers}

        async def ask(request: ChatRequest) -> Piece:
            stored = self._lookup(request.hash)
            if stored is None or stored.kind != COMPLETION:
                return Piece(request.hash, 0)
            piece = self._piece(request, stored)
            usage = piece.completion.usage if piece.completion else Usage()
            spent.add(usage, cost_of(models.get(request.tier, self._tiers[0].model), usage))
            return piece

        allowance = Allowance(Repair(max_repairs=self._prepared.pipeline.repair.max_repairs))
        shop = Workshop(self._tiers, allowance, lambda request: True, voting.is_low if voting else None)
        _finished(shop.mended(record, outcome, ask))

    def _piece(self, request: ChatRequest, answer: Answer) -> Piece:
        completion = completion_of(answer)
        if self._prepared.pipeline.model.mode == "tool":
            completion = record_of_call(completion, self._prepared.build.schema.name)
        return Piece(request.hash, completion.attempts, replace(completion, masks=request.masks))


def _finished(work: Coroutine[Any, Any, Any]) -> None:
    """Run to its end what never waits for anything."""
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise RuntimeError("a replay waits for nothing")
