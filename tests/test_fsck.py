"""`extract fsck`: what does not add up is named, with the file and what to do; nothing is ever changed."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import extract
from extract.errors import InputError, RunDirectoryError
from extract.fsck import Findings, fsck
from extract.journal import Journal
from extract.sinks import RunDirectory
from extract.sinks.rundir import NewerVersionError
from extract.testing import ScriptedServer
from tests.children import ROOT, small_shards
from tests.crash import ROWS, answer, tree
from tests.support import answer as completion_of_another
from tests.support import rows_csv


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that ended well, one a format, and their source."""
    folder = tmp_path_factory.mktemp("finished")
    source = rows_csv(folder / "items.csv", ROWS)
    with ScriptedServer(answer) as server:
        for name, changes in {"parquet": {}, "csv": {"format": "csv"}, "nokey": {"key": None}}.items():
            extract.run(small_shards(**changes), source, out=folder / name, endpoint=server.endpoint())
    return folder


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished / "parquet", tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def source(finished: Path) -> Path:
    return finished / "items.csv"


def looked(out: Path, *args: Any) -> Findings:
    """What fsck finds; it must not change a byte."""
    before = tree(out)
    found = fsck(out, *args)
    assert before == tree(out)
    return found


def wrong(out: Path, *args: Any) -> list[tuple[str, str]]:
    found = looked(out, *args)
    assert all(each.remedy for each in found.violations)
    return [(str(Path(each.file).relative_to(out)), each.problem) for each in found.violations]


def change_manifest(out: Path, **changes: Any) -> None:
    path = out / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite(part: Path, table: pa.Table, out: Path) -> None:
    """Put another table in a part's place, and its size in the manifest, as if a run had written it so."""
    pq.write_table(table, part)
    manifest = json.loads((out / "manifest.json").read_text())
    shard = manifest["shards"][int(part.stem.removeprefix("part-"))]
    shard["sizes"][manifest["folders"].index(part.parent.name)] = part.stat().st_size
    (out / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["parquet", "csv", "nokey"])
def test_a_finished_run_is_sound(finished: Path, name: str) -> None:
    """Whether the source is named or known from the manifest."""
    for args in ((), (finished / "items.csv",)):
        found = looked(finished / name, *args)
        assert [] == found.violations
        assert [] == found.notes
        assert {"in": 24, "ok": 21, "quarantined": 3, "pending": 0} == found.counts
        assert ROWS == found.answers


def test_what_is_no_run_directory_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(RunDirectoryError, match="is no run directory"):
            fsck(path)


def test_a_newer_version_is_refused(out: Path) -> None:
    change_manifest(out, format=99)
    with pytest.raises(NewerVersionError, match="newer version"):
        fsck(out)


def test_a_journal_of_a_newer_version_is_refused(out: Path) -> None:
    with sqlite3.connect(out / "journal.db") as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(RunDirectoryError, match=r"journal\.db was written by a newer version"):
        fsck(out)


def test_a_damaged_manifest_is_named(out: Path) -> None:
    (out / "manifest.json").write_text("{")
    ((file, problem),) = wrong(out)
    assert "manifest.json" == file
    assert "cannot be read" in problem


@pytest.mark.parametrize("folder", ["table", "quarantine"])
def test_a_part_that_is_gone_cut_or_unreadable_is_named(out: Path, folder: str) -> None:
    part = out / folder / "part-00001.parquet"
    whole = part.read_bytes()
    name = f"{folder}/part-00001.parquet"
    part.write_bytes(whole[:-1])
    assert (name, f"is {len(whole) - 1:,} bytes, was written with {len(whole):,}") in wrong(out)
    part.write_bytes(bytes(len(whole)))
    assert [name] == [file for file, problem in wrong(out) if "cannot be read" in problem]
    part.unlink()
    assert (name, "is not there, and the manifest speaks of it") in wrong(out)


def test_a_row_that_is_lost_or_doubled_is_named(out: Path, source: Path) -> None:
    part = out / "table/part-00001.parquet"
    table = pq.read_table(part)
    rewrite(part, table.slice(1), out)
    found = wrong(out)
    assert (
        "table/part-00001.parquet",
        f"holds {table.num_rows - 1} records, the manifest says {table.num_rows}",
    ) in found
    assert any(file == "manifest.json" and "the tables hold" in problem for file, problem in found)
    assert any("where the source has the record 'k8'" in problem for _, problem in found)
    rewrite(part, pa.concat_tables([table.slice(0, 1), table.slice(0, table.num_rows - 1)]), out)
    assert ("table", "the key 'k8' comes 2 times") in wrong(out)


def test_a_record_in_both_tables_is_named(out: Path) -> None:
    part = out / "quarantine/part-00000.parquet"
    failed = pq.read_table(part)
    rewrite(part, failed.set_column(0, failed.schema.field(0), pa.array(["k3"])), out)
    assert ("table", "the key 'k3' is in the quarantine too") in wrong(out)


def test_other_reasons_than_the_manifest_tells_are_named(out: Path) -> None:
    part = out / "quarantine/part-00000.parquet"
    failed = pq.read_table(part)
    rewrite(part, failed.set_column(1, failed.schema.field(1), pa.array(["schema.enum"])), out)
    assert [("quarantine/part-00000.parquet", "has other reasons than the manifest says")] == wrong(out)


