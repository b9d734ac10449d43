"""A journal that stands elsewhere, and is shared by runs in several directories and processes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import extract
from extract import Limits, RunDirectoryError, failpoints
from extract.errors import ErrorClass
from extract.fsck import fsck
from extract.journal import FORMAT, Instead, Journal
from extract.sinks import read_manifest
from extract.testing import Call, Reply, ScriptedServer, completion
from tests.children import nursery
from tests.commands import said
from tests.support import answer, failure, item, parts, pipeline, rows_csv


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shared" / "answers.db"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(item) as running:
        yield running


def run(server: ScriptedServer, source: Any, out: Path, journal: Path | None, **changes: Any) -> extract.Result:
    return extract.run(pipeline(**changes), source, out=out, endpoint=server.endpoint(), journal=journal)


def manifest_of(out: Path) -> dict[str, Any]:
    found = read_manifest(out)
    assert found is not None
    return found


def totals(path: Path, names: str) -> tuple[Any, ...]:
    """Of all calls, whoever made them."""
    with sqlite3.connect(path) as connection:
        [found] = connection.execute(f"SELECT {names} FROM totals").fetchall()
    connection.close()
    return tuple(found)


# Runs one after the other


def test_a_second_directory_asks_only_what_the_first_has_not(
    tmp_path: Path, path: Path, server: ScriptedServer
) -> None:
    """Another directory and another pipeline, whose requests are the same; both directories are sound."""
    run(server, rows_csv(tmp_path / "a.csv", 6), tmp_path / "a", path)
    longer = rows_csv(tmp_path / "b.csv", 8)
    result = run(server, longer, tmp_path / "b", path, name="other", columns=["text"])
    assert [8, 8, 2] == [result.report.ok, len(server.calls), result.report.requests]
    for name in "ab":
        assert [] == fsck(tmp_path / name, tmp_path / f"{name}.csv").violations
        assert not (tmp_path / name / "journal.db").exists()
        assert str(path) == manifest_of(tmp_path / name)["journal"]


def test_a_manifest_counts_what_its_own_directory_has_asked(tmp_path: Path, path: Path, server: ScriptedServer) -> None:
    """Over all runs there; together they are what the journal counts."""
    prices = {"model": extract.Model(input_usd_per_million=1000, output_usd_per_million=1000)}
    run(server, rows_csv(tmp_path / "a.csv", 6), tmp_path / "a", path, **prices)
    run(server, rows_csv(tmp_path / "b.csv", 8), tmp_path / "b", path, **prices)
    run(server, rows_csv(tmp_path / "a.csv", 9), tmp_path / "a", path, **prices)
    told = {name: manifest_of(tmp_path / name) for name in "ab"}
    assert {"a": 7, "b": 2} == {name: found["requests"] for name, found in told.items()}
    assert {"a": 7, "b": 2} == {name: found["answered"] for name, found in told.items()}
    assert [70, 10] == [told["a"]["tokens"]["input"], told["b"]["tokens"]["output"]]
    assert [pytest.approx(0.105), pytest.approx(0.03)] == [told[name]["cost_usd"] for name in "ab"]
    assert (9, 9) == totals(path, "requests, answers")


def test_a_directory_keeps_to_its_journal(tmp_path: Path, path: Path, server: ScriptedServer) -> None:
    """The next run finds it without being told; another one is refused, and so is a lost one."""
    source = rows_csv(tmp_path / "a.csv", 3)
    run(server, source, tmp_path / "a", path)
    assert 5 == run(server, rows_csv(source, 5), tmp_path / "a", None).report.ok
    assert [5, False] == [len(server.calls), (tmp_path / "a/journal.db").exists()]
    with pytest.raises(RunDirectoryError, match=r"rest on the journal .*answers\.db"):
        run(server, source, tmp_path / "a", tmp_path / "other.db")
    path.rename(tmp_path / "moved.db")
    with pytest.raises(RunDirectoryError, match=r"answers.db is not there, and the tables .* rest on it .*--journal"):
        run(server, source, tmp_path / "a", None)
    assert [5, 0] == [r := run(server, source, tmp_path / "a", tmp_path / "moved.db").report.ok, len(server.calls) - r]
    assert not (tmp_path / "other.db").exists()


def test_a_directory_with_a_journal_of_its_own_takes_no_other(
    tmp_path: Path, path: Path, server: ScriptedServer
) -> None:
    """Its answers would be asked again. Moved elsewhere it can be shared, and its owner keeps its totals."""
    source = rows_csv(tmp_path / "a.csv", 3)
    run(server, source, tmp_path / "a", None)
    with pytest.raises(RunDirectoryError, match=r"rest on the journal .*a/journal\.db"):
        run(server, source, tmp_path / "a", path)
    path.parent.mkdir()
    (tmp_path / "a/journal.db").rename(path)
    run(server, rows_csv(source, 5), tmp_path / "b", path)
    run(server, rows_csv(source, 6), tmp_path / "a", path)
    assert [4, 2] == [manifest_of(tmp_path / name)["requests"] for name in "ab"]
    assert 6 == len(server.calls)
    assert [] == fsck(tmp_path / "a", source).violations


def test_the_journal_of_another_run_may_be_used(tmp_path: Path, server: ScriptedServer) -> None:
    """What others book on it is not its owner's."""
    source = rows_csv(tmp_path / "a.csv", 3)
    run(server, source, tmp_path / "a", None)
    run(server, rows_csv(source, 5), tmp_path / "b", tmp_path / "a/journal.db")
    run(server, rows_csv(source, 7), tmp_path / "a", None)
    assert [5, 2] == [manifest_of(tmp_path / name)["requests"] for name in "ab"]
    assert [] == fsck(tmp_path / "a").violations + fsck(tmp_path / "b").violations


