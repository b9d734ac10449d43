"""A survey as JSON data and in words, with what stands in the way of a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from extract.dialects import settled, undocumented
from extract.pipeline import Prepared
from extract.prices import unpriced
from extract.survey.estimate import Estimate, lines_of
from extract.survey.looking import Survey, estimated, looked, rounds_at_most


def survey(prepared: Prepared, journal_path: Path | None, account: str | None = None) -> dict[str, Any]:
    """The survey as JSON data. A journal tells which requests have their answers already, and what these used.

    `account`: of the run directory, for which other requests may answer. Raises InputError.
    """
    scan = prepared.source.scan()
    return _as_data(looked(prepared, journal_path, account), scan.count)


def _as_data(found: Survey, records: int) -> dict[str, Any]:
    prepared, model = found.prepared, found.prepared.pipeline.model
    tokens, _ = found.input_tokens
    estimate = estimated(found)
    cost = estimate.cost_usd
    return {
        "warnings": [
            *_warnings(prepared, model.cost_usd(tokens, 0)),
            *_estimate_warnings(found, estimate),
        ],
        "source": prepared.source.label,
        "records": records,
        "requests": len(found.asked),
        "requests_per_record": len(prepared.questions),
        "rounds_per_record_at_most": rounds_at_most(prepared.toolbox),
        "tools": [str(each["function"]["name"]) for each in prepared.toolbox.declarations],
        "answered": found.answered,
        "quarantined_unasked": [
            {"key": key, "reason": issue.code, "message": issue.message} for key, issue in found.unaskable
        ],
        "input_tokens_estimate": tokens,
        "output_tokens_at_most": found.output_tokens,
        "cost_usd_estimate": [cost.low, cost.high] if cost else [None, None],
        "cost_unknown": None if cost else _why_unknown(prepared),
        "estimate": estimate.as_dict(),
        "model": prepared.model_name,
        "endpoint": "local" if prepared.endpoint.is_local else prepared.endpoint.base_url,
        "schema_size": asdict(prepared.schema.size),
        "losses": list(prepared.losses()),
        "first_request": from_json(found.first.body) if found.first else None,
    }


def _why_unknown(prepared: Prepared) -> str:
    """Why no cost can be told."""
    endpoint = "local" if prepared.endpoint.is_local else prepared.endpoint.base_url
    models = [(tier.name, tier.model) for tier in prepared.tiers]
    return unpriced(endpoint, models, prepared.pipeline.prices)


def _warnings(prepared: Prepared, low: float | None) -> list[str]:
    """What stands in the way of a run; `low`: the least that it costs, in USD."""
    found = [] if prepared.endpoint.is_set else ["no endpoint is set: a run would be refused"]
    cap = prepared.pipeline.limits.max_cost_usd
    if cap is not None and low is not None and low > cap:
        found.append(f"the input alone costs more than limits.max_cost_usd ({cap}): the run would stop before its end")
    return [*found, *_dialect_warnings(prepared), *_schema_warnings(prepared)]


def _estimate_warnings(found: Survey, estimate: Estimate) -> list[str]:
    """What the estimate does not know, and where it stands above a cap."""
    pipeline, cost = found.prepared.pipeline, estimate.cost_usd
    cap = pipeline.limits.max_cost_usd
    warnings = []
    if found.first and found.first.media and not estimate.answers:
        warnings.append("files are guessed at 1,000 tokens each, which may be far off: --sample asks some, and tells")
    if cap is not None and cost and cost.expected is not None and cost.expected > cap:
        warnings.append(
            f"about {cost.expected:.4f} USD are expected, more than limits.max_cost_usd ({cap}): the run would stop "
            "before its end"
        )
    return warnings


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
    lines = [
        f"{found['source']}: {found['records']:,} records",
        f"{found['requests']:,} requests to {found['model']} at {found['endpoint']}; "
        f"{found['answered']:,} records need none",
        *_rounds_line(found),
        _size_line(found),
        *(lines_of(found["estimate"], found["cost_unknown"]) if found["requests"] else ["nothing is left to pay"]),
    ]
    return "\n".join(lines)


def _losses_line(number: int) -> str:
    if not number:
        return "every constraint of the schema is on the wire"
    said = (
        "1 constraint is not on the wire and is"
        if number == 1
        else f"{number:,} constraints are not on the wire and are"
    )
    return f"{said} checked locally (extract schema shows them)"


def survey_text(found: dict[str, Any]) -> str:
    """The survey for people."""
    unasked = found["quarantined_unasked"]
    lines = [
        *(f"warning: {text}" for text in found["warnings"]),
        plan_text(found),
        f"{len(unasked):,} records go to the quarantine without a request",
        *(f"  {item['key']}: {item['reason']}: {item['message']}" for item in unasked[:10]),
        *([f"  … and {len(unasked) - 10:,} more"] if len(unasked) > 10 else []),
        _losses_line(len(found["losses"])),
    ]
    return "\n".join(lines)
