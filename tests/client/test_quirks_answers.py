"""What real servers put into an answer (Q19-Q32, Q38, Q74-Q79, as far as the wire goes), over a real socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from extract.client import completion_from
from extract.errors import AuthenticationError, ErrorClass, InvalidResponseError
from extract.records import Completion, ToolCall, Usage, WebSource
from tests.client.raw import DONE, GOOD, USAGE, answer, asked, delta, events, head, plain, refused, streamed

both = pytest.mark.parametrize("stream", [False, True])


def reread(found: Completion) -> Completion:
    """What the journal gives back: it must be the same."""
    assert found == completion_from(found.raw, {})
    return found


def either(stream: bool, content: Any = '{"a": 1}', finish: Any = "stop", **message: Any) -> Completion:
    """The same message, streamed (one delta, then the finish_reason) or not."""
    pieces = (
        streamed(delta(content, **message), delta(finish=finish))
        if stream
        else plain(answer(content, finish, **message))
    )
    return reread(asked(pieces, stream=stream))


@both
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"message": "no", "code": "invalid_api_key"}}, ErrorClass.AUTH),
        ({"code": 401, "msg": "no", "data": None}, ErrorClass.AUTH),
        ({"code": 402, "msg": "no", "data": None}, ErrorClass.BALANCE),
        ({"success": False, "message": "no"}, ErrorClass.TRANSIENT),
        ({"detail": "no"}, ErrorClass.TRANSIENT),
    ],
)
def test_q19_an_error_with_status_200(stream: bool, body: Any, kind: ErrorClass) -> None:
    for pieces in (plain(body), streamed(body)):
        error = refused(pieces, stream=stream)
        assert (kind, 200) == (error.kind, error.status)
        assert "no" in error.message


@both
@pytest.mark.parametrize(
    "body",
    [
        [{"error": {"code": 401, "message": "bad key", "status": "UNAUTHENTICATED"}}],
        {"error": {"message": '{"error": {"code": "invalid_api_key", "message": "bad key"}}'}},
        {"error": {"code": 401, "message": "bad key"}},
    ],
)
def test_q20_errors_in_odd_envelopes(stream: bool, body: Any) -> None:
    for pieces in (plain(body), plain(body, status=401), streamed(body)):
        error = refused(pieces, stream=stream)
        assert (AuthenticationError, True) == (type(error), "bad key" in error.message)


@both
@pytest.mark.parametrize(
    "body",
    [
        {"choices": None},
        {},
        {"choices": []},
        {"choices": [{"finish_reason": "stop"}]},
        {"choices": [{"message": None}]},
    ],
)
def test_q21_no_choice_or_no_message(stream: bool, body: Any) -> None:
    error = refused(plain(body), stream=stream)
    assert (InvalidResponseError, ErrorClass.TRANSIENT) == (type(error), error.kind)


@both
@pytest.mark.parametrize("content", [None, "", [{"type": "text", "text": '{"a"'}, {"type": "text", "text": ": 1}"}]])
def test_q21_content_in_all_its_shapes(stream: bool, content: Any) -> None:
    expected = '{"a": 1}' if isinstance(content, list) else content if not stream else None
    assert expected == either(stream, content).content


@both
@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, Usage()),
        ({"prompt_tokens": 7}, Usage(7, 0)),
        ({"prompt_tokens": 7.0, "completion_tokens": 3.0}, Usage(7, 3)),
        ({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 1}, Usage(7, 3)),
        ({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 30}, Usage(7, 23)),
        ({"prompt_tokens": "7", "completion_tokens": 10**12, "cost": 0.1}, Usage()),
        ("many", Usage()),
    ],
)
def test_q22_usage_in_all_its_shapes(stream: bool, usage: Any, expected: Usage) -> None:
    body = answer() | {"usage": usage}
    del body["id"]
    pieces = streamed(*GOOD, {"choices": [], "usage": usage}) if stream else plain(body)
    assert expected == asked(pieces, stream=stream).usage


@both
def test_q23_the_model_that_answers_is_told(stream: bool) -> None:
    """It need not be the one that was asked ("m" is what the server says)."""
    assert "m" == either(stream).model


@both
@pytest.mark.parametrize(
    ("came", "expected"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),
        ("length", "length"),
        ("MAX_TOKENS", "length"),
        ("content_filter", "content_filter"),
        ("RECITATION", "content_filter"),
        ("tool_calls", "tool_calls"),
        ("error", "error"),
        ("LANGUAGE", "language"),
    ],
)
def test_q24_finish_reasons_by_any_name(stream: bool, came: str, expected: str) -> None:
    assert expected == either(stream, finish=came).finish_reason


@both
def test_q25_stop_without_content_is_told_as_it_is(stream: bool) -> None:
    """The judge refuses it."""
    found = either(stream, "")
    assert ("stop", True) == (found.finish_reason, not found.content)


def test_q26_the_status_is_not_the_cause() -> None:
    body = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "bad schema"}}
    assert ErrorClass.REQUEST is refused(plain(body, status=429)).kind


@both
def test_q27_a_refusal_is_told(stream: bool) -> None:
    found = either(stream, None, refusal="I cannot")
    assert (None, "I cannot", "stop") == (found.content, found.refusal, found.finish_reason)


@both
def test_q28_unknown_members_change_nothing(stream: bool) -> None:
    extra = {"annotations": [], "audio": None, "extra_content": {"x": 1}, "obfuscation": "xyz"}
    chunk = delta('{"a": 1}', "stop", **extra) | {"service_tier": "default", "timings": {"x": [1]}, "obfuscation": "q"}
    body = answer(**extra) | {"service_tier": "default", "timings": {"x": [1]}}
    found = asked(streamed(chunk) if stream else plain(body), stream=stream)
    assert ('{"a": 1}', "stop", (), ()) == (found.content, found.finish_reason, found.sources, found.flags)


@both
@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}, {"type": "reasoning.encrypted"}]},
        {"content": '<think>hm</think>\n\n{"a": 1}'},
        {"content": '<thought>hm</thought>{"a": 1}'},
        {"content": 'hm</think>\n{"a": 1}'},
    ],
)
def test_q29_thoughts_are_kept_apart(stream: bool, message: dict[str, Any]) -> None:
    """Wherever they come, and once where they come twice."""
    found = either(stream, **({"content": '{"a": 1}'} | message))
    assert ('{"a": 1}', "hm", ()) == (found.content, found.reasoning, found.flags)


def test_q29_thoughts_that_gemini_streams_as_content() -> None:
    """Marked by `extra_content`; the tags of both ends are taken away."""
    mark = {"extra_content": {"google": {"thought": True}}}
    chunks = [delta("<thought>so", **mark), delta(" what", **mark), delta("</thought>{"), delta('"a": 1}'), GOOD[2]]
    found = reread(asked(streamed(*chunks)))
    assert ('{"a": 1}', "so what") == (found.content, found.reasoning)


@both
def test_q29_an_answer_that_speaks_of_tags_is_left_alone(stream: bool) -> None:
    for content in ('{"a": "x</think>{}"}', "<think>never ends", "plain </think> text"):
        found = either(stream, content)
        assert (content, None) == (found.content, found.reasoning)


@both
def test_q30_thoughts_that_ate_the_budget(stream: bool) -> None:
    """Told as "length"; whatever stands in the thoughts is no answer then."""
    found = either(stream, "", "length", reasoning_content='{"a": 1}')
    assert ("length", '{"a": 1}', ()) == (found.finish_reason, found.reasoning, found.flags)
    assert not found.content


@both
def test_q31_an_answer_that_landed_in_the_thoughts(stream: bool) -> None:
    """Taken and marked if it is one JSON object, and nothing else."""
    found = either(stream, None, reasoning=' {"a": 1}\n')
    assert ('{"a": 1}', None, ("content_from_reasoning",)) == (found.content, found.reasoning, found.flags)
    for thought in ('so {"a": 1}', '{"a": 1', "[1]", '{"a": 1} {"a": 2}'):
        found = either(stream, "", reasoning=thought)
        assert (thought, ()) == (found.reasoning, found.flags)
        assert not found.content


@both
def test_q32_an_answer_whose_head_landed_in_the_thoughts(stream: bool) -> None:
    """Put together and marked, where there is one way only."""
    found = either(stream, '": 1, "b": [{"c": 2}]}', reasoning_content='Let {me} think. {"a')
    flag = ("content_head_from_reasoning",)
    assert ('{"a": 1, "b": [{"c": 2}]}', "Let {me} think. ", flag) == (found.content, found.reasoning, found.flags)
    for content, thought in [
        ('": 1}', 'I could say {"a": {"b'),  # ends the inner object only
        ('{"a": 1}', 'so {"b": '),  # whole as it is
        ("no JSON", 'so {"b": '),
        ('": 1', 'so {"a'),  # cut at its other end too
        ('}", "b": 1}', '{"x{": "{"y'),
    ]:
        found = either(stream, content, reasoning=thought)
        assert (content, thought, ()) == (found.content, found.reasoning, found.flags)


LOOP = [delta('{"a": 0.')] + [delta("000000")] * 2000


def test_q38_a_loop_is_stopped_while_it_is_written() -> None:
    """It never ends by itself here; its tokens are counted by estimate, since no usage comes."""
    found = reread(asked(head(), events(*LOOP, done=False), end="hang"))
    assert ("loop", ("loop_stopped", "usage_estimated")) == (found.finish_reason, found.flags)
    assert 4_000 < len(found.content or "") < 6_000
    assert found.usage.input_tokens > 0
    assert 600 < found.usage.output_tokens < 2_000


def test_q38_a_loop_with_usage_so_far() -> None:
    """Some servers count on every chunk."""
    found = reread(asked(streamed(*(chunk | {"usage": USAGE} for chunk in LOOP))))
    assert (("loop_stopped",), Usage(7, 3)) == (found.flags, found.usage)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "refusal"])
def test_q38_loops_elsewhere(name: str) -> None:
    """Thoughts are paid for as well."""
    assert "loop" == asked(streamed(*([delta(**{name: "and so on "})] * 2000))).finish_reason


def test_q38_loops_in_the_arguments_of_a_call() -> None:
    call = {"tool_calls": [{"index": 0, "function": {"arguments": " "}}]}
    assert "loop" == asked(streamed(*([delta(**call)] * 5000))).finish_reason


def test_q38_an_answer_that_ended_is_no_loop() -> None:
    """However it looks: it is all there, and paid."""
    text = '{"a": "' + "-" * 9_000 + '"}'
    found = asked(streamed(*(delta(text[start : start + 50]) for start in range(0, len(text), 50)), GOOD[2]))
    assert "loop" == found.finish_reason
    assert (text, "stop") == ((found := asked(streamed(delta(text), GOOD[2]))).content, found.finish_reason)


@both
def test_q74_thoughts_among_the_parts_of_content(stream: bool) -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": '{"a": 1}'},
        {"type": "reference", "reference_ids": [1]},
    ]
    found = either(stream, parts)
    assert ('{"a": 1}', "hm") == (found.content, found.reasoning)


def test_q75_a_429_whose_cause_is_deep_within() -> None:
    error = {"message": "Provider returned error", "code": 429, "metadata": {"raw": "google is busy"}}
    found = refused(plain({"error": error, "user_id": "u"}, status=429))
    assert (ErrorClass.RATE, True) == (found.kind, "google is busy" in found.message)


@both
@pytest.mark.parametrize("body", [{"method": "POST", "pathname": "/v1"}, b"hello", b'"text"', b"7"])
def test_q76_a_body_that_is_no_completion(stream: bool, body: Any) -> None:
    """Perhaps the address of something else."""
    error = refused(plain(body, "text/plain"), stream=stream)
    assert (InvalidResponseError, ErrorClass.TRANSIENT) == (type(error), error.kind)
    assert "EXTRACT_BASE_URL" in str(error)


def test_q78_a_file_that_the_provider_cannot_fetch_is_the_records_fault() -> None:
    body = [{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "URL_ROBOTED-ROBOTED_DENIED"}}]
    assert ErrorClass.REQUEST is refused(plain(body, status=400)).kind


@both
@pytest.mark.parametrize(
    ("came", "expected"),
    [
        ("STOP", "stop"),
        ("UNEXPECTED_TOOL_CALL", "unexpected_tool_call"),
        ("MAX_TOKENS", "length"),
        ("MODEL_ARMOR", "content_filter"),
        ("SAFETY", "content_filter"),
        ("SPII", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "malformed_function_call"),
    ],
)
def test_q79_native_reasons(stream: bool, came: str, expected: str) -> None:
    """In either spelling of the member."""
    assert expected == either(stream, "", came).finish_reason
    body = {"choices": [{"message": {"content": None}, "finishReason": came}]}
    chunk = {"choices": [{"delta": {}, "finishReason": came}]}
    assert expected == asked(streamed(chunk) if stream else plain(body), stream=stream).finish_reason


def test_calls_of_functions_whole_and_in_pieces() -> None:
    """Parallel ones too, by index; by id where a server gives all the same index."""
    expected = (ToolCall("i1", "look", '{"q": "ä"}'), ToolCall("i2", "find", "{}"))
    whole = [
        {"id": "i1", "type": "function", "function": {"name": "look", "arguments": '{"q": "ä"}'}},
        {"id": "i2", "type": "function", "function": {"name": "find", "arguments": {}}},
        {"id": "i3", "type": "function", "function": {"name": "", "arguments": ""}},
    ]
    found = reread(asked(plain(answer(None, "tool_calls", tool_calls=whole))))
    assert (ToolCall("i1", "look", '{"q": "ä"}'), ToolCall("i2", "find", "")) == found.tool_calls
    pieces = [
        {"index": 1, "id": "i2", "function": {"name": "find", "arguments": "{"}},
        {"index": 0, "id": "i1", "function": {"name": "look", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"q": '}},
        {"index": 1, "function": {"name": None, "arguments": "}"}},
        {"index": 0, "id": "i1", "function": {"arguments": '"ä"}'}},
    ]
    chunks = [delta(tool_calls=[piece]) for piece in pieces]
    assert expected == reread(asked(streamed(*chunks, delta(finish="tool_calls")))).tool_calls
    same_index = [
        {"index": 0, "id": "i1", "function": {"name": "look", "arguments": '{"q": "ä"}'}},
        {"index": 0, "id": "i2", "function": {"name": "find", "arguments": "{}"}},
    ]
    assert expected == asked(streamed(delta(tool_calls=same_index), delta(finish="tool_calls"))).tool_calls
    chunks = [delta(tool_calls=[piece]) for piece in same_index]
    assert expected == asked(streamed(*chunks, delta(finish="tool_calls"))).tool_calls


@both
def test_a_call_of_the_old_form_and_what_a_gateway_adds(stream: bool) -> None:
    found = either(stream, None, "function_call", function_call={"name": "look", "arguments": "{}"})
    assert (ToolCall("", "look", "{}"),) == found.tool_calls
    extra = {"google": {"thought_signature": "s"}}
    call = {"index": 0, "id": "i", "function": {"name": "look", "arguments": {"q": 1}}, "extra_content": extra}
    (found_call,) = either(stream, None, "tool_calls", tool_calls=[call]).tool_calls
    assert ("i", "look", {"q": 1}, extra) == (
        *(found_call.id, found_call.name, json.loads(found_call.arguments), found_call.extra_content),
    )


FOUND = {"url": "https://a.example/x", "title": "A", "content": "…", "score": 0.98}
GROUNDED = {"groundingChunks": [{"web": {"uri": "https://a.example/x", "title": "A"}}, {"web": {"uri": "ftp://no"}}]}


@both
@pytest.mark.parametrize(
    ("message", "top", "expected"),
    [
        (
            {
                "annotations": [
                    {"type": "url_citation", "url_citation": {"url": "https://a.example/x", "title": "A"}},
                    {"type": "file_citation", "file_id": "f"},
                    {"url_citation": {"url": "https://b.example", "title": "", "start_index": 1, "end_index": 5}},
                ]
            },
            {},
            (WebSource("https://a.example/x", "A"), WebSource("https://b.example", None, 1, 5)),
        ),
        ({}, {"groundingMetadata": GROUNDED}, (WebSource("https://a.example/x", "A"),)),
        ({}, {"grounding_metadata": [GROUNDED]}, (WebSource("https://a.example/x", "A"),)),
        ({"groundingMetadata": GROUNDED}, {}, (WebSource("https://a.example/x", "A"),)),
        ({"extra_content": {"google": {"grounding_metadata": GROUNDED}}}, {}, (WebSource("https://a.example/x", "A"),)),
        ({}, {"citations": ["https://a.example/x", 7, "https://a.example/x"]}, (WebSource("https://a.example/x"),)),
        (
            {},
            {"citations": ["https://c.example"], "search_results": [{"url": "https://c.example", "title": "C"}]},
            (WebSource("https://c.example", "C"),),
        ),
        (
            {
                "executed_tools": [  # Groq's compound models
                    {"index": 0, "type": "search", "arguments": "{}", "search_results": {"results": [FOUND, FOUND]}},
                    {"index": 1, "type": "browser", "browser_results": [{"url": "https://b.example", "title": "B"}]},
                    {"index": 2, "type": "python", "search_results": [7], "browser_results": {"url": "x"}},
                    "text",
                ]
            },
            {},
            (WebSource("https://a.example/x", "A"), WebSource("https://b.example", "B")),
        ),
    ],
)
def test_the_pages_of_a_search(stream: bool, message: Any, top: Any, expected: Any) -> None:
    """Wherever a gateway puts them, each once; streamed, they come in a chunk of their own or with text."""
    chunks = (delta('{"a": 1}', **message), {"choices": []} | top, GOOD[2])
    found = reread(asked(streamed(*chunks) if stream else plain(answer(**message) | top), stream=stream))
    assert expected == found.sources


def test_what_groqs_tools_found_comes_in_pieces() -> None:
    """A tool is told when it begins, without results, and again with them; each of several counts."""
    begun = [{"index": number, "type": "search", "arguments": f'{{"query": "{number}"}}'} for number in (0, 1)]
    done = [
        {**tool, "search_results": {"results": [{"url": f"https://{name}.example", "title": name, "score": 0.9}]}}
        for tool, name in zip(begun, "ab", strict=True)
    ]
    tools = [{**begun[0], "search_results": {"results": []}}, done[0], begun[1], done[1]]
    chunks = [delta(executed_tools=[tool]) for tool in tools]
    found = reread(asked(streamed(*chunks, delta('{"a": 1}'), GOOD[2])))
    assert (WebSource("https://a.example", "a"), WebSource("https://b.example", "b")) == found.sources


def test_done_alone_is_no_answer() -> None:
    assert ErrorClass.TRANSIENT is refused(head(), DONE).kind


def test_details_of_reasoning_in_pieces() -> None:
    """Pieces of one detail are one text; others are paragraphs of their own."""
    pieces = [("a", 0), ("b", 0), ("c", 1)]
    chunks = [delta(reasoning_details=[{"type": "reasoning.text", "text": t, "index": i}]) for t, i in pieces]
    found = reread(asked(streamed(*chunks, delta("{}"), GOOD[2])))
    assert ("ab\n\nc", "{}") == (found.reasoning, found.content)


def test_thoughts_of_two_kinds() -> None:
    """A field of their own and a head of the content: both are kept."""
    found = asked(plain(answer('<think>b</think>{"a": 1}', reasoning="a")))
    assert ("a\n\nb", '{"a": 1}') == (found.reasoning, found.content)


@both
def test_calls_without_a_finish_reason(stream: bool) -> None:
    """Where it may be missing: taken if the arguments of each are whole, whatever else stands there."""
    for arguments, expected in (('{"q": 1}', "tool_calls"), ('{"q": ', None), ("12", None)):
        calls = [{"index": 0, "id": "i", "function": {"name": "look", "arguments": arguments}}]
        pieces = streamed(delta(tool_calls=calls)) if stream else plain(answer(None, None, tool_calls=calls))
        if not expected:
            assert refused(pieces, finish_optional=True).retryable
        else:
            assert expected == asked(pieces, stream=stream, finish_optional=True).finish_reason
    odd = plain(answer(None, None, tool_calls=[7, {"function": 7}]))
    assert refused(odd, finish_optional=True).retryable
