"""What a run would ask and may cost: every record looked at, every request built, nothing sent."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from pydantic_core import from_json

from extract.journal import Answer, Journal
from extract.ladder import Climb, Ladder
from extract.pipeline import Prepared
from extract.records import ChatRequest, Issue
from extract.requests import Unaskable, estimated_tokens
from extract.tools import Toolbox, _Work


def survey(prepared: Prepared, journal_path: Path | None) -> dict[str, Any]:
    """The survey as JSON data; a journal tells which requests have their answers already. Raises InputError."""
    scan = prepared.source.scan()
    answered = tokens = 0
    asked: set[str] = set()
    rounds: dict[str, int] = {}  # the first of each record: hash and tokens
    toolbox = prepared.toolbox
    unaskable: list[tuple[Any, Issue]] = []
    first: dict[str, Any] | None = None
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(journal_path)) if journal_path else None
        lookup = journal.lookup if journal else _nothing
        looks_down = journal is not None and journal.has_relaxed()
        ladders = [Ladder(each, number, looks_down=looks_down) for number, each in enumerate(prepared.questions)]
        for record in prepared.source.records():
            try:
                steps = [Climb(ladder, record).look(lookup) for ladder in ladders]
            except Unaskable as error:
                unaskable.append((record.key, error.issue))
                continue
            if first is None:
                opening = steps[0].request if toolbox.is_empty else _first_round(steps[0].request, toolbox)
                first = from_json(opening.body)
            fresh = {step.request.hash: step.request for step in steps if step.answer is None}
            answered += not fresh.keys() - asked
            tokens += sum(estimated_tokens(fresh[name]) for name in fresh.keys() - asked)
            if not toolbox.is_empty:
                before = [_first_round(fresh[name], toolbox) for name in fresh.keys() - asked]
                rounds |= {request.hash: estimated_tokens(request) for request in before}
            asked |= fresh.keys()
    model = prepared.pipeline.model
    per_record = _rounds_at_most(toolbox)
    tokens += sum(rounds.values())
    more = (per_record - 1) * sum(rounds.values())  # the prompt goes with every round
    most = (len(asked) + per_record * len(rounds)) * model.max_tokens
    cap = prepared.pipeline.limits.max_cost_usd
    low = model.cost_usd(tokens, 0)
    warnings = [] if prepared.endpoint.is_set else ["no endpoint is set: a run would be refused"]
    if cap is not None and low is not None and low > cap:
        warnings.append(
            f"the input alone costs more than limits.max_cost_usd ({cap}): the run would stop before its end"
        )
    warnings += _schema_warnings(prepared)
    return {
        "warnings": warnings,
        "source": prepared.source.label,
        "records": scan.count,
        "requests": len(asked),
        "requests_per_record": len(prepared.questions),
        "rounds_per_record_at_most": per_record,
        "tools": [str(each["function"]["name"]) for each in toolbox.declarations],
        "answered": answered,
        "quarantined_unasked": [
            {"key": key, "reason": issue.code, "message": issue.message} for key, issue in unaskable
        ],
        "input_tokens_estimate": tokens,
        "output_tokens_at_most": most,
        "cost_usd_estimate": [model.cost_usd(tokens, 0), model.cost_usd(tokens + more, most)],
        "model": prepared.model_name,
        "endpoint": "local" if prepared.endpoint.is_local else prepared.endpoint.base_url,
        "schema_size": asdict(prepared.schema.size),
        "losses": list(prepared.losses()),
        "first_request": first,
    }


def _rounds_at_most(toolbox: Toolbox) -> int:
    """How many requests may go before those for the record itself."""
    if toolbox.is_empty:
        return 0
    return 1 if toolbox.search else toolbox.rounds


def _first_round(request: ChatRequest, toolbox: Toolbox) -> ChatRequest:
    """The request that goes first, with the tools; it is only looked at, so there is nobody to send it."""
    nobody = cast("Any", None)
    return _Work(nobody, toolbox, nobody, nobody, request, from_json(request.body)).round()


def _nothing(_: str) -> Answer | None:
    """What a journal holds that is not there."""
    return None


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


def survey_text(found: dict[str, Any]) -> str:
    """The survey for people."""
    low, high = found["cost_usd_estimate"]
    unasked = found["quarantined_unasked"]
    lines = [
        *(f"warning: {text}" for text in found["warnings"]),
        f"{found['source']}: {found['records']:,} records",
        f"{found['requests']:,} requests to {found['model']} at {found['endpoint']}; "
        f"{found['answered']:,} records need none",
        f"about {found['input_tokens_estimate']:,} input tokens, "
        f"at most {found['output_tokens_at_most']:,} output tokens",
        *_rounds_line(found),
        _size_line(found),
        f"between {low:.4f} and {high:.4f} USD" if low is not None else "cost unknown: the model has no prices set",
        f"{len(unasked):,} records go to the quarantine without a request",
        *(f"  {item['key']}: {item['reason']}: {item['message']}" for item in unasked[:10]),
        *([f"  … and {len(unasked) - 10:,} more"] if len(unasked) > 10 else []),
        f"{len(found['losses'])} constraints are not on the wire and are checked locally (extract schema shows them)",
    ]
    return "\n".join(lines)
