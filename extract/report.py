"""Outcomes → counts: by reason, calls, tokens, money, time; as a line, as data and as a small page."""

from __future__ import annotations

import html
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from extract.efforts import Efforts
from extract.records import Outcome, Usage

if TYPE_CHECKING:
    from extract.checks.tables import TableFinding


_NO_DOUBTS = frozenset(  # flags that may name a place, or `$…` of another's choice, and tell of no doubt
    {"repaired", "escalated", "overridden", "unwrapped", "naive_datetime", "undeclared", "schema_relaxed"}
)


@dataclass(frozen=True, slots=True)
class Report:
    """What one run did. Counts are records; requests, retries, tokens and cost are those of this run alone."""

    records: int
    ok: int
    quarantined: int
    reasons: Mapping[str, int]
    requests: int
    retries: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    seconds: float
    losses: Sequence[str] = ()
    stopped: str | None = None
    relaxed: Sequence[str] = ()  # what the wire schema gave up for the endpoint, and is only checked here
    ambiguous: int = 0  # calls that got no answer after they were sent, and may be billed all the same
    unmetered: int = 0  # answers that do not say how many tokens they used
    efforts: Efforts = field(default_factory=Efforts)  # by kind and model, where failed answers are asked again
    table_checks: Sequence[TableFinding] = ()  # what was found in the table as a whole
    human: int = 0  # of those that are ok, by the word of a person
    flagged: int = 0  # of those that are ok, whose `_flags` tell of a doubt, see `is_flagged`

    @property
    def table_ok(self) -> bool:
        """Whether no table check failed but those that only warn."""
        return not any(check.fails_run for check in self.table_checks)

    @property
    def pending(self) -> int:
        """Records without an outcome in the tables yet."""
        return self.records - self.ok - self.quarantined

    @property
    def line(self) -> str:
        """47 ok, 3 quarantined (semantic.verbatim 2, schema.enum 1), 50 requests, 21,340 tokens, 0 retries"""
        reasons = ", ".join(f"{code} {number}" for code, number in self.reasons.items())
        tokens = self.input_tokens + self.output_tokens
        ok = f"{self.ok:,} ok{of_which(self.human, self.flagged)}"
        parts = [ok, f"{self.quarantined:,} quarantined" + (f" ({reasons})" if reasons else "")]
        parts += [f"{self.pending:,} pending"] if self.pending else []
        parts += [f"{self.requests:,} requests", f"{tokens:,} tokens", f"{self.retries:,} retries"]
        parts += [f"{self.cost_usd:.4f} USD"] if self.cost_usd else []
        parts += unsure_words(self.ambiguous, self.unmetered)
        parts += [f"schema relaxed ({', '.join(self.relaxed)})"] if self.relaxed else []
        parts += self.efforts.words
        asked = sum(check.asked for check in self.table_checks)
        mended = asked - sum(len(check.unmended) for check in self.table_checks)
        parts += [f"{mended:,} of {asked:,} table repairs helped"] if asked else []
        failed = [check.name for check in self.table_checks if not check.passed]
        parts += (
            [f"{len(failed)} of {len(self.table_checks)} table checks failed ({', '.join(failed)})"] if failed else []
        )
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON data, in the manifest's words."""
        return {
            "counts": {"in": self.records, "ok": self.ok, "quarantined": self.quarantined, "pending": self.pending},
            "reasons": dict(self.reasons),
            **({"human": self.human} if self.human else {}),
            **({"flagged": self.flagged} if self.flagged else {}),
            "requests": self.requests,
            "retries": self.retries,
            "ambiguous": self.ambiguous,
            "unmetered": self.unmetered,
            "tokens": {"input": self.input_tokens, "output": self.output_tokens},
            "cost_usd": self.cost_usd,
            **({"efforts": self.efforts.rows} if self.efforts else {}),
            "seconds": round(self.seconds, 3),
            "losses": list(self.losses),
            "relaxed": list(self.relaxed),
            "table_checks": [check.as_dict() for check in self.table_checks],
            "stopped": self.stopped,
        }

    def _repr_html_(self) -> str:
        """A summary for notebooks: a bar of ok, quarantined and pending, the figures, the reasons."""
        whole = max(1, self.records)
        parts = [
            ("ok", self.ok, "#2e7d32"),
            ("quarantined", self.quarantined, "#c62828"),
            ("pending", self.pending, "#9e9e9e"),
        ]
        bar = "".join(
            f'<span title="{name} {number}" style="display:inline-block;height:12px;width:{number / whole * 320:.1f}px;'
            f'background:{colour}"></span>'
            for name, number, colour in parts
            if number
        )
        rows = "".join(
            f"<tr><td style='text-align:left'>{html.escape(code)}</td><td>{number:,}</td></tr>"
            for code, number in self.reasons.items()
        )
        table = f"<table><tr><th style='text-align:left'>reason</th><th>records</th></tr>{rows}</table>" if rows else ""
        return f"<div><div>{bar}</div><p>{html.escape(self.line)} · {self.seconds:.1f} s</p>{table}</div>"


