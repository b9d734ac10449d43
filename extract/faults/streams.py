"""Quirks of transport and event streams: Q1 to Q18, Q61, Q62, Q69 to Q71, Q73, Q77."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from extract.faults.turn import OK, OUTPUT, RATE, REQUEST, TRANSIENT, Fault, Turn, error, refusal
from extract.faults.wire import (
    HTML_TYPE,
    JSON_TYPE,
    SSE_TYPE,
    End,
    Framing,
    Json,
    Step,
    Wire,
    encode,
    event,
    plain,
    split,
    sse,
    streamed,
)

PAGE = 300_000  # bytes of a gateway's error page
LONG_LINE = 1_100_000  # bytes of one event
PAUSE = 0.02  # seconds between keep-alives

_PAGE_HEAD = "<!DOCTYPE html>\n<html><head><title>504 Gateway Time-out</title></head><body>\n"
_SEPARATORS = "\u2028\u2029\u0085"
_MID_STREAM = {"message": "Provider disconnected", "code": 502}


def _typed(turn: Turn, kind: str | None) -> Wire:
    """The good answer with this Content-Type, or none."""
    wire = turn.reply()
    headers = {name: value for name, value in wire.headers.items() if name != "content-type"}
    return replace(wire, headers={**headers, **({"content-type": kind} if kind else {})})


def _other_label(turn: Turn) -> Wire:
    return _typed(turn, (JSON_TYPE if turn.stream else SSE_TYPE)["content-type"])


def _page(status: int) -> Wire:
    text = (_PAGE_HEAD + "<!-- padding of the CDN's error page -->\n" * (PAGE // 41)).encode()
    return Wire(status, HTML_TYPE, (text + b"</body></html>",))


def _comments(turn: Turn, text: bytes) -> Wire:
    events = turn.reply().steps
    return streamed((text, PAUSE, text, PAUSE, *events[:2], text, *events[2:]))


def _rewritten(turn: Turn, change: Callable[[bytes], bytes]) -> Wire:
    """The good stream with other bytes."""
    wire = turn.reply()
    return replace(wire, steps=tuple(change(step) for step in wire.steps if isinstance(step, bytes)))


def _no_space(data: bytes) -> bytes:
    return data.replace(b"data: ", b"data:", 1)


def _blank(data: bytes) -> bytes:
    return b"data: \n\n" + data


def _ends(data: bytes, end: bytes) -> bytes:
    return data.replace(b"\n", end)


def _with_fields(data: bytes) -> bytes:
    return b"id: 7\nretry: 3000\nevent: message\n" + data


def _several_lines(data: bytes) -> bytes:
    """The object's first comma starts a new line of data."""
    return data if b"[DONE]" in data else data.replace(b', "', b',\ndata: "', 1)


def _mixed_ends(turn: Turn) -> Wire:
    """CR, LF and CRLF by turns; the two of a CRLF come apart."""
    steps: list[Step] = []
    for number, found in enumerate(turn.reply().body.split(b"\n\n")[:-1]):
        end = (b"\n", b"\r", b"\r\n")[number % 3]
        steps += [found + end[:1], PAUSE / 10, end[1:] + end] if len(end) > 1 else [found + end + end]
    return streamed(steps)


def _bom(turn: Turn) -> Wire:
    wire = turn.reply()
    return replace(wire, steps=(b"\xef\xbb\xbf", *wire.steps))


def _split(turn: Turn, longest: int) -> Wire:
    return streamed(split(turn.reply().body, turn.rng, longest))


