"""Our pipeline beside other clients: the same records, model, prompt and table against the same server.

The clients take turns, so that a busy machine slows all alike, and ratios are taken round by round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.child import CLIENTS
from benchmarks.runs import Figures, NotInstalled, Setting, middle, run_client

OURS, BARE, PARSE = "tablecast", "bare aiohttp", "openai parse"
STRONGEST = "openai create + aiohttp"
CONCURRENCY = (32, 256, 1000)
LATENCIES = (0, 200)  # milliseconds
_FAST = (OURS, BARE)
_ROUNDS, _MOST_ROWS = 400, 200_000  # of answers with latency, for fast clients: 80 s, and start and end weigh little
_SLOW_ROUNDS = 4
REPEATS = {False: 3, True: 1}  # runs of each client, without and with latency, which are long


@dataclass(frozen=True)
class Place:
    """One client in one setting: its median run, and its CPU time as a multiple of ours, the median of the rounds."""

    client: str
    setting: Setting
    figures: Figures
    times_ours: float  # CPU a record

    def as_dict(self) -> dict[str, Any]:
        return {"client": self.client, **self.figures.as_dict(), "times_ours": self.times_ours}


def compare(
    settings: Sequence[Setting],
    clients: Sequence[str],
    repeats: int,
    pythons: Mapping[str, str],
    *,
    scale: float = 1.0,
    heard: Callable[[str], None] = lambda line: None,
) -> list[Place]:
    """All clients in all settings. `scale` makes runs longer or shorter; `heard` is told of each run."""
    found: list[Place] = []
    for setting in settings:
        runs: dict[str, list[Figures]] = {}
        for _ in range(repeats):
            for client in clients:
                figures = _run(client, setting, pythons, scale, heard)
                if figures:
                    runs.setdefault(client, []).append(figures)
        found += _places(setting, runs)
    return found


def _run(
    client: str, setting: Setting, pythons: Mapping[str, str], scale: float, heard: Callable[[str], None]
) -> Figures | None:
    try:
        figures = run_client(client, setting, rows_for(client, setting, scale), pythons)
    except (NotInstalled, RuntimeError) as missing:
        if client == OURS:
            raise
        heard(f"{setting}: {client} is not measured: {missing}")
        return None
    heard(f"{setting}: {client} {figures.rows_per_second:,.0f} rows/s, {figures.cpu_ms:.3f} ms CPU")
    return figures


def rows_for(client: str, setting: Setting, scale: float = 1.0) -> int:
    """So many that start and end weigh little, and that slow clients take seconds, not minutes."""
    fast = client in _FAST
    if setting.latency:
        rounds = min(_ROUNDS, max(_ROUNDS // 4, 2 * setting.concurrency)) if fast else _SLOW_ROUNDS
        return min(_MOST_ROWS, int(setting.concurrency * max(2, rounds * scale)))
    wanted = 20_000 if fast else 4_000 if client == STRONGEST else 1_500
    return max(int(wanted * scale), 2 * setting.concurrency)


def _places(setting: Setting, runs: Mapping[str, Sequence[Figures]]) -> Iterator[Place]:
    ours = runs.get(OURS)
    for client, found in runs.items():
        ratios = [each.cpu_ms / own.cpu_ms for each, own in zip(found, ours or found, strict=False)]
        yield Place(client, setting, middle(found), median(ratios))


def table(places: Sequence[Place]) -> str:
    """The comparison in Markdown."""
    lines = [
        "| latency | C | client | rows | rows/s | CPU ms a row | × ours | of N·latency/C | peak RSS, MB |",
        "|--:|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for place in places:
        figures = place.figures
        ideal = f"{figures.of_ideal:.0%}" if figures.of_ideal is not None else "–"
        lines.append(
            f"| {figures.latency} ms | {figures.concurrency} | {place.client} | {figures.rows:,} "
            f"| {figures.rows_per_second:,.0f} "
            f"| {figures.cpu_ms:.3f} | {place.times_ours:.2f} | {ideal} | {figures.peak_rss_mb:.0f} |"
        )
    return "\n".join(lines)


def goals(places: Sequence[Place]) -> list[str]:
    """The figures that are to be reached, and whether they are."""
    by = {(place.client, place.setting): place for place in places}
    found = []
    for client, wanted in ((BARE, 1.0), (PARSE, 15.0)):
        place = by.get((client, Setting(256, 0)))
        if place:
            found.append(_verdict(f"CPU of {client} / ours at {place.setting}", place.times_ours, wanted, "×"))
    for concurrency, wanted in ((256, 0.95), (1000, 0.85)):
        place = by.get((OURS, Setting(concurrency, 200)))
        if place and place.figures.of_ideal is not None:
            found.append(_verdict(f"share of the ideal at {place.setting}", place.figures.of_ideal, wanted, ""))
    return found


def _verdict(what: str, value: float, wanted: float, unit: str) -> str:
    return f"{what}: {value:.2f}{unit} (goal ≥ {wanted:g}{unit}: {'met' if value >= wanted else 'missed'})"


ALL_CLIENTS = tuple(CLIENTS)
