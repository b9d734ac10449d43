"""What asking for the chosen records takes: requests, tokens and money, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace
from typing import Any

from extract.pipeline import Prepared
from extract.prices import unpriced
from extract.records import ChatRequest, Key
from extract.redriving.choice import Choice, resting_on
from extract.requests import Unaskable, estimated_tokens


@dataclass(frozen=True)
class Plan:
    """What a redrive would ask and may cost."""

    choice: Choice
    requests: int
    tokens: int  # of the input, estimated
    output_tokens: int  # at most
    cost_usd: tuple[float | None, float | None]
    model: str
    endpoint: str
    cost_unknown: str | None = None  # why

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        choice = self.choice
        return {
            "records": len(choice.rows),
            "reasons": choice.reasons,
            "quarantined": choice.quarantined,
            "unaskable": choice.unaskable,
            "sharing": choice.sharing,
            "requests": self.requests,
            "input_tokens_estimate": self.tokens,
            "output_tokens_at_most": self.output_tokens,
            "cost_usd_estimate": list(self.cost_usd),
            "cost_unknown": self.cost_unknown,
            "model": self.model,
            "endpoint": self.endpoint,
        }

    @property
    def text(self) -> str:
        """For people."""
        choice, (low, high) = self.choice, self.cost_usd
        if not choice.quarantined:
            return "the quarantine is empty: nothing is asked again"
        reasons = ", ".join(f"{code} {number:,}" for code, number in choice.reasons.items())
        lines = [
            f"{len(choice.rows):,} of {choice.quarantined:,} quarantined records are asked again"
            + (f" ({reasons})" if reasons else ""),
            f"{self.requests:,} requests to {self.model} at {self.endpoint}",
            f"about {self.tokens:,} input tokens, at most {self.output_tokens:,} output tokens",
            f"between {low:.4f} and {high:.4f} USD" if low is not None else self.cost_unknown or "",
        ]
        if choice.unaskable:
            lines.append(f"{choice.unaskable:,} have no request, and cannot be asked: mend the source or the prompt")
        if choice.sharing:
            lines.append(f"{choice.sharing:,} are left: rows that stay rest on the same request")
        return "\n".join(lines)


def plan(prepared: Prepared, asked: Prepared, choice: Choice) -> Plan:
    """What asking for these takes. Records that are alike to the run, but would now be asked for differently, are left
    out: one request cannot have two answers."""
    others: dict[str, str] = {}  # of the run's requests → what is asked instead
    tokens: dict[str, int] = {}
    clashing, mute = set[str](), set[str]()
    for key, requests in _asked(prepared, asked, choice):
        if requests is None:
            mute.update(choice.rows[key])
            continue
        pairs = dict(zip(choice.rows[key], (request.hash for request in requests), strict=False))  # repairs come last
        clashing |= {name for name, other in pairs.items() if others.setdefault(name, other) != other}
        tokens |= {request.hash: estimated_tokens(request) for request in requests}
    choice = _without(choice, mute, clashing)
    left = {others[name] for requests in choice.rows.values() for name in requests if name in others}
    model = asked.pipeline.model
    each = asked.pipeline.samples.n if asked.pipeline.samples else 1  # answers to a question
    given, most = each * sum(tokens[name] for name in left), each * len(left) * model.max_tokens
    costs = (model.cost_usd(given, 0), model.cost_usd(given, most))
    endpoint = "local" if asked.endpoint.is_local else asked.endpoint.base_url
    models = [(asked.model_name, model), *((tier.name, tier.model) for tier in prepared.tiers)]
    unknown = unpriced(endpoint, models, asked.pipeline.prices) if costs[0] is None else None
    return Plan(choice, each * len(left), given, most, costs, asked.model_name, endpoint, unknown)


def _without(choice: Choice, mute: Set[str], clashing: Set[str]) -> Choice:
    """The choice without those who cannot be asked, or not together."""
    unaskable = resting_on(choice.rows, mute)
    sharing = resting_on(choice.rows, clashing) - unaskable
    rows = {key: requests for key, requests in choice.rows.items() if key not in unaskable | sharing}
    unaskable_now, sharing_now = choice.unaskable + len(unaskable), choice.sharing + len(sharing)
    return replace(choice, rows=rows, unaskable=unaskable_now, sharing=sharing_now)


def _asked(prepared: Prepared, asked: Prepared, choice: Choice) -> Iterator[tuple[Key, list[ChatRequest] | None]]:
    """What would be asked for each chosen record; None where there is nothing to ask."""
    left = len(choice.rows)
    for record in prepared.source.records():
        if not left:
            return
        if record.key not in choice.rows:
            continue
        left -= 1
        try:
            yield record.key, [question.build(record) for question in asked.questions]
        except Unaskable:
            yield record.key, None
