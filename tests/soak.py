"""A long run against a server that refuses, breaks and hangs: does it leak memory, file handles, tasks or money?

    python -m tests.soak 1000000 --hours 1 --write docs/reliability.md      # make soak
    python -m tests.soak 20000                                              # as fast as the server's limit lets it

Exit code 1 when anything was lost, leaked or warned of. The server stands in a process of its own, on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import math
import os
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import uvloop

import extract
from benchmarks.__main__ import between_marks
from extract import Limits, Pipeline, Retry
from extract.fsck import fsck
from extract.journal import Journal
from extract.report import Report
from tests.support import Item
from tests.weather import Ledger, Sky, Weather
from tests.witness import Witness

ERRORS = 0.05  # of the calls, beside those that the server's limit refuses
FAULTS = ("500", "502", "503", "broken", "cut", "reset", "drop", "slow") * 12 + ("hang",)
CONCURRENCY = 1000
RATE = 1200.0  # calls per second that the server takes, unless the run is to last some hours
TIMEOUT = 3.0  # seconds: what a call that hangs takes
PATIENT = Retry(max_attempts=12, initial_wait=0.05, max_wait=1.0)
WARM_UP = 1 / 3  # of the run: until caches, pools and windows are filled
BLOCKS = 20  # samples in a row are alike, so each block of them is one point of the regression
T_95 = 2.101  # Student's t for BLOCKS - 2 degrees of freedom: 95 % in the middle
GOAL = 1.0  # MB per hour
SAMPLES = 2000


@dataclass(frozen=True)
class Slope:
    """A change over time with what is uncertain of it: 95 % of such intervals hold the truth."""

    per_hour: float
    plus_minus: float
    hours: float

    @property
    def growth(self) -> float:
        """Over the time that was looked at."""
        return self.per_hour * self.hours


@dataclass
class Samples:
    """What the process holds, from time to time."""

    seconds: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)  # MB
    handles: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)  # that Python has allocated
    tidy: bool = False  # collect garbage before each sample

    def take(self, since: float) -> None:
        if self.tidy:
            gc.collect()
        self.seconds.append(time.monotonic() - since)
        self.rss.append(resident())
        self.handles.append(open_handles())
        self.blocks.append(sys.getallocatedblocks())

    def slope(self, values: Sequence[float]) -> Slope:
        """Of these values, after the warm-up."""
        begin = next(at for at, second in enumerate(self.seconds) if second >= self.seconds[-1] * WARM_UP)
        return slope_of(self.seconds[begin:], values[begin:])


def slope_of(seconds: Sequence[float], values: Sequence[float]) -> Slope:
    """Least squares over the means of blocks."""
    size = len(seconds) / BLOCKS
    parts = [slice(int(at * size), int((at + 1) * size)) for at in range(BLOCKS)]
    times = [statistics.fmean(seconds[part]) / 3600 for part in parts]
    means = [statistics.fmean(values[part]) for part in parts]
    line = statistics.linear_regression(times, means)
    middle = statistics.fmean(times)
    left = sum((y - line.slope * x - line.intercept) ** 2 for x, y in zip(times, means, strict=True))
    error = math.sqrt(left / (BLOCKS - 2) / sum((x - middle) ** 2 for x in times))
    return Slope(line.slope, T_95 * error, (seconds[-1] - seconds[0]) / 3600)


def resident() -> float:
    """MB of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def open_handles() -> int:
    """File handles, without the one that looks."""
    return len(os.listdir("/proc/self/fd")) - 1


@dataclass
class Complaints(logging.Handler):
    """Every warning, unraisable error, dead thread and complaint of asyncio: what PYTHONDEVMODE would show."""

    found: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    __hash__ = logging.Handler.__hash__

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(f"{record.name}: {record.getMessage()}")

    @contextmanager
    def heard(self) -> Iterator[None]:
        hooks = sys.unraisablehook, threading.excepthook
        sys.unraisablehook = lambda error: self.found.append(f"unraisable: {error.exc_value!r} in {error.object!r}")
        threading.excepthook = lambda error: self.found.append(f"a thread died of {error.exc_value!r}")
        logging.getLogger("asyncio").addHandler(self)
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                yield
                gc.collect()  # coroutines and sockets that nobody closed complain when they go
            self.found += [f"{each.category.__name__}: {each.message} ({each.filename})" for each in warned]
        finally:
            sys.unraisablehook, threading.excepthook = hooks
            logging.getLogger("asyncio").removeHandler(self)


