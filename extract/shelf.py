"""Outcomes are put on the shelf in order: shard by shard, with a manifest that says what is committed."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from extract.disk import pausing, told
from extract.errors import RunStopped
from extract.failpoints import failpoint
from extract.journal import Journal
from extract.pipeline import Prepared
from extract.records import Issue, Outcome
from extract.report import Tally, by_number
from extract.sinks import Shard, ShardWriter, write_manifest
from extract.sinks.shards import UNWRITABLE
from extract.sources import Scan
from extract.version import __version__


@dataclass
class Shelf:
    """Collects outcomes into shards, and keeps the manifest in step with what is committed."""

    prepared: Prepared
    scan: Scan
    fingerprints: Mapping[str, str]
    root: Path
    shards: list[Shard]
    journal: Journal
    tally: Tally
    _outcomes: list[Outcome] = field(default_factory=list)

    async def add(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        if len(self._outcomes) == self.prepared.pipeline.shard_rows:
            await self._commit()

    async def finish(self) -> None:
        """Commit the last shard and say that the run is complete. Raises RunStopped when a record has no outcome."""
        if self._outcomes:
            await self._commit()
        missing = self.scan.count - sum(shard.records for shard in self.shards)
        if missing:
            raise RunStopped(
                f"{missing} of {self.scan.count} records have no outcome", hint="run the same command again"
            )
        await asyncio.to_thread(self.write_manifest, True)

    def discard(self) -> None:
        """Forget the shards: what they hold is not to stand. Their records are derived anew."""
        self.shards.clear()

    async def _commit(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        try:
            failpoint("shelf.shard.before")
            outcomes, sizes = await asyncio.to_thread(_written, self._writer, len(self.shards), outcomes)
            failpoint("shelf.shard.after")
        except OSError as error:
            raise told(error, self.root) from error
        self.shards.append(_shard(outcomes, sizes))
        await asyncio.to_thread(self.write_manifest)
        with pausing(self.root):
            failpoint("shelf.manifest.after")

    @cached_property
    def _writer(self) -> ShardWriter:
        return writer_for(self.prepared, self.root)

    def write_manifest(self, complete: bool = False) -> None:
        """Say what is committed. Raises DiskPause when the disk refuses for now."""
        prepared = self.prepared
        ok, quarantined = sum(shard.ok for shard in self.shards), sum(shard.quarantined for shard in self.shards)
        reasons = tally_of(self.scan, self.shards).reasons
        totals = self.journal.totals()
        counts = {
            "in": self.scan.count,
            "ok": ok,
            "quarantined": quarantined,
            "pending": self.scan.count - ok - quarantined,
        }
        manifest = {
            "complete": complete,
            "pipeline": prepared.pipeline.name,
            "counts": counts,
            "reasons": by_number(reasons),
            "answered": totals.answers,
            "requests": totals.requests,
            "retries": totals.retries,
            "tokens": {"input": totals.usage.input_tokens, "output": totals.usage.output_tokens},
            "cost_usd": totals.cost_usd,
            "seconds": round(self.tally.seconds, 3),
            "fingerprints": dict(self.fingerprints),
            "model": prepared.model_name,
            "endpoint": "local" if prepared.endpoint.is_local else prepared.endpoint.base_url,
            "source": prepared.source.label,
            "table_format": prepared.pipeline.format,
            "folders": list(self._writer.folders),
            "losses": list(prepared.losses(self.tally.relaxed)),
            "relaxed": list(self.tally.relaxed),
            "rungs": list(self.tally.rungs),
            "versions": _versions(),
            "shards": [asdict(shard) for shard in self.shards],
        }
        with pausing(self.root):
            write_manifest(self.root, manifest)


def _written(writer: ShardWriter, number: int, outcomes: list[Outcome]) -> tuple[list[Outcome], tuple[int, ...]]:
    """Write a shard. A row that no file can hold goes to the quarantine, and the others are written."""
    try:
        return outcomes, writer.write(number, outcomes)
    except UNWRITABLE:
        issue = Issue("model", "table.write", "$", "the row holds a value that the file cannot hold")
        kept = [item if writer.fits(item) else replace(item, row=None, issues=(issue,)) for item in outcomes]
        return kept, writer.write(number, kept)


def tally_of(scan: Scan, shards: Sequence[Shard]) -> Tally:
    """The count of what these shards hold."""
    tally = Tally(records=scan.count)
    for shard in shards:
        tally.ok += shard.ok
        tally.quarantined += shard.quarantined
        tally.reasons.update(shard.reasons)
    tally.begun_with = tally.done
    return tally


def resumed(tally: Tally, manifest: Mapping[str, Any] | None) -> Tally:
    """The count of a run that is taken up again: it knows how far schemas were relaxed."""
    if manifest is not None:
        tally.relaxed = tuple(map(str, manifest.get("relaxed", ())))
        tally.rungs = tuple(rung for rung in manifest.get("rungs", ()) if isinstance(rung, int) and rung >= 0)
    return tally


def _shard(outcomes: Sequence[Outcome], sizes: Sequence[int]) -> Shard:
    reasons: dict[str, int] = {}
    for outcome in outcomes:
        if not outcome.ok:
            code = outcome.issues[0].code
            reasons[code] = reasons.get(code, 0) + 1
    failed = sum(reasons.values())
    unanswered = sum(outcome.unanswered for outcome in outcomes)
    return Shard(len(outcomes) - failed, failed, by_number(reasons), unanswered, sizes)


def writer_for(prepared: Prepared, root: Path) -> ShardWriter:
    """The writer of a run's shards below `root`."""
    pipeline = prepared.pipeline
    return ShardWriter(
        root,
        prepared.source,
        prepared.schema,
        tuple(pipeline.columns),
        pipeline.format,
        pipeline.neutralise_formulas,
        children=pipeline.children == "tables",
        flat=pipeline.flat,
        evidence=pipeline.model.search,
        reasoning=pipeline.keep_reasoning,
    )


def _versions() -> dict[str, str]:
    found = {"tablecast": __version__, "python": platform.python_version()}
    for name in ("pydantic", "pyarrow", "jsonschema"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a package built into the system has no metadata
            continue
    return found
