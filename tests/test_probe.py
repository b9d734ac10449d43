"""What `extract probe` finds out about an endpoint, what it costs, and what is kept of it."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import BaseModel
from typer.testing import CliRunner

import extract
from extract import APIConnectionError, AuthenticationError, ConfigError, Endpoint, Pipeline
from extract.api import prepare_run, probed
from extract.cli import app
from extract.dialects import DIALECTS
from extract.probe import MOST, Finding, ProbeReport, probe, recall, recalled, remember, settle
from extract.testing import Call, Reply, ScriptedServer, completion
from tests.support import KEY, NO_WAIT

NO_PATH = Reply({"error": {"message": "not found"}}, 404)
PAGE = {"type": "url_citation", "url_citation": {"url": "https://example.org", "title": "t"}}
MODELS = {"object": "list", "data": [{"id": "m"}]}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("EXTRACT_CACHE_DIR", str(folder))
    return folder


def schema_in(body: dict[str, Any]) -> Any:
    """The schema of any form of response_format."""
    given = body.get("response_format", {})
    if "json_schema" in given:
        return given["json_schema"]["schema"]
    return given if "properties" in given else None


def obedient(call: Call, forms: str = "ABC") -> Any:
    """An endpoint that does all it is asked."""
    body = call.body
    if call.path.endswith("/models"):
        return Reply(MODELS)
    if not body.get("messages"):
        return Reply({"error": {"message": "messages is required", "param": "messages"}}, 400)
    functions = [tool["function"] for tool in body.get("tools", ()) if tool["function"]["name"] != "googleSearch"]
    if functions and "response_format" in body:
        return Reply({"error": {"message": "mutually exclusive", "code": "invalid_request_error"}}, 400)
    if functions:
        word = functions[0]["parameters"]["properties"]["word"]["enum"][0]
        about = {"name": functions[0]["name"], "arguments": json.dumps({"word": word})}
        made = [{"id": "c", "type": "function", "function": about}]
        return Reply(completion(None, finish_reason="tool_calls", tool_calls=made))
    schema = schema_in(body)
    form = form_of(body)
    if schema and form in forms:
        found = {"word": schema["properties"]["word"]["enum"][0]}
        return Reply(completion(found, **({"annotations": [PAGE]} if "tools" in body else {})))
    more: dict[str, Any] = {"reasoning_content": "hm"} if body.get("include_thoughts") else {}
    more |= {"annotations": [PAGE]} if "tools" in body else {}
    headers = {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "599"}
    return Reply(completion(seen(body) or '{"word": "banana"}', **more), headers=headers)


def seen(body: dict[str, Any]) -> str | None:
    """The colour of the picture, if there is one."""
    parts = body["messages"][0]["content"]
    if isinstance(parts, str):
        return None
    data = base64.b64decode(parts[1]["image_url"]["url"].partition(",")[2])
    colours = {(255, 0, 0): "red", (0, 160, 0): "green", (0, 0, 255): "blue", (255, 255, 0): "yellow"}
    return f"It is {colours[Image.open(io.BytesIO(data)).getpixel((3, 3))]}."  # type: ignore[index]  # of an RGB image


def form_of(body: dict[str, Any]) -> str | None:
    kind = body.get("response_format", {}).get("type")
    if kind == "json_schema":
        return "C" if "json_schema" in body["response_format"] else "A"
    return "B" if kind == "object" else None


def asked(server: ScriptedServer, dialect: str = "openai") -> ProbeReport:
    return asyncio.run(probe(server.endpoint(dialect=dialect), "m"))


def test_an_obedient_endpoint_is_found_so_for_at_most_twenty_requests() -> None:
    """Every question has its verdict; the requests counted are those that were made."""
    with ScriptedServer(obedient) as server:
        report = asked(server)
        assert [report.requests, True] == [len(server.calls), report.requests <= MOST]
    found = {finding.name: finding.verdict for finding in report.findings}
    assert found == {
        "chat": "yes",
        "usage": "yes",
        "models": "yes",
        "balance": "no",
        **{f"response_format {form}": "enforced" for form in "ABC"},
        "json_object": "yes",
        "streaming": "yes",
        "streaming by default": "no",
        "function call": "enforced",
        "function call by choice": "enforced",
        "googleSearch": "yes",
        "googleSearch with response_format": "enforced",
        "functions with response_format": "refused",
        "include_thoughts": "yes",
        "reasoning_effort low": "taken",
        "reasoning_effort high": "taken",
        "image": "yes",
    }
    assert 600 == report.limits["requests"]["limit"]


def test_a_form_that_is_taken_and_not_enforced_is_told_apart() -> None:
    """A 200 proves nothing: the prompt asks for another word than the schema allows."""

    def script(call: Call) -> Any:
        if form_of(call.body) == "B":
            return Reply({"error": {"message": "response_format.type is invalid"}}, 400)
        if form_of(call.body) == "C":
            return "Sure! A banana."
        return obedient(call, forms="")

    with ScriptedServer(script) as server:
        report = asked(server)
    verdicts = [report.verdict(f"response_format {form}") for form in "ABC"]
    assert ["JSON only", "refused", "ignored"] == verdicts
    assert "tool" == report.settings["Model.mode"]
    assert "no form of response_format is enforced" in report.advice[0]


def test_the_settings_name_the_form_that_binds() -> None:
    with ScriptedServer(lambda call: obedient(call, forms="A")) as server:
        report = asked(server)
    assert ["A", "openai"] == [report.settings["EXTRACT_FORM"], report.settings["EXTRACT_DIALECT"]]


def test_a_wrong_key_ends_the_probe_at_its_first_question() -> None:
    """It is an error, not a finding, and costs one request."""
    wrong = Reply({"error": {"code": "unauthorized", "message": "Invalid API key"}}, 401)
    with ScriptedServer(lambda call: wrong) as server:
        with pytest.raises(AuthenticationError):
            asked(server)
        assert 1 == len(server.calls)


def test_what_fails_is_told_and_not_asked_again() -> None:
    """A 503 says nothing of the endpoint's abilities."""

    def script(call: Call) -> Any:
        return Reply({"error": {"message": "busy"}}, 503) if call.body.get("stream") else obedient(call)

    with ScriptedServer(script) as server:
        report = asked(server)
        assert report.requests == len(server.calls)
    assert "failed" == report.verdict("streaming")


