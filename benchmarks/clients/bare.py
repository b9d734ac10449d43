"""The bare client: aiohttp on uvloop doing the least work that the job needs, and nothing for what may go wrong.

Bodies spliced from constant halves, compiled validators, a journal in SQLite (WAL, FULL) committed in groups under the
hash of the request, Parquet in input order. One try a record.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import uvloop
from pydantic_core import from_json, to_json

from benchmarks.tables import Checked, Shards, records_of
from benchmarks.task import KEY, MAX_TOKENS, MODEL, SYSTEM, Invoice, Job, user_prompt
from extract.schema import compile_schema

aiohttp: Any = import_module("aiohttp")  # installed for the benchmarks alone

GROUP = 64  # answers in one commit, as ours
WINDOW = 0.005  # seconds that a group waits, as ours
_MARK = "\x00here\x00"


def run(job: Job) -> None:
    """One run."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(job))


def body_halves() -> tuple[bytes, bytes]:
    """What stands before and after a record's text in the body of its request."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user_prompt(_MARK)}]
    settings = {"temperature": 0, "max_tokens": MAX_TOKENS, "stream": False}
    form = compile_schema(Invoice).response_format
    body = to_json({"model": MODEL, "messages": messages, **settings, "response_format": form})
    front, back = body.split(to_json(_MARK)[1:-1])
    return front, back


class GroupedJournal:
    """Answers in SQLite, committed in groups by a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("CREATE TABLE answers (request BLOB PRIMARY KEY, body BLOB) WITHOUT ROWID")
        self._rows: list[tuple[bytes, bytes]] = []
        self._thread = ThreadPoolExecutor(1)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, request: bytes, body: bytes) -> None:
        """Commit it with what else comes now."""
        self._rows.append((request, body))
        if len(self._rows) == GROUP:
            self._flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(WINDOW, self._flush)

    def close(self) -> None:
        """Commit what is left."""
        self._flush()
        self._thread.shutdown()
        self._connection.close()

    def _flush(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._rows:
            self._thread.submit(self._commit, self._rows)
            self._rows = []

    def _commit(self, rows: list[tuple[bytes, bytes]]) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT INTO answers VALUES (?, ?)", rows)
        self._connection.execute("COMMIT")


async def _run(job: Job) -> None:
    front, back = body_halves()
    checked, shards = Checked(), Shards(job.out)
    journal = GroupedJournal(job.out / "journal.db")
    records = iter(records_of(job.source))
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=job.concurrency), headers=headers, timeout=aiohttp.ClientTimeout(600)
    )
    url = f"{job.base_url}/chat/completions"
    begun = hashlib.blake2b(front, digest_size=16)

    async def work(records: Iterator[tuple[int, int, str]]) -> None:
        for position, key, text in records:
            rest = to_json(text)[1:-1] + back
            name = begun.copy()
            name.update(rest)
            async with session.post(url, data=front + rest) as answer:
                raw = await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"HTTP {answer.status}")
            journal.put(name.digest(), raw)
            document = from_json(raw)
            content, usage = document["choices"][0]["message"]["content"], document["usage"]
            row = checked.row(content, from_json(content))
            row["id"] = key
            row["_attempts"] = 1
            row["_model"] = document["model"]
            row["_input_tokens"] = usage["prompt_tokens"]
            row["_output_tokens"] = usage["completion_tokens"]
            shards.put(position, row)

    async with session:
        await asyncio.gather(*(work(records) for _ in range(job.concurrency)))
    journal.close()
    shards.close()
