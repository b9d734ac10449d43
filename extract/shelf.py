"""Outcomes are put on the shelf in order: shard by shard, with a manifest that says what is committed.

They become Arrow a slice at a time, which takes the run's loop for a moment; a shard that is full is written beside
the run, while the next one grows. So neither memory nor the loop feels how many records there are.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from extract.disk import DiskPause, pausing, told
from extract.efforts import Efforts
from extract.errors import RunStopped
from extract.failpoints import failpoint
from extract.journal import Journal
from extract.pipeline import Prepared
from extract.records import Issue, Outcome
from extract.report import Tally, by_number, is_flagged
from extract.sinks import Shard, ShardWriter, write_manifest
from extract.sinks.shards import UNWRITABLE, Slice
from extract.sources import Scan
from extract.stop import told_why
from extract.version import __version__

SLICE = 64  # outcomes that become Arrow together: half a millisecond, and few enough to be of no weight


@dataclass
class _Growing:
    """A shard that is not full yet: the slices of it that are Arrow already, and the outcomes of the next one."""

    records: int = 0
    unanswered: int = 0
    human: int = 0
    flagged: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    efforts: Efforts = field(default_factory=Efforts)
    _outcomes: list[Outcome] = field(default_factory=list)
    _slices: list[Slice] = field(default_factory=list)

    def add(self, outcome: Outcome, writer: ShardWriter) -> None:
        self._outcomes.append(outcome)
        self.records += 1
        if len(self._outcomes) == SLICE:
            self._slice(writer)

    def slices(self, writer: ShardWriter) -> list[Slice]:
        """All of them; none can grow any more."""
        if self._outcomes:
            self._slice(writer)
        return self._slices

    def shard(self, sizes: Sequence[int]) -> Shard:
        """What is to be said of it once it is written."""
        failed = sum(self.reasons.values())
        reasons = by_number(self.reasons)
        told = (self.efforts, self.human, self.flagged)
        return Shard(self.records - failed, failed, reasons, self.unanswered, sizes, *told)

    def _slice(self, writer: ShardWriter) -> None:
        """A row that no file can hold goes to the quarantine, and the others are kept."""
        outcomes, self._outcomes = self._outcomes, []
        try:
            found = writer.slice(outcomes)
        except UNWRITABLE:
            issue = Issue("model", "table.write", "$", "the row holds a value that the file cannot hold")
            outcomes = [item if writer.fits(item) else replace(item, row=None, issues=(issue,)) for item in outcomes]
            found = writer.slice(outcomes)
        self._slices.append(found)
        self.unanswered += sum(item.unanswered for item in outcomes)
        self.human += sum(item.ok and item.is_human for item in outcomes)
        self.flagged += sum(map(is_flagged, outcomes))
        for effort in (effort for item in outcomes for effort in item.efforts):
            self.efforts.add(effort)
        for code in (item.issues[0].code for item in outcomes if not item.ok):
            self.reasons[code] = self.reasons.get(code, 0) + 1


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
    about: dict[str, Any] = field(default_factory=dict)  # the run; more fields of the manifest
    _growing: _Growing = field(default_factory=_Growing)
    _writing: asyncio.Task[None] | None = None

    async def add(self, outcome: Outcome) -> None:
        """Take the next outcome. Raises what went wrong with the shard before, as soon as that is known."""
        if self._writing and self._writing.done():
            await self.settle()
        self._growing.add(outcome, self._writer)
        if self._growing.records == self.prepared.pipeline.shard_rows:
            await self._commit()

    async def settle(self) -> None:
        """Return when no shard is being written any more; raises what went wrong with it."""
        writing, self._writing = self._writing, None
        if writing:
            await writing

    async def finish(self, audit: Callable[[], list[dict[str, Any]]] = list) -> None:
        """Commit the last shard and say that the run is complete. Raises RunStopped when a record has no outcome.

        `audit`: what is to be said of the tables as a whole, once they are all there.
        """
        if self._growing.records:
            await self._commit()
        await self.settle()
        missing = self.scan.count - sum(shard.records for shard in self.shards)
        if missing:
            said = f"{missing} of {self.scan.count} records have no outcome"
            reason = RunStopped(said, code="incomplete", hint="run the same command again")
            self.stopped(reason)
            raise reason
        self.about["table_checks"] = await asyncio.to_thread(audit)
        await asyncio.to_thread(self.write_manifest, True)

    def stopped(self, reason: Exception) -> None:
        """Say why the run ends early, until the next one begins."""
        self.about["stopped"] = told_why(reason)
        with suppress(DiskPause):  # what stops the run may be a full disk, and the reason is to be heard
            self.write_manifest()

    def discard(self) -> None:
        """Forget the shards: what they hold is not to stand. Their records are derived anew."""
        self.shards.clear()

    async def _commit(self) -> None:
        """Have the shard written while the next one grows; there are never more than these two."""
        await self.settle()
        full, self._growing = self._growing, _Growing()
        self._writing = asyncio.create_task(self._written(full))

    async def _written(self, full: _Growing) -> None:
        try:
            failpoint("shelf.shard.before")
            sizes = await asyncio.to_thread(self._writer.write, len(self.shards), full.slices(self._writer))
            failpoint("shelf.shard.after")
        except OSError as error:
            raise told(error, self.root) from error
        self.shards.append(full.shard(sizes))
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
        committed = tally_of(self.scan, self.shards)
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
            "reasons": by_number(committed.reasons),
            **({"human": committed.human} if committed.human else {}),
            **({"flagged": committed.flagged} if committed.flagged else {}),
            "answered": totals.answers,
            "requests": totals.requests,
            "retries": totals.retries,
            "ambiguous": totals.ambiguous,
            "unmetered": totals.unmetered,
            "tokens": {"input": totals.usage.input_tokens, "output": totals.usage.output_tokens},
            "cost_usd": totals.cost_usd,
            "seconds": round(self.tally.seconds, 3),
            "fingerprints": dict(self.fingerprints),
            "model": prepared.model_name,
            "endpoint": "local" if prepared.endpoint.is_local else prepared.endpoint.base_url,
            "source": prepared.source.label,
            "key": prepared.source.key_name,
            "fields": list(prepared.schema.arrow_schema.names),
            "table_format": prepared.pipeline.format,
            "folders": list(self._writer.folders),
            "losses": list(prepared.losses(self.tally.relaxed)),
            "relaxed": list(self.tally.relaxed),
            "rungs": list(self.tally.rungs),
            "versions": _versions(),
            **self.about,
            **({"efforts": committed.efforts.rows} if committed.efforts else {}),
            "shards": [_without_nothing(asdict(shard)) for shard in self.shards],
        }
        with pausing(self.root):
            write_manifest(self.root, manifest)


def _without_nothing(shard: dict[str, Any]) -> dict[str, Any]:
    """A shard as the manifest has it: efforts only where failed answers are asked again, people where they spoke."""
    return {name: value for name, value in shard.items() if value or name not in ("efforts", "human", "flagged")}


def tally_of(scan: Scan, shards: Sequence[Shard]) -> Tally:
    """The count of what these shards hold."""
    tally = Tally(records=scan.count)
    for shard in shards:
        tally.ok += shard.ok
        tally.human += shard.human
        tally.flagged += shard.flagged
        tally.quarantined += shard.quarantined
        tally.reasons.update(shard.reasons)
        tally.efforts.take(shard.efforts)
    tally.begun_with = tally.done
    return tally


def resumed(tally: Tally, manifest: Mapping[str, Any] | None) -> Tally:
    """The count of a run that is taken up again: it knows how far schemas were relaxed."""
    if manifest is not None:
        tally.relaxed = tuple(map(str, manifest.get("relaxed", ())))
        tally.rungs = tuple(rung for rung in manifest.get("rungs", ()) if isinstance(rung, int) and rung >= 0)
    return tally


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
        evidence=pipeline.model.search or prepared.judge.grounding is not None,
        reasoning=pipeline.keep_reasoning,
        confidence=tuple(item.name for item in prepared.schema.shape.asked if item.column) if prepared.voting else (),
    )


@cache
def _versions() -> dict[str, str]:
    found = {"tablecast": __version__, "python": platform.python_version()}
    for name in ("pydantic", "pyarrow", "jsonschema"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a package built into the system has no metadata
            continue
    return found
