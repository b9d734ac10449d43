"""Functions and the web search before a record is asked for: rounds, bounds, errors, what is paid and what is kept."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from pydantic import BaseModel

import extract
from extract import ConfigError, Limits, Model, Pipeline, RunStopped
from extract.api import prepare_run
from extract.schema.functions import tool_of
from extract.testing import Call, Reply, ScriptedServer, completion
from extract.tools import MAX_RESULT, first_round
from tests.support import NO_WAIT

PRICES = {"input_usd_per_million": 1e5, "output_usd_per_million": 1e5}


class Bill(BaseModel):
    """A bill and the number of its vendor."""

    vendor_id: int


def lookup_vendor(name: str) -> int:
    """Find the number of a vendor by name."""
    return len(name)


def bills(**changes: Any) -> Pipeline:
    settings: dict[str, Any] = {"name": "bills", "schema": Bill, "prompt": "{{ text }}", "retry": NO_WAIT}
    settings |= {"tools": [lookup_vendor], "limits": Limits(concurrency=4, timeout=20, tool_timeout=5)}
    return Pipeline(**(settings | changes))


def calls_for(*calls: tuple[str, Any], ids: bool = True, **more: Any) -> Reply:
    """An answer that wants functions called."""
    made = [
        {
            **({"id": f"c{number}"} if ids else {}),
            "type": "function",
            "function": {"name": name, "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments)},
        }
        for number, (name, arguments) in enumerate(calls)
    ]
    return Reply(completion(None, finish_reason="tool_calls", tool_calls=made, **more))


def results_of(call: Call) -> list[Any]:
    """What functions gave back so far, as the round shows it."""
    return [json.loads(said["content"]) for said in call.body["messages"] if said["role"] == "tool"]


def is_round(call: Call) -> bool:
    return "tools" in call.body


def text_of(call: Call) -> str:
    return str(call.body["messages"][0]["content"])


def vendors(call: Call) -> Any:
    """One call, then the record with its result."""
    if not is_round(call):
        return {"vendor_id": int(call.prompt.rsplit("\n", 1)[-1])}
    if results_of(call):
        return "the vendor is known"
    return calls_for(("lookup_vendor", {"name": text_of(call)}))


def after_one_round(change: Callable[[Any], None]) -> Callable[[Call], Any]:
    """One call, whose message is changed before it is sent, then a record."""

    def script(call: Call) -> Any:
        if not is_round(call):
            return {"vendor_id": 1}
        if results_of(call):
            return "done"
        reply = calls_for(("lookup_vendor", {"name": "a"}))
        change(reply.body["choices"][0]["message"])
        return Reply(json.dumps(reply.body))

    return script


class Wide(BaseModel):
    """A record that is asked for in parts."""

    a: int
    b: int


def wide(call: Call) -> Any:
    """One call, then 1 for each field that is asked for."""
    if is_round(call):
        return vendors(call)
    return dict.fromkeys(call.body["response_format"]["json_schema"]["schema"]["properties"], 1)


def test_the_model_calls_a_function_and_then_gives_the_record(tmp_path: Path) -> None:
    """Two rounds with tools and without a schema, then one request with the schema, without tools, with the results."""

    def script(call: Call) -> Any:
        return {"vendor_id": 4} if not is_round(call) else vendors(call)

    with ScriptedServer(script) as server:
        result = extract.run(bills(), pd.DataFrame({"text": ["acme"]}), out=tmp_path, endpoint=server.endpoint())
    first, second, last = (call.body for call in server.calls)
    assert [4] == result.table["vendor_id"].to_pylist()
    assert ["lookup_vendor"] == [tool["function"]["name"] for tool in first["tools"]]
    assert [False, False, True] == ["response_format" in body for body in (first, second, last)]
    assert [
        {"role": "user", "content": "acme"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c0",
                    "type": "function",
                    "function": {"name": "lookup_vendor", "arguments": '{"name": "acme"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c0", "content": "4"},
    ] == second["messages"]
    assert "tools" not in last
    assert 'lookup_vendor({"name": "acme"})\n4' in last["messages"][-1]["content"]


@pytest.mark.parametrize("changes", [{}, {"tools": (), "model": Model(search=True)}])
def test_the_first_round_can_be_looked_at_before_anything_is_sent(tmp_path: Path, changes: dict[str, Any]) -> None:
    """To the byte what goes out first for a record; its owner is the request for the record."""
    source = pd.DataFrame({"text": ["acme"]})
    with ScriptedServer(lambda call: "no" if is_round(call) else {"vendor_id": 1}) as server:
        prepared = prepare_run(bills(**changes), source, endpoint=server.endpoint())
        (record,) = prepared.source.records()
        asked = prepared.questions[0].build(record)
        seen = first_round(asked, prepared.toolbox)
        assert [] == server.calls
        extract.run(bills(**changes), source, out=tmp_path, endpoint=server.endpoint())
    assert server.calls[0].raw == seen.body
    assert (asked.hash, False) == (seen.owner, asked.hash == seen.hash)


def test_a_record_that_needs_no_function_is_asked_as_it_is(tmp_path: Path) -> None:
    """One round that calls nothing, then the plain request."""
    with ScriptedServer(lambda call: "nothing to look up" if is_round(call) else {"vendor_id": 1}) as server:
        extract.run(bills(), pd.DataFrame({"text": ["acme"]}), out=tmp_path, endpoint=server.endpoint())
    assert [{"role": "user", "content": "acme"}] == server.calls[-1].body["messages"]


def test_every_round_is_paid_and_counted(tmp_path: Path) -> None:
    """The row has the tokens, the cost and the calls of all its rounds; the manifest and the report have them too."""

    def script(call: Call) -> Any:
        return vendors(call) if is_round(call) else {"vendor_id": 4}

    with ScriptedServer(script) as server:
        run = bills(model=Model(**PRICES))
        result = extract.run(run, pd.DataFrame({"text": ["acme", "bolt"]}), out=tmp_path, endpoint=server.endpoint())
        rows = result.table.select(["_attempts", "_input_tokens", "_output_tokens", "_cost_usd"]).to_pylist()
        again = extract.run(run, pd.DataFrame({"text": ["acme", "bolt"]}), out=tmp_path, endpoint=server.endpoint())
    assert [{"_attempts": 3, "_input_tokens": 30, "_output_tokens": 15, "_cost_usd": 4.5}] * 2 == rows
    assert [6, 60, 30, 9.0] == [
        result.report.requests,
        result.report.input_tokens,
        result.report.output_tokens,
        result.report.cost_usd,
    ]
    assert [0, 6] == [again.report.requests, len(server.calls)]


def test_calls_of_one_round_run_side_by_side(tmp_path: Path) -> None:
    """Parallel calls: both are at work at one time, and their results stand in the order of the calls."""
    together = threading.Barrier(2, timeout=5)

    def meet(name: str) -> str:
        """Wait for the other."""
        together.wait()
        return name.upper()

    def script(call: Call) -> Any:
        if not is_round(call):
            return {"vendor_id": 1}
        return "done" if results_of(call) else calls_for(("meet", {"name": "a"}), ("meet", {"name": "b"}))

    with ScriptedServer(script) as server:
        extract.run(bills(tools=[meet]), pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
    assert ["A", "B"] == results_of(server.calls[1])


def test_async_functions_are_tools_too(tmp_path: Path) -> None:
    async def find(name: str) -> dict[str, str]:
        """Find it."""
        await asyncio.sleep(0)
        return {"found": name}

    def script(call: Call) -> Any:
        if not is_round(call):
            return {"vendor_id": 1}
        return "done" if results_of(call) else calls_for(("find", {"name": "a"}))

    with ScriptedServer(script) as server:
        extract.run(bills(tools=[find]), pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
    assert [{"found": "a"}] == results_of(server.calls[1])


def broken(name: str) -> int:
    """Always fails."""
    raise LookupError(f"no vendor {name}")


def slow(name: str) -> int:
    """Never ends."""
    time.sleep(60)
    return 1


def huge(name: str) -> str:
    """Gives back too much."""
    return "x" * (MAX_RESULT + 1)


def odd(name: str) -> Any:
    """Gives back what is no JSON."""
    return object()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("broken", {"name": "acme"}), "LookupError: no vendor acme"),
        (("slow", {"name": "acme"}), "slow took longer than 0.2 s"),
        (("huge", {"name": "acme"}), "huge gave back 65,539 bytes, more than 65,536; ask for less"),
        (("odd", {"name": "acme"}), "odd gave back what is no JSON"),
        (("nothing", {}), "there is no function 'nothing'; there are broken, slow, huge, odd"),
        (("broken", "{'name': 1}"), "the arguments are not JSON"),
        (("broken", {"name": 1}), "the arguments do not fit: $.name"),
        (("broken", {"name": "a", "x": 1}), "the arguments do not fit"),
    ],
)
def test_what_goes_wrong_in_a_function_is_told_to_the_model(tmp_path: Path, call: tuple[str, Any], said: str) -> None:
    """Errors, unknown names, wrong arguments, too long, too much: the model may try otherwise; the record goes on."""

    def script(seen: Call) -> Any:
        if not is_round(seen):
            return {"vendor_id": 1}
        return "then not" if results_of(seen) else calls_for(call)

    tools: list[Callable[..., Any]] = [broken, slow, huge, odd]
    run = bills(tools=tools, limits=Limits(tool_timeout=0.2))
    with ScriptedServer(script) as server:
        result = extract.run(run, pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
    (found,) = results_of(server.calls[1])
    assert said in found["error"]
    assert 1 == result.report.ok


def test_rounds_are_bounded_and_the_row_says_so(tmp_path: Path) -> None:
    """A model that never stops calling is asked for the record all the same."""

    def script(call: Call) -> Any:
        name = f"n{len(results_of(call))}" if is_round(call) else ""
        return calls_for(("lookup_vendor", {"name": name})) if is_round(call) else {"vendor_id": 1}

    run = bills(limits=Limits(tool_rounds=3))
    with ScriptedServer(script) as server:
        result = extract.run(run, pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
        extract.run(run, pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
    assert 4 == len(server.calls)
    assert [["tool_rounds_exhausted"]] == result.table["_flags"].to_pylist()


def test_calls_are_bounded_and_the_row_says_so(tmp_path: Path) -> None:
    """No more than `tool_calls` for one record; the others are told that none is left."""
    made: list[str] = []

    def count(name: str) -> int:
        """Count."""
        made.append(name)
        return len(made)

    def script(call: Call) -> Any:
        if not is_round(call):
            return {"vendor_id": 1}
        return "done" if results_of(call) else calls_for(*[("count", {"name": str(number)}) for number in range(50)])

    run = bills(tools=[count], limits=Limits(tool_calls=3))
    with ScriptedServer(script) as server:
        result = extract.run(run, pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
    assert 3 == len(made)
    assert [{"error": "no call is left"}] * 47 == results_of(server.calls[1])[3:]
    assert [["tool_calls_exhausted"]] == result.table["_flags"].to_pylist()


def test_a_run_that_is_taken_up_again_pays_no_round_twice_and_calls_no_function_twice(tmp_path: Path) -> None:
    """It stops before the record itself is asked for; the next run asks only for that."""
    made: list[str] = []
    well = False

    def note(name: str) -> int:
        """Note it."""
        made.append(name)
        return len(made)

    def script(call: Call) -> Any:
        if not is_round(call):
            return {"vendor_id": 1} if well else Reply({"error": {"code": "invalid_api_key", "message": "no"}}, 401)
        return "done" if results_of(call) else calls_for(("note", {"name": "a"}))

    with ScriptedServer(script) as server:
        with pytest.raises(extract.AuthenticationError):
            extract.run(bills(tools=[note]), pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
        well = True
        result = extract.run(
            bills(tools=[note]), pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint()
        )
    assert [["a"], 4] == [made, len(server.calls)]
    assert [3, 30] == [result.table["_attempts"][0].as_py() - 1, result.table["_input_tokens"][0].as_py()]


def test_a_round_that_is_refused_quarantines_its_record_only(tmp_path: Path) -> None:
    """A 400 for one record's round: that record; it is not asked again."""

    def script(call: Call) -> Any:
        if text_of(call) == "bad":
            return Reply({"error": {"message": "no such thing", "type": "invalid_request_error"}}, 400)
        return vendors(call) if is_round(call) else {"vendor_id": 1}

    source = pd.DataFrame({"text": ["good", "bad"]})
    with ScriptedServer(script) as server:
        result = extract.run(bills(), source, out=tmp_path, endpoint=server.endpoint())
        asked = len(server.calls)
        again = extract.run(bills(prompt="{{ text }}"), source, out=tmp_path, endpoint=server.endpoint())
    assert [1, {"api.request": 1}] == [result.report.ok, result.report.reasons]
    assert [4, 4, 0] == [asked, len(server.calls), again.report.requests]


