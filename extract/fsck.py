"""Is a run directory what it should be? in = ok + quarantined + pending, derived anew from source, journal and tables.

Nothing is changed, not a byte: a journal that a killed run left open is read from a copy. What a later run settles by
itself (a replacement that was cut off, shards that are not yet in the manifest) is a note; everything else that does
not add up is a violation, with the file and what to do.
"""

from __future__ import annotations

import csv
import fcntl
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from extract.errors import RunDirectoryError
from extract.journal.by_hand import PREFIX
from extract.ledger_check import check_journal
from extract.records import Key
from extract.sinks import EVIDENCE, QUARANTINE, TABLE, folders_of, read_manifest
from extract.sinks.csv_file import read_csv
from extract.sinks.files import TEMP_SUFFIX
from extract.sinks.rundir import JOURNAL, LOCK, MANIFEST, NEXT, OLD, NewerVersionError
from extract.sources import Source, open_source

_UNREADABLE = (OSError, ValueError, LookupError, pa.ArrowException)
_ANEW = "run the same command again: the tables are made anew from the journal, without a call"
_REQUEST = "_request"


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong, in which file, and what to do."""

    file: str
    problem: str
    remedy: str


@dataclass
class Findings:
    """What was found. `counts` are derived anew; None where nothing tells."""

    path: Path
    counts: dict[str, int | None] = field(default_factory=dict)
    answers: int = 0  # that the journal holds whole
    violations: list[Violation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    in_use: str | None = None  # by which process

    @property
    def is_sound(self) -> bool:
        return not self.violations

    def violate(self, file: Path, problem: str, remedy: str) -> None:
        self.violations.append(Violation(str(file), problem, remedy))

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "path": str(self.path),
            "sound": self.is_sound,
            "in_use": self.in_use,
            "counts": self.counts,
            "answers": self.answers,
            "violations": [asdict(each) for each in self.violations],
            "notes": self.notes,
        }


@dataclass
class _Tables:
    """The tables of one manifest, wherever its folders stand."""

    manifest: Mapping[str, Any]
    folders: Mapping[str, Path]
    findings: Findings
    keys: list[tuple[list[Key], list[Key]]] = field(default_factory=list)  # of each shard: passed, quarantined
    requests: set[str] = field(default_factory=set)  # that rows of the table rest on
    key_name: str | None = None

    def check(self) -> None:
        for number, shard in enumerate(self.manifest["shards"]):
            self._check_shard(number, shard)
        self._check_keys()
        self._check_strays()

    def _check_shard(self, number: int, shard: Mapping[str, Any]) -> None:
        part = f"part-{number:05d}.{self.manifest['table_format']}"
        passed: list[Key] = []
        failed: list[Key] = []
        for position, (name, folder) in enumerate(self.folders.items()):
            found = self._read(folder / part, shard, position)
            if found is None:
                continue
            keys = found.column(0).to_pylist() if found.num_columns else []
            if name == TABLE:
                passed = keys
                self.key_name = found.column_names[0]
                self._note_requests(found)
                self._expect(folder / part, len(keys), shard["ok"])
                self._check_people(folder / part, found, shard)
            elif name == QUARANTINE:
                failed = keys
                self._expect(folder / part, len(keys), shard["quarantined"])
                self._check_reasons(folder / part, found, shard)
            elif name == EVIDENCE or passed or not keys:
                self._check_children(folder / part, keys, passed)
        self.keys.append((passed, failed))

    def _read(self, part: Path, shard: Mapping[str, Any], position: int) -> pa.Table | None:
        try:
            size = part.stat().st_size
            sizes = shard.get("sizes") or []
            if position < len(sizes) and size != sizes[position]:
                self.findings.violate(part, f"is {size:,} bytes, was written with {sizes[position]:,}", _ANEW)
                return None
            return _keys_of_csv(part) if part.suffix == ".csv" else pq.read_table(part)
        except FileNotFoundError:
            self.findings.violate(part, "is not there, and the manifest speaks of it", _ANEW)
        except _UNREADABLE as error:
            self.findings.violate(part, f"cannot be read: {error}", f"remove it, then {_ANEW}")
        return None

    def _expect(self, part: Path, found: int, told: int) -> None:
        if found != told:
            self.findings.violate(part, f"holds {found:,} records, the manifest says {told:,}", _ANEW)

    def _check_reasons(self, part: Path, found: pa.Table, shard: Mapping[str, Any]) -> None:
        if "reason" not in found.column_names:
            return
        reasons = dict(Counter(found["reason"].to_pylist()))
        if reasons != dict(shard.get("reasons", {})):
            self.findings.violate(part, "has other reasons than the manifest says", _ANEW)

    def _check_people(self, part: Path, found: pa.Table, shard: Mapping[str, Any]) -> None:
        names = found[_REQUEST].to_pylist() if _REQUEST in found.column_names else []
        people, told = sum((name or "").startswith(PREFIX) for name in names), shard.get("human", 0)
        if people != told:
            self.findings.violate(part, f"holds {people:,} rows by hand, the manifest says {told:,}", _ANEW)

    def _check_children(self, part: Path, keys: Sequence[Key], parents: Sequence[Key]) -> None:
        orphans = set(keys) - set(parents)
        if orphans:
            self.findings.violate(part, f"{len(orphans):,} rows have no parent, such as {min(orphans)!r}", _ANEW)

    def _note_requests(self, found: pa.Table) -> None:
        if _REQUEST in found.column_names:
            for names in found[_REQUEST].to_pylist():
                self.requests.update((names or "").split())

    def _check_keys(self) -> None:
        """Each key once, in one of the two tables."""
        passed = Counter(key for keys, _ in self.keys for key in keys)
        failed = Counter(key for _, keys in self.keys for key in keys)
        for name, counted in ((TABLE, passed), (QUARANTINE, failed)):
            for key in [key for key, number in counted.items() if number > 1][:10]:
                self.findings.violate(self.folders[name], f"the key {key!r} comes {counted[key]} times", _ANEW)
        for key in sorted(passed.keys() & failed.keys(), key=str)[:10]:
            self.findings.violate(self.folders[TABLE], f"the key {key!r} is in the quarantine too", _ANEW)

    def _check_strays(self) -> None:
        """Readers take every part that is there. Before the end the next run writes over those it has not told of."""
        told, ending = len(self.manifest["shards"]), self.manifest["table_format"]
        for folder in self.folders.values():
            for part in sorted(folder.glob("part-*.*")) if folder.is_dir() else ():
                number = part.stem.removeprefix("part-")
                if part.suffix == f".{ending}" and number.isdigit() and int(number) < told:
                    continue
                if self.manifest["complete"]:
                    self.findings.violate(part, "belongs to no shard of the manifest, but is read", "remove it")
                else:
                    self.findings.notes.append(f"{part}: not in the manifest yet; the next run writes it anew")

    @property
    def counts(self) -> tuple[int, int]:
        return sum(len(passed) for passed, _ in self.keys), sum(len(failed) for _, failed in self.keys)


def fsck(run_dir: Path, source: Any = None, journal: Path | None = None) -> Findings:
    """Check a run directory, against its source where that is given or known. `journal`: where it is not in the
    directory. Raises RunDirectoryError for what is no run directory, or is of a newer version; InputError for a source
    that cannot be read.
    """
    _refuse_others(run_dir)
    findings = Findings(run_dir)
    with _held(run_dir, findings):
        manifest = _manifest(run_dir, findings)
        tables = _tables(run_dir, manifest, findings)
        if tables is not None:
            tables.check()
        _check_counts(run_dir, tables, findings)
        if tables is not None:
            _check_source(tables, source, findings)
        _check_journal(run_dir, journal, tables, findings)
        _note_leftovers(run_dir, findings)
    return findings


def _refuse_others(run_dir: Path) -> None:
    known = (run_dir / MANIFEST, run_dir / JOURNAL, run_dir / NEXT / MANIFEST)
    if not any(path.is_file() and not path.is_symlink() for path in known):
        raise RunDirectoryError(f"{run_dir} is no run directory", hint=f"it has neither {MANIFEST} nor {JOURNAL}")


@contextmanager
def _held(run_dir: Path, findings: Findings) -> Iterator[None]:
    """No run begins meanwhile; where one is at work, that is said."""
    try:
        handle = os.open(run_dir / LOCK, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:  # no lock was ever made, or it may not be read: nothing to hold
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            findings.in_use = os.read(handle, 20).decode("ascii", "replace").strip() or "?"
            findings.notes.append(f"in use by process {findings.in_use}: what is said here may be out of date already")
        yield
    finally:
        os.close(handle)


def _manifest(run_dir: Path, findings: Findings) -> dict[str, Any] | None:
    """The manifest that counts: when a replacement was cut off, that of the tables which take the place."""
    waiting = _read_manifest(run_dir / NEXT, findings)
    if waiting is not None and waiting["complete"]:
        findings.notes.append(f"{run_dir / NEXT}: finished tables are being put in place; the next run ends that")
        return waiting
    if waiting is not None:
        _count_waiting(run_dir / NEXT, waiting, findings)
    return _read_manifest(run_dir, findings)


def _read_manifest(root: Path, findings: Findings) -> dict[str, Any] | None:
    try:
        return read_manifest(root)
    except NewerVersionError:
        raise
    except RunDirectoryError as error:
        problem = error.message.removeprefix(f"{root / MANIFEST} ")
        findings.violate(root / MANIFEST, problem, "remove it: the tables are made anew, without a call")
        return None


def _count_waiting(root: Path, manifest: Mapping[str, Any], findings: Findings) -> None:
    """Tables that grow beside the finished ones."""
    tables = _Tables(manifest, {name: root / name for name in folders_of(manifest)}, findings)
    tables.check()
    ok, quarantined = tables.counts
    findings.notes.append(f"{root}: a newer run is not complete: {ok:,} ok, {quarantined:,} quarantined so far")


def _tables(run_dir: Path, manifest: Mapping[str, Any] | None, findings: Findings) -> _Tables | None:
    if manifest is None:
        return None
    waiting = run_dir / NEXT
    is_moving = manifest["complete"] and (waiting / MANIFEST).exists() and _complete(waiting)
    folders = {
        name: waiting / name if is_moving and (waiting / name).exists() else run_dir / name
        for name in folders_of(manifest)
    }
    return _Tables(manifest, folders, findings)


def _complete(root: Path) -> bool:
    manifest = read_manifest(root)
    return manifest is not None and bool(manifest["complete"])


def _check_counts(run_dir: Path, tables: _Tables | None, findings: Findings) -> None:
    """in = ok + quarantined + pending, as the files tell it and as the manifest does."""
    if tables is None:
        findings.counts = {"in": None, "ok": 0, "quarantined": 0, "pending": None}
        return
    ok, quarantined = tables.counts
    told = tables.manifest.get("counts") or {}
    total = told.get("in") if isinstance(told.get("in"), int) else None
    pending = None if total is None else total - ok - quarantined
    findings.counts = {"in": total, "ok": ok, "quarantined": quarantined, "pending": pending}
    path = run_dir / MANIFEST
    if total is not None and dict(told) != findings.counts:
        findings.violate(path, f"says {dict(told)}, the tables hold {findings.counts}", _ANEW)
    if pending is not None and (pending < 0 or (pending and tables.manifest["complete"])):
        findings.violate(path, f"is complete: {tables.manifest['complete']}, with {pending:,} records pending", _ANEW)


def _check_source(tables: _Tables, given: Any, findings: Findings) -> None:
    """The keys of the tables are those of the source's first records, in order."""
    label = tables.manifest.get("source")
    known = label if isinstance(label, str) and Path(label).exists() else None
    if given is None and known is None:
        findings.notes.append("the source is not known here: name it, so that keys are compared with it")
        return
    source = _opened(tables, known if given is None else given)
    total = findings.counts["in"]
    scan = Source(source.rows, source.key, total).scan()
    if total is not None and scan.count < total:
        findings.violate(Path(source.label), f"has {scan.count:,} records, the run had {total:,}", "bring it back")
    is_same = scan.fingerprint == (tables.manifest["fingerprints"] or {}).get("source")
    if not is_same:
        said = "is not what the run read, or has changed since, or files belong to its records"
        findings.notes.append(f"{source.label} {said}")
    if is_same or given is not None:
        _compare(tables, source, findings)


