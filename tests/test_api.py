"""Whole runs against a real server on loopback: what is asked, what is kept, what is told."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa
import pytest
from pydantic import BaseModel, model_validator

import extract
from extract import Endpoint, Limits, Model, Prompt, Retry, checks
from extract.api import Result
from extract.errors import (
    AuthenticationError,
    ConfigError,
    InputError,
    InsufficientBalanceError,
    NotFoundError,
    PromptError,
    RunDirectoryError,
    RunStopped,
)
from extract.job import endpoint_at
from extract.stop import Stop
from extract.testing import Call, Reply, ScriptedServer, completion
from tests.support import KEY, NO_WAIT, files, item, parts, pipeline, rows_csv


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return rows_csv(tmp_path / "items.csv", 30)


def run(server: ScriptedServer, source: Any, out: Path, **changes: Any) -> Result:
    own = {name: changes.pop(name) for name in ("limit", "max_failed", "on_progress", "transport") if name in changes}
    return extract.run(pipeline(**changes), source, out=out, endpoint=server.endpoint(api_key=KEY), **own)


def manifest(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return found


def ask_in(out: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(out / "journal.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


# what goes out and what comes back


def test_every_row_is_answered_once_in_the_order_of_the_input(source: Path, out: Path) -> None:
    """Whatever the order of the answers."""
    delays = random.Random(7)
    with ScriptedServer(lambda call: Reply(completion(item(call)), delay=delays.uniform(0, 0.05))) as server:
        result = run(server, source, out)
    assert 30 == len(server.calls)
    assert 8 == server.most_in_flight
    assert [f"k{n}" for n in range(1, 31)] == result.table["id"].to_pylist()
    assert list(range(1, 31)) == result.table["number"].to_pylist()
    assert result.ok
    assert "30 ok, 0 quarantined, 30 requests, 450 tokens, 0 retries" == result.report.line


def test_the_request_says_all_that_the_protocol_wants(source: Path, out: Path) -> None:
    """Model, messages, stream false, max_tokens and the schema, always said."""
    with ScriptedServer(item) as server:
        run(server, source, out, limit=1, model=Model(name="m1", max_tokens=77, temperature=0, extra_body={"top_k": 1}))
    body = server.calls[0].body
    assert ["max_tokens", "messages", "model", "response_format", "stream", "temperature", "top_k"] == sorted(body)
    assert ("m1", False, 77) == (body["model"], body["stream"], body["max_tokens"])
    assert [{"role": "user", "content": "item 1"}] == body["messages"]
    assert "json_schema" == body["response_format"]["type"]


def test_identical_records_share_one_call(tmp_path: Path, out: Path) -> None:
    """Those at work together and those that come later; each has its own row."""
    source = rows_csv(tmp_path / "same.csv", 200, lambda n: f"item {n % 2}")
    with ScriptedServer(lambda call: Reply(completion(item(call)), delay=0.05)) as server:
        result = run(server, source, out)
    assert (2, 200) == (len(server.calls), result.table.num_rows)


def test_identical_records_can_be_asked_one_by_one(tmp_path: Path, out: Path) -> None:
    source = rows_csv(tmp_path / "same.csv", 5, lambda n: "item 1")
    with ScriptedServer(item) as server:
        run(server, source, out, share_answers=False)
    assert 5 == len(server.calls)


@pytest.mark.parametrize("kind", ["frame", "arrow", "jsonl"])
def test_every_kind_of_source_makes_the_same_table(tmp_path: Path, out: Path, source: Path, kind: str) -> None:
    frame = pd.read_csv(source)
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    given = {"frame": frame, "arrow": pa.Table.from_pandas(frame), "jsonl": tmp_path / "a.jsonl"}[kind]
    with ScriptedServer(item) as server:
        expected = run(server, source, out).to_pandas()
        found = run(server, given, tmp_path / "other").to_pandas()
    pd.testing.assert_frame_equal(expected, found)
    assert 60 == len(server.calls)


def test_a_users_own_transport_carries_the_run(source: Path, out: Path) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=completion(item(Call(1, "", {}, json.loads(request.content)))))

    endpoint = Endpoint(base_url="https://example.invalid/v1", api_key=KEY)
    result = extract.run(pipeline(), source, out=out, endpoint=endpoint, transport=httpx.MockTransport(handler))
    assert 30 == result.table.num_rows


def test_httpx_own_transport_carries_the_run(source: Path, out: Path) -> None:
    with ScriptedServer(item) as server:
        result = run(server, source, out, transport=httpx.AsyncHTTPTransport())
    assert (30, 30) == (result.table.num_rows, len(server.calls))


def test_rows_that_could_not_be_read_are_in_the_quarantine_with_their_line(tmp_path: Path, out: Path) -> None:
    """And are not asked; no cell of them is lost."""
    source = tmp_path / "a.csv"
    source.write_text("id,text\nk1,item 1\nk2\nk3,item 3,more,and more\nk4,item 4\n")
    with ScriptedServer(item) as server:
        result = run(server, source, out)
    assert (2, ["k1", "k4"]) == (len(server.calls), result.table["id"].to_pylist())
    bad = result.quarantine.to_pylist()
    assert ["k2", "k3"] == [row["key"] for row in bad]
    assert {"source.cells"} == {row["reason"] for row in bad}
    assert ["line 3", "line 4"] == [row["message"].split(":")[0] for row in bad]
    assert ["k3", "item 3", "more", "and more"] == json.loads(bad[1]["value"])


def test_an_answer_that_never_parses_is_in_the_quarantine_as_it_came(source: Path, out: Path) -> None:
    """With its raw answer, its key and the columns of the source; the others are not hurt."""
    with ScriptedServer(lambda call: "no JSON" if call.prompt == "item 7" else item(call)) as server:
        result = run(server, source, out)
        assert not result.ok
        assert run(server, source, out, max_failed=1).ok
    assert 30 == len(server.calls)
    [row] = result.quarantine.to_pylist()
    assert ("k7", "parse.json", "parse", "no JSON", 1) == (
        *(row["key"], row["reason"], row["stage"], row["raw_answer"], row["attempts"]),
    )
    assert ("k7", "item 7") == (row["id"], row["text"])
    assert {"parse.json": 1} == result.report.reasons == manifest(out)["reasons"]


# what is kept: the second run, changed runs


def test_a_second_run_asks_nothing_and_changes_no_byte(source: Path, out: Path) -> None:
    """No time of change of any file either."""
    with ScriptedServer(lambda call: "no JSON" if call.prompt == "item 7" else item(call)) as server:
        run(server, source, out)
        before = files(out)
        again = run(server, source, out)
    assert 30 == len(server.calls)
    assert before == files(out)
    assert (29, 1, 0) == (again.report.ok, again.report.quarantined, again.report.requests)


def test_a_new_row_is_the_only_one_asked(tmp_path: Path, source: Path, out: Path) -> None:
    """The old table stays readable until the new one is whole."""
    seen: list[int] = []

    def script(call: Call) -> Any:
        if call.prompt == "item 31":
            seen.append(pq_rows(out))
        return item(call)

    with ScriptedServer(script) as server:
        run(server, source, out)
        result = run(server, rows_csv(source, 31), out)
    assert (31, 31) == (len(server.calls), result.table.num_rows)
    assert [30] == seen
    assert not (out / ".next").exists()


def pq_rows(out: Path) -> int:
    import pyarrow.parquet as pq

    rows: int = sum(pq.read_table(part).num_rows for part in (out / "table").glob("*.parquet"))
    return rows


def test_changed_checks_ask_nothing_and_judge_anew(source: Path, out: Path) -> None:
    """Also back again; the tables are the same bytes as at first."""
    with ScriptedServer(item) as server:
        run(server, source, out)
        before = parts(out)
        strict = run(server, source, out, checks=[small])
        run(server, source, out)
    assert 30 == len(server.calls)
    assert (9, {"small": 21}) == (strict.report.ok, strict.report.reasons)
    assert before == parts(out)


def small(value: Any, record: Any) -> list[extract.Issue]:
    return [] if value.number < 10 else [extract.Issue("semantic", "small", "$.number", "too large", value.number)]


def test_a_changed_prompt_or_model_is_another_request(source: Path, out: Path) -> None:
    with ScriptedServer(lambda call: {"name": "x", "number": 1}) as server:
        run(server, source, out)
        run(server, source, out, prompt="Say: {{ text }}")
        run(server, source, out, model=Model(name="another"))
    assert 90 == len(server.calls)


def test_another_format_or_shard_size_asks_nothing(source: Path, out: Path) -> None:
    with ScriptedServer(item) as server:
        first = run(server, source, out).table
        found = run(server, source, out, format="csv", shard_rows=7)
    assert 30 == len(server.calls)
    assert 5 == len(list((out / "table").iterdir()))
    names = ["id", "name", "number"]
    assert first.select(names).to_pylist() == found.table.select(names).to_pylist()


def test_a_limit_takes_the_first_records_and_the_rest_is_asked_later(source: Path, out: Path) -> None:
    with ScriptedServer(item) as server:
        assert 5 == run(server, source, out, limit=5).table.num_rows
        assert 30 == run(server, source, out).table.num_rows
    assert 30 == len(server.calls)


def test_tables_do_not_depend_on_the_size_of_the_shards(source: Path, tmp_path: Path) -> None:
    with ScriptedServer(item) as server:
        one = run(server, source, tmp_path / "one", shard_rows=4)
        two = run(server, source, tmp_path / "two", shard_rows=1000)
    assert one.table == two.table


# what fails for all


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, AuthenticationError),
        (402, InsufficientBalanceError),
        (404, NotFoundError),
        (403, extract.PermissionDeniedError),
    ],
)
def test_what_would_fail_for_every_record_stops_at_once(
    source: Path, out: Path, status: int, expected: type[Exception]
) -> None:
    """At most `concurrency` requests, nothing quarantined, the journal whole; the same call goes on."""
    broken = True

    def script(call: Call) -> Any:
        return Reply({"error": {"message": "no"}}, status=status) if broken and call.number > 5 else item(call)

    with ScriptedServer(script) as server:
        with pytest.raises(expected) as caught:
            run(server, source, out)
        assert 5 + 8 >= len(server.calls)
        assert (0, 30) == (manifest(out)["counts"]["quarantined"], manifest(out)["counts"]["pending"])
        assert len(server.calls) == manifest(out)["requests"]
        assert [(5,)] == ask_in(out, "SELECT count(*) FROM answers")
        assert 30 == caught.value.report.records  # type: ignore[attr-defined]
        asked, broken = len(server.calls), False
        assert 30 == run(server, source, out).table.num_rows
        assert asked + 25 == len(server.calls)


def test_a_wrong_key_is_found_before_the_pace_lets_others_go(source: Path, out: Path) -> None:
    """Calls that wait for their turn are let go at once."""
    with ScriptedServer(lambda call: Reply("", status=401)) as server:
        begun = time.monotonic()
        with pytest.raises(AuthenticationError):
            run(server, source, out, limits=Limits(concurrency=8, requests_per_minute=2))
    assert (1, True) == (len(server.calls), time.monotonic() - begun < 10)


def test_a_stop_ends_the_waits_between_attempts(source: Path, out: Path) -> None:
    """A record that waits to be tried again does not hold up the end."""

    def script(call: Call) -> Any:
        if call.number == 1:
            return Reply("", status=503, headers={"retry-after": "200"})
        return Reply("", status=401, delay=0.1)

    with ScriptedServer(script) as server:
        begun = time.monotonic()
        with pytest.raises(AuthenticationError):
            run(server, source, out, retry=Retry())
    assert 10 > time.monotonic() - begun


def test_max_requests_stops_a_run_that_can_go_on(source: Path, out: Path) -> None:
    with ScriptedServer(item) as server:
        with pytest.raises(RunStopped, match="the cap of this run"):
            run(server, source, out, limits=Limits(concurrency=4, max_requests=10))
        assert 10 == len(server.calls)
        assert [(10,)] == ask_in(out, "SELECT count(*) FROM answers")
        run(server, source, out)
        assert 30 == len(server.calls)


def test_a_run_that_is_taken_up_again_touches_no_shard_that_is_there(source: Path, out: Path) -> None:
    """And the last one it begins with is the first that was not committed."""
    with ScriptedServer(item) as server:
        with pytest.raises(RunStopped):
            run(server, source, out, shard_rows=3, limits=Limits(concurrency=1, max_requests=10))
        before = {name: found for name, found in files(out).items() if "part-" in name}
        assert 6 == len(before)
        result = run(server, source, out, shard_rows=3)
    after = files(out)
    assert before == {name: after[name] for name in before}
    assert (20, 30, 30) == (len(parts(out)), result.table.num_rows, len(server.calls))
    assert (30, 20) == (result.report.ok, result.report.requests)


def test_max_cost_stops_a_run_that_can_go_on(source: Path, out: Path) -> None:
    """10 and 5 tokens at these prices are 0.02 USD a call."""
    model = Model(input_usd_per_million=1000, output_usd_per_million=2000)
    with ScriptedServer(item) as server:
        with pytest.raises(RunStopped) as caught:
            run(server, source, out, model=model, limits=Limits(concurrency=2, max_cost_usd=0.11))
        assert 6 <= len(server.calls) <= 7
        assert pytest.approx(0.02 * len(server.calls)) == caught.value.report.cost_usd  # type: ignore[attr-defined]
        assert pytest.approx(0.02 * len(server.calls)) == manifest(out)["cost_usd"]
        result = run(server, source, out, model=model)
    assert pytest.approx(0.02) == result.table["_cost_usd"].to_pylist()[0]
    assert 30 == len(server.calls)


# what fails for one


def test_a_refused_record_is_quarantined_and_not_asked_again(source: Path, out: Path) -> None:
    def script(call: Call) -> Any:
        if call.prompt == "item 3":
            return Reply({"error": {"message": "too long", "code": "context_length_exceeded"}}, status=400)
        return item(call)

    with ScriptedServer(script) as server:
        first = run(server, source, out)
        [row] = first.quarantine.to_pylist()
        second = run(server, source, out, checks=[lambda value, record: []])
        with pytest.raises(RunDirectoryError, match="another run"):
            first.table.to_pylist()
    assert 30 == len(server.calls)
    assert ("k3", "api.request", "request", 1) == (row["key"], row["reason"], row["stage"], row["attempts"])
    assert "too long" in row["message"]
    assert "context_length_exceeded" in row["raw_answer"]
    assert first.quarantine == second.quarantine


def test_a_record_without_an_answer_is_quarantined_and_asked_by_the_next_run(source: Path, out: Path) -> None:
    """After all attempts; the next run asks for it alone."""
    down = True

    def script(call: Call) -> Any:
        return Reply("", status=503) if down and call.prompt == "item 3" else item(call)

    with ScriptedServer(script) as server:
        first = run(server, source, out)
        [row] = first.quarantine.to_pylist()
        assert ("k3", "api.transient", 3, None) == (row["key"], row["reason"], row["attempts"], row["raw_answer"])
        assert (32, 2) == (first.report.requests, first.report.retries)
        assert (32, 2) == (manifest(out)["requests"], manifest(out)["retries"])
        run(server, source, out)
        assert 35 == len(server.calls)
        down = False
        last = run(server, source, out)
    assert 36 == len(server.calls)
    assert (30, 0) == (last.table.num_rows, last.quarantine.num_rows)
    assert 7 == last.table["_attempts"].to_pylist()[2]


def test_a_passing_fault_is_tried_again(source: Path, out: Path) -> None:
    """Dropped connections and 429s: every row in the end, with its number of attempts."""

    def script(call: Call) -> Any:
        tries = sum(other.prompt == call.prompt for other in list(server.calls))
        if tries == 1 and call.prompt in ("item 3", "item 4"):
            return Reply("", status=429) if call.prompt == "item 4" else Reply(drop=True)
        return item(call)

    with ScriptedServer(script) as server:
        result = run(server, source, out)
    assert (32, 2, 2) == (len(server.calls), result.report.retries, manifest(out)["retries"])
    assert [1, 1, 2, 2, 1] == result.table["_attempts"].to_pylist()[:5]


def test_a_fault_of_a_transport_costs_one_record_and_is_asked_again(source: Path, out: Path) -> None:
    """An exception that nobody foresaw stops no run; its trace is in the quarantine."""
    broken = True

    def handler(request: httpx.Request) -> httpx.Response:
        call = Call(1, "", {}, json.loads(request.content))
        if broken and call.prompt == "item 3":
            raise AttributeError("'NoneType' object has no attribute 'call_soon'")
        return httpx.Response(200, json=completion(item(call)))

    endpoint = Endpoint(base_url="https://example.invalid/v1")
    first = extract.run(pipeline(), source, out=out, endpoint=endpoint, transport=httpx.MockTransport(handler))
    [row] = first.quarantine.to_pylist()
    assert ("k3", "internal.error", True) == (row["key"], row["reason"], "call_soon" in row["message"])
    broken = False
    last = extract.run(pipeline(), source, out=out, endpoint=endpoint, transport=httpx.MockTransport(handler))
    assert 30 == last.table.num_rows


def test_odd_answers_end_as_rows_of_the_quarantine(tmp_path: Path, out: Path) -> None:
    """Refusals, cut and empty answers, half surrogate pairs, impossible token counts: none hurts the others."""
    odd: dict[str, Any] = {
        "item 1": completion(None, refusal="I will not"),
        "item 2": completion('{"name": "x', finish_reason="length"),
        "item 3": completion(""),
        "item 4": json.dumps(completion("MARK")).replace("MARK", '{\\"name\\": \\"\\ud800\\", \\"number\\": 1}'),
        "item 5": completion({"name": "x", "number": 5}, tokens=(10**30, 1)),
    }
    with ScriptedServer(lambda call: Reply(odd[call.prompt])) as server:
        result = run(server, rows_csv(tmp_path / "a.csv", 5), out)
    assert {
        "k1": "policy.refusal",
        "k2": "output.truncated",
        "k3": "output.empty",
        "k4": "parse.surrogate",
    } == dict(zip(result.quarantine["key"].to_pylist(), result.quarantine["reason"].to_pylist(), strict=True))
    assert (["k5"], 5) == (result.table["id"].to_pylist(), len(server.calls))


# faults of the directory, the source and the watcher


def test_two_runs_in_one_directory_are_refused_at_once(source: Path, out: Path, tmp_path: Path) -> None:
    begun, go = threading.Event(), threading.Event()

    def script(call: Call) -> Any:
        begun.set()
        return Reply(completion(item(call)), delay=0 if go.is_set() else 0.5)

    with ScriptedServer(script) as server:
        thread = threading.Thread(target=run, args=(server, source, out))
        thread.start()
        begun.wait(10)
        started = time.monotonic()
        with pytest.raises(RunDirectoryError, match=f"in use by process {os.getpid()}"):
            run(server, source, out)
        assert 1 > time.monotonic() - started
        go.set()
        thread.join()
    assert 30 == len(server.calls)


def test_a_foreign_directory_is_refused_before_any_call(source: Path, out: Path) -> None:
    out.mkdir()
    (out / "thesis.doc").touch()
    with ScriptedServer(item) as server:
        with pytest.raises(RunDirectoryError, match="no run directory"):
            run(server, source, out)
        assert [] == server.calls


def test_a_damaged_journal_stops_the_run_and_quarantines_nothing(source: Path, out: Path) -> None:
    with ScriptedServer(item) as server:
        run(server, source, out)
        journal = out / "journal.db"
        content = journal.read_bytes()
        journal.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
        before = parts(out)
        with pytest.raises(RunDirectoryError, match="cannot be read"):
            run(server, source, out, checks=[small])
    assert before == parts(out)
    assert 30 == len(server.calls)


def test_a_journal_that_cannot_be_written_stops_the_run(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the same call goes on when there is space again."""
    from extract.journal import statements

    insert = statements.insert

    def full(connection: sqlite3.Connection, *given: Any) -> Any:
        if connection.execute("SELECT count(*) FROM answers").fetchone()[0] >= 4:
            raise sqlite3.OperationalError("database or disk is full")
        return insert(connection, *given)

    with ScriptedServer(lambda call: Reply(completion(item(call)), delay=0.01)) as server:
        with monkeypatch.context() as patch:
            patch.setattr(statements, "insert", full)
            with pytest.raises(RunDirectoryError, match="disk is full"):
                run(server, source, out, limits=Limits(concurrency=2))
        assert 30 > len(server.calls)
        assert 30 == run(server, source, out).table.num_rows