def test_a_round_that_fails_for_a_while_is_tried_again(tmp_path: Path) -> None:
    """Retries stand round every request."""
    failed: list[int] = []

    def script(call: Call) -> Any:
        if len(failed) < 2:
            failed.append(call.number)
            return Reply({"error": {"message": "busy"}}, 503)
        return vendors(call) if is_round(call) else {"vendor_id": 1}

    with ScriptedServer(script) as server:
        result = extract.run(bills(), pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
    assert [1, 2, 5] == [result.report.ok, result.report.retries, result.report.requests]


def test_parts_of_a_record_share_their_rounds(tmp_path: Path) -> None:
    """With split_fields the research is made once."""

    with ScriptedServer(wide) as server:
        run = bills(schema=Wide, split_fields=2)
        result = extract.run(run, pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
    assert [1, 2, 4] == [result.report.ok, sum(map(is_round, server.calls)), len(server.calls)]


def test_a_declaration_that_is_too_complex_stops_the_run(tmp_path: Path) -> None:
    """Relaxing the record's schema would not help."""
    refusal = {"error": {"message": "The specified schema produces a constraint that has too many states for serving."}}
    with ScriptedServer(lambda call: Reply(refusal, 400)) as server:
        with pytest.raises(RunStopped, match="the declaration of the tools too complex"):
            extract.run(bills(), pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
        assert 1 == len(server.calls)


def test_a_call_without_an_id_gets_one(tmp_path: Path) -> None:
    """Some gateways send none; the result must name its call."""

    def script(call: Call) -> Any:
        if not is_round(call):
            return {"vendor_id": 1}
        return "done" if results_of(call) else calls_for(("lookup_vendor", {"name": "a"}), ids=False)

    with ScriptedServer(script) as server:
        extract.run(bills(), pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
    said = server.calls[1].body["messages"]
    assert [["call_0"], "call_0"] == [[call["id"] for call in said[1]["tool_calls"]], said[2]["tool_call_id"]]


def test_what_a_gateway_adds_to_a_call_is_sent_back(tmp_path: Path) -> None:
    """Gemini 3 refuses a call that comes back without the signature of its thought."""
    signature = {"google": {"thought_signature": "abc"}}

    def sign(message: Any) -> None:
        message["tool_calls"][0]["extra_content"] = signature

    with ScriptedServer(after_one_round(sign)) as server:
        extract.run(bills(), pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
    assert signature == server.calls[1].body["messages"][1]["tool_calls"][0]["extra_content"]


PAGE = {
    "type": "url_citation",
    "url_citation": {"url": "https://example.org/a", "title": "A", "start_index": 0, "end_index": 4},
}


def test_a_search_goes_before_the_record_and_its_sources_are_kept(tmp_path: Path) -> None:
    """googleSearch alone, then the schema with what was found; the evidence table has the pages."""

    def script(call: Call) -> Any:
        if is_round(call):
            return Reply(completion("Acme is vendor 7.", annotations=[PAGE]))
        return {"vendor_id": 7}

    run = bills(tools=(), model=Model(search=True))
    with ScriptedServer(script) as server:
        result = extract.run(run, pd.DataFrame({"text": ["acme"]}), out=tmp_path, endpoint=server.endpoint())
    first, last = (call.body for call in server.calls)
    assert [{"type": "function", "function": {"name": "googleSearch"}}] == first["tools"]
    assert ["response_format" in first, "tools" in last] == [False, False]
    assert "Acme is vendor 7.\nSources:\n- A: https://example.org/a" in last["messages"][-1]["content"]
    assert [["https://example.org/a"], ["A"]] == [
        result.evidence["url"].to_pylist(),
        result.evidence["title"].to_pylist(),
    ]


def test_a_search_with_a_schema_is_one_request_and_asked_for_explicitly(tmp_path: Path) -> None:
    """Behind search_with_schema, since not every gateway takes both."""
    run = bills(tools=(), model=Model(search=True, search_with_schema=True))
    with ScriptedServer(lambda call: Reply(completion({"vendor_id": 7}, annotations=[PAGE]))) as server:
        result = extract.run(run, pd.DataFrame({"text": ["acme"]}), out=tmp_path, endpoint=server.endpoint())
    (only,) = server.calls
    assert {"tools", "response_format"} <= set(only.body)
    assert ["https://example.org/a"] == result.evidence["url"].to_pylist()


@pytest.mark.parametrize(
    "settings",
    [
        {"model": Model(search=True)},
        {"tools": (), "model": Model(search_with_schema=True)},
        {"tools": (), "model": Model(search=True, search_with_schema=True, mode="tool")},
        {"tools": [lookup_vendor, lookup_vendor]},
        {"tools": [lambda name: 1]},
    ],
)
def test_what_excludes_each_other_is_refused_before_anything_is_sent(tmp_path: Path, settings: Any) -> None:
    with ScriptedServer(lambda call: {"vendor_id": 1}) as server:
        with pytest.raises(ConfigError):
            extract.run(
                bills(**settings), pd.DataFrame({"text": ["x"]}), out=tmp_path / "out", endpoint=server.endpoint()
            )
        assert [] == server.calls


class Sale(BaseModel):
    """A sale."""

    item: Literal["tea", "milk"]
    pair: tuple[int, str] = (1, "x")


def test_the_record_comes_as_a_function_call_where_there_is_no_response_format(tmp_path: Path) -> None:
    """mode="tool": the schema is a function's parameters, and its arguments are judged like any answer."""

    def script(call: Call) -> Any:
        wanted = call.body["tools"][0]["function"]["name"]
        arguments = {"item": call.prompt, "pair": {"item_0": 2, "item_1": "y"}}
        return calls_for((wanted, arguments))

    run = Pipeline(name="sales", schema=Sale, prompt="{{ text }}", model=Model(mode="tool"), retry=NO_WAIT)
    with ScriptedServer(script) as server:
        source = pd.DataFrame({"text": ["tea", "beer"]})
        result = extract.run(run, source, out=tmp_path, endpoint=server.endpoint())
    body = server.calls[0].body
    assert "response_format" not in body
    assert {"type": "function", "function": {"name": body["tools"][0]["function"]["name"]}} == body["tool_choice"]
    assert [["tea"], {"schema.enum": 1}] == [result.table["item"].to_pylist(), result.report.reasons]


def test_a_changed_function_is_called_anew(tmp_path: Path) -> None:
    """Neither the rounds nor the results of another version count."""

    def first(name: str) -> str:
        """Find it."""
        return "old"

    def second(name: str) -> str:
        """Find it."""
        return "new"

    def script(call: Call) -> Any:
        if not is_round(call):
            return {"vendor_id": 1}
        return "done" if results_of(call) else calls_for(("find", {"name": "a"}))

    with ScriptedServer(script) as server:
        for function in (first, second):
            run = bills(tools=[tool_of(function, name="find")])
            extract.run(run, pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
    assert [6, ["new"]] == [len(server.calls), results_of(server.calls[4])]


def test_another_model_makes_its_own_rounds(tmp_path: Path) -> None:
    """Where the model's name is in the path, it is not in the body."""

    def script(call: Call) -> Any:
        return "no" if is_round(call) else {"vendor_id": 1}

    with ScriptedServer(script) as server:
        for name in ("a", "b"):
            run = bills(model=Model(name=name))
            endpoint = server.endpoint(dialect="kie")
            extract.run(run, pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=endpoint)
    assert ["a", "a", "b", "b"] == [call.path.split("/")[2] for call in server.calls]


def test_records_that_share_no_answers_share_no_rounds(tmp_path: Path) -> None:
    source = pd.DataFrame({"text": ["x", "x"]})
    with ScriptedServer(lambda call: "no" if is_round(call) else {"vendor_id": 1}) as server:
        extract.run(bills(share_answers=False), source, out=tmp_path, endpoint=server.endpoint())
    assert [2, 4] == [sum(map(is_round, server.calls)), len(server.calls)]


async def cancels(name: str) -> int:
    """Waits for what it has cancelled."""
    task = asyncio.ensure_future(asyncio.sleep(60))
    task.cancel()
    await task
    return 1


async def exits_async(name: str) -> int:
    """Ends."""
    raise SystemExit(3)


def exits(name: str) -> int:
    """Ends."""
    raise SystemExit(3)


def finds_none(name: str) -> int:
    """Finds none."""
    return next(number for number in (1, 2) if number > 3)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (cancels, "it was cancelled"),
        (exits_async, "SystemExit: 3"),
        (exits, "SystemExit: 3"),
        (finds_none, "StopIteration"),
    ],
)
def test_no_function_can_end_the_run(tmp_path: Path, function: Callable[..., Any], said: str) -> None:
    """What it raises is its own failure, and told to the model at once."""

    def script(call: Call) -> Any:
        if not is_round(call):
            return {"vendor_id": 1}
        return "done" if results_of(call) else calls_for((function.__name__, {"name": "a"}))

    began = time.monotonic()
    with ScriptedServer(script) as server:
        run = bills(tools=[function], limits=Limits(tool_timeout=20))
        result = extract.run(run, pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
    assert said in results_of(server.calls[1])[0]["error"]
    assert 1 == result.report.ok
    assert time.monotonic() - began < 10


def test_a_refused_declaration_is_not_held_against_the_schema(tmp_path: Path) -> None:
    """Once the endpoint takes the tools, the same command goes on."""
    refusal = {"error": {"message": "The specified schema produces a constraint that has too many states for serving."}}
    well = False

    def script(call: Call) -> Any:
        if not well:
            return Reply(refusal, 400)
        return "no" if is_round(call) else {"vendor_id": 1}

    source = pd.DataFrame({"text": ["x"]})
    with ScriptedServer(script) as server:
        for _ in range(2):
            with pytest.raises(RunStopped, match="the declaration of the tools too complex"):
                extract.run(bills(), source, out=tmp_path, endpoint=server.endpoint())
        well = True
        assert 1 == extract.run(bills(), source, out=tmp_path, endpoint=server.endpoint()).report.ok


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_search_that_was_cut_off_is_no_finding(tmp_path: Path, reason: str) -> None:
    """Its text is left out, and the row says so."""

    def script(call: Call) -> Any:
        return Reply(completion("half of it", finish_reason=reason)) if is_round(call) else {"vendor_id": 1}

    run = bills(tools=(), model=Model(search=True))
    with ScriptedServer(script) as server:
        result = extract.run(run, pd.DataFrame({"text": ["acme"]}), out=tmp_path, endpoint=server.endpoint())
    assert [[f"research_{reason}"]] == result.table["_flags"].to_pylist()
    assert [{"role": "user", "content": "acme"}] == server.calls[-1].body["messages"]


def test_parts_of_a_record_count_their_rounds_once(tmp_path: Path) -> None:
    """Tokens, cost and calls of the row are those that were paid; the pages of all parts are kept."""

    with ScriptedServer(wide) as server:
        run = bills(schema=Wide, split_fields=2, model=Model(**PRICES))
        result = extract.run(run, pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
    row = result.table.select(["_attempts", "_input_tokens", "_cost_usd"]).to_pylist()
    assert [{"_attempts": 4, "_input_tokens": 40, "_cost_usd": 6.0}] == row
    assert [4, 40] == [result.report.requests, result.report.input_tokens]


@pytest.mark.parametrize("place", ["name", "arguments", "id", "extra_content", "content"])
def test_half_a_surrogate_pair_in_a_round_costs_no_record(tmp_path: Path, place: str) -> None:
    """No request could hold it; it goes back as its escape."""

    def halve(message: Any) -> None:
        made = message["tool_calls"][0]
        if place == "content":
            message["content"] = "\ud800"
        elif place in made:
            made[place] = "\ud800"
        elif place == "extra_content":
            made[place] = {"a": "\ud800"}
        else:
            made["function"][place] = '{"name": "\ud800"}'

    with ScriptedServer(after_one_round(halve)) as server:
        result = extract.run(bills(), pd.DataFrame({"text": ["x"]}), out=tmp_path, endpoint=server.endpoint())
    assert [1, 3] == [result.report.ok, len(server.calls)]


def test_a_call_of_another_function_is_not_the_record(tmp_path: Path) -> None:
    run = Pipeline(name="sales", schema=Sale, prompt="{{ text }}", model=Model(mode="tool"), retry=NO_WAIT)
    with ScriptedServer(lambda call: calls_for(("other", {"item": "tea"}))) as server:
        result = extract.run(run, pd.DataFrame({"text": ["tea"]}), out=tmp_path, endpoint=server.endpoint())
    assert {"output.tool_call": 1} == result.report.reasons
