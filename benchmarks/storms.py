"""Servers that refuse: how many calls a row takes when each call may fail, and whether all rows come out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import extract
from benchmarks.clients.tablecast import pipeline_of
from benchmarks.runs import refuse_wrong_table
from benchmarks.server import ledger_of, running
from benchmarks.task import Job, write_source
from extract import Retry

SHARES = {0.1: 1.17, 0.3: 1.50, 0.5: 2.10}  # errors → calls a row at most
ROWS = 2_000


def storms(heard: Callable[[str], None] = lambda line: None, rows: int = ROWS) -> list[dict[str, Any]]:
    """A run for each share of errors, half of them 500 and half 429. Raises RuntimeError when a row is missing."""
    return [_storm(share, rows, heard) for share in SHARES]


def _storm(share: float, rows: int, heard: Callable[[str], None]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, running(latency=20, errors=share, statuses="500,429") as address:
        job = Job(address, Path(folder) / "source.parquet", Path(folder) / "out", 64)
        write_source(job.source, rows)
        patient = replace(pipeline_of(job), retry=Retry(max_attempts=40, initial_wait=0.05, max_wait=0.5))
        report = extract.run(patient, job.source, out=job.out, on_progress=lambda tally: None).report
        ledger = ledger_of(address)
        refuse_wrong_table("tablecast", job.out / "table", rows)
    found = {
        "errors": share,
        "rows": rows,
        "ok": report.ok,
        "calls_a_row": ledger["served"] / rows,
        "accounted": report.requests,
        "served": ledger["served"],
        "seconds": report.seconds,
    }
    heard(f"{share:.0%} errors: {found['calls_a_row']:.3f} calls a row, {report.ok} of {rows} ok")
    return found


def goals(found: Sequence[dict[str, Any]]) -> list[str]:
    """What is to be reached, and whether it is."""
    said = []
    for one in found:
        most = SHARES[one["errors"]]
        met = one["calls_a_row"] <= most and one["ok"] == one["rows"] and one["accounted"] == one["served"]
        said.append(
            f"{one['errors']:.0%} errors: {one['calls_a_row']:.3f} calls a row, {one['accounted']:,} accounted of "
            f"{one['served']:,} served (goal ≤ {most}, all accounted: {'met' if met else 'missed'})"
        )
    return said


def table(found: Sequence[dict[str, Any]]) -> str:
    """The storms in Markdown."""
    lines = ["| errors | calls a row | rows ok | calls accounted / served | s |", "|--:|--:|--:|--:|--:|"]
    lines += [
        f"| {one['errors']:.0%} | {one['calls_a_row']:.3f} | {one['ok']:,} of {one['rows']:,} "
        f"| {one['accounted']:,} / {one['served']:,} | {one['seconds']:.1f} |"
        for one in found
    ]
    return "\n".join(lines)
