"""Runs that are killed or interrupted: nothing is paid twice, nothing is lost, and the bytes are the same in the end."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from extract import failpoints
from extract.testing import Call, Reply, ScriptedServer, completion
from tests import children
from tests.children import go, nursery, to_the_end, wait_for
from tests.crash import INSTANTS, _instants, campaign, tree
from tests.support import item, parts, rows_csv

KILLS = 10
CONCURRENCY = 8


def child(source: Path, out: Path, server: ScriptedServer) -> subprocess.Popen[str]:
    return children.child("tests.support.pipeline", source, out, server)


def answer(call: Call) -> Reply:
    """Each seventh record never parses, so that both tables fill."""
    number = int(call.prompt.split()[-1])
    return Reply(completion("no JSON" if number % 7 == 0 else item(call)), delay=0.03)


def keys(out: Path) -> list[str]:
    found = [pq.read_table(part)["id"].to_pylist() for part in sorted((out / "table").glob("*.parquet"))]
    found += [pq.read_table(part)["key"].to_pylist() for part in sorted((out / "quarantine").glob("*.parquet"))]
    return sorted((key for part in found for key in part), key=lambda key: int(key[1:]))


def test_a_run_that_is_killed_ten_times_ends_like_one_that_is_not(tmp_path: Path) -> None:
    """Every row once, the same bytes, and no more calls than rows + kills times concurrency."""
    source, out = rows_csv(tmp_path / "items.csv", 60), tmp_path / "out"
    with nursery(tmp_path) as ready:
        with ScriptedServer(answer) as server:
            assert 0 == ready.run(source, tmp_path / "undisturbed", server), ready.said
            assert 60 == len(server.calls)
        with ScriptedServer(answer) as server:
            assert 3 <= ready.kill_at_random(source, out, server, KILLS, seed=2)
            assert len(server.calls) <= 60 + KILLS * CONCURRENCY
    assert [f"k{n}" for n in range(1, 61)] == keys(out)
    assert parts(tmp_path / "undisturbed") == parts(out)
    assert 18 == len(parts(out))


def test_an_interrupt_finishes_the_calls_in_flight_and_the_next_run_asks_the_rest(tmp_path: Path) -> None:
    """Ctrl-C: exit with RunStopped; every answer that came is in the journal."""
    source, out = rows_csv(tmp_path / "items.csv", 60), tmp_path / "out"
    with ScriptedServer(lambda call: Reply(completion(item(call)), delay=0.2)) as server:
        process = child(source, out, server)
        go(process)
        wait_for(lambda: len(server.calls) >= 10, process)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
        assert (4, "interrupted\n") == (process.returncode, said)
        asked = len(server.calls)
        assert 10 <= asked <= 24
        connection = sqlite3.connect(out / "journal.db")
        assert [(asked,)] == connection.execute("SELECT count(*) FROM answers").fetchall()
        connection.close()
        assert 0 == to_the_end(child(source, out, server))
        assert 60 == len(server.calls)
    assert 60 == len(keys(out))


def test_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    source, out = rows_csv(tmp_path / "items.csv", 20), tmp_path / "out"
    with ScriptedServer(lambda call: Reply(completion(item(call)), delay=60)) as server:
        process = child(source, out, server)
        go(process)
        wait_for(lambda: len(server.calls) >= 8, process)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert process.returncode not in (0, 4)


def test_a_run_may_end_at_every_durable_step(tmp_path: Path) -> None:
    """Dead before and after each of them, the first time it is passed: `extract fsck` finds nothing wrong and changes
    nothing, no stored answer is asked again, every row is there once, and the bytes are those of an undisturbed run."""
    with campaign(tmp_path) as running:
        running.at(failpoints.OF_RUNS, (1,), both=False)
        assert [] == running.faults
        assert set(failpoints.OF_RUNS) == running.died


def test_a_run_may_end_again_and_again_where_it_is_taken_up(tmp_path: Path) -> None:
    """Six deaths in a row, each in the resume of the one before; later passages; kills -9 at random instants."""
    with campaign(tmp_path) as running:
        running.at(["journal.commit.before", "shard.renamed", "manifest.synced"], (2, 3), both=False)
        names = ("journal.tables.before", "journal.commit.after", "shard.synced", "shelf.shard.after")
        running.in_a_row([*names, "manifest.written", "journal.close.before"])
        running.at_random(30, 6, seed=3)
        assert [] == running.faults
        assert 20 <= running.kills
        assert 3 <= running.while_working


def test_the_campaign_says_how_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m tests.crash --help` explains its argument; a word that is no number is refused, not a traceback."""
    assert [INSTANTS, 12] == [_instants([]), _instants(["12"])]
    for words, code in ((["--help"], 0), (["many"], 2)):
        with pytest.raises(SystemExit) as ended:
            _instants(words)
        assert code == ended.value.code
    said = capsys.readouterr()
    assert "instants" in said.out
    assert "invalid int value: 'many'" in said.err


def test_a_second_run_in_a_directory_ends_at_once_and_changes_nothing(tmp_path: Path) -> None:
    """Exit 2 within a second, no call, not a byte; when the first is dead the next takes over and pays for no more than
    what was in flight."""
    source, out, may_answer = rows_csv(tmp_path / "items.csv", 20), tmp_path / "out", threading.Event()

    def held(call: Call) -> Reply:
        may_answer.wait(20)
        return Reply(completion(item(call)))

    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with ScriptedServer(held) as server, nursery(tmp_path / "one") as one, nursery(tmp_path / "two") as two:
        owner = one.start(source, out, server)
        deadline = time.monotonic() + 20
        while not server.calls:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        before, asked, seconds = tree(out), len(server.calls), []
        for _ in range(3):  # others may be at work on this machine
            begun = time.monotonic()
            assert 2 == two.run(source, out, server)
            seconds.append(time.monotonic() - begun)
        assert 1 > min(seconds)
        assert f"{out} is in use by process {owner}" in two.said
        assert before == tree(out)
        os.kill(owner, signal.SIGKILL)
        assert -signal.SIGKILL == one.end()
        may_answer.set()
        assert asked <= 8
        assert 0 == two.run(source, out, server), two.said
        assert 20 <= len(server.calls) <= 28
    assert 20 == len(keys(out))