def _opened(tables: _Tables, source: Any) -> Source:
    opened = open_source(source)
    name = tables.key_name or tables.manifest.get("key")  # the latter where there is no table yet
    return open_source(source, name) if name in opened.columns else opened


def _compare(tables: _Tables, source: Source, findings: Findings) -> None:
    records = source.records()
    for number, (passed, failed) in enumerate(tables.keys):
        left, right = iter(map(_plain, passed)), iter(map(_plain, failed))
        ok, quarantined = next(left, None), next(right, None)
        for _ in range(len(passed) + len(failed)):
            record = next(records, None)
            key = None if record is None else _plain(record.key)
            if key is not None and key == ok:
                ok = next(left, None)
            elif key is not None and key == quarantined:
                quarantined = next(right, None)
            else:
                part = tables.folders[TABLE] / f"part-{number:05d}"
                said = "no record" if record is None else f"the record {record.key!r}"
                there = ok if ok is not None else quarantined
                findings.violate(part, f"has {there!r} where the source has {said}", f"if this is its source: {_ANEW}")
                return


def _plain(key: Key) -> str:
    """A key as CSV has it too: text, without the apostrophe before what a spreadsheet may run."""
    return str(key).lstrip("'")


def _check_journal(run_dir: Path, given: Path | None, tables: _Tables | None, findings: Findings) -> None:
    told = tables.manifest if tables else {}
    named = told.get("journal")
    path = given or (Path(named) if isinstance(named, str) else run_dir / JOURNAL)
    if not path.exists():
        if told.get("answered") or (tables and tables.requests):
            findings.violate(path, "is not there: what was paid would be asked again", "bring it back from a copy")
        return
    requests = tables.requests if tables else set()
    is_shared = path.absolute() != (run_dir / JOURNAL).absolute()  # others may be at work in it
    found = check_journal(path, requests, in_use=findings.in_use is not None or is_shared)
    findings.answers = found.answers
    for problem, remedy in found.problems:
        findings.violate(path, problem, remedy)
    counted = told.get("requests")
    if found.requests is not None and isinstance(counted, int) and found.requests < counted:
        problem = f"tells of {found.requests:,} calls, the manifest of {counted:,}: some were lost"
        findings.violate(path, problem, "it may be an older copy: bring back the newer one")


def _note_leftovers(run_dir: Path, findings: Findings) -> None:
    if (run_dir / OLD).exists():
        findings.notes.append(f"{run_dir / OLD}: tables that gave way; the next run removes them")
    if (run_dir / NEXT).exists() and not (run_dir / NEXT / MANIFEST).exists():
        findings.notes.append(f"{run_dir / NEXT}: nothing is committed in it; the next run removes it")
    findings.notes += [
        f"{temp}: half written; the next run removes it" for temp in sorted(run_dir.rglob(f".*{TEMP_SUFFIX}"))
    ]


def _keys_of_csv(part: Path) -> pa.Table:
    """The first column, and the reasons if there are any, as text."""
    with open(part, encoding="utf-8", newline="") as file:
        names = next(csv.reader(file), [])
    wanted = [name for position, name in enumerate(names) if position == 0 or name in ("reason", _REQUEST)]
    return read_csv(part, pa.schema([(name, pa.string()) for name in wanted]), neutralised=True)
