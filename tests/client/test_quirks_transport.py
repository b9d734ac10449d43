"""What real servers do to a stream on its way (Q1-Q18, Q69-Q73, Q77), over a real socket."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from extract.client import completion_from, exchange
from extract.config import Limits
from extract.errors import (
    APIConnectionError,
    APITimeoutError,
    ContentPolicyError,
    ErrorClass,
    InvalidResponseError,
    RateLimitError,
)
from extract.records import Usage
from tests.client.raw import (
    GOOD,
    USAGE,
    answer,
    asked,
    delta,
    events,
    head,
    plain,
    refused,
    streamed,
)
from tests.support import KEY

both = pytest.mark.parametrize("stream", [False, True])


@both
@pytest.mark.parametrize("pieces", [streamed(*GOOD), plain(answer('{"a": 1}'))], ids=["events", "json"])
def test_q1_q2_q3_the_first_bytes_decide_what_an_answer_is(stream: bool, pieces: bytes) -> None:
    """Streamed though not asked for, not streamed though asked for."""
    found = asked(pieces, stream=stream)
    assert ('{"a": 1}', "stop", "m") == (found.content, found.finish_reason, found.model)


def test_q3_a_json_error_instead_of_a_stream() -> None:
    error = refused(plain({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}))
    assert (RateLimitError, ErrorClass.RATE) == (type(error), error.kind)


@both
@pytest.mark.parametrize("content_type", [None, "text/html", "application/octet-stream", "text/event-stream"])
def test_q4_the_content_type_counts_for_nothing(stream: bool, content_type: str | None) -> None:
    json_body, stream_body = json.dumps(answer()).encode(), events(*GOOD)
    assert '{"a": 1}' == asked(head(content_type), json_body, stream=stream).content
    assert '{"a": 1}' == asked(head(content_type), stream_body, stream=stream).content


@both
@pytest.mark.parametrize("status", [200, 504])
def test_q5_a_page_is_an_error_that_says_its_title(stream: bool, status: int) -> None:
    """Hundreds of kilobytes of HTML are not kept, and beyond the cap not even read."""
    page = b"<html><head><title>504 Gateway Time-out</title></head>" + b"x" * 5_000_000
    error = refused(head("text/html", status), page, stream=stream)
    assert ErrorClass.TRANSIENT is error.kind
    assert "504 Gateway Time-out" in error.message
    assert status == error.status
    assert len(error.body) <= 65536


def test_q6_comments_that_keep_the_connection_awake_are_no_events() -> None:
    """Nor do they let the answer fail for idleness."""
    limits = Limits(timeout=10, idle_timeout=0.5)
    beats = [piece for _ in range(4) for piece in (b": OPENROUTER PROCESSING\n\n", 0.2)]
    assert '{"a": 1}' == asked(head(), *beats, b": PING\n\n", events(*GOOD), limits=limits).content


@pytest.mark.parametrize(
    "make",
    [
        lambda data: data.replace(b"data: ", b"data:"),
        lambda data: data.replace(b"\n", b"\r"),
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: b"data: \n\n" + data.replace(b"\n\n", b"\r\n\ndata:\n\r\n"),
        lambda data: data.replace(b', "model"', b',\ndata: "model"'),
        lambda data: b"retry: 3000\n" + data.replace(b"data: ", b"id: 7\nevent: message\ndata: "),
    ],
    ids=["no space", "CR", "CRLF", "BOM", "blank data, mixed ends", "several lines", "id, event, retry"],
)
def test_q7_every_spelling_of_an_event(make: Any) -> None:
    """Whole, and cut at each byte (so between CR and LF too)."""
    data = make(events(*GOOD))
    cut = [data[place : place + 1] for place in range(len(data))]
    assert '{"a": 1}' == asked(head(), data).content == asked(head(), *cut).content


def test_q8_events_may_be_cut_within_a_character() -> None:
    text = '{"a": "päivää 😀"}'
    data = "".join(f"data: {json.dumps(delta(each), ensure_ascii=False)}\n\n" for each in text).encode()
    data += events(delta(finish="stop"))
    pieces = [data[start : start + 7] for start in range(0, len(data), 7)]
    assert text == asked(head(), *pieces).content


def test_q8_a_chunk_that_is_no_json_is_never_left_out() -> None:
    """Its text would be missing from the answer; what was one event and came as two is not guessed at."""
    whole = events(delta('{"a":'))
    error = refused(head(), whole[:30] + b"\n\ndata: " + whole[30:], events(delta(" 1}"), delta(finish="stop")))
    assert (InvalidResponseError, ErrorClass.TRANSIENT) == (type(error), error.kind)
    error = refused(head(), events(*GOOD[:1], b'dat: {"choices": []}\n\n', *GOOD[1:]))
    assert ErrorClass.TRANSIENT is error.kind


def test_q9_separators_of_unicode_split_nothing() -> None:
    text = '{"a": "x\u2028y\u2029z\x85"}'
    data = b"data: " + json.dumps(delta(text), ensure_ascii=False).encode() + b"\n\n"
    assert text == asked(head(), data, events(delta(finish="stop"))).content


def test_q10_the_last_event_counts_without_its_blank_line() -> None:
    data = events(*GOOD, done=False)
    for end in (data.rstrip(b"\n"), data[:-1], data + b"data: [DONE]"):
        assert '{"a": 1}' == asked(head(), end).content


def test_q11_no_done_at_the_end() -> None:
    """A finish_reason is enough."""
    assert '{"a": 1}' == asked(streamed(*GOOD, done=False)).content


def test_q12_done_without_a_finish_reason_is_no_answer() -> None:
    """The gateway says [DONE] although what is behind it died; the usage that it adds changes nothing."""
    error = refused(streamed(*GOOD[:2], {"choices": [], "usage": USAGE}))
    assert (InvalidResponseError, ErrorClass.TRANSIENT) == (type(error), error.kind)
    assert "finish_reason" in error.message
    assert b'{"a": 1}' == error.body


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("length", [None, 100_000])
def test_q13_a_stream_that_breaks_off_is_transient(end: Any, length: int | None) -> None:
    """Between events and within one; whatever the connection says."""
    start = events(*GOOD[:2], done=False)
    for data in (start, start[:-40], start[:1], b""):
        assert ErrorClass.TRANSIENT is refused(head(length=length), data, 0.05, end=end).kind


def test_q13_no_byte_for_too_long() -> None:
    """The time runs from the first byte; before it the model may think."""
    limits = Limits(timeout=10, idle_timeout=0.3)
    started = time.monotonic()
    error = refused(head(), 0.6, events(*GOOD[:1], done=False), end="hang", limits=limits)
    assert (APITimeoutError, ErrorClass.TRANSIENT) == (type(error), error.kind)
    assert "no byte of the answer for 0.3 s" in error.message
    assert time.monotonic() - started < 5
    error = refused(head("application/json", length=99), b'{"choi', end="hang", limits=limits, stream=False)
    assert "0.3 s" in error.message


def test_q13_the_total_time_ends_a_stream_that_drips() -> None:
    drops = [piece for _ in range(100) for piece in (b": x\n\n", 0.05)]
    error = refused(head(), *drops, limits=Limits(timeout=0.5, idle_timeout=5))
    assert "no answer within 0.5 s" in error.message


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "overloaded", "code": 502}, ErrorClass.TRANSIENT),
        ({"message": "no", "code": "rate_limit_exceeded"}, ErrorClass.RATE),
        ({"message": "no", "code": "insufficient_quota"}, ErrorClass.BALANCE),
    ],
)
def test_q14_an_error_within_the_stream(error: dict[str, Any], kind: ErrorClass) -> None:
    """With choices or without; never the answer so far."""
    last = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    for chunk in ({"error": error}, {"error": error, "choices": [last]}):
        assert kind is refused(streamed(*GOOD[:2], chunk)).kind


@pytest.mark.parametrize("choices", [[], None])
def test_q15_chunks_without_choices_anywhere(choices: Any) -> None:
    bare = {"id": "c", "choices": choices}
    found = asked(streamed(bare, GOOD[0], bare, *GOOD[1:], bare, bare | {"usage": USAGE}))
    assert ('{"a": 1}', Usage(7, 3)) == (found.content, found.usage)


@pytest.mark.parametrize("size", [70_000, 1_500_000])
def test_q16_a_very_long_line(size: int) -> None:
    text = json.dumps({"a": "".join(map(str, range(size // 5)))})
    assert text == asked(streamed(delta(text), delta(finish="stop"))).content


@both
def test_q16_an_answer_beyond_the_cap_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    monkeypatch.setattr(exchange, "MAX_ANSWER", 100_000)
    for start in (b"data: {", b"{"):
        assert "larger than 100000 bytes" in refused(head(), start, b"x" * 5_000_000, stream=stream).message


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [(["length", "stop"], "length"), (["stop", "stop"], "stop"), (["tool_calls", "stop"], "tool_calls")],
)
def test_q17_the_first_finish_reason_stays(reasons: list[str], expected: str) -> None:
    found = asked(streamed(*GOOD[:2], *(delta("", finish=reason) for reason in reasons)))
    assert expected == found.finish_reason


def test_q18_a_finish_reason_on_every_chunk() -> None:
    """The answer goes on after the first; only [DONE] says that it is whole, and a last "length" is the truth."""
    chunks = [delta('{"a":', "stop"), delta(" 1", "stop"), delta("}", "stop")]
    assert '{"a": 1}' == asked(streamed(*chunks)).content
    assert ErrorClass.TRANSIENT is refused(streamed(*chunks[:2], done=False)).kind
    assert "length" == asked(streamed(*chunks[:2], delta("2", "length"))).finish_reason


@both
def test_q18_a_finish_reason_in_camel_case(stream: bool) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "{}"}, "finishReason": "STOP"}]}
    body = {"choices": [{"message": {"content": "{}"}, "finishReason": "MAX_TOKENS"}]}
    assert "stop" == asked(streamed(chunk), stream=stream).finish_reason
    assert "length" == asked(plain(body), stream=stream).finish_reason


class Racing(httpx.AsyncHTTPTransport):
    """httpx's own transport, as anyio's race makes it fail: while reading, or when all is read."""

    def __init__(self, *, reading: bool) -> None:
        super().__init__()
        self._reading = reading

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        response.stream = RacingBody(response.stream, self._reading)  # type: ignore[arg-type]
        return response


class RacingBody(httpx.AsyncByteStream):
    def __init__(self, body: httpx.AsyncByteStream, reading: bool) -> None:
        self._body, self._reading = body, reading

    async def __aiter__(self) -> Any:
        async for chunk in self._body:
            yield chunk
        if self._reading:
            None.call_soon()  # type: ignore[attr-defined]

    async def aclose(self) -> None:
        await self._body.aclose()
        None.call_soon()  # type: ignore[attr-defined]


@pytest.mark.parametrize("reading", [False, True])
def test_q69_a_race_on_closing_costs_no_whole_answer(reading: bool) -> None:
    """While an incomplete one is a connection error, worth another attempt; no other AttributeError is swallowed."""
    whole, partial = streamed(*GOOD, done=False), streamed(*GOOD[:2], done=False)
    assert '{"a": 1}' == asked(whole, transport=Racing(reading=reading)).content
    error = refused(partial, transport=Racing(reading=reading))
    assert ErrorClass.TRANSIENT is error.kind
    if reading:  # a document ends visibly
        assert '{"a": 1}' == asked(plain(answer()), transport=Racing(reading=True), stream=False).content
        error = refused(plain(answer())[:-1], transport=Racing(reading=True), stream=False)
        assert APIConnectionError is type(error)


def test_q69_a_users_own_fault_is_raised_as_it_is() -> None:
    class Faulty(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=FaultyBody())

    class FaultyBody(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield b"data: "
            None.other()  # type: ignore[attr-defined]

    with pytest.raises(AttributeError, match="other"):
        asked(transport=Faulty())


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"error": {"message": "no", "type": "server_error", "code": 503}}, ErrorClass.TRANSIENT),
        ({"message": "no", "code": "content_filter"}, ErrorClass.POLICY),
        ({"error": {"message": "bad", "type": "invalid_request_error", "status_code": 400}}, ErrorClass.REQUEST),
    ],
)
def test_q70_an_event_named_error(data: dict[str, Any], kind: ErrorClass) -> None:
    """Then the end, without [DONE]; what it says is read as the body of an error."""
    error = refused(streamed(*GOOD[:2], b"event: error\ndata: " + json.dumps(data).encode() + b"\n\n", done=False))
    assert kind is error.kind


def test_q70_an_event_named_error_that_is_no_json() -> None:
    error = refused(streamed(*GOOD, b"event: error\ndata: upstream died\n\n"))
    assert (ErrorClass.TRANSIENT, True) == (error.kind, "upstream died" in error.message)


@both
def test_q71_a_finish_reason_that_never_comes_counts_only_where_it_may(stream: bool) -> None:
    """`finish_optional`: with [DONE] and whole JSON the answer is taken and marked, and can be read again."""
    chunks = (delta('{"a":', finish=""), delta(" 1}", refusal=""), {"choices": [], "usage": USAGE})
    assert ErrorClass.TRANSIENT is refused(streamed(*chunks), stream=stream).kind
    found = asked(streamed(*chunks), finish_optional=True, stream=stream)
    assert ('{"a": 1}', "stop", ("finish_missing",), Usage(7, 3)) == (
        *(found.content, found.finish_reason, found.flags, found.usage),
    )
    assert found == completion_from(found.raw, {})


@pytest.mark.parametrize("content", ['{"a": 1', "12", "", '{"a": 1}}'])
def test_q71_only_what_ends_visibly_is_whole(content: str) -> None:
    """12 may have been 123."""
    assert ErrorClass.TRANSIENT is refused(streamed(delta(content)), finish_optional=True).kind


def test_q71_without_done_nothing_is_whole() -> None:
    assert ErrorClass.TRANSIENT is refused(streamed(*GOOD[:2], done=False), finish_optional=True).kind


def test_q71_a_body_without_a_finish_reason() -> None:
    """Not streamed: tried again, unless it may be missing. Its fillers are no refusal and no call."""
    fillers = {"refusal": "", "function_call": {"name": "", "arguments": ""}, "audio": {"data": ""}, "tool_calls": None}
    body = plain(answer(finish="", **fillers))
    assert ErrorClass.TRANSIENT is refused(body, stream=False).kind
    found = asked(body, stream=False, finish_optional=True)
    assert ("stop", ("finish_missing",)) == (found.finish_reason, found.flags)
    assert (None, ()) == (found.refusal, found.tool_calls)
    assert found == completion_from(found.raw, {})
    assert ErrorClass.TRANSIENT is refused(plain(answer('{"a": ', finish=None)), finish_optional=True).kind


def test_q72_usage_counts_thoughts_that_stand_only_in_the_total() -> None:
    usage = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}
    for pieces in (plain(answer(usage=usage)), streamed(*GOOD, {"choices": [], "usage": usage})):
        assert Usage(35, 74) == asked(pieces).usage


def test_q73_an_error_after_the_finish_reason() -> None:
    chunks = (*GOOD, {"error": {"code": 400, "message": "Token limit reached"}, "choices": [], "usage": USAGE})
    assert "Token limit reached" in refused(streamed(*chunks)).message


def test_q73_the_last_chunk_repeats_finish_reason_and_usage() -> None:
    """Counted once; an empty usage after it takes nothing back."""
    again = delta("", "stop", USAGE)
    found = asked(streamed(*GOOD[:2], again, again, {"choices": [], "usage": {"prompt_tokens": 0}}))
    assert ("stop", Usage(7, 3)) == (found.finish_reason, found.usage)


def test_q77_one_chunk_with_everything() -> None:
    """Gemini's layer: no id, and content, finish_reason and usage together."""
    chunk = {"choices": [{"index": 0, "delta": {"content": '{"a": 1}'}, "finish_reason": "stop"}], "usage": USAGE}
    for done in (True, False):
        found = asked(streamed(chunk, done=done))
        assert ('{"a": 1}', "stop", Usage(7, 3)) == (found.content, found.finish_reason, found.usage)


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_connection_that_breaks_after_the_whole_answer_costs_nothing(end: Any) -> None:
    """It was paid for."""
    assert '{"a": 1}' == asked(head(length=100_000), events(*GOOD), 0.05, end=end).content
    assert '{"a": 1}' == asked(head(length=100_000), events(*GOOD, done=False), 0.05, end=end).content
    broken_off = events(*GOOD, done=False) + b'data: {"choices": [], "us'
    assert '{"a": 1}' == asked(head(), broken_off).content