def test_what_is_only_taken_is_not_called_done() -> None:
    """A gateway that drops the search answers 200 all the same; a guess at the picture's colour is seldom right."""

    def script(call: Call) -> Any:
        answer = obedient(call)
        message = answer.body["choices"][0]["message"] if isinstance(answer, Reply) and "choices" in answer.body else {}
        message.pop("annotations", None)
        if isinstance(call.body.get("messages", [{}])[0].get("content"), list):
            return "red, green, blue or yellow"
        return answer

    with ScriptedServer(script) as server:
        report = asked(server)
    names = ("googleSearch", "googleSearch with response_format", "image")
    assert ["taken", "taken", "no"] == [report.verdict(name) for name in names]


def test_a_report_with_gaps_is_not_kept(cache: Path) -> None:
    """A passing fault is no fact."""

    def script(call: Call) -> Any:
        return Reply({"error": {"message": "busy"}}, 429) if call.body.get("stream") else obedient(call)

    with ScriptedServer(script) as server:
        report = asyncio.run(probed(server.endpoint(), "m"))
        assert "failed" == report.verdict("streaming")
        assert recall(server.base_url, "m") is None
        script_well = asyncio.run(probed(server.endpoint(), "other"))
    assert not script_well.is_whole
    assert not cache.exists()


