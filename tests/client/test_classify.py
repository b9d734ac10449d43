"""One table: (status, headers, body) → the error's class, what it means for the job, the wait, and whether it helps."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract import errors
from extract.client.classify import MAX_BODY, RULES, Rule, error_from, has_error
from extract.errors import ErrorClass
from tests.support import SHARED

# type, class, and whether a hint says what to do
AUTH = (errors.AuthenticationError, ErrorClass.AUTH, True)
BALANCE = (errors.InsufficientBalanceError, ErrorClass.BALANCE, True)
DENIED = (errors.PermissionDeniedError, ErrorClass.CONFIG, True)
MISSING = (errors.NotFoundError, ErrorClass.CONFIG, True)
SCHEMA = (errors.BadRequestError, ErrorClass.SCHEMA, True)
REDIRECT = (errors.APIError, ErrorClass.CONFIG, True)
BAD = (errors.BadRequestError, ErrorClass.REQUEST, False)
LONG = (errors.BadRequestError, ErrorClass.REQUEST, True)
MEDIA = (errors.BadRequestError, ErrorClass.REQUEST, True)
POLICY = (errors.ContentPolicyError, ErrorClass.POLICY, True)
RATE = (errors.RateLimitError, ErrorClass.RATE, False)
SERVER = (errors.ServerError, ErrorClass.TRANSIENT, False)
INVALID = (errors.InvalidResponseError, ErrorClass.TRANSIENT, True)
OUTPUT = (errors.OutputError, ErrorClass.OUTPUT, True)

Meaning = tuple[type[errors.APIError], ErrorClass, bool]
Case = tuple[int, dict[str, str], Any, Meaning, float | None]

GOOGLE = "type.googleapis.com/google.rpc."
PER_DAY = {"@type": f"{GOOGLE}QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerDayPerProject"}]}
PER_MINUTE = {"@type": f"{GOOGLE}QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerMinutePerProject"}]}
RETRY_INFO = {"@type": f"{GOOGLE}RetryInfo", "retryDelay": "5s"}
BAD_KEY = {"@type": f"{GOOGLE}ErrorInfo", "reason": "API_KEY_INVALID"}


def openai(message: Any = "no", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": None, "param": None, "code": None} | more}


def kie(code: Any, msg: str = "no") -> dict[str, Any]:
    return {"code": code, "msg": msg, "data": None}


def google(status: str, code: int, message: str = "no", *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "status": status, "message": message, "details": list(details)}}


def newapi(code: str, message: str = "no", kind: str = "new_api_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": "", "code": code}}


def litellm(code: str, kind: str = "None", message: str = "no") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": "None", "code": code}}


def router(code: int, message: str = "Provider returned error", **metadata: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "metadata": metadata}, "user_id": "u"}


def event(data: Any, name: str = "error") -> bytes:
    return f": keep alive\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()


STATES = "The specified schema produces a constraint that has too many states for serving"
SLOW = {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}

PLAIN: list[tuple[int, Any, Meaning]] = [
    # the documented bodies of ToAPIs
    (400, openai("The 'messages' field is required.", code="invalid_request_error", param="messages"), BAD),
    (401, openai("Invalid API key", code="unauthorized", type="authentication_error"), AUTH),
    (402, openai("no balance"), BALANCE),
    (422, openai("content policy"), POLICY),
    (422, openai("no", code="content_policy_violation"), POLICY),
    (429, openai("slow down", code="rate_limit_exceeded"), RATE),
    (503, openai("limiter down", code="rate_limit_unavailable"), RATE),
    (504, "<html><title>504 Gateway Time-out</title>" + "x" * 300_000, SERVER),
    # statuses alone
    *((status, "", AUTH) for status in (401,)),
    *((status, "", BALANCE) for status in (402, 433)),
    *((status, "", DENIED) for status in (403,)),
    *((status, "", MISSING) for status in (404, 405)),
    *((status, "", RATE) for status in (429,)),
    *((status, "", LONG) for status in (413,)),
    *((status, "", SERVER) for status in (408, 409, 425, 455, 498, 499)),
    *((status, "", SERVER) for status in (500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 599)),
    *((status, "", BAD) for status in (400, 410, 414, 415, 422, 431)),
    *((status, "", REDIRECT) for status in (301, 302, 303, 307, 308)),
    *((status, "", INVALID) for status in (200, 201, 204, 0)),
    # KIE: HTTP 200 with a code in the body
    (200, kie(401, "You do not have access permissions"), AUTH),
    (200, kie(402, "Credits insufficient"), BALANCE),
    (200, kie(404), MISSING),
    (200, kie(422), BAD),
    (200, kie(422, "Failed to get the file information"), MEDIA),
    (200, kie(429), RATE),
    (200, kie(433), BALANCE),
    (200, kie(500), SERVER),
    (200, kie(455), SERVER),
    (200, kie(501), SERVER),
    (200, kie(505), SERVER),
    (200, kie("401"), AUTH),
    (200, kie(429.0), RATE),
    (200, kie(1001), INVALID),
    (200, kie(500, "Your account has insufficient credits"), BALANCE),
    # HTTP 200, other errors in disguise
    (200, openai("no", code="rate_limit_exceeded"), RATE),
    (200, openai("no", type="server_error"), SERVER),
    (200, openai("no", type="invalid_request_error"), BAD),
    (200, openai("no", code="empty_response"), SERVER),
    (200, {"error": "no"}, INVALID),
    (200, {"error": {"message": "no"}}, INVALID),
    (200, {"success": False, "message": "no"}, INVALID),
    (200, {"success": False, "message": "Too many requests, slow down"}, RATE),
    (200, {"success": False, "message": "Invalid API key"}, AUTH),
    (200, {"success": False, "message": "用户余额不足"}, BALANCE),
    (200, {"success": False, "message": "您的账户已欠费"}, BALANCE),
    (200, {"detail": "no"}, INVALID),
    (200, {"detail": "Rate limit exceeded: 5 per 1 minute"}, RATE),
    (200, {"error": {"message": "no", "code": 502}, "choices": [{"finish_reason": "error"}]}, SERVER),
    (200, {"choices": [{"error": {"code": 429, "message": "no"}, "finish_reason": "error"}]}, RATE),
    (200, {"choices": [{"message": {"content": "", "error": {"code": 400, "message": "no"}}}]}, BAD),
    (200, "It works!", INVALID),
    (200, {"contentType": "application/json", "pathname": "/chat/completions"}, INVALID),
    (200, "<html><title>Sign in</title></html>", INVALID),
    # OpenAI and its relatives
    (401, openai("Incorrect API key", code="invalid_api_key", type="invalid_request_error"), AUTH),
    (401, openai("You must provide a key", type="invalid_request_error"), AUTH),
    (401, openai("no", code="account_deactivated"), AUTH),
    *((400, openai("no", code=code), AUTH) for code in ("unauthorized", "invalid_api_key", "api_key_invalid")),
    (403, openai("no", code="account_deactivated"), AUTH),
    (403, openai("no", code="unsupported_country_region_territory", type="request_forbidden"), DENIED),
    (400, openai("no", code="unsupported_country_region_territory"), DENIED),
    (403, openai("no", code="insufficient_user_quota"), BALANCE),
    (429, openai("You exceeded your current quota", code="insufficient_quota", type="insufficient_quota"), BALANCE),
    (429, openai("no", type="insufficient_quota"), BALANCE),
    (429, openai("no", code="billing_not_active"), BALANCE),
    (400, openai("no", code="billing_hard_limit_reached"), BALANCE),
    (400, openai("no", code="context_length_exceeded"), LONG),
    (400, openai("no", code="string_above_max_length"), LONG),
    (400, openai("This model's maximum context length is 4096 tokens."), LONG),
    (
        429,
        openai("Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000", type="requests"),
        LONG,
    ),
    (
        429,
        openai("Request too large for gpt-4o on tokens per min", type="tokens", code="rate_limit_exceeded"),
        LONG,
    ),
    (400, openai("no", code="content_filter"), POLICY),
    (400, openai("filtered", code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}), POLICY),
    (400, openai("triggering Azure OpenAI's content management policy"), POLICY),
    (400, openai("your prompt was flagged as potentially violating", code="invalid_prompt"), POLICY),
    (400, openai("This goes against our usage policies"), POLICY),
    (400, openai("no", code="moderation_blocked"), POLICY),
    (403, openai("no", code="prompt_blocked"), POLICY),
    (400, openai("no", code="content_moderation"), POLICY),
    (400, openai("no", code="data_inspection_failed"), POLICY),
    (400, openai("PROHIBITED_CONTENT"), POLICY),
    (400, openai("no", code="invalid_image_url"), MEDIA),
    (400, openai("no", code="image_fetch_failed"), MEDIA),
    (400, openai("Timeout while downloading https://a.example/b.png."), MEDIA),
    (400, openai("Could not finish the message because max_tokens or model output limit was reached."), OUTPUT),
    (500, openai("no", code="sensitive_words_detected"), POLICY),
    (404, openai("no", code="model_not_found"), MISSING),
    (400, openai("no", code="model_not_found"), MISSING),
    (503, openai("no", code="MODEL_NOT_FOUND"), MISSING),
    (403, openai("no", code="model_not_available"), MISSING),
    (400, openai("no", code="model_not_supported"), MISSING),
    (400, openai("no", code="invalid_model"), MISSING),
    (404, openai("no", code="DeploymentNotFound"), MISSING),
    (400, openai("no", code="DeploymentNotFound"), MISSING),
    (403, openai("the key may not use this model"), DENIED),
    (400, openai("no", code="unsupported_value", param="messages[0].role"), BAD),
    (400, openai("no", code="invalid_value"), BAD),
    (500, openai("no", code="rate_limit_exceeded"), RATE),
    (400, openai("no", code="rate_limited"), RATE),
    (400, openai("no", code="too_many_requests"), RATE),
    (503, openai("no", code="too_many_requests"), RATE),
    (500, openai("The server had an error", type="server_error"), SERVER),
    # Anthropic's form
    (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, SERVER),
    (200, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, SERVER),
    (200, {"type": "error", "error": {"type": "rate_limit_error", "message": "no"}}, RATE),
    (200, {"type": "error", "error": {"type": "authentication_error", "message": "no"}}, AUTH),
    (200, {"type": "error", "error": {"type": "permission_error", "message": "no"}}, DENIED),
    (200, {"type": "error", "error": {"type": "billing_error", "message": "no"}}, BALANCE),
    (200, {"type": "error", "error": {"type": "not_found_error", "message": "no"}}, MISSING),
    (400, openai("Your credit balance is too low to access the API"), BALANCE),
    (400, openai("prompt is too long: 209303 tokens > 200000 maximum"), LONG),
    # Google: arrays, status names, quotas, keys
    (400, [google("INVALID_ARGUMENT", 400)], BAD),
    (400, [google("INVALID_ARGUMENT", 400, "API key not valid.", BAD_KEY)], AUTH),
    (400, google("INVALID_ARGUMENT", 400, "API key not valid. Please pass a valid API key."), AUTH),
    (400, [google("INVALID_ARGUMENT", 400, "API key expired.", {"reason": "API_KEY_EXPIRED"})], AUTH),
    (400, google("FAILED_PRECONDITION", 400, "User location is not supported for the API use."), DENIED),
    (400, google("INVALID_ARGUMENT", 400, "The input token count exceeds the maximum number of tokens allowed"), LONG),
    (401, [google("UNAUTHENTICATED", 401)], AUTH),
    (400, google("UNAUTHENTICATED", 400), AUTH),
    (403, [google("PERMISSION_DENIED", 403)], DENIED),
    (403, [google("PERMISSION_DENIED", 403, "no", {"reason": "SERVICE_DISABLED"})], DENIED),
    (400, [google("INVALID_ARGUMENT", 400, "no", {"reason": "SERVICE_DISABLED"})], DENIED),
    (400, [google("PERMISSION_DENIED", 400)], DENIED),
    (404, [google("NOT_FOUND", 404)], MISSING),
    (402, [google("RESOURCE_EXHAUSTED", 402)], BALANCE),
    (402, {"error": {"status": "RESOURCE_EXHAUSTED", "message": "prepay"}}, BALANCE),
    (200, {"error": {"status": "RESOURCE_EXHAUSTED", "message": "no"}}, RATE),
    (200, {"error": {"status": "UNAVAILABLE", "message": "no"}}, SERVER),
    (200, {"error": {"status": "DEADLINE_EXCEEDED", "message": "no"}}, SERVER),
    (200, {"error": {"status": "INTERNAL", "message": "no"}}, SERVER),
    (200, {"error": {"status": "CANCELLED", "message": "no"}}, SERVER),
    (200, {"error": {"status": "ABORTED", "message": "no"}}, SERVER),
    (200, {"error": {"status": "NOT_FOUND", "message": "no"}}, MISSING),
    (429, [google("RESOURCE_EXHAUSTED", 429, "no", PER_DAY)], BALANCE),
    (429, [google("RESOURCE_EXHAUSTED", 429, "no", PER_MINUTE)], RATE),
    (503, [google("UNAVAILABLE", 503)], SERVER),
    (500, [{"nothing": 1}, google("INTERNAL", 500)], SERVER),
    (400, google("INVALID_ARGUMENT", 400, "The specified schema produces … too many states for serving."), SCHEMA),
    (400, openai(json.dumps(google("INVALID_ARGUMENT", 400, f"{STATES}."))), SCHEMA),
    (400, [google("INVALID_ARGUMENT", 400, STATES)], SCHEMA),
    (200, {"code": 400, "msg": STATES, "data": None}, SCHEMA),
    (200, openai(STATES), SCHEMA),
    (500, openai(f"upstream: {json.dumps(google('INVALID_ARGUMENT', 400, STATES))}"), SCHEMA),
    (429, openai(STATES, status="INVALID_ARGUMENT"), SCHEMA),
    (400, router(400, raw=STATES), SCHEMA),
    (400, STATES, SCHEMA),
    (402, openai(STATES), BALANCE),
    (400, google("INVALID_ARGUMENT", 400, "URL_ROBOTED-ROBOTED_DENIED"), MEDIA),
    (400, google("INVALID_ARGUMENT", 400, "URL_ERROR-ERROR_NOT_FOUND; Status: URL_UNREACHABLE"), MEDIA),
    (400, google("INVALID_ARGUMENT", 400, "URL_TIMEOUT-TIMEOUT_FETCHPROXY"), MEDIA),
    (400, google("INVALID_ARGUMENT", 400, "URL_UNREACHABLE-UNREACHABLE_NO_RESPONSE"), MEDIA),
    (400, google("INVALID_ARGUMENT", 400, "Cannot fetch content from the provided URL."), MEDIA),
    # new-api and one-api
    (403, newapi("insufficient_user_quota", "用户额度不足"), BALANCE),
    (403, newapi("pre_consume_token_quota_failed"), BALANCE),
    (403, newapi("access_denied"), DENIED),
    (400, newapi("access_denied"), DENIED),
    (403, newapi("entitlement_daily_limit_exceeded"), BALANCE),
    (429, newapi("token_concurrency_limit_reached"), RATE),
    (403, newapi("token_concurrency_limit_reached"), RATE),
    (503, newapi("model_not_found", "No available channel for model m under group default"), MISSING),
    (503, newapi("get_channel_failed"), SERVER),
    (403, newapi("get_channel_failed"), SERVER),
    (401, newapi("channel:invalid_key"), SERVER),
    (403, newapi("channel:no_available_key"), SERVER),
    (400, newapi("do_request_failed"), SERVER),
    (400, newapi("bad_response_body"), SERVER),
    (400, newapi("read_response_body_failed"), SERVER),
    (400, newapi("bad_response_status_code", "bad response status code 400", "upstream_error"), BAD),
    (500, newapi("prompt_blocked"), POLICY),
    (500, newapi("violation_fee.grok.csam"), POLICY),
    (500, newapi("count_token_failed", "failed to get file base64: 403"), MEDIA),
    (403, newapi("bad_response_status_code", "unexpected status 403: insufficient balance"), BALANCE),
    (401, {"error": {"message": "无效的令牌", "type": "new_api_error"}}, AUTH),
    # OpenRouter
    (429, router(429, raw="google/gemini is temporarily rate-limited upstream", provider_name="Google"), RATE),
    (429, router(429, raw=json.dumps(google("RESOURCE_EXHAUSTED", 429, "no", PER_DAY))), BALANCE),
    (429, router(429, "Rate limit exceeded: free-models-per-day"), BALANCE),
    (402, router(402, "Insufficient credits"), BALANCE),
    (402, router(402, "budget", limit_source="openrouter_in_flight_budget"), RATE),
    (403, router(403, "budget", limit_source="openrouter_key_limit"), BALANCE),
    (403, router(403, "budget", limit_source="openrouter_workspace_budget"), BALANCE),
    (403, router(403, "budget", limit_source="openrouter_guardrail_budget"), BALANCE),
    (403, router(403, "moderation", reasons=["violence"], flagged_input="…"), POLICY),
    (403, router(403, "was flagged by the guardrail"), POLICY),
    (502, router(502, raw=json.dumps(openai("bad key", code="invalid_api_key"))), SERVER),
    (200, {"error": {"code": 400, "message": "Token limit reached"}, "choices": []}, OUTPUT),
    (400, router(400, code_="x"), BAD),
    (400, {"error": {"code": "max_tokens_exceeded", "message": "no"}}, OUTPUT),
    # Groq
    (413, openai("Request too large for model `m` on tokens per minute", code="rate_limit_exceeded"), LONG),
    (498, openai("no", code="capacity_exceeded"), SERVER),
    (400, openai("no", code="capacity_exceeded"), SERVER),
    (400, openai("Failed to call a function.", code="tool_use_failed", failed_generation="{"), OUTPUT),
    (400, openai("Failed to generate JSON.", code="json_validate_failed"), OUTPUT),
    (400, openai("no", code="output_parse_failed"), OUTPUT),
    (404, openai("no such model", code="model_not_found", type="invalid_request_error"), MISSING),
    # LiteLLM
    (401, litellm("401", "auth_error", "Authentication Error"), AUTH),
    (400, litellm("400", "auth_error"), AUTH),
    (400, litellm("400", "token_not_found_in_db"), AUTH),
    (400, litellm("400", "expired_key"), AUTH),
    (400, litellm("400", "no_db_connection", "No connected db."), AUTH),
    (400, openai("/chat/completions: Invalid model name passed in model=gpt-9", type="invalid_request_error"), MISSING),
    (400, litellm("400", "budget_exceeded", "Budget has been exceeded! Current cost: 1, Max budget: 0.5"), BALANCE),
    (429, litellm("429", "budget_exceeded"), BALANCE),
    (401, litellm("401", "key_model_access_denied"), DENIED),
    (401, litellm("401", "team_model_access_denied"), DENIED),
    (429, litellm("429", "throttling_error"), RATE),
    (500, litellm("500", "throttling_error"), RATE),
    (400, litellm("400", "None", "litellm.ContextWindowExceededError: context window"), LONG),
    (500, litellm("429", "None", "litellm.RateLimitError: VertexAIException"), RATE),
    (500, litellm("500", "None", "litellm.RateLimitError: too many requests"), RATE),
    # llama.cpp, vLLM and other servers
    (400, {"error": {"code": 400, "message": "no", "type": "exceed_context_size_error", "n_ctx": 4096}}, LONG),
    (500, {"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}}, LONG),
    (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, SERVER),
    (401, {"error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}}, AUTH),
    (400, {"object": "error", "message": "no", "type": "BadRequestError", "param": None, "code": 400}, BAD),
    (200, {"object": "error", "message": "no", "type": "BadRequestError"}, BAD),
    (200, {"object": "error", "message": "no", "type": "NotFoundError"}, MISSING),
    (200, {"object": "error", "message": "no", "type": "InternalServerError"}, SERVER),
    (403, {"code": 403, "reason": "NOT_ENOUGH_BALANCE", "message": "not enough"}, DENIED),
    (403, {"code": "NOT_ENOUGH_BALANCE", "message": "no"}, BALANCE),
    (403, {"code": "FAILED_TO_AUTH", "message": "no"}, AUTH),
    (429, {"error": {"message": "Insufficient balance. Please recharge.", "code": "1113"}}, BALANCE),
    (403, {"error": {"message": "Insufficient account quota"}}, BALANCE),
    (400, {"code": "insufficient_balance", "message": "no"}, BALANCE),
    (400, {"code": "insufficient_credits", "message": "no"}, BALANCE),
    (429, {"message": "Daily quota of this key reached"}, BALANCE),
    (503, {"code": "service_unavailable", "message": "no"}, SERVER),
    (400, {"code": "service_unavailable", "message": "no"}, SERVER),
    # FastAPI
    (401, {"detail": "Not authenticated"}, AUTH),
    (404, {"detail": "Not Found"}, MISSING),
    (422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required", "type": "missing"}]}, BAD),
    (422, {"detail": [{"loc": ["body"], "msg": "no", "input": "insufficient balance, invalid api key"}]}, BAD),
    (400, {"detail": {"code": "insufficient_quota", "message": "no"}}, BALANCE),
    (429, {"detail": "Rate limit exceeded"}, RATE),
    # streams
    (200, event({"error": {"message": "no", "code": "tool_use_failed", "status_code": 400}}), OUTPUT),
    (200, event({"error": {"message": "no", "status_code": 400}}), BAD),
    (200, event({"message": "no", "code": 503}), SERVER),
    (200, event("busy"), INVALID),
    (200, event({"error": {"message": "no", "code": 429}}, "message"), RATE),
    (429, event(SLOW), RATE),
    (200, b'data: {"choices": [{"delta": {}}]}\r\rdata: {"error": {"code": 402}}\r\rdata: [DONE]\r\r', BALANCE),
    (200, b"event: error\ndata: not JSON\n\n", INVALID),
    (503, b": PING\n\n", SERVER),
    # bodies of odd shapes
    (400, "plain text", BAD),
    (400, '"a JSON text"', BAD),
    (400, [], BAD),
    (400, ["x"], BAD),
    (400, 7, BAD),
    (400, {"error": None}, BAD),
    (400, {"error": {}, "code": 429}, RATE),
    (400, {"error": "insufficient"}, BAD),
    (400, {"error": "rate_limit_exceeded", "message": "no"}, RATE),
    (400, {"errors": [{"message": "no", "code": "insufficient_quota"}]}, BALANCE),
    (400, {"errors": ["no"]}, BAD),
    (400, {"error": {"message": None, "code": 7}}, BAD),
    (400, {"error": {"message": {"a": 1}, "details": "x", "metadata": "x"}}, BAD),
    (400, {"error": {"message": ["a"], "details": [1, None], "metadata": [1]}}, BAD),
    (400, f'{{"error": {{"message": {"9" * 5000}, "code": {"9" * 5000}}}}}', BAD),
    (500, "[" * 100_000, SERVER),
    *((500, "[" * depth + "]" * depth, SERVER) for depth in (150, 450, 900)),
    (500, '{"error":' * 450 + "1" + "}" * 450, SERVER),
    (400, '{"error": {"message": "half a pair: \\ud800", "code": "insufficient_quota"}}', BALANCE),
    (400, '{"error": {"message": "{\\ud800", "code": "insufficient_quota"}}', BALANCE),
    (400, openai('{"error": {"message": "\\ud800", "code": "insufficient_quota"}}'), BALANCE),
    (400, b'\xef\xbb\xbf{"error": {"code": "insufficient_quota"}}', BALANCE),
    (400, openai(json.dumps(openai("inner", code="insufficient_quota"))), BALANCE),
    (200, kie(500, json.dumps(openai("inner", code="insufficient_quota"))), BALANCE),
    (500, openai(json.dumps([google("INVALID_ARGUMENT", 400)])), BAD),
    (500, openai("{ no JSON"), SERVER),
    (502, b"\xff\xfe", SERVER),
    (502, "<html><head><TITLE>502 Bad Gateway</TITLE></head><body>cloudflare</body></html>", SERVER),
    (524, "<!DOCTYPE html><title>a.example | 524: A timeout occurred</title>", SERVER),
    (403, "<!DOCTYPE html><title>Attention Required! | Cloudflare</title>", DENIED),
    # the status misleads
    (429, openai("no", status="INVALID_ARGUMENT"), BAD),
    (400, openai("Request exceeded token budget for this minute"), RATE),
    (200, openai("no", code=529), SERVER),
    (500, openai("no", code="401"), AUTH),
    (404, openai("Failed to download image: 404"), MEDIA),
    (429, openai("Failed to fetch file"), MEDIA),
]

AN_HOUR = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1h"}
WAITS: list[Case] = [
    (429, {"Retry-After": "7"}, openai(), RATE, 7.0),
    (429, {"retry-after": "1.5"}, openai(), RATE, 1.5),
    (429, {"retry-after": "0"}, openai(), RATE, 0.0),
    (429, {"retry-after": "-5"}, openai(), RATE, None),
    (429, {"retry-after": "500"}, openai(), RATE, 500.0),
    (429, {"retry-after": "5s"}, openai(), RATE, 5.0),
    (429, {"retry-after": "1m30s"}, openai(), RATE, 90.0),
    (429, {"retry-after": formatdate(0, usegmt=True)}, openai(), RATE, 0.0),
    (429, {"retry-after-ms": "250", "retry-after": "9"}, openai(), RATE, 0.25),
    (503, {"retry-after": "30"}, openai("limiter", code="rate_limit_unavailable"), RATE, 30.0),
    (503, {"retry-after": "3"}, "", SERVER, 3.0),
    (429, {}, [google("RESOURCE_EXHAUSTED", 429, "no", PER_MINUTE, RETRY_INFO)], RATE, 5.0),
    (429, {"retry-after": "9"}, [google("RESOURCE_EXHAUSTED", 429, "no", RETRY_INFO)], RATE, 9.0),
    (429, {}, [google("RESOURCE_EXHAUSTED", 429, "no", {"retryDelay": "41.724s"})], RATE, 41.724),
    (429, {}, [google("RESOURCE_EXHAUSTED", 429, "no", {"retryDelay": "soon"})], RATE, None),
    (429, {}, [google("RESOURCE_EXHAUSTED", 429, "no", {"retryDelay": {"seconds": 5}})], RATE, None),
    (429, {}, [google("RESOURCE_EXHAUSTED", 429, "Please retry in 31.3s.")], RATE, 31.3),
    (429, {}, [google("RESOURCE_EXHAUSTED", 429, "Please retry in 31.3s.", PER_DAY, RETRY_INFO)], BALANCE, 5.0),
    (429, {}, router(429, raw=json.dumps(google("RESOURCE_EXHAUSTED", 429, "no", RETRY_INFO))), RATE, 5.0),
    (429, {}, router(429, retry_after_seconds=12), RATE, 12.0),
    (429, {}, router(429, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "20s"}), RATE, 20.0),
    (429, {}, openai("no", retry_after=2.5), RATE, 2.5),
    (429, {}, openai("Rate limit reached. Please try again in 41.724s."), RATE, 41.724),
    (429, {}, openai("Please try again in 20ms."), RATE, 0.02),
    (429, {}, openai("Please try again in 1m30s. Visit our site."), RATE, 90.0),
    (429, {}, openai("Please try again in 6m0s."), RATE, 360.0),
    (429, {}, openai("Please retry after 20 seconds."), RATE, 20.0),
    (429, {}, openai("Try again in 5 minutes"), RATE, 300.0),
    (429, {}, openai("Please try again later"), RATE, None),
    (429, {}, openai("Please try again in a while"), RATE, None),
    (
        429,
        {},
        openai("on requests per day (RPD): Limit 10000. Please try again in 8.64s.", code="rate_limit_exceeded"),
        RATE,
        8.64,
    ),
    (429, {}, openai("on tokens per day (TPD): Limit 100000. Please try again in 7m12s."), BALANCE, 432.0),
    (429, {}, openai("on tokens per day (TPD): Limit 100000. Please try again in 8.64s."), RATE, 8.64),
    (429, AN_HOUR, openai(), RATE, 3600.0),
    (429, AN_HOUR | {"x-ratelimit-remaining-requests": "3"}, openai(), RATE, None),
    (429, AN_HOUR | {"retry-after": "2"}, openai(), RATE, 2.0),
    (429, AN_HOUR | {"x-ratelimit-limit-requests": "-1"}, openai(), RATE, None),
    (500, AN_HOUR, openai(), SERVER, None),
    (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "12", "X-RateLimit-Category": "chat"}, "", RATE, 12.0),
    (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "0"}, "", RATE, None),
    (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "-1"}, "", RATE, None),
    (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1741305600000"}, "", RATE, None),
]
CASES: list[Case] = [(status, {}, body, meaning, None) for status, body, meaning in PLAIN] + WAITS


def raw(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def meaning_of(found: errors.APIError) -> Meaning:
    return type(found), found.kind, found.hint is not None


@pytest.mark.parametrize(("status", "headers", "body", "meaning", "wait"), CASES)
def test_an_error_has_its_class_and_its_meaning(
    status: int, headers: dict[str, str], body: Any, meaning: Meaning, wait: float | None
) -> None:
    """The code of the body counts before the status, and words last."""
    found = error_from(status, headers | {"X-Request-Id": "r1"}, raw(body))
    assert (*meaning, wait) == (*meaning_of(found), found.retry_after)
    assert (status, "r1") == (found.status, found.request_id)
    assert MAX_BODY >= len(found.body)
    assert found.message.startswith(f"{status}: ")
    assert 2300 > len(str(found))
    assert str(found).encode()


def test_the_table_is_large_enough() -> None:
    assert 200 <= len(CASES)
    assert set(ErrorClass) == {meaning[1] for _, _, _, meaning, _ in CASES}


SMALL = [(status, headers, raw(body)) for status, headers, body, _, _ in CASES if len(raw(body)) < 10_000]


def told(case: tuple[int, dict[str, str], bytes], rules: Sequence[Rule]) -> tuple[Any, ...]:
    found = error_from(*case, rules)
    return (*meaning_of(found), found.hint, found.code)


def without_one(place: int) -> list[tuple[str, Rule | None]]:
    """The rule gone, or one of its codes, statuses and words."""
    rule = RULES[place]
    found: list[tuple[str, Rule | None]] = [("the rule", None)]
    found += [(code, replace(rule, codes=rule.codes - {code})) for code in rule.codes]
    found += [(word, replace(rule, words=tuple(set(rule.words) - {word}))) for word in rule.words]
    if len(rule.statuses) < 10:
        found += [(str(status), replace(rule, statuses=rule.statuses - {status})) for status in rule.statuses]
    return found


@pytest.mark.parametrize("place", range(len(RULES)))
def test_no_part_of_the_table_can_go(place: int) -> None:
    """Each rule, code, status and word has a case that fails without it."""
    whole = [told(case, RULES) for case in SMALL]
    idle = []
    for name, rule in without_one(place):
        rules = [*RULES[:place], *([rule] if rule else []), *RULES[place + 1 :]]
        if all(said == told(case, rules) for case, said in zip(SMALL, whole, strict=True)):
            idle.append(name)
    assert [] == idle


def test_words_count_only_where_codes_and_statuses_leave_room() -> None:
    """Each class that words may change has a case, and each that they may not stays."""
    for rule in (rule for rule in RULES if rule.words):
        assert rule.instead_of
        assert not {ErrorClass.AUTH, ErrorClass.BALANCE, ErrorClass.POLICY} & rule.instead_of
        assert not rule.codes | rule.statuses


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, openai("maximum context length is 5"), "context_length_exceeded"),
        (400, {"error": {"code": 400, "type": "exceed_context_size_error"}}, "context_length_exceeded"),
        (413, "", "context_length_exceeded"),
        (400, openai("URL_ROBOTED-ROBOTED_DENIED"), "media_unreachable"),
        (200, kie(422, "Failed to get the file information"), "media_unreachable"),
        (400, openai("no", code="unsupported_value"), "unsupported_value"),
        (400, openai("no", type="some_error"), "some_error"),
        (200, kie(500), "500"),
        (400, {"error": "slow_down", "message": "no"}, "slow_down"),
        (400, openai("no", code="x" * 5000), "x" * 200),
        (400, "", None),
    ],
)
def test_what_speaks_of_one_record_has_one_code(status: int, body: Any, code: str | None) -> None:
    """Too long and unreachable files are called so, whatever the server calls them; other codes stay."""
    assert code == error_from(status, {}, raw(body)).code


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
        (b'<html><title data-x="1">Busy</title>', "504: Busy"),
        (b"", "504: no message"),
        (b"busy", "504: busy"),
        (b'{"error": "busy"}', "504: busy"),
        (b'{"error": "Busy", "message": "come back"}', "504: come back"),
        (b'{"msg": "busy"}', "504: busy"),
        (b'{"detail": "busy"}', "504: busy"),
        (b'{"error_msg": "busy"}', "504: busy"),
        (
            b'{"detail": [{"loc": ["body", "n"], "msg": "busy", "input": "s3cret"}, {"msg": "too"}]}',
            "504: body.n: busy; too",
        ),
        (b'{"error": {"message": "no", "metadata": {"raw": "quota of the day"}}}', "504: no: quota of the day"),
        (b'{"error": {"message": "{\\"error\\": {\\"message\\": \\"the cause\\"}}"}}', "504: the cause"),
        (b'{"error": {"message": "half \\ud800 a pair"}}', "504: half \\ud800 a pair"),
        (b'event: error\ndata: {"error": {"message": "busy"}}\n\n', "504: busy"),
        (b"event: error\ndata: busy\n\n", "504: busy"),
        (b"event: error\r\ndata:busy\r\n", "504: busy"),
    ],
)
def test_the_message_is_what_the_server_says(body: bytes, message: str) -> None:
    """Of a page its title, of wrapped errors the cause, of findings no input."""
    assert message == error_from(504, {}, body).message


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"choices": [{}]}, False),
        ({"choices": [{}], "error": None}, False),
        ({"choices": [{}], "error": {"message": "x"}}, True),
        ({"choices": [{}], "code": 500}, True),
        ({"choices": [{}], "code": 200}, False),
        ({"choices": [{}], "detail": "x"}, False),
        ({"choices": [{}], "success": False}, True),
        ({"choices": [{"error": {"message": "x"}}]}, True),
        ({"choices": [{"message": {"error": "x"}}]}, True),
        ({"choices": 7}, False),
        ({"choices": [7]}, False),
        ({"code": "9" * 5000}, False),
        ({"code": 10**5000}, False),
        ({"code": True}, False),
        ({"code": 600}, True),
        ({"code": 429.0}, True),
        ({"choices": []}, False),
        ({"code": 200, "msg": "success"}, False),
        ({"code": 401}, True),
        ({"code": "401"}, True),
        ({"code": "abc"}, False),
        ({"status_code": 500}, True),
        ({"success": False}, True),
        ({"success": True}, False),
        ({"detail": "x"}, True),
        ({"detail": [{"msg": "x"}]}, True),
        ({"detail": ""}, False),
        ({"errors": [{"message": "x"}]}, True),
        ({"object": "error", "message": "x"}, True),
        ({"type": "error"}, True),
        ({"status": "error"}, True),
        ({"status": "ok"}, False),
        ([{"error": {"code": 1}}], True),
        ([], False),
        ("x", False),
        (None, False),
    ],
)
def test_an_error_behind_http_200_is_seen(document: Any, expected: bool) -> None:
    assert expected == has_error(document)


RECORDED = {
    "pai-69e7a98a35-0": MISSING,
    "pai-80d25e386f-0": OUTPUT,
    "pai-e3cdd85129-0": OUTPUT,
    "pai-31c49e1592-1": BAD,
    "pai-046838a2a4-2": BAD,
    "pai-897a38f7f8-2": BAD,
    "pai-b72951eb61-1": BAD,
    "pai-9019d6c647-2": BAD,
    "pai-46e5b48da7-2": BAD,
    "pai-10b051ae77-0": INVALID,
    "pai-9708fd2810-0": BAD,
    "pai-f1ea358882-0": OUTPUT,
}


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared")
def test_recorded_errors_have_their_classes() -> None:
    """Every error of the recorded traffic, also those inside streams; no good answer is taken for one."""
    lines = (SHARED / "vectors" / "completions" / "interactions.jsonl").read_text("utf-8").splitlines()
    found = {}
    for row in map(json.loads, lines):
        body = row["body"].encode()
        if row["id"] in RECORDED or row["status"] != 200:
            found[row["id"]] = meaning_of(error_from(row["status"], row["response_headers"], body))
        elif not row["stream"]:
            assert not has_error(json.loads(body)), row["id"]
    assert RECORDED == found


def test_hostile_bodies_are_read_in_time() -> None:
    """Megabytes of what looks like an error, a stream, a page or a wait take no seconds."""
    started = time.monotonic()
    for piece in (
        b"[",
        b'{"error":',
        b"data: {\n",
        b"event: error\n",
        b"<title>",
        b"try again in 1s",
        b"\r",
        b"per day",
    ):
        assert error_from(500, {}, piece * (1_000_000 // len(piece))).kind in set(ErrorClass)
    assert 8 > time.monotonic() - started


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["429", "error", "{}", "[1]"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "message",
                    "msg",
                    "detail",
                    "details",
                    "code",
                    "type",
                    "status",
                    "metadata",
                    "raw",
                    "headers",
                    "choices",
                    "errors",
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(document=VALUES, status=st.integers(0, 999), prefix=st.sampled_from([b"", b"data: ", b"event: error\ndata:"]))
def test_no_body_is_a_crash(document: Any, status: int, prefix: bytes) -> None:
    """Whatever JSON stands where, the error has a class, a text that can be stored, and a wait that is a number."""
    has_error(document)
    found = error_from(status, {}, prefix + json.dumps(document).encode())
    assert found.kind in set(ErrorClass)
    assert str(found).encode()
    assert found.retry_after is None or 0 <= found.retry_after < float("inf")


@given(body=st.binary(), status=st.integers(0, 999))
def test_no_bytes_are_a_crash(body: bytes, status: int) -> None:
    """Nor is anything that is no JSON."""
    assert error_from(status, {}, body).kind in set(ErrorClass)