def test_a_redrive_concerns_its_own_directory_alone(tmp_path: Path, path: Path) -> None:
    """The tables of others rest on the old answers, and are derived from these again."""
    bad = {2}

    def mood(call: Call) -> Any:
        return "no JSON" if item(call)["number"] in bad else item(call)

    source = rows_csv(tmp_path / "a.csv", 4)
    with ScriptedServer(mood) as server:
        for name in "ab":
            run(server, source, tmp_path / name, path)
        before = parts(tmp_path / "b")
        bad.clear()
        result = extract.redrive(tmp_path / "a", pipeline(), source, endpoint=server.endpoint())
        assert [4, 5] == [result.report.ok, len(server.calls)]
        for name in "ab":
            (tmp_path / name / "manifest.json").unlink()
            run(server, source, tmp_path / name, path)
        assert 5 == len(server.calls)
        assert before == parts(tmp_path / "b")
        assert [4, 3] == [manifest_of(tmp_path / name)["counts"]["ok"] for name in "ab"]
        assert [5, 0] == [manifest_of(tmp_path / name)["requests"] for name in "ab"]


def test_tables_without_a_manifest_are_made_anew_when_the_journal_is_named(
    tmp_path: Path, path: Path, server: ScriptedServer
) -> None:
    """Without its name nothing is asked again: the folder is refused."""
    source = rows_csv(tmp_path / "a.csv", 3)
    run(server, source, tmp_path / "a", path)
    before = parts(tmp_path / "a")
    (tmp_path / "a/manifest.json").unlink()
    with pytest.raises(RunDirectoryError, match="is no run directory"):
        run(server, source, tmp_path / "a", None)
    run(server, source, tmp_path / "a", path)
    assert before == parts(tmp_path / "a")
    (tmp_path / "a/manifest.json").unlink()
    (tmp_path / "a/table/notes.txt").write_text("somebody's own")
    with pytest.raises(RunDirectoryError, match="is no run directory"):
        run(server, source, tmp_path / "a", path)
    assert 3 == len(server.calls)


# Files that are not what they should be


def test_only_the_owner_may_read_it(tmp_path: Path, path: Path, server: ScriptedServer) -> None:
    before = os.umask(0)
    try:
        run(server, rows_csv(tmp_path / "a.csv", 1), tmp_path / "a", path)
        with Journal(path, "x", shared=True) as journal:
            asyncio.run(journal.flush())
            assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["answers.db", "answers.db-wal", "answers.db-shm"])
def test_a_symbolic_link_is_refused(tmp_path: Path, path: Path, server: ScriptedServer, name: str) -> None:
    """What it leads to would be overwritten."""
    path.parent.mkdir()
    (tmp_path / "precious").write_bytes(b"")
    path.with_name(name).symlink_to(tmp_path / "precious")
    with pytest.raises(RunDirectoryError, match=f"{name} is a symbolic link"):
        run(server, rows_csv(tmp_path / "a.csv", 1), tmp_path / "a", path)
    assert [b"", 0] == [(tmp_path / "precious").read_bytes(), len(server.calls)]