def test_a_server_that_does_not_end_after_the_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for long; without [DONE] a little longer, for the usage."""
    monkeypatch.setattr(exchange, "_LINGER", 0.3)
    for done in (True, False):
        started = time.monotonic()
        assert '{"a": 1}' == asked(streamed(*GOOD, done=done), end="hang").content
        assert time.monotonic() - started < 3


def test_two_choices_are_no_answer() -> None:
    """As where it is not streamed: nobody says which is meant."""
    second = {"choices": [{"index": 1, "delta": {"content": "{}"}, "finish_reason": "stop"}]}
    assert "not one choice" in refused(streamed(*GOOD[:2], second, GOOD[2])).message
    assert "not one choice" in refused(plain({"choices": answer()["choices"] * 2})).message


def test_the_key_is_nowhere_even_when_it_comes_in_pieces() -> None:
    """Cut over packets, and over the deltas of a stream."""
    data = events(delta(f'{{"a": "{KEY[:9]}'), delta(f'{KEY[9:]}"}}'), delta(KEY), delta(finish="stop"))
    pieces = [data[start : start + 5] for start in range(0, len(data), 5)]
    found = asked(head(), *pieces, key=KEY)
    assert '{"a": "***"}***' == found.content
    assert KEY.encode() not in found.raw
    error = refused(head(), events(delta(KEY[:9]), delta(KEY[9:])), key=KEY)
    assert b"***" == error.body
    error = refused(head(), events({"error": {"message": KEY, "code": KEY}}), key=KEY)
    assert KEY not in repr(vars(error)) + str(error)
    long = b'{"error": "' + b"x" * (exchange.MAX_ERROR - 20) + KEY.encode() * 3
    error = refused(head("application/json", 400), long, key=KEY)
    assert KEY[:8].encode() not in error.body


def test_the_head_of_a_request_says_what_is_understood() -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["accept"])
        return httpx.Response(200, json=answer())

    for stream in (False, True):
        asked(transport=httpx.MockTransport(handler), stream=stream)
    assert ["application/json", "text/event-stream, application/json"] == seen


def test_a_policy_error_within_a_stream_keeps_its_type() -> None:
    assert ContentPolicyError is type(refused(streamed({"error": {"code": "content_filter", "message": "no"}})))


def test_an_error_whose_body_breaks_off_is_told_by_what_came() -> None:
    """Its status and its beginning say more than the broken connection."""
    body = b'{"error": {"code": "insufficient_quota", "message": "no"}}'
    error = refused(head("application/json", 402, length=1000), body, 0.05, end="reset", key=KEY)
    assert (402, ErrorClass.BALANCE) == (error.status, error.kind)
    error = refused(head("application/json", 402, length=1000), 0.05, end="reset")  # and nothing else came
    assert (402, ErrorClass.BALANCE, False) == (error.status, error.kind, error.may_be_billed)


def test_a_ping_by_name_is_no_chunk() -> None:
    """Whatever it holds; what looks like JSON must be."""
    assert '{"a": 1}' == asked(streamed(b"event: ping\ndata: PING\n\n", *GOOD)).content
    assert ErrorClass.TRANSIENT is refused(streamed(b"event: chunk\ndata: {broken\n\n", *GOOD)).kind


def test_errors_in_closing_a_connection_cost_no_answer() -> None:
    class Closing(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield events(*GOOD)

        async def aclose(self) -> None:
            raise httpx.CloseError("reset")

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=Closing())

    assert '{"a": 1}' == asked(transport=Transport()).content
