"""Completion → outcome: each stage, its codes, and what passes."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, create_model, field_validator, model_validator

from extract import checks
from extract.records import Completion, Issue, Outcome, Record, ToolCall, Usage
from extract.salvage import Answer
from extract.schema import compile_schema
from extract.validate import Judge, answer_of, root_of
from extract.verbatim import Verbatim

RECORD = Record(key="k", position=0, cells={"text": "ACME 1.234,50 on 02/05/2018"})


def judge(
    model: type[BaseModel],
    content: str | None,
    *,
    use: Sequence[checks.Check] = (),
    finish: str | None = "stop",
    refusal: str | None = None,
) -> Outcome:
    completion = Completion(content, finish, "m", Usage(), b"", refusal=refusal)
    return Judge(compile_schema(model), use, ["text"])(RECORD, completion)


def field(annotation: Any, value: str, **options: Any) -> Outcome:
    return judge(create_model("M", a=(annotation, Field(**options))), f'{{"a": {value}}}')


def codes(outcome: Outcome) -> list[tuple[str, str, str]]:
    assert outcome.ok == (outcome.row is not None)
    return [(issue.stage, issue.code, issue.path) for issue in outcome.issues]


@pytest.mark.parametrize(
    ("content", "finish", "refusal", "found"),
    [
        ('{"a": 1}', "length", None, ("parse", "output.truncated", "$")),
        ('{"a": 1}', "content_filter", None, ("parse", "policy.content_filter", "$")),
        ('{"a": 1}', "tool_calls", None, ("parse", "output.tool_call", "$")),
        ("", "function_call", None, ("parse", "output.tool_call", "$")),
        ('{"a": 1}', "loop", None, ("parse", "output.loop", "$")),
        ('{"a": 1}', "error", None, ("parse", "output.error", "$")),
        ('{"a": 1}', "recitation", None, ("parse", "output.finish_reason", "$")),
        ("", "length", None, ("parse", "output.truncated", "$")),
        ('{"a": 1}', None, None, ("parse", "output.finish_reason", "$")),
        ('{"a": 1}', "", None, ("parse", "output.finish_reason", "$")),
        (None, "stop", "I cannot", ("request", "policy.refusal", "$")),
        (None, "stop", None, ("parse", "output.empty", "$")),
        ("", "stop", "", ("parse", "output.empty", "$")),
        (" \n", "stop", None, ("parse", "output.empty", "$")),
        ("Here you are: {}", "stop", None, ("parse", "parse.json", "$")),
        ('{"a": 1} {"a": 2}', "stop", None, ("parse", "parse.ambiguous", "$")),
        ('{"a": ', "stop", None, ("parse", "parse.truncated", "$")),
        ('{"a": 1, "a": 1}', "stop", None, ("parse", "parse.duplicate_key", "$")),
        ('{"a": NaN}', "stop", None, ("parse", "parse.number", "$")),
        ("[1]", "stop", None, ("schema", "schema.type", "$")),
    ],
)
def test_what_is_no_whole_answer_has_a_code(
    content: str | None, finish: str | None, refusal: str | None, found: tuple[str, str, str]
) -> None:
    """Truncation, filter, refusal, emptiness and bad JSON; the raw answer is kept."""
    outcome = judge(create_model("M", a=(int, ...)), content, finish=finish, refusal=refusal)
    assert [found] == codes(outcome)
    assert content == outcome.raw


@pytest.mark.parametrize(
    ("annotation", "value", "cell"),
    [
        (int, "1.0", 1),
        (int, "1e3", 1000),
        (float, "1", 1.0),
        (float, "0.1", 0.1),
        (Decimal, "0.1", Decimal("0.1")),
        (Decimal, "12345678901234567890.123456789", Decimal("12345678901234567890.123456789")),
        (bool, "true", True),
        (dt.date, '"2024-02-29"', dt.date(2024, 2, 29)),
        (dt.time, '"09:30"', dt.time(9, 30)),
        (dt.datetime, '"2024-01-02T03:04:05Z"', dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC)),
        (dt.datetime, '"2024-01-02 03:04+02:00"', dt.datetime(2024, 1, 2, 1, 4, tzinfo=dt.UTC)),
        (Literal[1, 2], "2.0", 2),
        (Annotated[int, Field(strict=True)], "1.0", 1),
        (int | None, "null", None),
        (dt.datetime | None, "null", None),
        (dt.date | None, "null", None),
        (dt.time | None, "null", None),
        (list[str], '["a"]', ["a"]),
        (str, '"\\ud83d\\ude00"', "😀"),
    ],
)
def test_a_good_value_is_typed(annotation: Any, value: str, cell: Any) -> None:
    """JSON numbers, dates and times become the field's type, exactly."""
    outcome = field(annotation, value)
    assert () == outcome.issues
    assert {"a": cell} == outcome.row
    assert type(cell) is type((outcome.row or {})["a"])


