"""Whole runs against a server with faults: every record ends as the catalogue expects, no crash, no hang."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from extract import Limits, Model, Retry, run
from extract.errors import APIError, ExtractError, RunStopped
from extract.faults import FAULTS, Fault
from extract.testing import Call, FaultServer, Given
from tests.support import pipeline, rows_csv

RECORDS = 200
STOPS = 40  # runs that an empty account or a refused schema may end; each is taken up again
LIMITS = Limits(concurrency=32, timeout=5, idle_timeout=2)
PATIENT = Retry(max_attempts=6, max_seconds=5, initial_wait=0.01, max_wait=0.02, max_retry_after=0.02)
SEEDS = (1,)
STOPPING = {"balance", "config", "schema_too_complex"}


def script(call: Call) -> dict[str, Any]:
    text = asked(call)
    return {"name": text, "number": int(text.split()[-1])}


def asked(call: Call) -> str:
    """The record's text, however often the model was asked again."""
    return next(message["content"] for message in call.body["messages"] if message["role"] == "user")


def kind_of(reason: str) -> str:
    """The class of the catalogue that an issue's code belongs to."""
    stage, _, rest = reason.partition(".")
    if stage == "api":
        return rest
    return {"policy": "policy", "internal": "internal", "source": "source"}.get(stage, "output")


def ends(server: FaultServer) -> dict[str, Given]:
    """What each record got last, by its text."""
    return {asked(server.calls[given.number - 1]): given for given in server.ledger}


def unexpected(
    table: Mapping[str, Mapping[str, Any]], reasons: Mapping[str, str], last: Mapping[str, Given]
) -> list[str]:
    """Records whose end is not what is expected of the fault that they got last."""
    found = []
    for text, given in last.items():
        key = f"k{text.split()[-1]}"
        expect = FAULTS[given.fault].expect if given.fault else ("ok",)
        if key in table:
            true = {"name": text, "number": int(text.split()[-1])} == table[key]
            lies = given.fault is not None and set(expect) & {"output"}  # fits the schema, whatever it says
            found += [] if "ok" in expect and (true or lies) else [f"{given.fault}: a row {table[key]}"]
        elif key in reasons:
            found += [] if kind_of(reasons[key]) in expect else [f"{given.fault}: {reasons[key]}"]
        else:
            found.append(f"{given.fault}: lost")
    return found


def run_to_the_end(
    source: Path, out: Path, server: FaultServer, *, stream: bool, attempts: int = 6, at_once: int = 32
) -> tuple[Any, int]:
    """The result, and how many runs were stopped on the way."""
    retry = PATIENT.replaced({"max_attempts": attempts})
    limits = LIMITS.replaced({"concurrency": at_once, "adaptive": not stream})  # with and without, whatever comes
    job = pipeline(retry=retry, limits=limits, model=Model(stream=stream))
    for stops in range(STOPS):
        try:
            return run(job, source, out=out, endpoint=server.endpoint(), on_progress=lambda tally: None), stops
        except (RunStopped, APIError):
            continue
    raise AssertionError(f"{STOPS} runs were stopped")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("profile", ["toapis", "kie", "newapi", "chaos"])
def test_a_run_ends_with_every_record_accounted_for(tmp_path: Path, profile: str, stream: bool) -> None:
    source = rows_csv(tmp_path / "rows.csv", RECORDS)
    with FaultServer(script, profile, seed=SEEDS[0], stall=5) as server:
        result, stops = run_to_the_end(source, tmp_path / "out", server, stream=stream)
    table = {row["id"]: {"name": row["name"], "number": row["number"]} for row in result.table.to_pylist()}
    reasons = {row["id"]: row["reason"] for row in result.quarantine.to_pylist()}
    assert {stream} == {call.is_stream for call in server.calls}
    assert RECORDS == len(table) + len(reasons)
    assert not set(table) & set(reasons)
    assert {f"item {number}" for number in range(1, RECORDS + 1)} == set(ends(server))
    found = unexpected(table, reasons, ends(server))
    assert [] == found, "\n".join(found)
    assert {given.fault for given in server.ledger if given.fault}
    if profile != "chaos":
        assert 0 == stops


def shown_to(fault: Fault, stream: bool) -> bool:
    """Faults that end a run have a test of their own."""
    return fault.applies({"stream": stream}) and fault.expect[0] not in STOPPING


RATES = [fault for fault in FAULTS.values() if fault.expect[0] == "rate"]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", [fault.name for fault in RATES if fault.applies({"stream": False})])
def test_a_record_that_alone_is_refused_for_its_rate_is_quarantined(tmp_path: Path, name: str) -> None:
    """Whatever the refusal looks like; the others come through."""
    source = rows_csv(tmp_path / "rows.csv", 3)
    with FaultServer(script, lambda call: name if asked(call) == "item 2" else None) as server:
        result, _ = run_to_the_end(source, tmp_path / "out", server, stream=False, attempts=1, at_once=1)
    assert (2, {"api.rate": 1}) == (result.report.ok, result.report.reasons)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_each_fault_that_is_final_ends_as_the_catalogue_expects(tmp_path: Path, stream: bool) -> None:
    """Every other record gets a fault whenever it is asked; its neighbours come through.

    Rate limits have a test of their own, since they slow a run down, as they should.
    """
    names = [fault.name for fault in FAULTS.values() if shown_to(fault, stream) and fault not in RATES]
    source = rows_csv(tmp_path / "rows.csv", 2 * len(names))

    def chosen(call: Call) -> str | None:
        half, odd = divmod(int(asked(call).split()[-1]) - 1, 2)
        return None if odd else names[half]

    with FaultServer(script, chosen, stall=5) as server:
        result, stops = run_to_the_end(source, tmp_path / "out", server, stream=stream, attempts=1, at_once=4)
    table = {row["id"]: {"name": row["name"], "number": row["number"]} for row in result.table.to_pylist()}
    reasons = {row["id"]: row["reason"] for row in result.quarantine.to_pylist()}
    flags = {row["id"]: row["_flags"] for row in result.table.to_pylist()}
    assert {stream} == {call.is_stream for call in server.calls}
    assert (0, 2 * len(names)) == (stops, len(table) + len(reasons))
    found = unexpected(table, reasons, ends(server))
    assert [] == found, "\n".join(found)
    saved = [name for at, name in enumerate(names) if FAULTS[name].flagged and f"k{2 * at + 1}" in table]
    assert [] == [name for name in saved if not flags[f"k{2 * names.index(name) + 1}"]]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("name", [fault.name for fault in FAULTS.values() if fault.expect[0] == "balance"])
def test_an_empty_account_stops_the_run_and_quarantines_nothing(tmp_path: Path, name: str, stream: bool) -> None:
    """The same command then goes on to the end."""
    source = rows_csv(tmp_path / "rows.csv", 20)
    empty = [True]

    def chosen(call: Call) -> str | None:
        return name if empty[0] and int(asked(call).split()[-1]) > 10 else None

    job = pipeline(retry=PATIENT, limits=LIMITS, model=Model(stream=stream))
    with FaultServer(script, chosen) as server:
        with pytest.raises(ExtractError):
            run(job, source, out=tmp_path / "out", endpoint=server.endpoint())
        empty[0] = False
        result = run(job, source, out=tmp_path / "out", endpoint=server.endpoint())
    assert (20, 0) == (result.report.ok, result.report.quarantined)
