"""A schema that the endpoint finds too complex comes down rung by rung; answers are judged by the full one."""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pytest
from pydantic import BaseModel, Field

import extract
from extract import Limits, Pipeline, Prompt, RunStopped, Samples
from extract.api import prepare_run
from extract.config import Endpoint
from extract.errors import ErrorClass
from extract.journal import Journal
from extract.ladder import Climb, Descent, Ladder, Overtaken, Question, refuse_overtaken
from extract.records import Record
from extract.sinks import read_manifest
from extract.survey import survey, survey_text
from extract.testing import Call, Reply, ScriptedServer, completion
from extract.verbatim import Verbatim
from tests.children import nursery
from tests.support import parts, pipeline, rows_csv

TOO_COMPLEX = {
    "error": {
        "code": 400,
        "status": "INVALID_ARGUMENT",
        "message": "The specified schema produces a constraint that has too many states for serving.",
    }
}
REFUSED = Reply(TOO_COMPLEX, 400)
SMALL = "tests.test_relaxing.small_shards"
MANY = Literal[tuple(f"label{number}" for number in range(60))]  # type: ignore[valid-type]  # made of a tuple


class Line(BaseModel):
    amount: int = Field(ge=0, le=1000)


class Bill(BaseModel):
    """Something on every rung."""

    name: str
    day: dt.date
    label: MANY  # type: ignore[valid-type]
    lines: list[Line] = Field(max_length=5)


def schema_of(call: Call) -> dict[str, Any]:
    return dict(call.body["response_format"]["json_schema"]["schema"])


def holds(call: Call, *keywords: str) -> bool:
    """Whether the schema on the wire has one of these; "enum": one of more than fifty values."""

    def found(node: Any) -> bool:
        if isinstance(node, list):
            return any(map(found, node))
        if not isinstance(node, dict):
            return False
        own = any(keyword in node for keyword in keywords if keyword != "enum")
        return own or ("enum" in keywords and len(node.get("enum", ())) > 50) or any(map(found, node.values()))

    return found(schema_of(call))


def bill(call: Call, **changes: Any) -> dict[str, Any]:
    return {"name": call.prompt, "day": "2024-05-01", "label": "label7", "lines": [{"amount": 3}]} | changes


def refusing(*keywords: str, answer: Callable[[Call], Any] = bill) -> Callable[[Call], Any]:
    return lambda call: REFUSED if holds(call, *keywords) else answer(call)


def bills(**changes: Any) -> Pipeline:
    return pipeline(**({"schema": Bill, "limits": Limits(concurrency=4, timeout=20)} | changes))


def flags(result: extract.Result) -> list[list[str]]:
    found: list[list[str]] = result.table["_flags"].to_pylist()
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return rows_csv(tmp_path / "items.csv", 30)


