"""One failed answer (status, headers, body) as one typed error: the table of error classes in code.

The status alone misleads (a 429 may be an empty account, a 200 an error), so what the body names counts first: its
codes, then its own status or that of the answer. Words count last, and only where the wire has nothing else; each such
rule says why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from extract import errors
from extract.client.envelope import (
    MAX_BODY,
    code_of,
    codes_of,
    detail_of,
    details_of,
    has_error,
    headers_in,
    message_of,
    status_of,
)
from extract.client.headers import duration, limits_in, lowered, retry_after, wait_in
from extract.dialects import DialectRules
from extract.errors import APIError, ErrorClass

__all__ = ["ADDRESS_HINT", "MAX_BODY", "RULES", "Rule", "error_from", "has_error", "invalid", "retry_after"]


@dataclass(frozen=True, slots=True)
class Rule:
    """When an answer means `kind`: the first rule that has one of its codes, else the first that has its status.

    `words` (regular expressions, in lower case) are looked for last, and only in an answer that would otherwise be one
    of `instead_of`; not where the server says to try again within `unless_within` seconds. `code` is the error's code
    from then on, whatever the server called it.
    """

    kind: ErrorClass
    error: type[APIError]
    codes: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()
    words: tuple[str, ...] = ()
    instead_of: frozenset[ErrorClass] = frozenset()
    unless_within: float | None = None
    code: str | None = None
    hint: str | None = None


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KEY_HINT = "set EXTRACT_API_KEY to a valid key, then run the same command again"
_BALANCE_HINT = "top up the account, then run the same command again"
_DAY_HINT = "the quota of the day is used up; run the same command again tomorrow"
_MODEL_HINT = "check EXTRACT_BASE_URL, EXTRACT_DIALECT and the model's name (EXTRACT_MODEL or --set model.name=…)"
_ACCESS_HINT = "this key or account may not use the model; ask for access, or name another model"
_POLICY_HINT = "the provider refuses this content"
_LONG_HINT = "shorten the record, or lower model.max_tokens: both count"
_MEDIA_HINT = "the provider cannot fetch this file; send its bytes, or an address that is open to everybody"
_SCHEMA_HINT = "ask for the fields in several requests (Pipeline(split_fields=2)), or make the schema smaller"
_OUTPUT_HINT = "what the model wrote is refused by its own provider; simplify the schema or the tools"
_ROOM_HINT = "raise model.max_tokens; thoughts count too"
ADDRESS_HINT = "is EXTRACT_BASE_URL the address of a chat-completions API?"
_REDIRECT_HINT = (
    "the endpoint redirects; a key is never sent across a redirect, set EXTRACT_BASE_URL to the final address"
)

_AUTH, _BALANCE, _CONFIG = ErrorClass.AUTH, ErrorClass.BALANCE, ErrorClass.CONFIG
_REQUEST, _RATE, _TRANSIENT = ErrorClass.REQUEST, ErrorClass.RATE, ErrorClass.TRANSIENT
_SHORT_WAIT = 300.0  # seconds; a rolling quota of the day that opens again so soon is a matter of pace

# what an answer can mean; each rule says by which codes, statuses or words
_WRONG_KEY = partial(Rule, _AUTH, errors.AuthenticationError, hint=_KEY_HINT)
_EMPTY_ACCOUNT = partial(Rule, _BALANCE, errors.InsufficientBalanceError, hint=_BALANCE_HINT)
_DAY_USED_UP = partial(Rule, _BALANCE, errors.InsufficientBalanceError, hint=_DAY_HINT)
_NO_ACCESS = partial(Rule, _CONFIG, errors.PermissionDeniedError, hint=_ACCESS_HINT)
_NO_MODEL = partial(Rule, _CONFIG, errors.NotFoundError, hint=_MODEL_HINT)
_REDIRECT = partial(Rule, _CONFIG, errors.APIError, hint=_REDIRECT_HINT)
_BAD_REQUEST = partial(Rule, _REQUEST, errors.BadRequestError)
_LONG = partial(Rule, _REQUEST, errors.BadRequestError, code=errors.TOO_LONG, hint=_LONG_HINT)
_NO_MEDIA = partial(Rule, _REQUEST, errors.BadRequestError, code=errors.MEDIA_UNREACHABLE, hint=_MEDIA_HINT)
_REFUSED_CONTENT = partial(Rule, ErrorClass.POLICY, errors.ContentPolicyError, hint=_POLICY_HINT)
_LARGE_SCHEMA = partial(Rule, ErrorClass.SCHEMA, errors.BadRequestError, hint=_SCHEMA_HINT)
_BAD_OUTPUT = partial(Rule, ErrorClass.OUTPUT, errors.OutputError, hint=_OUTPUT_HINT)
_NO_ROOM = partial(Rule, ErrorClass.OUTPUT, errors.OutputError, hint=_ROOM_HINT)
_LIMITED = partial(Rule, _RATE, errors.RateLimitError)
_PASSING = partial(Rule, _TRANSIENT, errors.ServerError)

RULES: tuple[Rule, ...] = (
    # codes, and the statuses that go with them
    _EMPTY_ACCOUNT(
        codes=_codes(
            "insufficient_quota insufficient_user_quota insufficient_balance insufficient_credits billing_error "
            "billing_hard_limit_reached billing_not_active budget_exceeded not_enough_balance "
            "pre_consume_token_quota_failed openrouter_key_limit openrouter_workspace_budget "
            "openrouter_guardrail_budget"
        ),
        statuses=frozenset({402, 433}),  # 433 is KIE's: the key's own allowance is used up
    ),
    _DAY_USED_UP(codes=_codes("quota_per_day entitlement_daily_limit_exceeded")),
    _NO_ACCESS(
        codes=_codes(
            "permission_denied permission_error access_denied failed_precondition service_disabled "
            "unsupported_country_region_territory key_model_access_denied team_model_access_denied"
        ),
        statuses=frozenset({403}),
    ),
    _WRONG_KEY(
        codes=_codes(
            "unauthorized unauthenticated authentication_error auth_error invalid_api_key api_key_invalid "
            "api_key_expired expired_key token_not_found_in_db no_db_connection account_deactivated failed_to_auth"
        ),
        statuses=frozenset({401}),
    ),
    _REFUSED_CONTENT(
        codes=_codes(
            "content_filter content_policy_violation content_moderation moderation_blocked prompt_blocked "
            "sensitive_words_detected flagged_input data_inspection_failed violation_fee.grok.csam"
        ),
    ),
    _LONG(
        codes=_codes("context_length_exceeded exceed_context_size_error string_above_max_length"),
        statuses=frozenset({413}),
    ),
    _NO_MEDIA(codes=_codes("invalid_image_url image_fetch_failed")),
    _BAD_OUTPUT(codes=_codes("tool_use_failed json_validate_failed output_parse_failed")),
    _NO_ROOM(codes=_codes("max_tokens_exceeded")),
    _LIMITED(
        codes=_codes(
            "rate_limit_exceeded rate_limit_unavailable rate_limit_error rate_limited too_many_requests "
            "throttling_error token_concurrency_limit_reached openrouter_in_flight_budget"
        ),
    ),
    _NO_MODEL(
        codes=_codes("model_not_found model_not_available model_not_supported invalid_model deploymentnotfound"),
        statuses=frozenset({404, 405}),
    ),
    _BAD_REQUEST(codes=_codes("invalid_argument")),
    _PASSING(
        codes=_codes(
            "server_error overloaded_error service_unavailable capacity_exceeded empty_response channel "
            "get_channel_failed do_request_failed bad_response_body read_response_body_failed"
        ),
    ),
    # statuses alone
    _LIMITED(statuses=frozenset({429})),
    _PASSING(
        statuses=frozenset({408, 409, 425, 455, 498, 499}),  # 455 is KIE's: under maintenance; 498 Groq's: no capacity
    ),
    _BAD_REQUEST(statuses=frozenset(range(400, 500))),
    _PASSING(statuses=frozenset(range(500, 600))),
    _REDIRECT(statuses=frozenset(range(300, 400))),
    # words
    _LARGE_SCHEMA(  # Google has one code for every wrong argument, and gateways hide the 400 behind other statuses
        words=("too many states",),
        instead_of=frozenset({_REQUEST, _RATE, _TRANSIENT}),
    ),
    _LONG(  # most servers have no code for it, some a 500, and one that is over the limit of a minute alone has a 429
        words=(
            r"context (?:length|size|window)",
            r"maximum number of tokens allowed",
            r"prompt is too long",
            r"request too large for",
        ),
        instead_of=frozenset({_REQUEST, _RATE, _TRANSIENT}),
    ),
    _NO_MEDIA(  # the status is that of whoever failed to fetch: 400, 403, 404, 422, 429 or 500
        words=(
            r"failed to (?:get|fetch|download) (?:the |an? )?(?:file|image|video|media)",
            r"(?:cannot|could not|unable to) (?:fetch|download|access) (?:content|the (?:file|image|url))",
            r"(?:timeout|error) while downloading",
            r"url_(?:roboted|error|timeout|unreachable)",
        ),
        instead_of=frozenset({_REQUEST, _CONFIG, _RATE, _TRANSIENT}),
    ),
    _NO_ROOM(  # said in a stream by gateways that have statuses as codes, and as a plain 400
        words=(r"token limit reached", r"max_tokens or model output limit was reached"),
        instead_of=frozenset({_REQUEST, _TRANSIENT}),
    ),
    _REFUSED_CONTENT(  # a 422 or 403 of most gateways has no code for it
        words=(
            r"content[ _](?:management )?policy",
            r"flagged (?:as|by|for)",
            r"prohibited[ _]content",
            r"usage polic(?:y|ies)",
        ),
        instead_of=frozenset({_REQUEST, _CONFIG}),
    ),
    _EMPTY_ACCOUNT(  # an account that is empty has a 400, 403 or 429 without a code at several providers
        words=(
            r"insufficient (?:account )?(?:balance|credits?|funds|quota)",
            r"credits? (?:balance is too low|insufficient)",
            r"余额不足",
            r"欠费",
        ),
        instead_of=frozenset({_REQUEST, _CONFIG, _RATE, _TRANSIENT}),
    ),
    _DAY_USED_UP(  # the code is that of every rate limit; a rolling quota opens again soon, and then it is one
        words=(r"per[ _-]?day", r"daily (?:quota|limit)"),
        instead_of=frozenset({_RATE}),
        unless_within=_SHORT_WAIT,
    ),
    _WRONG_KEY(  # Google's answer to a wrong key is the 400 of every wrong argument; others say it under HTTP 200
        words=(r"api key not valid", r"(?:invalid|incorrect) api[ -]?key"),
        instead_of=frozenset({_REQUEST, _TRANSIENT}),
    ),
    _NO_MODEL(  # LiteLLM's answer to a model that it does not have is the 400 of every wrong request
        words=(r"invalid model name",),
        instead_of=frozenset({_REQUEST}),
    ),
    _LIMITED(  # limits that come as a 400, a 500 or under HTTP 200
        words=(r"exceeded token budget", r"too many requests", r"rate[ -]limit(?:ed| reached| exceeded)"),
        instead_of=frozenset({_REQUEST, _TRANSIENT}),
    ),
)
_OTHERWISE = Rule(_TRANSIENT, errors.InvalidResponseError, hint=ADDRESS_HINT)


def error_from(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    rules: Sequence[Rule] = RULES,
    dialect: DialectRules | None = None,
) -> APIError:
    """The typed error of one failed answer, or of one event of a stream that began with HTTP 200.

    Envelopes and limit headers of the `dialect` are looked for first; those of all others are still understood, since
    gateways pass on what they get.
    """
    given = lowered(headers)
    detail = detail_of(body, dialect.envelopes if dialect else ())
    message = message_of(detail, body)
    rule = _rule(rules, codes_of(detail), status_of(detail, status), message.lower())
    return rule.error(
        f"{status}: {message}",
        kind=rule.kind,
        status=status,
        code=rule.code or code_of(detail),
        request_id=given.get("x-request-id") or given.get("request-id"),
        retry_after=_wait(rule.kind, given, detail, message, dialect.limit_headers if dialect else ()),
        hint=rule.hint,
        body=body[:MAX_BODY],
    )


def _rule(rules: Sequence[Rule], codes: set[str], status: int, message: str) -> Rule:
    by_code = next((rule for rule in rules if rule.codes & codes), None)
    by_status = next((rule for rule in rules if status in rule.statuses), None)
    found = by_code or by_status or _OTHERWISE
    return next((rule for rule in rules if _says(rule, found, message)), found)


def _says(rule: Rule, found: Rule, message: str) -> bool:
    """Whether words make this the rule, instead of the one that code and status found."""
    if found.kind not in rule.instead_of or not any(re.search(word, message) for word in rule.words):
        return False
    if rule.unless_within is None:
        return True
    wait = wait_in(message, only="try again")  # "retry in" is Google's, who says it of quotas of a day as well
    return wait is None or wait > rule.unless_within


def invalid(
    message: str, body: bytes, headers: Mapping[str, str], hint: str | None = ADDRESS_HINT
) -> errors.InvalidResponseError:
    """HTTP 200 that is no whole chat completion; worth another attempt."""
    return errors.InvalidResponseError(
        message,
        kind=_TRANSIENT,
        status=200,
        body=body[:MAX_BODY],
        request_id=headers.get("x-request-id"),
        hint=hint,
    )


def _wait(
    kind: ErrorClass, headers: Mapping[str, str], detail: Mapping[str, Any], message: str, own: Sequence[str]
) -> float | None:
    """Seconds to wait: of the header, of the body's fields, of its text, of the allowance that is used up."""
    upstream = headers_in(detail)
    fields = [duration(str(item.get("retryDelay"))) for item in details_of(detail)]
    found = [retry_after(headers), retry_after(upstream), *fields, wait_in(message)]
    if kind is _RATE:
        found += [limits_in(headers, own=own).wait, limits_in(upstream).wait]
    return next((seconds for seconds in found if seconds is not None), None)
