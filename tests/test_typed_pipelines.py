"""Pipelines over schemas of every kind, end to end: what the endpoint answers on the wire comes out typed in the table."""

from __future__ import annotations

import datetime as dt
import enum
import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

import extract
from extract import Limits, Pipeline
from extract.schema import CompiledSchema, compile_schema
from extract.schema.nodes import json_text
from extract.testing import Call, ScriptedServer


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Line(BaseModel):
    sku: str
    amount: Decimal = Field(max_digits=8, decimal_places=2)


class Card(BaseModel):
    kind: Literal["card"] = "card"
    last4: str


class Transfer(BaseModel):
    kind: Literal["transfer"] = "transfer"
    iban: str


class Order(BaseModel):
    """Everything that the wire of Gemini cannot say as it is."""

    color: Color
    stock: dict[str, int]
    size: tuple[int, int]
    tags: set[str]
    paid: Card | Transfer | None
    when: dt.date | str
    lines: list[Line]
    part: Order | None = None


@dataclass
class Point:
    x: int
    y: int = 0


class Person(TypedDict):
    name: str
    age: int | None


RAW = {
    "title": "Thing",
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+$"},
        "price": {"type": ["number", "null"], "exclusiveMinimum": 0},
        "meta": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["name", "price"],
    "additionalProperties": False,
}
ORDER = Order(
    color=Color.BLUE,
    stock={"DE": 3, "FR": 0},
    size=(2, 3),
    tags={"b", "a"},
    paid=Transfer(iban="DE02"),
    when="soon",
    lines=[Line(sku="a", amount=Decimal("1.10")), Line(sku="b", amount=Decimal("2"))],
    part=Order(color=Color.RED, stock={}, size=(0, 0), tags=set(), paid=None, when=dt.date(2024, 5, 1), lines=[]),
)
CASES: list[tuple[Any, list[Any], dict[str, Any]]] = [
    (Order, [ORDER, ORDER.model_copy(update={"paid": Card(last4="1234"), "part": None})], {"unroll": 1}),
    (Order, [ORDER], {"unroll": 1, "profile": "openai", "decimals": "string", "enums": "name"}),
    (list[Line], [[Line(sku="x", amount=Decimal("9.99"))], []], {}),
    (Color, [Color.RED, Color.BLUE], {"enums": "name"}),
    (Literal["spam", "ham"], ["spam", "ham"], {}),
    (dt.date, [dt.date(2024, 2, 29)], {}),
    (Point, [Point(1, 2), Point(3)], {}),
    (Person, [{"name": "Ada", "age": None}, {"name": "Bob", "age": 3}], {}),
    (RAW, [{"name": "tea", "price": None}, {"name": "milk", "price": Decimal("1.5"), "meta": {"k": "v"}}], {}),
]


def compiled_for(pipeline: Pipeline) -> CompiledSchema:
    return compile_schema(
        pipeline.schema, pipeline.profile, unroll=pipeline.unroll, decimals=pipeline.decimals, enums=pipeline.enums
    )


def oracle(pipeline: Pipeline, instances: list[Any]) -> Callable[[Call], str]:
    """Answers record number i with instance i, as the wire schema wants it."""
    compiled = compiled_for(pipeline)

    def answer(call: Call) -> str:
        return json_text(compiled.answer_form(instances[int(call.prompt)]))

    return answer


def ran(tmp_path: Path, pipeline: Pipeline, instances: list[Any]) -> extract.Result:
    frame = pd.DataFrame({"n": [str(number) for number in range(len(instances))]})
    with ScriptedServer(oracle(pipeline, instances)) as server:
        return extract.run(pipeline, frame, out=tmp_path / "run", endpoint=server.endpoint())


@pytest.mark.parametrize("format", ["parquet", "csv"])
@pytest.mark.parametrize(("model", "instances", "options"), CASES)
def test_instances_come_out_of_the_table_as_they_went_in(
    model: Any, instances: list[Any], options: dict[str, Any], format: Any, tmp_path: Path
) -> None:
    """Answer on the wire → restored → judged → row → file → the same instance."""
    pipeline = Pipeline(
        name="typed", schema=model, prompt="{{ n }}", format=format, limits=Limits(concurrency=2), **options
    )
    result = ran(tmp_path, pipeline, instances)
    assert [] == result.quarantine.to_pylist()
    compiled = compiled_for(pipeline)
    assert compiled.arrow_schema.names == [
        name for name in result.table.column_names if name in compiled.arrow_schema.names
    ]
    assert instances == [compiled.instance_of(row) for row in result.table.to_pylist()]