def test_a_place_that_is_no_file_is_refused(tmp_path: Path, server: ScriptedServer) -> None:
    for place in (tmp_path, Path("/dev/null")):
        with pytest.raises(RunDirectoryError, match="it is no file"):
            run(server, rows_csv(tmp_path / "a.csv", 1), tmp_path / "a", place)
    (tmp_path / "taken").write_text("")
    with pytest.raises(RunDirectoryError, match="taken cannot hold a journal"):
        run(server, rows_csv(tmp_path / "a.csv", 1), tmp_path / "a", tmp_path / "taken/answers.db")
    assert [] == server.calls


def test_files_of_others_and_of_newer_versions_are_refused(tmp_path: Path, path: Path, server: ScriptedServer) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    before, source = path.read_bytes(), rows_csv(tmp_path / "a.csv", 1)
    with pytest.raises(RunDirectoryError, match="a database of another program"):
        run(server, source, tmp_path / "a", path)
    assert before == path.read_bytes()
    path.unlink()
    run(server, source, tmp_path / "b", path)
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {FORMAT + 1}")
    other.close()
    with pytest.raises(RunDirectoryError, match="upgrade"):
        run(server, source, tmp_path / "a", path)


def test_a_run_that_died_with_half_a_manifest_is_taken_up(tmp_path: Path, path: Path, server: ScriptedServer) -> None:
    """Nothing else in the folder says yet that it is one of ours."""
    source = rows_csv(tmp_path / "a.csv", 4)
    with nursery(tmp_path) as ready:
        options = {"journal": str(path)}
        for place in ("manifest.write.before", "manifest.written", "manifest.synced", "shard.renamed"):
            out = tmp_path / place
            code = ready.run(source, out, server, failpoint=f"{place}:1", options=options)
            assert failpoints.EXIT == code, ready.said
            assert 0 == ready.run(source, out, server, options=options), ready.said
            assert [] == fsck(out, source).violations
    assert 4 == len(server.calls)


# Two at once


def test_the_first_answer_stands(path: Path) -> None:
    """Both calls are on the account; whoever comes second is given the first answer."""
    path.parent.mkdir()

    async def scene() -> None:
        with Journal(path, "one", shared=True) as one, Journal(path, "two", shared=True) as two:
            await one.store("a", answer())
            stored = await two.store("a", answer("other", tokens=(7, 7)))
            assert answer().raw == stored.body
            later = await two.store_refusal("a", failure(ErrorClass.REQUEST, status=400, body=b"no"))
            assert ["completion", one.lookup("a")] == [later.kind, two.lookup("a")]
            assert [1, 2] == [journal.totals().requests for journal in (one, two)]
            assert [1, 0] == [journal.totals().answers for journal in (one, two)]
            assert [10, 7] == [journal.totals().usage.input_tokens for journal in (one, two)]

    asyncio.run(scene())


def test_what_another_stored_is_found_at_once(path: Path) -> None:
    """Also where the journal was empty when it was opened, and by its owner after the next commit."""
    path.parent.mkdir()

    async def scene() -> None:
        with Journal(path, "owner") as owner, Journal(path, "other", shared=True) as other:
            await owner.flush()
            await other.store("a", answer())
            with Journal(path, "third", shared=True) as third:
                await third.store("b", answer())
                assert None not in (third.lookup("a"), other.lookup("b"))
            await owner.flush()
            assert None not in (owner.lookup("a"), owner.lookup("b"))
            assert [0, 1] == [owner.totals().requests, other.totals().requests]

    asyncio.run(scene())


def test_only_refusals_of_its_own_are_dropped(path: Path) -> None:
    """Others may have tables that rest on the rest."""
    path.parent.mkdir()
    refusal = failure(ErrorClass.REQUEST, status=400, body=b"no")

    async def scene() -> None:
        with Journal(path, "one", shared=True) as one, Journal(path, "two", shared=True) as two:
            await one.store_refusal("a", refusal)
            await two.store_refusal("b", refusal)
            await one.forget(["a", "b"])
            assert [True, False] == [one.lookup(name) is None for name in "ab"]
            assert [(1, 0), (1, 1)] == [(each.totals().requests, each.totals().answers) for each in (one, two)]

    asyncio.run(scene())