def of_which(human: int, flagged: int) -> str:
    """How many of the rows people filled in, and how many are doubtful, for people."""
    words = [f"{human:,} by hand"] if human else []
    words += [f"{flagged:,} flagged"] if flagged else []
    return f" ({', '.join(words)})" if words else ""


def is_flagged(outcome: Outcome) -> bool:
    """Whether it is a row whose flags tell of a doubt, and not only of what it went through."""
    return outcome.ok and any(map(_is_doubt, outcome.flags))


def _is_doubt(flag: str) -> bool:
    """Such as `semantic.between:$.total`, `evidence.nulled:$.total`, `low_confidence:$.total`, `untrusted.encoded`."""
    return flag.startswith("untrusted.") or (":$" in flag and flag.partition(":")[0] not in _NO_DOUBTS)


def unsure_words(ambiguous: int, unmetered: int) -> list[str]:
    """What of the account is not certain, for people."""
    words = [f"{ambiguous:,} without an answer that may be billed"] if ambiguous else []
    return words + ([f"{unmetered:,} answers without a count of tokens"] if unmetered else [])


@dataclass(slots=True)
class Tally:
    """The running count behind a report; subscribers read it while the run goes on."""

    records: int
    begun_with: int = 0  # done by an earlier run
    replayed: int = 0  # judged anew from the journal, without a call
    ok: int = 0
    human: int = 0
    flagged: int = 0
    quarantined: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    retries: int = 0
    ambiguous: int = 0
    unmetered: int = 0
    usage: Usage = Usage()
    cost_usd: float | None = None
    relaxed: tuple[str, ...] = ()  # what the wire schema has given up
    rungs: tuple[int, ...] = ()  # how far each request of a record is relaxed
    efforts: Efforts = field(default_factory=Efforts)
    table_checks: tuple[TableFinding, ...] = ()  # made when all records have their outcome
    started: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        return self.ok + self.quarantined

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def account(self) -> dict[str, Any]:
        """Calls, tokens, money and time, by the names that they have in a report."""
        return {
            "requests": self.requests,
            "retries": self.retries,
            "input_tokens": self.usage.input_tokens,
            "output_tokens": self.usage.output_tokens,
            "cost_usd": self.cost_usd,
            "seconds": self.seconds,
            "ambiguous": self.ambiguous,
            "unmetered": self.unmetered,
        }

    def count(self, outcome: Outcome, *, replayed: bool = False) -> None:
        """One more record judged; `replayed`: its answer was there already."""
        self.replayed += replayed
        for effort in outcome.efforts:
            self.efforts.add(effort)
        if outcome.ok:
            self.ok += 1
            self.human += outcome.is_human
            self.flagged += is_flagged(outcome)
        else:
            self.quarantined += 1
            self.reasons[outcome.issues[0].code] += 1

    def answered(self, usage: Usage, cost_usd: float | None, *, retry: bool, unmetered: bool | None = None) -> None:
        """One more call was answered; `unmetered`: it does not say what it used, None: when that is nothing."""
        self.requests += 1
        self.retries += retry
        self.unmetered += usage == Usage() if unmetered is None else unmetered
        self.usage += usage
        if cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + cost_usd

    def failed(self, *, retry: bool, may_be_billed: bool) -> None:
        """One more call got no answer, or an error for one."""
        self.requests += 1
        self.retries += retry
        self.ambiguous += may_be_billed


OnProgress = Callable[[Tally], None]  # hears of the running count after each record and each failed call


def by_number(reasons: Mapping[str, int]) -> dict[str, int]:
    """Reasons, the most frequent first, equal ones by name."""
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