@dataclass
class Soak:
    """What came of it."""

    rows: int
    seconds: float
    report: Report
    ledger: Ledger
    samples: Samples
    handles: tuple[int, int]  # before and after
    complaints: list[str]
    left: list[str]  # tasks and threads that are still there after the end
    accounts: list[str]  # what does not add up between client, journal, tables and ledger
    peak: float = 0.0

    def __post_init__(self) -> None:
        self.memory = self.samples.slope(self.samples.rss)
        self.open = self.samples.slope(self.samples.handles)
        self.blocks = self.samples.slope(self.samples.blocks)
        self.peak = max(self.samples.rss)

    @property
    def faults(self) -> int:
        return self.ledger.calls - self.ledger.kinds["ok"]

    @property
    def problems(self) -> list[str]:
        """What should not be; a slope is one when it is surely above the goal."""
        first, last = self.handles
        found = [f"{last - first} file handles more than before"] if last > first else []
        if self.open.growth - self.open.plus_minus * self.open.hours > 0.5:
            found.append(f"file handles grow by {self.open.per_hour:+.0f} an hour")
        if self.memory.per_hour - self.memory.plus_minus > GOAL:
            found.append(f"memory grows by {self.memory.per_hour:.1f} ± {self.memory.plus_minus:.1f} MB an hour")
        return [*found, *self.complaints, *self.left, *self.accounts]

    @property
    def verdict(self) -> str:
        """What the slope of the memory says, and what it cannot."""
        low, high = self.memory.per_hour - self.memory.plus_minus, self.memory.per_hour + self.memory.plus_minus
        if high < GOAL:
            return "below 1 MB/h"
        if low > GOAL:
            return "above 1 MB/h"
        minutes = self.memory.hours * 60
        return (
            f"{minutes:.0f} minutes are too short to tell: 1 MB/h is {GOAL * self.memory.hours:.2f} MB in this time, "
            f"known to ± {self.memory.plus_minus * self.memory.hours:.2f} MB"
        )

    def lines(self) -> list[str]:
        """As the table of docs/reliability.md."""
        ledger, memory = self.ledger, self.memory
        kinds = ", ".join(f"{name} {number:,}" for name, number in sorted(ledger.kinds.items()) if name != "ok")
        met = "none" if not self.problems else "; ".join(self.problems[:5])
        return [
            f"| rows, calls, time | {self.rows:,} rows, {ledger.calls:,} calls, {self.seconds / 60:.1f} min |",
            f"| faults | {self.faults / ledger.calls:.1%} of the calls: {kinds} |",
            f"| rows ok, quarantined, asked again after a good answer | {self.report.ok:,}, {self.report.quarantined}, "
            f"{ledger.again} |",
            f"| client's calls, tokens and calls that may be billed, against the ledger | "
            f"{'equal' if not self.accounts else '; '.join(self.accounts)} |",
            f"| file handles before, after, slope | {self.handles[0]}, {self.handles[1]}, "
            f"{self.open.per_hour:+.1f} ± {self.open.plus_minus:.1f} an hour |",
            f"| RSS slope after the first third | {memory.per_hour:+.2f} ± {memory.plus_minus:.2f} MB/h (95 %): "
            f"{self.verdict} |",
            f"| RSS a million rows, from that slope | {memory.growth / (self.rows * (1 - WARM_UP)) * 1e6:+.2f} MB |",
            f"| peak RSS | {self.peak:.0f} MB |",
            f"| warnings, tasks and threads left, coroutines never awaited | {len(self.complaints)}, {len(self.left)} |",
            f"| problems | {met} |",
        ]


def pipeline(retry: Retry = PATIENT, **limits: Any) -> Pipeline:
    """One record, one number."""
    return Pipeline(
        name="weather", schema=Item, prompt="record #{{ number }}", key="id", retry=retry, limits=Limits(**limits)
    )