def test_rows_in_another_order_than_the_source_are_named(out: Path, source: Path) -> None:
    part = out / "table/part-00002.parquet"
    table = pq.read_table(part)
    rewrite(part, table.take([1, 0, *range(2, table.num_rows)]), out)
    ((file, problem),) = wrong(out, source)
    assert "table/part-00002" == file
    assert "where the source has" in problem


def test_a_part_that_no_shard_owns_is_named_for_readers_take_it(out: Path) -> None:
    shutil.copy(out / "table/part-00000.parquet", out / "table/part-00099.parquet")
    assert [("table/part-00099.parquet", "belongs to no shard of the manifest, but is read")] == wrong(out)
    change_manifest(out, complete=False)
    found = looked(out)
    assert [] == found.violations
    assert any("part-00099" in note for note in found.notes)


def test_another_source_is_seen(out: Path, tmp_path: Path) -> None:
    """One that is named is compared; one with fewer records is wrong; one with more is a note."""
    other = rows_csv(tmp_path / "other.csv", ROWS)
    other.write_text(other.read_text().replace("k5,", "k500,"))
    found = looked(out, other)
    assert ["has 'k5' where the source has the record 'k500'"] == [each.problem for each in found.violations]
    assert any("is not what the run read, or has changed since" in note for note in found.notes)
    fewer = rows_csv(tmp_path / "fewer.csv", ROWS - 1)
    assert "has 23 records, the run had 24" in [each.problem for each in looked(out, fewer).violations]
    assert [] == looked(out, rows_csv(tmp_path / "more.csv", ROWS + 9)).violations
    with pytest.raises(InputError):
        fsck(out, tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE answers SET body = x'00' WHERE attempts = 1", "24 answers do not fit their digests"),
        ("DELETE FROM answers", "has no answer to 21 requests that rows of the table rest on"),
        ("UPDATE totals SET requests = 3", "its totals"),
        ("UPDATE totals SET answers = 3", "counts 3 answers and holds 24"),
        ("DELETE FROM attempts WHERE id = 1", "its totals"),
        ("DELETE FROM attempts; UPDATE totals SET requests = 0, input_tokens = 0, output_tokens = 0", "of 0 calls"),
    ],
)
def test_a_journal_that_does_not_add_up_is_named(out: Path, change: str, problem: str) -> None:
    connection = sqlite3.connect(out / "journal.db")
    connection.executescript(change)
    connection.close()
    assert any(file == "journal.db" and problem in said for file, said in wrong(out))


def test_a_journal_that_is_cut_foreign_or_gone_is_named(out: Path) -> None:
    journal = out / "journal.db"
    whole = journal.read_bytes()
    journal.write_bytes(whole[: len(whole) // 2])
    assert ["journal.db"] == [file for file, _ in wrong(out)]
    damaged = bytearray(whole)
    damaged[4096:] = bytes(len(whole) - 4096)
    journal.write_bytes(damaged)
    assert ["journal.db"] == [file for file, _ in wrong(out)]
    journal.write_bytes(b"no database" * 500)
    assert ["journal.db"] == [file for file, _ in wrong(out)]
    journal.unlink()
    assert [("journal.db", "is not there: what was paid would be asked again")] == wrong(out)
    with sqlite3.connect(journal) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    assert [("journal.db", "is a database of another program")] == wrong(out)


def test_an_older_copy_of_the_journal_is_seen(out: Path) -> None:
    """It knows fewer calls than the manifest counted."""
    change_manifest(out, requests=30)
    assert [("journal.db", "tells of 24 calls, the manifest of 30: some were lost")] == wrong(out)


def test_a_directory_in_use_is_looked_at_and_that_is_said(out: Path) -> None:
    with RunDirectory(out) as directory:
        directory.sign()
        found = looked(out)
        assert found.is_sound
        assert found.in_use
        assert "in use by process" in found.notes[0]
        with Journal(directory.journal_path) as journal:
            asyncio.run(journal.store("new", completion_of_another()))
            before = tree(out)
            assert ROWS + 1 == fsck(out).answers
            after = tree(out)
            assert [] == [name for name in before if before[name] != after[name] and not name.endswith("-shm")]
    assert looked(out).in_use is None


def test_what_a_crash_left_is_a_note(out: Path) -> None:
    """The next run settles it by itself."""
    (out / "table/.part-00009.parquet.tmp").touch()
    (out / ".next").mkdir()
    (out / ".old").mkdir()
    found = looked(out)
    assert found.is_sound
    assert 3 == len(found.notes)


def command(*args: Any) -> tuple[int, str, str]:
    order = [sys.executable, "-m", "extract", "fsck", *map(str, args)]
    done = subprocess.run(order, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_the_command_tells_by_its_exit_code(out: Path, source: Path, tmp_path: Path) -> None:
    """0 sound, 3 something is wrong, 2 no run directory."""
    code, said, _ = command(out, source)
    assert (0, "24 in, 21 ok, 3 quarantined, 0 pending; 24 answers in the journal") == (
        code,
        said.splitlines()[0].partition(": ")[2],
    )
    assert "sound" == said.splitlines()[-1]
    (out / "table/part-00000.parquet").unlink()
    code, said, _ = command(out, "--json")
    assert 3 == code
    found = json.loads(said)
    assert not found["sound"]
    assert str(out / "table/part-00000.parquet") == found["violations"][0]["file"]
    code, said, _ = command(out)
    assert 3 == code
    assert "  do: run the same command again" in said
    code, said, complaint = command(tmp_path / "none")
    assert (2, "") == (code, said)
    assert "is no run directory" in complaint
