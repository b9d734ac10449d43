"""A run that fails for every record alike stops; one with some bad records goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import BaseModel

import extract
from extract import BadRequestError, Limits, Pipeline, Retry, RunStopped
from extract.errors import MEDIA_UNREACHABLE, ErrorClass
from extract.testing import Call, Reply, ScriptedServer
from extract.watch import ALIKE, Watch

BAD_SCHEMA = {"error": {"code": "invalid_request_error", "message": "schema not supported", "type": "x", "param": "x"}}


class Item(BaseModel):
    name: str


def frame(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"text": [f"t{number}" for number in range(rows)]})


def pipeline(**settings: Any) -> Pipeline:
    retry = Retry(max_attempts=2, initial_wait=0)
    return Pipeline(name="items", schema=Item, prompt="{{ text }}", retry=retry, **settings)


def error(message: str = "no") -> BadRequestError:
    return BadRequestError(message, kind=ErrorClass.REQUEST, status=400)


def test_the_first_records_refused_alike_stop_the_run_and_are_asked_again(tmp_path: Path) -> None:
    """A schema that the endpoint refuses: nothing quarantined, nothing final; once it is well the same call goes on."""
    well = False

    def script(call: Call) -> Any:
        return {"name": "n"} if well else Reply(BAD_SCHEMA, 400)

    with ScriptedServer(script) as server:
        run = pipeline(limits=Limits(concurrency=2))
        with pytest.raises(RunStopped, match="refused: 400: schema not supported") as caught:
            extract.run(run, frame(40), out=tmp_path / "run", endpoint=server.endpoint())
        assert "extract schema" in str(caught.value)
        assert len(server.calls) <= ALIKE + 2
        asked, well = len(server.calls), True
        result = extract.run(run, frame(40), out=tmp_path / "run", endpoint=server.endpoint())
    assert [40, 0, asked + 40] == [result.report.ok, result.report.quarantined, len(server.calls)]


def test_bad_records_among_good_ones_do_not_stop_a_run(tmp_path: Path) -> None:
    """After one answer a refusal is the record's own."""

    def script(call: Call) -> Any:
        return {"name": "n"} if call.prompt == "t0" else Reply(BAD_SCHEMA, 400)

    with ScriptedServer(script) as server:
        run = pipeline(limits=Limits(concurrency=1))
        result = extract.run(run, frame(20), out=tmp_path / "run", endpoint=server.endpoint())
    assert [1, {"api.request": 19}] == [result.report.ok, result.report.reasons]


def test_different_refusals_do_not_stop_a_run() -> None:
    """Only refusals in the same words speak against the request's form."""
    watch = Watch()
    assert [None] * 20 == [watch.refusal(str(number), error(f"no {'ab'[number % 2]}")) for number in range(20)]


def test_refusals_that_differ_only_in_a_number_are_alike() -> None:
    """A request id or a count does not make two refusals different."""
    watch = Watch()
    verdicts = [watch.refusal(str(number), error(f"bad schema (request id: {number}a-7)")) for number in range(ALIKE)]
    assert [None] * (ALIKE - 1) == verdicts[:-1]
    assert "bad schema (request id: 0a-7)" in str(verdicts[-1])


def test_records_that_are_too_long_are_their_own_fault() -> None:
    """The first records may all be too long for the model; the run goes on."""
    watch = Watch()
    too_long = BadRequestError("long", kind=ErrorClass.REQUEST, status=400, code="context_length_exceeded")
    assert [None] * 20 == [watch.refusal(str(number), too_long) for number in range(20)]
    assert [] == watch.refused


def test_files_that_cannot_be_fetched_are_their_own_fault() -> None:
    """The hosts of the first records' files may all keep robots out; the run goes on."""
    watch = Watch()
    unreachable = BadRequestError("robots", kind=ErrorClass.REQUEST, status=400, code=MEDIA_UNREACHABLE)
    assert [None] * 20 == [watch.refusal(str(number), unreachable) for number in range(20)]


def test_refusals_in_committed_shards_do_not_stand_either(tmp_path: Path) -> None:
    """With tiny shards some refusals are committed before the run stops; they are asked again all the same."""
    well = False

    def script(call: Call) -> Any:
        return {"name": "n"} if well else Reply(BAD_SCHEMA, 400)

    with ScriptedServer(script) as server:
        run = pipeline(limits=Limits(concurrency=1), shard_rows=2)
        with pytest.raises(RunStopped):
            extract.run(run, frame(20), out=tmp_path / "run", endpoint=server.endpoint())
        well = True
        result = extract.run(run, frame(20), out=tmp_path / "run", endpoint=server.endpoint())
    assert [20, 0] == [result.report.ok, result.report.quarantined]


def test_an_endpoint_that_does_not_answer_stops_the_run(tmp_path: Path) -> None:
    """Nothing is served for too long: the run stops, resumable, few calls were made, and the rest is not tried."""
    well = False

    def script(call: Call) -> Any:
        return {"name": "n"} if well else Reply({"error": {"message": "down"}}, 503)

    with ScriptedServer(script) as server:
        run = pipeline(limits=Limits(concurrency=2, outage_timeout=0.5))
        with pytest.raises(RunStopped, match=r"no answer for \d+ seconds: 503: down"):
            extract.run(run, frame(100), out=tmp_path / "run", endpoint=server.endpoint())
        assert len(server.calls) <= 3 * 2 + 4
        well = True
        result = extract.run(run, frame(100), out=tmp_path / "run", endpoint=server.endpoint())
    assert [100, 0] == [result.report.ok, result.report.quarantined]


def test_schemas_that_are_all_refused_are_to_be_split() -> None:
    """The hint of the stop is the error's own."""
    watch = Watch()
    complex_ = BadRequestError("too many states", kind=ErrorClass.SCHEMA, hint="split_fields")
    assert "split_fields" in str([watch.refusal(str(number), complex_) for number in range(ALIKE)][-1])
