"""The garbage collector during a run, and after it."""

from __future__ import annotations

import gc
import threading

import pytest

from extract.garbage import YOUNG, rare_collections


def test_collections_are_rare_in_a_run_and_as_before_after_it() -> None:
    before = gc.get_threshold()
    with rare_collections():
        assert (YOUNG, *before[1:]) == gc.get_threshold()
        assert gc.get_freeze_count() > 1000
    assert before == gc.get_threshold()
    assert 0 == gc.get_freeze_count()


def test_the_last_of_several_runs_puts_it_back() -> None:
    before = gc.get_threshold()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with rare_collections():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with rare_collections():
        thread.start()
        assert inside.wait(10)
    assert YOUNG == gc.get_threshold()[0]
    leave.set()
    thread.join()
    assert before == gc.get_threshold()


def test_a_run_that_fails_puts_it_back() -> None:
    before = gc.get_threshold()
    with pytest.raises(KeyError), rare_collections():
        raise KeyError
    assert before == gc.get_threshold()


def test_who_collects_never_or_rarely_is_left_alone() -> None:
    before = gc.get_threshold()
    try:
        for chosen in ((0, 10, 10), (YOUNG * 2, 5, 5)):
            gc.set_threshold(*chosen)
            with rare_collections():
                assert chosen == gc.get_threshold()
            assert chosen == gc.get_threshold()
    finally:
        gc.set_threshold(*before)
