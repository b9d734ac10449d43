"""The dialects as data: what is sent where, what is refused before it is paid for, and how errors look."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from typing import Any

import pytest
from pydantic_core import to_json

from extract.client.classify import error_from
from extract.client.headers import limits_in
from extract.config import BASE_URLS, DEFAULT_BASE_URL, Dialect, Endpoint, Model
from extract.dialects import (
    DIALECTS,
    SEARCH,
    DialectRules,
    Envelope,
    body_fields,
    dialect_of,
    finish_is_optional,
    refuse_exclusions,
    rules_of,
    settled,
    undocumented,
)
from extract.errors import ConfigError, ErrorClass
from extract.testing import Reply, ScriptedServer, completion
from tests.client.test_exchange import ask, refused

ALL = pytest.mark.parametrize("name", DIALECTS)
FULL = Model(
    max_tokens=5, temperature=0, top_p=0.5, seed=1, stop=["\n"], reasoning_effort="medium", include_thoughts=True
)


def test_the_dialects_are_told_apart_by_these_facts() -> None:
    """Path, place of the model, form of response_format, base URL, list of models, balance."""
    facts = {
        name: (rules.path, rules.model_in_body, rules.form, rules.base_url, rules.models_path, rules.balance_path)
        for name, rules in DIALECTS.items()
    }
    assert facts == {
        "openai": ("/chat/completions", True, "C", "https://toapis.com/v1", "/models", None),
        "toapis": ("/chat/completions", True, "C", "https://toapis.com/v1", "/models", "/balance"),
        "kie": ("/{model}/v1/chat/completions", False, "A", "https://api.kie.ai", None, "/api/v1/chat/credit"),
        "llamacpp": ("/chat/completions", True, "C", "http://127.0.0.1:8080/v1", "/models", None),
    }
    assert BASE_URLS["kie"] == Endpoint(dialect="kie").base_url
    assert DEFAULT_BASE_URL == Endpoint(dialect="toapis").base_url == Endpoint().base_url


def test_no_dialect_takes_an_unfinished_answer_by_itself() -> None:
    """Only where somebody says so: an answer that is cut off looks the same."""
    assert {False} == {rules.finish_optional for rules in DIALECTS.values()}


@ALL
def test_rules_can_be_copied_and_written_as_json(name: Dialect) -> None:
    """They go into reports and to other processes; no dialect shares its search tool with another."""
    rules = DIALECTS[name]
    assert rules == pickle.loads(pickle.dumps(rules)) == copy.deepcopy(rules)
    assert to_json(rules)
    others = [other.search_tool for other in DIALECTS.values() if other is not rules]
    assert not any(rules.search_tool is tool for tool in others if tool)
    with pytest.raises(AttributeError):
        rules.path = "/"  # type: ignore[misc]


@ALL
@pytest.mark.parametrize("stream", [False, True])
def test_stream_and_max_tokens_are_always_explicit(name: Dialect, stream: bool) -> None:
    """Whatever the dialect's default is."""
    fields = body_fields(DIALECTS[name], Model(max_tokens=7, stream=stream))
    assert (stream, 7) == (fields["stream"], fields["max_tokens"])


@pytest.mark.parametrize("name", ["openai", "toapis", "llamacpp"])
def test_what_nobody_sets_is_left_out(name: Dialect) -> None:
    """Two fields, in this order; more only when the model sets them."""
    assert b'{"stream": false, "max_tokens": 1024}' == json.dumps(body_fields(DIALECTS[name], Model())).encode()


