"""What the runs of tests/test_state_machine.py are made of: the pipeline, the server that fails on order, the journal's
answers as they lie on the disk. Apart from it, so that a run in a process of its own imports little."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from extract import Limits, Pipeline, Retry
from extract.errors import ExtractError
from extract.testing import Call, Reply, completion
from tests.support import pipeline

CONCURRENCY = 4
NO_WAIT = Retry(max_attempts=3, initial_wait=0, max_wait=0)
PROMPTS = ("v0: {{ text }}", "v1: {{ text }}", "v2: {{ text }}")
_ASKED = re.compile(r"v\d: row \d+ \d+")

FAILURES: dict[str, Reply] = {
    "429": Reply({"error": {"message": "slow down"}}, 429, {"retry-after-ms": "5"}),
    "500": Reply({"error": {"message": "down"}}, 500),
    "broken": Reply(b'{"choices": [{"mess'),
    "reset": Reply(reset=True),
}


def no_thirds(value: Any, record: Any) -> str | None:
    """Refuses each third row."""
    return "a third" if value.number % 3 == 0 else None


def machine_pipeline(prompt: int = 0, checks: int = 0) -> Pipeline:
    """The pipeline with one of the prompts, with or without the check."""
    return pipeline(
        prompt=PROMPTS[prompt],
        checks=[no_thirds] if checks else [],
        retry=NO_WAIT,
        limits=Limits(concurrency=CONCURRENCY, adaptive=False, timeout=20),
        shard_rows=3,
    )


def rendered(prompt: int, text: str) -> str:
    return PROMPTS[prompt].replace("{{ text }}", text)


def good(asked: str) -> str:
    """The answer with which a row passes."""
    return json.dumps({"name": asked, "number": int(asked.split()[2])})


@dataclass
class Endpoint:
    """Answers by what is asked, fails as ordered, kills a process as ordered, and keeps the ledger."""

    orders: deque[str] = field(default_factory=deque)  # failures for the next calls
    is_mending: bool = False  # rows that never parse do now
    kill_at: tuple[int, int] | None = None  # at which call from now on, which process
    asked: list[str] = field(default_factory=list)  # the ledger: every call
    sent: dict[str, set[str]] = field(default_factory=dict)  # answers that a row may rest on
    tokens: int = 0  # of good answers

    def __call__(self, call: Call) -> Reply:
        asked = call.prompt
        self.asked.append(asked)
        self._kill()
        if self.orders:
            order = self.orders.popleft()
            if order != "refused":
                return FAILURES[order]
            return self._answer(asked, Reply({"error": {"message": f"not this one: {asked}"}}, 400))
        bad = int(asked.split()[2]) % 4 == 0 and not self.is_mending
        body = completion(f"no JSON for {asked}" if bad else good(asked), tokens=(10, 5))
        self.tokens += 15
        return self._answer(asked, Reply(body))

    @contextmanager
    def failing(self, failures: Sequence[str], *, mending: bool = False) -> Iterator[None]:
        """The next calls fail so, one of them at most for good: five refusals alike would end the run."""
        first = failures.index("refused") if "refused" in failures else -1
        self.orders = deque(each for at, each in enumerate(failures) if each != "refused" or at == first)
        self.is_mending = mending
        yield
        self.orders.clear()
        self.is_mending = False

    def _answer(self, asked: str, reply: Reply) -> Reply:
        self.sent.setdefault(asked, set()).add(content_of(reply.body))
        return reply

    def _kill(self) -> None:
        if self.kill_at is None:
            return
        calls, process = self.kill_at
        self.kill_at = (calls - 1, process) if calls > 1 else None
        if calls == 1:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def content_of(body: Any) -> str:
    """What an answer says, be it a completion or a refusal."""
    if "error" in body:
        return str(body["error"]["message"])
    return str(body["choices"][0]["message"]["content"])


def replayed(stored: dict[str, str], call: Call) -> Reply:
    """What the undisturbed run gets: the same answers; an error where there was none."""
    content = stored.get(call.prompt)
    if content is None:
        return FAILURES["500"]
    if content.startswith("not this one"):
        return Reply({"error": {"message": content}}, 400)
    return Reply(completion(content, tokens=(10, 5)))


@dataclass(frozen=True)
class Stored:
    """The journal as it lies on the disk, whoever left it so."""

    answers: dict[str, str] = field(default_factory=dict)  # the newest for each prompt
    number: int = 0
    requests: int = 0
    tokens: int = 0
    order: tuple[str, ...] = ()  # prompts, as their answers came

    def newest(self, number: int) -> set[str]:
        return set(self.order[-number:])


def stored_in(out: Path, scratch: Path) -> Stored:
    """Read from a copy, so that nothing changes."""
    if not (out / "journal.db").exists() or not (out / "journal.db").stat().st_size:
        return Stored()
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        if (out / name).exists():
            shutil.copy(out / name, scratch / name)
    with closing(sqlite3.connect(scratch / "journal.db")) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'totals'").fetchone():
            return Stored()
        rows = connection.execute("SELECT body FROM answers ORDER BY rowid").fetchall()
        requests, tokens = connection.execute("SELECT requests, input_tokens + output_tokens FROM totals").fetchone()
    found = [content_of(json.loads(body)) for (body,) in rows]
    order = tuple(prompt_in(content) for content in found)
    return Stored(dict(zip(order, found, strict=True)), len(rows), requests, tokens, order)


def prompt_in(content: str) -> str:
    """The prompt that an answer speaks of."""
    match = _ASKED.search(content)
    if match is None:
        raise ExtractError(f"an answer that was never given: {content!r}")
    return match[0]
