"""One table: (status, headers, body) → the error's class and what it means for the job."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest

from extract import errors
from extract.client.classify import MAX_BODY, error_from, has_error, retry_after
from extract.errors import ErrorClass

AUTH = (errors.AuthenticationError, ErrorClass.AUTH)
BALANCE = (errors.InsufficientBalanceError, ErrorClass.BALANCE)
DENIED = (errors.PermissionDeniedError, ErrorClass.CONFIG)
MISSING = (errors.NotFoundError, ErrorClass.CONFIG)
SCHEMA = (errors.BadRequestError, ErrorClass.SCHEMA)
REDIRECT = (errors.APIError, ErrorClass.CONFIG)
BAD = (errors.BadRequestError, ErrorClass.REQUEST)
POLICY = (errors.ContentPolicyError, ErrorClass.POLICY)
RATE = (errors.RateLimitError, ErrorClass.RATE)
SERVER = (errors.ServerError, ErrorClass.TRANSIENT)
INVALID = (errors.InvalidResponseError, ErrorClass.TRANSIENT)

GOOGLE = "type.googleapis.com/google.rpc."
PER_DAY = {"@type": f"{GOOGLE}QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerDayPerProject"}]}
PER_MINUTE = {"@type": f"{GOOGLE}QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerMinutePerProject"}]}
RETRY_INFO = {"@type": f"{GOOGLE}RetryInfo", "retryDelay": "5s"}
BAD_KEY = {"@type": f"{GOOGLE}ErrorInfo", "reason": "API_KEY_INVALID"}


def openai(message: str = "no", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": None, "param": None, "code": None} | more}


def kie(code: int, msg: str = "no") -> dict[str, Any]:
    return {"code": code, "msg": msg, "data": None}


def google(status: str, code: int, message: str = "no", *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "status": status, "message": message, "details": list(details)}}


STATES = "The specified schema produces a constraint that has too many states for serving"

CASES: list[tuple[int, Any, tuple[type[errors.APIError], ErrorClass]]] = [
    # the documented bodies of ToAPIs
    (400, openai("The 'messages' field is required.", code="invalid_request_error", param="messages"), BAD),
    (401, openai("Invalid API key", code="unauthorized", type="authentication_error"), AUTH),
    (402, openai("no balance"), BALANCE),
    (422, openai("content policy"), BAD),
    (422, openai("no", code="content_policy_violation"), POLICY),
    (429, openai("slow down", code="rate_limit_exceeded"), RATE),
    (503, openai("limiter down", code="rate_limit_unavailable"), RATE),
    (504, "<html><title>504 Gateway Time-out</title>" + "x" * 300_000, SERVER),
    # statuses alone
    *((status, "", AUTH) for status in (401,)),
    *((status, "", BALANCE) for status in (402,)),
    *((status, "", DENIED) for status in (403,)),
    *((status, "", MISSING) for status in (404, 405)),
    *((status, "", RATE) for status in (429,)),
    *((status, "", SERVER) for status in (408, 409, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 599)),
    *((status, "", BAD) for status in (400, 410, 413, 414, 415, 422, 431)),
    *((status, "", REDIRECT) for status in (301, 302, 303, 307, 308)),
    *((status, "", INVALID) for status in (200, 201, 204, 0)),
    # KIE: HTTP 200 with a code in the body
    (200, kie(401), AUTH),
    (200, kie(402), BALANCE),
    (200, kie(404), MISSING),
    (200, kie(422, "Failed to get the file information"), BAD),
    (200, kie(429), RATE),
    (200, kie(500), SERVER),
    (200, kie(455), BAD),
    (200, kie(505), SERVER),
    (200, kie(1001), INVALID),
    # HTTP 200, other errors in disguise
    (200, openai("no", code="rate_limit_exceeded"), RATE),
    (200, {"error": "no"}, INVALID),
    (200, {"success": False, "message": "no"}, INVALID),
    (200, {"detail": "no"}, INVALID),
    (200, {"error": {"message": "no", "code": 502}, "choices": [{"finish_reason": "error"}]}, SERVER),
    # OpenAI and its relatives
    (401, openai("Incorrect API key", code="invalid_api_key", type="invalid_request_error"), AUTH),
    (403, openai("no", code="insufficient_user_quota"), BALANCE),
    (429, openai("You exceeded your current quota", code="insufficient_quota", type="insufficient_quota"), BALANCE),
    (429, openai("no", type="insufficient_quota"), BALANCE),
    (400, openai("no", code="billing_hard_limit_reached"), BALANCE),
    (400, openai("no", code="context_length_exceeded"), BAD),
    (400, openai("no", code="content_filter"), POLICY),
    (403, openai("no", code="prompt_blocked"), POLICY),
    (500, openai("no", code="sensitive_words_detected"), POLICY),
    (404, openai("no", code="model_not_found"), MISSING),
    (400, openai("no", code="model_not_found"), MISSING),
    (503, openai("no", code="MODEL_NOT_FOUND"), MISSING),
    (403, openai("no", code="model_not_available"), MISSING),
    (403, openai("the key may not use this model"), DENIED),
    (500, openai("no", code="rate_limit_exceeded"), RATE),
    (529, openai("no", type="overloaded_error"), SERVER),
    # Google: arrays, status names, quotas, keys
    (400, [google("INVALID_ARGUMENT", 400)], BAD),
    (400, [google("INVALID_ARGUMENT", 400, "API key not valid.", BAD_KEY)], AUTH),
    (401, [google("UNAUTHENTICATED", 401)], AUTH),
    (403, [google("PERMISSION_DENIED", 403)], DENIED),
    (400, [google("PERMISSION_DENIED", 400)], DENIED),
    (404, [google("NOT_FOUND", 404)], MISSING),
    (402, [google("RESOURCE_EXHAUSTED", 402)], BALANCE),
    (429, [google("RESOURCE_EXHAUSTED", 429, "no", PER_MINUTE, RETRY_INFO)], RATE),
    (429, [google("RESOURCE_EXHAUSTED", 429, "no", PER_DAY)], BALANCE),
    (503, [google("UNAVAILABLE", 503)], SERVER),
    (500, [{"nothing": 1}, google("INTERNAL", 500)], SERVER),
    (400, google("INVALID_ARGUMENT", 400, "The specified schema produces … too many states for serving."), SCHEMA),
    (400, openai(json.dumps(google("INVALID_ARGUMENT", 400, f"{STATES}."))), SCHEMA),
    (400, [google("INVALID_ARGUMENT", 400, STATES)], SCHEMA),
    (200, {"code": 400, "msg": STATES, "data": None}, SCHEMA),
    (200, openai(STATES), SCHEMA),
    (500, openai(f"upstream: {json.dumps(google('INVALID_ARGUMENT', 400, STATES))}"), SCHEMA),
    (429, openai(STATES, status="INVALID_ARGUMENT"), SCHEMA),
    (400, {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": STATES}}}, SCHEMA),
    (400, STATES, SCHEMA),
    (402, openai(STATES), BALANCE),
    (400, google("INVALID_ARGUMENT", 400, "URL_ROBOTED-ROBOTED_DENIED"), BAD),
    # bodies of odd shapes
    (400, "plain text", BAD),
    (400, '"a JSON text"', BAD),
    (400, [], BAD),
    (400, ["x"], BAD),
    (400, 7, BAD),
    (400, {"error": None}, BAD),
    (400, {"error": "insufficient"}, BAD),
    (400, {"error": {"message": None, "code": 7}}, BAD),
    (400, {"error": {"message": {"a": 1}, "details": "x", "metadata": "x"}}, BAD),
    (400, openai(json.dumps(openai("inner", code="insufficient_quota"))), BALANCE),
    (500, openai(json.dumps([google("INVALID_ARGUMENT", 400)])), BAD),
    (500, openai("{ no JSON"), SERVER),
    (502, b"\xff\xfe", SERVER),
    # the status misleads
    (429, openai("no", status="INVALID_ARGUMENT"), BAD),
    (400, openai("Request exceeded token budget for this minute"), RATE),
    (
        429,
        {"error": {"code": 429, "message": "Provider returned error", "metadata": {"raw": "upstream"}}, "user_id": "u"},
        RATE,
    ),
]


def raw(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


@pytest.mark.parametrize(("status", "body", "expected"), CASES)
def test_an_error_has_its_class_and_its_meaning(
    status: int, body: Any, expected: tuple[type[errors.APIError], ErrorClass]
) -> None:
    """The code of the body counts before the status."""
    found = error_from(status, {"x-request-id": "r1"}, raw(body))
    assert expected == (type(found), found.kind)
    assert (status, "r1") == (found.status, found.request_id)
    assert MAX_BODY >= len(found.body)
    assert found.message.startswith(f"{status}: ")
    assert 2100 > len(str(found))


def test_the_table_is_large_enough() -> None:
    assert 80 <= len(CASES)


def test_only_rate_and_transient_are_retryable_and_only_three_kinds_stop_a_run() -> None:
    kinds = {kind: errors.APIError("x", kind=kind) for kind in ErrorClass}
    assert {ErrorClass.RATE, ErrorClass.TRANSIENT} == {kind for kind, error in kinds.items() if error.retryable}
    assert {ErrorClass.AUTH, ErrorClass.BALANCE, ErrorClass.CONFIG} == {k for k, e in kinds.items() if e.stops_run}


@pytest.mark.parametrize("status", [401, 402, 403, 404, 301])
def test_what_stops_a_run_says_what_to_do(status: int) -> None:
    assert error_from(status, {}, b"").hint


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html><TITLE> 504 Gateway\n Time-out </TITLE>", "504: 504 Gateway\n Time-out"),
        (b"", "504: no message"),
        (b"busy", "504: busy"),
        (b'{"error": "busy"}', "504: busy"),
        (b'{"msg": "busy"}', "504: busy"),
        (b'{"detail": "busy"}', "504: busy"),
        (b'{"error": {"message": "no", "metadata": {"raw": "quota of the day"}}}', "504: no: quota of the day"),
        (b'{"error": {"message": "{\\"error\\": {\\"message\\": \\"the cause\\"}}"}}', "504: the cause"),
    ],
)
def test_the_message_is_what_the_server_says(body: bytes, message: str) -> None:
    """Of a page its title, of wrapped errors the cause."""
    assert message == error_from(504, {}, body).message


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "5s"}, 5.0),
        ({"retry-after": " 3 "}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
        ({"retry-after": formatdate(1_000_030, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(999_000, usegmt=True)}, 0.0),
        ({"retry-after": "Wed, 21 Oct 99999 07:28:00 GMT"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], expected: float | None) -> None:
    assert expected == retry_after(headers, now=1_000_000)


def test_a_date_counts_from_now() -> None:
    assert 59 < (retry_after({"retry-after": formatdate(time.time() + 61, usegmt=True)}) or 0) <= 61


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({}, [google("RESOURCE_EXHAUSTED", 429, "no", RETRY_INFO)], 5.0),
        ({"retry-after": "9"}, [google("RESOURCE_EXHAUSTED", 429, "no", RETRY_INFO)], 9.0),
        ({}, [google("RESOURCE_EXHAUSTED", 429, "no", {"retryDelay": "soon"})], None),
        ({}, openai("Rate limit reached. Please try again in 41.724s."), 41.724),
        ({}, openai("Please try again in 20ms."), 0.02),
        ({}, openai("Please try again later"), None),
    ],
)
def test_the_wait_may_stand_in_the_body(headers: dict[str, str], body: Any, expected: float | None) -> None:
    """`retryDelay` of Google, and the text of OpenAI; the header comes first."""
    assert expected == error_from(429, headers, raw(body)).retry_after


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"choices": [{}]}, False),
        ({"choices": [{}], "error": None}, False),
        ({"choices": [{}], "error": {"message": "x"}}, True),
        ({"choices": [{}], "code": 500}, True),
        ({"choices": [{}], "code": 200}, False),
        ({"choices": [{}], "success": False}, True),
        ({"choices": [{"error": {"message": "x"}}]}, True),
        ({"choices": [{"message": {"error": "x"}}]}, True),
        ({"code": "9" * 5000}, False),
        ({"choices": []}, False),
        ({"code": 200, "msg": "success"}, False),
        ({"code": 401}, True),
        ({"code": "401"}, True),
        ({"code": "abc"}, False),
        ({"success": False}, True),
        ({"detail": "x"}, True),
        ([{"error": {"code": 1}}], True),
        ([], False),
        ("x", False),
        (None, False),
    ],
)
def test_an_error_behind_http_200_is_seen(document: Any, expected: bool) -> None:
    assert expected == has_error(document)
