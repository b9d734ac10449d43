"""Quirks of refusals: schema (Q46 to Q55), limits and money (Q56 to Q59), media (Q64 to Q66, Q78)."""

from __future__ import annotations

from dataclasses import replace
from email.utils import formatdate
from functools import partial
from typing import Any

from extract.faults.turn import (
    BALANCE,
    OK,
    RATE,
    REQUEST,
    SCHEMA,
    TRANSIENT,
    Fault,
    Turn,
    error,
    kie_error,
    refusal,
)
from extract.faults.wire import Wire, plain

LIMITED = {"message": "Rate limit exceeded", "type": "rate_limit_error", "code": "rate_limit_exceeded"}
_STATES = (
    "The specified schema produces a constraint that has too many states for serving. Typical causes of this error "
    "are schemas with lots of text (for example, very long property or enum names), schemas with long array length "
    "limits (especially when nested), or schemas using complex value matchers (for example, integers or numbers with "
    "minimum/maximum bounds or strings with complex formats like date-time)"
)
_LIST_START = "Invalid value at 'generation_config.response_schema.properties[0].value' (type), Proto field is not repeating, cannot start list."  # noqa: E501
_GARBAGE = {
    "x-ratelimit-limit-requests": "-1",
    "x-ratelimit-remaining-requests": "-1",
    "x-ratelimit-remaining-tokens": "0",
    "x-ratelimit-reset-requests": "0",
    "x-ratelimit-reset-tokens": "",
}

_SCHEMA_REFUSALS: tuple[tuple[str, str, str], ...] = (
    ("Q48", "`type` arrays are refused", _LIST_START),
    ("Q49.siblings", "a $ref with siblings is refused", "$ref may not have sibling keys other than those with $"),
    ("Q49.cycle", "a cyclic $ref is refused", "Cyclic $ref is only allowed in non-required properties"),
    (
        "Q50.refused",
        "a numeric enum is refused",
        "response_schema.properties[number].enum: only allowed for STRING type",
    ),
    ("Q51", "`title` is refused", "Unknown name \"title\" at 'generation_config.response_schema': Cannot find field."),
    ("Q55.refused", "tools with response_format", "Function calling and response_format are mutually exclusive."),
)

_PLAIN_REFUSALS: tuple[tuple[str, str, str], ...] = (
    (
        "Q52",
        "strict wants all fields required",
        "Invalid schema for response_format 'item': In context=(), 'required' is required to be supplied and to be "
        "an array including every key in properties.",
    ),
    ("Q53.schema", "the schema is looked for elsewhere", "json_schema.schema is required"),
    ("Q53.both", "schema and grammar", 'Either "json_schema" or "grammar" can be specified, but not both'),
)

_WAITS: tuple[tuple[str, str], ...] = (
    ("seconds", "1"),
    ("float", "0.5"),
    ("zero", "0"),
    ("negative", "-5"),
    ("long", "3600"),
    ("suffix", "1s"),
    ("words", "soon"),
)


def _google_400(message: str) -> Wire:
    return plain({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}, 400)


def _bad_request(message: str, code: str | None = None, **more: Any) -> Wire:
    return error(400, message, type="invalid_request_error", **more, code=code)


def _limited(headers: dict[str, str], message: str = LIMITED["message"]) -> Wire:
    return plain({"error": {**LIMITED, "message": message}}, 429, headers)


def _date(turn: Turn, seconds: float) -> Wire:
    return _limited({"retry-after": formatdate(turn.now + seconds, usegmt=True)})


def _quota(quota: str, delay: str | None = None) -> Wire:
    """As Google says which quota is used up."""
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]}
    ]
    if delay:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    detail = {"code": 429, "message": "You exceeded your current quota.", "status": "RESOURCE_EXHAUSTED"}
    return plain([{"error": {**detail, "details": details}}], 429)


def _garbage(turn: Turn) -> Wire:
    wire = turn.reply()
    return replace(wire, headers={**wire.headers, **_GARBAGE})


_SHARED = {  # as ToAPIs: the user's other keys used it up
    "retry-after": "1",
    "x-ratelimit-limit": "300",
    "x-ratelimit-remaining": "0",
    "x-ratelimit-category": "user",
}

REFUSALS: tuple[Fault, ...] = (
    refusal("Q46", "too many states", _google_400(_STATES), SCHEMA),
    *(refusal(name, says, _google_400(message), REQUEST) for name, says, message in _SCHEMA_REFUSALS),
    *(
        refusal(name, says, _bad_request(message, param="response_format"), REQUEST)
        for name, says, message in _PLAIN_REFUSALS
    ),
    *(
        refusal(f"Q56.{name}", f"429, Retry-After: {value}", _limited({"retry-after": value}), RATE)
        for name, value in _WAITS
    ),
    refusal("Q56.missing", "429 without Retry-After", _limited({}), RATE),
    refusal("Q56.date", "429, Retry-After as a date", partial(_date, seconds=2), RATE),
    refusal("Q56.past", "429, Retry-After in the past", partial(_date, seconds=-3600), RATE),
    refusal(
        "Q56.text",
        "429, how long to wait is in the text",
        _limited({}, "Rate limit reached. Please try again in 0.724s."),
        RATE,
    ),
    refusal("Q56.delay", "429 with Google's retryDelay", _quota("PerMinute", "1s"), RATE),
    Fault("Q57.good", "-1 and 0 in the limit headers of a good answer", (OK,), _garbage),
    refusal("Q57.limited", "-1 and 0 in the limit headers of a 429", _limited(_GARBAGE), RATE),
    refusal("Q58.day", "the quota of the day is used up", _quota("GenerateRequestsPerDayPerProjectPerModel"), BALANCE),
    refusal(
        "Q58.minute",
        "the quota of the minute is used up",
        _quota("GenerateRequestsPerMinutePerProjectPerModel", "1s"),
        RATE,
    ),
    refusal(
        "Q58.balance",
        "429 for an empty account",
        error(429, "You exceeded your current quota.", type="insufficient_quota", code="insufficient_quota"),
        BALANCE,
    ),
    refusal(
        "Q59.user",
        "another job of the same user used up the limit",
        plain({"error": LIMITED}, 429, _SHARED),
        RATE,
    ),
    refusal(
        "Q59.limiter",
        "the limiter itself is down",
        error(503, "Rate limiter unavailable", {"retry-after": "1"}, code="rate_limit_unavailable"),
        RATE,
        TRANSIENT,
    ),
    refusal(
        "Q64",
        "the gateway cannot fetch the URL",
        replace(kie_error(422, "Failed to get the file information"), status=422),
        REQUEST,
    ),
    refusal("Q65.type", "a type of file that is refused", _google_400("Unsupported MIME type: image/x-foo"), REQUEST),
    refusal(
        "Q65.size",
        "a file that is too large",
        error(413, "File size exceeds the limit of 10 MB", type="invalid_request_error", code="file_too_large"),
        REQUEST,
    ),
    refusal(
        "Q66",
        "an uploaded file has expired",
        _bad_request("The file has expired or does not exist", "file_not_found"),
        REQUEST,
    ),
    refusal(
        "Q78",
        "robots.txt forbids the URL",
        _google_400("Cannot fetch content from the provided URL. URL_ROBOTED-ROBOTED_DENIED"),
        REQUEST,
    ),
)
