"""Outcomes → typed tables and the quarantine, shard by shard, in the run directory."""

from extract.sinks.nested import Layout, label_of
from extract.sinks.rundir import RunDirectory, Shard, children_of, folders_of, read_manifest, write_manifest
from extract.sinks.shards import (
    EVIDENCE,
    QUARANTINE,
    TABLE,
    ShardWriter,
    count_rows,
    each_shard,
    folder_of,
    read_rows,
    read_shards,
)

__all__ = [
    "EVIDENCE",
    "QUARANTINE",
    "TABLE",
    "Layout",
    "RunDirectory",
    "Shard",
    "ShardWriter",
    "children_of",
    "count_rows",
    "each_shard",
    "folder_of",
    "folders_of",
    "label_of",
    "read_manifest",
    "read_rows",
    "read_shards",
    "write_manifest",
]
