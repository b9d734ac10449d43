"""What was paid: the client's account is the server's ledger, to the call and to the token; caps, of a run and a record."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any

import pytest

import extract
from extract import Endpoint, Limits, Model, Retry, RunStopped
from extract.api import arun
from extract.budget import RecordBudget, RecordCapReached
from extract.client import Client
from extract.config import Settings
from extract.errors import APIError, APITimeoutError, ConfigError, ErrorClass
from extract.gate import Gate
from extract.journal import Journal, Totals
from extract.journal.file import FORMAT
from extract.ledger_check import check_journal
from extract.limits import with_limits
from extract.records import ChatRequest, Completion, Spent, Usage
from extract.report import Report, Tally
from extract.retry import with_retries
from extract.sinks import read_manifest
from extract.stop import Stop
from extract.testing import Call, FaultServer, Reply, ScriptedServer, completion
from tests import virtual
from tests.client.raw import refused as refused_after
from tests.support import answer, failure, item, pipeline, rows_csv

PRICED = Model(max_tokens=50, input_usd_per_million=1000, output_usd_per_million=2000)  # 10 and 5 tokens: 0.02 USD
LOST = ("Q61", "Q13.eof", "Q13.reset", "Q13.stall", "Q21.choices_empty", "Q21.message_absent")  # billed, and no answer
REFUSED = ("Q5.504", "Q13.524", "Q20.string", "Q19.kie", "Q56.zero")  # an error for an answer: nothing is billed
UNMETERED = ("Q22.no_usage",)
WHOLE = ("Q34", "Q23", "Q28")  # odd, and taken with its usage


def find_number(name: str) -> int:
    """Find a number by its name."""
    return len(name)


@dataclass
class Bank:
    """What the server has billed, call by call."""

    used: dict[int, tuple[int, int]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def __call__(self, call: Call) -> Reply:
        tokens = 100 + call.number % 37, 10 + call.number % 11
        with self.lock:
            self.used[call.number] = tokens
        if "tools" in call.body and not any(turn["role"] == "tool" for turn in call.body["messages"]):
            function = {"name": "find_number", "arguments": json.dumps({"name": call.prompt})}
            called = {"id": "c1", "type": "function", "function": function}
            return Reply(completion(None, finish_reason="tool_calls", tokens=tokens, tool_calls=[called]))
        if "tools" in call.body:
            return Reply(completion("done", tokens=tokens))
        text = next(turn["content"] for turn in call.body["messages"] if turn["content"].startswith("item "))
        return Reply(completion({"name": text, "number": int(text.split()[1])}, tokens=tokens))


def chosen(seed: int, names: tuple[str, ...], rate: float) -> Any:
    """A fault for some calls, drawn by their number."""

    def fault(call: Call) -> str | None:
        random = Random(f"{seed} {call.number}")
        return random.choice(names) if random.random() < rate else None

    return fault


def account_of(server: FaultServer, bank: Bank) -> dict[str, int]:
    """What the ledger says that a client can know: where an answer is lost, it cannot know the tokens."""
    found: Counter[str] = Counter(requests=len(server.ledger))
    for given in server.ledger:
        if given.fault in LOST:
            found["ambiguous"] += 1
        elif given.fault in UNMETERED:
            found["unmetered"] += 1
        elif given.fault in REFUSED:
            assert not given.billed
        else:
            assert given.billed
            found["input"] += bank.used[given.number][0]
            found["output"] += bank.used[given.number][1]
    names = ("requests", "ambiguous", "unmetered", "input", "output")
    return {name: found[name] for name in names}


def account_in(manifest: dict[str, Any]) -> dict[str, int]:
    return {name: manifest[name] for name in ("requests", "ambiguous", "unmetered")} | manifest["tokens"]


def account_of_reports(*reports: Report) -> dict[str, int]:
    return {
        "requests": sum(each.requests for each in reports),
        "ambiguous": sum(each.ambiguous for each in reports),
        "unmetered": sum(each.unmetered for each in reports),
        "input": sum(each.input_tokens for each in reports),
        "output": sum(each.output_tokens for each in reports),
    }


@pytest.mark.parametrize(("seed", "stream"), [(1, False), (2, False), (3, True)])
def test_the_totals_are_those_of_the_servers_ledger(tmp_path: Path, seed: int, stream: bool) -> None:
    """With lost and broken answers, timeouts, 5xx, 429, retries, rounds of tools, a drained stop and a resume."""
    source, out = rows_csv(tmp_path / "items.csv", 50), tmp_path / "out"
    names = (*LOST, *REFUSED[:-1] * 2, REFUSED[-1], *UNMETERED * 2, *WHOLE)
    names = tuple(each for each in names if not stream or not each.startswith("Q21"))
    flow = pipeline(
        model=PRICED.replaced({"stream": stream}),
        tools=[find_number],
        limits=Limits(concurrency=8, timeout=5, idle_timeout=0.2, tool_rounds=3),
        retry=Retry(max_attempts=8, initial_wait=0, max_wait=0),
    )
    bank, stop = Bank(), Stop()

    def watch(tally: Tally) -> None:
        if tally.requests >= 70:
            stop.request(RunStopped("enough for today"))

    with FaultServer(bank, chosen(seed, names, 0.3), stall=2) as server:
        endpoint = server.endpoint()
        with pytest.raises(RunStopped, match="enough for today") as caught:
            asyncio.run(arun(flow, source, out=out, endpoint=endpoint, on_progress=watch, stop=stop))
        first = caught.value.report
        assert isinstance(first, Report)
        between = read_manifest(out)
        assert between is not None
        assert account_of(server, bank) == account_in(between) == account_of_reports(first)
        result = extract.run(flow, source, out=out, endpoint=endpoint)
    assert 50 == result.report.ok
    ledger = account_of(server, bank)
    assert min(ledger.values()) > 0
    manifest = read_manifest(out)
    assert manifest is not None
    assert ledger == account_in(manifest) == account_of_reports(first, result.report)
    assert pytest.approx((ledger["input"] * 1000 + ledger["output"] * 2000) / 1e6) == manifest["cost_usd"]
    assert [] == check_journal(out / "journal.db", set()).problems
    with Journal(out / "journal.db") as journal:
        totals = journal.totals()
    assert (ledger["requests"], ledger["ambiguous"], ledger["unmetered"]) == (
        *(totals.requests, totals.ambiguous),
        totals.unmetered,
    )
    assert manifest["retries"] == len(server.ledger) - len({given.request for given in server.ledger})


def test_a_run_that_ends_in_a_refusal_accounts_for_it(tmp_path: Path) -> None:
    """A wrong key, and a rate that one request alone is refused for until the run stops."""
    wrong = Reply({"error": {"message": "no"}}, 401)
    with ScriptedServer(lambda call: wrong) as server, pytest.raises(APIError) as caught:
        extract.run(pipeline(), rows_csv(tmp_path / "a.csv", 9), out=tmp_path / "a", endpoint=server.endpoint())
    manifest = read_manifest(tmp_path / "a")
    assert manifest is not None
    assert len(server.calls) == manifest["requests"] == caught.value.report.requests  # type: ignore[attr-defined]
    retry = Retry(max_attempts=3, initial_wait=0, max_wait=0, max_seconds=0.3)
    flow = pipeline(retry=retry, limits=Limits(concurrency=4, timeout=5, outage_timeout=0.2))
    limited = Reply({"error": {"message": "slow down"}}, 429, {"retry-after": "0.1"})
    with ScriptedServer(lambda call: limited) as server, pytest.raises(RunStopped) as stopped:
        extract.run(flow, rows_csv(tmp_path / "b.csv", 4), out=tmp_path / "b", endpoint=server.endpoint())
    manifest = read_manifest(tmp_path / "b")
    assert manifest is not None
    assert len(server.calls) == manifest["requests"] == stopped.value.report.requests  # type: ignore[attr-defined]


def test_status_and_report_tell_what_is_not_certain(tmp_path: Path) -> None:
    from extract.cli.look import _status_text

    faults = {1: "Q61", 2: "Q22.no_usage"}
    flow = pipeline(model=PRICED, limits=Limits(concurrency=1, timeout=5))
    with FaultServer(item, lambda call: faults.get(call.number)) as server:
        source = rows_csv(tmp_path / "items.csv", 3)
        result = extract.run(flow, source, out=tmp_path / "out", endpoint=server.endpoint())
    manifest = read_manifest(tmp_path / "out")
    assert manifest is not None
    said = "0.0400 USD, 1 without an answer that may be billed, 1 answers without a count of tokens"
    assert said in _status_text(tmp_path / "out", manifest).splitlines()
    assert said in result.report.line
    old = {name: value for name, value in manifest.items() if name not in ("ambiguous", "unmetered", "cost_usd")}
    assert "billed" not in _status_text(tmp_path / "out", old)


# journals of older versions


OLD = """
CREATE TABLE answers (request TEXT PRIMARY KEY, kind TEXT NOT NULL, status INTEGER, attempts INTEGER NOT NULL,
                      input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, message TEXT, body BLOB NOT NULL,
                      digest BLOB NOT NULL);
