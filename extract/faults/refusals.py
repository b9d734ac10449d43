"""Quirks of refusals: schema (Q46 to Q55), limits and money (Q56 to Q59), media (Q64 to Q66, Q78)."""

from __future__ import annotations

from email.utils import formatdate
from functools import partial
from typing import Any

from extract.faults.turn import BALANCE, OK, RATE, REQUEST, SCHEMA, TRANSIENT, Fault, Turn, error
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


def _google_400(_: Turn, message: str) -> Wire:
    return plain({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}, 400)


def _bad_request(_: Turn, message: str) -> Wire:
    return error(400, message, type="invalid_request_error", param="response_format", code=None)


def _limited(_: Turn, headers: dict[str, str], message: str = LIMITED["message"]) -> Wire:
    return plain({"error": {**LIMITED, "message": message}}, 429, headers)


def _date(turn: Turn, seconds: float) -> Wire:
    return _limited(turn, {"retry-after": formatdate(turn.now + seconds, usegmt=True)})


def _quota(_: Turn, quota: str, delay: str | None = None) -> Wire:
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
    return Wire(wire.status, {**wire.headers, **_GARBAGE}, wire.steps, wire.framing)


def _shared_limit(_: Turn) -> Wire:
    """As ToAPIs: the user's other keys used it up."""
    headers = {
        "retry-after": "1",
        "x-ratelimit-limit": "300",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-category": "user",
    }
    return plain({"error": LIMITED}, 429, headers)


REFUSALS: tuple[Fault, ...] = (
    Fault("Q46", "too many states", (SCHEMA,), partial(_google_400, message=_STATES), billed=False),
    *(
        Fault(name, says, (REQUEST,), partial(_google_400, message=message), billed=False)
        for name, says, message in _SCHEMA_REFUSALS
    ),
    *(
        Fault(name, says, (REQUEST,), partial(_bad_request, message=message), billed=False)
        for name, says, message in _PLAIN_REFUSALS
    ),
    *(
        Fault(
            f"Q56.{name}",
            f"429, Retry-After: {value}",
            (RATE,),
            partial(_limited, headers={"retry-after": value}),
            billed=False,
        )
        for name, value in _WAITS
    ),
    Fault("Q56.missing", "429 without Retry-After", (RATE,), partial(_limited, headers={}), billed=False),
    Fault("Q56.date", "429, Retry-After as a date", (RATE,), partial(_date, seconds=2), billed=False),
    Fault("Q56.past", "429, Retry-After in the past", (RATE,), partial(_date, seconds=-3600), billed=False),
    Fault(
        "Q56.text",
        "429, how long to wait is in the text",
        (RATE,),
        partial(_limited, headers={}, message="Rate limit reached. Please try again in 0.724s."),
        billed=False,
    ),
    Fault(
        "Q56.delay",
        "429 with Google's retryDelay",
        (RATE,),
        partial(_quota, quota="PerMinute", delay="1s"),
        billed=False,
    ),
    Fault("Q57.good", "-1 and 0 in the limit headers of a good answer", (OK,), _garbage),
    Fault(
        "Q57.limited",
        "-1 and 0 in the limit headers of a 429",
        (RATE,),
        partial(_limited, headers=_GARBAGE),
        billed=False,
    ),
    Fault(
        "Q58.day",
        "the quota of the day is used up",
        (BALANCE,),
        partial(_quota, quota="GenerateRequestsPerDayPerProjectPerModel"),
        billed=False,
    ),
    Fault(
        "Q58.minute",
        "the quota of the minute is used up",
        (RATE,),
        partial(_quota, quota="GenerateRequestsPerMinutePerProjectPerModel", delay="1s"),
        billed=False,
    ),
    Fault(
        "Q58.balance",
        "429 for an empty account",
        (BALANCE,),
        lambda turn: error(
            429, "You exceeded your current quota.", type="insufficient_quota", code="insufficient_quota"
        ),
        billed=False,
    ),
    Fault("Q59.user", "another job of the same user used up the limit", (RATE,), _shared_limit, billed=False),
    Fault(
        "Q59.limiter",
        "the limiter itself is down",
        (RATE, TRANSIENT),
        lambda turn: error(503, "Rate limiter unavailable", {"retry-after": "1"}, code="rate_limit_unavailable"),
        billed=False,
    ),
    Fault(
        "Q64",
        "the gateway cannot fetch the URL",
        (REQUEST,),
        lambda turn: plain({"code": 422, "msg": "Failed to get the file information", "data": None}, 422),
        billed=False,
    ),
    Fault(
        "Q65.type",
        "a type of file that is refused",
        (REQUEST,),
        partial(_google_400, message="Unsupported MIME type: image/x-foo"),
        billed=False,
    ),
    Fault(
        "Q65.size",
        "a file that is too large",
        (REQUEST,),
        lambda turn: error(
            413, "File size exceeds the limit of 10 MB", type="invalid_request_error", code="file_too_large"
        ),
        billed=False,
    ),
    Fault(
        "Q66",
        "an uploaded file has expired",
        (REQUEST,),
        lambda turn: error(
            400, "The file has expired or does not exist", type="invalid_request_error", code="file_not_found"
        ),
        billed=False,
    ),
    Fault(
        "Q78",
        "robots.txt forbids the URL",
        (REQUEST,),
        partial(_google_400, message="Cannot fetch content from the provided URL. URL_ROBOTED-ROBOTED_DENIED"),
        billed=False,
    ),
)
