"""Completion → strict JSON → read back → spans → JSON Schema → model → cells → semantic checks → `Outcome`. Pure."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from extract.checks import Check, FieldCheck, run_check
from extract.parse import ParseError, parse_json
from extract.records import Completion, Issue, Outcome, Record
from extract.schema import CompiledSchema, Misfit, Reading, places
from extract.verbatim import UnreadableSpan, Verbatim, read, supporter

# finish_reason → (code, message); anything but "stop" is no whole answer
_UNFINISHED = {
    "length": ("output.truncated", "the answer was cut at max_tokens; raise model.max_tokens"),
    "content_filter": ("policy.content_filter", "the provider's filter ended the answer"),
}


@dataclass(frozen=True)
class Judge:
    """Judges the answers of one pipeline; built once, called once a record."""

    schema: CompiledSchema
    checks: Sequence[Check]
    text_columns: Sequence[str]  # where verbatim fields look

    def __call__(self, record: Record, completion: Completion) -> Outcome:
        """The outcome of one answer: a row, or the issues of the first stage that found any."""
        outcome = Outcome(record=record, completion=completion, raw=completion.content)
        if issue := _unfinished(completion):
            return replace(outcome, issues=(issue,))
        try:
            answer = parse_json(completion.content or "")
        except ParseError as error:
            return replace(outcome, issues=(error.issue,))
        return self._judge_answer(outcome, answer)

    def _judge_answer(self, outcome: Outcome, answer: Any) -> Outcome:
        reading = Reading()
        found = self.schema.form.from_wire(answer, "$", reading)
        issues = reading.issues + self._read_spans(outcome.record, found) or self.schema.verdict.issues(found)
        if issues:
            return replace(outcome, issues=tuple(issues))
        try:
            instance = self.schema.instance(found, reading, {"record": outcome.record})
        except Misfit as misfit:
            return replace(outcome, issues=tuple(misfit.issues))
        row, issues, flags = self.schema.tabulator(instance)
        issues = issues or self._semantic_issues(instance, outcome.record)
        if issues:
            return replace(outcome, issues=tuple(issues))
        return replace(outcome, row=row, flags=tuple(flags))

    def _read_spans(self, record: Record, answer: Any) -> list[Issue]:
        """Put the read value in place of each chosen span; in place, since the answer is ours."""
        issues: list[Issue] = []
        for path, shape in self.schema.bindings:
            mark: Verbatim = shape.verbatim  # type: ignore[assignment]  # bindings have one
            supported = supporter(mark, record, self.text_columns, shape.target)
            for holder, step, place in places(answer, path):
                found = holder[step]
                if not isinstance(found, str | int | Decimal) or isinstance(found, bool):
                    continue  # null, or a wrong type that the schema check names
                if not isinstance(found, str) and shape.kind in ("str", "date"):
                    continue
                try:
                    value = read(mark, found, shape.target) if isinstance(found, str) else found
                except UnreadableSpan as error:
                    issues.append(Issue("schema", error.code, place, str(error), found))
                    continue
                holder[step] = value
                if not supported(value):
                    message = "the value does not stand in the record"
                    issues.append(Issue("semantic", "semantic.verbatim", place, message, found))
        return issues

    def _semantic_issues(self, instance: Any, record: Record) -> list[Issue]:
        issues: list[Issue] = []
        for check in self.checks:
            value = instance if isinstance(check, FieldCheck) else self.schema.unwrapped(instance)
            try:
                issues += run_check(check, value, record)
            except Exception:  # a check is the user's code; its fault is reported with the record, the run goes on
                trace = traceback.format_exc(limit=-3)
                issues.append(Issue("semantic", "check.error", "$", f"the check raised: {trace}"))
        return issues


def _unfinished(completion: Completion) -> Issue | None:
    if completion.refusal:
        return Issue("request", "policy.refusal", "$", "the model refused to answer", completion.refusal)
    if completion.finish_reason != "stop":
        code, message = _UNFINISHED.get(
            completion.finish_reason or "", ("output.finish_reason", f"finish_reason is {completion.finish_reason!r}")
        )
        return Issue("parse", code, "$", message, completion.finish_reason)
    if not completion.content or not completion.content.strip():
        return Issue("parse", "output.empty", "$", "the answer is empty")
    return None
