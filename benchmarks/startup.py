"""How long it takes until something happens: imports, the command line, a run of one record."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.runs import ROOT
from benchmarks.server import running
from benchmarks.task import Job, write_source

_ONE = """
import sys
from pathlib import Path
from benchmarks.clients.tablecast import run
from benchmarks.task import Job
run(Job(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), 32))
"""


def startup(repeats: int = 5) -> dict[str, dict[str, float]]:
    """Seconds and seconds of CPU of whole processes, the medians."""
    with tempfile.TemporaryDirectory() as folder, running() as address:
        job = Job(address, Path(folder) / "source.parquet", Path(folder), 32)
        write_source(job.source, 1)
        outs = iter(range(repeats))
        return {
            "python": _median(repeats, lambda: ["-c", "pass"]),
            "import extract": _median(repeats, lambda: ["-c", "import extract"]),
            "from extract import Pipeline": _median(repeats, lambda: ["-c", "from extract import Pipeline, run"]),
            "extract --help": _median(repeats, lambda: ["-m", "extract", "--help"]),
            "a run of one record": _median(
                repeats, lambda: ["-c", _ONE, address, str(job.source), str(job.out / f"out{next(outs)}")]
            ),
        }


def _median(repeats: int, words: Callable[[], Sequence[str]]) -> dict[str, float]:
    seconds, cpu = [], []
    for _ in range(repeats):
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, *words()], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - begun)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"seconds": median(seconds), "cpu_seconds": median(cpu)}


def table(found: dict[str, dict[str, float]]) -> str:
    """The times in Markdown."""
    lines = ["| what | seconds | CPU seconds |", "|---|--:|--:|"]
    lines += [f"| `{what}` | {one['seconds']:.2f} | {one['cpu_seconds']:.2f} |" for what, one in found.items()]
    return "\n".join(lines)
