"""A second look at answers that passed, where a check over the whole table has something against them.

Only the fields at fault are asked for, once for each complaint. The reply is put into the answer, and the whole is
judged again; a reply that changes nothing, or that the judge does not take, leaves the row as it was, which says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from extract.journal import Charge, Complaint
from extract.parts import Piece
from extract.prices import cost_of
from extract.records import ChatRequest, Effort, Issue, Key, Outcome, Record
from extract.repair.allowance import Account, Allowance
from extract.repair.last import LastWord
from extract.repair.plan import Plan
from extract.repair.rounds import Ask, Stored, Tier

EFFORT = "table"  # what was done, as the report counts it


@dataclass(frozen=True)
class SecondLooks:
    """Asks again for what complaints name."""

    tiers: Sequence[Tier] = ()
    allowance: Allowance | None = None
    is_stored: Stored = lambda request: False
    marked: Callable[[Outcome], Outcome] = lambda outcome: outcome  # with the flags of fields that answers disagree on
    complaints: Mapping[Key, Sequence[Complaint]] = field(default_factory=dict)
    asking: set[str] = field(default_factory=set)  # requests that are made for it

    def __contains__(self, key: Key) -> bool:
        return key in self.complaints

    async def __call__(self, record: Record, outcome: Outcome, ask: Ask) -> Outcome | None:
        """The outcome after all complaints of it; None when the run stops before that is known."""
        waiting = list(self.complaints.get(record.key, ()))
        while waiting and outcome.ok:
            answer = digest_of(outcome)
            complaint = next((each for each in waiting if each.answer == answer), None)
            if complaint is None:
                break
            waiting.remove(complaint)
            found = await self._heard(record, outcome, complaint.charges, ask)
            if found is None:
                return None
            outcome = found
        return outcome

    def complaint(self, round: str, record: Record, outcome: Outcome, charges: Sequence[Charge]) -> Complaint | None:
        """What is to be noted of these charges; None where nothing can be asked for them, or may be."""
        if self.allowance is None or not outcome.ok or outcome.is_human:
            return None
        tier, most = self._tier(outcome), self.allowance.settings.max_repairs
        if most and sum(each.what == "repair" and each.model == tier.name for each in outcome.efforts) >= most:
            return None
        plan = tier.planner.second_look(record, outcome, list(map(_issue, charges)))
        if plan is None:
            return None
        return Complaint(round, record.key, digest_of(outcome), plan.request.hash, tuple(charges))

    async def _heard(self, record: Record, outcome: Outcome, charges: Sequence[Charge], ask: Ask) -> Outcome | None:
        tier = self._tier(outcome)
        plan = tier.planner.second_look(record, outcome, list(map(_issue, charges)))
        if plan is None:
            return outcome
        request = replace(plan.request, tier="" if tier is self.tiers[0] else tier.name)
        self.asking.add(request.hash)
        piece, is_stopped = await self._paid(request, tier, outcome, ask)
        if piece is None:
            return None if is_stopped else outcome
        if piece.completion is None:
            return replace(outcome, unanswered=outcome.unanswered or piece.unanswered)
        return self._with_reply(record, outcome, charges, tier, plan, piece)

    async def _paid(self, request: ChatRequest, tier: Tier, outcome: Outcome, ask: Ask) -> tuple[Piece | None, bool]:
        """What was answered, None when it may cost no more; and whether the run stops."""
        if self.is_stored(request):
            piece = await ask(request)
            return piece, piece is None
        assert self.allowance is not None  # noqa: S101  # there are complaints
        account = Account()
        for effort in outcome.efforts:
            if effort.what in ("repair", EFFORT):
                account.add(effort.usage, effort.cost_usd)
        held = await self.allowance.take(request, tier.model, account)
        if held is None:
            return None, False
        piece = None
        try:
            piece = await ask(request)
        finally:
            reply = piece.completion if piece else None
            await self.allowance.settle(held, tier.model, reply.usage if reply else None)
        return piece, piece is None

    def _with_reply(
        self, record: Record, outcome: Outcome, charges: Sequence[Charge], tier: Tier, plan: Plan, piece: Piece
    ) -> Outcome:
        """The record with the reply in it, where that is better; what it took is on its account in any case."""
        reply, before = piece.completion, outcome.completion
        assert reply is not None  # noqa: S101  # the caller has seen both
        assert before is not None  # noqa: S101
        after = LastWord(tier.planner.judge, tier.planner.settings)(
            record, tier.planner.merged(record, outcome, plan, reply)
        )
        is_better = after.ok and after.row != outcome.row
        if not is_better:
            flags = dict.fromkeys((*outcome.flags, *(f"{charge.code}:{charge.path}" for charge in charges)))
            after = replace(outcome, flags=tuple(flags))
        elif outcome.confidence is not None and plan.part is not None:
            left = {name: share for name, share in outcome.confidence.items() if name not in plan.part.names}
            after = self.marked(replace(after, confidence=left))
        cost = cost_of(tier.model, reply.usage)
        answered = after.completion or before
        return replace(
            after,
            completion=replace(answered, usage=before.usage + reply.usage, sources=before.sources),
            request=f"{outcome.request} {piece.request}",
            attempts=outcome.attempts + piece.attempts,
            cost_usd=None if cost is None or outcome.cost_usd is None else outcome.cost_usd + cost,
            efforts=(*outcome.efforts, Effort(EFFORT, tier.name, is_better, reply.usage, cost)),
        )

    def _tier(self, outcome: Outcome) -> Tier:
        """The model whose answer it is."""
        asked = [each.model for each in outcome.efforts if each.what == "escalate" and each.passed]
        return next((tier for tier in self.tiers[1:] if asked and tier.name == asked[-1]), self.tiers[0])


def by_key(complaints: Iterable[Complaint]) -> dict[Key, list[Complaint]]:
    """All complaints of each record."""
    found: dict[Key, list[Complaint]] = {}
    for each in complaints:
        found.setdefault(each.key, []).append(each)
    return found


def digest_of(outcome: Outcome) -> str:
    """What tells one answer to a record from another."""
    content = outcome.completion.content if outcome.completion else None
    text = f"{outcome.request}\n{content}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _issue(charge: Charge) -> Issue:
    return Issue("table", charge.code, charge.path, charge.why, severity="repair")
