"""A long run of ours in this process: memory and speed along the way, then the same run again when all is done.

    python -m benchmarks.long --address http://127.0.0.1:PORT --folder DIR --rows 1000000 --concurrency 256

DIR holds `source.parquet` or `source.csv`. Prints JSON: peak RSS; how late the loop is; CPU and rows/s of the first
rows and of the last, 50,000 of a million; then the seconds of runs that ask nothing: of one that has everything; of one
that lacks the last shard, as after a kill near the end; of one that has the journal alone and derives all tables anew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import extract
from benchmarks.child import cpu_seconds, peak_rss
from benchmarks.clients.tablecast import pipeline_of
from benchmarks.task import Job
from extract.report import OnProgress, Tally

EARLY = 1_000  # the row from which the first rate is taken
SPAN = 50_000  # rows at either end over which rates are taken, but a quarter of the run at most
PIECES = 10  # of each span: the median of them is its rate, which one stop does not move
_TICK = 0.01  # seconds


@dataclass
class Watch:
    """When how many records were done, a mark each thousand; and how late the loop is with what is due."""

    marks: list[tuple[int, float, float, float]] = field(default_factory=list)  # records, seconds, CPU, the yardstick's
    lags: list[float] = field(default_factory=list)  # seconds
    own: list[float] = field(default_factory=list)  # of them, the loop's own work; the rest is other threads, or others

    def __call__(self, tally: Tally) -> None:
        if not self.marks:  # called on the run's own loop
            self._tick(asyncio.get_running_loop(), None, 0.0)
        if not self.marks or tally.done >= self.marks[-1][0] + 1_000:
            self.marks.append((tally.done, time.perf_counter(), cpu_seconds(), yardstick()))

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float | None, worked: float) -> None:
        now, work = loop.time(), time.thread_time()
        if due is not None:
            self.lags.append(max(0.0, now - due))
            self.own.append(max(0.0, work - worked - _TICK))
        loop.call_later(_TICK, self._tick, loop, now + _TICK, work)

    def rates(self, rows: int) -> dict[str, float]:
        """Rows/s and CPU ms a row of the first rows, a thousand left out, and of the last; the yardstick's too."""
        span = min(SPAN, rows // 4)
        found = {}
        for name, first in (("early", EARLY), ("late", rows - span)):
            marks = [mark for mark in self.marks if first <= mark[0] <= first + span]
            step = max(1, (len(marks) - 1) // PIECES)
            pieces = list(pairwise(marks[::step]))
            if not pieces:
                continue
            found[f"{name}_rows_per_second"] = median((b[0] - a[0]) / (b[1] - a[1]) for a, b in pieces)
            found[f"{name}_cpu_ms"] = median((b[2] - a[2]) / (b[0] - a[0]) for a, b in pieces) * 1000
            found[f"{name}_yard_ms"] = median(mark[3] for mark in marks) * 1000
        return found


def yardstick() -> float:
    """Seconds of CPU for a piece of work that is always the same: a busy machine has slower caches and clocks, too."""
    begun, found = time.thread_time(), {}
    for number in range(2_000):
        found[number % 64] = str(number)
    return time.thread_time() - begun


def measured(address: str, source: Path, rows: int, concurrency: int, *, replay: bool) -> dict[str, Any]:
    """Run four times and measure."""
    job = Job(address, source, source.parent / "out", concurrency)
    watch = Watch()
    begun, cpu = time.perf_counter(), cpu_seconds()
    extract.run(pipeline_of(job), job.source, out=job.out, on_progress=watch)
    found: dict[str, Any] = {
        "rows": rows,
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": cpu_seconds() - cpu,
        "peak_rss_mb": peak_rss() / 1e6,
        "journal_mb": sum(file.stat().st_size for file in job.out.glob("journal.db*")) / 1e6,
        "lag_p99_ms": _p99(watch.lags) * 1000,
        "lag_own_p99_ms": _p99(watch.own) * 1000,
        **watch.rates(rows),
    }
    found["again_seconds"], found["again_requests"] = _again(job)
    if replay:
        _forget_last_shard(job.out / "manifest.json")
        found["resume_seconds"], found["resume_requests"] = _again(job)
        (job.out / "manifest.json").unlink()
        shutil.rmtree(job.out / "table")
        begun = cpu_seconds()
        watch = Watch()
        found["replay_seconds"], found["replay_requests"] = _again(job, watch)
        found["replay_lag_own_p99_ms"] = _p99(watch.own) * 1000
        found["replay_cpu_ms"] = (cpu_seconds() - begun) / rows * 1000
        found["peak_rss_mb_after"] = peak_rss() / 1e6
    return found


def _forget_last_shard(manifest: Path) -> None:
    """As if the run had been killed before it was committed."""
    found = json.loads(manifest.read_bytes())
    found["complete"] = False
    found["shards"].pop()
    manifest.write_text(json.dumps(found))


def _p99(found: list[float]) -> float:
    return sorted(found)[int(len(found) * 0.99)] if found else 0.0


def _again(job: Job, watch: OnProgress = lambda tally: None) -> tuple[float, int]:
    begun = time.perf_counter()
    report = extract.run(pipeline_of(job), job.source, out=job.out, on_progress=watch).report
    return time.perf_counter() - begun, report.requests


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--no-replay", action="store_true")
    options = parser.parse_args()
    [source] = options.folder.glob("source.*")
    replay = not options.no_replay
    print(json.dumps(measured(options.address, source, options.rows, options.concurrency, replay=replay)))


if __name__ == "__main__":
    main()
