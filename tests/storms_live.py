"""The storms of tests/storms.py on real sockets: whole runs against a server in a process of its own, on loopback.

    python -m tests.storms_live --write docs/load.md      # the second part of make storm: twenty minutes
    python -m tests.storms_live --only outage poison

Unknown limits, limits that change, outages, independent errors, refusals that end a run, poisoned rows, calls that
hang. Exit code 1 when a goal is missed. Figures are those of the server's ledger.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import extract
from benchmarks.__main__ import between_marks
from extract import Retry
from extract.report import Report
from extract.sinks import read_manifest
from tests.soak import pipeline, source
from tests.weather import BIN, ROOT, Ledger, Sky, Weather
from tests.witness import Witness

QUICK = Retry(max_attempts=40, initial_wait=0.05, max_wait=0.5)
HEADERS = ("seconds", "date", "none")
FATAL = ("401", "402", "404")
MOST_CALLS = {0.1: 1.17, 0.3: 1.50, 0.5: 2.10}  # a row, by the share of errors
ERRORS = ("500", "503", "broken", "cut", "reset")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A run, and the weather that it meets."""

    group: str
    label: str
    weather: Weather
    concurrency: int = 256
    rows: int = 100_000  # more than can be asked for where `seconds` ends the run
    seconds: float | None = None  # the run is ended after this time
    retry: Retry = Retry()
    timeout: float = 60.0
    find: float = 30.0  # seconds in which the limit is to be found


@dataclass(frozen=True)
class Played:
    """What became of a scene."""

    scene: Scene
    report: Report
    ledger: Ledger
    seconds: float
    stopped: str = ""
    exit_code: int = 0
    early: int = 0  # calls that began before a Retry-After had ended, as the client saw it

    def goodput(self, first: float, last: float) -> float:
        """Calls accepted per second of the server's clock."""
        return _sum(self.ledger.accepted, first, last) / (last - first)

    def share_refused(self, first: float, last: float) -> float:
        refused = _sum(self.ledger.refused, first, last)
        return refused / max(1, refused + _sum(self.ledger.accepted, first, last))

    def reached(self, rate: float, begin: float, over: float) -> float:
        """Seconds from `begin` until the calls accepted in the time after that come at this rate."""
        last = len(self.ledger.accepted) * BIN - 2  # the end of the run is none of the server's
        for place in range(math.ceil(begin / BIN), int((last - over) / BIN)):
            if self.goodput(place * BIN, place * BIN + over) >= rate:
                return place * BIN - begin
        return math.inf

    @property
    def failed(self) -> int:
        """Calls without a good answer, those that found nobody listening too."""
        return self.report.requests - (self.ledger.kinds["ok"] - self.ledger.gone)


def _sum(curve: Sequence[int], first: float, last: float) -> int:
    return sum(curve[round(first / BIN) : round(last / BIN)])


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    what: str
    goal: str
    found: str
    met: bool

    @property
    def line(self) -> str:
        return f"| {self.what} | {self.goal} | {self.found} | {'met' if self.met else '**missed**'} |"


def play(scene: Scene) -> Played:
    """A whole run: Parquet in, Parquet out, journal on."""
    weather = replace(scene.weather, rows=scene.rows)
    with tempfile.TemporaryDirectory(prefix="storm-") as folder, Sky(weather) as sky:
        file, out = source(Path(folder) / "rows.parquet", scene.rows), Path(folder) / "out"
        if scene.group == "fatal":
            return _on_command_line(scene, file, out, sky)
        job = pipeline(scene.retry, concurrency=scene.concurrency, timeout=scene.timeout, max_seconds=scene.seconds)
        begun, stopped, witness = time.monotonic(), "", Witness(job.limits)
        options: dict[str, Any] = {"endpoint": sky.endpoint(), "transport": witness, "on_progress": lambda tally: None}
        try:
            report = extract.run(job, file, out=out, **options).report
        except extract.RunStopped as error:
            stopped, report = str(error), cast("Report", error.report)
        seconds = time.monotonic() - begun
        return Played(scene, report, sky.ledger(), seconds, stopped, early=witness.early)


def _on_command_line(scene: Scene, file: Path, out: Path, sky: Sky) -> Played:
    """The same as a command, which has an exit code; what it committed is read from the manifest."""
    command = [sys.executable, "-m", "extract", "run", str(file), "--schema", "tests/support.py:Item", "--quiet"]
    command += ["--prompt", "record #{{ number }}", "--key", "id", "--out", str(out)]
    command += ["--set", f"limits.concurrency={scene.concurrency}"]
    environment = os.environ | {"EXTRACT_BASE_URL": sky.base_url}
    begun = time.monotonic()
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    found = (read_manifest(out) or {})["counts"]
    counts = {"records": found["in"], "ok": found["ok"], "quarantined": found["quarantined"], "reasons": {}}
    report = Report(**counts, requests=0, retries=0, input_tokens=0, output_tokens=0, cost_usd=None, seconds=0.0)
    return Played(scene, report, sky.ledger(), time.monotonic() - begun, ended.stderr, ended.returncode)


