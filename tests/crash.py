"""Runs that are killed at every failpoint and at random instants, and what must hold after each kill.

`python -m tests.crash` is the whole campaign; `tests/test_kill.py` runs a short one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq

from extract import failpoints
from extract.fsck import fsck
from extract.testing import Call, Reply, ScriptedServer, completion
from tests.children import Nursery, nursery
from tests.support import item, parts, rows_csv

ROWS = 24
CONCURRENCY = 8
INSTANTS = 240
JOURNAL_FILES = {"journal.db", "journal.db-wal", "journal.db-shm"}
QUARANTINED = 3
AGAIN = {"prompt": "closer: {{ text }}"}  # of a redrive: all is answered well
ANEW = {"prompt": "again: {{ text }}"}  # another prompt: finished tables give way to new ones
TWICE = {"prompt": "twice: {{ text }}"}  # one whose answers come twice, but for a second look
DOUBLED = 6  # rows of that


def answer(call: Call) -> Reply:
    """Each seventh record never parses, so that both tables fill."""
    asked = str(next(message["content"] for message in call.body["messages"] if message["role"] == "user"))
    number = int(asked.rsplit(maxsplit=1)[-1])
    if call.prompt != asked:
        return Reply(completion({"number": number}), delay=0.004)
    if call.prompt.startswith(TWICE["prompt"][:5]) and number % 7:
        return Reply(
            completion({"name": asked, "number": max(1, number - DOUBLED // 2 * (number > ROWS - DOUBLED))}),
            delay=0.004,
        )
    if call.prompt.startswith(AGAIN["prompt"][:5]):
        return Reply(completion(item(call)), delay=0.004)
    return Reply(completion("no JSON" if number % 7 == 0 else item(call)), delay=0.004)


@dataclass
class Campaign:
    """One server's ledger and one source; runs are killed in it and taken up again."""

    folder: Path
    nursery: Nursery
    server: ScriptedServer
    source: Path
    kills: int = 0
    repeats: int = 0  # calls beyond one a row, over all scenes
    while_working: int = 0  # kills that hit a run before its end
    died: set[str] = field(default_factory=set)  # failpoints at which a process ended
    faults: list[str] = field(default_factory=list)
    _scenes: int = 0

    def __post_init__(self) -> None:
        self.first, self.second = self.folder / "first", self.folder / "second"
        assert 0 == self.nursery.run(self.source, self.first, self.server), self.nursery.said
        shutil.copytree(self.first, self.second)
        assert 0 == self.nursery.run(self.source, self.second, self.server, changes=ANEW), self.nursery.said
        assert 2 * ROWS == len(self.server.calls)

    def _seconds(self) -> float:
        """How long an undisturbed run takes, here and now."""
        out = self.folder / "undisturbed"
        self.nursery.start(self.source, out, self.server)
        begun = time.monotonic()
        assert 0 == self.nursery.end(), self.nursery.said
        seconds = time.monotonic() - begun
        shutil.rmtree(out)
        return seconds

    def at(self, names: Sequence[str], numbers: Sequence[int], both: bool = True) -> None:
        """A run for each failpoint and number, fresh and over finished tables; or, when not both, as it is passed."""
        for name in names:
            for number in numbers:
                for over in (False, True) if both else (name in failpoints.REPLACEMENT,):
                    self._scene([f"{name}:{number}"], over)

    def in_a_row(self, names: Sequence[str]) -> None:
        """Each run is killed at the next of these places, resumes among them, before one may end."""
        for over in (False, True):
            self._scene([f"{name}:1" for name in names], over)

    def at_random(self, instants: int, in_a_row: int, seed: int) -> None:
        """So many kills -9, `in_a_row` in each scene, at moments between the start and what an undisturbed run takes."""
        moments, length = Random(seed), min(self._seconds(), self._seconds())
        for number in range(0, instants, in_a_row):
            self._scene([moments.uniform(0, length) for _ in range(in_a_row)], over=number // in_a_row % 2 == 1)

    def redriven(self, names: Sequence[str], numbers: Sequence[int]) -> None:
        """A redrive for each failpoint and number, killed there and taken up by another, or by a plain run."""
        control = self.folder / "redriven"
        shutil.copytree(self.first, control)
        assert 0 == self.nursery.run(self.source, control, self.server, redrive=AGAIN), self.nursery.said
        for name in names:
            for number in numbers:
                self._redriven(f"{name}:{number}", parts(control))

    def table_repaired(self, names: Sequence[str], numbers: Sequence[int]) -> None:
        """Finished tables whose culprits are to be asked again: killed for each failpoint and number, taken up."""
        flow = {"maker": "tests.children.checked_shards", "changes": TWICE}
        first, control = self.folder / "twice", self.folder / "once"
        assert 0 == self.nursery.run(self.source, first, self.server, changes=TWICE), self.nursery.said
        shutil.copytree(first, control)
        before = len(self.server.calls)
        assert 0 == self.nursery.run(self.source, control, self.server, **flow), self.nursery.said
        asked = len(self.server.calls) - before
        assert parts(first) != parts(control)
        assert asked
        for name in names:
            for number in numbers:
                self._table_repaired(f"{name}:{number}", first, parts(control), asked, flow)

    def _table_repaired(
        self, death: str, first: Path, wanted: dict[str, bytes], most: int, flow: dict[str, Any]
    ) -> None:
        self._scenes += 1
        out = self.folder / f"scene-{self._scenes}"
        shutil.copytree(first, out)
        before = fsck(out, self.source).answers
        code = self.nursery.run(self.source, out, self.server, failpoint=death, **flow)
        self._expect(code in (0, failpoints.EXIT), f"table repair {death}: ended with {code}: {self.nursery.said}")
        if code == failpoints.EXIT:
            self.kills += 1
            self.died.add(death.partition(":")[0])
        self._check(out, f"table repair {death}")
        left = most - (fsck(out, self.source).answers - before)
        self._goes_on(f"table repair {death}: a run", out, left, **flow)
        self._goes_on(f"table repair {death}: another", out, 0, **flow)
        self._expect(wanted == parts(out), f"table repair {death}: other bytes")
        self._expect(not (out / ".next").exists(), f"table repair {death}: left over")
        shutil.rmtree(out)

    def accepted(self, names: Sequence[str], numbers: Sequence[int]) -> None:
        """Rows filled in by hand are accepted and killed for each failpoint and number; taken up likewise."""
        edits, control = self.folder / "edits.csv", self.folder / "accepted"
        edits.write_text("key,name,number\nk7,seven,7\nk21,twenty-one,21\n")
        shutil.copytree(self.first, control)
        assert 0 == self.nursery.run(self.source, control, self.server, accept=str(edits)), self.nursery.said
        for name in names:
            for number in numbers:
                self._accepted(f"{name}:{number}", str(edits), parts(control))

    def _cut_off(self, what: str, death: str, **order: Any) -> tuple[Path, Path]:
        """The first run's directory after this died in it, and a copy."""
        self._scenes += 1
        out, other = self.folder / f"scene-{self._scenes}", self.folder / f"other-{self._scenes}"
        shutil.copytree(self.first, out)
        code = self.nursery.run(self.source, out, self.server, failpoint=death, **order)
        self._expect(code in (0, failpoints.EXIT), f"{what} {death}: ended with {code}: {self.nursery.said}")
        if code == failpoints.EXIT:
            self.kills += 1
            self.died.add(death.partition(":")[0])
        self._check(out, f"{what} {death}")
        shutil.copytree(out, other)
        return out, other

    def _accepted(self, death: str, edits: str, wanted: dict[str, bytes]) -> None:
        out, other = self._cut_off("accept", death, accept=edits)
        self._goes_on(f"accept {death}: a run", other, 0)
        self._expect(parts(other) in (parts(self.first), wanted), f"accept {death}: half of it after a run")
        for scene in (out, other):
            self._goes_on(f"accept {death}: again in {scene.name}", scene, 0, accept=edits)
            self._expect(wanted == parts(scene), f"accept {death}: other bytes in {scene.name}")
            self._expect(not (scene / ".next").exists(), f"accept {death}: left over in {scene.name}")
            shutil.rmtree(scene)

    def _redriven(self, death: str, wanted: dict[str, bytes]) -> None:
        out, other = self._cut_off("redrive", death, redrive=AGAIN)
        left = QUARANTINED - (fsck(out, self.source).answers - ROWS)
        self._goes_on(f"redrive {death}: a run", other, 0)
        for scene in (out, other):
            self._goes_on(f"redrive {death}: another in {scene.name}", scene, left, redrive=AGAIN)
            self._expect(wanted == parts(scene), f"redrive {death}: other bytes in {scene.name}")
            self._expect(not (scene / ".next").exists(), f"redrive {death}: left over in {scene.name}")
            shutil.rmtree(scene)

    def _goes_on(self, what: str, out: Path, left: int, **options: Any) -> None:
        """It ends well, and asks so much and no more."""
        before = len(self.server.calls)
        code = self.nursery.run(self.source, out, self.server, **options)
        asked = len(self.server.calls) - before
        self._expect((0, left) == (code, asked), f"{what}: ended with {code} and {asked} calls: {self.nursery.said}")
        self._check(out, what)

    def _scene(self, deaths: Sequence[str | float], over: bool) -> None:
        self._scenes += 1
        out = self.folder / f"scene-{self._scenes}"
        if over:
            shutil.copytree(self.first, out)
        changes = ANEW if over else {}
        begun, happened = len(self.server.calls), 0
        for death in deaths:
            is_dead = self._killed(out, death, changes)
            happened += is_dead
            self._check(out, f"{death} over={over}")
        stored = fsck(out, self.source).answers if (out / "journal.db").exists() else 0
        before = len(self.server.calls)
        code = self.nursery.run(self.source, out, self.server, changes=changes)
        self._expect(code == 0, f"{deaths} over={over}: resumed with {code}: {self.nursery.said}")
        left = ROWS * (2 if over else 1) - stored
        asked = len(self.server.calls) - before
        self._expect(asked == left, f"{deaths} over={over}: {stored} answers stored, then {asked} calls for {left}")
        calls = len(self.server.calls) - begun
        self._expect(calls <= ROWS + happened * CONCURRENCY, f"{deaths} over={over}: {calls} calls, {happened} kills")
        self.repeats += calls - ROWS
        wanted = parts(self.second if over else self.first)
        self._expect(wanted == parts(out), f"{deaths} over={over}: other bytes")
        self._check(out, f"{deaths} at the end")
        self._expect(keys(out) == [f"k{number}" for number in range(1, ROWS + 1)], f"{deaths}: keys {keys(out)}")
        leftovers = sorted({path.name for path in out.iterdir()} - {"table", "quarantine", "manifest.json", ".lock"})
        self._expect({"journal.db"} <= set(leftovers) <= JOURNAL_FILES, f"{deaths}: left over {leftovers}")
        shutil.rmtree(out)

    def _killed(self, out: Path, death: str | float, changes: dict[str, str]) -> bool:
        """Whether the run died before its end."""
        if isinstance(death, str):
            code = self.nursery.run(self.source, out, self.server, failpoint=death, changes=changes)
            if code == failpoints.EXIT:
                self.died.add(death.partition(":")[0])
            self._expect(code in (0, failpoints.EXIT), f"{death}: ended with {code}: {self.nursery.said}")
            is_dead = code == failpoints.EXIT
        else:
            pid = self.nursery.start(self.source, out, self.server, changes=changes)
            time.sleep(death)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            code = self.nursery.end()
            self._expect(code in (0, -signal.SIGKILL), f"{death}: ended with {code}: {self.nursery.said}")
            is_dead = code != 0
            self.while_working += is_dead
        self.kills += is_dead
        return is_dead

    def _check(self, out: Path, when: str) -> None:
        """Nothing is wrong with the directory, as far as there is one; and looking at it changes nothing."""
        if not (out / "journal.db").exists() and not (out / "manifest.json").exists():
            return
        before = tree(out)
        found = fsck(out, self.source)
        self._expect(found.is_sound, f"{when}: {found.violations}")
        self._expect(before == tree(out), f"{when}: fsck changed the directory")

    def _expect(self, condition: bool, otherwise: str) -> None:
        if not condition:
            self.faults.append(otherwise)

    @property
    def line(self) -> str:
        """What was done, in a line."""
        return (
            f"{self._scenes} scenes, {self.kills} kills ({self.while_working} at random instants), "
            f"{len(self.died)} failpoints, {self.repeats} calls repeated, {len(self.faults)} faults"
        )


def keys(out: Path) -> list[str]:
    """The keys of both tables, in order of their numbers."""
    found = [pq.read_table(part)["id"].to_pylist() for part in sorted((out / "table").glob("*.parquet"))]
    found += [pq.read_table(part)["key"].to_pylist() for part in sorted((out / "quarantine").glob("*.parquet"))]
    return sorted((key for part in found for key in part), key=lambda key: int(key[1:]))


def tree(out: Path) -> dict[str, bytes]:
    """Every file and its bytes."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@contextmanager
def campaign(folder: Path) -> Iterator[Campaign]:
    with ScriptedServer(answer) as server, nursery(folder) as ready:
        yield Campaign(folder, ready, server, rows_csv(folder / "items.csv", ROWS))


def main(instants: int = INSTANTS) -> int:
    """Every failpoint three times, six kills in a row, random instants; 1 when anything was lost."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crash-") as folder, campaign(Path(folder)) as running:

        def said(what: str) -> None:
            print(f"{what}: {running.line}, {time.monotonic() - begun:.0f} s", flush=True)

        running.at(failpoints.OF_RUNS, (1, 2, 3))
        said("every failpoint, three times, fresh and over finished tables")
        for first in range(0, len(failpoints.OF_RUNS) - 5, 3):
            running.in_a_row(failpoints.OF_RUNS[first : first + 6])
        said("six in a row")
        running.redriven(failpoints.NAMES, (1, 2))
        said("a redrive at every failpoint, twice")
        running.accepted(failpoints.NAMES, (1, 2))
        said("rows by hand at every failpoint, twice")
        running.table_repaired(failpoints.NAMES, (1, 2))
        said("a table repair at every failpoint, twice")
        running.at_random(instants, 1, seed=1)
        running.at_random(instants, 6, seed=2)
        said("random instants")
        never = sorted(set(failpoints.NAMES) - running.died)
        for fault in [*running.faults, *(f"never passed: {name}" for name in never)]:
            print(fault)
        return 1 if running.faults or never else 0


def _instants(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=main.__doc__)
    parser.add_argument(
        "instants",
        type=int,
        nargs="?",
        default=INSTANTS,
        help="runs killed at random instants, one by one, then as many in sixes",
    )
    return int(parser.parse_args(words).instants)


if __name__ == "__main__":
    sys.exit(main(_instants()))
