"""What it took to get records right, counted by what was done and by which model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from extract.records import Effort

_EFFORTS = {"repair": "repairs", "escalate": "escalations"}
_ROUNDING = 1e-9  # US dollars


class Efforts(dict[str, list[Any]]):
    """What it took to get records right, by what was done and by which model: "repair gemini-3-flash".

    Each has the number of answers, how many of them made their record pass, input and output tokens, and US dollars
    (None: the price is not known).
    """

    def add(self, effort: Effort) -> None:
        """One more answer."""
        usage = effort.usage
        given = [1, int(effort.passed), usage.input_tokens, usage.output_tokens, effort.cost_usd]
        self.take({f"{effort.what} {effort.model}": given})

    def take(self, more: Mapping[str, Sequence[Any]]) -> None:
        """The sum of both."""
        for name, given in more.items():
            before = self.setdefault(name, [0, 0, 0, 0, 0.0])
            *counts, cost = (None if None in pair else sum(pair) for pair in zip(before, given, strict=True))
            self[name] = [*counts, cost]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """As the manifest has it."""
        names = ("answers", "passed", "input_tokens", "output_tokens", "cost_usd")
        made = ((name.partition(" "), counts) for name, counts in self.items())
        return [
            {"what": what, "model": model, **dict(zip(names, counts, strict=True))} for (what, _, model), counts in made
        ]

    @property
    def words(self) -> list[str]:
        """For the closing line: what was done beside the first question."""
        more = {name: counts for name, counts in self.items() if name.partition(" ")[0] in _EFFORTS}
        made: dict[str, list[int]] = {}
        for name, (answers, passed, *_) in more.items():
            found = made.setdefault(name.partition(" ")[0], [0, 0])
            found[0], found[1] = found[0] + answers, found[1] + passed
        return [f"{passed:,} of {answers:,} {_EFFORTS[what]} helped" for what, (answers, passed) in made.items()]


def beside(manifest: Mapping[str, Any]) -> str | None:
    """Why the efforts of a manifest, which are of the answers that its tables are made of, do not add up to what was
    paid, for people; None where they do."""
    rows, tokens = manifest.get("efforts") or [], manifest["tokens"]
    if not rows:
        return None
    more = tokens["input"] + tokens["output"] - sum(row["input_tokens"] + row["output_tokens"] for row in rows)
    costs = [manifest.get("cost_usd"), *(row["cost_usd"] for row in rows)]
    paid, *stated = [cost for cost in costs if cost is not None] if None not in costs else [0.0]
    dearer = paid - sum(stated)
    if more > 0:
        usd = f", {dearer:.4f} USD" if dearer > _ROUNDING else ""
        return f"replaced, or in no table yet: {more:,} tokens{usd}"
    if more < 0:
        return f"{-more:,} of these tokens were paid elsewhere, or once for records that share an answer"
    if abs(dearer) > _ROUNDING:
        return f"paid when they were asked: {paid:.4f} USD, at the prices of then"
    return None