@pytest.mark.parametrize(
    ("annotation", "value", "code"),
    [
        (int, '"1"', "schema.type"),
        (int, "1.5", "schema.type"),
        (int, "true", "schema.type"),
        (float, '"0.1"', "schema.type"),
        (float, "false", "schema.type"),
        (Decimal, '"0.1"', "schema.type"),
        (bool, "1", "schema.type"),
        (bool, '"true"', "schema.type"),
        (str, "1", "schema.type"),
        (str, "null", "schema.type"),
        (Literal["x"], '"y"', "schema.enum"),
        (Literal["x", "z"], '"y"', "schema.enum"),
        (list[int], "1", "schema.type"),
        *((dt.date, f'"{text}"', "schema.format") for text in ("2024-02-30", "02/05/2024", "20240101", "2024-1-1", "")),
        *((dt.date, f'"{text}"', "schema.format") for text in ("2024-01-01T00:00:00", "٢٠٢٤-01-01", "0000-01-01")),
        *((dt.time, f'"{text}"', "schema.format") for text in ("24:00", "9:30", "09:60", "noon", "09:30:60")),
        *((dt.datetime, f'"{text}"', "schema.format") for text in ("2024-01-01", "2024-13-01T00:00:00Z", "1704067200")),
        *((dt.datetime, f'"{text}"', "schema.format") for text in ("2024-01-01T25:00", "2024-01-01TT10:00", "")),
        (dt.date, "1704067200", "schema.type"),
        (int, "9" * 30, "table.int_range"),
        (float, "1e350", "table.float_range"),
        (Decimal, "1e50", "table.decimal_range"),
        (Decimal, "0.12345678901", "table.decimal_range"),
    ],
)
def test_a_bad_value_is_refused_and_named(annotation: Any, value: str, code: str) -> None:
    """Strictly by JSON type and format, and by what the column holds."""
    assert [("model" if code.startswith("table") else "schema", code, "$.a")] == codes(field(annotation, value))


def test_schema_issues_name_code_place_message_and_value() -> None:
    """All of them, in order of their place; long values are cut."""
    inner = create_model("Inner", x=(int, Field(alias="X y")))
    model = create_model("M", a=(list[inner], ...), b=(str, Field(max_length=3)))  # type: ignore[valid-type]
    items = [{"X y": 1}] * 12
    items[2] = items[10] = {"X y": "no"}  # type: ignore[dict-item]
    outcome = judge(model, json.dumps({"a": items, "b": "long" * 200, "c": 1}))
    assert [
        ("schema", "schema.additionalProperties", "$"),
        ("schema", "schema.type", "$.a[2]['X y']"),
        ("schema", "schema.type", "$.a[10]['X y']"),
        ("schema", "schema.maxLength", "$.b"),
    ] == codes(outcome)
    assert "no" == outcome.issues[1].value
    assert "'no' is not of type 'integer'" == outcome.issues[1].message
    assert 501 == len(outcome.issues[3].value)
    assert ["schema.required"] == [issue.code for issue in judge(model, '{"a": []}').issues]


def test_numeric_limits_are_exact() -> None:
    """Three times 0.1 is 0.3, whatever the size of the number."""
    assert field(float, "0.3", multiple_of=0.1).ok
    assert ["schema.multipleOf"] == [issue.code for issue in field(Decimal, "0.35", multiple_of=Decimal("0.1")).issues]
    assert not field(Decimal, "1e40", multiple_of=Decimal("0.01")).ok
    assert not field(Decimal, "1" * 40 + ".5", multiple_of=Decimal("0.1")).ok
    assert ["schema.minimum"] == [issue.code for issue in field(Decimal, "-0.01", ge=0).issues]
    assert ["schema.type"] == [issue.code for issue in field(int, '"x"', multiple_of=3).issues]


def test_patterns_of_either_engine_are_judged() -> None:
    """By Pydantic's engine where it reads the pattern, which takes linear time; else by the model."""
    assert field(str, '"ab"', pattern="^a").ok
    assert [("schema", "schema.pattern", "$.a")] == codes(field(str, '"b"', pattern="^a"))
    assert ["schema.type"] == [issue.code for issue in field(str, "1", pattern="^a").issues]
    assert field(str, '"é"', pattern=r"^\p{L}+$").ok
    assert [("schema", "schema.pattern", "$.a")] == codes(field(str, '"1"', pattern=r"^\p{L}+$"))


