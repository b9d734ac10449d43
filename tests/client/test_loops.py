"""What counts as a loop, and what does not however long it is."""

from __future__ import annotations

import random
import time

import pytest

from extract.client.loops import PERIOD, LoopGuard, is_loop

ROW = '{"name": "x", "n": 1}, '


@pytest.mark.parametrize(
    "tail",
    [
        " " * 2000,
        "\n\t" * 1000,
        "0" * 4000,
        "-=" * 2000,
        "\\n" * 2000,
        "the cat sat on the mat and " * 149,
        "0, " * 2667,
        "null, " * 1334,
        ROW * 500,
        ("x" * 400 + ", ") * 500,
    ],
    ids=lambda tail: f"{tail[:12]!r} {len(tail)}",
)
def test_a_loop_of_each_kind(tail: str) -> None:
    """Just long enough, after any beginning; a little less is none."""
    assert is_loop('{"some": "beginning", "x": ' + tail)
    limit = len(tail)
    assert not is_loop("#" + tail[: limit - max(30, limit // 400)])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" + "0, " * 200,
        "[" + "0.0, " * 1500,
        "[" + ROW * 499,
        '{"rule": "' + "-" * 3000,
        '{"layout": "a' + " " * 1500 + "b",
        ", ".join(map(str, range(100_000))),
        "".join(f'{{"row": {number}, "value": 0}}, ' for number in range(20_000)),
        ("y" * (PERIOD + 1) + ", ") * 600,
    ],
    ids=lambda text: f"{text[:12]!r} {len(text)}",
)
def test_what_honest_answers_hold(text: str) -> None:
    """Long lists of different items, equal numbers and rows by the hundred, rules, layout."""
    assert not is_loop(text)
    guard = LoopGuard()
    assert not any(guard.add(text[start : start + 7]) for start in range(0, len(text), 7))


@pytest.mark.parametrize("size", [1, 7, 1000, 5000])
def test_the_guard_sees_a_loop_soon(size: int) -> None:
    """Within 2,000 characters of its limit, in whatever pieces it comes."""
    guard = LoopGuard()
    assert not guard.add('{"a": "' + "".join(map(str, range(1000))))
    text, added = "0" * 20_000, 0
    while not guard.add(text[added : added + size]):
        added += size
        assert added < 6_000 + size


def test_the_guard_is_cheap() -> None:
    """20 MB of text that looks like loops again and again."""
    dice, guard = random.Random(1), LoopGuard()
    pieces = ["a" * 1000, "b", "ab" * 100, "a" * 499 + "b"]
    started = time.perf_counter()
    for _ in range(40_000):
        guard.add(dice.choice(pieces))
    assert time.perf_counter() - started < 10
