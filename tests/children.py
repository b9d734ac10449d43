"""Runs in processes of their own, which tests kill and interrupt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from extract.failpoints import VARIABLE
from extract.testing import ScriptedServer

ROOT = Path(__file__).parents[1]

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


# One process that has everything imported, and from which each run is forked: a run then takes a tenth of a second.
_NURSERY = """
import json, os, sys
import extract
from extract import Endpoint, Limits
import importlib, signal, traceback
import extract.accepting, extract.api, extract.client, extract.progress, extract.redriving, httpx, pandas, pyarrow.parquet, pyreqwest, rich, _strptime

def run(order):
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if order["failpoint"]:
        os.environ[{variable!r}] = order["failpoint"]
    if order["limits"]:
        import resource
        for name, value in order["limits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    module, _, name = order["maker"].rpartition(".")
    pipeline = getattr(importlib.import_module(module), name)(**order["changes"])
    options = dict(endpoint=Endpoint(base_url=order["url"]), **order["options"])
    try:
        if order["accept"] is not None:
            extract.accept(order["out"], pipeline, order["accept"], order["source"], **options)
        elif order["redrive"] is None:
            extract.run(pipeline, order["source"], out=order["out"], **options)
        else:
            extract.redrive(order["out"], pipeline, order["source"], **order["redrive"], **options)
    except extract.RunStopped as error:
        os.write(2, f"{{error}}\\n".encode())
        return 4
    except (extract.ConfigError, extract.InputError) as error:
        os.write(2, f"{{error}}\\n".encode())
        return 2
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        return 1
    return 0

for line in sys.stdin:
    order = json.loads(line)
    importlib.import_module(order["maker"].rpartition(".")[0])
    pid = os.fork()
    if not pid:
        os.dup2(os.open(order["said"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), 2)
        os._exit(run(order))
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Nursery:
    """Starts runs, one at a time, each in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], said: Path) -> None:
        self._process = process
        self._said = said

    def start(self, source: Path, out: Path, server: ScriptedServer, **order: Any) -> int:
        """Begin a run; its process. Options: maker, failpoint, changes of the pipeline, limits of the process, options
        of `extract.run`; in place of a run `redrive`, with its options, or `accept`, with a file of edits."""
        assert self._process.stdin
        assert self._process.stdout
        defaults = {"maker": "tests.children.small_shards", "failpoint": "", "changes": {}, "limits": {}}
        defaults |= {"options": {}, "redrive": None, "accept": None}
        wanted = {"source": str(source), "out": str(out), "url": server.base_url, "said": str(self._said)}
        self._process.stdin.write(json.dumps(defaults | wanted | order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> int:
        """Wait for the run; its exit code, negative for a signal."""
        assert self._process.stdout
        return int(self._process.stdout.readline())

    def run(self, source: Path, out: Path, server: ScriptedServer, **order: Any) -> int:
        """A run from begin to end; its exit code."""
        self.start(source, out, server, **order)
        return self.end()

    def kill_at_random(
        self, source: Path, out: Path, server: ScriptedServer, kills: int, seed: int, **order: Any
    ) -> int:
        """That many runs one after the other, each killed a moment after its first call, then one that ends well.

        Gives back how many were still at work when they were killed.
        """
        moments, while_running = Random(seed), 0
        for _ in range(kills):
            asked, deadline = len(server.calls), time.monotonic() + 30
            pid = self.start(source, out, server, **order)
            with suppress(ProcessLookupError):  # it has ended by itself
                while len(server.calls) == asked:
                    assert time.monotonic() < deadline
                    os.kill(pid, 0)
                    time.sleep(0.002)
                time.sleep(moments.uniform(0, 0.045))
                os.kill(pid, signal.SIGKILL)
            code = self.end()
            assert code in (0, -signal.SIGKILL), self.said
            while_running += code != 0
        assert 0 == self.run(source, out, server, **order), self.said
        return while_running

    @property
    def said(self) -> str:
        """What the last run complained of."""
        return self._said.read_text()


@contextmanager
def nursery(folder: Path) -> Iterator[Nursery]:
    """A process that is ready to start runs."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    code = _NURSERY.format(variable=VARIABLE)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    try:
        yield Nursery(process, folder / "said.txt")
    finally:
        process.communicate(timeout=60)


def small_shards(**changes: Any) -> Any:
    """The pipeline of runs that are killed."""
    from extract import Limits
    from tests.support import pipeline

    return pipeline(**({"shard_rows": 7, "limits": Limits(concurrency=8)} | changes))


def checked_shards(**changes: Any) -> Any:
    """The same with a table check that has culprits asked again."""
    from extract.checks import tables

    return small_shards(**({"table_checks": [tables.unique("number", repair=True)]} | changes))
