"""What a run takes does not grow with the file: memory, and how late its loop is. The million rows are in benchmarks."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.growth import MOST_LAG
from benchmarks.long import measured
from benchmarks.server import ledger_of, running
from benchmarks.task import write_source
from extract import Endpoint, Limits, RunStopped, arun, run
from extract.client.pool import Deadlines
from extract.journal import Journal
from extract.records import Outcome
from extract.report import Tally
from extract.shelf import SLICE
from extract.sinks import ShardWriter
from extract.sources import open_source
from extract.testing import Reply, ScriptedServer, completion
from tests.support import answer, item, pipeline, rows_csv

_PEAK = """
import sys
from benchmarks.child import peak_rss
from extract.sources import open_source
open_source(sys.argv[2], key="id").scan()
before = peak_rss()
print(open_source(sys.argv[1], key="id").scan().count)
print(int(peak_rss() - before) // 1_000_000)
"""


def test_the_look_over_all_records_keeps_eight_bytes_of_each() -> None:
    """And as many once more while it looks for equal keys."""
    rows = 20_000
    source = open_source(pa.table({"id": [f"k{number}" for number in range(rows)]}), key="id")
    source.scan()  # what is loaded late is loaded
    tracemalloc.start()
    try:
        assert rows == source.scan().count
        assert 300_000 + 16 * rows > tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_parquet_file_of_one_row_group_is_not_loaded_whole(tmp_path: Path) -> None:
    """As most programs write it: 50 MB that are not packed."""
    rows = 25_000
    texts = [f"{number:06d}" + "x" * 2000 for number in range(rows)]
    large, small = tmp_path / "large.parquet", tmp_path / "small.parquet"
    for file, count in ((large, rows), (small, 2000)):
        table = pa.table({"id": range(count), "text": texts[:count]})
        pq.write_table(table, file, compression="none", use_dictionary=False)
    assert 1 == pq.read_metadata(large).num_row_groups
    command = [sys.executable, "-c", _PEAK, large, small]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    count, grown = map(int, done.stdout.split())
    assert rows == count
    assert 20 > grown


def test_outcomes_are_held_as_python_objects_only_while_they_are_at_work(tmp_path: Path) -> None:
    """Those of a shard that grows are Arrow, but for the last few."""
    most = 0

    def look(tally: Tally) -> None:
        nonlocal most
        if tally.done % 150 == 0:
            most = max(most, sum(type(each) is Outcome for each in gc.get_objects()))

    with ScriptedServer(lambda call: Reply(completion(item(call)))) as server:
        own = pipeline(shard_rows=5000, limits=Limits(concurrency=8))
        source = rows_csv(tmp_path / "a.csv", 1200)
        found = run(own, source, out=tmp_path / "out", endpoint=Endpoint(base_url=server.base_url), on_progress=look)
    assert 1200 == found.report.ok
    at_work = 8 * 2 + 64
    assert 0 < most <= at_work + SLICE


def test_a_long_run_asks_once_and_its_loop_is_never_held_up_for_long(tmp_path: Path) -> None:
    """The whole benchmark of long runs, small: answered, found done, resumed, derived anew; by the loop's own work."""
    rows = 3000
    with running() as address:
        write_source(tmp_path / "source.csv", rows)
        found = measured(address, tmp_path / "source.csv", rows, 256, replay=True)
        assert rows == ledger_of(address)["served"]
    assert [0, 0, 0] == [found[f"{name}_requests"] for name in ("again", "resume", "replay")]
    assert found["lag_own_p99_ms"] < MOST_LAG
    assert found["replay_lag_own_p99_ms"] < MOST_LAG


def test_calls_that_are_over_leave_no_room_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their deadlines are minutes away: what stands until then must not be as large as all that was called."""
    rooms: list[int] = []
    made: list[Deadlines] = []
    group = Deadlines.group

    def noted(deadlines: Deadlines, loop: asyncio.AbstractEventLoop, due: float) -> Any:
        made[:] = [deadlines]
        return group(deadlines, loop, due)

    def look(tally: Tally) -> None:
        if tally.done == 900:
            rooms.extend(sys.getsizeof(calls) for calls in made[0]._groups.values() if not calls)

    monkeypatch.setattr(Deadlines, "group", noted)
    with ScriptedServer(lambda call: Reply(completion(item(call)))) as server:
        own = pipeline(limits=Limits(concurrency=64, timeout=600))
        source = rows_csv(tmp_path / "a.csv", 1000)
        run(own, source, out=tmp_path / "out", endpoint=Endpoint(base_url=server.base_url), on_progress=look)
    assert rooms
    assert {sys.getsizeof(set())} == set(rooms)


def test_answers_that_come_together_are_stored_with_few_statements(tmp_path: Path) -> None:
    """After each statement the writer waits for the busy loop: with one for each answer that would be seconds."""
    statements: list[str] = []

    async def scene() -> None:
        with Journal(tmp_path / "journal.db") as journal:
            await journal.store("first", answer())
            journal._writer.connection.set_trace_callback(statements.append)
            await asyncio.gather(*(journal.store(f"r{number}", answer()) for number in range(250)))
            assert all(journal.lookup(f"r{number}") for number in range(250))

    asyncio.run(scene())
    assert 100 > len(statements)


class Writing:
    """Shards that take until they are let go; which have been begun, and which are written."""

    def __init__(self, patch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.begun: list[int] = []
        self.written: list[int] = []
        self.go = threading.Event()
        write = ShardWriter.write

        def slow(writer: ShardWriter, number: int, slices: Any) -> tuple[int, ...]:
            self.begun.append(number)
            assert self.go.wait(30)
            if error is not None:
                raise error
            found = write(writer, number, slices)
            self.written.append(number)
            return found

        patch.setattr(ShardWriter, "write", slow)


def test_a_shard_is_written_beside_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls go on while it is, up to the end of the next shard and what is at work."""
    writing = Writing(monkeypatch)
    with ScriptedServer(lambda call: Reply(completion(item(call)))) as server:

        async def scene() -> int:
            own = pipeline(shard_rows=100, limits=Limits(concurrency=4))
            source = rows_csv(tmp_path / "a.csv", 1000)
            task = asyncio.create_task(
                arun(own, source, out=tmp_path / "out", endpoint=Endpoint(base_url=server.base_url))
            )
            calls = -1
            while calls < len(server.calls) or not writing.begun:
                calls = len(server.calls)
                await asyncio.sleep(0.3)
            assert [0] == writing.begun
            writing.go.set()
            assert 1000 == (await task).report.ok
            return calls

        calls = asyncio.run(scene())
    assert 200 <= calls <= 200 + 4 * 2 + 64
    assert list(range(10)) == writing.written


def test_a_shard_that_cannot_be_written_is_heard_of_before_the_next_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = Writing(monkeypatch, OSError(28, "No space left on device"))
    writing.go.set()
    with ScriptedServer(lambda call: Reply(completion(item(call)), delay=0.005)) as server:
        own = pipeline(shard_rows=100, limits=Limits(concurrency=2))
        source = rows_csv(tmp_path / "a.csv", 1000)
        with pytest.raises(RunStopped, match="No space left"):
            run(own, source, out=tmp_path / "out", endpoint=Endpoint(base_url=server.base_url))
        assert 100 <= len(server.calls) < 200


def test_nothing_is_written_once_a_cancelled_run_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its directory is free for the next one."""
    writing = Writing(monkeypatch)
    with ScriptedServer(lambda call: Reply(completion(item(call)))) as server:

        async def scene() -> None:
            own = pipeline(shard_rows=100)
            source = rows_csv(tmp_path / "a.csv", 1000)
            task = asyncio.create_task(
                arun(own, source, out=tmp_path / "out", endpoint=Endpoint(base_url=server.base_url))
            )
            while not writing.begun:
                await asyncio.sleep(0.05)
            task.cancel()
            asyncio.get_running_loop().call_later(0.3, writing.go.set)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert [0] == writing.written

        asyncio.run(scene())
