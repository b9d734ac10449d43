"""The event decoder: the shared vectors, and the same events for every split of the bytes."""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.client.sse import FOREIGN, Decoder, Event
from tests.support import SHARED

FOLDER = SHARED / "vectors" / "sse"
STREAMS: list[dict[str, Any]] = json.loads((FOLDER / "streams.json").read_text()) if FOLDER.exists() else []
LINES: list[dict[str, Any]] = json.loads((FOLDER / "lines.json").read_text()) if FOLDER.exists() else []


def decoded(pieces: list[bytes], **settings: bool) -> tuple[list[Event], Event | None, Decoder]:
    decoder = Decoder(**settings)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events, decoder.close(), decoder


def bytewise(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


def as_vector(event: Event | None) -> dict[str, Any] | None:
    if event is None:
        return None
    return {"event": event.name, "data": event.text, "id": event.id, "last_event_id": event.last_id}


@pytest.mark.shared
@pytest.mark.skipif(not STREAMS, reason="no shared folder")
@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case["id"])
def test_every_vector_in_every_way_of_feeding(case: dict[str, Any]) -> None:
    """As it came, whole, and byte by byte: events, retry, comments and the unfinished event."""
    chunks = [base64.b64decode(chunk) for chunk in case["chunks"]]
    for pieces in (chunks, [b"".join(chunks)], bytewise(b"".join(chunks))):
        events, unfinished, decoder = decoded(pieces)
        assert case["events"] == [as_vector(event) for event in events]
        assert case["unfinished"] == as_vector(unfinished)
        assert case["retry"] == decoder.retry
        assert case["comments"][-16:] == list(decoder.comments)


@pytest.mark.shared
@pytest.mark.skipif(not LINES, reason="no shared folder")
@pytest.mark.parametrize("case", LINES, ids=lambda case: case["id"])
def test_lines_end_only_where_the_standard_ends_them(case: dict[str, Any]) -> None:
    """Each line as the value of a field: the event has exactly these lines of data."""
    whole = "".join(case["chunks"])
    marked = re.sub("\r\n|\r|\n", lambda end: end[0] + ("data:" if end.end() < len(whole) else ""), whole)
    _, unfinished, _ = decoded(bytewise(f"data:{marked}".encode()))
    found = unfinished.text.split("\n") if unfinished and whole else []
    assert [line.removeprefix(" ") for line in case["lines"]] == found


@pytest.mark.shared
@pytest.mark.skipif(not STREAMS, reason="no shared folder")
@given(st.sampled_from(STREAMS or [{}]), st.lists(st.integers(0, 10_000), max_size=12))
def test_random_splits_of_the_vectors(case: dict[str, Any], places: list[int]) -> None:
    """Any cuts give what the whole gives."""
    data = b"".join(base64.b64decode(chunk) for chunk in case["chunks"])
    assert case["events"] == [as_vector(event) for event in decoded(cut(data, places))[0]]


PIECES = st.sampled_from(
    [
        b"data",
        b":",
        b" ",
        b"\r",
        b"\n",
        b"\r\n",
        b"id",
        b"event",
        b"retry",
        b"7",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        b"{",
        b"\xc2\x85",
        b"\0",
        b"x",
        b"\xff",
        b"data: y\n\n",
    ]
)


@given(st.lists(PIECES, max_size=40).map(b"".join), st.lists(st.integers(0, 400), max_size=8))
def test_random_bytes_in_random_splits(data: bytes, places: list[int]) -> None:
    """Byte by byte, cut anywhere and whole are one."""
    whole = decoded([data], tell_foreign=True)
    for pieces in (bytewise(data), cut(data, places)):
        events, unfinished, decoder = decoded(pieces, tell_foreign=True)
        assert whole[:2] == (events, unfinished)
        assert (whole[2].retry, whole[2].comments) == (decoder.retry, decoder.comments)


def test_separators_of_unicode_end_no_line() -> None:
    """U+2028, U+2029 and U+0085 stay in the data."""
    text = '{"a": "x\u2028y\u2029z\x85"}'
    events, _, _ = decoded(bytewise(f"data: {text}\n\n".encode()))
    assert [text] == [event.text for event in events]


def test_a_line_that_is_no_field_but_holds_json_can_be_told() -> None:
    """A damaged `data` would else lose its piece in silence; the standard ignores it."""
    pieces = [b'dat: {"a": 1}\n\nhello\n: {"b": 2}\n\ndata: x\n\n{"c": 3}']
    events, unfinished, _ = decoded(pieces, tell_foreign=True)
    assert [Event(b'dat: {"a": 1}', FOREIGN), Event(b"x")] == events
    assert Event(b'{"c": 3}', FOREIGN) == unfinished
    assert ([Event(b"x")], None) == decoded(pieces)[:2]


def test_only_the_last_comments_are_kept() -> None:
    """A gateway may send them for hours."""
    _, _, decoder = decoded([b"".join(b": %d\n" % number for number in range(1000))])
    assert [f" {number}" for number in range(984, 1000)] == list(decoder.comments)


def test_an_absurd_retry_is_none() -> None:
    """It is no number of milliseconds, and int() refuses very long ones."""
    assert decoded([b"retry: " + b"9" * 5000 + b"\n"])[2].retry is None


@pytest.mark.parametrize("step", [1, 1000, 65536])
def test_a_line_of_megabytes_costs_time_in_proportion_to_its_length(step: int) -> None:
    """8 MB, even in small pieces (1 MB byte by byte)."""
    size = 1_000_000 if step == 1 else 8_000_000
    data = b"data: " + b"x" * size + b"\n\n"
    started = time.process_time()
    decoder = Decoder()
    events = [event for start in range(0, len(data), step) for event in decoder.feed(data[start : start + step])]
    assert [size] == [len(event.data) for event in events]
    assert time.process_time() - started < (3 if sys.gettrace() is None else 12)  # measuring coverage takes its own
