"""Runs that are killed or interrupted: nothing is paid twice, nothing is lost, and the bytes are the same in the end."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from extract.testing import Call, Reply, ScriptedServer, completion
from tests.support import item, parts, rows_csv

ROOT = Path(__file__).parents[1]
KILLS = 10
CONCURRENCY = 8

# the child waits with everything imported until it is told to go, so that its start takes no time of the test
CHILD = """
import sys
import extract
from extract import Endpoint, Limits
from tests.support import pipeline

source, out, url = sys.argv[1:]
sys.stdin.readline()
try:
    extract.run(
        pipeline(shard_rows=7, limits=Limits(concurrency=8)), source, out=out, endpoint=Endpoint(base_url=url),
    )
except extract.RunStopped as error:
    print(error)
    sys.exit(4)
"""


def child(source: Path, out: Path, server: ScriptedServer) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, source, out, server.base_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)


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
    moments = random.Random(2)
    source = rows_csv(tmp_path / "items.csv", 60)
    with ScriptedServer(answer) as server:
        undisturbed = child(source, tmp_path / "undisturbed", server)
        undisturbed.communicate("go\n", timeout=60)
        assert 60 == len(server.calls)
    with ScriptedServer(answer) as server:
        out = tmp_path / "out"
        waiting = [child(source, out, server) for _ in range(2)]
        while_running = 0
        for _ in range(KILLS):
            process = waiting.pop(0)
            waiting.append(child(source, out, server))
            asked = len(server.calls)
            go(process)
            wait_for(lambda asked=asked: len(server.calls) > asked, process)  # type: ignore[misc]
            time.sleep(moments.uniform(0, 0.045))
            while_running += process.poll() is None
            process.kill()
            process.communicate()
        last, spare = waiting
        last.communicate("go\n", timeout=60)
        spare.kill()
        spare.communicate()
        assert 0 == last.returncode
        assert 3 <= while_running
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
        again = child(source, out, server)
        again.communicate("go\n", timeout=60)
        assert (0, 60) == (again.returncode, len(server.calls))
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
