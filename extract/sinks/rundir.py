"""The run directory: who may write in it, what it holds, and how a finished table gives way to the next.

A run writes into the directory itself when that holds nothing yet or the same run unfinished. When it holds the
finished tables of another input, prompt or schema, the new ones grow in `.next` and take their place when they are
complete; until then readers see the old ones.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from extract.disk import pausing, told
from extract.errors import RunDirectoryError
from extract.failpoints import failpoint
from extract.sinks.files import TEMP_SUFFIX, remove_temps, sync_folder, write_whole
from extract.sinks.shards import EVIDENCE, QUARANTINE, TABLE

MANIFEST = "manifest.json"
JOURNAL = "journal.db"
LOCK = ".lock"
NEXT = ".next"
OLD = ".old"
FORMAT = 1

_HALF = f".{MANIFEST}{TEMP_SUFFIX}"  # the first manifest of a run whose journal is elsewhere
_OWN = (TABLE, QUARANTINE)  # folders of every run
_CHILD = re.compile(rf"{TABLE}\.[^/\0]+")
_PART = re.compile(r"\.?part-\d{5,}\.(parquet|csv)(\.tmp)?")
_COUNTS = ("ok", "quarantined", "unanswered", "human", "flagged")  # of a shard
_NEEDED = {"fingerprints", "shards", "complete", "table_format"}  # what a run reads of a manifest


@dataclass(frozen=True, slots=True)
class Shard:
    """A committed shard: how many of its records passed, and why the others did not."""

    ok: int
    quarantined: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    unanswered: int = 0  # quarantined without any answer; a later run asks for them again
    sizes: Sequence[int] = ()  # bytes of its file in each of the manifest's folders
    efforts: Mapping[str, Sequence[float | None]] = field(default_factory=dict)  # see report.Efforts
    human: int = 0  # of those that passed, by the word of a person
    flagged: int = 0  # likewise, with a flag that tells of a doubt

    @property
    def records(self) -> int:
        return self.ok + self.quarantined


class NewerVersionError(RunDirectoryError):
    """What a newer version wrote, and this one cannot judge."""


class RunDirectory:
    """A locked run directory. Raises RunDirectoryError when another run has it, or when it is not ours; DiskPause,
    here and in all that changes it, when the disk refuses for now."""

    def __init__(self, path: Path, journal: Path | None = None) -> None:
        """`journal`: where it is, if not in the directory."""
        self.path = path
        self._journal = journal
        try:
            _refuse_foreign(path, journal)
            path.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(path / LOCK)
        except OSError as error:
            raise told(error, path, "cannot be a run directory") from error
        self._signed = False
        try:
            with pausing(path):
                self._settle()
        except BaseException:  # interrupted too: nobody has an object that would let go of the lock
            os.close(self._lock)
            raise

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *error: object) -> None:
        if self._signed:
            with suppress(OSError):  # the name is only for a message
                os.ftruncate(self._lock, 0)
        os.close(self._lock)  # which releases it, as the end of the process would

    def sign(self) -> None:
        """Name this process in the lock, for the message to others; a run with nothing to do changes no byte."""
        with pausing(self.path):
            failpoint("lock.sign.before")
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, str(os.getpid()).encode(), 0)
            failpoint("lock.sign.after")
        self._signed = True

    @property
    def journal_path(self) -> Path:
        """Where the journal stands. Raises RunDirectoryError for one that the tables do not rest on."""
        return journal_of(self.path, self._journal)

    @property
    def account(self) -> str:
        """What names this directory in a journal that others share."""
        return account_of(self.path)

    def root_anew(self) -> Path:
        """An empty place beside the finished tables, where those grow that shall take their place."""
        self.clear()
        with pausing(self.path):
            (self.path / NEXT).mkdir()
            failpoint("next.made")
        return self.path / NEXT

    def clear(self) -> None:
        """Remove what an earlier run has left of tables that should have taken the place of these."""
        with pausing(self.path):
            self._drop(NEXT)

    def root_for(self, fingerprints: Mapping[str, str], again: bool) -> tuple[Path, list[Shard], bool]:
        """Where this run's tables grow, the shards that are there already, and whether all is done.

        `again`: records without an answer are asked once more, so a finished table with such records is made anew.
        """
        with pausing(self.path):
            return self._root_for(fingerprints, again)

    def _root_for(self, fingerprints: Mapping[str, str], again: bool) -> tuple[Path, list[Shard], bool]:
        here, waiting = read_manifest(self.path), read_manifest(self.path / NEXT)
        if here is None or (here["fingerprints"] == fingerprints and not here["complete"]):
            self._drop(NEXT)
            return self.path, _shards(self.path, here), False
        if waiting is not None and waiting["fingerprints"] == fingerprints and waiting.get("redrive"):
            return self.path / NEXT, _shards(self.path / NEXT, waiting), False
        if here["fingerprints"] == fingerprints and is_whole(self.path, here) and not (again and _unanswered(here)):
            self._drop(NEXT)
            return self.path, _shards(self.path, here), True
        if not here["shards"]:  # another run that came to nothing: no table to keep
            self._drop(NEXT)
            return self.path, [], False
        if waiting is not None and waiting["fingerprints"] == fingerprints:
            return self.path / NEXT, _shards(self.path / NEXT, waiting), False
        return self.root_anew(), [], False

    def put_in_place(self) -> None:
        """The finished tables in `.next` take the place of the old ones. Taken up again after a crash."""
        if (self.path / NEXT / MANIFEST).exists():
            with pausing(self.path):
                self._replace()

    def _replace(self) -> None:
        waiting = self.path / NEXT
        failpoint("replace.before")
        self._drop(OLD)
        (self.path / OLD).mkdir()
        failpoint("replace.old_made")
        new = _folders(waiting)
        for name in new:
            if (waiting / name).exists():
                self._put_away(name)
                os.replace(waiting / name, self.path / name)
                failpoint("replace.placed")
        for name in sorted(set(_folders(self.path)) - set(new)):  # child tables that the new schema has not
            self._put_away(name)
        sync_folder(self.path)  # the manifest is the last to change, on the disk too
        failpoint("replace.folders_synced")
        os.replace(waiting / MANIFEST, self.path / MANIFEST)
        failpoint("replace.manifest_placed")
        sync_folder(self.path)
        failpoint("replace.synced")
        self._drop(NEXT)
        failpoint("replace.next_dropped")
        self._drop(OLD)
        failpoint("replace.after")

    def _put_away(self, name: str) -> None:
        if (self.path / name).exists():
            os.replace(self.path / name, self.path / OLD / name)
            failpoint("replace.away")

    def _settle(self) -> None:
        """Finish a replacement that was cut off, and remove half-written files."""
        waiting = read_manifest(self.path / NEXT)
        if waiting is not None and waiting["complete"]:
            self.put_in_place()
        self._drop(OLD)
        for root in (self.path, self.path / NEXT):
            for folder in (root, *(root / name for name in _folders(root))):
                remove_temps(folder)

    def _drop(self, name: str) -> None:
        """Its manifest goes first: a folder that is only half gone speaks of nothing."""
        if (self.path / name).exists():
            (self.path / name / MANIFEST).unlink(missing_ok=True)
            failpoint("next.dropped")
            shutil.rmtree(self.path / name)


def journal_of(path: Path, given: Path | None = None) -> Path:
    """The journal of a run directory: as given, else as its manifest says, else in the directory itself.

    Raises RunDirectoryError for one that its tables do not rest on.
    """
    own = path / JOURNAL
    manifest = read_manifest(path) or read_manifest(path / NEXT) or {}
    told = manifest.get("journal")
    named = Path(told) if isinstance(told, str) else None
    if given is None or (named is not None and _is_same(given, named)):
        if named is not None and not named.exists():
            hint = "bring it back, or say where it is now: --journal"
            raise RunDirectoryError(f"{named} is not there, and the tables in {path} rest on it", hint=hint)
        return named or own
    for other in (own, named):
        if other is not None and other.exists() and not _is_same(given, other):
            hint = "leave --journal out, or name another folder with --out"
            raise RunDirectoryError(f"the tables in {path} rest on the journal {other}", hint=hint)
    return own if _is_same(given, own) else given.absolute()


def account_of(path: Path) -> str:
    """What names a run directory in a journal that others share; the same after its manifest was lost."""
    for root in (path, path / NEXT):
        name = (read_manifest(root) or {}).get("run")
        if isinstance(name, str):
            return name
    return hashlib.blake2b(os.fsencode(path.resolve()), digest_size=8).hexdigest()


def _is_same(one: Path, other: Path) -> bool:
    return os.path.abspath(one) == os.path.abspath(other) or (one.exists() and other.exists() and one.samefile(other))


def read_manifest(root: Path) -> dict[str, Any] | None:
    """The manifest of a run, None where there is none. Raises RunDirectoryError for one that is damaged or newer."""
    path = root / MANIFEST
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RunDirectoryError(f"{path} cannot be read: {error}", hint="remove it to make the tables anew") from error
    if not isinstance(found, dict) or not found.keys() >= _NEEDED:
        raise RunDirectoryError(f"{path} is no manifest of a run", hint="remove it to make the tables anew")
    if not _is_sound(found):
        raise RunDirectoryError(f"{path} is damaged", hint="remove it to make the tables anew")
    if found.get("format", 0) > FORMAT:
        raise NewerVersionError(f"{path} was written by a newer version", hint="upgrade tablecast")
    return found


def _is_sound(manifest: Mapping[str, Any]) -> bool:
    """Whether what is read later has the types that were written."""
    shards, names = manifest["shards"], {field.name for field in fields(Shard)}
    return (
        isinstance(shards, list)
        and all(isinstance(shard, dict) and set(shard) <= names for shard in shards)
        and all(isinstance(shard.get(name, 0), int) for shard in shards for name in _COUNTS)
        and manifest.get("table_format") in ("parquet", "csv")
        and isinstance(manifest.get("format", 0), int)
        and _are_folders(manifest.get("folders", list(_OWN)))
    )


def _are_folders(names: Any) -> bool:
    """Whether these are names that a run gives, none of which leads anywhere else."""
    return (
        isinstance(names, list)
        and tuple(names[:2]) == _OWN
        and all(isinstance(name, str) and (name == EVIDENCE or _CHILD.fullmatch(name)) for name in names[2:])
    )


def write_manifest(root: Path, manifest: Mapping[str, Any]) -> None:
    """Put the manifest in place, whole."""
    text = json.dumps({"format": FORMAT, **manifest}, indent=2, ensure_ascii=False)
    write_whole(root / MANIFEST, lambda temp: temp.write_bytes(f"{text}\n".encode()), "manifest")


def remove_tables(root: Path) -> None:
    """Remove shards that no manifest speaks of."""
    for name in _folders(root):
        shutil.rmtree(root / name, ignore_errors=True)


def _refuse_foreign(path: Path, journal: Path | None) -> None:
    if path.exists() and not path.is_dir():
        raise RunDirectoryError(f"{path} is a file", hint="name another folder with --out")
    children = (item.name for item in path.glob(f"{TABLE}.*"))
    for name in (MANIFEST, JOURNAL, LOCK, NEXT, OLD, TABLE, QUARANTINE, EVIDENCE, *children):
        if (path / name).is_symlink():  # it could lead anywhere, and what is there would be overwritten
            raise RunDirectoryError(f"{path / name} is a symbolic link", hint="name another folder with --out")
    if path.is_dir() and not (path / MANIFEST).exists() and not (path / JOURNAL).exists():
        foreign = sorted(item.name for item in path.iterdir() if item.name not in (LOCK, _HALF))
        if journal is not None and foreign and (path / LOCK).exists() and all(_holds_shards(path / n) for n in foreign):
            return  # its manifest was removed, so that the tables are made anew
        if foreign:
            raise RunDirectoryError(
                f"{path} holds {foreign[0]!r} and is no run directory", hint="name another folder with --out"
            )


def _holds_shards(folder: Path) -> bool:
    is_named = folder.name in (*_OWN, EVIDENCE) or _CHILD.fullmatch(folder.name)
    return bool(is_named) and folder.is_dir() and all(_PART.fullmatch(name) for name in os.listdir(folder))


def _locked(path: Path) -> int:
    """An exclusive lock, which the system releases when its owner ends, however it ends."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(handle, 20).decode("ascii", "replace").strip()
        os.close(handle)
        raise RunDirectoryError(
            f"{path.parent} is in use by process {owner or '?'}", hint="wait for it, or name another folder with --out"
        ) from None
    except OSError:
        os.close(handle)
        raise
    return handle