def test_a_dead_address_is_a_connection_error() -> None:
    """Not a traceback of the transport."""
    endpoint = Endpoint(base_url="http://127.0.0.1:9/v1", dialect="auto")
    with pytest.raises(APIConnectionError):
        asyncio.run(settle(endpoint, "m"))


def test_a_web_server_that_is_no_api_is_no_dialect() -> None:
    with ScriptedServer(lambda call: Reply("<html>", 501)) as server, pytest.raises(ConfigError):
        asyncio.run(settle(server.endpoint(dialect="auto"), "m"))


def test_llama_cpp_says_what_it_is() -> None:
    """In its list of models."""
    models = {"object": "list", "data": [{"id": "m", "owned_by": "llamacpp"}]}
    with ScriptedServer(lambda call: Reply(models) if call.path.endswith("models") else obedient(call)) as server:
        assert "llamacpp" == asyncio.run(settle(server.endpoint(dialect="auto"), "m")).dialect


@pytest.mark.parametrize(
    ("status", "error", "headers"),
    [
        (400, {"code": "invalid_request_error", "type": "invalid_request_error", "param": "messages"}, {}),
        (401, {"code": "unauthorized", "type": "authentication_error"}, {}),
        (429, {"code": "rate_limit_exceeded"}, {"X-RateLimit-Category": "chat"}),
    ],
)
def test_toapis_shows_itself_in_its_refusal(status: int, error: dict[str, Any], headers: dict[str, str]) -> None:
    """At an unknown host: one empty request, refused as its page has it, or with a header that only it has."""
    refusal = Reply({"error": {"message": "no", **error}}, status, headers=headers)
    with ScriptedServer(lambda call: refusal) as server:
        assert "toapis" == asyncio.run(settle(server.endpoint(dialect="auto"), "m")).dialect
        assert 1 == len(server.calls)


@pytest.mark.parametrize(
    "error",
    [
        {"code": "invalid_request_error", "type": "invalid_request_error", "param": None},  # DeepSeek
        {"code": None, "type": "invalid_request_error", "param": "messages"},
        {"code": 400, "type": {"a": 1}, "param": []},
        "text",
        None,
    ],
)
def test_what_others_say_too_is_no_sign(error: Any) -> None:
    with ScriptedServer(lambda call: Reply({"error": error}, 400)) as server:
        assert "openai" == asyncio.run(settle(server.endpoint(dialect="auto"), "m")).dialect


@pytest.mark.parametrize("body", [b"[]", b"{", {"data": 3}, {"data": [3, {"owned_by": ["llamacpp"]}]}])
def test_a_list_of_models_may_be_anything(body: Any) -> None:
    def script(call: Call) -> Any:
        return Reply(body) if call.path.endswith("models") else Reply({"error": {"message": "no"}}, 400)

    with ScriptedServer(script) as server:
        assert "openai" == asyncio.run(settle(server.endpoint(dialect="auto"), "m")).dialect


@pytest.mark.parametrize(
    ("dialect", "served", "expected"),
    [
        ("kie", {"code": 200, "msg": "success", "data": 100}, ("yes", "100 left")),
        ("kie", {"code": 401, "msg": "no", "data": None}, ("no", "no answer that can be read")),
        ("toapis", {"success": True, "remain_balance": 12.5, "unlimited_quota": False}, ("yes", "12.5 left")),
        ("toapis", {"success": True, "remain_balance": -1, "unlimited_quota": True}, ("yes", "no limit")),
        ("kie", {"code": 401, "msg": "no", "data": 0}, ("no", "no answer that can be read")),
        ("toapis", b'{"remain_balance": 1%s}' % (b"0" * 400), ("no", "no answer that can be read")),
        ("toapis", b'{"remain_balance": NaN}', ("no", "no answer that can be read")),
        ("toapis", {"remain_balance": True}, ("no", "no answer that can be read")),
        ("toapis", b"<html>", ("no", "no answer that can be read")),
        ("toapis", NO_PATH, ("no", "status 404")),
        ("openai", {"remain_balance": 1}, ("no", "the dialect has no place for it")),
    ],
)
def test_the_balance_is_told_where_it_is_served(dialect: str, served: Any, expected: tuple[str, str]) -> None:
    """At the path and in the field of the dialect; for one request within the bound."""

    def script(call: Call) -> Any:
        if call.path.endswith(("/balance", "/api/v1/chat/credit")):
            return served if isinstance(served, Reply) else Reply(served)
        return obedient(call)

    with ScriptedServer(script) as server:
        report = asked(server, dialect)
        assert [report.requests, True] == [len(server.calls), report.requests <= MOST]
    found = next(finding for finding in report.findings if finding.name == "balance")
    assert expected == (found.verdict, found.detail)


