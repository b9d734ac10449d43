"""A second look at answers that passed, where a check over the whole table has something against them.

Only the fields at fault are asked for, once for each complaint. The reply is put into the answer, and the whole is
judged again. Whatever is not mended by that leaves the row as it was, with a flag that says so: a reply that changes
nothing or that the judge does not take, no reply, and what could not be asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from extract.journal import Charge, Complaint
from extract.parts import Piece
from extract.prices import cost_of
from extract.records import ChatRequest, Effort, Issue, Key, Outcome, Record, field_of
from extract.repair.allowance import Account, Allowance, Ask
from extract.repair.last import LastWord
from extract.repair.plan import Plan
from extract.repair.rounds import Stored, Tier, with_reply

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
    replayed: dict[str, Account] = field(default_factory=dict)  # what those took that were answered before

    def __contains__(self, key: Key) -> bool:
        return key in self.complaints

    async def __call__(self, record: Record, outcome: Outcome, ask: Ask) -> Outcome | None:
        """The outcome after all complaints of it; None when the run stops before that is known."""
        waiting = list(self.complaints.get(record.key, ()))
        left: dict[str, None] = {}
        while waiting and outcome.ok:
            answer = digest_of(outcome)
            complaint = next((each for each in waiting if each.answer == answer), None)
            if complaint is None:
                break
            waiting.remove(complaint)
            found = await self._heard(record, outcome, complaint, ask)
            if found is None:
                return None
            mended = self._mended(complaint.charges, outcome, found)
            for charge in complaint.charges:
                flag = f"{charge.code}:{charge.path}"
                left.pop(flag, None) if charge.check in mended else left.setdefault(flag)
            outcome = found
        return _flagged(outcome, left)

    def complaint(self, round: str, record: Record, outcome: Outcome, charges: Sequence[Charge]) -> Complaint | None:
        """What is to be noted of these charges: without a request where nothing can be asked for them, or may be.

        None where a model has no say: the row is a person's.
        """
        if self.allowance is None or not outcome.ok or outcome.is_human:
            return None
        tier, most = self._tier(outcome), self.allowance.settings.max_repairs
        done = sum(each.what == "repair" and each.model == tier.name for each in outcome.efforts)
        plan = None
        if not most or done < most:
            plan = tier.planner.second_look(record, outcome, list(map(_issue, charges)))
        return Complaint(round, record.key, digest_of(outcome), plan.request.hash if plan else "", tuple(charges))

    async def _heard(self, record: Record, outcome: Outcome, complaint: Complaint, ask: Ask) -> Outcome | None:
        """The outcome after one complaint, as it was where nothing came of it; None when the run stops."""
        tier = self._tier(outcome)
        plan = None
        if complaint.request:
            plan = tier.planner.second_look(record, outcome, list(map(_issue, complaint.charges)))
        if plan is None:
            return outcome
        request = replace(plan.request, tier="" if tier is self.tiers[0] else tier.name)
        self.asking.add(request.hash)
        piece, is_stopped = await self._paid(request, tier, outcome, ask)
        if piece is None:
            return None if is_stopped else outcome
        if piece.completion is None:
            return replace(outcome, unanswered=outcome.unanswered or piece.unanswered)
        return self._with_reply(record, outcome, tier, plan, piece)

    async def _paid(self, request: ChatRequest, tier: Tier, outcome: Outcome, ask: Ask) -> tuple[Piece | None, bool]:
        """What was answered, None when it may cost no more; and whether the run stops."""
        if self.is_stored(request):
            piece = await ask(request)
            if piece and piece.completion:
                usage = piece.completion.usage
                self.replayed[request.hash] = Account(usage.total, cost_of(tier.model, usage) or 0.0)
            return piece, piece is None
        assert self.allowance is not None  # noqa: S101  # there are complaints
        account = Account()
        for effort in outcome.efforts:
            if effort.what in ("repair", EFFORT):
                account.add(effort.usage, effort.cost_usd)
        return await self.allowance.asked(request, tier.model, account, ask)

    def _with_reply(self, record: Record, outcome: Outcome, tier: Tier, plan: Plan, piece: Piece) -> Outcome:
        """The record with the reply in it, where that is better; what it took is on its account in any case."""
        reply = piece.completion
        assert reply is not None  # noqa: S101  # the caller has seen it
        after = LastWord(tier.planner.judge, tier.planner.settings)(
            record, tier.planner.merged(record, outcome, plan, reply)
        )
        is_better = after.ok and after.row != outcome.row
        if not is_better:
            after = outcome
        elif (left := plan.unasked(outcome.confidence)) is not None:
            after = self.marked(replace(after, confidence=left))
        cost = cost_of(tier.model, reply.usage)
        effort = Effort(EFFORT, tier.name, is_better, reply.usage, cost)
        return replace(with_reply(after, outcome, piece, reply, cost), efforts=(*outcome.efforts, effort))

    def _mended(self, charges: Sequence[Charge], before: Outcome, after: Outcome) -> set[str]:
        """The checks of which a field at fault has another value now; whether a better one the next checks tell."""
        shape = self._tier(before).planner.build.schema.shape
        names = {item.wire: item.name for item in shape.asked} | {item.name: item.name for item in shape.asked}
        old, new = before.row or {}, after.row or {}
        found = set()
        for charge in charges:
            name = names.get(field_of(_issue(charge)) or "")
            if name is not None and old.get(name) != new.get(name):
                found.add(charge.check)
        return found

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


def _flagged(outcome: Outcome, flags: Iterable[str]) -> Outcome:
    """With what table checks still have against the row."""
    found = tuple(dict.fromkeys((*outcome.flags, *flags)))
    return outcome if found == outcome.flags else replace(outcome, flags=found)


def _issue(charge: Charge) -> Issue:
    return Issue("table", charge.code, charge.path, charge.why, severity="repair")