def test_what_answers_instead_is_a_directory_s_own(path: Path) -> None:
    """And is left aside when it is damaged, or answers nothing."""
    path.parent.mkdir()

    async def scene() -> None:
        with Journal(path, "one", shared=True) as one, Journal(path, "two", shared=True) as two:
            await one.store("a", answer())
            await one.store("b", answer("other"))
            await one.store_instead({"a": Instead("b", 1, "m"), "x": Instead("gone", 1)})
            assert ["b", "a"] == [one.answered_by("a"), two.answered_by("a")]
            found = one.lookup("a")
            assert found is not None
            assert [2, "m"] == [found.attempts, found.instead and found.instead.model]
            assert [None, None] == [one.lookup("x"), getattr(two.lookup("a"), "instead", "none")]
        with sqlite3.connect(path) as other:
            other.execute("UPDATE notes SET body = ? WHERE request = 'a@one'", (b'{"request": "zz"}',))
        other.close()
        with Journal(path, "one", shared=True) as one:
            assert ["a", None] == [one.answered_by("a"), getattr(one.lookup("a"), "instead", "none")]

    asyncio.run(scene())


_WRITER = """
import asyncio, sys
from pathlib import Path
from extract.journal import Journal
from tests.support import answer, failure

async def store(path, account, names):
    with Journal(path, account, shared=True) as journal:
        async def one(name):
            journal.note_failure(name, failure())
            await journal.store(name, answer())
        for first in range(0, len(names), 5):
            await asyncio.gather(*map(one, names[first : first + 5]))

sys.stdin.readline()
asyncio.run(store(Path(sys.argv[1]), sys.argv[2], sys.argv[3].split()))
"""


