"""The quick way of judging an answer gives what the long way gives, to the last digit, flag and order.

`EXTRACT_EXAMPLES=20` makes 20 times as many answers.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, JsonValue, NaiveDatetime, create_model
from typing_extensions import TypedDict

from extract import compile_schema, parse
from extract.parse import ParseError, parse_json
from extract.records import Completion, Issue, Outcome, Record, Usage
from extract.schema import CompiledSchema, Misfit, Reading
from extract.schema.cells import Tabulator
from extract.schema.nodes import json_text
from extract.validate import Judge, answer_of, root_of
from extract.verdict.judge import MAX_ISSUES, _issue, _order
from schema.instances import instances
from schema.models import CASES
from schema.small_models import Color, Part

PROFILES = ("gemini", "openai", "full", "llamacpp")
LONGER = int(os.environ.get("EXTRACT_EXAMPLES", "1"))
ANSWERS = 8  # of one instance
RECORD = Record(1, 0, {"text": "A record.", "other": 5})
SETTINGS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
    max_examples=2 * LONGER,
)


class Raw(str):
    """A piece of JSON, or of what is none, as it stands in the text."""


ODD = (
    *(None, True, False, 0, 1, -1, 10**30, "", "1", "1.0", "null", "2024-02-30", "2024-03-05", "12:00", [], {}, [None]),
    *map(Raw, ("1.0", "1.50", "1E2", "1e999", "-0.0", "0.1000000000000000000000000000000000001", "7" * 5000)),
    *map(Raw, ("NaN", "Infinity", '"\\ud800"', '"\x01"', '"a\nb"', "01", "'a'", "True", "[" * 120 + "]" * 120)),
)
AROUND = (
    *(" \n@\n ", "```json\n@\n```", "Here it is:\n@", "@\n\nThat is all.", "@}", "@@", "[@]", "\ufeff@", "@."),
    *('{"response": @}', '{"a": 1, "b": @}', "", "   ", "null"),
)


def fully(schema: CompiledSchema, record: Record, completion: Completion) -> Outcome:
    """What becomes of an answer step by step: no step is left out, no compiled reader or validator decides."""
    outcome = Outcome(record=record, completion=completion, raw=completion.content, flags=completion.flags)
    answer = answer_of(completion, root_of(schema))
    if isinstance(answer, Issue):
        return replace(outcome, issues=(answer,))
    outcome = replace(outcome, flags=(*outcome.flags, *answer.flags))
    reading = Reading()
    found = schema.form.from_wire(answer.value, "$", reading)
    issues = reading.issues + Judge(schema, (), ["text"])._read_spans(record, found)
    issues = issues or [
        _issue(error)
        for error in sorted(schema.verdict._errors(found, MAX_ISSUES), key=lambda error: _order(error.path))
    ]
    if issues:
        return replace(outcome, issues=tuple(issues))
    try:
        instance = schema.instance(found, reading, {"record": record})
    except Misfit as misfit:
        return replace(outcome, issues=tuple(misfit.issues))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the long way asks for deprecated fields
        row, issues, flags = Tabulator(schema.shape, schema.fits, hurry=False)(instance)
    if issues:
        return replace(outcome, issues=tuple(issues))
    return replace(outcome, row=row, flags=(*outcome.flags, *flags))


def shown(outcome: Outcome) -> str:
    """All of an outcome: digits, types and orders too."""
    return repr(outcome) + repr(outcome.raw)


def text_of(node: Any) -> str:
    """A changed answer as text."""
    if isinstance(node, Raw):
        return str(node)
    if isinstance(node, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {text_of(item)}" for key, item in node.items()) + "}"
    return "[" + ", ".join(map(text_of, node)) + "]" if isinstance(node, list) else json_text(node)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value, the whole first."""
    yield path
    steps = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, item in steps:
        yield from places(item, (*path, step))


