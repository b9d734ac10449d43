"""What `check` and --dry-run say of a pipeline whose model may look something up first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import extract
from extract import ConfigError, Endpoint, Limits, Model, Pipeline, Result, tool_of
from extract.api import prepare_run
from extract.survey import survey, survey_text
from extract.testing import Call, Reply, ScriptedServer, completion
from tests.support import item, pipeline, rows_csv

ENDPOINT = Endpoint(base_url="https://example.invalid/v1")


class Other(BaseModel):
    name: str
    number: int
    size: int


def find_number(name: str) -> int:
    """Find a number by its name."""
    return len(name)


def found_of(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    prepared = prepare_run(pipeline(**changes), rows_csv(tmp_path / "items.csv", 3), endpoint=ENDPOINT)
    return survey(prepared, None)


def test_rounds_with_functions_are_counted_and_shown(tmp_path: Path) -> None:
    """Each of them may be paid in full, and the first of them is what is sent first."""
    model = Model(max_tokens=100, input_usd_per_million=1, output_usd_per_million=1)
    plain = found_of(tmp_path, model=model)
    tools = [find_number, tool_of(find_number, name="other")]
    found = found_of(tmp_path, model=model, tools=tools, limits=Limits(tool_rounds=4))
    assert (3, 1, 4, ["find_number", "other"]) == (
        *(found["requests"], found["requests_per_record"], found["rounds_per_record_at_most"]),
        found["tools"],
    )
    assert (300, 1500) == (plain["output_tokens_at_most"], found["output_tokens_at_most"])
    assert found["input_tokens_estimate"] > plain["input_tokens_estimate"]
    low, high = found["cost_usd_estimate"]
    assert high - low > 1500 / 1e6  # three more rounds send the prompt anew
    first = found["first_request"]
    assert "response_format" not in first
    assert ["find_number", "other"] == [tool["function"]["name"] for tool in first["tools"]]
    assert "2 to 5 requests a record: up to 4 rounds with find_number, other, then the record" in survey_text(found)
    assert (0, []) == (plain["rounds_per_record_at_most"], plain["tools"])
    assert "requests a record" not in survey_text(plain)


def test_a_search_is_one_more_request(tmp_path: Path) -> None:
    found = found_of(tmp_path, model=Model(max_tokens=100, search=True))
    assert (1, 600) == (found["rounds_per_record_at_most"], found["output_tokens_at_most"])
    assert "2 requests a record: a round with googleSearch, then the record" in survey_text(found).splitlines()
    both = found_of(tmp_path, model=Model(max_tokens=100, search=True, search_with_schema=True))
    assert (0, 300) == (both["rounds_per_record_at_most"], both["output_tokens_at_most"])


@pytest.mark.parametrize(
    ("dialect", "model", "named"),
    [
        (
            "kie",
            Model(temperature=0, stop=["x"], reasoning_effort="low"),
            "kie does not have model.temperature, model.stop:",
        ),
        ("toapis", Model(temperature=0, seed=1), "toapis does not have model.seed:"),
        ("toapis", Model(search=True, search_with_schema=True), "toapis does not have model.search_with_schema:"),
        ("kie", Model(search=True, search_with_schema=True), None),
        ("openai", Model(temperature=0, seed=1, reasoning_effort="low"), None),
        ("kie", Model(), None),
    ],
)
def test_what_the_dialects_page_does_not_have_is_named(
    tmp_path: Path, dialect: Any, model: Model, named: str | None
) -> None:
    """A gateway may pass over it without a word."""
    endpoint = Endpoint(base_url="https://example.invalid/v1", dialect=dialect)
    prepared = prepare_run(pipeline(model=model), rows_csv(tmp_path / "items.csv", 1), endpoint=endpoint)
    found = survey(prepared, None)
    assert int(named is not None) == len(found["warnings"])
    assert named is None or named in found["warnings"][0]
    assert named is None or f"warning: {found['warnings'][0]}" in survey_text(found)


def test_the_local_model_is_not_warned_of(tmp_path: Path) -> None:
    """What its dialect's page does not have, our own server may."""
    model = Model(include_thoughts=True)
    flow, source = pipeline(model=model), rows_csv(tmp_path / "items.csv", 1)
    assert [] == survey(prepare_run(flow, source, endpoint=Endpoint.local()), None)["warnings"]


def test_parts_of_a_record_share_their_rounds(tmp_path: Path) -> None:
    changes = {"schema": Other, "split_fields": 3, "tools": [find_number], "limits": Limits(tool_rounds=2)}
    found = found_of(tmp_path, model=Model(max_tokens=100), **changes)
    assert (9, 100 * (9 + 3 * 2)) == (found["requests"], found["output_tokens_at_most"])
    assert "4 to 5 requests a record" in survey_text(found)


def test_the_round_shown_is_the_one_that_is_sent(tmp_path: Path) -> None:
    """To the last byte, with examples and settings of the model."""
    source = rows_csv(tmp_path / "items.csv", 1)
    flow = pipeline(tools=[find_number], model=Model(temperature=0, name="m"))
    with ScriptedServer(lambda call: {"name": "a", "number": 1}) as server:
        shown = survey(prepare_run(flow, source, endpoint=server.endpoint()), None)["first_request"]
        extract.run(flow, source, out=tmp_path / "out", endpoint=server.endpoint())
    assert json.dumps(shown) == json.dumps(server.calls[0].body)
    assert 2 == len(server.calls)


def thoughtful(call: Call) -> Reply:
    """An answer with thoughts about it, but for the second record."""
    answer = item(call)
    return Reply(completion(answer, reasoning_content=None if answer["number"] == 2 else f"about {call.prompt}"))


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_thoughts_are_a_column_when_asked(tmp_path: Path, format: Any) -> None:
    """Asking for them later asks the model nothing: the journal has them."""
    source = rows_csv(tmp_path / "items.csv", 3)
    with ScriptedServer(thoughtful) as server:

        def run(flow: Pipeline) -> Result:
            return extract.run(flow, source, out=tmp_path / "out", endpoint=server.endpoint())

        before = run(pipeline(format=format)).table
        assert "_reasoning" not in before.column_names
        after = run(pipeline(format=format, keep_reasoning=True)).table
        assert 3 == len(server.calls)
        assert ["about item 1", None, "about item 3"] == after["_reasoning"].to_pylist()
        assert before.column_names == after.column_names[:-1]
        assert run(pipeline(format=format)).table.equals(before)


def test_a_column_of_that_name_is_refused(tmp_path: Path) -> None:
    (source := tmp_path / "a.csv").write_text("id,text,_reasoning\na,b,c\n")
    with pytest.raises(ConfigError, match="_reasoning"):
        prepare_run(replace(pipeline(), columns=["_reasoning"]), source, endpoint=ENDPOINT)