def test_a_strict_model_takes_json() -> None:
    """`strict=True` is about JSON types, which the schema has checked; dates and decimals have none of their own."""

    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        day: dt.date
        total: Decimal
        number: int

    outcome = judge(Strict, '{"day": "2024-01-02", "total": 1, "number": 2.0}')
    assert {"day": dt.date(2024, 1, 2), "total": Decimal(1), "number": 2} == outcome.row


def test_validators_see_the_record() -> None:
    """Through `info.context`; what they refuse is an issue of the model stage with its place."""

    class Checked(BaseModel):
        name: str
        parts: list[int] = []  # pydantic copies defaults

        @field_validator("name")
        @classmethod
        def _stands_there(cls, value: str, info: ValidationInfo) -> str:
            if value not in info.context["record"]["text"]:  # type: ignore[index]
                raise ValueError("not there")
            return value

        @field_validator("parts")
        @classmethod
        def _small(cls, value: list[int]) -> list[int]:
            assert sum(value) < 5, "too many"
            return value

        @model_validator(mode="after")
        def _whole(self) -> Checked:
            if self.parts == [4]:
                raise ValueError("never four")
            return self

    assert judge(Checked, '{"name": "ACME"}').row == {"name": "ACME", "parts": []}
    outcome = judge(Checked, '{"name": "X", "parts": [9]}')
    assert [("model", "model.value_error", "$.name"), ("model", "model.assertion_error", "$.parts")] == codes(outcome)
    assert ("Value error, not there", "X") == (outcome.issues[0].message, outcome.issues[0].value)
    assert [("model", "model.value_error", "$")] == codes(judge(Checked, '{"name": "ACME", "parts": [4]}'))


def test_a_validator_that_returns_another_type_is_an_issue() -> None:
    """What the column cannot hold never reaches the table."""

    class Odd(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def _text(cls, value: int) -> Any:
            return str(value)

    assert [("model", "table.type", "$.n")] == codes(judge(Odd, '{"n": 1}'))


class Receipt(BaseModel):
    total: Annotated[Decimal, Verbatim("money")] = Field(ge=0)
    day: Annotated[dt.date | None, Verbatim("date", day_first=True)]
    shop: Annotated[str, Verbatim("line")]
    parts: list[Annotated[Decimal, Verbatim("money")]] = []


def test_chosen_spans_are_read() -> None:
    """Each becomes the field's type; null passes where the model allows it."""
    assert judge(Receipt, '{"total": 1234.5, "day": "2018-05-02", "shop": "ACME"}').ok  # values in place of spans
    outcome = judge(Receipt, '{"total": "1.234,50", "day": "02/05/2018", "shop": "ACME", "parts": ["1.234,50"]}')
    assert outcome.row == {
        **{"total": Decimal("1234.50"), "day": dt.date(2018, 5, 2), "shop": "ACME", "parts": [Decimal("1234.50")]}
    }
    assert (judge(Receipt, '{"total": "1.234,50", "day": null, "shop": "ACME"}').row or {"day": 1})["day"] is None


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"total": "9.99"}, ("semantic", "semantic.verbatim", "$.total")),
        ({"total": "much"}, ("schema", "verbatim.unreadable", "$.total")),
        ({"total": 1}, ("semantic", "semantic.verbatim", "$.total")),
        ({"total": True}, ("schema", "schema.type", "$.total")),
        ({"shop": 1}, ("schema", "schema.type", "$.shop")),
        ({"day": 20180502}, ("schema", "schema.type", "$.day")),
        ({"day": "31/02/2018"}, ("schema", "verbatim.unreadable", "$.day")),
        ({"day": "03/05/2018"}, ("semantic", "semantic.verbatim", "$.day")),
        ({"shop": "BETA"}, ("semantic", "semantic.verbatim", "$.shop")),
        ({"parts": ["1.234,50", "7.00"]}, ("semantic", "semantic.verbatim", "$.parts[1]")),
        ({"parts": 5}, ("schema", "schema.type", "$.parts")),
    ],
)
def test_what_does_not_stand_in_the_record_is_refused(changes: dict[str, Any], found: tuple[str, str, str]) -> None:
    """Invented and unreadable spans are named with their place and value."""
    answer = {"total": "1.234,50", "day": None, "shop": "ACME", **changes}
    outcome = judge(Receipt, json.dumps(answer))
    assert [found] == codes(outcome)
    assert outcome.issues[0].value is not None


