"""Runs in processes of their own, which tests kill and interrupt."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from extract.testing import ScriptedServer

ROOT = Path(__file__).parents[1]
Start = Callable[[], subprocess.Popen[str]]

# it waits with everything imported until it is told to go, so that its start takes no time of the test
_CODE = """
import sys
import extract
from extract import Endpoint, Limits
from {module} import {maker}

source, out, url = sys.argv[1:]
sys.stdin.readline()
try:
    extract.run(
        {maker}(shard_rows=7, limits=Limits(concurrency=8)), source, out=out, endpoint=Endpoint(base_url=url),
    )
except extract.RunStopped as error:
    print(error)
    sys.exit(4)
"""


def interruptible() -> None:
    """A job that a shell started with & ignores Ctrl-C; the child of a test must not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def child(maker: str, source: Path, out: Path, server: ScriptedServer) -> subprocess.Popen[str]:
    """A process that waits to run the pipeline of `maker`, a function such as `tests.support.pipeline`."""
    module, _, name = maker.rpartition(".")
    return subprocess.Popen(
        [sys.executable, "-c", _CODE.format(module=module, maker=name), source, out, server.base_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=interruptible,  # noqa: PLW1509  # sets one signal, before any thread of the child
    )


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def to_the_end(process: subprocess.Popen[str]) -> int:
    """Let it run undisturbed; its exit code."""
    process.communicate("go\n", timeout=60)
    return process.returncode


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def kill_at_random(start: Start, server: ScriptedServer, kills: int, seed: int) -> int:
    """Start that many runs one after the other, each killed a moment after its first call, then one that may end.

    Gives back how many were still at work when they were killed.
    """
    moments = Random(seed)
    while_running = 0
    waiting = start()
    for _ in range(kills):
        process, waiting = waiting, start()  # the next one gets ready meanwhile
        asked = len(server.calls)
        go(process)
        wait_for(lambda asked=asked: len(server.calls) > asked, process)  # type: ignore[misc]
        time.sleep(moments.uniform(0, 0.045))
        while_running += process.poll() is None
        process.kill()
        process.communicate()
    assert 0 == to_the_end(waiting)
    return while_running
