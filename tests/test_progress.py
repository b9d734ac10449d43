"""How a run is watched: a line on a terminal, lines in a log, a bar in a notebook."""

from __future__ import annotations

import logging
import sys
import types
from typing import Any

import pytest

from extract import progress
from extract.records import Usage
from extract.report import Tally


def tally(**changes: Any) -> Tally:
    found = Tally(records=1000, ok=90, quarantined=10, usage=Usage(2000, 345), started=100.0)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, ten seconds after the tally began."""
    now = [110.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_the_line_says_all_that_one_wants_to_know() -> None:
    """Done, ok, quarantined, rows/s, tokens and the time to go."""
    expected = "100/1,000, 90 ok, 10 quarantined, 10.0 rows/s, 1:30 to go, 2,345 tokens"
    assert expected == progress.status(tally())


def test_cost_and_retries_are_shown_when_there_are_any() -> None:
    assert "2,345 tokens, 0.2500 USD, 3 retries" in progress.status(tally(cost_usd=0.25, retries=3))


def test_the_rate_leaves_out_what_was_done_before() -> None:
    assert "5.0 rows/s" in progress.status(tally(begun_with=50))


def test_answers_from_the_journal_say_nothing_of_the_rate() -> None:
    assert "5.0 rows/s" in progress.status(tally(replayed=50))


def test_a_long_time_is_in_hours_and_the_end_needs_none() -> None:
    assert "2:46:30 to go" in progress.status(tally(records=100_000))
    assert "to go" not in progress.status(tally(records=100))


def test_nothing_is_said_of_a_rate_before_there_is_one(clock: list[float]) -> None:
    clock[0] = 100.0
    assert "0.0 rows/s" in progress.status(tally())
    assert "to go" not in progress.status(tally())


def test_the_log_gets_a_line_every_few_seconds(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "extract.progress")
    with progress.in_log() as show:
        for seconds in (0, 1, progress.LOG_EVERY, 1):
            clock[0] += seconds
            show(tally())
    assert 2 == len(caplog.messages)
    assert caplog.messages[0].startswith("100/1,000, 90 ok")


def test_the_terminal_gets_a_live_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.on_terminal() as show:
        show(tally())
    assert "" == capsys.readouterr().out


def test_a_notebook_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins where an earlier run ended, and is closed at the end."""
    bars: list[Any] = []

    class Bar:
        def __init__(self, total: int, unit: str, initial: int) -> None:
            self.total, self.n, self.closed, self.text = total, initial, False, ""
            bars.append(self)

        def set_postfix_str(self, text: str, refresh: bool) -> None:
            self.text = text

        def update(self, steps: int) -> None:
            self.n += steps

        def close(self) -> None:
            self.closed = True

    monkeypatch.setitem(sys.modules, "tqdm.auto", types.SimpleNamespace(tqdm=Bar))
    with progress.in_notebook() as show:
        show(tally(begun_with=40))
        show(tally(ok=95))
    [bar] = bars
    assert (1000, 105, True, "95 ok, 10 quarantined") == (bar.total, bar.n, bar.closed, bar.text)
    with progress.in_notebook():
        pass
    assert 1 == len(bars)


def test_nothing_is_shown_when_nothing_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.unseen() as show:
        show(tally())
    assert ("", "") == tuple(capsys.readouterr())


@pytest.mark.parametrize(("config", "expected"), [(None, False), ({}, False), ({"IPKernelApp": {}}, True)])
def test_only_a_kernel_is_a_notebook(monkeypatch: pytest.MonkeyPatch, config: Any, expected: bool) -> None:
    """IPython on a terminal is none."""
    shell = None if config is None else types.SimpleNamespace(config=config)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert expected == progress.is_notebook()


def test_without_ipython_there_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not progress.is_notebook()
