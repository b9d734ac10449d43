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
ERRORS, LIMITED = "500,503", "429"  # statuses
STORMS = (*((share, ERRORS, 1.0) for share in SHARES), (0.1, LIMITED, 0.2))  # the last is the share of the rows


def storms(heard: Callable[[str], None] = lambda line: None, rows: int = ROWS) -> list[dict[str, Any]]:
    """A run for each share of errors, and one with calls that are refused for a rate that nobody can keep to: each
    refusal is a pause, so it has fewer rows. Raises RuntimeError when a row is missing."""
    return [_storm(share, statuses, max(1, int(rows * part)), heard) for share, statuses, part in STORMS]


def _storm(share: float, statuses: str, rows: int, heard: Callable[[str], None]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, running(latency=20, errors=share, statuses=statuses) as address:
        job = Job(address, Path(folder) / "source.parquet", Path(folder) / "out", 64)
        write_source(job.source, rows)
        patient = replace(pipeline_of(job), retry=Retry(max_attempts=40, initial_wait=0.05, max_wait=0.5))
        report = extract.run(patient, job.source, out=job.out, on_progress=lambda tally: None).report
        ledger = ledger_of(address)
        refuse_wrong_table("tablecast", job.out / "table", rows)
    found = {
        "errors": share,
        "statuses": statuses,
        "rows": rows,
        "ok": report.ok,
        "calls_a_row": ledger["served"] / rows,
        "accounted": report.requests,
        "served": ledger["served"],
        "seconds": report.seconds,
    }
    heard(f"{share:.0%} {statuses}: {found['calls_a_row']:.3f} calls a row, {report.ok} of {rows} ok")
    return found


def goals(found: Sequence[dict[str, Any]]) -> list[str]:
    """What is to be reached, and whether it is."""
    said = []
    for one in found:
        most = SHARES[one["errors"]]
        met = one["calls_a_row"] <= most and one["ok"] == one["rows"] and one["accounted"] == one["served"]
        said.append(
            f"{one['errors']:.0%} {one['statuses']}: {one['calls_a_row']:.3f} calls a row, "
            f"{one['accounted']:,} accounted of {one['served']:,} served "
            f"(goal ≤ {most}, all accounted: {'met' if met else 'missed'})"
        )
    return said


def table(found: Sequence[dict[str, Any]]) -> str:
    """The storms in Markdown."""
    lines = ["| errors | status | calls a row | rows ok | calls accounted / served | s |", "|--:|--:|--:|--:|--:|--:|"]
    lines += [
        f"| {one['errors']:.0%} | {one['statuses'].replace(',', ', ')} | {one['calls_a_row']:.3f} "
        f"| {one['ok']:,} of {one['rows']:,} | {one['accounted']:,} / {one['served']:,} | {one['seconds']:.1f} |"
        for one in found
    ]
    return "\n".join(lines)