def test_the_order_of_the_fields_is_that_of_the_stored_requests() -> None:
    """A hash is of the bytes: another order would ask everything anew."""
    extra = {"top_k": 3, "temperature_scale": None}
    fields = body_fields(DIALECTS["openai"], FULL.replaced({"extra_body": extra}))
    expected = {
        "stream": False,
        "max_tokens": 5,
        "temperature": 0.0,
        "top_p": 0.5,
        "seed": 1,
        "stop": ["\n"],
        "reasoning_effort": "medium",
        "include_thoughts": True,
        "top_k": 3,
        "temperature_scale": None,
    }
    assert json.dumps(expected) == json.dumps(fields)


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("openai", ["minimal", "low", "medium", "high"]),
        ("toapis", ["minimal", "low", "medium", "high"]),
        ("llamacpp", ["minimal", "low", "medium", "high"]),
        ("kie", ["low", "low", "high", "high"]),
    ],
)
def test_the_effort_is_one_that_the_dialect_knows(name: Dialect, sent: list[str]) -> None:
    """The page of KIE has low and high."""
    models = [Model(reasoning_effort=effort) for effort in ("minimal", "low", "medium", "high")]
    assert sent == [body_fields(DIALECTS[name], model)["reasoning_effort"] for model in models]
    every = DialectRules(path="/", model_in_body=True, form="C", efforts=dict.fromkeys(("minimal", "low"), "x"))
    assert "reasoning_effort" not in {**body_fields(DIALECTS[name], Model()), **body_fields(every, Model())}


@pytest.mark.parametrize(
    ("name", "unset", "asked", "refused"),
    [
        ("openai", None, True, False),
        ("toapis", None, True, False),
        ("llamacpp", None, True, False),
        ("kie", False, True, False),
    ],
)
def test_thoughts_are_paid_for_only_when_asked_for(name: Dialect, unset: Any, asked: Any, refused: Any) -> None:
    """KIE's own default is true, so false is said; where the default is none, nothing is said."""
    found = [
        body_fields(DIALECTS[name], Model(include_thoughts=wish)).get("include_thoughts")
        for wish in (None, True, False)
    ]
    assert [unset, asked, refused] == found


@pytest.mark.parametrize(("name", "asked"), [("openai", True), ("toapis", True), ("llamacpp", True), ("kie", False)])
def test_a_stream_is_asked_for_its_usage_where_the_dialect_knows_how(name: Dialect, asked: bool) -> None:
    """And only a stream; extra_body can say otherwise."""
    rules = DIALECTS[name]
    fields = body_fields(rules, Model(stream=True))
    assert ({"include_usage": True} if asked else None) == fields.get("stream_options")
    assert "stream_options" not in body_fields(rules, Model())
    off = Model(stream=True, extra_body={"stream_options": {"include_usage": False}})
    assert {"include_usage": False} == body_fields(rules, off)["stream_options"]


def test_the_limit_of_output_tokens_has_the_name_that_the_endpoint_takes() -> None:
    """One limit always, never both."""
    rules = DialectRules(path="/", model_in_body=True, form="C", output_limit="max_completion_tokens")
    assert {"stream": False, "max_completion_tokens": 1024} == body_fields(rules, Model())
    other = Model(extra_body={"max_completion_tokens": 9})
    assert {"stream": False, "max_completion_tokens": 9} == body_fields(DIALECTS["openai"], other)


def test_extra_body_has_the_last_word() -> None:
    """Over what the dialect adds by itself."""
    model = Model(extra_body={"include_thoughts": None, "top_k": 1})
    assert {"stream": False, "max_tokens": 1024, "include_thoughts": None, "top_k": 1} == body_fields(
        DIALECTS["kie"], model
    )


def test_fields_that_a_page_does_not_know_are_named() -> None:
    """They are sent all the same: the page may be behind its gateway."""
    assert ("include_thoughts",) == undocumented(DIALECTS["openai"], FULL)
    assert ("seed", "reasoning_effort", "include_thoughts") == undocumented(DIALECTS["toapis"], FULL)
    assert ("temperature", "top_p", "seed", "stop") == undocumented(DIALECTS["kie"], FULL)
    assert ("reasoning_effort", "include_thoughts") == undocumented(DIALECTS["llamacpp"], FULL)
    assert () == undocumented(DIALECTS["kie"], Model())
    both = Model(search=True, search_with_schema=True)
    found = {name: undocumented(rules, both) for name, rules in DIALECTS.items()}
    assert {"kie": ()} == {name: fields for name, fields in found.items() if fields != ("search_with_schema",)}


