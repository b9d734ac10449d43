"""How memory and speed go with the number of rows, and what a run costs that finds all of them done."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.runs import child
from benchmarks.server import ledger_of, running
from benchmarks.task import write_source

SIZES = (10_000, 100_000, 1_000_000)
MOST_MB, MOST_GROWTH = 300, 0.10  # peak RSS with a million rows; growth from a hundred thousand
MOST_DRIFT = 0.05  # of CPU a row, late against early, each against what a fixed piece of work took then
MOST_RESUME = 20.0  # seconds for a million rows that are done
MOST_SCAN = 10.0  # seconds for a million rows of which only the last shard is not committed
MOST_LAG = 50.0  # milliseconds that the event loop is late, the 99th percentile


def grow(
    sizes: Sequence[int] = SIZES,
    concurrency: int = 256,
    heard: Callable[[str], None] = lambda line: None,
    kind: str = "parquet",
) -> list[dict[str, Any]]:
    """One long run for each size, each in a process of its own. Raises RuntimeError when a row was paid twice.

    kind: what the records are read from, parquet or csv.
    """
    found = []
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder, running() as address:
            write_source(Path(folder) / f"source.{kind}", rows)
            options = {"address": address, "folder": folder, "rows": rows, "concurrency": concurrency}
            one = child(sys.executable, "benchmarks.long", **options)
            served = ledger_of(address)["served"]
            if served != rows:
                raise RuntimeError(f"{served} requests for {rows} records")
        heard(f"{rows:,} rows: {rows / one['seconds']:,.0f} rows/s, {one['peak_rss_mb']:.0f} MB")
        found.append(one)
    return found


def table(found: Sequence[dict[str, Any]]) -> str:
    """The runs in Markdown."""
    lines = [
        "| rows | rows/s, first / last | CPU ms a row, first / last | peak RSS, MB | loop late, p99, ms (own work) "
        "| journal, MB | again, s | last shard missing, s | tables anew from the journal, s | CPU ms a row |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for one in found:
        early, late = one.get("early_cpu_ms", float("nan")), one.get("late_cpu_ms", float("nan"))
        lines.append(
            f"| {one['rows']:,} | {one['rows'] / one['seconds']:,.0f}, {_rate(one, 'early')} / {_rate(one, 'late')} "
            f"| {early:.3f} / {late:.3f} "
            f"| {one['peak_rss_mb']:.0f} | {one['lag_p99_ms']:.1f} ({one['lag_own_p99_ms']:.1f}) "
            f"| {one['journal_mb']:.0f} | {one['again_seconds']:.2f} | {one['resume_seconds']:.2f} "
            f"| {one['replay_seconds']:.1f} | {one['replay_cpu_ms']:.3f} |"
        )
    return "\n".join(lines)


def goals(found: Sequence[dict[str, Any]]) -> list[str]:
    """What is to be reached with a million rows, and whether it is."""
    by = {one["rows"]: one for one in found}
    asked = sum(one[f"{name}_requests"] for one in found for name in ("again", "resume", "replay"))
    said = [f"runs that have all answers ask {asked} times (goal 0)"]
    said.append(_verdict("event loop late, p99, ms", max(one["lag_p99_ms"] for one in found), MOST_LAG))
    long = max(found, key=lambda one: one["rows"])
    said.append(
        _verdict(f"CPU that the last of {long['rows']:,} rows take more than the first", drift(long), MOST_DRIFT)
    )
    if (whole := by.get(1_000_000)) is None:
        return said
    said.append(_verdict("peak RSS with 1M rows, MB", whole["peak_rss_mb"], MOST_MB))
    said.append(_verdict("resume with all of 1M done, s", whole["again_seconds"], MOST_RESUME))
    said.append(_verdict("resume with one shard of 1M missing, s", whole["resume_seconds"], MOST_SCAN))
    if (part := by.get(100_000)) is not None:
        growth = whole["peak_rss_mb"] / part["peak_rss_mb"] - 1
        said.append(_verdict("growth of peak RSS from 100k to 1M rows", growth, MOST_GROWTH))
    return said


def _rate(one: Mapping[str, Any], name: str) -> str:
    return f"{one.get(f'{name}_rows_per_second', float('nan')):,.0f}"


def drift(one: Mapping[str, Any]) -> float:
    """By how much the last rows are dearer than the first, in CPU, the machine's own pace then taken out."""
    late, early = (float(one[f"{name}_cpu_ms"] / one[f"{name}_yard_ms"]) for name in ("late", "early"))
    return late / early - 1


def _verdict(what: str, value: float, most: float) -> str:
    return f"{what}: {value:.3g} (goal ≤ {most:g}: {'met' if value <= most else 'missed'})"
