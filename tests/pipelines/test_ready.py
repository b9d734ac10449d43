"""The ready pipelines, end to end on their samples: with scripted answers the whole table, with the local model its form."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import extract
from extract import Pipeline
from extract.testing import Call, Reply, ScriptedServer, completion
from extract.verbatim import reading
from pipelines.receipts import pipeline as receipts
from pipelines.restaurants import pipeline as restaurants
from pipelines.tickets import pipeline as tickets

DATA = Path(__file__).parents[2] / "data"
FIELDS = {
    "receipts": ["company", "date", "total", "payment"],
    "tickets": ["topic", "urgency"],
    "restaurants": ["name", "eat_type", "food", "price_range", "area", "family_friendly", "near"],
}
UNANSWERABLE = {"receipts": ["r-013", "r-025", "r-035"], "tickets": [], "restaurants": []}


def rows(name: str) -> list[dict[str, str]]:
    with open(DATA / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Oracle:
    """Answers each request with the expected row, in the form that its schema asks for."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        expected = {row["id"]: row for row in rows(f"{pipeline.name}_expected")}
        self.by_text = {row["text"]: expected.get(row["id"]) for row in rows(pipeline.name)}

    def __call__(self, call: Call) -> Any:
        wanted = self.by_text[call.prompt]
        assert wanted is not None, "a record that cannot be answered was asked"
        properties = call.body["response_format"]["json_schema"]["schema"]["properties"]
        return {name: self._value(name, node, wanted[name]) for name, node in properties.items()}

    def _value(self, name: str, node: dict[str, Any], text: str) -> Any:
        if text == "":
            return None
        if "boolean" in node["type"]:
            return text.lower() == "true"
        marks = {item.name: item.shape for item in extract.compile_schema(self.pipeline.schema).shape.fields}
        shape = marks[name]
        if shape.verbatim is None or text in node["enum"]:
            return text
        value = Decimal(text) if shape.target == "decimal" else text
        return next(span for span in node["enum"] if reading(shape.verbatim, span or "", shape.target) == value)


@pytest.mark.parametrize("pipeline", [receipts, tickets, restaurants], ids=lambda pipeline: pipeline.name)
def test_the_expected_table_comes_out_of_the_expected_answers(pipeline: Pipeline, tmp_path: Path) -> None:
    """Every expected value can be said on the wire and comes back typed; what cannot be answered is not asked."""
    with ScriptedServer(Oracle(pipeline)) as server:
        result = extract.run(pipeline, out=tmp_path / "run", endpoint=server.endpoint())
    found = [
        {"id": row["id"], **{name: _as_text(row[name]) for name in FIELDS[pipeline.name]}}
        for row in result.table.to_pylist()
    ]
    assert rows(f"{pipeline.name}_expected") == found
    assert UNANSWERABLE[pipeline.name] == result.quarantine["key"].to_pylist()
    assert len(found) == len(server.calls)


def test_an_invented_value_does_not_reach_the_table(tmp_path: Path) -> None:
    """An endpoint that does not honour the enum: the invented total is caught and quarantined with its raw answer."""
    oracle = Oracle(receipts)

    def liar(call: Call) -> Any:
        return Reply(completion({**oracle(call), "total": "TOTAL 123456.78"}))

    with ScriptedServer(liar) as server:
        result = extract.run(receipts, out=tmp_path / "run", endpoint=server.endpoint(), limit=3)
    assert [0, 3] == [result.report.ok, result.report.quarantined]
    assert {"semantic.verbatim": 3} == result.report.reasons
    assert "123456.78" in json.loads(result.quarantine["raw_answer"][0].as_py())["total"]


@pytest.mark.model
@pytest.mark.parametrize("pipeline", [tickets, restaurants], ids=lambda pipeline: pipeline.name)
def test_the_local_model_runs_the_pipeline(pipeline: Pipeline, tmp_path: Path, local_model: None) -> None:
    """The real model, over real HTTP: each record is in the table or the quarantine, and a second run asks nothing.

    Two records each, of which the model takes ten seconds; receipts are run likewise for the README and for a notebook.
    """
    first = extract.run(pipeline, out=tmp_path / "run", local=True, limit=2)
    assert [2, 0] == [first.report.ok + first.report.quarantined, first.report.pending]
    assert 2 == first.report.requests
    assert 1 <= first.report.ok
    assert FIELDS[pipeline.name] == [name for name in first.table.column_names if name in FIELDS[pipeline.name]]
    again = extract.run(pipeline, out=tmp_path / "run", local=True, limit=2)
    assert 0 == again.report.requests
    assert first.table == again.table


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