@pytest.mark.parametrize(
    ("model", "tools", "schema", "words"),
    [
        (Model(search=True), True, False, "functions and googleSearch exclude each other"),
        (Model(search=True), True, True, "functions and googleSearch exclude each other"),
        (Model(search=True, search_with_schema=True), True, True, "functions and googleSearch exclude each other"),
        (Model(), True, True, "functions and response_format exclude each other"),
        (Model(search_with_schema=True), True, True, "functions and response_format exclude each other"),
        (
            Model(search=True),
            False,
            True,
            r"googleSearch and response_format in one request \(Model\(search_with_schema",
        ),
    ],
)
@pytest.mark.parametrize("name", ["openai", "toapis", "kie"])
def test_what_the_pages_exclude_is_refused_before_it_is_paid_for(
    name: Dialect, model: Model, tools: bool, schema: bool, words: str
) -> None:
    """In words that say what excludes what, with what to do instead."""
    with pytest.raises(ConfigError, match=words) as caught:
        refuse_exclusions(model, has_tools=tools, has_schema=schema, rules=DIALECTS[name])
    assert caught.value.hint


@pytest.mark.parametrize(
    ("model", "tools", "schema"),
    [
        (Model(), False, False),
        (Model(), False, True),
        (Model(), True, False),
        (Model(search=True), False, False),
        (Model(search=True, search_with_schema=True), False, True),
    ],
)
@pytest.mark.parametrize("name", ["openai", "toapis", "kie"])
def test_what_the_pages_allow_passes(name: Dialect, model: Model, tools: bool, schema: bool) -> None:
    """Each of the three alone, and search with a schema where the model says so."""
    refuse_exclusions(model, has_tools=tools, has_schema=schema, rules=DIALECTS[name])


@pytest.mark.parametrize(("name", "words"), [("kie", "as the page of this dialect does"), ("toapis", "does not have")])
def test_search_with_a_schema_is_refused_in_the_light_of_the_page(name: Dialect, words: str) -> None:
    """Gateways of one dialect disagree, so it has to be said even where the page has both."""
    with pytest.raises(ConfigError, match="response_format in one request") as caught:
        refuse_exclusions(Model(search=True), has_tools=False, has_schema=True, rules=DIALECTS[name])
    assert words in (caught.value.hint or "")


def test_a_dialect_may_have_no_search() -> None:
    """It is data."""
    with pytest.raises(ConfigError, match="no search"):
        refuse_exclusions(Model(search=True), has_tools=False, has_schema=False, rules=DIALECTS["llamacpp"])
    refuse_exclusions(Model(), has_tools=True, has_schema=False, rules=DIALECTS["llamacpp"])


@pytest.mark.parametrize("name", ["openai", "toapis", "kie"])
def test_the_search_is_a_function_of_that_name(name: Dialect) -> None:
    """As page 003 writes it."""
    tool = DIALECTS[name].search_tool
    assert tool == {"type": "function", "function": {"name": SEARCH}}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://toapis.com/v1", "toapis"),
        ("https://api.toapis.com/v1", "toapis"),
        ("https://toapis.cn/v1", "toapis"),
        ("https://TOAPIS.COM./v1", "toapis"),
        ("https://api.kie.ai", "kie"),
        ("https://kie.ai:8443/x", "kie"),
        ("https://api.openai.com/v1", "openai"),
        ("https://openai.com/v1", None),
        ("https://nottoapis.com/v1", None),
        ("https://toapis.com.evil.example/v1", None),
        ("https://evil.example/toapis.com", None),
        ("https://evil.example/?host=kie.ai", None),
        ("http://127.0.0.1:8080/v1", None),
        ("http://localhost:11434/v1", None),
        ("http://[::1]:8080/v1", None),
        ("", None),
    ],
)
def test_the_host_tells_the_dialect(url: str, expected: Dialect | None) -> None:
    """The host and its subdomains, nothing that only looks like it; what serves on this machine has to be asked."""
    assert expected == dialect_of(url)


