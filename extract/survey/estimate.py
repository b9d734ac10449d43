"""What is still to be used, in tokens and US dollars: as answers tell, else within what docs/cost.md states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from extract.config import Model
from extract.survey.forecast import FEWEST, LEVEL, Interval, Rest, predicted
from extract.survey.replay import Spending

LEAST_INPUT, MOST_INPUT = 0.3, 1.5  # tokens for each that is guessed, while no answer tells: docs/cost.md says why
BYTES_PER_TOKEN = 6  # of the shortest answer that fits the schema

_DEEPEST = 50  # levels of a schema
_LONGEST = 1000  # items of a list that count

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is still to be used: tokens, and US dollars where the model has prices; as so many answers tell."""

    answers: int  # 0: too few tell, and the ranges are those that docs/cost.md states
    input_tokens: Interval
    output_tokens: Interval
    cost_usd: Interval | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "basis": "answers" if self.answers else "prior",
            "answers": self.answers,
            "level": LEVEL if self.answers else None,
            "input_tokens": self.input_tokens.as_dict(),
            "output_tokens": self.output_tokens.as_dict(),
            "cost_usd": None if self.cost_usd is None else self.cost_usd.as_dict(9),
        }


def estimate(model: Model, seen: Sequence[tuple[int, Spending]], rest: Rest, given: Range, made: Range) -> Estimate:
    """For the rest, from what was guessed for each record that was asked and what it took.

    Where these are too few: input tokens within `given`, output tokens within `made`.
    """
    if len(seen) < FEWEST:
        costs = _cost_between(model, given, made)
        return Estimate(0, Interval(*given), Interval(*made), Interval(*costs) if costs else None)

    def of(measure: Callable[[Spending], float]) -> Interval:
        return predicted([(guessed, measure(spent)) for guessed, spent in seen], rest)

    is_priced = model.cost_usd(0, 0) is not None and all(spent.cost_usd is not None for _, spent in seen)
    return Estimate(
        len(seen),
        of(lambda spent: spent.usage.input_tokens),
        of(lambda spent: spent.usage.output_tokens),
        of(lambda spent: spent.cost_usd or 0.0) if is_priced else None,
    )


def _cost_between(model: Model, given: Range, made: Range) -> Range | None:
    """The least with all input cached, or none of it; the most with all output thoughts, or none of it."""

    def costs(input_tokens: float, output_tokens: float) -> list[float]:
        shares = [(cached, thought) for cached in (0, 1) for thought in (0, 1)]
        found = [
            model.cost_usd(input_tokens, output_tokens, cached * input_tokens, thought * output_tokens)
            for cached, thought in shares
        ]
        return [cost for cost in found if cost is not None]

    low, high = costs(given[0], made[0]), costs(given[1], made[1])
    return (min(low), max(high)) if low else None


def least_tokens(schema: Any) -> int:
    """Output tokens of the shortest answer that fits a wire schema, thoughts left out."""
    return max(1, _least_bytes(schema) // BYTES_PER_TOKEN)


def _least_bytes(node: Any, depth: int = 0) -> int:
    """Of the JSON of the shortest value. What is not known by sight is at least one digit."""
    if not isinstance(node, dict) or depth > _DEEPEST:
        return 1
    if isinstance(values := node.get("enum"), list) and values:
        return min(len(str(value)) for value in values)
    kinds = node.get("type")
    if node.get("nullable") or "null" in (kinds if isinstance(kinds, list) else [kinds]):
        return min(4, _least_of(kinds, node, depth))
    return _least_of(kinds, node, depth)


def _least_of(kinds: Any, node: dict[str, Any], depth: int) -> int:
    properties, least = node.get("properties"), node.get("minItems", 0)
    if isinstance(properties, dict):
        wanted = node.get("required")
        names = wanted if isinstance(wanted, list) else []
        return 2 + sum(len(str(name)) + 4 + _least_bytes(properties.get(name), depth + 1) for name in names)
    if kinds == "array" and isinstance(least, int):
        return 2 + min(least, _LONGEST) * (1 + _least_bytes(node.get("items"), depth + 1))
    return 2 if kinds in ("string", "array", "object") else 1


def lines_of(estimate: dict[str, Any], unknown: str | None) -> list[str]:
    """An estimate, as JSON data, for people; `unknown`: why it has no cost."""
    given, made, cost = estimate["input_tokens"], estimate["output_tokens"], estimate["cost_usd"]
    if not estimate["answers"]:
        said = f"between {_span(given, ',.0f')} input tokens, between {_span(made, ',.0f')} output tokens"
        return [f"{said}: no answers tell yet", f"between {_span(cost, '.4f')} USD" if cost else unknown or ""]
    of = f"from {estimate['answers']:,} answers"
    return [
        f"about {_likely(given, ',.0f')} input and {_likely(made, ',.0f')} output tokens, {of}",
        f"about {_likely(cost, '.4f', ' USD')}, {of}" if cost else unknown or "",
    ]


def _span(interval: dict[str, float], form: str) -> str:
    return f"{interval['low']:{form}} and {interval['high']:{form}}"


def _likely(interval: dict[str, float], form: str, unit: str = "") -> str:
    low, high, expected = (f"{interval[name]:{form}}" for name in ("low", "high", "expected"))
    return f"{expected}{unit} ({LEVEL * 100:.0f} %: {low} to {high})"
