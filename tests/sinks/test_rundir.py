"""The run directory: one writer, nothing foreign, and finished tables that give way only to finished ones."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from extract.errors import RunDirectoryError
from extract.sinks import RunDirectory, Shard, read_manifest, rundir, write_manifest
from extract.sinks.files import write_whole
from tests.support import files

ONE, TWO = {"source": "1"}, {"source": "2"}
OWN = ("table", "quarantine")


def tables(root: Path, name: str, shards: int = 2, folders: Sequence[str] = OWN) -> None:
    """Part files whose content is `name`."""
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(shards):
            (root / folder / f"part-{number:05d}.parquet").write_text(f"{name} {number}")


def sizes(root: Path, number: int, folders: Sequence[str] = OWN) -> list[int]:
    """The bytes of a shard's files as they stand; of one that is not there, none."""
    parts = [root / folder / f"part-{number:05d}.parquet" for folder in folders]
    return [part.stat().st_size if part.exists() else 0 for part in parts]


def manifest(
    root: Path,
    fingerprints: Mapping[str, str],
    complete: bool = True,
    shards: int = 2,
    folders: Sequence[str] = OWN,
    **more: Any,
) -> None:
    """Child tables are named; without any it is a manifest as version 0.1.0 wrote it."""
    entries = [
        {"ok": 3, "quarantined": 1, "reasons": {"x": 1}, "unanswered": 0, "sizes": sizes(root, number, folders)} | more
        for number in range(shards)
    ]
    content = {"fingerprints": fingerprints, "complete": complete, "table_format": "parquet", "shards": entries}
    write_manifest(root, content | ({} if folders is OWN else {"folders": list(folders)}))


def finished(root: Path, name: str, fingerprints: Mapping[str, str], folders: Sequence[str] = OWN, **more: Any) -> None:
    root.mkdir(parents=True, exist_ok=True)
    tables(root, name, folders=folders)
    manifest(root, fingerprints, folders=folders, **more)


def chosen(path: Path, fingerprints: Mapping[str, str], again: bool = True) -> tuple[str, int, bool]:
    with RunDirectory(path) as directory:
        root, shards, done = directory.root_for(fingerprints, again)
        return str(root.relative_to(path)), len(shards), done


def test_a_new_directory_is_made_and_locked(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "a" / "b") as directory:
        assert (tmp_path / "a/b", [], False) == directory.root_for(ONE, again=True)
        assert tmp_path / "a/b/journal.db" == directory.journal_path


def test_a_second_run_is_refused_at_once_and_told_who_has_it(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "run") as directory:
        directory.sign()
        begun = time.monotonic()
        with pytest.raises(RunDirectoryError, match=f"in use by process {os.getpid()}"):
            RunDirectory(tmp_path / "run")
        assert 1 > time.monotonic() - begun
    with RunDirectory(tmp_path / "run"):
        pass


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    """However that ended."""
    code = f"import os; from extract.sinks import RunDirectory as R; R(__import__('pathlib').Path({str(tmp_path)!r})); os._exit(9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    with RunDirectory(tmp_path):
        pass


def test_a_run_that_only_looks_changes_nothing(tmp_path: Path) -> None:
    finished(tmp_path, "old", ONE)
    chosen(tmp_path, ONE)
    before = files(tmp_path)
    assert (".", 2, True) == chosen(tmp_path, ONE)
    assert before == files(tmp_path)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(RunDirectoryError, match=r"'thesis\.doc' and is no run directory"):
        RunDirectory(tmp_path)
    assert ["thesis.doc"] == os.listdir(tmp_path)


def test_a_file_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="is a file"):
        RunDirectory(tmp_path / "file")
    with pytest.raises(RunDirectoryError, match="cannot be a run directory"):
        RunDirectory(tmp_path / "file" / "below")


def test_users_may_add_files_to_a_run_directory(tmp_path: Path) -> None:
    finished(tmp_path, "old", ONE)
    (tmp_path / "notes.txt").touch()
    assert (".", 2, True) == chosen(tmp_path, ONE)


