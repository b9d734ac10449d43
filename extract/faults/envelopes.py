"""Quirks of the envelope: Q19 to Q28, Q63, Q72, Q74 to Q76, Q79."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from extract.faults.turn import OK, OUTPUT, POLICY, RATE, REQUEST, TRANSIENT, Fault, Turn, error, kie_error, refusal
from extract.faults.wire import Json, Wire, plain, sse

_GOOGLE_400 = {"code": 400, "message": "Request contains an invalid argument.", "status": "INVALID_ARGUMENT"}
_THOUGHT = "Let me look at the text again."

_WITH_200: tuple[tuple[str, str, str, Wire], ...] = (
    ("error", TRANSIENT, "an error object", error(200, "upstream error", code="server_error")),
    ("kie", TRANSIENT, "code 500 and msg", kie_error(500, "Server exception")),
    ("kie_rate", RATE, "code 429 and msg", kie_error(429, "Call frequency is too high")),
    ("kie_request", REQUEST, "code 422 and msg", kie_error(422, "Parameter error")),
    ("success", TRANSIENT, "success: false", plain({"success": False, "message": "channel temporarily unavailable"})),
    ("detail", TRANSIENT, "a detail string", plain({"detail": "Internal error, try again later"})),
)

_REASONS: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("upper", "STOP", (OK,)),
    ("length", "length", (OUTPUT,)),
    ("max_tokens", "MAX_TOKENS", (OUTPUT,)),
    ("content_filter", "content_filter", (POLICY,)),
    ("recitation", "RECITATION", (POLICY,)),
    ("tool_calls", "tool_calls", (OUTPUT, OK, TRANSIENT)),
    ("error", "error", (TRANSIENT, OUTPUT)),
    ("null", None, (TRANSIENT,)),
)

_NATIVE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("unexpected_tool_call", "UNEXPECTED_TOOL_CALL", (OUTPUT, TRANSIENT, POLICY)),
    ("model_armor", "MODEL_ARMOR", (POLICY,)),
    ("safety", "SAFETY", (POLICY,)),
)


def _reason(turn: Turn, reason: str | None) -> Wire:
    """The good content, half of it when it was cut."""
    cut = reason is not None and reason.lower() in ("length", "max_tokens")
    content = turn.content[: len(turn.content) // 2] if cut else turn.content
    return turn.reply(turn.with_message(content=content, finish_reason=reason))


def _native(turn: Turn, reason: str) -> Wire:
    """A native reason, without content."""
    return turn.reply(turn.with_message(content=None, finish_reason=reason))


def _without(turn: Turn, *names: str) -> Json:
    return {name: value for name, value in turn.document().items() if name not in names}


def _choices(turn: Turn, choices: Any) -> Wire:
    document = _without(turn, "choices") if choices is ... else turn.document(choices=choices)
    if not turn.stream:
        return plain(document)
    return sse([{**document, "object": "chat.completion.chunk"}])


def _no_message(turn: Turn) -> Wire:
    choice = {"index": 0, "finish_reason": "stop"}
    return _choices(turn, [choice])


def _usage(turn: Turn, **changes: Any) -> Wire:
    return turn.reply(turn.with_message(usage=changes), usage=True)


def _fewer_counts(turn: Turn) -> Wire:
    usage = dict(turn.answer.get("usage") or {})
    usage.pop("completion_tokens", None)
    return turn.reply(turn.document(usage=usage), usage=True)


def _hidden_thoughts(turn: Turn) -> Wire:
    """Thought tokens are in the total alone, as Gemini's compatibility layer counts."""
    usage = turn.answer.get("usage") or {}
    return _usage(turn, total_tokens=int(usage.get("total_tokens", 0)) + 62)


def _extras(turn: Turn) -> Wire:
    """Fields that nobody asked for, everywhere."""
    document = turn.with_message(annotations=[], audio=None, extra_content={"google": {}}, refusal=None)
    document |= {"service_tier": "default", "timings": {"predicted_ms": 1.5}, "obfuscation": "aZ3k", "credits": 0.01}
    document["choices"][0] |= {"logprobs": None, "native_finish_reason": "STOP", "safety_ratings": []}
    return turn.reply(document)


