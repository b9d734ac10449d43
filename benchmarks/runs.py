"""Runs of clients in processes of their own, one after the other against servers of their own; what they took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq

from benchmarks.child import MISSING, WARM
from benchmarks.server import ledger_of, running
from benchmarks.task import write_source

ROOT = Path(__file__).parents[1]


class NotInstalled(Exception):  # noqa: N818  # it says what a client is
    """A client that this environment has not."""


@dataclass(frozen=True)
class Setting:
    """How hard a client drives the server, and how long each answer takes."""

    concurrency: int
    latency: int  # milliseconds

    def __str__(self) -> str:
        return f"C={self.concurrency}, {self.latency} ms"


@dataclass(frozen=True)
class Figures:
    """What one run took; of several runs, the median of each figure."""

    rows: int
    seconds: float
    cpu_seconds: float
    peak_rss_mb: float
    latency: int  # milliseconds
    concurrency: int

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of the client's CPU for each record."""
        return self.cpu_seconds / self.rows * 1000

    @property
    def of_ideal(self) -> float | None:
        """Share of the speed that the latency allows, N·latency/C; None without latency."""
        return self.rows * self.latency / 1000 / self.concurrency / self.seconds if self.latency else None

    def as_dict(self) -> dict[str, float | None]:
        """The figures with what follows from them."""
        own = {"rows_per_second": self.rows_per_second, "cpu_ms": self.cpu_ms, "of_ideal": self.of_ideal}
        return {**asdict(self), **own}


def run_client(name: str, setting: Setting, rows: int, pythons: Mapping[str, str]) -> Figures:
    """One run of one client. Raises NotInstalled, and RuntimeError when its table is not what was served."""
    with tempfile.TemporaryDirectory() as folder, running(latency=setting.latency) as address:
        write_source(Path(folder) / "warm.parquet", WARM)
        write_source(Path(folder) / "source.parquet", rows)
        options = {"address": address, "folder": folder, "concurrency": setting.concurrency}
        found = child(pythons.get(name, sys.executable), "benchmarks.child", name, **options)
        served = ledger_of(address)["served"]
        if served != rows + WARM:
            raise RuntimeError(f"{name}: {served} requests for {rows + WARM} records")
        refuse_wrong_table(name, Path(folder) / "out" / "table", rows)
    return Figures(rows=rows, latency=setting.latency, concurrency=setting.concurrency, **found)


def child(python: str, module: str, *words: str, **options: object) -> dict[str, float]:
    """What a process says in JSON on its last line. Raises NotInstalled, RuntimeError."""
    given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [python, "-m", module, *words, *given]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == MISSING:
        raise NotInstalled(done.stderr.strip().splitlines()[-1])
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def refuse_wrong_table(name: str, folder: Path, rows: int) -> None:
    """Every record has its own row, in the order of the input, with an answer of its own. Raises RuntimeError."""
    ids: list[int] = []
    numbers: set[str] = set()
    for part in sorted(folder.glob("part-*.parquet")):
        table = pq.read_table(part, columns=["id", "invoice_number"])
        ids += table["id"].to_pylist()
        numbers.update(table["invoice_number"].to_pylist())
    if ids != list(range(rows)) or len(numbers) != rows:
        raise RuntimeError(f"{name}: {len(ids)} rows and {len(numbers)} answers for {rows} records")


def middle(found: Sequence[Figures]) -> Figures:
    """The median of each figure."""
    first = found[0]
    return Figures(
        rows=first.rows,
        seconds=median(each.seconds for each in found),
        cpu_seconds=median(each.cpu_seconds for each in found),
        peak_rss_mb=median(each.peak_rss_mb for each in found),
        latency=first.latency,
        concurrency=first.concurrency,
    )
