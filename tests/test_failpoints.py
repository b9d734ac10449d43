"""Failpoints, and disks that refuse: a run pauses with a message, and goes on when there is room again."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from extract import failpoints
from extract.failpoints import failpoint
from extract.fsck import fsck
from extract.testing import ScriptedServer
from tests.children import Nursery, nursery
from tests.crash import ANEW, ROWS, answer, keys
from tests.support import parts, rows_csv

WORDS = {"ENOSPC": "No space left", "EIO": "Input/output", "EROFS": "Read-only", "EMFILE": "Too many open files"}


@pytest.fixture(autouse=True)
def counting_anew() -> Iterator[None]:
    failpoints.forget_counts()
    yield
    failpoints.forget_counts()


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with nursery(tmp_path_factory.mktemp("nursery")) as found:
        yield found


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(answer) as found:
        yield found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return rows_csv(tmp_path / "items.csv", ROWS)


def test_a_place_does_nothing_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    failpoint("shard.synced")
    monkeypatch.setenv(failpoints.VARIABLE, "shard.renamed:1:EIO")
    failpoint("shard.synced")
    with pytest.raises(OSError, match="Input/output"):
        failpoint("shard.renamed")
    failpoint("shard.renamed")


def test_a_place_counts_its_passages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time only; from the second time on; several places at once."""
    monkeypatch.setenv(failpoints.VARIABLE, "shard.synced:2:ENOSPC, shard.written:2+:EMFILE")
    seen: list[tuple[str, int]] = []
    for number, name in itertools.product(range(1, 5), ("shard.synced", "shard.written")):
        try:
            failpoint(name)
        except OSError:
            seen.append((name, number))
    assert [("shard.synced", 2), *(("shard.written", number) for number in (2, 3, 4))] == sorted(seen)


@pytest.mark.parametrize("text", ["no.such:1", "shard.synced:x", "shard.synced:1:ENOTHING", "shard.synced:"])
def test_a_place_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A test that names it would prove nothing."""
    monkeypatch.setenv(failpoints.VARIABLE, text)
    with pytest.raises(ValueError, match=r"."):
        failpoint("shard.synced")


def test_each_name_is_there_once() -> None:
    assert len(failpoints.NAMES) == len(set(failpoints.NAMES))


def paused(out: Path, source: Path, ready: Nursery, server: ScriptedServer, code: int, **order: object) -> None:
    """A run that ends with `code`; the directory is sound; the same run then ends well, with the same bytes."""
    begun = len(server.calls)
    found = ready.run(source, out, server, **order)
    assert (code, ready.said) == (found, ready.said)
    if (out / "journal.db").exists():
        assert [] == fsck(out, source).violations
    order = {"changes": order["changes"]} if "changes" in order else {}
    if found:
        assert 0 == ready.run(source, out, server, **order), ready.said
    assert ROWS <= len(server.calls) - begun <= ROWS + 8
    assert [f"k{number}" for number in range(1, ROWS + 1)] == keys(out)


PLACES = [name for name in failpoints.OF_RUNS if not name.startswith(("replace", "next", "journal.close"))]


@pytest.mark.parametrize(("name", "code"), list(zip(PLACES, itertools.cycle(WORDS), strict=False)))
def test_a_disk_that_refuses_at_any_step_is_a_pause(
    tmp_path: Path, source: Path, ready: Nursery, server: ScriptedServer, name: str, code: str
) -> None:
    """Exit 4 and a message that tells the place and what to do; nothing is corrupt, and the run goes on after."""
    assert 0 == ready.run(source, tmp_path / "undisturbed", server)
    out = tmp_path / "out"
    paused(out, source, ready, server, 4, failpoint=f"{name}:1:{code}")
    assert parts(tmp_path / "undisturbed") == parts(out)


def test_the_message_names_the_place_and_what_to_do(
    tmp_path: Path, source: Path, ready: Nursery, server: ScriptedServer
) -> None:
    for code, words in WORDS.items():
        order = f"shard.written:1+:{code}"
        assert 4 == ready.run(source, tmp_path / code, server, failpoint=order)
        assert f"{tmp_path / code} cannot be written: {words}" in ready.said
        assert "then run again)" in ready.said


@pytest.mark.parametrize("name", failpoints.REPLACEMENT)
def test_a_disk_that_refuses_while_tables_take_their_place_is_a_pause(
    tmp_path: Path, source: Path, ready: Nursery, server: ScriptedServer, name: str
) -> None:
    """The next run ends what was begun."""
    out = tmp_path / "out"
    assert 0 == ready.run(source, out, server)
    paused(out, source, ready, server, 4, failpoint=f"{name}:1:EIO", changes=ANEW)
    assert {".lock", "journal.db", "manifest.json", "quarantine", "table"} == {path.name for path in out.iterdir()}


@pytest.mark.parametrize("name", ["journal.close.before", "journal.close.after"])
def test_a_journal_that_cannot_be_closed_has_all_its_answers(
    tmp_path: Path, source: Path, ready: Nursery, server: ScriptedServer, name: str
) -> None:
    """The run is done all the same."""
    paused(tmp_path / "out", source, ready, server, 0, failpoint=f"{name}:1:EIO")


def test_files_that_may_not_grow_are_a_pause(
    tmp_path: Path, source: Path, ready: Nursery, server: ScriptedServer
) -> None:
    """A real limit of the system, at each of several sizes: of the journal, its log, a table."""
    ended = set()
    for size in (1_000, 6_000, 25_000, 40_000, 70_000):
        out = tmp_path / str(size)
        code = ready.run(source, out, server, limits={"RLIMIT_FSIZE": size})
        assert code in (0, 4), ready.said
        ended.add(code)
        if (out / "journal.db").exists():
            assert [] == fsck(out, source).violations
        assert 0 == ready.run(source, out, server), ready.said
        assert [f"k{number}" for number in range(1, ROWS + 1)] == keys(out)
    assert 4 in ended


def test_a_disk_that_is_really_full_is_a_pause(
    tmp_path: Path, source: Path, ready: Nursery, server: ScriptedServer
) -> None:
    """A file system of 400 kB that another file fills, to the last byte or nearly; when that is gone the run goes on."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(small)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small tmpfs is not permitted here")
    try:
        for room in (0, 40_000, 90_000):
            out, ballast = small / f"out{room}", small / "ballast"
            free = os.statvfs(small)
            ballast.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - room)))
            assert 4 == ready.run(source, out, server), ready.said
            assert "No space left" in ready.said
            if (out / "journal.db").exists():
                assert [] == fsck(out, source).violations
            ballast.unlink()
            assert 0 == ready.run(source, out, server), ready.said
            assert [f"k{number}" for number in range(1, ROWS + 1)] == keys(out)
            subprocess.run(["rm", "-r", str(out)], check=True)
    finally:
        subprocess.run(["umount", str(small)], check=True)
