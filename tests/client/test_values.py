"""JSON as servers send it: what is read of values that may be anything."""

from __future__ import annotations

from typing import Any

import pytest

from extract.client.values import (
    finish_of,
    finish_of_whole,
    google_of,
    is_count,
    is_json,
    is_whole,
    json_of,
    json_or_none,
    listed,
    objects_in,
    part_of,
    parts_of,
)

ANYTHING: list[Any] = [None, True, 7, 1.5, "text", [], [1, "a", None], {}, {"a": 1}]


def test_half_a_surrogate_pair_is_json_too() -> None:
    """The strict reader refuses it, escaped or as it is."""
    assert ["\ud800"] == json_of(b'["\\ud800"]') == json_of('["\ud800"]')


@pytest.mark.parametrize("text", ["", "{", b"\xff", "[" * 100_000, "nope"])
def test_what_is_no_json_is_none(text: str | bytes) -> None:
    assert json_or_none(text) is None
    with pytest.raises((ValueError, RecursionError)):
        json_of(text)


def test_null_is_json_and_nothing_is_not() -> None:
    assert (True, True, False, False) == (is_json(" null\n"), is_json("0"), is_json(""), is_json("nul"))


def test_only_objects_and_lists_end_visibly() -> None:
    assert [True, True, False, False, False] == [is_whole(text) for text in ('{"a": 1}', "[]", "12", '{"a": ', None)]


@pytest.mark.parametrize("value", ANYTHING)
def test_any_value_can_be_read(value: Any) -> None:
    """What is not of the form that is looked for is empty."""
    assert (value if isinstance(value, list) else []) == listed(value)
    assert [] == objects_in(value)
    assert [{"a": 1}] == objects_in([value, {"a": 1}])[-1:]
    assert (value if isinstance(value, dict) else {}) == part_of({"x": value}, "x")
    assert {} == google_of({"extra_content": value}) == google_of({"extra_content": {"google": [value]}})
    assert [] == [text for _, text in parts_of([value, {"type": "text", "text": [value]}])]
    assert finish_of_whole({"tool_calls": [value], "content": value}) is None


def test_parts_are_told_apart() -> None:
    parts = [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", "thought": True},
        {"type": "thinking", "thinking": [{"text": "c"}, {"text": 7}, 8]},
        {"type": "thinking", "text": "d"},
        {"type": "image_url", "text": "e"},
    ]
    assert [("text", "a"), ("thinking", "b"), ("thinking", "c"), ("thinking", "d")] == list(parts_of(parts))


def test_a_reason_is_read_however_it_is_spelt() -> None:
    reasons = [{"finish_reason": "stop"}, {"finishReason": "STOP"}, {"finish_reason": ""}, {"finish_reason": 3}, {}]
    assert ["stop", "STOP", None, "3", None] == [finish_of(choice) for choice in reasons]


def test_a_count_is_a_number_above_zero() -> None:
    assert [True, True, False, False, False, False] == [is_count(value) for value in (1, 0.5, 0, -1, True, "1")]