def test_the_full_schema_judges_what_the_wire_could_not_say(tmp_path: Path) -> None:
    """A raw schema's pattern and bound are lost on the wire and still refuse the answer."""
    pipeline = Pipeline(name="raw", schema=RAW, prompt="{{ n }}")
    result = ran(tmp_path, pipeline, [{"name": "TEA", "price": None}, {"name": "tea", "price": 0}])
    assert ["schema.pattern", "schema.exclusiveMinimum"] == result.quarantine["reason"].to_pylist()
    assert ["$.name", "$.price"] == result.quarantine["path"].to_pylist()


@pytest.mark.parametrize(
    ("changes", "reason", "path"),
    [
        (
            {"paid": {"tag": "card", "card": None, "transfer": {"kind": "transfer", "iban": "x"}}},
            "schema.union",
            "$.paid",
        ),
        ({"stock": [{"key": "a", "value": 1}, {"key": "a", "value": 2}]}, "schema.duplicate_key", "$.stock"),
        ({"color": "GREEN"}, "schema.enum", "$.color"),
        ({"size": [1]}, "schema.minItems", "$.size"),
        ({"tags": ["a", "a"]}, "schema.uniqueItems", "$.tags"),
        ({"lines": [{"sku": "a", "amount": Decimal("1.234")}]}, "model.decimal_max_places", "$.lines[0].amount"),
        ({"when": {"tag": "date", "date": "2024-13-01", "text": None}}, "model.date_from_datetime_parsing", "$.when"),
    ],
)
def test_a_broken_rewrite_is_named_with_its_place(
    changes: dict[str, Any], reason: str, path: str, tmp_path: Path
) -> None:
    """The reason and the path are those of the model, not of the wire."""
    pipeline = Pipeline(name="typed", schema=Order, prompt="{{ n }}", unroll=1, enums="name")
    answer = compiled_for(pipeline).answer_form(ORDER) | changes
    with ScriptedServer(lambda _: json_text(answer)) as server:
        frame = pd.DataFrame({"n": ["0"]})
        result = extract.run(pipeline, frame, out=tmp_path / "run", endpoint=server.endpoint())
    found = [(row["reason"], row["path"]) for row in result.quarantine.to_pylist()]
    assert [(reason, path)] == found


def test_checks_see_the_value_itself_where_the_type_is_no_object(tmp_path: Path) -> None:
    """A function gets the list, not the object around it."""

    def check(value: list[Line], _: Any) -> str | None:
        return f"{type(value).__name__} of {len(value)}" if len(value) < 1 else None

    pipeline = Pipeline(name="lines", schema=list[Line], prompt="{{ n }}", checks=[check])
    result = ran(tmp_path, pipeline, [[Line(sku="a", amount=Decimal(1))], []])
    assert ["semantic.check"] == result.quarantine["reason"].to_pylist()
    assert ["list of 0"] == result.quarantine["message"].to_pylist()
    assert pa.types.is_list(result.table.schema.field("value").type)


def test_examples_are_sent_in_the_form_of_the_wire(tmp_path: Path) -> None:
    """A few-shot answer is written as the model takes it, and sent as the endpoint should answer."""

    class Stock(BaseModel):
        stock: dict[str, int]
        note: str = "none"

    prompt = extract.Prompt(user="{{ n }}", examples=[extract.Example({"n": "x"}, {"stock": {"DE": 1}})])
    pipeline = Pipeline(name="stock", schema=Stock, prompt=prompt)
    bodies: list[Any] = []

    def answer(call: Call) -> str:
        bodies.append(call.body)
        return json.dumps({"stock": [{"key": "FR", "value": 2}], "note": None})

    with ScriptedServer(answer) as server:
        frame = pd.DataFrame({"n": ["0"]})
        result = extract.run(pipeline, frame, out=tmp_path / "run", endpoint=server.endpoint())
    shown = next(m["content"] for m in bodies[0]["messages"] if m["role"] == "assistant")
    assert {"stock": [{"key": "DE", "value": 1}], "note": "none"} == json.loads(shown)
    assert [("FR", 2)] == result.table["stock"].to_pylist()[0]
    assert ["none"] == result.table["note"].to_pylist()
