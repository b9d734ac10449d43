"""Any order of runs, failures, kills, resumes, redrives and edits: nothing is lost, doubled, or paid twice.

`EXTRACT_EXAMPLES=20` plays 20 times as many.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import extract
from extract import failpoints
from extract.fsck import fsck
from extract.testing import ScriptedServer
from tests.children import Nursery, nursery
from tests.machine import (
    CONCURRENCY,
    FAILURES,
    PROMPTS,
    Endpoint,
    Stored,
    machine_pipeline,
    rendered,
    replayed,
    stored_in,
)

LONGER = int(os.environ.get("EXTRACT_EXAMPLES", "1"))
MOST_ROWS = 14
FAILING = st.lists(st.sampled_from([*FAILURES, "refused"]), max_size=5)  # calls, at the beginning
PLACES = [name for name in failpoints.OF_RUNS if not name.startswith("journal.close")]


@pytest.fixture(scope="module", autouse=True)
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One process for all, from which runs that are killed are forked."""
    with nursery(tmp_path_factory.mktemp("nursery")) as Machine.nursery:
        yield


class Machine(RuleBasedStateMachine):
    """One run directory, and what the server and the journal know of it."""

    nursery: Nursery

    def __init__(self) -> None:
        super().__init__()
        self.leaving = ExitStack()
        self.folder = Path(self.leaving.enter_context(tempfile.TemporaryDirectory(prefix="machine-")))
        self.out, self.file = self.folder / "out", self.folder / "rows.csv"
        self.endpoint = Endpoint()
        self.server = self.leaving.enter_context(ScriptedServer(self.endpoint))
        self.rows: list[str] = []  # texts; the key is the place
        self.versions = {"prompt": 0, "checks": 0}
        self.number = 0  # of the last text
        self.finished: object = None  # what the finished tables were made of
        self.quarantined: set[str] = set()  # prompts of rows in the finished quarantine
        self.again: set[str] = set()  # the same, answered anew by a redrive that was killed
        self.before = Stored()

    def teardown(self) -> None:
        self.leaving.close()

    @initialize(rows=st.integers(5, 9))
    def submit(self, rows: int) -> None:
        self._append(rows)

    @precondition(lambda self: len(self.rows) < MOST_ROWS)
    @rule(rows=st.integers(1, 4))
    def append_rows(self, rows: int) -> None:
        self._append(rows)

    @rule(
        prompt=st.integers(0, len(PROMPTS) - 1), checks=st.integers(0, 1), place=st.none() | st.integers(0, MOST_ROWS)
    )
    def edit(self, prompt: int, checks: int, place: int | None) -> None:
        """Another prompt, or an earlier one again; with or without the check; perhaps another text in a row."""
        self.versions = {"prompt": prompt, "checks": checks}
        if place is not None:
            self.rows[place % len(self.rows)] = self._text()
            self._write()

    @rule(failures=FAILING)
    def run(self, failures: list[str]) -> None:
        """Begin, resume or repeat, whatever fails, and let it end."""
        calls, tokens = len(self.endpoint.asked), self.endpoint.tokens
        with self.endpoint.failing(failures):
            result = extract.run(self._pipeline(), self.file, out=self.out, **self._options())
        self._settle(calls, may_ask=self._unanswered())
        self._expect_account(result.report, calls, tokens)
        self._expect_tables(result)

    @rule(place=st.sampled_from(PLACES), passage=st.integers(1, 2), failures=FAILING)
    def end_at_a_durable_step(self, place: str, passage: int, failures: list[str]) -> None:
        """A run whose process ends there, as if it was killed."""
        calls = len(self.endpoint.asked)
        with self.endpoint.failing(failures):
            code = self.nursery.run(self.file, self.out, self.server, failpoint=f"{place}:{passage}", **self._order())
        assert code in (0, failpoints.EXIT), self.nursery.said
        self._settle(calls, may_ask=self._unanswered(), lost=CONCURRENCY * (code != 0))
        self._forget_tables()

    @rule(call=st.integers(1, 10), failures=FAILING)
    def kill(self, call: int, failures: list[str]) -> None:
        """A run that gets kill -9 when it makes this call."""
        calls = len(self.endpoint.asked)
        with self.endpoint.failing(failures):
            self._killed(call, redrive=None)
        self._settle(calls, may_ask=self._unanswered(), lost=CONCURRENCY)
        self._forget_tables()

    @precondition(lambda self: self.finished == self._made_of())
    @rule(failures=FAILING)
    def redrive(self, failures: list[str]) -> None:
        """Only what is in the quarantine is asked again, and the server is better now."""
        calls, tokens = len(self.endpoint.asked), self.endpoint.tokens
        with self.endpoint.failing(failures, mending=True):
            result = extract.redrive(self.out, self._pipeline(), self.file, **self._options())
        self._settle(calls, may_ask=self.quarantined - self.again, redriving=True)
        self._expect_account(result.report, calls, tokens)
        self._expect_tables(result)

    @precondition(lambda self: self.finished == self._made_of() and self.quarantined - self.again)
    @rule(call=st.integers(1, 3))
    def kill_a_redrive(self, call: int) -> None:
        """What was answered anew before the kill is not asked again by the next one."""
        calls, before = len(self.endpoint.asked), self.before
        with self.endpoint.failing([], mending=True):
            code = self._killed(call, redrive={})
        self._settle(calls, may_ask=self.quarantined - self.again, lost=CONCURRENCY, redriving=True)
        if code == 0:
            self._forget_tables()
        elif self.before.number > before.number:
            self.again |= self.before.newest(self.before.number - before.number)

    @invariant()
    def in_is_ok_and_quarantined_and_pending(self) -> None:
        """Derived anew from the files; and looking changes nothing."""
        if not any((self.out / name).exists() for name in ("manifest.json", "journal.db")):
            return
        found = fsck(self.out, self.file)
        assert [] == found.violations
        counts = found.counts
        if counts["in"] is not None:
            assert counts["in"] == (counts["ok"] or 0) + (counts["quarantined"] or 0) + (counts["pending"] or 0)
        assert self.before.number == found.answers

    def _append(self, rows: int) -> None:
        self.rows += [self._text() for _ in range(rows)]
        self._write()

    def _text(self) -> str:
        self.number += 1
        return f"row {self.number} {self.number}"

    def _write(self) -> None:
        self.file.write_text("\n".join(["id,text", *(f"k{place},{text}" for place, text in enumerate(self.rows))]))

    def _pipeline(self) -> Any:
        return machine_pipeline(**self.versions)

    def _options(self) -> dict[str, Any]:
        return {"endpoint": self.server.endpoint(), "on_progress": lambda tally: None}

    def _order(self) -> dict[str, Any]:
        return {"maker": "tests.machine.machine_pipeline", "changes": self.versions}

    def _prompts(self) -> set[str]:
        return {rendered(self.versions["prompt"], text) for text in self.rows}

    def _made_of(self) -> object:
        return tuple(self.rows), tuple(self.versions.items())

    def _unanswered(self) -> set[str]:
        return self._prompts() - self.before.answers.keys()

    def _killed(self, call: int, **order: Any) -> int:
        process = self.nursery.start(self.file, self.out, self.server, **self._order(), **order)
        self.endpoint.kill_at = (call, process)
        code = self.nursery.end()
        self.endpoint.kill_at = None
        assert code in (0, -9), self.nursery.said
        return code

    def _forget_tables(self) -> None:
        """The old tables may stand, or the new ones: the next run tells."""
        self.finished, self.quarantined, self.again = None, set(), set()

    def _settle(self, calls: int, *, may_ask: set[str], lost: int = 0, redriving: bool = False) -> None:
        """Look at the journal after a step: what was asked, what is stored, what is on the account."""
        asked = Counter(self.endpoint.asked[calls:])
        assert not asked.keys() - may_ask, f"asked again although answered: {asked.keys() - may_ask}"
        stored = stored_in(self.out, self.folder / "scratch")
        assert not self.before.answers.keys() - stored.answers.keys()
        for prompt, content in stored.answers.items():
            assert content in self.endpoint.sent[prompt]
            if prompt in self.before.answers and not (redriving and prompt in asked):
                assert self.before.answers[prompt] == content
        noted = stored.requests - self.before.requests
        assert asked.total() - lost <= noted <= asked.total(), f"{noted} calls on the account of {asked.total()}"
        self.before = stored

    def _expect_account(self, report: Any, calls: int, tokens: int) -> None:
        assert len(self.endpoint.asked) - calls == report.requests
        assert self.endpoint.tokens - tokens == report.input_tokens + report.output_tokens

    def _expect_tables(self, result: Any) -> None:
        """Those of a run that nothing ever disturbed and that got the same answers."""
        assert (len(self.rows), 0) == (result.report.ok + result.report.quarantined, result.report.pending)
        undisturbed = self.folder / "undisturbed"
        shutil.rmtree(undisturbed, ignore_errors=True)
        with ScriptedServer(partial(replayed, self.before.answers)) as server:
            other = extract.run(
                self._pipeline(), self.file, out=undisturbed, **self._options() | {"endpoint": server.endpoint()}
            )
        assert _rows(other.table) == _rows(result.table)
        assert _rows(other.quarantine) == _rows(result.quarantine)
        prompts = dict(zip((f"k{place}" for place in range(len(self.rows))), self.rows, strict=True))
        keys = result.quarantine["key"].to_pylist()
        self.quarantined = {rendered(self.versions["prompt"], prompts[key]) for key in keys}
        self.finished, self.again = self._made_of(), set()


def _rows(table: Any) -> list[dict[str, Any]]:
    """Rows without what failed calls before the answer add to them; why no answer came may differ."""
    found = []
    for row in table.to_pylist():
        if str(row.get("reason", "")).startswith(("api.transient", "api.rate")):
            found.append({"key": row["key"], "reason": "unanswered"})
        else:
            found.append({name: value for name, value in row.items() if name not in ("_attempts", "attempts")})
    return found


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=12 * LONGER,
    stateful_step_count=12,
    deadline=None,
    derandomize=LONGER == 1,
    suppress_health_check=list(HealthCheck),
)