def test_auto_is_settled_by_the_address_or_refused() -> None:
    """A dialect that was named stays, whatever the host is."""
    assert "kie" == settled(Endpoint(base_url="https://api.kie.ai", dialect="auto")).dialect
    assert "openai" == settled(Endpoint(base_url="https://api.kie.ai", dialect="openai")).dialect
    assert "toapis" == settled(Endpoint(dialect="auto")).dialect
    unknown = Endpoint(base_url="http://127.0.0.1:8080/v1", dialect="auto")
    assert unknown is settled(unknown)
    assert DIALECTS["kie"] is rules_of(Endpoint(base_url="https://api.kie.ai", dialect="auto"))
    with pytest.raises(ConfigError, match="EXTRACT_DIALECT to one of openai, toapis, kie, llamacpp"):
        rules_of(unknown)
    assert DIALECTS["llamacpp"] is rules_of(unknown.resolved("llamacpp"))


@pytest.mark.parametrize(("said", "expected"), [(None, False), (True, True), (False, False)])
def test_an_endpoint_may_say_that_finish_is_optional(said: bool | None, expected: bool) -> None:
    """Else its dialect says."""
    assert expected == finish_is_optional(Endpoint(finish_optional=said))


@pytest.mark.parametrize(
    ("name", "model", "expected"),
    [
        ("openai", "m", "/chat/completions"),
        ("kie", "gemini-3-pro", "/gemini-3-pro/v1/chat/completions"),
        ("kie", "gemini-3.1-pro", "/gemini-3.1-pro/v1/chat/completions"),
        ("kie", "a/../b?c#d e{f}", "/a%2F..%2Fb%3Fc%23d%20e%7Bf%7D/v1/chat/completions"),
        ("openai", "..", "/chat/completions"),
    ],
)
def test_the_model_in_the_path_cannot_leave_its_place(name: Dialect, model: str, expected: str) -> None:
    """It is one step of the path, whatever is in it."""
    assert expected == DIALECTS[name].path_for(model)


@pytest.mark.parametrize("model", [".", ".."])
def test_a_step_up_is_no_model(model: str) -> None:
    """Refused, since quoting does not change it."""
    with pytest.raises(ConfigError, match="no name of a model"):
        DIALECTS["kie"].path_for(model)


@ALL
@pytest.mark.parametrize(
    ("code", "kind"),
    [(401, ErrorClass.AUTH), (402, ErrorClass.BALANCE), (429, ErrorClass.RATE), (500, ErrorClass.TRANSIENT)],
)
def test_errors_in_the_dialects_envelope_are_read(name: Dialect, code: int, kind: ErrorClass) -> None:
    """With the status that the dialect sends, be it 200."""
    for envelope in DIALECTS[name].envelopes:
        body = json.dumps(envelope.body(code, "it failed")).encode()
        found = error_from(envelope.http_status or code, {}, body)
        assert (kind, str(code)) == (found.kind, found.code)
        assert found.message.endswith(": it failed")


@pytest.mark.parametrize(
    ("name", "document", "expected"),
    [
        ("kie", {"code": 402, "msg": "no", "data": None, "error": {"trace": "a1"}}, (ErrorClass.BALANCE, "no")),
        ("kie", {"code": 429, "msg": "slow", "detail": {"trace": "a1"}}, (ErrorClass.RATE, "slow")),
        ("kie", {"code": 200, "msg": "success", "error": {"code": 401, "message": "no"}}, (ErrorClass.AUTH, "no")),
        ("kie", {"error": {"code": 401, "message": "no"}}, (ErrorClass.AUTH, "no")),
        ("kie", [{"error": {"code": 429, "message": "slow"}}], (ErrorClass.RATE, "slow")),
        ("toapis", {"code": 402, "msg": "no", "data": None}, (ErrorClass.BALANCE, "no")),
        ("toapis", {"error": {"code": 402, "message": "no"}, "code": 500, "msg": "it"}, (ErrorClass.BALANCE, "no")),
    ],
)
def test_the_dialects_own_envelope_is_looked_for_first(
    name: Dialect, document: Any, expected: tuple[ErrorClass, str]
) -> None:
    """What a gateway writes beside its own error is no cause; all other envelopes are understood still."""
    found = error_from(200, {}, json.dumps(document).encode(), dialect=DIALECTS[name])
    assert (expected[0], f"200: {expected[1]}") == (found.kind, found.message)