def test_semantic_checks_run_on_typed_values() -> None:
    """Their findings are the outcome's issues; they are not asked when an earlier stage found something."""
    seen: list[Any] = []

    def note(value: Any, record: Record) -> list[str | Issue]:
        seen.append((value.a, record))
        return ["odd", Issue("semantic", "own.code", "$.a", "m", 1)]

    model = create_model("M", a=(Decimal, ...))
    outcome = judge(model, '{"a": 0.10}', use=[note, checks.verbatim("a")])
    assert [
        ("semantic", "semantic.note", "$"),
        ("semantic", "own.code", "$.a"),
        ("semantic", "semantic.verbatim", "$.a"),
    ] == (codes(outcome))
    assert [(Decimal("0.10"), RECORD)] == seen
    judge(model, '{"a": "x"}', use=[note])
    assert 1 == len(seen)
    assert judge(model, '{"a": 1}', use=[lambda value, record: None]).ok


@pytest.mark.parametrize("fault", [lambda v, r: r["missing"], lambda v, r: 1 / 0, lambda v, r: 5])
def test_a_check_that_raises_is_an_issue_with_its_trace(fault: Callable[..., Any]) -> None:
    """The run goes on, other checks are asked all the same."""
    outcome = judge(create_model("M", a=(int, ...)), '{"a": 1}', use=[fault, lambda v, r: "second"])
    assert [("semantic", "check.error", "$"), ("semantic", "semantic.lambda", "$")] == codes(outcome)
    assert "Error" in outcome.issues[0].message


def test_a_datetime_without_zone_flags_its_row() -> None:
    """Taken as UTC, and said so."""
    outcome = field(dt.datetime, '"2024-01-02T03:04:05"')
    assert ("naive_datetime:$.a",) == outcome.flags


def test_thoughts_that_used_up_the_tokens_are_told() -> None:
    """The same code as a cut answer, another thing to do."""
    model = create_model("M", a=(int, ...))
    assert "thoughts" in judge(model, "", finish="length").issues[0].message
    assert "thoughts" not in judge(model, '{"a": ', finish="length").issues[0].message


@pytest.mark.parametrize(("content", "finish"), [("", "stop"), (None, "stop"), ('{"a": 1}', "tool_calls")])
def test_a_tool_call_is_no_answer(content: str | None, finish: str) -> None:
    """Its name is said; with an answer that is whole it does not matter."""
    calls = (ToolCall("1", "look_up", "{}"), ToolCall("2", "add", "{}"))
    schema = compile_schema(create_model("M", a=(int, ...)))
    completion = Completion(content, finish, "m", Usage(), b"", tool_calls=calls)
    outcome = Judge(schema, (), ["text"])(RECORD, completion)
    assert [("parse", "output.tool_call", "$")] == codes(outcome)
    assert "look_up, add" == outcome.issues[0].value
    assert Judge(schema, (), ["text"])(RECORD, replace(completion, content='{"a": 1}', finish_reason="stop")).ok


@pytest.mark.parametrize("content", ['```{"a": "2024-01-02T03:04:05"}```', '```{"a": 1}```', '```{"a": 1', "", None])
def test_flags_are_those_of_reading_then_of_the_text_then_of_the_values(content: str | None) -> None:
    """Whatever the outcome, and the same each time."""
    judge_it = Judge(compile_schema(create_model("M", a=(dt.datetime, ...))), (), ["text"])
    completion = Completion(content, "stop", "m", Usage(), b"", flags=("sse_error", "early"))
    outcome = judge_it(RECORD, completion)
    more = ("fenced",) if (content or "").endswith("```") else ()
    more += ("naive_datetime:$.a",) if outcome.ok else ()
    assert ("sse_error", "early", *more) == outcome.flags
    assert outcome == judge_it(RECORD, completion)
    assert completion.flags == judge_it(RECORD, replace(completion, finish_reason="length")).flags


def test_answers_are_read_without_a_record_too() -> None:
    """As parts of a record are: the value with its flags, or the issue."""
    schema = compile_schema(create_model("M", a=(int, ...)))
    found = answer_of(Completion('```\n{"a": 1}\n```', "stop", "m", Usage(), b""), root_of(schema))
    assert Answer({"a": 1}, ("fenced",)) == found
    refused = answer_of(Completion('{"a": 1,}', "stop", "m", Usage(), b""), root_of(schema))
    assert isinstance(refused, Issue)
    assert "parse.json" == refused.code
    mended = answer_of(Completion('{"a": 1,}', "stop", "m", Usage(), b""), root_of(schema), mend_json=True)
    assert Answer({"a": 1}, ("repaired",)) == mended


@given(content=st.text() | st.text(alphabet='{}[]":,a1.e-\\ ').map(lambda text: f'{{"a": {text}}}'))
def test_any_answer_has_an_outcome(content: str) -> None:
    """No text from a model raises."""
    outcome = judge(_PLAIN, content)
    assert outcome.ok == (outcome.row is not None)


_PLAIN = create_model("M", a=(list[str] | None, ...))
