"""Plots of the figures, as SVG beside the docs; needs matplotlib, which the notebook extra has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_COLOURS = {
    "tablecast": "#1565c0",
    "bare aiohttp": "#90a4ae",
    "openai create + aiohttp": "#ffb300",
    "openai parse": "#ef6c00",
    "instructor": "#8e24aa",
}


def draw(figures: Mapping[str, Any], folder: Path) -> None:
    """`performance-cpu.svg` and `performance-growth.svg`, as far as there are figures for them."""
    if places := figures.get("compare"):
        _cpu(places, folder / "performance-cpu.svg")
    if sizes := figures.get("growth"):
        _growth(sizes, folder / "performance-growth.svg")


def _cpu(places: Sequence[Mapping[str, Any]], path: Path) -> None:
    """CPU a row without latency, a group of bars for each concurrency; on a logarithmic scale."""
    plain = [place for place in places if not place["latency"]]
    steps = sorted({place["concurrency"] for place in plain})
    clients = [name for name in _COLOURS if any(place["client"] == name for place in plain)]
    width = 0.8 / len(clients)
    figure, axes = _axes()
    for number, client in enumerate(clients):
        bars = {place["concurrency"]: place["cpu_ms"] for place in plain if place["client"] == client}
        where = [steps.index(step) + (number - (len(clients) - 1) / 2) * width for step in bars]
        axes.bar(where, list(bars.values()), width, label=client, color=_COLOURS[client])
    axes.set_xticks(range(len(steps)), [f"C={step}" for step in steps])
    axes.set_yscale("log")
    axes.set_ylabel("CPU of the client, ms a row")
    axes.legend(frameon=False, fontsize=8)
    _save(figure, path)


def _growth(sizes: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Peak memory by the number of rows."""
    figure, axes = _axes()
    axes.plot([one["rows"] for one in sizes], [one["peak_rss_mb"] for one in sizes], "o-", color=_COLOURS["tablecast"])
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("rows")
    axes.set_ylabel("peak RSS, MB")
    _save(figure, path)


def _axes() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    """The same figures always give the same file."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "tablecast", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})
