"""One reader for bodies and streams: how it tells them apart, and what it costs."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from extract.client import completion_from
from extract.client.reading import MAX_PAGE, Answer, is_stream
from extract.errors import APIError
from extract.records import ToolCall
from tests.client.raw import GOOD, answer, delta, events


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", None),
        (b"d", None),
        (b"data", None),
        (b"data:", True),
        (b"data\n", True),
        (b"retr", None),
        (b"retry:", True),
        (b"event: x", True),
        (b"id: 7", True),
        (b": hi", True),
        (b"{", False),
        (b"[", False),
        (b"<", False),
        (b"dada", False),
        (b"datas:", False),
        (b"date: x", False),
    ],
)
def test_the_first_bytes_tell_a_stream(head: bytes, expected: bool | None) -> None:
    assert expected is is_stream(head)


@pytest.mark.parametrize("blank", [b"\n", b" \r\n\t", b"\xef\xbb\xbf", b"\n" * 100_000])
def test_blanks_before_an_answer_are_nothing(blank: bytes) -> None:
    """Some gateways send them to keep a connection awake."""
    for body in (json.dumps(answer()).encode(), events(*GOOD)):
        data = blank + body
        reading = Answer({})
        for start in range(0, len(data), 5):
            reading.feed(data[start : start + 5])
        assert '{"a": 1}' == reading.completion().content == completion_from(data, {}).content


def test_a_page_is_over_at_its_cap() -> None:
    reading = Answer({})
    reading.feed(b"<html><title>Oops</title>")
    assert not reading.over
    reading.feed(b"x" * MAX_PAGE)
    assert reading.over
    with pytest.raises(APIError, match="Oops"):
        reading.completion()


def test_a_stream_is_over_at_done() -> None:
    """What comes after counts for nothing."""
    reading = Answer({})
    reading.feed(events(*GOOD))
    assert (True, True, True) == (reading.over, reading.done, reading.finished())
    reading.feed(b"data: {garbage\n\n" + events({"error": "x"}))
    assert '{"a": 1}' == reading.completion().content


def test_what_no_file_can_hold_is_escaped() -> None:
    """Half a surrogate pair in a name, a thought or a refusal; content is for the judge to refuse."""
    half = "\ud800"
    call = {"id": half, "function": {"name": half, "arguments": "{}"}}
    body = answer(half, reasoning=half, refusal=half, tool_calls=[call]) | {"model": half}
    body["citations"] = [f"https://a.example/{half}"]
    found = completion_from(json.dumps(body).encode(), {})
    assert ("\\ud800", "\\ud800", "\\ud800") == (found.model, found.reasoning, found.refusal)
    assert (ToolCall("\\ud800", "\\ud800", "{}"),) == found.tool_calls
    assert "https://a.example/\\ud800" == found.sources[0].url
    assert half == found.content


def test_a_stream_is_not_kept_twice() -> None:
    """Memory is of the order of the text, not of the events around it."""
    chunk = events(delta("x"), done=False)
    reading = Answer({})
    tracemalloc.start()
    for number in range(20_000):
        reading.feed(chunk.replace(b'"x"', b'"%d "' % number))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000
    assert 20_000 * len(chunk) > 1_500_000
