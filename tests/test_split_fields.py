"""A record asked for in several requests: each for some of the fields, and one row of all of them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

import extract
from extract import ConfigError, Example, Limits, Model, Pipeline, Prompt, RunStopped
from extract.api import prepare_run
from extract.config import Endpoint
from extract.parts import Part, parts_of
from extract.records import Issue
from extract.schema import compile_schema
from extract.sinks import read_manifest
from extract.survey import survey, survey_text
from extract.testing import Call, Reply, ScriptedServer, completion
from extract.verbatim import Verbatim
from tests.children import nursery
from tests.support import parts, pipeline, rows_csv
from tests.test_relaxing import REFUSED, bill, bills, holds, schema_of

BOTH = [["name", "label"], ["lines", "day"]]
SMALL = "tests.test_split_fields.small_shards"


class Order(BaseModel):
    """The whole is more than its parts."""

    name: str
    count: int = Field(alias="Item count")
    price: Decimal = Field(decimal_places=2)
    total: Decimal = Field(decimal_places=2)

    @model_validator(mode="after")
    def _adds_up(self) -> Order:
        if self.count * self.price != self.total:
            raise ValueError("count times price is not the total")
        return self


ORDER = {"name": "n", "Item count": 2, "price": 1.5, "total": 3.0}


def orders(**changes: Any) -> Pipeline:
    return pipeline(**({"schema": Order, "split_fields": [["name", "count"], ["price", "total"]]} | changes))


def fields_of(call: Call) -> list[str]:
    return list(schema_of(call)["properties"])


def of_part(call: Call, answer: dict[str, Any]) -> dict[str, Any]:
    """The part of an answer that the call asks for."""
    return {name: answer[name] for name in fields_of(call)}


def order(call: Call, **changes: Any) -> dict[str, Any]:
    return of_part(call, ORDER | changes)


def prepared_of(tmp_path: Path, run: Pipeline) -> Any:
    return prepare_run(run, rows_csv(tmp_path / "i.csv", 2), endpoint=Endpoint(base_url="http://127.0.0.1/v1"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return rows_csv(tmp_path / "items.csv", 20)


def test_a_record_is_asked_in_parts_and_has_one_row(tmp_path: Path, source: Path) -> None:
    """Same messages, each its own fields; tokens, cost and attempts add up; the second run asks nothing."""
    priced = orders(model=Model(input_usd_per_million=1e6, output_usd_per_million=0))
    with ScriptedServer(order) as server:
        result = extract.run(priced, source, out=tmp_path / "out", endpoint=server.endpoint())
        again = extract.run(priced, source, out=tmp_path / "out", endpoint=server.endpoint())
        assert 40 == len(server.calls)
    assert result.ok
    assert again.ok
    asked = [call for call in server.calls if call.prompt == "item 1"]
    assert [["Item count", "name"], ["price", "total"]] == sorted(sorted(fields_of(call)) for call in asked)
    assert asked[0].body["messages"] == asked[1].body["messages"]
    assert [fields_of(call) for call in server.calls] == [schema_of(call)["required"] for call in server.calls]
    row = result.table.to_pylist()[0]
    assert ("n", 2, Decimal("1.50"), Decimal("3.00")) == tuple(row[name] for name in Order.model_fields)
    assert (2, 20, 10, 20.0, []) == tuple(
        row[name] for name in ("_attempts", "_input_tokens", "_output_tokens", "_cost_usd", "_flags")
    )
    assert 2 == len(set(row["_request"].split(" ")))
    assert (40, 600, 400.0) == (
        result.report.requests,
        result.report.input_tokens + result.report.output_tokens,
        result.report.cost_usd,
    )


def test_the_whole_is_judged_by_the_full_model(tmp_path: Path, source: Path) -> None:
    """What no part could tell, the model does; what a part got wrong has its path in the whole."""

    def script(call: Call) -> dict[str, Any]:
        if call.prompt == "item 3":
            return order(call, total=4.0)
        return order(call, **({"Item count": "two"} if call.prompt == "item 4" else {}))

    with ScriptedServer(script) as server:
        result = extract.run(orders(), source, out=tmp_path / "out", endpoint=server.endpoint())
    found = {row["key"]: (row["reason"], row["path"]) for row in result.quarantine.to_pylist()}
    assert {"k3": ("model.value_error", "$"), "k4": ("schema.type", "$['Item count']")} == found
    raw = json.loads(result.quarantine.to_pylist()[0]["raw_answer"])
    assert {"name": "n", "Item count": 2, "price": 1.5, "total": 4.0} == raw


def test_the_thoughts_of_all_parts_are_kept(tmp_path: Path) -> None:
    """Each below the names of the fields that it was about; a part without thoughts says nothing."""

    def script(call: Call) -> Any:
        about = fields_of(call)[0]
        thought = "" if (call.prompt, about) in {("item 1", "name"), ("item 2", "name"), ("item 2", "price")} else about
        return Reply(completion(order(call), **({"reasoning_content": f"on {thought}"} if thought else {})))

    source = rows_csv(tmp_path / "items.csv", 3)
    with ScriptedServer(script) as server:
        run = orders(keep_reasoning=True)
        result = extract.run(run, source, out=tmp_path / "out", endpoint=server.endpoint())
        again = extract.run(run, source, out=tmp_path / "out", endpoint=server.endpoint())
    expected = ["[price, total]\non price", None, "[name, count]\non name\n\n[price, total]\non price"]
    assert [expected, expected] == [each.table["_reasoning"].to_pylist() for each in (result, again)]


@pytest.mark.parametrize(
    ("reply", "reason", "message"),
    [
        (completion('{"price": 1', finish_reason="length"), "output.truncated", "max_tokens"),
        (completion(None, refusal="no"), "policy.refusal", "refused"),
        (completion("no JSON"), "parse.json", "no JSON in the answer"),
        (completion("[]"), "schema.type", "[]"),
        (completion(""), "output.empty", "empty"),
        (completion(ORDER), "schema.additionalProperties", "another part"),
        (Reply({"error": {"message": "too long", "code": "context_length_exceeded"}}, 400), "api.request", "too long"),
        (Reply({"error": {"message": "no", "code": "content_filter"}}, 400), "api.policy", "400: no"),
    ],
)
def test_a_part_without_a_whole_answer_is_the_reason(tmp_path: Path, reply: Any, reason: str, message: str) -> None:
    """Its path and message say which part; what the others cost is still counted; nothing is asked again."""
    source = rows_csv(tmp_path / "items.csv", 2)

    def script(call: Call) -> Any:
        broken = call.prompt == "item 2" and "price" in fields_of(call)
        return (reply if isinstance(reply, Reply) else Reply(reply)) if broken else order(call)

    with ScriptedServer(script) as server:
        result = extract.run(orders(), source, out=tmp_path / "out", endpoint=server.endpoint())
        extract.run(orders(), source, out=tmp_path / "out", endpoint=server.endpoint())
        assert 4 == len(server.calls)
    (row,) = result.quarantine.to_pylist()
    assert (1, reason, "$['price','total']") == (result.report.ok, row["reason"], row["path"])
    assert message in row["message"]
    assert row["message"].endswith("(asked for price, total)")
    assert (2, 2) == (row["attempts"], len(row["request"].split(" ")))
    expected = 30 if isinstance(reply, Reply) else 40
    assert expected == result.report.input_tokens


def test_a_part_that_got_no_answer_is_asked_again_by_itself(tmp_path: Path, source: Path) -> None:
    """The other parts are paid once."""
    well = False

    def script(call: Call) -> Any:
        down = not well and call.prompt == "item 5" and "name" in fields_of(call)
        return Reply({"error": {"message": "down"}}, 503) if down else order(call)

    with ScriptedServer(script) as server:
        first = extract.run(orders(), source, out=tmp_path / "out", endpoint=server.endpoint())
        (row,) = first.quarantine.to_pylist()
        assert ("api.transient", "$['name','Item count']", 4) == (row["reason"], row["path"], row["attempts"])
        asked, well = len(server.calls), True
        assert 42 == asked
        second = extract.run(orders(), source, out=tmp_path / "out", endpoint=server.endpoint())
        assert (20, asked + 1) == (second.report.ok, len(server.calls))
    assert 5 == second.table.to_pylist()[4]["_attempts"]


def test_a_final_fault_of_one_part_comes_before_another_without_answer(tmp_path: Path) -> None:
    """Asking again could not mend the record."""

    def script(call: Call) -> Any:
        return Reply({"error": {"message": "down"}}, 503) if "name" in fields_of(call) else "no JSON"

    with ScriptedServer(script) as server:
        source = rows_csv(tmp_path / "items.csv", 1)
        result = extract.run(orders(), source, out=tmp_path / "out", endpoint=server.endpoint())
        asked = len(server.calls)
        extract.run(orders(), source, out=tmp_path / "out", endpoint=server.endpoint())
        assert asked == len(server.calls)
    assert {"parse.json": 1} == result.report.reasons


def test_identical_records_share_the_answers_of_their_parts(tmp_path: Path) -> None:
    """Unless they are not to."""
    source = rows_csv(tmp_path / "items.csv", 6, lambda number: "same")
    with ScriptedServer(order) as server:
        extract.run(orders(), source, out=tmp_path / "a", endpoint=server.endpoint())
        assert 2 == len(server.calls)
        extract.run(orders(share_answers=False), source, out=tmp_path / "b", endpoint=server.endpoint())
        assert 2 + 12 == len(server.calls)


def test_parts_run_side_by_side_within_the_limits(tmp_path: Path, source: Path) -> None:
    """Two parts of one record at once; never more calls in flight than allowed."""
    slow = Limits(concurrency=3, timeout=20)
    with ScriptedServer(lambda call: Reply(completion(order(call)), delay=0.02)) as server:
        extract.run(orders(limits=slow), source, out=tmp_path / "out", endpoint=server.endpoint())
        assert 3 == server.most_in_flight
    with ScriptedServer(lambda call: Reply(completion(order(call)), delay=0.2)) as server:
        one = rows_csv(tmp_path / "one.csv", 1)
        extract.run(orders(), one, out=tmp_path / "one", endpoint=server.endpoint())
        assert 2 == server.most_in_flight


def test_examples_are_cut_to_the_fields_of_the_part(tmp_path: Path) -> None:
    """So is what the prompt narrows."""
    example = Example({"text": "t"}, {"name": "x", "Item count": 1, "price": Decimal("2.00"), "total": Decimal("2.00")})
    prompt = Prompt(user="{{ text }}", examples=[example])
    prepared = prepared_of(tmp_path, orders(prompt=prompt))
    record = next(iter(prepared.source.records()))
    bodies = [json.loads(question.build(record).body) for question in prepared.questions]
    turns = [json.loads(body["messages"][1]["content"]) for body in bodies]
    assert [{"name": "x", "Item count": 1}, {"price": 2.0, "total": 2.0}] == turns
    assert 4 == len(prepared.build.prompt.loaded_examples[0].answer)


class Tagged(BaseModel):
    total: Annotated[Decimal, Verbatim("money")]
    name: str


def test_a_record_that_one_part_cannot_be_asked_of_is_not_asked_at_all(tmp_path: Path) -> None:
    """Candidates stand in their own part; a record without any costs nothing."""
    source = rows_csv(tmp_path / "items.csv", 2, lambda number: "costs 2.50" if number == 1 else "nothing")

    def script(call: Call) -> dict[str, Any]:
        return of_part(call, {"total": "2.50", "name": "n"})

    with ScriptedServer(script) as server:
        run = pipeline(schema=Tagged, split_fields=[["name"], ["total"]])
        result = extract.run(run, source, out=tmp_path / "out", endpoint=server.endpoint())
        assert 2 == len(server.calls)
    offered = {fields_of(call)[0]: schema_of(call)["properties"][fields_of(call)[0]] for call in server.calls}
    assert ["2.50"] == offered["total"]["enum"]
    assert "enum" not in offered["name"]
    assert (1, {"verbatim.no_candidate": 1}) == (result.report.ok, result.report.reasons)


def test_each_part_is_relaxed_by_itself(tmp_path: Path, source: Path) -> None:
    """A part that is taken as it is stays so; the row says how far the other came."""
    with ScriptedServer(
        lambda call: REFUSED if holds(call, "maxItems", "minimum") else of_part(call, bill(call))
    ) as server:
        split = bills(split_fields=BOTH)
        result = extract.run(split, source, out=tmp_path / "out", endpoint=server.endpoint())
        refused = sum(holds(call, "maxItems", "minimum") for call in server.calls)
        asked = len(server.calls)
        assert (20, 40 + refused) == (result.report.ok, asked)
        assert 2 <= refused <= 5
        extract.run(split, source, out=tmp_path / "out", endpoint=server.endpoint())
        assert asked == len(server.calls)
    manifest = read_manifest(tmp_path / "out") or {}
    assert (["array bounds", "numeric bounds"], [0, 2]) == (manifest["relaxed"], manifest["rungs"])
    assert ["schema_relaxed:array bounds, numeric bounds"] == result.table["_flags"].to_pylist()[0]
    assert any(holds(call, "enum") for call in server.calls)


def test_a_part_that_stays_too_complex_stops_the_run_by_its_name(tmp_path: Path, source: Path) -> None:
    """It says which fields those are, and what helps."""

    def script(call: Call) -> Any:
        return REFUSED if "lines" in fields_of(call) else of_part(call, bill(call))

    told = "the schema of lines, day too complex even without array bounds"
    with ScriptedServer(script) as server, pytest.raises(RunStopped, match=told) as caught:
        extract.run(bills(split_fields=BOTH), source, out=tmp_path / "out", endpoint=server.endpoint())
    assert "in more requests: split_fields" in str(caught.value)


def test_another_split_asks_anew_and_has_another_fingerprint(tmp_path: Path) -> None:
    """A number and the lists that it stands for are the same."""
    whole, named, other, counted = (
        prepared_of(tmp_path, orders(split_fields=split)).fingerprint
        for split in ((), [["name", "count"], ["price", "total"]], [["name"], ["count", "price", "total"]], 2)
    )
    assert 3 == len({whole, named, other})
    assert named == counted


class Wide(BaseModel):
    a: int
    b: int
    big: list[str] = Field(max_length=500)
    c: int
    d: int


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, ()),
        (2, (("a", "b", "big"), ("c", "d"))),
        (3, (("a", "b"), ("big",), ("c", "d"))),
        (5, (("a",), ("b",), ("big",), ("c",), ("d",))),
    ],
)
def test_a_number_makes_parts_of_about_equal_size(count: int, expected: tuple[tuple[str, ...], ...]) -> None:
    """In the order of the fields, none empty; the size is that of the grammar."""
    assert expected == tuple(part.names for part in parts_of(compile_schema(Wide), count))


def test_equal_fields_are_spread_evenly() -> None:
    """For every number of parts: none has two fields more than another, and none is lost."""
    for number in range(1, 12):
        schema = compile_schema({"type": "object", "properties": {f"f{n:02}": {"type": "string"} for n in range(11)}})
        found = parts_of(schema, number) or (Part(tuple("x" * 11), ()),)
        sizes = [len(part.names) for part in found]
        assert (number, 11) == (len(found), sum(sizes))
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ([["name", "count"], ["price"]], "leaves out 'total'"),
        ([["name", "count", "total"], ["price", "total"]], "names 'total' more than once"),
        ([["name", "count"], ["price", "totla"]], "names 'totla', which is no field .*did you mean 'total'"),
        ([["name", "Item count"], ["price", "total"]], "names 'Item count'"),
        ([["zzz"]], "there are: name, count, price, total"),
        ([["name", "count", "price", "total"], []], "a part without fields"),
        (["name", "count"], "holds 'name'"),
        ([["name", 1]], "holds"),
        ("name", "is 'name'"),
        ({"a": 1}, "is {'a': 1}"),
        (0, "is 0.*1 to 4 parts"),
        (5, "is 5"),
        (True, "is True"),
        (None, "is None"),
    ],
)
def test_a_split_that_does_not_fit_is_refused_before_paying(tmp_path: Path, split: Any, message: str) -> None:
    """With the reason."""
    with pytest.raises(ConfigError, match=message):
        prepared_of(tmp_path, orders(split_fields=split))


def test_undeclared_properties_are_asked_for_with_the_last_part(tmp_path: Path) -> None:
    """Where the schema is open and the wire is not."""

    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        __pydantic_extra__: dict[str, int] = Field(init=False)
        a: str
        b: str

    schema = compile_schema(Open)
    first, last = parts_of(schema, 2)
    assert (("a",), ("b", "additional_properties")) == (first.wires, last.wires)
    assert ["b", "additional_properties"] == list(last.schema_of(schema).wire_schema["properties"])
    assert ["a"] == first.schema_of(schema).wire_schema["required"]


def test_the_path_of_a_part_selects_its_fields() -> None:
    """A JSON path; an issue deeper in the answer keeps its own."""
    assert "$.a" == Part(("a",), ("a",)).path
    assert "$['Total due']" == Part(("a",), ("Total due",)).path
    assert "$['a','it\\'s']" == Part(("a", "b"), ("a", "it's")).path
    issue = Issue("schema", "c", "$.x", "m")
    assert Issue("schema", "c", "$.x", "m (asked for a)") == Part(("a",), ("a",)).locate(issue)


def test_check_counts_the_requests_of_all_parts(tmp_path: Path) -> None:
    """As data and in words."""
    found = survey(prepared_of(tmp_path, orders()), None)
    assert (4, 0, 2) == (found["requests"], found["answered"], found["requests_per_record"])
    assert "asked for in 2 requests a record" in survey_text(found)


def test_a_split_run_that_is_killed_ends_like_one_that_is_not(tmp_path: Path) -> None:
    """No part is paid twice, but for the calls in flight."""
    source = rows_csv(tmp_path / "items.csv", 30)

    def script(call: Call) -> Reply:
        return Reply(completion(order(call, name=call.prompt)), delay=0.03)

    with nursery(tmp_path) as ready:
        with ScriptedServer(script) as server:
            assert 0 == ready.run(source, tmp_path / "undisturbed", server, maker=SMALL), ready.said
            assert 60 == len(server.calls)
        with ScriptedServer(script) as server:
            ready.kill_at_random(source, tmp_path / "out", server, 4, seed=4, maker=SMALL)
            assert 60 <= len(server.calls) <= 60 + 4 * 8
    assert parts(tmp_path / "undisturbed") == parts(tmp_path / "out")


def small_shards() -> Pipeline:
    return orders(shard_rows=7, limits=Limits(concurrency=8))