def _shards(root: Path, manifest: Mapping[str, Any] | None) -> list[Shard]:
    """Committed shards, up to the first whose files are not there as they were written."""
    found: list[Shard] = []
    for number, entry in enumerate(manifest["shards"] if manifest else ()):
        shard = Shard(**entry)
        if manifest is None:
            break
        part = f"part-{number:05d}.{manifest['table_format']}"
        if _sizes(root, folders_of(manifest), part) != list(shard.sizes):
            break
        found.append(shard)
    return found


def shards_of(root: Path) -> list[Shard]:
    """The committed shards below `root`."""
    return _shards(root, read_manifest(root))


def _sizes(root: Path, folders: Sequence[str], part: str) -> list[int] | None:
    try:
        return [(root / folder / part).stat().st_size for folder in folders]
    except OSError:
        return None


def folders_of(manifest: Mapping[str, Any]) -> Sequence[str]:
    """Table, quarantine, evidence if there is any, then the child tables."""
    found: Sequence[str] = manifest.get("folders", _OWN)
    return found


def children_of(manifest: Mapping[str, Any]) -> Sequence[str]:
    """The folders of the child tables."""
    return [name for name in folders_of(manifest) if _CHILD.fullmatch(name)]


def _folders(root: Path) -> Sequence[str]:
    """The folders of the run that is here; where no manifest tells, those that look like its own."""
    manifest = read_manifest(root)
    if manifest is not None:
        return folders_of(manifest)
    others = (item for item in (root / EVIDENCE, *root.glob(f"{TABLE}.*")) if item.is_dir() and not item.is_symlink())
    ours = (item.name for item in others if all(_PART.fullmatch(name) for name in os.listdir(item)))
    return (*_OWN, *sorted(ours))


def is_whole(root: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether every shard that the manifest speaks of is there, undamaged as far as its size tells."""
    return len(_shards(root, manifest)) == len(manifest["shards"])


def _unanswered(manifest: Mapping[str, Any]) -> bool:
    return any(entry.get("unanswered") for entry in manifest["shards"])