def _broken_event(turn: Turn) -> Wire:
    """A chunk's JSON in two events, as if a piece off the network were an event."""
    chunks = turn.chunks()
    whole = encode(chunks[len(chunks) // 2])
    half = len(whole) // 2
    broken = b"data: " + whole[:half] + b"\n\ndata: " + whole[half:] + b"\n\n"
    return sse([*chunks[: len(chunks) // 2], broken, *chunks[len(chunks) // 2 + 1 :]])


def _separators(turn: Turn) -> Wire:
    return turn.reply(turn.document(system_fingerprint=f"fp{_SEPARATORS}x"))


def _no_blank_line(turn: Turn) -> Wire:
    """The last event, which tells the end, is not closed; there is no [DONE]."""
    *first, last = turn.chunks(usage=False)
    return sse([*first, event(last).rstrip(b"\n")], done=False)


def _upstream_died(turn: Turn) -> Wire:
    chunks = turn.chunks(turn.with_message(content=turn.content[: len(turn.content) // 2]), usage=True)
    return sse([chunk for chunk in chunks if not _finish(chunk)])


def _finish(chunk: Json) -> object:
    return any(choice.get("finish_reason") for choice in chunk.get("choices") or [])


def _cut(turn: Turn, end: End) -> Wire:
    """The answer ends in the middle, inside its JSON."""
    data = turn.reply().body
    framing: Framing = "close" if end is End.DROP else "chunked"
    return Wire(200, turn.reply().headers, (data[: len(data) // 2], end), framing)


def _after_half(turn: Turn, *items: Json | bytes, done: bool = True) -> Wire:
    """Half of the stream, then these events."""
    chunks = [chunk for chunk in turn.chunks(usage=False) if not _finish(chunk)]
    return sse([*chunks[: max(1, len(chunks) // 2)], *items], done=done)


def _mid_error(turn: Turn) -> Wire:
    frame = turn.document(object="chat.completion.chunk", error=_MID_STREAM)
    frame["choices"] = [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
    return _after_half(turn, frame, done=False)


def _no_choices(turn: Turn, at: float, choices: list[Json] | None) -> Wire:
    chunks = turn.chunks()
    place = int(at * len(chunks))
    return sse([*chunks[:place], {**chunks[0], "choices": choices}, *chunks[place:]])


def _long_line(turn: Turn, size: int) -> Wire:
    """One event with everything, and a filler."""
    chunks = turn.chunks(turn.document(system_fingerprint="x" * size), usage=False)
    last = chunks[-1]
    delta = {"role": "assistant", "content": turn.content}
    whole = {**last, "choices": [{**last["choices"][0], "delta": delta}]}
    return sse([whole])


def _second_finish(turn: Turn, first: str | None, second: str) -> Wire:
    """The reason, and in a later chunk another one."""
    document = turn.with_message(finish_reason=first) if first else turn.answer
    chunks = turn.chunks(document, usage=False)
    again = {**chunks[-1], "choices": [{"index": 0, "delta": {}, "finish_reason": second}]}
    return sse([*chunks, again])


def _finish_everywhere(turn: Turn) -> Wire:
    chunks = turn.chunks(usage=False)
    return sse([{**chunk, "choices": [{**chunk["choices"][0], "finish_reason": "stop"}]} for chunk in chunks])


def _camel_finish(turn: Turn) -> Wire:
    def renamed(choice: Json) -> Json:
        return {"finishReason" if name == "finish_reason" else name: value for name, value in choice.items()}

    chunks = turn.chunks(usage=False)
    return sse([{**chunk, "choices": [renamed(choice) for choice in chunk["choices"]]} for chunk in chunks])


def _typed_error(turn: Turn) -> Wire:
    """As Groq ends a stream."""
    detail = {"message": "Failed to generate JSON", "type": "invalid_request_error", "code": "json_validate_failed"}
    return _after_half(turn, b"event: error\n" + event({"error": {**detail, "status_code": 400}}), done=False)


def _fillers(turn: Turn, reason: str | None) -> Wire:
    """As Snowflake answers: empty fillers, and an empty finish_reason or none."""
    document = turn.with_message(refusal="", function_call={"name": "", "arguments": ""}, finish_reason=reason)
    document |= {"id": "", "created": 0}
    if not turn.stream:
        return plain(document)
    chunks = turn.chunks(document, usage=True)
    if reason is None:
        for chunk in chunks:
            for choice in chunk["choices"]:
                del choice["finish_reason"]
    return sse(chunks)


def _late_error(turn: Turn) -> Wire:
    """As OpenRouter: an error after the reason, then usage and [DONE]."""
    *chunks, usage = turn.chunks(turn.with_message(finish_reason="length"), usage=True)
    delta = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    broken = {**usage, "choices": [delta], "error": {"code": 400, "message": "Token limit reached"}}
    return sse([*chunks, broken, usage])


def _usage_repeats(turn: Turn) -> Wire:
    *chunks, usage = turn.chunks(usage=True)
    return sse([*chunks, {**usage, "choices": [{**chunks[-1]["choices"][0], "delta": {"content": ""}}]}])


def _one_chunk(turn: Turn) -> Wire:
    """As Google's own compatibility layer streams."""
    chunk = turn.document(object="chat.completion.chunk")
    chunk.pop("id", None)
    choice = {"index": 0, "delta": {"role": "assistant", "content": turn.content}, "finish_reason": "stop"}
    return sse([{**chunk, "choices": [choice]}])


def _lost(turn: Turn) -> Wire:
    return Wire(steps=(End.DROP,), silent=True)


def _slow(turn: Turn) -> Wire:
    """Begins, then says nothing: the client gives up, and is billed."""
    steps = turn.reply().steps
    first = [step if isinstance(step, bytes) else b"" for step in steps[: max(1, len(steps) // 2)]]
    return replace(turn.reply(), steps=(*first, End.STALL), framing="chunked")


def _dropped_after(turn: Turn) -> Wire:
    """All is said, then the connection is reset although it was to be kept."""
    return replace(turn.reply(), steps=(turn.reply().body, End.RESET), framing="length")


_BY_OTHER_BYTES: tuple[tuple[str, str, Callable[[bytes], bytes]], ...] = (
    ("Q7.no_space", "`data:` without a space", _no_space),
    ("Q7.blank", "`data: ` without data between the events", _blank),
    ("Q7.cr", "lines end with CR", partial(_ends, end=b"\r")),
    ("Q7.crlf", "lines end with CRLF", partial(_ends, end=b"\r\n")),
    ("Q7.fields", "id, retry and event fields", _with_fields),
    ("Q7.lines", "one event's data on several lines", _several_lines),
)

STREAMS: tuple[Fault, ...] = (
    Fault("Q1", "the Content-Type is that of the other form", (OK,), _other_label),
    Fault("Q2", "a stream although none was asked for", (OK,), lambda turn: sse(turn.chunks()), "plain"),
    Fault("Q3.json", "a whole JSON body although a stream was asked for", (OK,), lambda t: plain(t.answer), "stream"),
    Fault(
        "Q3.error",
        "a JSON error with HTTP 200 although a stream was asked for",
        (TRANSIENT,),
        lambda turn: error(200, "Upstream overloaded", code="server_error", type="server_error"),
        "stream",
        billed=False,
    ),
    Fault("Q4.missing", "no Content-Type", (OK,), partial(_typed, kind=None)),
    Fault("Q4.wrong", "text/html as Content-Type of a good answer", (OK,), partial(_typed, kind="text/html")),
    refusal("Q5.504", "a page of 300 KB with status 504", _page(504), TRANSIENT),
    refusal("Q5.200", "a page of 300 KB with status 200", _page(200), TRANSIENT),
    Fault("Q6.processing", "comments", (OK,), partial(_comments, text=b": OPENROUTER PROCESSING\n\n"), "stream"),
    Fault("Q6.ping", "comments between the events", (OK,), partial(_comments, text=b": PING\n\n"), "stream"),
    *(Fault(name, says, (OK,), partial(_rewritten, change=change), "stream") for name, says, change in _BY_OTHER_BYTES),
    Fault("Q7.mixed", "CR, LF and CRLF mixed, CR and LF in two pieces", (OK,), _mixed_ends, "stream"),
    Fault("Q7.bom", "a byte order mark first", (OK,), _bom, "stream"),
    Fault("Q8.bytes", "every byte by itself", (OK,), partial(_split, longest=1), "stream"),
    Fault("Q8.split", "pieces cut anywhere", (OK,), partial(_split, longest=23), "stream"),
    Fault("Q8.broken", "one chunk's JSON in two events", (TRANSIENT, OK), _broken_event, "stream"),
    Fault("Q9", "U+2028, U+2029 and U+0085 as they are in JSON", (OK,), _separators),
    Fault("Q10", "the last event has no blank line", (OK,), _no_blank_line, "stream"),
    Fault("Q11", "no [DONE]", (OK,), lambda turn: sse(turn.chunks(), done=False), "stream"),
    Fault(
        "Q12", "usage and [DONE], but never a finish_reason: the upstream died", (TRANSIENT,), _upstream_died, "stream"
    ),
    Fault("Q13.eof", "the connection is closed in the middle", (TRANSIENT,), partial(_cut, end=End.DROP)),
    Fault("Q13.reset", "the connection is reset in the middle", (TRANSIENT,), partial(_cut, end=End.RESET)),
    Fault("Q13.stall", "nothing more comes from the middle on", (TRANSIENT,), partial(_cut, end=End.STALL)),
    refusal("Q13.524", "the CDN gives up", _page(524), TRANSIENT),
    Fault("Q14.choices", "an error beside choices in the stream", (TRANSIENT,), _mid_error, "stream"),
    Fault(
        "Q14.bare",
        "an error without type in the stream",
        (TRANSIENT,),
        lambda turn: _after_half(turn, {"error": _MID_STREAM}),
        "stream",
    ),
    Fault(
        "Q14.rate",
        "a rate limit in the stream",
        (RATE,),
        lambda turn: _after_half(turn, {"error": {"message": "Rate limit exceeded", "code": 429}}),
        "stream",
    ),
    Fault("Q15.start", "a chunk without choices first", (OK,), partial(_no_choices, at=0, choices=[]), "stream"),
    Fault("Q15.middle", "a chunk without choices", (OK,), partial(_no_choices, at=0.5, choices=[]), "stream"),
    Fault("Q15.end", "a chunk without choices last", (OK,), partial(_no_choices, at=1, choices=[]), "stream"),
    Fault("Q15.null", "a chunk with `choices: null`", (OK,), partial(_no_choices, at=0.5, choices=None), "stream"),
    Fault("Q16.64k", "an event of 64 KB on one line", (OK,), partial(_long_line, size=65_536), "stream"),
    Fault("Q16.1m", "an event of 1 MB on one line", (OK,), partial(_long_line, size=LONG_LINE), "stream"),
    Fault("Q17.again", "the finish_reason twice", (OK,), partial(_second_finish, first=None, second="stop"), "stream"),
    Fault(
        "Q17.length",
        "`length`, then a synthetic `stop`",
        (OUTPUT,),
        partial(_second_finish, first="length", second="stop"),
        "stream",
    ),
    Fault("Q18.every", "a finish_reason on every chunk", (OK,), _finish_everywhere, "stream"),
    Fault("Q18.camel", "`finishReason` only", (OK, TRANSIENT), _camel_finish, "stream"),
    Fault("Q61", "the answer is made and billed, and the connection lost before a byte of it", (TRANSIENT,), _lost),
    Fault("Q62", "so slow that the client gives up; billed", (TRANSIENT,), _slow, "stream"),
    Fault("Q69", "the connection is reset after a complete answer", (OK, TRANSIENT), _dropped_after),
    Fault("Q70", "`event: error`, then the end", (REQUEST, OUTPUT, TRANSIENT), _typed_error, "stream"),
    Fault("Q71.empty", '"" as finish_reason, "" fillers', (TRANSIENT, OK), partial(_fillers, reason="")),
    Fault("Q71.absent", "no finish_reason, fillers", (TRANSIENT, OK), partial(_fillers, reason=None), "stream"),
    Fault("Q73.error", "an error after `length`, then usage", (OUTPUT, REQUEST, TRANSIENT), _late_error, "stream"),
    Fault("Q73.usage", "the chunk with usage repeats the finish_reason", (OK,), _usage_repeats, "stream"),
    Fault("Q77", "no id; content, finish_reason and usage in one chunk", (OK,), _one_chunk, "stream"),
)
