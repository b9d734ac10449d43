"""What repair costs: asking again for the fields that failed, and for the whole record, on the same failures.

    python -m benchmarks.trust.repairs [--sets restaurants_e2e …] [--records N]

The first answers come from one journal, so that both begin with the same failures: cells that a second opinion speaks
against, which count as failed here. Both say the same of what is wrong; one asks for these fields, the other for all.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import extract
from benchmarks.trust.ours import pipeline_for
from benchmarks.trust.sets import DATA, SETS, DataSet, parts
from extract import Endpoint, Issue, Pipeline, Record
from extract.server import LocalServer
from extract.sinks import read_manifest


@dataclass(frozen=True)
class Strict:
    """A check whose warnings are failures; `whole`: it blames the record, so that all of it is asked for."""

    check: Any
    whole: bool

    def __call__(self, value: Any, record: Record) -> Iterator[Issue]:
        for issue in self.check(value, record):
            path = "$" if self.whole else issue.path
            yield replace(issue, severity="repair", path=path)


@dataclass(frozen=True)
class Cost:
    """What the repairs of a run came to."""

    failures: int
    helped: int
    input_tokens: int
    output_tokens: int

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.input_tokens + self.output_tokens


def main() -> None:
    """Both ways on the development records of each set, as a table."""
    options = _options()
    print("| set | failures | asked again | helped | input tokens | output tokens | share |")
    print("|---|--:|---|--:|--:|--:|--:|")
    for data in (data for data in SETS if data.name in options.sets):
        costs = _measured(data, options)
        for name, cost in costs.items():
            share = cost.tokens / costs["the record"].tokens if costs["the record"].tokens else 0
            counts = f"{cost.helped} | {cost.input_tokens:,} | {cost.output_tokens:,} | {share:.0%}"
            print(f"| {data.name} | {cost.failures} | {name} | {counts} |", flush=True)


def _measured(data: DataSet, options: argparse.Namespace) -> dict[str, Cost]:
    split = parts(data, options.records, options.data)
    out = options.out / "repairs" / data.name
    pipeline = pipeline_for(data.name, split.examples)
    pipeline = pipeline.with_settings({"limits.concurrency": str(data.slots)})
    found = {}
    with LocalServer(slots=data.slots, context=data.context) as server:
        for name, whole in (("the record", True), ("the fields", False)):
            strict = replace(pipeline, checks=[Strict(check, whole) for check in pipeline.checks])
            found[name] = _cost(strict, split.development.records, server.base_url, out, name)
    return found


def _cost(pipeline: Pipeline, records: Any, base_url: str, out: Path, name: str) -> Cost:
    endpoint = Endpoint(base_url=base_url, dialect="openai")
    folder = out / name.replace(" ", "_")
    result = extract.run(pipeline, records, out=folder, endpoint=endpoint, journal=out / "journal.sqlite")
    efforts = (read_manifest(result.path) or {}).get("efforts", [])
    repairs = next((each for each in efforts if each["what"] == "repair"), None)
    if repairs is None:
        return Cost(0, 0, 0, 0)
    return Cost(repairs["answers"], repairs["passed"], repairs["input_tokens"], repairs["output_tokens"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [data.name for data in SETS if data.development]
    parser.add_argument("--sets", nargs="+", choices=names, default=names)
    parser.add_argument("--records", type=int, default=40, help="development records of each set")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("out/trust"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
