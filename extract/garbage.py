"""Fewer passes of Python's garbage collector while a run makes many objects that live long enough to be looked at."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Objects more than before, after which the youngest are looked at. A record at work is some hundred objects, so with
# Python's own 700 nearly all of what is at work is looked at again and again: a tenth of a run's CPU time, and stops of
# 50 ms in which no deadline is heeded. What a run leaves behind is freed by reference counts.
YOUNG = 50_000

_lock = threading.Lock()
_runs = 0
_usual = gc.get_threshold()


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collect garbage rarely, and leave alone what is there already, until the last of the runs at work has ended."""
    global _runs, _usual  # noqa: PLW0603  # the collector is one for the whole process
    with _lock:
        _runs += 1
        if _runs == 1:
            _usual = gc.get_threshold()
            gc.freeze()
            if 0 < _usual[0] < YOUNG:  # 0: somebody has switched it off
                gc.set_threshold(YOUNG, *_usual[1:])
    try:
        yield
    finally:
        with _lock:
            _runs -= 1
            if _runs == 0:
                gc.set_threshold(*_usual)
                gc.unfreeze()
