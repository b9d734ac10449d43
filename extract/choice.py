"""Which records of a finished run are asked again, and what that takes: chosen by reason and key from the quarantine.

A request is what is asked again, so a record is left out when rows that are to stay rest on the same request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Any

from extract.errors import ConfigError
from extract.nearest import did_you_mean
from extract.pipeline import Prepared
from extract.prices import unpriced
from extract.records import ChatRequest, Key, Outcome, Record
from extract.report import by_number
from extract.requests import RequestBuilder, Unaskable, estimated_tokens
from extract.sinks import ShardWriter
from extract.sinks.former import Quarantined, quarantined, requests_of_rows


@dataclass(frozen=True)
class Choice:
    """The chosen records, by key with the hashes of their requests, and why others were left out."""

    rows: dict[Key, tuple[str, ...]]
    why: dict[Key, str]  # the reason of each
    quarantined: int = 0  # all of them
    unaskable: int = 0  # chosen, but no request could ever be made for them
    sharing: int = 0  # chosen, but rows that stay rest on the same request

    @property
    def reasons(self) -> dict[str, int]:
        """How many are chosen for each reason."""
        return by_number(Counter(self.why[key] for key in self.rows))


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
            f"between {low:.4f} and {high:.4f} USD" if low is not None else unpriced(self.endpoint),
        ]
        if choice.unaskable:
            lines.append(f"{choice.unaskable:,} have no request, and cannot be asked: mend the source or the prompt")
        if choice.sharing:
            lines.append(f"{choice.sharing:,} are left: rows that stay rest on the same request")
        return "\n".join(lines)


@dataclass(frozen=True)
class AgainBuilder(RequestBuilder):
    """Makes the same requests under names of their own, so that an answer that is there already does not count."""

    turn: str = ""

    def _scope(self, record: Record) -> str:
        return f"{super()._scope(record)} again {self.turn}"


def again(prepared: Prepared, turn: str) -> Prepared:
    """What asks anew, each request once in this turn."""

    def named(build: RequestBuilder) -> RequestBuilder:
        given = {each.name: getattr(build, each.name) for each in fields(RequestBuilder)}
        return AgainBuilder(**given, turn=turn)

    questions = tuple(replace(question, build=named(question.build)) for question in prepared.questions)
    return replace(prepared, build=named(prepared.build), questions=questions)


def in_place_of(
    prepared: Prepared, asked: Prepared, requests: Sequence[str], outcome: Outcome
) -> list[tuple[str, str]]:
    """A record's requests and what was asked instead of each: questions and votes. Repairs are the run's own."""
    others, count = (outcome.request or "").split(), len(asked.questions)
    votes, again = (_votes(each, outcome.record, names[0]) for each, names in ((prepared, requests), (asked, others)))
    return [*zip(requests[:count], others[:count], strict=True), *zip(votes, again, strict=False)]


def _votes(prepared: Prepared, record: Record, first: str) -> list[str]:
    """The names of the requests that vote beside the first one, whose name this is."""
    if prepared.voting is None:
        return []
    with suppress(Unaskable):  # a file is gone since
        for rung, build in enumerate(prepared.questions[0].builders):
            if build(record).hash == first:
                return [request.hash for request in prepared.voting.requests(build, rung, record)]
    return []


def choose(writer: ShardWriter, reasons: Sequence[str] = (), keys: Sequence[Key] = ()) -> Choice:
    """The quarantined records with one of these reasons (patterns such as `schema.*`) and one of these keys.

    None given: all. Raises ConfigError for a reason or a key that no quarantined record has.
    """
    wanted = _Wanted(tuple(reasons), {str(key) for key in keys})
    found: dict[Key, tuple[str, ...]] = {}
    why: dict[Key, str] = {}
    kept: list[tuple[str, ...]] = []
    total = unaskable = 0
    for row in quarantined(writer):
        total += 1
        if not wanted.has(row):
            kept.append(row.requests)
        elif row.requests:
            found[row.key], why[row.key] = row.requests, row.reason
        else:
            unaskable += 1
    wanted.check()
    left = _sharing(found, writer, kept)
    rows = {key: requests for key, requests in found.items() if key not in left}
    return Choice(rows, why, total, unaskable, len(left))


@dataclass
class _Wanted:
    """What was asked for, and what of it was seen."""

    reasons: tuple[str, ...]
    keys: set[str]
    _codes: set[str] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)

    def has(self, row: Quarantined) -> bool:
        self._codes.add(row.reason)
        if self.keys:
            if str(row.key) not in self.keys:
                return False
            self._seen.add(str(row.key))
        return not self.reasons or any(fnmatchcase(row.reason, each) for each in self.reasons)

    def check(self) -> None:
        """Raises ConfigError for what was asked for and is not there."""
        for each in self.reasons:
            if self._codes and not any(fnmatchcase(code, each) for code in self._codes):
                raise ConfigError(
                    f"no quarantined record has the reason {each!r}", hint=did_you_mean(each, sorted(self._codes))
                )
        for key in sorted(self.keys - self._seen):
            raise ConfigError(f"the quarantine has no record {key!r}", hint="keys are those of its column `key`")


def _sharing(found: Mapping[Key, tuple[str, ...]], writer: ShardWriter, kept: Sequence[tuple[str, ...]]) -> set[Key]:
    """The records whose requests rows that stay rest on too."""
    named = {request for requests in found.values() for request in requests}
    staying = {request for request in requests_of_rows(writer) if request in named}
    return _resting_on(found, staying | {request for requests in kept for request in requests if request in named})


def _resting_on(found: Mapping[Key, tuple[str, ...]], requests: Set[str]) -> set[Key]:
    """The records that rest on these requests, and those that share a request with them, and so on."""
    if not requests:
        return set()
    owners: dict[str, list[Key]] = {}
    for key, own in found.items():
        for request in own:
            owners.setdefault(request, []).append(key)
    waiting, left = list(requests), set[Key]()
    while waiting:
        for key in owners.pop(waiting.pop(), ()):
            if key not in left:
                left.add(key)
                waiting += found[key]
    return left


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
    return Plan(choice, each * len(left), given, most, costs, asked.model_name, endpoint)


def _without(choice: Choice, mute: Set[str], clashing: Set[str]) -> Choice:
    """The choice without those who cannot be asked, or not together."""
    unaskable = _resting_on(choice.rows, mute)
    sharing = _resting_on(choice.rows, clashing) - unaskable
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
