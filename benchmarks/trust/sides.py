"""The three tables of a data set: each is taken up again where it was stopped, and lies below the run's folder."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import extract
from benchmarks.trust.ours import pipeline_for, zero_shot
from benchmarks.trust.sets import DataSet, Part, Row
from extract import Endpoint, Pipeline
from extract.sinks import read_manifest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 3600.0  # seconds that one answer may take: the machine may be stopped in between


@dataclass(frozen=True)
class Table:
    """Rows with id, fields and `_flags`; what they took; and why records have none."""

    rows: Sequence[Row]
    requests: int
    tokens: int
    reasons: dict[str, int]


def zero_shot_table(data: DataSet, part: Part, base_url: str, out: Path) -> Table:
    """One call a record, with the plain schema and prompt."""
    return _run(zero_shot(data.name), data, part, base_url, out / "zero_shot")


def our_table(data: DataSet, part: Part, examples: Part, base_url: str, out: Path) -> Table:
    """Our pipeline."""
    return _run(pipeline_for(data.name, examples), data, part, base_url, out / "ours")


def _run(pipeline: Pipeline, data: DataSet, part: Part, base_url: str, out: Path) -> Table:
    patient = {f"limits.{name}": str(PATIENCE) for name in ("timeout", "idle_timeout", "outage_timeout")}
    patient["limits.concurrency"] = str(data.slots)
    endpoint = Endpoint(base_url=base_url, dialect="openai")
    result = extract.run(pipeline.with_settings(patient), part.records, out=out, endpoint=endpoint)
    rows = [_row(data, row, row["_flags"]) for row in result.table.to_pylist()]
    manifest = read_manifest(result.path) or {}
    reasons = Counter(failed["reason"] for failed in result.quarantine.to_pylist())
    return Table(rows, manifest["requests"], sum(manifest["tokens"].values()), dict(reasons))


def instructor_table(data: DataSet, part: Part, base_url: str, out: Path, python: Path) -> Table:
    """instructor, in its own environment, with the plain schema and prompt, and two re-asks."""
    source, target = out / "records.jsonl", out / "instructor.jsonl"
    out.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(record, ensure_ascii=False) for record in part.records.to_dict("records")]
    source.write_text("\n".join(lines), "utf-8")
    command = [python, "-m", "benchmarks.trust.with_instructor", base_url, data.name, source, target]
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True)
    wanted = set(part.records["id"])
    found = [answer for line in target.read_text("utf-8").splitlines() if (answer := json.loads(line))["id"] in wanted]
    rows = [_row(data, {"id": answer["id"], **answer["row"]}, []) for answer in found if "row" in answer]
    reasons = Counter(answer["failed"].partition(":")[0] for answer in found if "row" not in answer)
    used: list[dict[str, Any]] = [answer["tokens"] for answer in found]
    tokens = sum(each["input"] + each["output"] for each in used)
    return Table(rows, sum(each["requests"] for each in used), tokens, dict(reasons))


def _row(data: DataSet, row: Row, flags: Sequence[str]) -> Row:
    return {"id": row["id"], **data.shaped(row), "_flags": list(flags)}
