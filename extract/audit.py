"""Table checks over the shards of a finished run: when they are made, and what is kept of them.

They are made between the last shard and the manifest that says `complete`. So a run that ends in the midst of them has
its rows, and makes them again when it is taken up; and what they find, or what they raise, hinders no table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from extract.checks.reference import rows_of
from extract.checks.tables import Place, TableFinding, TableRows
from extract.disk import pausing
from extract.errors import ConfigError
from extract.pipeline import Prepared
from extract.shelf import writer_for
from extract.sinks import TABLE, each_shard, read_manifest, write_manifest

FINDINGS = "table_checks"  # in the manifest
_ROW = "\0row"  # the key of rows of a file that has none


def audit(
    prepared: Prepared, root: Path, quarantined: int, asked: Mapping[str, Set[Place]] | None = None
) -> tuple[TableFinding, ...]:
    """What the table checks of a pipeline find in the tables below `root`.

    asked: the places that were asked again for each check, by its name.
    """
    rows = _rows(prepared, root, quarantined)
    found = (check(rows) for check in prepared.pipeline.table_checks)
    return tuple(_with_asked(finding, (asked or {}).get(finding.name, frozenset())) for finding in found)


def _with_asked(finding: TableFinding, asked: Set[Place]) -> TableFinding:
    if not asked:
        return finding
    left = dict.fromkeys(each.place for each in finding.culprits if each.place in asked)
    return replace(finding, asked=len(asked), unmended=tuple(left))


def audit_again(prepared: Prepared, root: Path) -> tuple[TableFinding, ...]:
    """What is known of finished tables; checks that are new, or look at something new, are made now."""
    manifest = read_manifest(root)
    if manifest is None:
        return ()
    wanted = [check.fingerprint for check in prepared.pipeline.table_checks]
    found = _findings(manifest.get(FINDINGS, []))
    if found is not None and [finding.fingerprint for finding in found] == wanted:
        return found
    quarantined = sum(shard.get("quarantined", 0) for shard in manifest["shards"])
    findings = audit(prepared, root, quarantined)
    with pausing(root):
        write_manifest(root, {**manifest, FINDINGS: as_data(findings)})
    return findings


def as_data(findings: Sequence[TableFinding]) -> list[dict[str, Any]]:
    """As the manifest has them."""
    return [finding.as_dict() for finding in findings]


def _findings(data: Any) -> tuple[TableFinding, ...] | None:
    """Findings as they were written; None for anything else."""
    try:
        return tuple(TableFinding.from_dict(each) for each in data)
    except (TypeError, KeyError, ValueError):
        return None


def _rows(prepared: Prepared, root: Path, quarantined: int) -> TableRows:
    writer = writer_for(prepared, root)
    shards = partial(each_shard, root, writer.format, writer.layout, neutralised=writer.neutralise_formulas)
    return TableRows(prepared.source.key_name, shards, quarantined, partial(_earlier, prepared))


def _earlier(prepared: Prepared, path: Path, field: str) -> TableRows:
    """The rows of an earlier run, or of a file. Raises ConfigError for what has no such column."""
    if not path.is_dir():
        return TableRows(_ROW, partial(_of_file, path, field.partition(".")[0]))
    manifest = read_manifest(path)
    if manifest is None or not manifest["complete"]:
        raise ConfigError(f"{path} is no finished run")
    column = field.partition(".")[0]
    kind = writer_for(prepared, path).table_schema.field(column).type
    parts = sorted((path / TABLE).glob("part-*.parquet"))
    if parts and all(_has(part, column, kind) for part in parts):  # whatever else has changed since
        return TableRows(_ROW, lambda: map(partial(_numbered, column), parts))
    format = manifest["table_format"]
    writer = replace(writer_for(prepared, path), format=format)
    shards = partial(each_shard, path, format, writer.layout, neutralised=writer.neutralise_formulas)
    return TableRows(prepared.source.key_name, shards)


def _has(part: Path, column: str, kind: pa.DataType) -> bool:
    schema = pq.read_schema(part)
    return column in schema.names and schema.field(column).type == kind


def _numbered(column: str, part: Path) -> pa.Table:
    return _with_row(pq.read_table(part, columns=[column]))


def _of_file(path: Path, column: str) -> Iterator[pa.Table]:
    rows = rows_of("table.shift", path, column)
    if path.suffix.lower() in (".parquet", ".pq"):
        for batch in pq.ParquetFile(path).iter_batches(columns=[column]):
            yield _with_row(pa.Table.from_batches([batch]))
        return
    yield _with_row(pa.table({column: pa.array([row.values.get(column) or None for row in rows], pa.string())}))


def _with_row(table: pa.Table) -> pa.Table:
    return table.append_column(_ROW, pa.array(range(len(table)), pa.int64()))
