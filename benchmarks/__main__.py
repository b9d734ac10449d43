"""All measurements of speed, memory and start-up in one go; prints tables and stores the figures as JSON.

    python -m benchmarks [--quick] [--only compare growth] [--python instructor=.bench/instructor/bin/python]

--write puts the tables between the marks of a Markdown file (`<!-- compare -->` … `<!-- /compare -->`), and plots
beside it: so docs/performance.md is made. --quick: one run each, shorter, and no million rows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import compare, growth, plots, startup, storms, wire
from benchmarks.runs import Setting

PARTS = ("wire", "compare", "growth", "storms", "startup")
Keep = Callable[[Any], None]  # stores the figures of a part so far
_GROWTH_PLOT = "![Peak memory by rows](performance-growth.svg)"
_LIBRARIES = ("pydantic", "pyarrow", "pyreqwest", "aiohttp", "uvloop", "httpx", "openai", "jsonschema-rs")


def main() -> None:
    """Measure, print, store."""
    options = _options()
    figures: dict[str, Any] = {"machine": machine(), "begun": time.strftime("%Y-%m-%d %H:%M")}
    for part in options.only:
        found, lines = _MEASURES[part](options, partial(_keep, options.out, figures, part))
        print("\n".join(["", f"### {part}", "", *lines, ""]), flush=True)
        _keep(options.out, figures, part, found)
        if options.write:
            machine_line = ", ".join(f"{name} {value}" for name, value in figures["machine"].items())
            written = options.write.read_text()
            for mark, text in ((part, lines), ("machine", [f"{figures['begun']}: {machine_line}."])):
                written = between_marks(written, mark, "\n".join(text))
            options.write.write_text(written)
            plots.draw(figures, options.write.parent)
    print(f"figures in {options.out}")


def _keep(path: Path, figures: dict[str, Any], part: str, found: Any) -> None:
    """Store what was found so far: a long run that is broken off has not been for nothing."""
    figures[part] = found
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1))


def between_marks(text: str, mark: str, inner: str) -> str:
    """The text with this between the marks. Raises ValueError where it has none."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    front, found, rest = text.partition(begin)
    _, closed, back = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"no {begin.strip()} … {end} in the file")
    return f"{front}{begin}{inner}\n{end}{back}"


def machine() -> dict[str, str]:
    """What was measured on, and with what."""
    found = {"python": platform.python_version(), "system": platform.system(), "cpus": str(_cpus())}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one run each, shorter, and no million rows")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--repeats", type=int, default=None, help="runs of each client, default 3, with latency 1")
    parser.add_argument("--clients", nargs="+", choices=compare.ALL_CLIENTS, default=compare.ALL_CLIENTS)
    parser.add_argument("--python", action="append", default=[], help="CLIENT=PATH: an environment of its own")
    parser.add_argument("--concurrency", nargs="+", type=int, default=compare.CONCURRENCY)
    parser.add_argument("--latency", nargs="+", type=int, default=compare.LATENCIES, help="milliseconds")
    parser.add_argument("--scale", type=float, default=None, help="runs against others so many times as long: 8")
    parser.add_argument("--sizes", nargs="+", type=int, default=None, help="rows of the long runs")
    parser.add_argument("--source", choices=("parquet", "csv"), default="parquet", help="what the long runs read")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks.json"))
    parser.add_argument("--write", type=Path, default=None, help="a Markdown file with marks: docs/performance.md")
    options = parser.parse_args()
    options.pythons = dict(each.split("=", 1) for each in options.python)
    return options


def _items(lines: Sequence[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _wire(options: argparse.Namespace, keep: Keep) -> tuple[Any, list[str]]:
    speed = wire.speed(20_000 if options.quick else 100_000, 256)
    met = "met" if speed.per_second >= wire.GOAL else "missed"
    line = f"The server answers {speed.per_second:,.0f} requests/s (goal {wire.GOAL:,}: {met})."
    return {"per_second": speed.per_second, "per_core": speed.per_core}, [line]


def _compare(options: argparse.Namespace, keep: Keep) -> tuple[Any, list[str]]:
    scale = options.scale or (0.25 if options.quick else 1.0)
    places: list[compare.Place] = []
    for setting in (Setting(many, latency) for latency in options.latency for many in options.concurrency):
        repeats = options.repeats or (1 if options.quick else compare.REPEATS[bool(setting.latency)])
        places += compare.compare([setting], options.clients, repeats, options.pythons, scale=scale, heard=_say)
        keep([place.as_dict() for place in places])
    return [place.as_dict() for place in places], [compare.table(places), "", *_items(compare.goals(places))]


def _growth(options: argparse.Namespace, keep: Keep) -> tuple[Any, list[str]]:
    sizes = options.sizes or growth.SIZES[: 1 if options.quick else None]
    found = growth.grow(sizes, heard=_say, kind=options.source)
    return found, [growth.table(found), "", *_items(growth.goals(found)), "", _GROWTH_PLOT]


def _storms(options: argparse.Namespace, keep: Keep) -> tuple[Any, list[str]]:
    found = storms.storms(_say, 500 if options.quick else storms.ROWS)
    return found, [storms.table(found), "", *_items(storms.goals(found))]


def _startup(options: argparse.Namespace, keep: Keep) -> tuple[Any, list[str]]:
    found = startup.startup(3 if options.quick else 7)
    return found, [startup.table(found)]


_MEASURES = {"wire": _wire, "compare": _compare, "growth": _growth, "storms": _storms, "startup": _startup}

if __name__ == "__main__":
    main()
