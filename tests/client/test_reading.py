"""One reader for bodies and streams: how it tells them apart, and what it costs."""

from __future__ import annotations

import gc
import json
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.client import completion_from
from extract.client.reading import MAX_PAGE, Answer, is_stream
from extract.errors import APIError, InvalidResponseError
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


@pytest.mark.parametrize(
    "arguments",
    [
        '{"a": 12345678901234567.89, "b": [1.10, -0.0]}',
        '{"a": 1, "a": 2}',
        '{"a": {"ä": 1, "ä": [true, null]}, "b": "x"}',
        '{"a": 1e400}',
        '[1.0, {"c": "\\"", "c": {}}]',
        "3.10",
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
def test_arguments_that_are_no_text_lose_nothing(arguments: str, streamed: bool, legacy: bool) -> None:
    """Every digit and every member is there, also where one is there twice: whoever reads them refuses that."""
    function = f'{{"name": "f", "arguments": {arguments}}}'
    called = f'"function_call": {function}' if legacy else f'"tool_calls": [{{"id": "i", "function": {function}}}]'
    holder = "delta" if streamed else "message"
    body = f'{{"choices": [{{"index": 0, "{holder}": {{{called}}}, "finish_reason": "tool_calls"}}]}}'
    read = completion_from((f"data: {body}\n\ndata: [DONE]\n\n" if streamed else body).encode(), {})
    assert [arguments] == [call.arguments for call in read.tool_calls]
    assert read.tool_calls == completion_from(read.raw, {}).tool_calls


@pytest.mark.parametrize("arguments", ['{"a": ' + "9" * 5000 + "}", '{"a":' * 900 + "1" + "}" * 900, "[" * 100_000])
@pytest.mark.parametrize("holder", ["delta", "message"])
def test_arguments_that_no_reader_takes_are_an_invalid_answer(arguments: str, holder: str) -> None:
    called = f'"tool_calls": [{{"id": "i", "function": {{"name": "f", "arguments": {arguments}}}}}]'
    body = f'{{"choices": [{{"index": 0, "{holder}": {{{called}}}, "finish_reason": "tool_calls"}}]}}'
    with pytest.raises(InvalidResponseError):
        completion_from((f"data: {body}\n\ndata: [DONE]\n\n" if holder == "delta" else body).encode(), {})


_ODD = st.sampled_from([None, "", "x", "a</think>b", 0, 7, 2.0, True, -1, 10**12, [], [1], {}, {"a": 1}])


@given(
    content=st.sampled_from(['{"a": 1}', "", "t</think>{}", "<thought>x</thought>{}"]) | _ODD,
    members=st.dictionaries(st.sampled_from(["refusal", "tool_calls", "reasoning_content", "annotations", "x"]), _ODD),
    finish=st.sampled_from(["stop", "length", "STOP", None, 3]),
    usage=_ODD | st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens"]), _ODD),
    model=_ODD,
)
def test_a_usual_answer_is_read_the_short_way_and_the_long_way_alike(
    content: Any, members: Any, finish: Any, usage: Any, model: Any
) -> None:
    """A member that nobody knows sends it the long way."""
    message = {"role": "assistant", "content": content, **members}
    usual = {"model": model, "choices": [{"message": message, "finish_reason": finish}], "usage": usage}
    found = []
    for document in (usual, {**usual, "nobody_knows": None}):
        try:
            completion = completion_from(json.dumps(document).encode(), {"x-request-id": "r"})
            found.append(repr(replace(completion, raw=b"")))
        except APIError as error:
            found.append(f"{type(error).__name__}: {error.message[:60]}")
    assert found[0] == found[1]


@pytest.mark.parametrize("body", [b'{"choices": [', b"<html>", b"{" * 100_000])
def test_what_is_no_json_leaves_nothing_to_the_collector(body: bytes) -> None:
    """The error is let go with the last who knows it, and so is all that was read."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            with suppress(InvalidResponseError):
                completion_from(body, {})
        assert 0 == gc.collect()
    finally:
        gc.enable()