def _thinking_part(turn: Turn) -> Wire:
    """As Mistral: the thought is a part of the content's list."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": _THOUGHT}]}
    return turn.say([thought, {"type": "text", "text": turn.content}])


_QUOTA = {"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED"}}
_NESTED = error(500, json.dumps(_QUOTA), type="upstream_error", code="bad_response_status_code")
_UPSTREAM = {  # as OpenRouter passes on a limit of Google's
    "raw": "google/gemini is temporarily rate-limited upstream. Please retry shortly.",
    "provider_name": "Google",
}
_RAW_CAUSE = plain(
    {"error": {"message": "Provider returned error", "code": 429, "metadata": _UPSTREAM}, "user_id": "user_2x"}, 429
)

ENVELOPES: tuple[Fault, ...] = (
    *(refusal(f"Q19.{name}", f"HTTP 200 with {says}", wire, kind) for name, kind, says, wire in _WITH_200),
    refusal("Q20.array", "the error body is an array", plain([{"error": _GOOGLE_400}], 400), REQUEST),
    refusal("Q20.string", "the error is a string", plain({"error": "overloaded"}, 500), TRANSIENT),
    refusal(
        "Q20.number",
        "the error's code is a number",
        error(503, "The model is overloaded.", code=503, status="UNAVAILABLE"),
        TRANSIENT,
    ),
    refusal("Q20.nested", "the cause is JSON inside the message", _NESTED, RATE, TRANSIENT),
    Fault("Q21.choices_null", "`choices` is null", (TRANSIENT,), partial(_choices, choices=None)),
    Fault("Q21.choices_absent", "no `choices`", (TRANSIENT,), partial(_choices, choices=...)),
    Fault("Q21.choices_empty", "`choices` is empty", (TRANSIENT,), partial(_choices, choices=[])),
    Fault("Q21.message_absent", "a choice without message", (TRANSIENT, OUTPUT), _no_message),
    Fault("Q21.content_null", "`content` is null", (TRANSIENT, OUTPUT), lambda turn: turn.say(None)),
    Fault("Q21.content_empty", '`content` is ""', (TRANSIENT, OUTPUT), lambda turn: turn.say("")),
    Fault(
        "Q21.content_list",
        "`content` is a list of parts",
        (OK,),
        lambda turn: turn.say([{"type": "text", "text": turn.content}]),
    ),
    Fault("Q22.no_id", "no `id`", (OK,), lambda turn: turn.reply(_without(turn, "id"))),
    Fault("Q22.no_usage", "no `usage`", (OK,), lambda turn: turn.reply(_without(turn, "usage"))),
    Fault("Q22.no_completion_tokens", "usage without completion_tokens", (OK,), _fewer_counts),
    Fault(
        "Q22.more",
        "more in `usage` than is known",
        (OK,),
        partial(_usage, cost=0.002, num_sources_used=0, details={"tier": None}),
    ),
    Fault("Q22.total", "the total is not the sum", (OK,), partial(_usage, total_tokens=1)),
    Fault("Q23", "another model's name", (OK,), lambda turn: turn.reply(turn.document(model="upstream/alias-001"))),
    *(
        Fault(f"Q24.{name}", f"finish_reason {value!r}", expect, partial(_reason, reason=value))
        for name, value, expect in _REASONS
    ),
    Fault(
        "Q25",
        "`stop` with empty content (a malformed function call, normalised away)",
        (TRANSIENT, OUTPUT),
        lambda turn: turn.say("", finish_reason="stop", usage={"completion_tokens": 0}),
    ),
    Fault(
        "Q26.request",
        "429 whose text is INVALID_ARGUMENT",
        (REQUEST, RATE),
        lambda turn: error(429, "INVALID_ARGUMENT: Request contains an invalid argument.", code="invalid_argument"),
        billed=False,
    ),
    Fault(
        "Q26.rate",
        "400 whose text is a token budget",
        (RATE,),
        lambda turn: error(400, "You have exceeded token budget for this minute.", code="bad_request"),
        billed=False,
    ),
    Fault(
        "Q27",
        "a refusal, content null",
        (POLICY,),
        lambda turn: turn.say(None, refusal="I'm sorry, I can't help with that."),
    ),
    Fault("Q28", "unknown fields everywhere", (OK,), _extras),
    Fault(
        "Q63",
        "an empty completion that is billed",
        (TRANSIENT, OUTPUT),
        lambda turn: turn.say("", usage={"completion_tokens": 0}),
    ),
    Fault("Q72.hidden", "62 thought tokens are in the total alone", (OK,), _hidden_thoughts),
    Fault("Q72.zero", "prompt_tokens is 0", (OK,), partial(_usage, prompt_tokens=0)),
    Fault("Q74", "a thought as a part of the content's list", (OK,), _thinking_part),
    refusal("Q75", "429 with the cause in metadata.raw, no Retry-After", _RAW_CAUSE, RATE),
    refusal("Q76.json", "HTTP 200, JSON, no completion", plain({"status": "ok", "version": "1.2"}), TRANSIENT),
    refusal("Q76.text", "HTTP 200, text", Wire(200, {"content-type": "text/plain"}, (b"It works!\n",)), TRANSIENT),
    *(
        Fault(f"Q79.{name}", f"native reason {value}", expect, partial(_native, reason=value))
        for name, value, expect in _NATIVE
    ),
    Fault(
        "Q79.no_parts",
        "a candidate without parts",
        (TRANSIENT, OUTPUT),
        lambda turn: turn.reply(turn.with_message(content=..., finish_reason="stop")),
    ),
)
