"""The assembly of a stream: one document, the same for every split, that can be kept and read again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extract.client import completion_from
from extract.client.reading import Answer
from extract.client.sse import Event
from extract.client.stream import MARKS, Assembly
from extract.errors import APIError, InvalidResponseError
from extract.records import Completion
from tests.client.raw import GOOD, USAGE, answer, delta, events


def assembled(*chunks: Any, cut: bool = False, **settings: bool) -> dict[str, Any]:
    assembly = Assembly({})
    for chunk in chunks:
        assembly.add(Event(chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode()))
    return assembly.document(cut=cut, finish_optional=settings.get("finish_optional", False))


def test_a_stream_becomes_what_it_would_be_unstreamed() -> None:
    """The members of the API, and none of our own."""
    document = assembled(*GOOD[:2], delta(finish="stop"), {"choices": [], "usage": USAGE}, b"[DONE]")
    expected = answer(usage=USAGE) | {"object": "chat.completion"}
    assert expected == document
    assert MARKS not in document


TEXT = st.text(max_size=20)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "content": TEXT | st.none() | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXT})),
        "reasoning": TEXT,
        "refusal": st.just("") | st.none(),
        "annotations": st.just([{"url_citation": {"url": "https://a.example"}}]),
        "tool_calls": st.none()
        | st.lists(
            st.fixed_dictionaries(
                {"index": st.integers(0, 2)},
                optional={"id": TEXT, "function": st.fixed_dictionaries({"arguments": TEXT}, optional={"name": TEXT})},
            ),
            max_size=3,
        ),
    },
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # under coverage, on a busy machine
@given(st.lists(DELTAS, max_size=8), st.lists(st.integers(0, 5000), max_size=10))
def test_any_stream_in_any_split(deltas: list[dict[str, Any]], places: list[int]) -> None:
    """One result, which the stored document gives again; content is the content of the deltas."""
    data = events(*({"choices": [{"index": 0, "delta": each}]} for each in deltas), delta(finish="stop"))
    whole = completion_from(data, {})
    ends = sorted({0, len(data), *(place % len(data) for place in places)})
    reading = Answer({})
    for start, end in zip(ends, ends[1:], strict=False):  # noqa: RUF007
        reading.feed(data[start:end])
    assert whole == reading.completion() == completion_from(whole.raw, {})
    contents = [each.get("content") or "" for each in deltas]
    texts = ["".join(part["text"] for part in each) if isinstance(each, list) else each for each in contents]
    if not whole.flags and "</th" not in "".join(texts):
        assert "".join(texts) == (whole.content or "")


def test_half_of_a_surrogate_pair_in_each_of_two_deltas() -> None:
    """Some gateways cut text between the halves: together they are a character."""
    chunks = (b'{"choices": [{"delta": {"content": "\\ud83d"}}]}', b'{"choices": [{"delta": {"content": "\\ude00"}}]}')
    data = events(*(b"data: " + chunk + b"\n\n" for chunk in chunks), delta(finish="stop"))
    assert "😀" == completion_from(data, {}).content


@pytest.mark.parametrize("chunk", [b"{", b"7", b'"x"', b"[1]", b"\xff", b"[" * 100_000, b'{"a": "\xff"}'])
def test_what_is_no_chunk_is_refused(chunk: bytes) -> None:
    with pytest.raises(APIError) as caught:
        assembled(*GOOD, chunk)
    assert caught.value.retryable


@pytest.mark.parametrize(
    "chunk",
    [
        b"null",
        b"{}",
        b'{"choices": [null, 7]}',
        b'{"choices": [{"delta": null}]}',
        b'{"choices": [{"delta": "x"}]}',
        b'{"choices": [{"delta": {"tool_calls": 7, "annotations": 7, "reasoning_details": 7, "content": 7}}]}',
        b'{"choices": [{"delta": {"tool_calls": [7, {}, {"function": 7}], "reasoning_details": [7]}}]}',
        b'{"usage": [], "x_groq": 7, "model": "other"}',
    ],
)
def test_odd_chunks_do_no_harm(chunk: bytes) -> None:
    if chunk == b'{"choices": [null, 7]}':
        with pytest.raises(InvalidResponseError):
            completion_from(events(*GOOD[:2], b"data: " + chunk + b"\n\n", GOOD[2]), {})
        return
    found = completion_from(events(*GOOD[:2], b"data: " + chunk + b"\n\n", GOOD[2]), {})
    assert ('{"a": 1}', "stop", "m", ()) == (found.content, found.finish_reason, found.model, found.tool_calls)


def test_marks_of_a_stored_document_are_ours_only() -> None:
    """A server that sends the member itself can name no other flag, and nothing else changes."""
    for marks in ({"flags": ["finish_missing", "x", 7]}, {"flags": 7}, 7, None):
        found = completion_from(json.dumps(answer() | {MARKS: marks}).encode(), {})
        assert set(found.flags) <= {"finish_missing"}
        assert isinstance(found, Completion)


def test_usage_of_other_places() -> None:
    """Groq's own member, and that of a choice."""
    for chunk in ({"x_groq": {"usage": USAGE}}, {"choices": [{"index": 0, "delta": {}, "usage": USAGE}]}):
        assert USAGE == assembled(*GOOD, chunk)["usage"]


def test_a_cut_end_is_trusted_only_after_the_last_text() -> None:
    """A finish_reason in a chunk with text may stand on every chunk."""
    assert assembled(*GOOD, cut=True)
    with pytest.raises(InvalidResponseError, match="ended before"):
        assembled(delta("{}", "stop"), cut=True)
    assert assembled(delta("{}", "stop"))