def test_a_system_without_locks_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not told as another run."""

    def no_locks(handle: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(rundir.fcntl, "flock", no_locks)
    with pytest.raises(RunDirectoryError, match="cannot be a run directory: No locks available"):
        RunDirectory(tmp_path)


def test_half_written_files_of_a_dead_run_are_removed(tmp_path: Path) -> None:
    finished(tmp_path, "old", ONE)
    finished(tmp_path / ".next", "new", TWO, complete=False)
    for folder in (".", "table", "quarantine", ".next", ".next/table"):
        (tmp_path / folder / ".part-00002.parquet.tmp").touch()
    with RunDirectory(tmp_path):
        assert [] == [name for name in files(tmp_path) if name.endswith(".tmp")]


def test_an_unfinished_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """Up to the first shard whose files are gone."""
    finished(tmp_path, "old", ONE, complete=False)
    assert (".", 2, False) == chosen(tmp_path, ONE)
    (tmp_path / "quarantine/part-00001.parquet").unlink()
    assert (".", 1, False) == chosen(tmp_path, ONE)
    (tmp_path / "table/part-00000.parquet").unlink()
    assert (".", 0, False) == chosen(tmp_path, ONE)


def test_other_tables_grow_aside(tmp_path: Path) -> None:
    """And go on there; the old ones stay. Back to the first, the new ones are dropped."""
    finished(tmp_path, "old", ONE)
    assert (".next", 0, False) == chosen(tmp_path, TWO)
    finished(tmp_path / ".next", "new", TWO, complete=False)
    assert (".next", 2, False) == chosen(tmp_path, TWO)
    assert (".next", 0, False) == chosen(tmp_path, {"source": "3"})
    finished(tmp_path / ".next", "new", TWO, complete=False)
    assert (".", 2, True) == chosen(tmp_path, ONE)
    assert not (tmp_path / ".next").exists()


def test_a_run_that_came_to_nothing_gives_way(tmp_path: Path) -> None:
    manifest(tmp_path, ONE, complete=False, shards=0)
    assert (".", 0, False) == chosen(tmp_path, TWO)


def test_records_without_an_answer_are_asked_again_when_wanted(tmp_path: Path) -> None:
    finished(tmp_path, "old", ONE, unanswered=1)
    assert (".next", 0, False) == chosen(tmp_path, ONE)
    assert (".", 2, True) == chosen(tmp_path, ONE, again=False)


class CutOff(BaseException):
    """As if the power went."""


LAYOUTS = {
    "none": (OWN, OWN),
    "the same": ((*OWN, "table.a"), (*OWN, "table.a")),
    "others": ((*OWN, "table.a", "table.b"), (*OWN, "table.b", "table.b.c")),
    "no more": ((*OWN, "table.a", "table.a.b"), OWN),
    "first": (OWN, (*OWN, "table.a")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_replacement_is_finished_after_a_crash_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    """Cut off before every single step: the next run finds the new tables whole, and nothing else.

    The child tables of the old schema are gone; a folder of the user's own is not."""
    before, after = LAYOUTS[layout]
    for cut in itertools.count():
        path = tmp_path / str(cut)
        finished(path, "old", ONE, before)
        finished(path / ".next", "new", TWO, after)
        (path / "table.mine").mkdir()
        (path / ".old/table").mkdir(parents=True)
        directory = RunDirectory.__new__(RunDirectory)
        directory.path = path
        steps = itertools.count()

        def counted(original: Any, cut: int = cut, steps: Any = steps) -> Any:
            def step(*args: Any, **more: Any) -> Any:
                if next(steps) == cut:
                    raise CutOff
                return original(*args, **more)

            return step

        with monkeypatch.context() as patch:
            patch.setattr(rundir.os, "replace", counted(os.replace))
            patch.setattr(rundir.shutil, "rmtree", counted(rundir.shutil.rmtree))
            patch.setattr(rundir.Path, "mkdir", counted(Path.mkdir))
            try:
                directory.put_in_place()
            except CutOff:
                pass
            else:
                break
        assert (".", 2, True) == chosen(path, TWO)
        contents = {name: content for name, (_, content) in files(path).items() if "part" in name}
        assert {f"{folder}/part-{n:05d}.parquet": f"new {n}".encode() for folder in after for n in (0, 1)} == contents
        assert {".lock", "manifest.json", "table.mine", *after} == set(os.listdir(path))
    assert 4 + len(before) + len(after) <= cut


def test_a_shard_counts_when_its_child_tables_are_there_too(tmp_path: Path) -> None:
    folders = (*OWN, "table.a")
    finished(tmp_path, "old", ONE, folders, complete=False)
    assert (".", 2, False) == chosen(tmp_path, ONE)
    (tmp_path / "table.a/part-00001.parquet").write_text("cut")
    assert (".", 1, False) == chosen(tmp_path, ONE)
    (tmp_path / "table.a/part-00000.parquet").unlink()
    assert (".", 0, False) == chosen(tmp_path, ONE)


