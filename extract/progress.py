"""How a run is watched: a live line on a terminal, log lines in a pipe, a bar in a notebook."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from extract.report import OnProgress, Tally

if TYPE_CHECKING:
    from rich.progress import Progress

logger = logging.getLogger("extract.progress")

LOG_EVERY = 5.0  # seconds between log lines
DRAW_EVERY = 0.1  # seconds between updates of a live line
SLOW = 0.1  # rows a second below which they are told by the minute
WIDE = 120  # columns of a terminal with room for a bar

_drawn: list[Progress] = []  # on the terminal now; whoever asks there has no other way to them


def status(tally: Tally) -> str:
    """done/all, ok, quarantined, rows/s, time to go, tokens, cost, retries."""
    rate = _rate(tally)
    parts = [f"{tally.done:,}/{tally.records:,}", f"{tally.ok:,} ok", f"{tally.quarantined:,} quarantined"]
    parts.append(f"{rate:.1f} rows/s" if rate >= SLOW or not rate else f"{60 * rate:.1f} rows/min")
    parts += [f"{_clock((tally.records - tally.done) / rate)} to go"] if rate > 0 and tally.done < tally.records else []
    parts.append(f"{tally.usage.input_tokens + tally.usage.output_tokens:,} tokens")
    parts += [f"{tally.cost_usd:.4f} USD"] if tally.cost_usd else []
    parts += [f"{tally.retries:,} retries"] if tally.retries else []
    return ", ".join(parts)


def _rate(tally: Tally) -> float:
    """Records a second that were asked for; those from the journal say nothing of the time to go."""
    fresh = tally.done - tally.begun_with - tally.replayed
    return fresh / tally.seconds if tally.seconds > 0 else 0.0


@contextmanager
def on_terminal() -> Iterator[OnProgress]:
    """A live line on stderr; with a bar where there is room for both."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn

    console = Console(stderr=True)
    columns: list[ProgressColumn] = [BarColumn(bar_width=24)] if console.width >= WIDE else []
    columns.append(TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task("starting", total=None)

        def draw(tally: Tally) -> None:
            progress.update(task, total=tally.records, completed=tally.done, description=status(tally))

        _drawn.append(progress)
        try:
            yield _at_most_every(DRAW_EVERY, draw)
        finally:
            _drawn.remove(progress)


@contextmanager
def aside() -> Iterator[None]:
    """No live line meanwhile: it would be drawn over a question again and again."""
    for progress in _drawn:
        progress.stop()
    try:
        yield
    finally:
        for progress in _drawn:
            progress.start()


@contextmanager
def in_log() -> Iterator[OnProgress]:
    """Plain log lines, for pipes and schedulers."""
    yield _at_most_every(LOG_EVERY, lambda tally: logger.info("%s", status(tally)))


@contextmanager
def in_notebook() -> Iterator[OnProgress]:
    """A tqdm bar, a widget where the notebook has them."""
    from tqdm.auto import tqdm

    bar: Any = None

    def draw(tally: Tally) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(total=tally.records, unit="row", initial=tally.begun_with)
        bar.set_postfix_str(f"{tally.ok} ok, {tally.quarantined} quarantined", refresh=False)
        bar.update(tally.done - bar.n)

    try:
        yield draw
    finally:
        if bar is not None:
            bar.close()


@contextmanager
def unseen() -> Iterator[OnProgress]:
    """Nothing is shown."""
    yield lambda tally: None


def default() -> AbstractContextManager[OnProgress]:
    """What a run shows unasked: a bar in a notebook that has tqdm, else nothing."""
    return in_notebook() if is_notebook() and find_spec("tqdm") else unseen()


def is_notebook() -> bool:
    """Whether this code runs in a Jupyter kernel; tqdm's widget bar makes sense only there."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config


def _at_most_every(seconds: float, draw: OnProgress) -> OnProgress:
    last = 0.0

    def throttled(tally: Tally) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds:
            last = now
            draw(tally)

    return throttled


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
