"""Round after round until a record passes or nothing is left to try: repairs by one model, then the next model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from extract.config import Model
from extract.parts import Piece
from extract.prices import cost_of
from extract.records import ChatRequest, Completion, Effort, Issue, Outcome, Record, Usage
from extract.repair.allowance import Account, Allowance, Ask
from extract.repair.last import LastWord
from extract.repair.plan import NEVER, Planner, aside
from extract.requests import Unaskable

Stored = Callable[[ChatRequest], bool]  # whether its answer was paid already


@dataclass(frozen=True)
class Tier:
    """One model: its name on the wire, its prices, and what mends its answers."""

    name: str
    model: Model
    planner: Planner


@dataclass
class Workshop:
    """Mends the outcomes of one run."""

    tiers: Sequence[Tier]
    allowance: Allowance
    is_stored: Stored
    is_low: Callable[[Outcome], bool] | None = None  # of a record that passed: whether another model is to be asked
    known_as: str = ""  # the name of the first model, where requests without a name go to another
    marked: Callable[[Outcome], Outcome] = lambda outcome: outcome  # with the flags of fields that answers disagree on

    def __post_init__(self) -> None:
        self._last = LastWord(self.tiers[0].planner.judge, self.allowance.settings)

    def noted(self, outcome: Outcome) -> Outcome:
        """An outcome that needs no mending, with what it took."""
        completion = outcome.completion
        if completion is None:
            return outcome
        effort = Effort("ask", completion.asked or self.tiers[0].name, outcome.ok, completion.usage, outcome.cost_usd)
        return replace(outcome, efforts=(effort,))

    async def mended(self, record: Record, outcome: Outcome, ask: Ask) -> Outcome | None:
        """The outcome after all that may mend it; None when the run stops before that is known."""
        work = _Work(self, record, self.noted(outcome), ask)
        if not await work.go():
            return None
        found = self._last(record, work.outcome)
        if not found.ok and work.spare is not None:  # an earlier answer, of which there may be a row after all
            spared = self._last(record, _with_accounts(work.spare, work.outcome))
            found = spared if spared.ok else found
        return self.marked(found)

    def may_spare(self, outcome: Outcome) -> bool:
        """Whether a row may come of an outcome that is at fault."""
        return self._last.may_spare(outcome)


@dataclass
class _Work:
    """One record on its way through the tiers."""

    shop: Workshop
    record: Record
    outcome: Outcome
    ask: Ask

    def __post_init__(self) -> None:
        self.account = Account()
        self.spare: Outcome | None = None  # the last answer of which a row may come though it is at fault
        self._keep_spare()
        self.asked: set[str] = set((self.outcome.request or "").split())

    async def go(self) -> bool:
        """False when the run stops."""
        for number, tier in enumerate(self.shop.tiers):
            if number and not (_may_go_on(self.outcome) or self._is_low()):
                break
            if not ((number == 0 or await self._escalate(tier)) and await self._repair(tier)):
                return False
        return True

    def _is_low(self) -> bool:
        return self.outcome.ok and self.shop.is_low is not None and self.shop.is_low(self.outcome)

    async def _repair(self, tier: Tier) -> bool:
        """Rounds with one model; False when the run stops."""
        grown = 0
        for _ in range(self.shop.allowance.settings.max_repairs):
            plan = tier.planner.plan(self.record, self.outcome, grown)
            if plan is None or plan.request.hash in self.asked:
                return True
            grown += plan.kind == "room"
            request = replace(plan.request, tier=tier.name if tier is not self.shop.tiers[0] else self.shop.known_as)
            piece, is_stopped = await self._paid(request, tier)
            if piece is None or piece.completion is None:
                return not is_stopped
            after = tier.planner.merged(self.record, self.outcome, plan, piece.completion)
            self._take("repair", tier, piece, replace(after, confidence=plan.unasked(self.outcome.confidence)))
        return True

    async def _escalate(self, tier: Tier) -> bool:
        """The whole record, asked of the next model; False when the run stops."""
        try:
            request = replace(aside(tier.planner.build(self.record)), tier=tier.name)
        except Unaskable:
            return True
        piece = await self._asked(request)
        if piece is not None and piece.completion is not None:
            completion = replace(piece.completion, flags=(*piece.completion.flags, f"escalated:{tier.name}"))
            self._take("escalate", tier, piece, tier.planner.judge(self.record, completion))
        return piece is not None

    async def _asked(self, request: ChatRequest) -> Piece | None:
        self.asked.add(request.hash)
        piece = await self.ask(request)
        if piece is not None and piece.unanswered:
            self.outcome = replace(self.outcome, unanswered=True)  # a later run asks again
        return piece

    async def _paid(self, request: ChatRequest, tier: Tier) -> tuple[Piece | None, bool]:
        """What a repair came to, None when it may cost no more; and whether the run stops."""
        if self.shop.is_stored(request):
            piece = await self._asked(request)
            return piece, piece is None
        return await self.shop.allowance.asked(request, tier.model, self.account, self._asked)

    def _take(self, what: str, tier: Tier, piece: Piece, after: Outcome) -> None:
        """What came of one more answer, with all that was spent so far."""
        before, reply = self.outcome, piece.completion
        assert reply is not None  # noqa: S101  # the caller has seen it
        cost = cost_of(tier.model, reply.usage)
        if what == "repair":
            self.account.add(reply.usage, cost)
        passed = after.ok
        if before.ok and not passed:  # it was only unsure, and the other model has no better answer
            after = before
        self.outcome = with_reply(after, before, piece, reply, cost)
        self._keep_spare()
        effort = Effort(what, tier.name, passed, reply.usage, cost)
        self.outcome = replace(self.outcome, efforts=(*before.efforts, effort))

    def _keep_spare(self) -> None:
        if self.shop.may_spare(self.outcome):
            self.spare = self.outcome


def with_reply(after: Outcome, before: Outcome, piece: Piece, reply: Completion, cost_usd: float | None) -> Outcome:
    """What came of one more reply, with all that was spent: before it, and on it."""
    usage, sources = (before.completion.usage, before.completion.sources) if before.completion else (Usage(), ())
    return replace(
        after,
        completion=replace(after.completion or reply, usage=usage + reply.usage, sources=sources),
        request=f"{before.request} {piece.request}",
        attempts=before.attempts + piece.attempts,
        cost_usd=None if cost_usd is None or before.cost_usd is None else before.cost_usd + cost_usd,
    )


def _may_go_on(outcome: Outcome) -> bool:
    """Whether another model may do better: not where the text itself was refused, or nobody answered."""
    return not outcome.ok and not outcome.unanswered and not any(_is_final(issue) for issue in outcome.issues)


def _is_final(issue: Issue) -> bool:
    return issue.code.startswith(NEVER) or issue.stage in ("source", "media", "prompt")


def _with_accounts(earlier: Outcome, latest: Outcome) -> Outcome:
    """An earlier outcome with all that was spent by the end."""
    assert earlier.completion is not None  # noqa: S101  # it was answered
    spent = latest.completion or earlier.completion
    return replace(
        earlier,
        completion=replace(earlier.completion, usage=spent.usage, sources=spent.sources),
        request=latest.request,
        attempts=latest.attempts,
        cost_usd=latest.cost_usd,
        efforts=latest.efforts,
        unanswered=latest.unanswered,
    )