def test_a_table_that_cannot_be_written_stops_the_run_with_all_answers_kept(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls in flight are finished and stored."""
    from extract.sinks import ShardWriter

    def full(self: ShardWriter, number: int, outcomes: Any) -> None:
        raise OSError(28, "No space left on device")

    with ScriptedServer(lambda call: Reply(completion(item(call)), delay=0.02)) as server:
        with monkeypatch.context() as patch:
            patch.setattr(ShardWriter, "write", full)
            with pytest.raises(RunStopped, match=r"cannot be written: No space left.*free space"):
                run(server, source, out, shard_rows=3)
        assert [(len(server.calls),)] == ask_in(out, "SELECT count(*) FROM answers")
        assert 30 == run(server, source, out, shard_rows=3).table.num_rows
    assert 30 == len(server.calls)


@pytest.mark.parametrize(
    ("late", "message"), [(b'k31,"open\n', "not valid CSV"), (b"k31,item 31\n", "has changed"), (b"", "has changed")]
)
def test_a_source_that_changes_while_it_is_read_stops_the_run(
    tmp_path: Path, out: Path, late: bytes, message: str
) -> None:
    """A broken row, one more and one less than at the first look: no table is complete, no answer is lost."""
    source = rows_csv(tmp_path / "a.csv", 400, lambda number: f"{'x' * 300} {number}")
    other = source.read_bytes() + late if late else source.read_bytes()[:60_000]

    def script(call: Call) -> Any:
        if call.number == 1:
            source.write_bytes(other)
        return item(call)

    with ScriptedServer(script) as server:
        with pytest.raises(InputError, match=message):
            run(server, source, out)
        assert [(len(server.calls),)] == ask_in(out, "SELECT count(*) FROM answers")
    assert manifest(out)["complete"] is False


def test_progress_is_told_and_a_watcher_that_fails_loses_nothing(source: Path, out: Path) -> None:
    seen: list[tuple[int, int]] = []

    def bad(tally: Any) -> None:
        seen.append((tally.done, tally.records))
        if tally.done == 5:
            raise ZeroDivisionError

    with ScriptedServer(item) as server:
        with pytest.raises(ZeroDivisionError):
            run(server, source, out, on_progress=bad)
        assert (5, 30) in seen
        assert [(len(server.calls),)] == ask_in(out, "SELECT count(*) FROM answers")
        assert 30 == run(server, source, out, on_progress=lambda tally: None).table.num_rows
    assert 30 == len(server.calls)


# what is known before any call


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"prompt": "{{ texd }}"}, PromptError),
        ({"key": "nr"}, ConfigError),
        ({"columns": ["nothing"]}, ConfigError),
        ({"limit": 0}, ConfigError),
        ({"limits": Limits(max_cost_usd=1)}, ConfigError),
        ({"checks": [checks.verbatim("nothing")]}, ConfigError),
        ({"prompt": Prompt(user="{{ text }}", examples=[{"record": {"text": "x"}, "answer": {"a": 1}}])}, PromptError),
    ],
)
def test_what_can_be_known_is_told_before_any_call(
    source: Path, out: Path, changes: dict[str, Any], error: type[Exception]
) -> None:
    with ScriptedServer(item) as server:
        with pytest.raises(error):
            run(server, source, out, **changes)
        assert [] == server.calls
    assert not out.exists()


def test_bad_input_leaves_earlier_output_untouched(source: Path, out: Path) -> None:
    with ScriptedServer(item) as server:
        run(server, source, out)
        before = files(out)
        source.write_text("id,text\nk1,item 1\nk1,item 2\n")
        with pytest.raises(InputError, match="'k1' comes twice, first at line 2"):
            run(server, source, out)
    assert before == files(out)


def test_a_pipeline_without_a_source_says_so() -> None:
    with pytest.raises(ConfigError, match="has no source"):
        extract.run(pipeline(), endpoint=Endpoint())


def test_source_and_folder_have_defaults(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline's source, `out/<name>`, and the endpoint of the environment."""
    monkeypatch.chdir(tmp_path)
    with ScriptedServer(item) as server:
        monkeypatch.setenv("EXTRACT_BASE_URL", server.base_url)
        monkeypatch.setenv("EXTRACT_API_KEY", KEY)
        result = extract.run(pipeline(source=source))
    assert (Path("out/items"), 30) == (result.path, result.table.num_rows)
    assert f"Bearer {KEY}" == server.calls[0].headers["authorization"]


# where it can be called


def test_run_works_inside_a_running_loop(source: Path, out: Path) -> None:
    async def notebook() -> int:
        rows: int = run(server, source, out).table.num_rows
        return rows

    with ScriptedServer(item) as server:
        assert 30 == asyncio.run(notebook())


def test_arun_works_inside_a_running_loop(source: Path, out: Path) -> None:
    with ScriptedServer(item) as server:
        result = asyncio.run(extract.arun(pipeline(), source, out=out, endpoint=server.endpoint()))
    assert 30 == result.table.num_rows


def test_run_works_in_any_thread_and_many_at_once(source: Path, tmp_path: Path) -> None:
    found: list[int] = []

    def work(name: str) -> None:
        found.append(run(server, source, tmp_path / name).table.num_rows)

    with ScriptedServer(item) as server:
        threads = [threading.Thread(target=work, args=(str(n),)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [30, 30, 30] == found


def test_a_run_can_be_stopped_from_another_thread(source: Path, out: Path) -> None:
    """Also before it has begun."""
    stop = Stop()

    def script(call: Call) -> Any:
        if call.number == 5:
            stop.request(RunStopped("enough"))
        return Reply(completion(item(call)), delay=0.02)

    with ScriptedServer(script) as server:
        endpoint = server.endpoint()
        with pytest.raises(RunStopped, match="enough"):
            asyncio.run(extract.arun(pipeline(), source, out=out, endpoint=endpoint, stop=stop))
        assert 16 >= len(server.calls)
        asked = len(server.calls)
        with pytest.raises(RunStopped, match="enough"):
            asyncio.run(extract.arun(pipeline(), source, out=out, endpoint=endpoint, stop=stop))
        assert asked == len(server.calls)
        run(server, source, out)
    assert 30 == len(server.calls)


# the result


class Bill(BaseModel):
    """A bill."""

    total: Decimal
    lines: list[str]


def test_a_result_shows_itself(source: Path, out: Path) -> None:
    with ScriptedServer(lambda call: {"total": 1.5, "lines": ["a", "b"]}) as server:
        result = run(server, source, out, schema=Bill, columns=["text"])
    assert ["id", "text", "total", "lines"] == result.table.column_names[:4]
    assert Decimal("1.50") == result.to_pandas()["total"][0]
    assert "30 ok" in result._repr_html_()


def test_the_manifest_tells_the_whole_story(source: Path, out: Path) -> None:
    with ScriptedServer(item) as server:
        run(server, source, out)
    found = manifest(out)
    assert {"in": 30, "ok": 30, "quarantined": 0, "pending": 0} == found["counts"]
    assert (True, 30, 0, {"input": 300, "output": 150}) == (
        *(found["complete"], found["requests"], found["retries"], found["tokens"]),
    )
    assert {"source", "pipeline", "schema"} == set(found["fingerprints"])
    assert {"tablecast", "python", "pydantic", "pyarrow", "jsonschema"} == set(found["versions"])
    assert (server.base_url, str(source)) == (found["endpoint"], found["source"])


def test_an_endpoint_can_move() -> None:
    """Key and dialect go along."""
    moved = endpoint_at(Endpoint.local(), "http://127.0.0.1:7/v1")
    assert ("http://127.0.0.1:7/v1", False, "openai") == (moved.base_url, moved.is_local, moved.dialect)


# secrets


def test_the_key_is_nowhere(source: Path, out: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In no file of the run, no log record, no repr: also after failures, and from a server that quotes it."""
    caplog.set_level(logging.DEBUG)

    def script(call: Call) -> Any:
        quoted = call.headers["authorization"]
        if call.prompt == "item 3":
            return Reply({"error": {"message": quoted, "code": quoted}}, status=400)
        if call.prompt == "item 4":
            return Reply(quoted, status=503)
        if call.prompt == "item 5":
            return quoted
        return Reply({"error": {"message": quoted}}, status=401) if call.number > 20 else item(call)

    with ScriptedServer(script) as server:
        with pytest.raises(AuthenticationError) as caught:
            run(server, source, out)
        result = run(server, source, out, limit=5)
        endpoint = server.endpoint(api_key=KEY)
    content = b"".join(content for _, content in files(out).values())
    assert KEY.encode() not in content
    assert b"***" in content
    shown = [repr(x) + str(x) for x in (result, result.prepared, endpoint, caught.value, result.report)]
    assert KEY not in "".join([*shown, caplog.text, result._repr_html_()])
    assert NO_WAIT.max_attempts == 3


# found by review


def test_many_runs_in_one_process_each_in_a_thread_that_ends(tmp_path: Path) -> None:
    """The transport library crashes the process when the thread that imported it is gone; ours never is."""
    code = (
        "import sys, threading, extract\n"
        "from tests.support import item, pipeline, rows_csv\n"
        "from extract.testing import ScriptedServer\n"
        "from pathlib import Path\n"
        "assert 'pyreqwest' not in sys.modules\n"
        "folder = Path(sys.argv[1])\n"
        "source = rows_csv(folder / 'items.csv', 20)\n"
        "with ScriptedServer(item) as server:\n"
        "    for n in range(6):\n"
        "        run = lambda: extract.run(pipeline(), source, out=folder / str(n), endpoint=server.endpoint())\n"
        "        thread = threading.Thread(target=run)\n"
        "        thread.start()\n"
        "        thread.join()\n"
        "    print(len(server.calls))\n"
    )
    root = Path(__file__).parents[1]
    for _ in range(2):
        folder = tmp_path / f"run{_}"
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)], cwd=root, capture_output=True, text=True, check=False
        )
        assert (0, "120\n") == (done.returncode, done.stdout), done.stderr


def test_a_damaged_table_is_made_anew_from_the_journal(source: Path, out: Path) -> None:
    """A shard of a finished run that is gone or cut short: nothing is asked, and the rows are back."""
    with ScriptedServer(item) as server:
        whole = run(server, source, out, shard_rows=10).table
        for damage in (Path.unlink, lambda part: part.write_bytes(part.read_bytes()[:100])):
            damage(out / "table/part-00001.parquet")
            again = run(server, source, out, shard_rows=10)
            assert (30, 0) == (again.report.ok, again.report.requests)
            assert whole == again.table
    assert 30 == len(server.calls)


def test_documents_go_to_no_endpoint_that_was_not_named(source: Path, out: Path, monkeypatch: Any) -> None:
    """Without a URL, a key or `local` nothing is sent anywhere."""
    for name in ("EXTRACT_BASE_URL", "EXTRACT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="no endpoint is set"):
        extract.run(pipeline(), source, out=out)
    assert not out.exists()


def test_an_impossible_budget_is_refused_before_the_first_call(source: Path, out: Path) -> None:
    """A cap below the input of one request."""
    model = Model(input_usd_per_million=1000, output_usd_per_million=1000)
    with ScriptedServer(item) as server:
        with pytest.raises(ConfigError, match="first request alone costs"):
            run(server, source, out, model=model, limits=Limits(max_cost_usd=1e-9))
        assert [] == server.calls


def test_what_was_paid_stays_on_the_account(source: Path, out: Path) -> None:
    """The prices of today do not change what was paid yesterday."""
    priced = Model(input_usd_per_million=1000, output_usd_per_million=1000)
    with ScriptedServer(item) as server:
        run(server, source, out, limit=10, model=priced)
        run(server, source, out, model=Model())
    assert pytest.approx(10 * 0.015) == manifest(out)["cost_usd"]


def test_identical_records_without_an_answer_tell_the_same_attempts(tmp_path: Path, out: Path) -> None:
    """All that wait for one call hear how often it was tried."""
    source = rows_csv(tmp_path / "same.csv", 3, lambda n: "item 1")
    with ScriptedServer(lambda call: Reply({"error": {"message": "down"}}, 503)) as server:
        result = run(server, source, out, retry=Retry(max_attempts=2, initial_wait=0))
    assert [2, 2, 2] == result.quarantine["attempts"].to_pylist()


def test_nullable_numbers_keep_their_kind_in_pandas(tmp_path: Path, out: Path) -> None:
    """A null does not turn whole numbers into floats."""

    class Row(BaseModel):
        whole: int | None
        flag: bool | None

    big = 2**60 + 1
    source = rows_csv(tmp_path / "two.csv", 2)
    answers = {"item 1": {"whole": big, "flag": True}, "item 2": {"whole": None, "flag": None}}
    with ScriptedServer(lambda call: answers[call.prompt]) as server:
        frame = run(server, source, out, schema=Row).to_pandas()
    assert [big, pd.NA] == frame["whole"].to_list()
    assert ["Int64", "boolean"] == [str(frame[name].dtype) for name in ("whole", "flag")]


def test_a_row_that_no_file_can_hold_goes_to_the_quarantine(tmp_path: Path, out: Path) -> None:
    """A passed-through text with half a surrogate pair stops neither the run nor the other rows."""
    frame = pd.DataFrame({"id": ["a", "b", "c"], "text": [f"item {n}" for n in range(3)]})
    source = pa.Table.from_pandas(frame, preserve_index=False)
    broken = {"item 1"}

    class Odd(BaseModel):
        name: str

        @model_validator(mode="after")
        def half(self) -> Odd:
            if self.name in broken:
                self.name = "\ud800"
            return self

    with ScriptedServer(lambda call: {"name": call.prompt}) as server:
        result = run(server, source, out, schema=Odd)
    assert ["a", "c"] == result.table["id"].to_pylist()
    assert [("b", "table.write")] == [(row["key"], row["reason"]) for row in result.quarantine.to_pylist()]


def test_an_odd_model_name_does_not_stop_a_run(source: Path, out: Path) -> None:
    """What the server calls itself is its own affair."""
    body = completion({"name": "n", "number": 1})
    with ScriptedServer(lambda call: Reply(json.dumps(body | {"model": "\ud800"}))) as server:
        assert 3 == run(server, source, out, limit=3).report.ok


def test_a_damaged_answer_is_asked_for_again(source: Path, out: Path) -> None:
    """A digit that changed in the journal is not believed."""
    with ScriptedServer(item) as server:
        run(server, source, out, limit=5)
        connection = sqlite3.connect(out / "journal.db")
        with connection:
            connection.execute("UPDATE answers SET body = replace(CAST(body AS TEXT), 'item', 'atem')")
        connection.close()
        result = run(server, source, out, limit=5, checks=[lambda value, record: None])
    assert (5, 10) == (result.report.requests, len(server.calls))


@pytest.mark.parametrize("name", [".lock", "table", "journal.db", "manifest.json", ".next"])
def test_a_link_in_the_run_directory_is_refused(source: Path, out: Path, tmp_path: Path, name: str) -> None:
    """It could lead to a file of somebody else's."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    out.mkdir()
    (out / "journal.db").touch() if name == ".lock" else None
    (out / name).symlink_to(victim)
    with ScriptedServer(item) as server, pytest.raises(RunDirectoryError):
        run(server, source, out)
    assert "mine" == victim.read_text()


def test_a_proxy_of_the_environment_does_not_see_what_stays_on_this_machine(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys go to loopback in clear, so no proxy may stand between."""
    with ScriptedServer(lambda call: Reply("no", 502)) as proxy, ScriptedServer(item) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.base_url.removesuffix("/v1"))
        assert 30 == run(server, source, out).report.ok
        assert [] == proxy.calls


def test_two_columns_of_one_name_are_refused_before_anything_is_paid(tmp_path: Path, out: Path) -> None:
    """The row number's column, and the table's own, are taken."""
    frame = pd.DataFrame({"row": [1], "_model": ["m"], "text": ["item 1"]})
    with ScriptedServer(item) as server:
        for columns in (["row"], ["_model"]):
            with pytest.raises(ConfigError, match="would be called"):
                run(server, frame, out, key=None, columns=columns)
        assert [] == server.calls