def test_limits_are_those_of_the_dialect() -> None:
    """Not those that a gateway passes on from its upstream."""
    headers = {"X-RateLimit-Limit": "300", "x-ratelimit-limit-requests": "9", "x-ratelimit-limit-tokens": "50"}

    def script(call: Call) -> Any:
        return replace(answer, headers=headers) if isinstance(answer := obedient(call), Reply) else answer

    with ScriptedServer(script) as server:
        found = {name: asked(server, name).limits for name in ("toapis", "openai")}
    assert [300, 9] == [found[name]["requests"]["limit"] for name in ("toapis", "openai")]
    assert {50} == {limits["tokens"]["limit"] for limits in found.values()}


def test_auto_stays_within_the_bound() -> None:
    """Settling the dialect counts too; the list of models is asked for once."""
    lists: list[str] = []

    def script(call: Call) -> Any:
        lists.extend([call.path] if call.path.endswith("/models") else [])
        return obedient(call)

    with ScriptedServer(script) as server:
        assert "openai" == asyncio.run(probe(server.endpoint(dialect="auto"), "m")).dialect
        assert (1, True) == (len(lists), len(server.calls) <= MOST)


def test_a_kept_probe_counts_before_the_host() -> None:
    """So that a run sends the form that was found to bind, where the host is known too."""
    findings = (Finding("response_format C", "ignored"), Finding("response_format A", "enforced"))
    remember(ProbeReport("https://toapis.com/v1", "m", "toapis", findings))
    found = asyncio.run(settle(Endpoint(base_url="https://toapis.com/v1", dialect="auto"), "m"))
    assert ("toapis", "A") == (found.dialect, found.form)


def test_a_report_is_kept_and_recalled(cache: Path) -> None:
    """One small file for each endpoint and model; a damaged one counts as none."""
    with ScriptedServer(obedient) as server:
        report = asked(server)
    path = remember(report)
    assert path is not None
    assert report == recall(report.base_url, "m")
    assert recall(report.base_url, "other") is None
    path.write_text("{")
    assert recall(report.base_url, "m") is None


def test_a_report_holds_no_key() -> None:
    with ScriptedServer(obedient) as server:
        report = asyncio.run(probe(server.endpoint(api_key=KEY), "m"))
    assert KEY not in json.dumps(report.as_dict()) + report.table() + repr(report)


def kie_only(call: Call) -> Any:
    """A gateway with the model in the path."""
    return obedient(call) if call.path == "/v1/m/v1/chat/completions" else NO_PATH


def test_auto_finds_the_path_without_a_paid_request() -> None:
    """An empty request is refused where the path is there, and a 404 where it is not."""
    with ScriptedServer(kie_only) as server:
        found = asyncio.run(settle(server.endpoint(dialect="auto"), "m"))
        assert all(call.body == {} for call in server.calls)
    assert "kie" == found.dialect


def test_auto_is_told_by_the_host() -> None:
    """Nothing is sent then."""
    for base_url, dialect in (("https://api.kie.ai", "kie"), ("https://toapis.com/v1", "toapis")):
        found = asyncio.run(settle(Endpoint(base_url=base_url, dialect="auto"), "m"))
        assert dialect == found.dialect


