"""Why a run ended early: kept in its manifest and shown by `extract status`, until the next run begins."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import extract
from extract import Limits, Retry
from extract.disk import DiskPause
from extract.errors import RunStopped
from extract.records import Record
from extract.sinks import read_manifest
from extract.stop import told_why
from extract.testing import Call, Reply, ScriptedServer, completion
from tests.commands import said
from tests.support import NO_WAIT, Item, item, pipeline, rows_csv

ROWS = 6


class Scene:
    """A server that does something else from the third call on, and a source of six records."""

    def __init__(self, folder: Path) -> None:
        self.source = rows_csv(folder / "items.csv", ROWS)
        self.out = folder / "run"
        self.third: Callable[[Call], Any] = item
        self._calls = 0
        self.server = ScriptedServer(self._answer)

    def _answer(self, call: Call) -> Any:
        self._calls += 1
        return self.third(call) if self._calls >= 3 else item(call)

    def run(self, options: dict[str, Any] | None = None, **changes: Any) -> extract.Result:
        changes = {"limits": Limits(concurrency=1, timeout=20)} | changes
        return extract.run(
            pipeline(**changes), self.source, out=self.out, endpoint=self.server.endpoint(), **(options or {})
        )

    @property
    def why(self) -> Any:
        found = read_manifest(self.out)
        assert found is not None
        return found.get("stopped")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    found = Scene(tmp_path)
    with found.server:
        yield found


def broken(value: Item, record: Record) -> str | None:
    raise ValueError("no such table")


def rude(tally: Any) -> None:
    if tally.requests == 2:
        raise OSError("the screen is gone")


def interrupted(call: Call) -> Any:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    return Reply(completion(item(call)), delay=0.3)


@pytest.mark.parametrize(
    ("code", "words", "third", "changes", "options"),
    [
        ("budget.max_requests", "2 requests", item, {"limits": Limits(concurrency=1, max_requests=2)}, {}),
        ("budget.max_total_tokens", "tokens", item, {"limits": Limits(concurrency=1, max_total_tokens=25)}, {}),
        (
            "budget.max_seconds",
            "seconds",
            lambda call: Reply(completion(item(call)), delay=0.5),
            {"limits": Limits(concurrency=1, max_seconds=0.4)},
            {},
        ),
        (
            "outage",
            "no answer for",
            lambda call: Reply("gone", 503),
            {
                "limits": Limits(concurrency=1, outage_timeout=0.3),
                "retry": Retry(max_attempts=50, initial_wait=0.01, max_wait=0.05),
            },
            {},
        ),
        ("api.auth", "wrong key", lambda call: Reply({"error": {"message": "wrong key"}}, 401), {}, {}),
        ("interrupted", "interrupted", interrupted, {}, {}),
        ("check.error", "no such table", item, {"checks": [broken]}, {}),
        ("error", "OSError: the screen is gone", item, {}, {"on_progress": rude}),
    ],
)
def test_the_manifest_says_why_a_run_stopped_until_the_next_one(
    request: pytest.FixtureRequest,
    scene: Scene,
    code: str,
    words: str,
    third: Callable[[Call], Any],
    changes: dict[str, Any],
    options: dict[str, Any],
) -> None:
    """Code, words and time; `extract status` shows them, as JSON too; the run that goes on takes them away."""
    scene.third = third
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with pytest.raises(Exception) as caught:  # noqa: PT011  # what it is differs, what is kept is compared
        scene.run(options, **changes)
    why = scene.why
    assert code == why["code"]
    assert words in why["message"]
    assert str(getattr(caught.value, "message", caught.value)) in why["message"]
    assert timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(why["at"]) < timedelta(minutes=2)
    shown = said("status", str(scene.out))
    assert 0 == shown[0]
    assert f"stopped {why['at']}: {code}: {why['message']}" in shown[1]
    assert why == json.loads(said("status", str(scene.out), "--json")[1])["stopped"]
    scene.third = item
    assert scene.run().ok
    assert scene.why is None
    assert "\nstopped " not in said("status", str(scene.out))[1]


def test_a_newer_run_that_stopped_says_why_beside_the_old_tables(scene: Scene) -> None:
    """The finished tables stay as they are; status says of the newer ones what ended them."""
    assert scene.run().ok
    with pytest.raises(RunStopped):
        scene.run(prompt="again: {{ text }}", limits=Limits(concurrency=1, max_requests=2))
    assert scene.why is None
    shown = said("status", str(scene.out))[1].splitlines()
    assert f"a newer run is not complete: {ROWS} of {ROWS} records pending" == shown[-2]
    assert ": budget.max_requests: " in shown[-1]


def test_a_run_is_no_longer_stopped_as_soon_as_it_goes_on(scene: Scene) -> None:
    """While it is under way, whoever looks does not see the old reason."""
    with pytest.raises(RunStopped):
        scene.run(limits=Limits(concurrency=1, max_requests=2))
    seen = []

    def look(call: Call) -> Any:
        seen.append(scene.why)
        return item(call)

    scene.third = look
    assert scene.run().ok
    assert [None] * (ROWS - 2) == seen


def test_a_redrive_that_stopped_says_why_too(scene: Scene) -> None:
    """It stands with the redrive that is under way, and goes with it."""
    scene.third = lambda call: "no JSON"
    scene.run({"max_failed": ROWS}, retry=NO_WAIT)
    options: dict[str, Any] = {"source": scene.source, "endpoint": scene.server.endpoint()}
    scene.third = lambda call: Reply("no", 401)
    with pytest.raises(extract.AuthenticationError):
        extract.redrive(scene.out, pipeline(limits=Limits(concurrency=1)), **options)
    assert ": api.auth: " in said("status", str(scene.out))[1].splitlines()[-1]
    scene.third = item
    extract.redrive(scene.out, pipeline(limits=Limits(concurrency=1)), **options)
    assert "\nstopped " not in said("status", str(scene.out))[1]


@pytest.mark.parametrize(
    ("reason", "code", "message"),
    [
        (RunStopped("enough"), "stopped", "enough"),
        (DiskPause("no room"), "disk", "no room"),
        (RunStopped("a\x1b[2J\ud800b", code="outage"), "outage", "a\ufffd[2J\ufffdb"),
        (RunStopped("a\r\n12 ok\u2028 12 in\n", code="outage"), "outage", "a 12 ok 12 in"),
        (RunStopped("x" * 5_000), "stopped", "x" * 1_000),
        (ValueError("odd"), "error", "ValueError: odd"),
    ],
)
def test_a_reason_is_kept_in_words_that_any_file_and_terminal_can_show(
    reason: Exception, code: str, message: str
) -> None:
    """Whatever a server wrote: bounded, without what steers a terminal and without halves of characters."""
    found = told_why(reason)
    assert [code, message] == [found["code"], found["message"]]
    json.dumps(found, ensure_ascii=False).encode()


def test_a_servers_words_make_no_line_of_their_own_in_status(scene: Scene) -> None:
    """Message and hint are kept in one line."""
    message = "no\n12 in, 12 ok, 0 quarantined, 0 pending"
    scene.third = lambda call: Reply({"error": {"message": message}}, 401)
    with pytest.raises(extract.AuthenticationError):
        scene.run()
    assert "no 12 in, 12 ok" in scene.why["message"]
    assert not any(line.startswith("12 in") for line in said("status", str(scene.out))[1].splitlines())
    assert "a b" == told_why(RunStopped("enough", hint="a\nb"))["hint"]
