"""How far the tables can be trusted: zero-shot, instructor and ours on labelled data, with the model of this machine.

    python -m benchmarks.trust [--sets restaurants_e2e …] [--records N] [--write docs/results.md]

Everything is kept below --out, and the same command goes on where it was stopped. --instructor names the interpreter of
an environment with instructor; without one that column stays empty.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.__main__ import between_marks
from benchmarks.trust.counting import Trust, trust
from benchmarks.trust.opinions import CODE
from benchmarks.trust.page import Column, section, set_section
from benchmarks.trust.sets import DATA, SETS, DataSet, Parts, Row, parts
from benchmarks.trust.sides import Table, instructor_table, our_table, zero_shot_table
from extract.server import LocalServer

MARK = "trust"
COLUMNS = ("zero-shot", "instructor", "ours")


def main() -> None:
    """Measure the sets, print the section, and write it where that is asked."""
    options = _options()
    chosen = [data for data in SETS if data.name in options.sets]
    done = []
    for data in chosen:
        if options.show and not (options.out / data.name / "section.md").exists():
            continue
        if not options.show:
            _measure(data, options)
        done.append((options.out / data.name / "section.md").read_text("utf-8"))
        print(done[-1], flush=True)
    if options.write:
        text = section(done)
        options.write.write_text(between_marks(options.write.read_text("utf-8"), MARK, text), "utf-8")


def _measure(data: DataSet, options: argparse.Namespace) -> None:
    """All columns of a set; its figures and its section go to its folder."""
    out = options.out / data.name
    out.mkdir(parents=True, exist_ok=True)
    split = parts(data, options.records, options.data)
    part = split.development if options.development else split.measured
    gold = [{"id": row["id"], **data.shaped(row)} for row in part.gold]
    columns: dict[str, Column] = {}
    with LocalServer(slots=data.slots, context=data.context) as server:
        for name in options.columns:
            table = _table(name, data, split, server.base_url, options)
            if table is not None:
                bare = trust(_without_opinions(table.rows), gold, data.compare, 0) if name == "ours" else None
                columns[name] = Column(trust(table.rows, gold, data.compare), table, bare)
                print(f"{data.name} {name}: F1 {columns[name].trust.found.f1}", flush=True)
    where = "development" if options.development else "measured"
    (out / "section.md").write_text(set_section(data, part, where, columns), "utf-8")
    (out / "figures.json").write_text(json.dumps(_figures(columns), indent=1), "utf-8")


def _table(name: str, data: DataSet, split: Parts, base_url: str, options: argparse.Namespace) -> Table | None:
    out = options.out / data.name
    part = split.development if options.development else split.measured
    if name == "zero-shot":
        return zero_shot_table(data, part, base_url, out)
    if name == "instructor":
        return instructor_table(data, part, base_url, out, options.instructor) if options.instructor else None
    return our_table(data, part, split.examples, base_url, out)


def _without_opinions(rows: Sequence[Row]) -> list[Row]:
    """What is flagged by evidence, ready checks and repairs alone."""
    return [{**row, "_flags": [flag for flag in row["_flags"] if not flag.startswith(CODE)]} for row in rows]


def _figures(columns: Mapping[str, Column]) -> dict[str, object]:
    return {name: {**_counts(column.trust), **column.trust.found.as_dict()} for name, column in columns.items()}


def _counts(found: Trust) -> dict[str, int]:
    return {name: getattr(found, name) for name in ("cells", "wrong", "unflagged", "right_flagged")}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [data.name for data in SETS]
    parser.add_argument("--sets", nargs="+", choices=names, default=names)
    parser.add_argument("--records", type=int, help="only so many of each set")
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, default=COLUMNS)
    parser.add_argument("--development", action="store_true", help="the records that settings are chosen on")
    parser.add_argument("--instructor", type=Path, help="the interpreter of an environment with instructor")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("out/trust"))
    parser.add_argument("--show", action="store_true", help="ask nothing: what is there already")
    parser.add_argument("--write", type=Path, help="the page whose section is made anew")
    return parser.parse_args()


if __name__ == "__main__":
    main()
