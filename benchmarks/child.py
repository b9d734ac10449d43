"""One run of one client in this process, measured: prints JSON. Started by `benchmarks.runs`.

    python -m benchmarks.child NAME --address http://127.0.0.1:PORT --folder DIR --concurrency 256

DIR holds `warm.parquet` and `source.parquet`: the client does a short run first, so that what is loaded late is loaded,
then one that is measured. CPU time is that of this process with all its threads.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from importlib import import_module
from pathlib import Path

from benchmarks.task import Job

CLIENTS = {  # name → module and function
    "tablecast": ("tablecast", "run"),
    "bare aiohttp": ("bare", "run"),
    "openai parse": ("sdk", "parse"),
    "openai create + aiohttp": ("sdk", "create_aiohttp"),
    "instructor": ("instructor", "run"),
}
WARM = 64  # records of the first run
MISSING = 3  # exit code where a client is not installed


def measured(name: str, address: str, folder: Path, concurrency: int) -> dict[str, float]:
    """Run and measure: seconds, seconds of CPU, peak RSS in MB."""
    module, function = CLIENTS[name]
    run = getattr(import_module(f"benchmarks.clients.{module}"), function)
    warm = Job(address, folder / "warm.parquet", folder / "warm", concurrency)
    job = Job(address, folder / "source.parquet", folder / "out", concurrency)
    run(warm)
    cpu, begun = cpu_seconds(), time.perf_counter()
    run(job)
    return {
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": cpu_seconds() - cpu,
        "peak_rss_mb": peak_rss() / 1e6,
    }


def cpu_seconds() -> float:
    """Of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_rss() -> float:
    """Bytes. Linux' own figure for this program alone: the one of getrusage holds the parent's before exec too."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=CLIENTS)
    parser.add_argument("--address", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--concurrency", type=int, default=256)
    options = parser.parse_args()
    try:
        found = measured(options.name, options.address, options.folder, options.concurrency)
    except ModuleNotFoundError as error:
        print(error, file=sys.stderr)
        sys.exit(MISSING)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
