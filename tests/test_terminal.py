"""What somebody at a terminal sees: questions that can be read, words that say what happened and what helps."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from extract import progress
from extract.testing import Call, Reply, ScriptedServer, completion
from tests.children import interruptible
from tests.commands import Run, console

ROOT = Path(__file__).parents[1]
PIPELINE = """
from __future__ import annotations

from pydantic import BaseModel
from extract import Limits, Pipeline, Repair, checks

class Item(BaseModel):
    name: str
    price: float

pipeline = Pipeline(
    name="items", schema=Item, source="items.csv", key="id", prompt="{{ text }}", limits=Limits(concurrency=2),
    checks=[checks.between("price", 0, 2)], table_checks=[checks.tables.total("price", "9")], repair=Repair(max_repairs=1),
)
"""


def read_item(call: Call) -> Any:
    """The answer that a text such as "tea 1.50" asks for; after a complaint half the price."""
    if len(properties := call.body["response_format"]["json_schema"]["schema"]["properties"]) == 1:
        return dict.fromkeys(properties, 1.0)
    name, price = call.prompt.split()[:2]
    return {"name": name, "price": float(price)}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(read_item) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a pipeline and three records."""
    (tmp_path / "flow.py").write_text(PIPELINE)
    (tmp_path / "items.csv").write_text("id,text\na,tea 1.50\nb,milk 0.90\nc,bread 2.10\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("flow", "long"):
        sys.modules.pop(name, None)


@pytest.fixture
def run(
    server: ScriptedServer, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """The command line in a pipe: (exit code, stdout, stderr)."""
    monkeypatch.setenv("EXTRACT_BASE_URL", server.base_url)
    return console(monkeypatch, capsys)


def environment(server: ScriptedServer) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "EXTRACT_BASE_URL": server.base_url,
        "TERM": "xterm",
        "COLUMNS": "90",
    }


def _take_terminal() -> None:
    interruptible()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that what is typed there interrupts


def at_terminal(
    folder: Path, server: ScriptedServer, arguments: list[str], when: Callable[[str], bool], keys: bytes
) -> tuple[int, str]:
    """The same on a terminal, where `keys` are typed half a second after `when` holds for what was printed."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "extract", *arguments],
        cwd=folder,
        env=environment(server),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_take_terminal,  # noqa: PLW1509  # two calls, before any thread of the child
    )
    os.close(theirs)
    printed, typed, seen, end = b"", False, 0.0, time.monotonic() + 60
    with suppress(OSError):  # what a closed terminal gives
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                if not (more := os.read(ours, 65536)):
                    break
                printed += more
            if not seen and when(printed.decode("utf-8", "replace")):
                seen = time.monotonic()
            if seen and not typed and time.monotonic() - seen > 0.5:
                typed = os.write(ours, keys) > 0
    code = child.wait(timeout=10)
    os.close(ours)
    return code, printed.decode("utf-8", "replace")


def test_a_question_on_a_terminal_stays_to_be_read(folder: Path, server: ScriptedServer, run: Run) -> None:
    """No progress line is drawn over it while it waits."""
    run("run", "flow.py", "--quiet")
    sent = len(server.calls)
    arguments = ["run", "flow.py", "--set", "model.max_tokens=99"]
    code, printed = at_terminal(folder, server, arguments, lambda text: "Go on? [y/N]" in text, b"n\n")
    assert (2, sent) == (code, len(server.calls)), printed
    waiting = printed.partition("Go on? [y/N]: ")[2].partition("n\r\n")[0]
    assert "" == waiting
    assert "error: nothing was asked" in printed


def test_a_warning_makes_the_progress_line_step_aside(folder: Path, server: ScriptedServer) -> None:
    """It begins a line of its own, which is cleared before."""
    broken = PIPELINE.replace('checks.between("price", 0, 2)', "lambda value, record: 1 // (value.price < 2) and None")
    (folder / "flow.py").write_text(broken)
    _, printed = at_terminal(folder, server, ["run", "flow.py"], lambda text: False, b"")
    before = re.findall(r"([^\n]*)the check lambda raised", printed)
    assert before, printed
    assert all(re.search(r"\x1b\[2K\d\d:\d\d:\d\d $", each) for each in before), before


def test_files_that_are_read_can_be_interrupted(folder: Path, run: Run) -> None:
    """Outside of a run too the code is 4, and a word says why."""
    (folder / "long.py").write_text("raise KeyboardInterrupt")
    code, _, err = run("check", "long.py")
    assert (4, "interrupted\n") == (code, err)


def test_an_interrupt_is_acknowledged_at_once(folder: Path) -> None:
    """The calls in flight may take long to end."""

    def slow(call: Call) -> Reply:
        return Reply(completion(read_item(call)), delay=2)

    with ScriptedServer(slow) as server:
        arguments = ["run", "flow.py"]
        code, printed = at_terminal(folder, server, arguments, lambda text: bool(server.calls), b"\x03")
    assert 4 == code, printed
    assert printed.index("interrupted: calls in flight are finished") < printed.index("error: interrupted")


def test_status_tells_of_repairs_and_of_the_table_and_names_what_is_there(folder: Path, run: Run) -> None:
    settings = ("--set", "model.name=some-model")
    code, _, err = run("run", "flow.py", "--quiet", "--journal", "answers.db", *settings)
    said = "table check total(price): price adds up to 3.4, the control figure is 9"
    assert (3, f"{said}\n") == (code, err)
    found = run("status", "out/items")[1].splitlines()
    assert "repair (some-model): 1 of 1 answers passed, 15 tokens" in found
    assert "table check total(price) (reject): price adds up to 3.4, the control figure is 9" in found
    [files] = [line for line in found if line.startswith("files: ")]
    named = files.removeprefix("files: ").split(", ")
    assert (True, str(folder / "answers.db")) == (all((folder / name).exists() for name in named), named[-1])


def test_the_figures_of_a_dry_run_are_the_last_to_be_printed(run: Run) -> None:
    printed = run("run", "flow.py", "--dry-run")[1]
    assert printed.index("The first request:") < printed.index("3 requests to")
    assert "cost unknown: no prices are set (EXTRACT_PRICES" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "items.csv"], "items.csv is no run directory"),
        (["redrive", "nowhere"], "nowhere is no run directory"),
        (["redrive", "nowhere", "flow.py"], "nowhere is no run directory"),
        (["run", "flow.py", "--out", "items.csv"], "items.csv is a file (name another folder with --out)"),
        (["run", "./flow"], "there is no file flow (did you mean flow.py?)"),
        (["run", "flow.py:flow"], "flow.py has no 'flow' (it has: Item, pipeline)"),
        (["run", "flow.py", "--set", "limits.speed=3"], "Limits.speed: there is no such setting"),
        (["run", "flow.py", "--set", "limits.hedge_after=p200"], "Limits.hedge_after: seconds above 0, or a share"),
    ],
)
def test_what_is_misused_is_said_in_plain_words(
    server: ScriptedServer, run: Run, arguments: list[str], message: str
) -> None:
    code, _, err = run(*arguments)
    assert (2, True) == (code, err.startswith(f"error: {message}")), err
    assert [] == server.calls


def test_a_slow_rate_is_told_by_the_minute() -> None:
    """A model on this machine may take half a minute for a record."""
    from extract.report import Tally

    tally = Tally(records=9, ok=2, started=time.monotonic() - 60)
    assert re.search(r"\b2\.0 rows/min\b", progress.status(tally))


def test_a_check_that_answers_yes_or_no_is_told_what_a_check_gives(folder: Path, run: Run) -> None:
    """The first thing that one tries."""
    (folder / "flow.py").write_text(PIPELINE.replace('checks.between("price", 0, 2)', "lambda value, record: True"))
    code, _, err = run("run", "flow.py", "--quiet")
    assert (4, True) == (code, "a message, an Issue, or several of these, and not True" in err)