CREATE TABLE attempts (id INTEGER PRIMARY KEY, request TEXT NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL,
                       status INTEGER, code TEXT, message TEXT, input_tokens INTEGER NOT NULL,
                       output_tokens INTEGER NOT NULL);
CREATE INDEX attempts_failed ON attempts (request) WHERE kind <> 'completion';
CREATE TABLE totals (requests INTEGER NOT NULL, retries INTEGER NOT NULL, input_tokens INTEGER NOT NULL,
                     output_tokens INTEGER NOT NULL, cost_usd REAL, answers INTEGER NOT NULL);
INSERT INTO totals VALUES (4, 1, 10, 5, 0.5, 0);
CREATE TABLE notes (request TEXT PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL, digest BLOB) WITHOUT ROWID;
CREATE INDEX answers_too_complex ON answers (kind) WHERE kind = 'schema_too_complex';
INSERT INTO attempts VALUES (NULL, 'a', 0, 'transient', NULL, NULL, 'it may have been billed', 0, 0);
INSERT INTO attempts VALUES (NULL, 'a', 0, 'completion', 200, NULL, NULL, 10, 5);
INSERT INTO attempts VALUES (NULL, 'b', 0, 'completion', 200, NULL, NULL, 0, 0);
INSERT INTO attempts VALUES (NULL, 'c', 0, 'forgotten', 200, NULL, NULL, 0, 0);
PRAGMA application_id = 1952539244; PRAGMA user_version = 2;
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A journal of the format before it told what is not certain."""
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as made:
        made.executescript(OLD)
    made.close()
    return path


def test_an_older_journal_is_sound_as_it_is_and_is_brought_up(old: Path) -> None:
    """What it cannot know is zero; answers without a count are found in it. What comes is added."""
    before = old.read_bytes()
    assert [] == check_journal(old, set()).problems
    assert before == old.read_bytes()

    async def scene(journal: Journal) -> Totals:
        lost = failure()
        lost.may_be_billed = True
        journal.note_failure("d", lost)
        await journal.store("e", answer(tokens=(0, 0)))
        await journal.store("f", answer())
        return journal.totals()

    with Journal(old) as journal:
        assert Totals(4, 1, Usage(10, 5), 0.5, 0, ambiguous=0, unmetered=2) == journal.totals()
        assert Totals(7, 1, Usage(20, 10), 0.5, 2, ambiguous=1, unmetered=3) == asyncio.run(scene(journal))
    assert [] == check_journal(old, set()).problems
    with sqlite3.connect(old) as made:
        assert (FORMAT,) == made.execute("PRAGMA user_version").fetchone()
        made.execute("UPDATE totals SET ambiguous = 2")
    made.close()
    assert "its totals" in check_journal(old, set()).problems[0][0]


# a known status counts, though its body breaks off


BROKEN = {"length": b"content-length: 99\r\n\r\n", "chunks": b"transfer-encoding: chunked\r\n\r\n"}


@pytest.mark.parametrize("framing", BROKEN)
@pytest.mark.parametrize("said", [b"", b'{"err'])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, ErrorClass.AUTH),
        (402, ErrorClass.BALANCE),
        (400, ErrorClass.REQUEST),
        (429, ErrorClass.RATE),
        (500, ErrorClass.TRANSIENT),
        (504, ErrorClass.TRANSIENT),
    ],
)
def test_an_error_whose_body_breaks_off_keeps_its_status(
    framing: str, said: bytes, status: int, kind: ErrorClass
) -> None:
    """And its class; it refused the request, and nobody is billed for it."""
    body = said if framing == "length" or not said else b"%x\r\n%b" % (len(said) + 3, said)
    head = b"HTTP/1.1 %d x\r\nretry-after: 7\r\n" % status
    found = refused_after(head, BROKEN[framing], body or b"", 0.05)
    assert (status, kind, 7.0, False) == (found.status, found.kind, found.retry_after, found.may_be_billed)


@pytest.mark.parametrize("own", [True, False])
def test_an_error_whose_body_never_comes_keeps_its_status(own: bool) -> None:
    """Within the time for the whole call, through any transport."""
    import httpx

    limits = Limits(timeout=0.3, idle_timeout=0.2)
    head = b"HTTP/1.1 402 x\r\ncontent-length: 9\r\n\r\n"
    found = refused_after(head, 1.0, transport=None if own else httpx.AsyncHTTPTransport(), limits=limits)
    assert (402, ErrorClass.BALANCE, False) == (found.status, found.kind, found.may_be_billed)


# caps of a run


@pytest.mark.parametrize(
    ("caps", "most"),
    [
        ({"max_requests": 100}, 100),
        ({"max_total_tokens": 1500}, 100),
        ({"max_cost_usd": 2.0}, 100),
        ({"max_cost_usd": 0.5}, 25),
    ],
)
def test_no_cap_is_passed_by_more_than_the_calls_in_flight(tmp_path: Path, caps: dict[str, Any], most: int) -> None:
    """With 64 of them: each call is 15 tokens and 0.02 USD. One may pass it, in fact: what is in flight is held back."""
    flow = pipeline(model=PRICED, limits=Limits(concurrency=64, timeout=20, adaptive=False, **caps))
    source = rows_csv(tmp_path / "items.csv", 300)
    said = rf"limits\.{next(iter(caps))}"

    def script(call: Call) -> Reply:
        return Reply(completion(item(call)), delay=0.02)

    with ScriptedServer(script) as server, pytest.raises(RunStopped, match=said):
        extract.run(flow, source, out=tmp_path / "out", endpoint=server.endpoint())
    assert most <= len(server.calls) <= most + 1
    manifest = read_manifest(tmp_path / "out")
    assert manifest is not None
    assert len(server.calls) == manifest["requests"]


def test_no_call_begins_after_the_time_of_a_run(tmp_path: Path) -> None:
    """Those in flight finish: 64 of them at most end after the cap."""
    began: list[float] = []
    ended: list[float] = []

    def script(call: Call) -> Reply:
        began.append(time.monotonic())
        ended.append(began[-1] + 0.2)
        return Reply(completion(item(call)), delay=0.2)

    flow = pipeline(limits=Limits(concurrency=64, timeout=20, adaptive=False, max_seconds=0.5))
    source = rows_csv(tmp_path / "items.csv", 2000)
    with ScriptedServer(script) as server, pytest.raises(RunStopped, match=r"limits\.max_seconds"):
        extract.run(flow, source, out=tmp_path / "out", endpoint=server.endpoint())
    cap = began[0] + 0.5
    assert sum(end > cap for end in ended) <= 64
    assert len(server.calls) >= 64
    manifest = read_manifest(tmp_path / "out")
    assert manifest is not None
    assert len(server.calls) == manifest["requests"]


NUMBERS = [
    (kind, name)
    for kind in (Limits, Retry, Model)
    for name, each in kind.model_fields.items()
    if each.annotation in (int, float, int | None, float | None) and name not in ("seed",)
]


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(("kind", "name"), NUMBERS, ids=[f"{kind.__name__}.{name}" for kind, name in NUMBERS])
def test_a_number_that_cannot_be_is_refused_by_its_name(kind: type[Settings], name: str, value: float) -> None:
    """Every number of limits, retries and prices."""
    with pytest.raises(ConfigError, match=rf"{kind.__name__}\.{name}: "):
        kind(**{name: value})


@pytest.mark.parametrize("name", [name for name in Limits.model_fields if name not in ("adaptive",)])
def test_a_limit_of_0_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"Limits\.{name}: "):
        Limits(**{name: 0})


# caps of a record


def capped(**changes: Any) -> Any:
    settings = {"model": PRICED, "limits": Limits(concurrency=4, timeout=5, max_cost_usd_per_record=0.1)}
    return pipeline(**(settings | changes))


def test_retries_of_a_record_end_at_its_cap(tmp_path: Path) -> None:
    """Calls that are lost count with what they likely cost. The others are asked once each, and get their rows."""

    def script(call: Call) -> Reply:
        return Reply(drop=True) if call.prompt == "item 3" else Reply(completion(item(call)))

    flow = capped(retry=Retry(max_attempts=99, initial_wait=0, max_wait=0))
    with ScriptedServer(script) as server:
        source = rows_csv(tmp_path / "items.csv", 60)
        result = extract.run(flow, source, out=tmp_path / "out", endpoint=server.endpoint())
        again = extract.run(flow, source, out=tmp_path / "out", endpoint=server.endpoint())
    asked = Counter(call.prompt for call in server.calls)
    poison = asked.pop("item 3")
    assert {f"item {number}": 1 for number in range(1, 61) if number != 3} == asked
    assert 1 <= poison <= 12  # at least 0.01 USD each
    (row,) = result.quarantine.to_pylist()
    assert ("k3", "budget.record", poison) == (row["key"], row["reason"], result.report.ambiguous)
    assert "limits.max_cost_usd_per_record (0.1)" in row["message"]
    assert 0 == again.report.requests  # it is not asked again by itself


def test_rounds_with_tools_end_at_the_cap_of_their_record(tmp_path: Path) -> None:
    """A model that calls functions for ever, for one record."""

    def script(call: Call) -> Reply:
        first = next(turn["content"] for turn in call.body["messages"] if turn["content"])
        if "tools" in call.body and first == "item 2":
            function = {"name": "find_number", "arguments": json.dumps({"name": str(len(call.body["messages"]))})}
            called = {"id": "c", "type": "function", "function": function}
            return Reply(completion(None, finish_reason="tool_calls", tokens=(200, 50), tool_calls=[called]))
        return Reply(completion({"name": first, "number": int(first.split()[1])}, tokens=(200, 50)))

    limits = Limits(concurrency=4, timeout=5, tool_rounds=50, tool_calls=500, max_cost_usd_per_record=1.3)
    with ScriptedServer(script) as server:
        source = rows_csv(tmp_path / "items.csv", 5)
        flow = capped(tools=[find_number], limits=limits)
        result = extract.run(flow, source, out=tmp_path / "out", endpoint=server.endpoint())
    assert ["budget.record"] == result.quarantine["reason"].to_pylist()
    assert 4 == result.report.ok
    assert 5 + 4 * 2 == len(server.calls)  # 0.3 USD each: the fifth round passes 1.3


def test_parts_of_a_record_have_one_cap(tmp_path: Path) -> None:
    """Three requests of 0.3 USD: the third would begin above 0.5."""

    def script(call: Call) -> Reply:
        wanted = call.body["response_format"]["json_schema"]["schema"]["properties"]
        values = {"name": "a", "number": 1, "size": 1}
        return Reply(completion({name: values[name] for name in wanted}, tokens=(200, 50)))

    from tests.test_survey import Other

    limits = Limits(concurrency=1, timeout=5, max_cost_usd_per_record=0.5)
    with ScriptedServer(script) as server:
        source = rows_csv(tmp_path / "items.csv", 2)
        flow = capped(schema=Other, split_fields=3, limits=limits)
        result = extract.run(flow, source, out=tmp_path / "out", endpoint=server.endpoint())
        roomy = capped(schema=Other, split_fields=3, limits=limits.replaced({"max_cost_usd_per_record": 0.95}))
        other = extract.run(roomy, source, out=tmp_path / "roomy", endpoint=server.endpoint())
    assert ["budget.record"] * 2 == result.quarantine["reason"].to_pylist()
    assert (4, 6) == (result.report.requests, other.report.requests)
    assert 2 == other.report.ok


def test_a_record_whose_input_alone_is_too_dear_is_not_asked(tmp_path: Path) -> None:
    """As far as that is certain; and an answer that was paid is kept, whatever it cost."""
    (source := tmp_path / "items.csv").write_text(f"id,text\nk1,item 1\nk2,{'long ' * 2000}\nk3,item 3\n")
    with ScriptedServer(lambda call: Reply(completion(item(call), tokens=(10, 500)))) as server:
        flow = capped(limits=Limits(concurrency=1, timeout=5, max_cost_usd_per_record=0.5))
        result = extract.run(flow, source, out=tmp_path / "out", endpoint=server.endpoint())
    assert [1.01, 1.01] == result.table["_cost_usd"].to_pylist()
    assert [("k2", "budget.record")] == [(row["key"], row["reason"]) for row in result.quarantine.to_pylist()]
    assert 2 == len(server.calls)


def test_without_a_cap_no_record_has_an_account() -> None:
    """A request carries none, and no sender is put around the others."""
    seen: list[ChatRequest] = []

    class Watched(Client):
        async def __call__(self, request: ChatRequest) -> Completion:
            seen.append(request)
            return await super().__call__(request)

    budget = RecordBudget(0.1, PRICED)
    budget.refuse(ChatRequest(b"x" * 10**6, "a"))  # nobody's
    with pytest.raises(RecordCapReached):
        budget.refuse(ChatRequest(b"x" * 10**6, "a", spent=Spent()))
    with ScriptedServer(lambda call: {"a": 1}) as server:

        async def scene() -> None:
            async with Watched(Endpoint(base_url=server.base_url), "m", Limits()) as client:
                await client(ChatRequest(b'{"messages": [{"content": "x"}]}', "a"))

        asyncio.run(scene())
    assert [None] == [request.spent for request in seen]


async def _seconds(poisoned: int) -> float:
    """Virtual seconds until 5,000 good records are answered, beside so many that are never."""
    stop, limits = Stop(), Limits(concurrency=64, max_cost_usd_per_record=0.1)
    stop.attach()
    budget = RecordBudget(0.1, PRICED)

    async def call(request: ChatRequest) -> Completion:
        await asyncio.sleep(0.2)
        if request.hash.startswith("bad"):
            error = APITimeoutError("no answer", kind=ErrorClass.TRANSIENT)
            error.may_be_billed = True
            raise error
        return answer()

    policy = Retry(max_attempts=999, initial_wait=0.1)
    gate = Gate(limits, PRICED, stop, retry=policy)
    send = with_retries(with_limits(budget.metered(call), gate, refuse=budget.refuse), policy)
    ended: list[float] = []

    async def record(name: str) -> None:
        try:
            await send(ChatRequest(b"x" * 40, name, spent=Spent()))
            ended.append(asyncio.get_running_loop().time())
        except RecordCapReached:
            assert name.startswith("bad")

    step = 5000 // poisoned if poisoned else 0
    async with asyncio.TaskGroup() as group:
        for number in range(5000):
            group.create_task(record(f"good {number}"))
            if step and number % step == 0:
                group.create_task(record(f"bad {number}"))
    assert 5000 == len(ended)
    return max(ended)


def test_poisoned_records_slow_the_others_by_two_in_a_hundred_at_most() -> None:
    """In virtual time, with 64 calls in flight: they end at their cap, and leave the rate as it was."""
    clean = virtual.run(_seconds(0))
    assert pytest.approx(clean, rel=0.02) == virtual.run(_seconds(4))