def test_auto_without_any_path_says_what_was_tried() -> None:
    with ScriptedServer(lambda call: NO_PATH) as server, pytest.raises(ConfigError, match="no chat completions at"):
        asyncio.run(settle(server.endpoint(dialect="auto"), "m"))


class Item(BaseModel):
    name: str


def test_a_run_with_auto_speaks_the_dialect_that_it_found(tmp_path: Path) -> None:
    """And nothing of it is asked again once a probe is kept."""

    def script(call: Call) -> Any:
        if call.path != "/v1/gemini-3-1-pro-preview/v1/chat/completions":
            return NO_PATH
        return {"name": "n"} if call.body.get("messages") else Reply({"error": {"message": "no"}}, 400)

    run = Pipeline(name="items", schema=Item, prompt="{{ text }}", retry=NO_WAIT)
    source = tmp_path / "in.csv"
    source.write_text("text\na\n")
    with ScriptedServer(script) as server:
        endpoint = server.endpoint(dialect="auto")
        with pytest.raises(ConfigError, match="does not tell which dialect"):
            prepare_run(run, source, endpoint=endpoint)
        result = extract.run(run, source, out=tmp_path / "out", endpoint=endpoint)
        assert [1, "json_schema"] == [result.report.ok, server.calls[-1].body["response_format"]["type"]]
        before = len(server.calls)
        remember(ProbeReport(server.base_url, "gemini-3-1-pro-preview", "kie"))
        extract.run(run, source, out=tmp_path / "other", endpoint=endpoint)
        assert before + 1 == len(server.calls)


def test_a_kept_probe_names_the_form_too() -> None:
    """What an explicit setting says wins."""
    with ScriptedServer(lambda call: obedient(call, forms="B")) as server:
        remember(asked(server))
        auto = recalled(server.endpoint(dialect="auto"), "m")
        own = recalled(server.endpoint(dialect="auto", form="C"), "m")
        plain = recalled(server.endpoint(dialect="kie"), "m")
    assert [("openai", "B"), ("openai", "C"), ("kie", None)] == [
        (each.dialect, each.form) for each in (auto, own, plain)
    ]


def test_every_dialect_can_be_probed() -> None:
    """With the path, the place of the model and the fields of each."""
    for dialect in DIALECTS:
        with ScriptedServer(obedient) as server:
            report = asked(server, dialect)
        assert "enforced" == report.verdict(f"response_format {DIALECTS[dialect].form}")


def test_the_command_prints_a_table_and_keeps_it(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """It says first what it costs; a second time it asks nothing; servers' words cannot steer the terminal."""

    def script(call: Call) -> Any:
        if form_of(call.body) == "B":
            return Reply({"error": {"message": "\x1b]0;title\x07 no"}}, 400)
        return obedient(call)

    def called(*options: str) -> Any:
        return CliRunner().invoke(app, ["probe", *options])

    with ScriptedServer(script) as server:
        monkeypatch.setenv("EXTRACT_BASE_URL", server.base_url)
        first = called("--yes", "--model", "m")
        asked_first = len(server.calls)
        again = called("--model", "m", "--json")
        assert asked_first == len(server.calls) <= MOST
    assert "at most 20 small requests, which are paid for" in first.stderr
    assert re.search(r"^response_format C +enforced$", first.stdout, re.MULTILINE)
    assert "limit requests: 599 of 600 left" in first.stdout
    assert "\x1b" not in first.output
    assert "kept from" in again.stderr
    assert "EXTRACT_DIALECT" in json.loads(again.stdout)["settings"]


def test_nothing_is_asked_without_a_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can confirm, --yes is needed."""
    with ScriptedServer(obedient) as server:
        monkeypatch.setenv("EXTRACT_BASE_URL", server.base_url)
        found = CliRunner().invoke(app, ["probe"])
        assert [] == server.calls
    assert isinstance(found.exception, ConfigError)