def test_tables_that_do_not_count_are_removed_with_their_children(tmp_path: Path) -> None:
    """Those that the manifest names, and where there is none those that hold part files and nothing else."""
    finished(tmp_path, "old", ONE, (*OWN, "table.a", "table.b.c"))
    for name in ("table.mine", "table.copy"):
        (tmp_path / name).mkdir()
    (tmp_path / "table.mine/notes.txt").touch()
    (tmp_path / "table.copy/part-00000.parquet").touch()
    rundir.remove_tables(tmp_path)
    assert {"manifest.json", "table.mine", "table.copy"} == set(os.listdir(tmp_path))
    (tmp_path / "manifest.json").unlink()
    tables(tmp_path, "old", folders=(*OWN, "table.a"))
    (tmp_path / "table.a/.part-00002.csv.tmp").touch()
    rundir.remove_tables(tmp_path)
    assert {"table.mine"} == set(os.listdir(tmp_path))


def test_half_written_child_tables_are_removed(tmp_path: Path) -> None:
    folders = (*OWN, "table.a")
    finished(tmp_path, "old", ONE, folders)
    finished(tmp_path / ".next", "new", TWO, folders, complete=False)
    for folder in ("table.a", ".next/table.a"):
        (tmp_path / folder / ".part-00002.parquet.tmp").touch()
    with RunDirectory(tmp_path):
        assert [] == [name for name in files(tmp_path) if name.endswith(".tmp")]


def test_a_child_table_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """It could lead anywhere."""
    finished(tmp_path / "run", "old", ONE, (*OWN, "table.a"))
    os.replace(tmp_path / "run/table.a", tmp_path / "elsewhere")
    (tmp_path / "run/table.a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunDirectoryError, match=r"table\.a is a symbolic link"):
        RunDirectory(tmp_path / "run")


@pytest.mark.parametrize(
    "folders",
    [
        "table",
        ["table"],
        ["quarantine", "table"],
        [*OWN, "table"],
        [*OWN, "table."],
        [*OWN, "../x"],
        [*OWN, "table./../../x"],
        [*OWN, "table.a/b"],
        [*OWN, "table.a\0"],
        [*OWN, 1],
        [*OWN, ["table.a"]],
    ],
)
def test_a_manifest_that_names_other_folders_is_refused(tmp_path: Path, folders: Any) -> None:
    """Nothing outside the run directory is ever removed."""
    finished(tmp_path, "old", ONE)
    found = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(found | {"folders": folders}))
    with pytest.raises(RunDirectoryError, match="is damaged"):
        read_manifest(tmp_path)


def test_there_is_nothing_to_put_in_place_without_new_tables(tmp_path: Path) -> None:
    finished(tmp_path, "old", ONE)
    with RunDirectory(tmp_path) as directory:
        before = files(tmp_path)
        directory.put_in_place()
        assert before == files(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"[]", "no manifest"),
        (b"{}", "no manifest"),
        (b'{"fingerprints": {}, "shards": []}', "no manifest"),
        (
            b'{"fingerprints": {}, "shards": [], "complete": true, "table_format": "csv", "format": 99}',
            "upgrade tablecast",
        ),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """And the lock is given back."""
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(RunDirectoryError, match=message):
        read_manifest(tmp_path)
    (tmp_path / ".next").mkdir()
    (tmp_path / ".next/manifest.json").write_bytes(content)
    for _ in range(2):
        with pytest.raises(RunDirectoryError, match=message):
            RunDirectory(tmp_path)


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    manifest(tmp_path, ONE)
    found = read_manifest(tmp_path)
    assert found is not None
    assert (ONE, 1) == (found["fingerprints"], found["format"])
    assert found == json.loads((tmp_path / "manifest.json").read_text())
    assert 4 == Shard(**found["shards"][0]).records
    assert read_manifest(tmp_path / "none") is None


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """A writer that fails leaves the old file."""
    file = tmp_path / "a"
    write_whole(file, lambda temp: temp.write_text("old"))

    def half(temp: Path) -> None:
        temp.write_text("ne")
        raise CutOff

    with pytest.raises(CutOff):
        write_whole(file, half)
    assert "old" == file.read_text()