def limit_scenes() -> Iterator[Scene]:
    """Each limit with each form of Retry-After."""
    for limit in (20, 100, 400):
        for header in HEADERS:
            weather = Weather(kind="bucket", limit=limit, header=header, latency=0.2, spread=0.4, seed=limit)
            yield Scene(group="limit", label=f"{limit}/s, Retry-After: {header}", weather=weather, seconds=75)


def change_scenes() -> Iterator[Scene]:
    for factor, name in ((2.0, "doubled"), (0.5, "halved")):
        for header in HEADERS:
            weather = Weather(kind="bucket", limit=100, header=header, latency=0.2, spread=0.4, seed=5)
            weather = replace(weather, change_at=50.0, change=factor)
            label = f"100/s {name}, Retry-After: {header}"
            yield Scene(group=name, label=label, weather=weather, seconds=125 if factor > 1 else 85)


def outage_scenes() -> Iterator[Scene]:
    for kind, name in (("503", "503"), ("closed", "nobody listens"), ("reset", "connections reset")):
        weather = Weather(latency=0.2, spread=0.4, outage=(20.0, 80.0), outage_kind=kind, seed=7)
        yield Scene(group="outage", label=name, weather=weather, concurrency=32, seconds=125)


def error_scenes() -> Iterator[Scene]:
    for share in MOST_CALLS:
        weather = Weather(latency=0.05, spread=0.4, errors=share, faults=ERRORS, refusal=0.02, seed=11)
        label = f"{share:.0%} of the calls"
        yield Scene(group="errors", label=label, weather=weather, concurrency=64, rows=5000, retry=QUICK)


def fatal_scenes() -> Iterator[Scene]:
    for status in FATAL:
        weather = Weather(latency=0.05, fatal=status, fatal_from=300)
        yield Scene(group="fatal", label=status, weather=weather, concurrency=32, rows=2000)


def poison_scenes() -> Iterator[Scene]:
    """The same rows with and without poisoned ones among them."""
    weather = Weather(latency=0.1, poison_fault=("500", "broken", "reset"), refusal=0.1, seed=13)
    for every in (0, 500):
        label = f"every {every}th row is poisoned" if every else "none is poisoned"
        poisoned = replace(weather, poison=every)
        yield Scene(group="poison", label=label, weather=poisoned, concurrency=32, rows=12_000)


def tail_scenes() -> Iterator[Scene]:
    """The same rows with and without calls that hang; the server's limit, not the permits, is what holds the run up."""
    for share in (0.0, 0.02):
        weather = Weather(kind="bucket", limit=200, latency=0.1, errors=share, faults=("hang", "drip"), seed=17)
        label = f"{share:.0%} of the calls hang or drip"
        yield Scene(group="tail", label=label, weather=weather, rows=10_000, timeout=5.0)


SCENES: dict[str, Callable[[], Iterator[Scene]]] = {
    "limit": limit_scenes,
    "change": change_scenes,
    "outage": outage_scenes,
    "errors": error_scenes,
    "fatal": fatal_scenes,
    "poison": poison_scenes,
    "tail": tail_scenes,
}


def found_limit(played: Played) -> Iterator[Finding]:
    """From `find` on: how much of the limit is used, how much is refused, who came too early."""
    scene = played.scene
    span = scene.find, (scene.seconds or 0) - 1
    share, refused = played.goodput(*span) / scene.weather.limit, played.share_refused(*span)
    what = f"unknown limit of {scene.label}"
    yield Finding(what, "goodput ≥ 90 % of it after 30 s", f"{share:.1%}", share >= 0.9)
    yield Finding("", "≤ 5 % 429s after 30 s", f"{refused:.1%}", refused <= 0.05)
    yield _early(played)


def _early(played: Played) -> Finding:
    """By the client's own clock; by the server's, calls that waited in a socket come too."""
    late = played.ledger.early + played.ledger.on_their_way
    found = f"{played.early} ({late} by the server's clock)"
    return Finding("", "0 calls begun before Retry-After ends", found, played.early == 0)


def found_change(played: Played) -> Iterator[Finding]:
    scene, weather = played.scene, played.scene.weather
    most = 60 if weather.change > 1 else 10
    seconds = played.reached(0.9 * weather.limit * weather.change, weather.change_at, 10)
    yield Finding(scene.label, f"≥ 90 % of the new one within {most} s", f"{seconds:.1f} s", seconds <= most)
    refused = played.share_refused(weather.change_at + 10, (scene.seconds or 0) - 1)
    yield Finding("", "≤ 5 % 429s from 10 s after that", f"{refused:.1%}", refused <= 0.05)
    yield _early(played)


