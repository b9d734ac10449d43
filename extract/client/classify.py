"""One failed answer (status, headers, body) as one typed error: the table of error classes in code.

The status alone misleads (a 429 may be an empty account, a 200 an error), so the code and type of the body count first.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from extract import errors
from extract.errors import APIError, ErrorClass

MAX_BODY = 64 * 1024  # of an error answer kept; gateways send whole HTML pages
_TITLE = re.compile(rb"<title>(.{0,200}?)</title>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rule:
    """First rule that fits decides: `codes` (of the body, lower case) or `statuses`."""

    kind: ErrorClass
    error: type[APIError]
    codes: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()
    hint: str | None = None


_KEY_HINT = "set EXTRACT_API_KEY to a valid key, then run the same command again"
_BALANCE_HINT = "top up the account, then run the same command again"
_MODEL_HINT = "check EXTRACT_BASE_URL, EXTRACT_DIALECT and the model's name (EXTRACT_MODEL or --set model.name=…)"

RULES: tuple[Rule, ...] = (
    Rule(
        ErrorClass.BALANCE,
        errors.InsufficientBalanceError,
        frozenset(
            {"insufficient_quota", "insufficient_user_quota", "insufficient_balance", "billing_hard_limit_reached"}
        ),
        frozenset({402}),
        _BALANCE_HINT,
    ),
    Rule(
        ErrorClass.AUTH,
        errors.AuthenticationError,
        frozenset({"unauthorized", "invalid_api_key", "api_key_invalid", "authentication_error", "unauthenticated"}),
        frozenset({401}),
        _KEY_HINT,
    ),
    Rule(
        ErrorClass.POLICY,
        errors.ContentPolicyError,
        frozenset({"content_filter", "content_policy_violation", "prompt_blocked", "sensitive_words_detected"}),
        hint="the provider refuses this content",
    ),
    Rule(ErrorClass.RATE, errors.RateLimitError, frozenset({"rate_limit_exceeded", "rate_limit_unavailable"})),
    Rule(
        ErrorClass.CONFIG,
        errors.NotFoundError,
        frozenset({"model_not_found", "model_not_available"}),
        frozenset({404, 405}),
        _MODEL_HINT,
    ),
    Rule(
        ErrorClass.CONFIG,
        errors.PermissionDeniedError,
        frozenset({"permission_denied"}),
        frozenset({403}),
        hint=_MODEL_HINT,
    ),
    Rule(ErrorClass.REQUEST, errors.BadRequestError, frozenset({"invalid_argument"})),
    Rule(ErrorClass.RATE, errors.RateLimitError, statuses=frozenset({429})),
    Rule(ErrorClass.TRANSIENT, errors.ServerError, statuses=frozenset({408, 409, 425})),
    Rule(ErrorClass.REQUEST, errors.BadRequestError, statuses=frozenset(range(400, 500))),
    Rule(ErrorClass.TRANSIENT, errors.ServerError, statuses=frozenset(range(500, 600))),
    Rule(
        ErrorClass.CONFIG,
        errors.APIError,
        statuses=frozenset(range(300, 400)),
        hint="the endpoint redirects; a key is never sent across a redirect, set EXTRACT_BASE_URL to the final address",
    ),
)
_OTHERWISE = Rule(ErrorClass.TRANSIENT, errors.InvalidResponseError)
_QUOTA_PER_DAY = Rule(
    ErrorClass.BALANCE,
    errors.InsufficientBalanceError,
    hint="the quota of the day is used up; run the same command again tomorrow",
)
_SCHEMA_TOO_COMPLEX = Rule(
    ErrorClass.SCHEMA,
    errors.BadRequestError,
    hint="ask for the fields in several requests (Pipeline(split_fields=2)), or make the schema smaller",
)
_RATE = next(rule for rule in RULES if 429 in rule.statuses)
_TOO_MANY_STATES = "too many states"
_OF_THE_REQUEST = (ErrorClass.REQUEST, ErrorClass.RATE, ErrorClass.TRANSIENT)  # gateways hide a 400 behind others
_TOKEN_BUDGET = "exceeded token budget"  # noqa: S105  # a rate limit that comes as a 400
_DELAY = re.compile(r"(\d+(?:\.\d+)?)s")
_TRY_AGAIN_IN = re.compile(r"try again in (\d+(?:\.\d+)?) ?(ms|s)\b", re.IGNORECASE)


def error_from(status: int, headers: Mapping[str, str], body: bytes) -> APIError:
    """The typed error of one failed answer."""
    detail = _detail(body)
    message = _message(detail, body)
    rule = _rule(detail, message, status)
    code = detail.get("code") or detail.get("type")
    asked = retry_after(headers)
    return rule.error(
        f"{status}: {message}",
        kind=rule.kind,
        status=status,
        code=None if code is None else str(code)[:200],
        request_id=headers.get("x-request-id") or headers.get("request-id"),
        retry_after=_delay_in_body(detail, message) if asked is None else asked,
        hint=rule.hint,
        body=body[:MAX_BODY],
    )


def has_error(document: Any) -> bool:
    """Whether the JSON body of an HTTP 200 is an error, as {"error": …}, {"code": 401}, {"detail": …}."""
    if isinstance(document, list):
        return any(has_error(item) for item in document)
    if not isinstance(document, dict):
        return False
    code = document.get("code")
    refused = _is_status(str(code)) and int(code) >= 400 if isinstance(code, int | str) else False
    if document.get("error") or refused or document.get("success") is False:
        return True
    choices = document.get("choices")
    if not choices:
        return isinstance(document.get("detail"), str)
    return any(isinstance(choice, dict) and _holds_error(choice) for choice in choices if isinstance(choices, list))


def _holds_error(choice: Mapping[str, Any]) -> bool:
    message = choice.get("message")
    return bool(choice.get("error") or (isinstance(message, dict) and message.get("error")))


def _is_status(text: str) -> bool:
    """Three digits; a longer number is a code of the server's own."""
    return len(text) == 3 and text.isascii() and text.isdecimal()


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that the server asks to wait (`retry-after-ms`, `retry-after` in seconds or as a date), else None."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip().removesuffix("s")
        try:
            seconds = float(text) * scale
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    date = email.utils.parsedate_tz(headers.get("retry-after", ""))
    if date is None:
        return None
    try:
        return max(0.0, email.utils.mktime_tz(date) - (time.time() if now is None else now))
    except (OverflowError, ValueError):
        return None