def source(path: Path, rows: int) -> Path:
    """`id` and `number`, from 1."""
    schema = pa.schema([("id", pa.int64()), ("number", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(1, rows + 1, 50_000):
            numbers = list(range(first, min(first + 50_000, rows + 1)))
            writer.write_table(pa.table({"id": numbers, "number": numbers}, schema=schema))
    return path


def soak(rows: int, rate: float = RATE, *, tidy: bool = False) -> Soak:
    """Run once and look. A short run goes before it, so that what is loaded late is loaded.

    tidy: hold little at any time, and collect garbage before each sample: then seconds tell whether rows leave objects.
    """
    complaints, samples = Complaints(), Samples(tidy=tidy)
    changes = {"concurrency": 150, "shard_rows": 250} if tidy else {}
    interval = rows / rate / (80 if tidy else SAMPLES)
    weather = Weather(kind="bucket", limit=rate, errors=ERRORS, faults=FAULTS, slow=0.5, rows=rows)
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        with Sky(Weather()) as sky:
            _run(source(folder / "warm.parquet", 500), folder / "warm", sky)
        file, out = source(folder / "rows.parquet", rows), folder / "out"
        with Sky(weather) as sky:
            before, threads, begun = open_handles(), set(threading.enumerate()), time.monotonic()
            with complaints.heard(), _sampling(samples, begun, interval):
                report, left, early = _run(file, out, sky, **changes)
            seconds, after = time.monotonic() - begun, open_handles()
            ledger = sky.ledger()
        left += [f"thread {thread.name}" for thread in threading.enumerate() if thread not in threads]
        accounts = list(differences(report, ledger, rows, out, file))
        if early:
            accounts.append(f"calls before a Retry-After had ended: {early}, should be 0")
    return Soak(rows, seconds, report, ledger, samples, (before, after), complaints.found, left, accounts)


def _run(
    file: Path, out: Path, sky: Sky, concurrency: int = CONCURRENCY, shard_rows: int = 5000
) -> tuple[Report, list[str], int]:
    """The report, what the run left behind in its loop, and the calls that began before a Retry-After had ended."""

    async def work() -> tuple[Report, list[str], int]:
        job = replace(pipeline(concurrency=concurrency, timeout=TIMEOUT), shard_rows=shard_rows)
        witness = Witness(job.limits)
        options: dict[str, Any] = {"transport": witness, "on_progress": lambda tally: None}
        result = await extract.arun(job, file, out=out, endpoint=sky.endpoint(), **options)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        return result.report, [f"a task is left: {task!r}" for task in tasks], witness.early

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as extract.run has it
        return runner.run(work())


@contextmanager
def _sampling(samples: Samples, begun: float, interval: float) -> Iterator[None]:
    """Samples are taken by a thread, so that a loop that is late does not hide."""
    over = threading.Event()

    def sample() -> None:
        while not over.wait(max(0.02, interval)):
            samples.take(begun)

    thread = threading.Thread(target=sample, name="samples")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def differences(report: Report, ledger: Ledger, rows: int, out: Path, file: Path) -> Iterator[str]:
    """Where rows, client's account, journal and server's ledger do not say the same."""
    with Journal(out / "journal.db") as journal:
        totals = journal.totals()
    expected = {
        "rows ok": (rows, report.ok),
        "rows quarantined": (0, report.quarantined),
        "calls of the report": (ledger.calls, report.requests),
        "calls of the journal": (ledger.calls, totals.requests),
        "retries": (ledger.calls - rows, report.retries),
        "tokens of the report": (ledger.tokens, (report.input_tokens, report.output_tokens)),
        "tokens of the journal": (ledger.tokens, (totals.usage.input_tokens, totals.usage.output_tokens)),
        "calls that may be billed": (ledger.ambiguous, report.ambiguous),
        "calls for rows that were answered": (0, ledger.again),
    }
    for what, (wanted, found) in expected.items():
        if wanted != found:
            yield f"{what}: {found}, should be {wanted}"
    for violation in fsck(out, file).violations:
        yield f"fsck: {violation}"


def main() -> int:
    """Soak; 1 when there is a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--hours", type=float, default=None, help="spread the calls over this time")
    parser.add_argument("--write", type=Path, default=None, help="a Markdown file with marks: docs/reliability.md")
    options = parser.parse_args()
    rate = options.rows / options.hours / 3600 if options.hours else RATE
    found = soak(options.rows, rate)
    command = f"python -m tests.soak {options.rows}" + (f" --hours {options.hours:g}" if options.hours else "")
    lines = [f"`{command}`, {time.strftime('%Y-%m-%d')}:", "", "| what | result |", "|---|---|", *found.lines()]
    print("\n".join(lines))
    if options.write:
        options.write.write_text(between_marks(options.write.read_text(), "soak", "\n".join(lines)))
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
