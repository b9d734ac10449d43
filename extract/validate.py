"""Completion → strict JSON → read back → spans → JSON Schema → model → cells → semantic checks → `Outcome`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property, partial
from typing import Any

from extract.checks import Check, Faults, FieldCheck, name_of, run_check
from extract.checks.faults import is_users
from extract.grounding import Grounding
from extract.parse import ParseError
from extract.records import Completion, Found, Issue, Outcome, Record, Severity
from extract.redaction import Redactor
from extract.salvage import Answer, Root, read_answer
from extract.schema import CompiledSchema, Misfit, Reading, places
from extract.schema.wrapping import WRAPPED
from extract.untrusted.policy import sings
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
_MODEL = -1  # among the checks that may raise: the validators of the model
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
    grounding: Grounding | None = None  # looks the values of the row up in the record
    redactor: Redactor | None = None  # puts back what was masked
    canary: str = ""  # of the system message, which no answer may hold
    mild: Sequence[Severity] = ("warn",)  # of issues that only flag the row
    faults: Faults = field(default_factory=Faults, repr=False, compare=False)  # of checks that raised

    @cached_property
    def root(self) -> Root:
        """What tells the answer from other JSON."""
        return root_of(self.schema)

    @cached_property
    def is_plain(self) -> bool:
        """Whether an answer is judged as it stands: nothing on the wire is rewritten or chosen."""
        return self.schema.is_plain and not self.schema.bindings

    def __call__(self, record: Record, completion: Completion) -> Outcome:
        """The outcome of one answer: a row, or the issues of the first stage that found any.

        Raises BrokenCheck, a RunStopped, when a check has raised for several records in a row.
        """
        flags, row = completion.flags, None
        issues: Sequence[Issue]
        answer = answer_of(completion, self.root, mend_json=self.mend_json)
        if self.canary and sings(self.canary, completion.content or ""):
            message = "the answer holds the mark of the system message, so the record may have steered the model"
            answer = Issue("semantic", "untrusted.canary", "$", message)
        if isinstance(answer, Issue):
            issues = (answer,)
        else:
            judge = self._judge_value if self.redactor is None else partial(self._judge_masked, completion.masks)
            row, issues, noted = judge(record, answer.value)
            if answer.flags or noted:
                flags = (*flags, *answer.flags, *noted)
        found: Sequence[Found] = ()
        if self.grounding is not None and row is not None:
            grounded = self.grounding(row, record)
            issues, excused = self._counting(grounded.issues)
            row, found, flags = grounded.row, grounded.found, (*flags, *grounded.flags, *excused)
        row = None if issues else row
        return Outcome(
            record, tuple(issues), row, completion, flags=flags, raw=completion.content, evidence=tuple(found)
        )

    def _judge_masked(
        self, masks: Sequence[tuple[str, str]], record: Record, answer: Any
    ) -> tuple[dict[str, Any] | None, Sequence[Issue], Sequence[str]]:
        """As `_judge_value`, of an answer in which placeholders stand for what was not sent."""
        assert self.redactor is not None  # noqa: S101  # only then is anything masked
        restored = self.redactor.restored(answer, masks)
        if restored.issues:
            return None, restored.issues, ()
        row, issues, flags = self._judge_value(record, restored.value)
        return row, issues, (*flags, "redact.altered") if restored.altered else flags

    def _judge_value(self, record: Record, answer: Any) -> tuple[dict[str, Any] | None, Sequence[Issue], Sequence[str]]:
        """Row, issues, and flags; where there are issues there is no row, and no flag but what checks warn of."""
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
        except Exception as error:  # a validator is the user's code, as a check is
            if not is_users(error):
                raise
            return None, [self.faults.raised(_MODEL, f"of the model {schema.name}", record.key, error)], ()
        if self.faults.streaks:
            self.faults.passed(_MODEL)
        row, issues, flags = schema.tabulator(instance)
        if not self.checks or issues:
            return (None, issues, ()) if issues else (row, (), flags)
        issues, warned = self._semantic_issues(instance, record)
        return (None, issues, warned) if issues else (row, (), (*flags, *warned))

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

    def _semantic_issues(self, instance: Any, record: Record) -> tuple[list[Issue], list[str]]:
        """What the checks find, and the flags of what they only warn of."""
        issues: list[Issue] = []
        flags: list[str] = []
        faults = self.faults
        for number, check in enumerate(self.checks):
            value = instance if isinstance(check, FieldCheck) else self.schema.unwrapped(instance)
            try:
                found = run_check(check, value, record)
            except Exception as error:  # a check is the user's code; its fault is told with the record, the run goes on
                issues.append(faults.raised(number, name_of(check), record.key, error))
                continue
            if faults.streaks:
                faults.passed(number)
            counting, excused = self._counting(found)
            issues += counting
            flags += excused
        return issues, flags

    def _counting(self, found: Sequence[Issue]) -> tuple[list[Issue], list[str]]:
        """The issues that keep a row out of the table, and the flags of the others."""
        if not found:
            return [], []
        flags = [f"{issue.code}:{issue.path}" for issue in found if issue.severity in self.mild]
        return [issue for issue in found if issue.severity not in self.mild], flags


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
