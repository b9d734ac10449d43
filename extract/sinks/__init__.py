"""Outcomes → typed tables and the quarantine, shard by shard, in the run directory."""

from extract.sinks.rundir import RunDirectory, Shard, read_manifest, write_manifest
from extract.sinks.shards import QUARANTINE, TABLE, ShardWriter, read_shards

__all__ = [
    "QUARANTINE",
    "TABLE",
    "RunDirectory",
    "Shard",
    "ShardWriter",
    "read_manifest",
    "read_shards",
    "write_manifest",
]
