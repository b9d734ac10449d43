"""Completion → strict JSON → read back → spans → JSON Schema → model → cells → semantic checks → `Outcome`. Pure."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from extract.checks import Check, FieldCheck, run_check
from extract.parse import ParseError
from extract.records import Completion, Issue, Outcome, Record
from extract.salvage import Answer, Root, read_answer
from extract.schema import CompiledSchema, Misfit, Reading, places
from extract.schema.wrapping import WRAPPED
from extract.verbatim import UnreadableSpan, Verbatim, read, supporter

TOOL_CALL = "the model calls a tool where its answer was asked for"

# finish_reason → (code, message); anything but "stop" is no whole answer
_UNFINISHED = {
    "length": ("output.truncated", "the answer was cut at max_tokens; raise model.max_tokens"),
    "content_filter": ("policy.content_filter", "the provider's filter ended the answer"),
    "loop": ("output.loop", "the answer went round in circles and was broken off"),
    "error": ("output.error", "the provider broke the answer off with an error"),
    "tool_calls": ("output.tool_call", TOOL_CALL),
    "function_call": ("output.tool_call", TOOL_CALL),
}
_ALL_THOUGHTS = (
    "max_tokens was used up before the answer began; thoughts count too: "
    "raise model.max_tokens, or lower model.reasoning_effort"
)


@dataclass(frozen=True)
class Judge:
    """Judges the answers of one pipeline; built once, called once a record."""

    schema: CompiledSchema
    checks: Sequence[Check]
    text_columns: Sequence[str]  # where verbatim fields look
    mend_json: bool = False  # mend what is nearly JSON

    @cached_property
    def root(self) -> Root:
        """What tells the answer from other JSON."""
        return root_of(self.schema)

    @cached_property
    def is_plain(self) -> bool:
        """Whether an answer is judged as it stands: nothing on the wire is rewritten or chosen."""
        return self.schema.is_plain and not self.schema.bindings

    def __call__(self, record: Record, completion: Completion) -> Outcome:
        """The outcome of one answer: a row, or the issues of the first stage that found any."""
        flags, row = completion.flags, None
        issues: Sequence[Issue]
        answer = answer_of(completion, self.root, mend_json=self.mend_json)
        if isinstance(answer, Issue):
            issues = (answer,)
        else:
            row, issues, noted = self._judge_value(record, answer.value)
            if answer.flags or noted:
                flags = (*flags, *answer.flags, *noted)
        return Outcome(record, tuple(issues), row, completion, flags=flags, raw=completion.content)

    def _judge_value(self, record: Record, answer: Any) -> tuple[dict[str, Any] | None, Sequence[Issue], Sequence[str]]:
        """Row, issues, and flags of the row; where there are issues, there is neither row nor flag."""
        schema, reading = self.schema, None
        issues: list[Issue] = []
        if not self.is_plain:
            answer, issues, reading = self._read_back(record, answer)
        issues = issues or schema.verdict.issues(answer)
        if issues:
            return None, issues, ()
        try:
            instance = schema.instance(answer, reading, {"record": record})
        except Misfit as misfit:
            return None, misfit.issues, ()
        row, issues, flags = schema.tabulator(instance)
        if self.checks and not issues:
            issues = self._semantic_issues(instance, record)
        return (None, issues, ()) if issues else (row, (), flags)

    def _read_back(self, record: Record, answer: Any) -> tuple[Any, list[Issue], Reading]:
        reading = Reading()
        found = self.schema.form.from_wire(answer, "$", reading)
        return found, reading.issues + self._read_spans(record, found), reading

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


def root_of(schema: CompiledSchema) -> Root:
    """What tells an answer of this schema from other JSON."""
    holds_list = schema.wrapped and "array" in schema.wire_schema["properties"][WRAPPED].get("type", ())
    return Root.of(schema.wire_schema, schema.json_schema, WRAPPED if holds_list else None)


def answer_of(completion: Completion, root: Root, *, mend_json: bool = False) -> Answer | Issue:
    """The JSON of a completion, and what was salvaged; or why it is no answer. The same each time."""
    content = completion.content
    if (completion.finish_reason != "stop" or completion.refusal or not content or content.isspace()) and (
        issue := _unfinished(completion)
    ):
        return issue
    try:
        return read_answer(content or "", root, mend_json=mend_json)
    except ParseError as error:
        return error.issue


def _unfinished(completion: Completion) -> Issue | None:
    reason = completion.finish_reason
    if completion.refusal:
        return Issue("request", "policy.refusal", "$", "the model refused to answer", completion.refusal)
    if reason == "stop":
        return None if completion.content and completion.content.strip() else _empty(completion)
    code, message = _UNFINISHED.get(reason or "", ("output.finish_reason", f"finish_reason is {reason!r}"))
    if reason == "length" and not (completion.content or "").strip():
        message = _ALL_THOUGHTS
    value = _called(completion) if code == "output.tool_call" else reason
    return Issue("parse", code, "$", message, value or reason)


def _empty(completion: Completion) -> Issue:
    if completion.tool_calls:
        return Issue("parse", "output.tool_call", "$", TOOL_CALL, _called(completion))
    return Issue("parse", "output.empty", "$", "the answer is empty")


def _called(completion: Completion) -> str:
    return ", ".join(call.name for call in completion.tool_calls)[:80]
