"""What a run would ask and may cost: every record looked at, every request built, nothing sent."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from extract.dialects import settled, undocumented
from extract.journal import Answer, Journal
from extract.ladder import Climb, Ladder
from extract.pipeline import Prepared
from extract.records import ChatRequest, Issue, Record
from extract.requests import Unaskable, estimated_tokens
from extract.tools import Toolbox, first_round


@dataclass
class _Survey:
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

    def __post_init__(self) -> None:
        questions = enumerate(self.prepared.questions)
        self._ladders = [Ladder(each, number, looks_down=self.looks_down) for number, each in questions]

    def look(self, record: Record) -> None:
        """Count what one record asks that no record before it did, and no journal answers."""
        try:
            steps = [Climb(ladder, record).look(self.lookup) for ladder in self._ladders]
        except Unaskable as error:
            self.unaskable.append((record.key, error.issue))
            return
        self.first = self.first or self._opening(steps[0].request)
        missing = {step.request.hash: step.request for step in steps if step.answer is None}
        fresh = {name: request for name, request in missing.items() if name not in self.asked}
        self.answered += not fresh
        self.asked |= fresh.keys()
        self.tokens += sum(map(estimated_tokens, fresh.values()))
        if not self.prepared.toolbox.is_empty:
            before = map(self._opening, fresh.values())
            self.rounds |= {request.hash: estimated_tokens(request) for request in before}

    def _opening(self, request: ChatRequest) -> ChatRequest:
        toolbox = self.prepared.toolbox
        return request if toolbox.is_empty else first_round(request, toolbox)

    @property
    def input_tokens(self) -> tuple[int, int]:
        """Estimated: at least, with one round a record, and with all rounds that it may take."""
        first = sum(self.rounds.values())
        more = (_rounds_at_most(self.prepared.toolbox) - 1) * first  # the prompt goes with every round
        return self.tokens + first, self.tokens + first + more

    @property
    def output_tokens(self) -> int:
        """At most."""
        requests = len(self.asked) + _rounds_at_most(self.prepared.toolbox) * len(self.rounds)
        return requests * self.prepared.pipeline.model.max_tokens


def survey(prepared: Prepared, journal_path: Path | None) -> dict[str, Any]:
    """The survey as JSON data; a journal tells which requests have their answers already. Raises InputError."""
    scan = prepared.source.scan()
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(journal_path)) if journal_path else None
        found = _Survey(
            prepared, journal.lookup if journal else _nothing, journal is not None and journal.has_relaxed()
        )
        for record in prepared.source.records():
            found.look(record)
    return _as_data(found, scan.count)


def _as_data(found: _Survey, records: int) -> dict[str, Any]:
    prepared, model = found.prepared, found.prepared.pipeline.model
    tokens, most_tokens = found.input_tokens
    return {
        "warnings": _warnings(prepared, model.cost_usd(tokens, 0)),
        "source": prepared.source.label,
        "records": records,
        "requests": len(found.asked),
        "requests_per_record": len(prepared.questions),
        "rounds_per_record_at_most": _rounds_at_most(prepared.toolbox),
        "tools": [str(each["function"]["name"]) for each in prepared.toolbox.declarations],
        "answered": found.answered,
        "quarantined_unasked": [
            {"key": key, "reason": issue.code, "message": issue.message} for key, issue in found.unaskable
        ],
        "input_tokens_estimate": tokens,
        "output_tokens_at_most": found.output_tokens,
        "cost_usd_estimate": [model.cost_usd(tokens, 0), model.cost_usd(most_tokens, found.output_tokens)],
        "model": prepared.model_name,
        "endpoint": "local" if prepared.endpoint.is_local else prepared.endpoint.base_url,
        "schema_size": asdict(prepared.schema.size),
        "losses": list(prepared.losses()),
        "first_request": from_json(found.first.body) if found.first else None,
    }


def _rounds_at_most(toolbox: Toolbox) -> int:
    """How many requests may go before those for the record itself."""
    if toolbox.is_empty:
        return 0
    return 1 if toolbox.search else toolbox.rounds


def _nothing(_: str) -> Answer | None:
    """What a journal holds that is not there."""
    return None


def _warnings(prepared: Prepared, low: float | None) -> list[str]:
    """What stands in the way of a run; `low`: the least that it costs, in USD."""
    found = [] if prepared.endpoint.is_set else ["no endpoint is set: a run would be refused"]
    cap = prepared.pipeline.limits.max_cost_usd
    if cap is not None and low is not None and low > cap:
        found.append(f"the input alone costs more than limits.max_cost_usd ({cap}): the run would stop before its end")
    return [*found, *_dialect_warnings(prepared), *_schema_warnings(prepared)]


def _dialect_warnings(prepared: Prepared) -> list[str]:
    """What is set that the endpoint may refuse or pass over; the local model takes whatever we have."""
    names = undocumented(prepared.build.dialect, prepared.pipeline.model)
    if not names or prepared.endpoint.is_local:
        return []
    said = ", ".join(f"model.{name}" for name in names)
    dialect = settled(prepared.endpoint).dialect
    return [
        f"the page of the dialect {dialect} does not have {said}: sent all the same, extract probe shows the effect"
    ]


def _schema_warnings(prepared: Prepared) -> list[str]:
    """Why the endpoint may refuse the schema of a request."""
    found = []
    for question in prepared.questions:
        of_part = f" of {', '.join(question.part.names)}" if question.part else ""
        found += [f"the schema{of_part} has {text}" for text in question.build.schema.warnings]
    return found


def _size_line(found: dict[str, Any]) -> str:
    size, each = found["schema_size"], found["requests_per_record"]
    said = f"a schema of {size['properties']:,} properties, {size['bytes']:,} bytes, about {size['states']:,} states"
    return f"{said}, asked for in {each} requests a record" if each > 1 else said


def _rounds_line(found: dict[str, Any]) -> list[str]:
    """What goes before the record, if anything, and how many requests that makes."""
    each, most, tools = found["requests_per_record"], found["rounds_per_record_at_most"], ", ".join(found["tools"])
    if not most:
        return []
    count = f"{each + 1}" if most == 1 else f"{each + 1} to {each + most}"
    rounds = "a round" if most == 1 else f"up to {most} rounds"
    beyond = "" if most == 1 else "; what the functions give back is not in the estimate"
    return [f"{count} requests a record: {rounds} with {tools}, then the record{beyond}"]


def plan_text(found: dict[str, Any]) -> str:
    """What would be asked and what it may cost, for people."""
    low, high = found["cost_usd_estimate"]
    lines = [
        f"{found['source']}: {found['records']:,} records",
        f"{found['requests']:,} requests to {found['model']} at {found['endpoint']}; "
        f"{found['answered']:,} records need none",
        f"about {found['input_tokens_estimate']:,} input tokens, "
        f"at most {found['output_tokens_at_most']:,} output tokens",
        *_rounds_line(found),
        _size_line(found),
        f"between {low:.4f} and {high:.4f} USD" if low is not None else "cost unknown: the model has no prices set",
    ]
    return "\n".join(lines)


def survey_text(found: dict[str, Any]) -> str:
    """The survey for people."""
    unasked = found["quarantined_unasked"]
    lines = [
        *(f"warning: {text}" for text in found["warnings"]),
        plan_text(found),
        f"{len(unasked):,} records go to the quarantine without a request",
        *(f"  {item['key']}: {item['reason']}: {item['message']}" for item in unasked[:10]),
        *([f"  … and {len(unasked) - 10:,} more"] if len(unasked) > 10 else []),
        f"{len(found['losses'])} constraints are not on the wire and are checked locally (extract schema shows them)",
    ]
    return "\n".join(lines)