def test_two_processes_write_at_once_and_nothing_is_lost(path: Path) -> None:
    """Each commits again and again; half of the requests are those of the other. None is told that it is locked."""
    path.parent.mkdir()
    names = {"one": range(300), "two": range(150, 450)}
    children = {
        account: subprocess.Popen(
            [sys.executable, "-c", _WRITER, path, account, " ".join(f"r{n}" for n in numbers)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        for account, numbers in names.items()
    }
    for process in children.values():
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    assert {"one": (0, ""), "two": (0, "")} == {
        account: (process.wait(60), process.communicate()[1]) for account, process in children.items()
    }
    with Journal(path, "one", shared=True) as one, Journal(path, "two", shared=True) as two:
        assert None not in [one.lookup(f"r{n}") for n in range(450)]
        assert [600, 600] == [each.totals().requests for each in (one, two)]
        assert 450 == one.totals().answers + two.totals().answers
        assert 750 == one.totals().retries + two.totals().retries
    assert (1200, 450, 750) == totals(path, "requests, answers, retries")


def test_a_writer_waits_for_its_turn(path: Path) -> None:
    """However long another holds the file, within reason."""
    path.parent.mkdir()
    with Journal(path, "one", shared=True):
        pass
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(1.0, other.execute, ("COMMIT",))
    release.start()
    begun = time.monotonic()

    async def scene() -> None:
        with Journal(path, "one", shared=True) as journal:
            await journal.store("a", answer())
            assert journal.lookup("a") is not None

    asyncio.run(scene())
    assert 0.9 < time.monotonic() - begun
    release.join()
    other.close()


def test_two_runs_that_ask_the_same_at_once_have_the_same_rows(tmp_path: Path, path: Path) -> None:
    """Both calls are paid, and each is on its own directory's account; the answer that came first is in both tables."""

    def each_time_another(call: Call) -> Reply:
        return Reply(completion({"name": f"answer {call.number}", "number": 1}), delay=1.5)

    source = rows_csv(tmp_path / "a.csv", 1)
    with ScriptedServer(each_time_another) as server:
        results: dict[str, extract.Result] = {}
        work = [
            threading.Thread(target=lambda n=name: results.update({n: run(server, source, tmp_path / n, path)}))  # type: ignore[misc]
            for name in "ab"
        ]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join(30)
        assert 2 == len(server.calls)
        assert results["a"].table["name"].to_pylist() == results["b"].table["name"].to_pylist()
        assert [1, 1] == [manifest_of(tmp_path / name)["requests"] for name in "ab"]
        assert [1, 1] == [results[name].report.requests for name in "ab"]
        before = parts(tmp_path / "a") | parts(tmp_path / "b")
        for name in "ab":
            (tmp_path / name / "manifest.json").unlink()
            run(server, source, tmp_path / name, path)
        assert before == parts(tmp_path / "a") | parts(tmp_path / "b")
        assert 2 == len(server.calls)


def test_what_another_run_was_answered_meanwhile_is_not_asked(tmp_path: Path, path: Path) -> None:
    """A request that waits for its turn is looked up once more before it is sent."""
    source = rows_csv(tmp_path / "a.csv", 10)
    with ScriptedServer(lambda call: Reply(completion(item(call)), delay=2.0 if call.number == 1 else 0)) as server:
        slow = threading.Thread(
            target=run, args=(server, source, tmp_path / "slow", path), kwargs={"limits": Limits(concurrency=1)}
        )
        slow.start()
        while not server.calls:
            time.sleep(0.01)
        assert 10 == run(server, source, tmp_path / "fast", path).report.ok
        assert 11 == len(server.calls)
        assert slow.is_alive()
        slow.join(30)
        assert 11 == len(server.calls)
        assert parts(tmp_path / "fast") == parts(tmp_path / "slow")
        assert [1, 10] == [manifest_of(tmp_path / name)["requests"] for name in ("slow", "fast")]


def test_two_processes_share_a_journal_while_one_is_killed(tmp_path: Path, path: Path) -> None:
    """The other ends undisturbed, and the first goes on; both directories are sound, and little is paid twice."""
    source = rows_csv(tmp_path / "a.csv", 60)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with (
        ScriptedServer(lambda call: Reply(completion(item(call)), delay=0.25)) as server,
        nursery(folders[0]) as one,
        nursery(folders[1]) as two,
    ):
        options = {"journal": str(path)}
        pid = one.start(source, tmp_path / "a", server, options=options)
        two.start(source, tmp_path / "b", server, options=options)
        while len(server.calls) < 20:
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        assert -signal.SIGKILL == one.end(), one.said
        assert 0 == two.end(), two.said
        asked = len(server.calls)
        assert 0 == one.run(source, tmp_path / "a", server, options=options), one.said
        assert asked == len(server.calls)
    assert parts(tmp_path / "a") == parts(tmp_path / "b")
    for name in "ab":
        assert [] == fsck(tmp_path / name, source).violations


# From the command line

PIPELINE = """
from extract import Limits, Pipeline, Retry
from pydantic import BaseModel

class Item(BaseModel):
    name: str
    number: int

pipeline = Pipeline(name="items", schema=Item, prompt="{{ text }}", source="items.csv")
other = Pipeline(name="items", schema=Item, prompt="the {{ text }}", source="items.csv")
"""


@pytest.fixture
def project(tmp_path: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows_csv(tmp_path / "items.csv", 4)
    (tmp_path / "things.py").write_text(PIPELINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXTRACT_BASE_URL", server.base_url)
    return tmp_path


def test_the_command_line_names_it(project: Path, server: ScriptedServer) -> None:
    for name in ("one", "two"):
        assert 0 == said("run", "things.py", "--out", name, "--journal", "answers.db", "--quiet")[0]
    assert 4 == len(server.calls)
    assert str(project / "answers.db") == json.loads((project / "two/manifest.json").read_text())["journal"]
    assert 0 == said("fsck", "two")[0]
    code, text = said("run", "things.py", "--out", "three", "--journal", "answers.db", "--dry-run", "--json")
    assert [0, 0, 4] == [code, json.loads(text)["requests"], json.loads(text)["answered"]]
    shutil.copyfile("answers.db", "copy.db")
    Path("answers.db").unlink()
    assert "answers.db is not there" in said("run", "things.py", "--out", "one", "--yes")[1]
    code, text = said("fsck", "one")
    assert [3, True] == [code, "what was paid would be asked again" in text]


def test_consent_is_not_wanted_for_what_another_run_has_paid(project: Path, server: ScriptedServer) -> None:
    """A changed prompt whose answers are in the shared journal asks for nothing; else the plan is shown first."""
    words = ("--journal", "answers.db", "--quiet")
    assert 0 == said("run", "things.py", "--out", "one", *words)[0]
    assert 0 == said("run", "things.py", "--out", "two", *words)[0]
    code, text = said("run", "things.py:other", "--out", "two", *words)
    assert (2, True) == (code, text.startswith("nothing was asked"))
    assert 0 == said("run", "things.py:other", "--out", "three", *words)[0]
    asked = len(server.calls)
    assert 0 == said("run", "things.py:other", "--out", "two", "--quiet")[0]
    assert [8, 8] == [asked, len(server.calls)]