@pytest.mark.parametrize("stream", [False, True])
def test_the_client_reads_errors_as_its_dialect_writes_them(stream: bool) -> None:
    """Whole or as an event of a stream; another dialect takes the same bytes for a passing fault."""
    error = {"code": 402, "msg": "no", "data": None, "error": {"trace": "a1"}}
    reply = Reply(b"data: " + json.dumps(error).encode() + b"\n\n" if stream else error)
    with ScriptedServer(lambda call: reply) as server:
        kinds = [refused(server.endpoint(dialect=name)).kind for name in ("kie", "openai")]
    assert [ErrorClass.BALANCE, ErrorClass.TRANSIENT] == kinds


@pytest.mark.parametrize(("name", "wait"), [("toapis", 2), ("openai", 60)])
def test_the_client_waits_for_its_dialects_own_allowance(name: Dialect, wait: float) -> None:
    """A gateway passes on the headers of its upstream, whose allowance is another."""
    headers = {"X-RateLimit-Limit": "300", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2"}
    headers |= {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "60s"}
    reply = Reply({"error": {"code": "rate_limit_exceeded", "message": "slow down"}}, 429, headers=headers)
    with ScriptedServer(lambda call: reply) as server:
        assert wait == refused(server.endpoint(dialect=name)).retry_after


def test_allowances_that_only_the_upstream_has_count_too() -> None:
    """Of each unit the dialect's own headers, else whatever there is."""
    headers = {"X-RateLimit-Remaining": "5", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7s"}
    found = limits_in(headers, own=DIALECTS["toapis"].limit_headers)
    assert {"tokens": (0, 7), "requests": (5, None)} == {
        unit: (window.remaining, window.reset) for unit, window in found.windows.items()
    }


@pytest.mark.parametrize(("optional", "expected"), [(True, "stop"), (False, None)])
def test_a_dialect_may_leave_out_the_finish_reason(
    monkeypatch: pytest.MonkeyPatch, optional: bool, expected: str | None
) -> None:
    """Its data alone decide, where the endpoint says nothing."""
    monkeypatch.setitem(DIALECTS, "openai", replace(DIALECTS["openai"], finish_optional=optional))
    with ScriptedServer(lambda call: Reply(completion({"a": 1}, finish_reason=None))) as server:
        if expected:
            assert expected == ask(server.endpoint()).finish_reason
        else:
            assert refused(server.endpoint()).retryable


def test_the_envelopes_are_those_of_the_pages() -> None:
    """KIE's is HTTP 200, all others are OpenAI's."""
    assert {"code": 401, "msg": "no", "data": None} == DIALECTS["kie"].envelopes[0].body(401, "no")
    assert {"error": {"code": 401, "message": "no", "type": None, "param": None}} == DIALECTS["toapis"].envelopes[
        0
    ].body(401, "no")
    assert (200, None) == (DIALECTS["kie"].envelopes[0].http_status, Envelope().http_status)


def test_the_limit_headers_of_each_dialect_are_ones_that_are_read() -> None:
    """Every name of a number gives one."""
    for rules in DIALECTS.values():
        for name in rules.limit_headers:
            found = limits_in({name: "5s" if "reset" in name.lower() else "5"}, own=rules.limit_headers)
            assert (found.category is not None) if name.endswith("Category") else found.windows