def test_a_schema_comes_down_one_rung_and_stays_there(
    tmp_path: Path, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At most one refusal for each call in flight; every record paid once; all of it is said."""
    with ScriptedServer(refusing("maxItems")) as server:
        result = extract.run(bills(), source, out=tmp_path / "out", endpoint=server.endpoint())
        answered = [call for call in server.calls if not holds(call, "maxItems")]
        refused = len(server.calls) - len(answered)
        asked_again = len(server.calls)
        again = extract.run(bills(), source, out=tmp_path / "out", endpoint=server.endpoint())
        assert asked_again == len(server.calls)
    assert (30, 0, 30) == (result.report.ok, result.report.quarantined, len(answered))
    assert 1 <= refused <= 4
    assert 30 + refused == result.report.requests
    assert [["schema_relaxed:array bounds"]] * 30 == flags(result)
    assert [1] * 30 == result.table["_attempts"].to_pylist()
    assert ("array bounds",) == result.report.relaxed == again.report.relaxed
    assert result.report.line.endswith("schema relaxed (array bounds)")
    assert ["array bounds"] == result.report.as_dict()["relaxed"]
    manifest = read_manifest(tmp_path / "out") or {}
    assert (["array bounds"], [1]) == (manifest["relaxed"], manifest["rungs"])
    assert "$.lines: maxItems 5 is moved to description" in manifest["losses"]
    assert list(result.report.losses) == list(again.report.losses) == manifest["losses"]
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert 1 == len(said)
    assert "does without array bounds" in said[0]


def test_what_the_wire_gave_up_is_still_checked(tmp_path: Path, source: Path) -> None:
    """The judge keeps the full schema."""

    def answer(call: Call) -> Any:
        return bill(call, lines=[{"amount": 3}] * (6 if call.prompt == "item 2" else 5))

    with ScriptedServer(refusing("maxItems", answer=answer)) as server:
        result = extract.run(bills(), source, out=tmp_path / "out", endpoint=server.endpoint())
    assert {"schema.maxItems": 1} == result.report.reasons


@pytest.mark.parametrize(
    ("keywords", "relaxed"),
    [
        (("minimum",), ["array bounds", "numeric bounds"]),
        (("format",), ["array bounds", "numeric bounds", "formats"]),
        (("enum",), ["array bounds", "numeric bounds", "formats", "big enums"]),
    ],
)
def test_a_schema_comes_down_as_far_as_it_must(
    tmp_path: Path, source: Path, keywords: tuple[str, ...], relaxed: list[str]
) -> None:
    """Below the first rung one record goes ahead, so that each further rung costs one refusal and not one a call."""
    with ScriptedServer(refusing(*keywords)) as server:
        result = extract.run(bills(), source, out=tmp_path / "out", endpoint=server.endpoint())
    assert (30, relaxed) == (result.report.ok, list(result.report.relaxed))
    assert [[f"schema_relaxed:{', '.join(relaxed)}"]] * 30 == flags(result)
    assert 30 < result.report.requests <= 30 + 4 + len(relaxed) - 1


def test_waiting_calls_that_are_overtaken_cost_no_request(tmp_path: Path, source: Path) -> None:
    """Neither a call, nor one of the requests that `max_requests` allows."""
    limits = Limits(concurrency=1, timeout=20, max_requests=31)
    with ScriptedServer(refusing("maxItems")) as server:
        result = extract.run(bills(limits=limits), source, out=tmp_path / "out", endpoint=server.endpoint())
    assert (30, 31, 31) == (result.report.ok, result.report.requests, len(server.calls))


def test_paced_calls_that_are_overtaken_take_no_turn(tmp_path: Path) -> None:
    """Records that wait for a permit look again at once."""
    limits = Limits(concurrency=2, timeout=20, requests_per_minute=1200)
    with ScriptedServer(refusing("maxItems")) as server:
        started = time.monotonic()
        result = extract.run(bills(limits=limits), rows_csv(tmp_path / "items.csv", 20), out=tmp_path / "out",
                             endpoint=server.endpoint())  # fmt: skip
    assert (20, 0) == (result.report.ok, result.report.quarantined)
    assert time.monotonic() - started < 23 * 0.05 + 1


def test_a_schema_that_is_refused_on_the_last_rung_stops_the_run(tmp_path: Path, source: Path) -> None:
    """With what to do; nothing is quarantined, nothing final. Once the endpoint takes it, the same call goes on."""
    well = False

    def script(call: Call) -> Any:
        return bill(call) if well else REFUSED

    with ScriptedServer(script) as server:
        with pytest.raises(RunStopped, match="even without array bounds, numeric bounds, formats, big enums") as caught:
            extract.run(bills(), source, out=tmp_path / "out", endpoint=server.endpoint())
        assert "split_fields" in str(caught.value)
        assert (0, 0) == (caught.value.report.ok, caught.value.report.quarantined)  # type: ignore[attr-defined]
        asked, well = len(server.calls), True
        assert 5 <= asked <= 8
        result = extract.run(bills(), source, out=tmp_path / "out", endpoint=server.endpoint())
        assert (30, asked + 30) == (result.report.ok, len(server.calls))
    assert [[]] * 30 == flags(result)


def test_a_schema_with_nothing_to_give_up_stops_the_run_at_once(tmp_path: Path, source: Path) -> None:
    """With the endpoint's words, and after no more calls than may be in flight."""
    with ScriptedServer(lambda call: REFUSED) as server:
        with pytest.raises(RunStopped, match="too complex: 400: The specified schema produces"):
            extract.run(pipeline(), source, out=tmp_path / "out", endpoint=server.endpoint())
        assert len(server.calls) <= 8


def test_changed_checks_find_the_answers_on_their_rungs(tmp_path: Path, source: Path) -> None:
    """Tables are derived anew from the journal without a request, flags included; new records begin on the rung."""
    with ScriptedServer(refusing("maxItems", "minimum")) as server:
        first = extract.run(bills(), source, out=tmp_path / "out", endpoint=server.endpoint())
        asked, flagged = len(server.calls), flags(first)
        changed = bills(checks=[lambda value, record: "not this one" if value.name == "item 3" else None])
        second = extract.run(changed, source, out=tmp_path / "out", endpoint=server.endpoint())
        assert asked == len(server.calls)
        assert (29, {"semantic.lambda": 1}) == (second.report.ok, second.report.reasons)
        assert first.report.relaxed == second.report.relaxed
        assert flagged[1:] == flags(second)
        more = extract.run(bills(), rows_csv(tmp_path / "more.csv", 35), out=tmp_path / "out",
                           endpoint=server.endpoint())  # fmt: skip
        assert (35, asked + 5) == (more.report.ok, len(server.calls))


def test_a_run_that_is_taken_up_again_begins_on_its_rung(tmp_path: Path, source: Path) -> None:
    """Also when all that was relaxed is in committed shards, which nobody looks at any more."""
    settings: dict[str, Any] = {"shard_rows": 5}
    with ScriptedServer(refusing("maxItems")) as server:
        capped = bills(limits=Limits(concurrency=1, timeout=20, max_requests=21), **settings)
        with pytest.raises(RunStopped, match="cap of this run"):
            extract.run(capped, source, out=tmp_path / "out", endpoint=server.endpoint())
        assert 21 == len(server.calls)
        result = extract.run(bills(**settings), source, out=tmp_path / "out", endpoint=server.endpoint())
        assert (30, 31) == (result.report.ok, len(server.calls))
        assert ("array bounds",) == result.report.relaxed
        assert [["schema_relaxed:array bounds"]] * 30 == flags(result)
        undisturbed = extract.run(bills(**settings), source, out=tmp_path / "other", endpoint=server.endpoint())
    assert undisturbed.ok
    assert parts(tmp_path / "other") == parts(tmp_path / "out")


class Receipt(BaseModel):
    total: Annotated[Decimal, Verbatim("money", limit=500)]
    tip: int | None = Field(ge=0)


def receipt(call: Call) -> dict[str, Any]:
    return {"total": call.prompt.split()[-1], "tip": 1}


def amounts(count: int) -> str:
    return " ".join(f"{number}.25" for number in range(1, count + 1))


def test_records_with_few_candidates_are_accepted_at_once(tmp_path: Path) -> None:
    """A refusal is of one record's schema; the first ones keep theirs, the later ones begin where the run is."""
    source = rows_csv(tmp_path / "items.csv", 9, lambda number: amounts(90 if number in (5, 9) else 3))
    receipts = pipeline(schema=Receipt, limits=Limits(concurrency=1, timeout=20))
    with ScriptedServer(refusing("enum", answer=receipt)) as server:
        result = extract.run(receipts, source, out=tmp_path / "out", endpoint=server.endpoint())
        first = schema_of(server.calls[0])["properties"]
        last = schema_of(server.calls[-1])["properties"]
        asked = len(server.calls)
        again = extract.run(receipts, source, out=tmp_path / "out", endpoint=server.endpoint())
        assert asked == len(server.calls)
        refused = sum(holds(call, "enum") for call in server.calls)
    assert (9, 0) == (result.report.ok, result.report.quarantined)
    assert (["1.25", "2.25", "3.25"], 0) == (first["total"]["enum"], first["tip"]["minimum"])
    assert {"type"} == {key for key in last["total"] if key != "description"}
    assert [] == flags(result)[0]
    rungs = "array bounds, numeric bounds, formats, big enums"
    assert [f"schema_relaxed:{rungs}"] == flags(result)[4] == flags(result)[8]
    assert rungs.split(", ") == list(again.report.relaxed)
    assert "$.total: enum is checked locally where a record holds more than 50 candidates" in result.report.losses
    assert 3 >= refused  # full, without bounds, without formats where that changes the wire


def test_a_record_whose_own_schema_stays_too_complex_is_quarantined(tmp_path: Path) -> None:
    """One bad record never stops a run: others with candidates of their own are answered."""
    source = rows_csv(tmp_path / "items.csv", 12, lambda number: amounts(60 if number == 4 else 3))

    def script(call: Call) -> Any:
        return REFUSED if len(call.prompt) > 100 else receipt(call)

    with ScriptedServer(script) as server:
        receipts = pipeline(schema=Receipt, limits=Limits(concurrency=1, timeout=20))
        result = extract.run(receipts, source, out=tmp_path / "out", endpoint=server.endpoint())
        asked = len(server.calls)
        assert extract.run(receipts, source, out=tmp_path / "out", endpoint=server.endpoint()).report.ok == 11
        assert asked == len(server.calls)
    assert {"api.schema_too_complex": 1} == result.report.reasons


def test_schemas_of_their_own_that_are_all_refused_stop_the_run(tmp_path: Path) -> None:
    """Nothing of it is final."""
    source = rows_csv(tmp_path / "items.csv", 12, lambda number: f"{amounts(3)} {number}.75")
    well = False
    with ScriptedServer(lambda call: receipt(call) if well else REFUSED) as server:
        receipts = pipeline(schema=Receipt, limits=Limits(concurrency=2, timeout=20))
        with pytest.raises(RunStopped, match="were all refused: 400: The specified schema") as caught:
            extract.run(receipts, source, out=tmp_path / "out", endpoint=server.endpoint())
        assert "split_fields" in str(caught.value)
        asked, well = len(server.calls), True
        result = extract.run(receipts, source, out=tmp_path / "out", endpoint=server.endpoint())
        assert (12, 0, asked + 12) == (result.report.ok, result.report.quarantined, len(server.calls))
    assert [[]] * 12 == flags(result)


def test_a_narrowed_enum_is_a_small_one_again(tmp_path: Path) -> None:
    """On the last rung the list of all labels goes, the few that the nearest examples have stay."""
    examples = [{"record": {"text": f"t{n}"}, "answer": {"label": f"label{n}", "lines": []}} for n in range(60)]

    class Ticket(BaseModel):
        label: MANY  # type: ignore[valid-type]
        lines: list[int] = Field(max_length=9)

    prompt = Prompt(user="{{ text }}", examples=examples, nearest=3, narrow=["label"])
    prepared = prepare_run(
        pipeline(schema=Ticket, prompt=prompt, key=None, name="t"),
        rows_csv(tmp_path / "items.csv", 1, "t7".format),
        endpoint=Endpoint(base_url="http://127.0.0.1/v1"),
    )
    (record,) = prepared.source.records()
    last = json.loads(prepared.questions[0].builders[-1](record).body)
    properties = last["response_format"]["json_schema"]["schema"]["properties"]
    assert 3 == len(properties["label"]["enum"])
    assert "maxItems" not in properties["lines"]


def test_an_endpoint_that_falls_silent_on_a_lower_rung_stops_the_run(tmp_path: Path) -> None:
    """One goes ahead after the other; nothing is served there for too long."""
    down = Reply({"error": {"message": "down"}}, 503)
    with ScriptedServer(lambda call: REFUSED if holds(call, "maxItems") else down) as server:
        job = bills(limits=Limits(concurrency=4, outage_timeout=2))
        source = rows_csv(tmp_path / "items.csv", 40)
        with pytest.raises(RunStopped, match=r"no answer for \d+ seconds: 503: down"):
            extract.run(job, source, out=tmp_path / "out", endpoint=server.endpoint())
        assert len(server.calls) < 4 + 3 * 20


def test_the_journal_knows_whether_answers_may_stand_lower(tmp_path: Path) -> None:
    """Without a refusal only the first rung is looked at."""
    with Journal(tmp_path / "journal.db") as journal:
        assert journal.has_relaxed() is False
    with ScriptedServer(refusing("maxItems")) as server:
        extract.run(bills(), rows_csv(tmp_path / "i.csv", 2), out=tmp_path / "out", endpoint=server.endpoint())
    with Journal(tmp_path / "out" / "journal.db") as journal:
        assert journal.has_relaxed() is True


def test_an_overtaken_request_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    """Of its own question only; one that is on its rung passes."""
    prepared = prepare_run(
        bills(split_fields=2), rows_csv(tmp_path / "items.csv", 1), endpoint=Endpoint(base_url="http://127.0.0.1/v1")
    )
    ladders = [Ladder(question, number) for number, question in enumerate(prepared.questions)]
    record = Record(key="k", position=0, cells={"id": "k", "text": "t"})
    requests = [Climb(ladder, record).look(lambda _: None).request for ladder in ladders]
    assert [(0, 0), (1, 0)] == [(request.part, request.rung) for request in requests]
    ladders[1].reached(1)
    refuse = refuse_overtaken(ladders)
    refuse(requests[0])
    with pytest.raises(Overtaken):
        refuse(requests[1])
    refuse(Climb(ladders[1], record).look(lambda _: None).request)


def test_relaxed_schemas_are_compiled_only_when_they_are_needed() -> None:
    """A run that is never refused compiles once."""
    table = pa.table({"id": ["a"], "text": ["t"]})
    prepared = prepare_run(bills(), table, endpoint=Endpoint(base_url="http://127.0.0.1/v1"))
    question = prepared.questions[0]
    Climb(Ladder(question), next(iter(prepared.source.records()))).look(lambda _: None)
    assert prepared.losses() == tuple(map(str, prepared.schema.losses))
    assert "schemas" not in vars(question.descent)
    assert [(), ("array bounds",)] == [schema.rungs for schema in question.descent.schemas[:2]]
    assert isinstance(question, Question)
    assert isinstance(question.descent, Descent)


def test_a_refusal_for_the_schema_is_final_for_its_request_and_stops_nothing() -> None:
    """It is stored, so that nobody asks it again."""
    error = extract.BadRequestError("no", kind=ErrorClass.SCHEMA)
    assert (False, False) == (error.retryable, error.stops_run)


def test_check_warns_of_a_schema_that_may_be_refused(tmp_path: Path) -> None:
    """Before anything is paid: how big it is, and why it may be too complex."""

    class Inner(BaseModel):
        numbers: list[int] = Field(max_length=500)

    class Huge(BaseModel):
        rows: list[Inner] = Field(max_length=500)

    source = rows_csv(tmp_path / "items.csv", 3)
    endpoint = Endpoint(base_url="http://127.0.0.1/v1")
    found = survey(prepare_run(pipeline(schema=Huge), source, endpoint=endpoint), None)
    assert "states, which the endpoint may refuse" in survey_text(found).splitlines()[0]
    assert found["schema_size"]["states"] > 1_000_000
    small = survey(prepare_run(pipeline(), source, endpoint=endpoint), None)
    assert [] == small["warnings"]
    assert any(line.startswith("a schema of 2 properties, ") for line in survey_text(small).splitlines())


def test_a_dry_run_knows_what_is_answered_on_lower_rungs(tmp_path: Path, source: Path) -> None:
    """Nothing of it would be asked again."""
    with ScriptedServer(refusing("maxItems", "minimum")) as server:
        extract.run(bills(), source, out=tmp_path / "out", endpoint=server.endpoint())
        found = survey(prepare_run(bills(), source, endpoint=server.endpoint()), tmp_path / "out" / "journal.db")
    assert (0, 30) == (found["requests"], found["answered"])


def test_a_relaxing_run_that_is_killed_ends_like_one_that_is_not(tmp_path: Path) -> None:
    """Every record is paid once, but for the calls in flight; the tables have the same bytes."""
    source = rows_csv(tmp_path / "items.csv", 40)
    script = refusing("maxItems", "minimum", answer=lambda call: Reply(completion(bill(call)), delay=0.03))
    with nursery(tmp_path) as ready:
        with ScriptedServer(script) as server:
            assert 0 == ready.run(source, tmp_path / "undisturbed", server, maker=SMALL), ready.said
        with ScriptedServer(script) as server:
            ready.kill_at_random(source, tmp_path / "out", server, 4, seed=3, maker=SMALL)
        paid = [call for call in server.calls if not holds(call, "maxItems", "minimum")]
        assert 40 <= len(paid) <= 40 + 4 * 8
        assert len(server.calls) - len(paid) <= 5 * (8 + 1)
    assert parts(tmp_path / "undisturbed") == parts(tmp_path / "out")


def small_shards() -> Pipeline:
    return bills(shard_rows=7, limits=Limits(concurrency=8))


def test_votes_are_asked_with_the_schema_of_their_first_answer(tmp_path: Path) -> None:
    """And not with the one that the run has come down to meanwhile: a run that knows only the journal pays for none."""

    def picky(call: Call) -> Any:
        if call.prompt == "item 1":  # which it takes as it is, and late
            return Reply(completion(bill(call)), delay=0.3)
        return REFUSED if holds(call, "minimum") else bill(call)

    source = rows_csv(tmp_path / "items.csv", 8)
    with ScriptedServer(picky) as server:

        def run() -> extract.Result:
            return extract.run(bills(samples=Samples(n=2)), source, out=tmp_path / "out", endpoint=server.endpoint())

        assert 8 == run().report.ok
        before, calls = parts(tmp_path / "out"), len(server.calls)
        (tmp_path / "out" / "manifest.json").unlink()
        run()
        assert (calls, before) == (len(server.calls), parts(tmp_path / "out"))