def _rule(detail: Mapping[str, Any], message: str, status: int) -> Rule:
    items = _items(detail)
    codes = {str(detail[key]).lower() for key in ("code", "type", "status") if detail.get(key) is not None}
    codes |= {str(item["reason"]).lower() for item in items if item.get("reason")}
    status = next((int(code) for code in sorted(codes) if _is_status(code) and 400 <= int(code) < 600), status)
    by_code = next((rule for rule in RULES if rule.codes & codes), None)
    by_status = next((rule for rule in RULES if status in rule.statuses), None)
    found = by_code or by_status or _OTHERWISE
    if found.kind is ErrorClass.RATE and any("PerDay" in str(item.get("violations")) for item in items):
        return _QUOTA_PER_DAY
    if found.kind in _OF_THE_REQUEST and _TOO_MANY_STATES in message.lower():
        return _SCHEMA_TOO_COMPLEX
    if found.kind is ErrorClass.REQUEST and _TOKEN_BUDGET in message.lower():
        return _RATE
    return found


def _items(detail: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Google's `details`: reasons, quotas, how long to wait."""
    items = detail.get("details")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _delay_in_body(detail: Mapping[str, Any], message: str) -> float | None:
    """Seconds to wait as the body says: `retryDelay: "5s"`, or "try again in 41.7s" in its text."""
    for item in _items(detail):
        found = _DELAY.fullmatch(str(item.get("retryDelay")))
        if found:
            return float(found[1])
    found = _TRY_AGAIN_IN.search(message)
    return float(found[1]) * (0.001 if found[2].lower() == "ms" else 1.0) if found else None


def _detail(body: bytes) -> dict[str, Any]:
    """The error object of any of the envelopes: {"error": {…}}, [{"error": …}], {"error": "text"}, {"code", "msg"}.

    A message that is itself such an envelope, as text, is opened too.
    """
    detail = _envelope(body)
    message = detail.get("message")
    inner = _envelope(message) if isinstance(message, str) and message.lstrip().startswith(("{", "[")) else {}
    return {**detail, **inner}


def _envelope(body: bytes | str) -> dict[str, Any]:
    try:
        document = from_json(body)
    except ValueError:
        return {}
    if isinstance(document, list) and document:
        document = next((item for item in document if isinstance(item, dict) and item.get("error")), document[0])
    if not isinstance(document, dict):
        return {"message": str(document)}
    error = document.get("error")
    if isinstance(error, dict):
        return error
    return {**document, "message": error} if isinstance(error, str) and error else document


def _message(detail: Mapping[str, Any], body: bytes) -> str:
    """What the server says; gateways keep the cause in `metadata.raw`."""
    said = detail.get("message") or detail.get("msg") or detail.get("detail") or _page_title(body) or "no message"
    metadata = detail.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return f"{said}: {raw}"[:2000] if raw else str(said)[:2000]


def _page_title(body: bytes) -> str | None:
    found = _TITLE.search(body[:MAX_BODY])
    if found:
        return found.group(1).decode("utf-8", "replace").strip()
    return body[:200].decode("utf-8", "replace").strip() or None