def found_outage(played: Played) -> Iterator[Finding]:
    scene, (first, last) = played.scene, played.scene.weather.outage
    before = played.goodput(first / 2, first)
    back = played.reached(0.9 * before, last, 5)
    what, most = f"outage of {last - first:.0f} s, {scene.label}, C={scene.concurrency}", 3 * scene.concurrency
    yield Finding(what, f"≤ 3·C = {most} failed calls", f"{played.failed}", played.failed <= most)
    yield Finding("", "0 rows quarantined", f"{played.report.quarantined}", played.report.quarantined == 0)
    yield Finding("", "≥ 90 % of the rate ≤ 30 s after", f"{back:.1f} s", back <= 30)


def found_errors(played: Played) -> Iterator[Finding]:
    scene, report, ledger = played.scene, played.report, played.ledger
    most, calls = MOST_CALLS[scene.weather.errors], ledger.calls / scene.rows
    yield Finding(f"independent errors: {scene.label}", f"≤ {most:.2f} calls a row", f"{calls:.3f}", calls <= most)
    yield Finding("", "all rows ok", f"{report.ok:,} of {scene.rows:,}", report.ok == scene.rows)
    accounts = (report.requests, report.ambiguous), (ledger.calls, ledger.ambiguous)
    found = "{:,} and {:,}".format(*accounts[0])
    yield Finding("", "calls and ambiguous ones as the ledger has them", found, accounts[0] == accounts[1])


def found_fatal(played: Played) -> Iterator[Finding]:
    scene, report = played.scene, played.report
    after, most = played.ledger.kinds[scene.label] - 1, scene.concurrency
    what = f"{scene.label} to every call, after 300 answers"
    yield Finding(what, f"≤ C = {most} calls after the first", f"{after}", after <= most)
    yield Finding(
        "", "0 rows quarantined, exit code 4", f"{report.quarantined}, {played.exit_code}", _is_paused(played)
    )


def _is_paused(played: Played) -> bool:
    return played.exit_code == 4 and played.report.quarantined == 0


def found_poison(clean: Played, played: Played) -> Iterator[Finding]:
    """How fast the others were, on the server's clock: the last of them was answered when?"""
    scene, every = played.scene, played.scene.weather.poison
    others = (scene.rows - scene.rows // every) / played.ledger.last_good
    ratio = others / (clean.scene.rows / clean.ledger.last_good)
    most = scene.retry.max_attempts
    found = played.ledger.most_of_poisoned
    yield Finding(f"poisoned rows: {scene.label}", "throughput of the others ± 2 %", f"{ratio - 1:+.1%}", ratio >= 0.98)
    yield Finding("", f"≤ {most} calls for each", f"{found}", found <= most)
    quarantined = played.report.quarantined
    yield Finding("", "only they are quarantined", f"{quarantined}", quarantined == scene.rows // every)


def found_tail(clean: Played, played: Played) -> Iterator[Finding]:
    scene, most = played.scene, 1.1 * clean.seconds + played.scene.timeout
    goal = f"≤ 1.1 × clean + one timeout = {most:.1f} s"
    yield Finding(f"tail: {scene.label}", goal, f"{played.seconds:.1f} s", played.seconds <= most)
    yield Finding("", "all rows ok", f"{played.report.ok:,}", played.report.ok == scene.rows)


ALONE: dict[str, Callable[[Played], Iterator[Finding]]] = {
    "limit": found_limit,
    "doubled": found_change,
    "halved": found_change,
    "outage": found_outage,
    "errors": found_errors,
    "fatal": found_fatal,
}
PAIRS = {"poison": found_poison, "tail": found_tail}  # compared with the same without it


def findings(played: Iterable[Played]) -> Iterator[Finding]:
    """What the goals say to each scene."""
    clean: dict[str, Played] = {}
    for one in played:
        group = one.scene.group
        if group in ALONE:
            yield from ALONE[group](one)
        elif group in clean:
            yield from PAIRS[group](clean[group], one)
        else:
            clean[group] = one


def play_all(scenes: Sequence[Scene], processes: int) -> Iterator[Played]:
    """In the order of the scenes, so many at a time; those that are compared are played one after the other."""
    alone = [scene for scene in scenes if scene.group in PAIRS]
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])  # else each of them imports for a second or two
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield from pool.map(play, [scene for scene in scenes if scene.group not in PAIRS])
    yield from map(play, alone)


def main() -> int:
    """The campaign; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--processes", type=int, default=3, help="scenes at a time; they mostly wait")
    parser.add_argument("--write", type=Path, default=None, help="a Markdown file with marks: docs/load.md")
    options = parser.parse_args()
    scenes = [scene for name in options.only for scene in SCENES[name]()]
    lines, missed = ["| what | goal | found | |", "|---|---|---|---|"], 0
    say = partial(print, flush=True)
    for finding in findings(play_all(scenes, options.processes)):
        lines.append(finding.line)
        missed += not finding.met
        say(finding.line)
    say(f"{missed} goals missed")
    if options.write:
        options.write.write_text(between_marks(options.write.read_text(), "live", "\n".join(lines)))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