def at(node: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        node = node[step]
    return node


def put(node: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at the path."""
    if not path:
        return value
    step, *rest = path
    steps = node.items() if isinstance(node, dict) else enumerate(node)
    pairs = [(name, put(item, tuple(rest), value) if name == step else item) for name, item in steps]
    return dict(pairs) if isinstance(node, dict) else [item for _, item in pairs]


def changes(value: Any) -> list[Any]:
    """What a model may write in place of a value."""
    found: list[Any] = list(ODD)
    if isinstance(value, int | Decimal | float) and not isinstance(value, bool):
        found += [Raw(f"{value}.0"), Raw(f"{value}00"), str(value), Raw(f"{value}e0"), Raw(f"{value}000000000000001")]
    if isinstance(value, dict) and value:
        first, *others = value
        found += [{name: value[name] for name in others}, value | {"extra": 1}, dict(reversed(value.items()))]
        found += [Raw(text_of(value)[:-1] + f", {json.dumps(first)}: {text_of(value[first])}}}"), list(value.values())]
    if isinstance(value, list) and value:
        found += [value[:-1], [*value, value[0]], {"0": value[0]}]
    if isinstance(value, str):
        found += [value.upper(), value + " ", " " + value, [value]]
    return found


@st.composite
def answers(choose: st.DrawFn, value: Any) -> str:
    """An answer as it should be, or changed at one place or two, alone or among other text."""
    node = value
    for _ in range(choose(st.sampled_from([0, 1, 1, 1, 2]))):
        path = choose(st.sampled_from(list(places(node))))
        node = put(node, path, choose(st.sampled_from(changes(at(node, path)))))
    text = choose(st.sampled_from(["@"] * 12 + list(AROUND))).replace("@", text_of(node))
    return text[: choose(st.integers(0, len(text)))] if choose(st.integers(0, 15)) == 0 else text


@cache
def judges(name: str, profile: str) -> tuple[CompiledSchema, Judge]:
    case = CASES[name]
    schema = compile_schema(case.model, profile, **case.options)  # type: ignore[arg-type]
    return schema, Judge(schema, (), ["text"])


@pytest.mark.parametrize("name", CASES)
def test_the_quick_way_gives_what_the_long_way_gives(name: str) -> None:
    """Every model of the corpus, its instances, and answers with any fault: the same row, issues, flags and order."""
    profile = PROFILES[list(CASES).index(name) % len(PROFILES)]
    schema, judge = judges(name, profile)
    seen = {True: 0, False: 0}

    @SETTINGS
    @given(st.data())
    def campaign(data: st.DataObject) -> None:
        value = schema.answer_form(data.draw(instances(CASES[name].model, CASES[name].unroll)))
        texts = [text_of(value), *(data.draw(answers(value)) for _ in range(ANSWERS))]
        for text in texts:
            completion = Completion(text, "stop", "m", Usage(), b"", flags=("given",))
            quick = judge(RECORD, completion)
            assert shown(fully(schema, RECORD, completion)) == shown(quick), text
            seen[quick.ok] += 1

    campaign()
    assert seen[False]
    assert seen[True] or schema.bindings  # whose spans the record has not


@settings(SETTINGS, max_examples=300 * LONGER)
@given(st.data())
def test_the_compiled_reader_reads_what_the_careful_one_reads(data: st.DataObject) -> None:
    """The same value with the same digits, or the same fault."""
    value = data.draw(
        st.recursive(st.sampled_from(ODD), lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner))
    )
    text = data.draw(answers(value))
    assert _read(parse._read_carefully, text) == _read(parse_json, text)


def _read(read: Any, text: str) -> str:
    try:
        return repr(read(text))
    except ParseError as error:
        return repr(error.issue)


class Named(BaseModel):
    """Fields of each kind that takes a short cut."""

    text: str
    maybe: str | None
    flag: bool
    whole: int
    day: dt.date
    instant: dt.datetime
    local: NaiveDatetime
    real: float
    price: Decimal = Field(max_digits=6, decimal_places=2)
    wide: Decimal | None
    kind: Literal["a", "b"]
    color: Color
    mixed: Literal["a", 1, True]
    part: Part | None
    parts: list[Part]
    texts: list[str | None]
    other: JsonValue


class Bigger(Part):
    """What a table of parts would lose."""

    more: int


class Plain(TypedDict):
    text: str
    whole: int


class Other(Enum):
    A = "a"


ZONES = (None, dt.UTC, dt.timezone(dt.timedelta(hours=5)))
VALUES: tuple[Any, ...] = (
    *(None, True, 0, 2**63, -(2**63) - 1, 2**63 - 1, 1.5, float("nan"), float("inf"), "a", "b", "z", Raw("a"), 1, 1.0),
    *map(Decimal, ("1", "1.5", "1.50", "1.500", "1E+3", "0.00", "0E+2", "9999.99", "99999", "1e-9", "1e-10", "NaN")),
    *(Decimal("-Infinity"), Decimal("-0.01"), Color.RED, Other.A, [], ["a", None, 1], ("a",), {"a"}, {"text": "a"}),
    *(
        Part.model_construct(),
        Part(name="a", weight=None),
        Part(name="b", weight=Decimal("1.5")),
        {"text": "a", "whole": 1},
        b"a",
        object,
    ),
    *({"text": "a", "whole": 1, "more": 1}, Bigger(name="c", weight=None, more=1), dt.date(2024, 3, 5)),
    *(at.replace(tzinfo=zone) for at in (dt.datetime.min, dt.datetime(2024, 3, 5, 1, 2)) for zone in ZONES),
    *("2024-03-05", [Part(name="a", weight=None)], [Bigger.model_construct(name="a")]),
)


PROPER: Mapping[str, Any] = {
    **{"text": "a", "maybe": None, "flag": True, "whole": 1, "day": dt.date(2024, 3, 5), "real": 1.5},
    **{"instant": dt.datetime(2024, 3, 5, 1, tzinfo=dt.UTC), "local": dt.datetime(2024, 3, 5, 1)},
    **{"price": Decimal("1.50"), "wide": Decimal(5), "kind": "b", "color": Color.RED, "mixed": 1, "other": None},
    **{"part": None, "parts": [], "texts": ["a", None], "pair": {"text": "a", "whole": 1}},
}


@pytest.mark.parametrize("raw", [False, True])
def test_short_cuts_are_taken_only_where_they_lead_to_the_same_cells(raw: bool) -> None:
    """A validator of the user's may return anything, and an instance may lack fields."""
    if raw:
        schema = compile_schema({"type": "object", "properties": Named.model_json_schema()["properties"] | RAW})
    else:
        schema = compile_schema(create_model("M", __base__=Named, pair=(Plain, ...)))
    for name in PROPER:
        lacking = {key: value for key, value in PROPER.items() if key != name}
        for held in (lacking, *(lacking | {name: value} for value in VALUES)):
            value = held if raw else schema.model.model_construct(**held)
            assert _made(schema, value, hurry=False) == _made(schema, value, hurry=True), (name, held.get(name))


RAW: Mapping[str, Any] = {name: {"type": "string"} for name in ("color", "part", "parts", "other", "mixed", "wide")} | {
    "pair": {"type": "object", "properties": {"text": {"type": "string"}, "whole": {"type": "integer"}}}
}


def _made(schema: CompiledSchema, value: Any, *, hurry: bool) -> str:
    make = schema.tabulator if hurry else Tabulator(schema.shape, schema.fits, hurry=False)
    try:
        return repr(make(value))
    except (ArithmeticError, AttributeError, TypeError, ValueError, KeyError) as error:
        return repr(error)
