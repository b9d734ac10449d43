"""Completion → strict JSON → spans read → JSON Schema → model → cells → semantic checks → `Outcome`. Pure."""

from __future__ import annotations

import datetime as dt
import json
import re
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache, reduce
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError as SchemaViolation
from jsonschema.validators import extend
from pydantic import ValidationError
from pydantic_core import SchemaError, SchemaValidator, core_schema

from extract.checks import Check, run_check
from extract.parse import ParseError, parse_json
from extract.records import Completion, Issue, Outcome, Record, path_to
from extract.schema import CompiledSchema, places
from extract.schema.cells import cells_of
from extract.verbatim import UnreadableSpan, Verbatim, read, supporter

# finish_reason → (code, message); anything but "stop" is no whole answer
_UNFINISHED = {
    "length": ("output.truncated", "the answer was cut at max_tokens; raise model.max_tokens"),
    "content_filter": ("policy.content_filter", "the provider's filter ended the answer"),
}
MAX_ISSUES = 100  # of one answer; more tell nothing new
_FORMATS = FormatChecker(formats=())
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d"
_TIME = re.compile(rf"{_CLOCK}(:[0-5]\d(\.\d{{1,9}})?)?(Z|[+-]{_CLOCK})?", re.ASCII | re.IGNORECASE)


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
        issues = self._read_spans(outcome.record, answer) or self._schema_issues(answer)
        if issues:
            return replace(outcome, issues=tuple(issues))
        try:
            # lax, since JSON has no dates or enums to be strict about, and the schema has checked the JSON types
            instance = self.schema.model.model_validate(answer, strict=False, context={"record": outcome.record})
        except ValidationError as error:
            return replace(outcome, issues=tuple(_model_issues(error)))
        row, issues, flags = cells_of(self.schema.shape, instance)
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

    def _schema_issues(self, answer: Any) -> list[Issue]:
        errors = sorted(islice(self._validator.iter_errors(answer), MAX_ISSUES), key=lambda error: _order(error.path))
        return [_schema_issue(error) for error in errors]

    @cached_property
    def _validator(self) -> Any:
        return _Validator(_exact(self.schema.json_schema), format_checker=_FORMATS)

    def _semantic_issues(self, instance: Any, record: Record) -> list[Issue]:
        issues: list[Issue] = []
        for check in self.checks:
            try:
                issues += run_check(check, instance, record)
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


def _order(path: Iterable[int | str]) -> list[tuple[bool, int | str]]:
    """Items of a list by number: the 2nd before the 10th."""
    return [(isinstance(step, str), step) for step in path]


def _schema_issue(error: SchemaViolation) -> Issue:
    return Issue("schema", f"schema.{error.validator}", error.json_path, error.message[:500], _short(error.instance))


def _model_issues(error: ValidationError) -> list[Issue]:
    return [
        Issue("model", f"model.{item['type']}", _json_path(item["loc"]), item["msg"], _short(item["input"]))
        for item in error.errors(include_url=False, include_context=False)
    ]


def _json_path(steps: Iterable[int | str]) -> str:
    return reduce(path_to, steps, "$")


def _short(value: Any) -> Any:
    """The offending value, whole if small: the raw answer is kept beside it anyway."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return value if len(text) <= 500 else text[:500] + "…"


def _exact(node: Any) -> Any:
    """The schema with its fractions as Decimals, since answers carry Decimals (three times 0.1 is 0.3 then)."""
    if isinstance(node, dict):
        return {key: _exact(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_exact(item) for item in node]
    return Decimal(repr(node)) if isinstance(node, float) else node


def _is_integer(_: Any, value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, Decimal) and value == value.to_integral_value())


def _multiple_of(validator: Any, step: Any, value: Any, _: Any) -> Iterator[SchemaViolation]:
    """Exact for any size: the remainder of two Decimals fails beyond 28 digits."""
    if validator.is_type(value, "number") and Fraction(value) % Fraction(step) != 0:
        yield SchemaViolation(f"{value} is not a multiple of {step}")


def _pattern(validator: Any, pattern: str, value: Any, _: Any) -> Iterator[SchemaViolation]:
    """By Pydantic's engine, which takes linear time; what it cannot read is left to the model."""
    matcher = _matcher(pattern)
    if matcher is not None and validator.is_type(value, "string") and not matcher.isinstance_python(value):
        yield SchemaViolation(f"{value!r} does not match {pattern!r}")


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> SchemaValidator | None:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern))
    except SchemaError:
        return None


_Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {"multipleOf": _multiple_of, "pattern": _pattern},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


@_FORMATS.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    return not isinstance(value, str) or bool(_DATE.fullmatch(value) and dt.date.fromisoformat(value))


@_FORMATS.checks("time", raises=ValueError)
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or bool(_TIME.fullmatch(value))


@_FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    """RFC 3339, the zone left open: the model says whether it needs one."""
    if not isinstance(value, str):
        return True
    day, _, clock = value.replace("t", "T").replace(" ", "T").partition("T")
    return _is_date(day) and bool(_DATE.fullmatch(day) and _TIME.fullmatch(clock))
