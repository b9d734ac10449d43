"""The catalogue of faults: what each puts on the wire over a real socket, and which request gets which."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from extract.errors import ErrorClass
from extract.faults import FAULTS, NOT_SHOWN, PROFILES, Dealer, Fault, Profile, Turn, UnknownFault, named, profile_of
from extract.faults.wire import chunks_of
from extract.testing import FaultServer, completion
from tests.wire_client import Seen, ask

GOOD = {"name": "Anna Berg", "number": 12, "price": 12.5, "date": "2024-01-02", "note": None, "tags": {"a": 1}}
TEXT = json.dumps(GOOD)
Shown = Callable[[Seen], Any]


def inside(seen: Seen) -> Any:
    return json.loads(seen.content)


def error_of(seen: Seen) -> dict[str, Any]:
    document = seen.document
    return dict((document[0] if isinstance(document, list) else document)["error"])


def good(seen: Seen) -> bool:
    """The answer itself is as it should be."""
    return (TEXT, ["stop"], "whole") == (seen.content, seen.reasons, seen.end)


def of_stream(seen: Seen) -> bool:
    return seen.body.startswith((b"data:", b"\xef\xbb\xbfdata:", b":", b"id:"))


def limited(seen: Seen, wait: str | None) -> bool:
    return (429, wait) == (seen.status, seen.headers.get("retry-after"))


def wrong_type(seen: Seen) -> bool:
    return good(seen) and ("json" in seen.headers["content-type"]) == of_stream(seen)


def cut(end: str) -> Shown:
    """A body that stops inside its JSON, and that end."""
    return lambda seen: (
        (200, end) == (seen.status, seen.end) and b"stop" not in seen.body and seen.body[-1:] not in b"}\n"
    )


def status(number: int, word: str) -> Shown:
    return lambda seen: number == seen.status and word in seen.text


def wait_until(seen: Seen) -> float:
    return parsedate_to_datetime(seen.headers["retry-after"]).timestamp()


SHOWN: dict[str, Shown] = {
    "Q1": wrong_type,
    "Q2": lambda s: good(s) and of_stream(s),
    "Q3.json": lambda s: good(s) and completion(GOOD) == s.document,
    "Q3.error": lambda s: s.status == 200 and error_of(s)["code"] == "server_error",
    "Q4.missing": lambda s: good(s) and "content-type" not in s.headers,
    "Q4.wrong": lambda s: good(s) and s.headers["content-type"] == "text/html",
    "Q5.504": lambda s: s.status == 504 and len(s.body) > 290_000 and "<title>504" in s.text,
    "Q5.200": lambda s: s.status == 200 and len(s.body) > 290_000 and "<title>504" in s.text,
    "Q6.processing": lambda s: good(s) and s.text.count(": OPENROUTER PROCESSING\n") == 3,
    "Q6.ping": lambda s: good(s) and s.text.startswith(": PING\n\n: PING\n\ndata: "),
    "Q7.no_space": lambda s: good(s) and "data: " not in s.text,
    "Q7.blank": lambda s: good(s) and s.text.count("data: \n\n") == len(s.data),
    "Q7.cr": lambda s: good(s) and "\r\r" in s.text and "\n" not in s.text,
    "Q7.crlf": lambda s: good(s) and "\r\n\r\n" in s.text and s.text.count("\n") == s.text.count("\r"),
    "Q7.fields": lambda s: good(s) and s.text.startswith("id: 7\nretry: 3000\nevent: message\ndata: "),
    "Q7.lines": lambda s: good(s) and s.text.count("\ndata:") > s.text.count("\n\ndata:"),
    "Q7.mixed": lambda s: (
        good(s)
        and {"\n\ndata", "\r\rdata"} <= {s.text[at - 2 : at + 4] for at in range(len(s.text))}
        and any(a[-1:] == b"\r" and b[:1] == b"\n" for a, b in zip(s.pieces, s.pieces[1:], strict=False))
    ),
    "Q7.bom": lambda s: good(s) and s.body.startswith(b"\xef\xbb\xbf"),
    "Q8.bytes": lambda s: good(s) and {1} == {len(piece) for piece in s.pieces},
    "Q8.split": lambda s: good(s) and any(not piece.endswith(b"\n\n") for piece in s.pieces[:-1]),
    "Q8.broken": lambda s: sum(not _is_json(data) for data in s.data if data != "[DONE]") == 2,
    "Q9": lambda s: good(s) and "\u2028\u2029\u0085" in s.text,
    "Q10": lambda s: good(s) and not s.text.endswith("\n") and "[DONE]" not in s.text,
    "Q11": lambda s: good(s) and "[DONE]" not in s.text,
    "Q12": lambda s: [] == s.reasons and s.usage and s.data[-1] == "[DONE]" and TEXT.startswith(s.content),
    "Q13.eof": cut("whole"),
    "Q13.reset": cut("reset"),
    "Q13.stall": cut("stall"),
    "Q13.524": lambda s: s.status == 524 and len(s.body) > 290_000,
    "Q14.choices": lambda s: ["error"] == s.reasons and s.chunks[-1]["error"]["code"] == 502,
    "Q14.bare": lambda s: {"error"} == set(s.chunks[-1]) and "type" not in s.chunks[-1]["error"],
    "Q14.rate": lambda s: s.chunks[-1]["error"]["code"] == 429,
    "Q15.start": lambda s: good(s) and s.chunks[0]["choices"] == [],
    "Q15.middle": lambda s: good(s) and [] in [chunk["choices"] for chunk in s.chunks[1:-2]],
    "Q15.end": lambda s: good(s) and s.chunks[-1]["choices"] == [] and s.chunks[-2]["choices"] == [],
    "Q15.null": lambda s: good(s) and None in [chunk["choices"] for chunk in s.chunks],
    "Q16.64k": lambda s: good(s) and max(map(len, s.text.split("\n"))) > 65_536,
    "Q16.1m": lambda s: good(s) and max(map(len, s.text.split("\n"))) > 1_048_576,
    "Q17.again": lambda s: ["stop", "stop"] == s.reasons and s.content == TEXT,
    "Q17.length": lambda s: ["length", "stop"] == s.reasons,
    "Q18.every": lambda s: {"stop"} == {choice["finish_reason"] for choice in s.choices} and s.content == TEXT,
    "Q18.camel": lambda s: [] == s.reasons and s.choices[-1]["finishReason"] == "stop",
    "Q19.error": lambda s: s.status == 200 and error_of(s)["code"] == "server_error",
    "Q19.kie": lambda s: (200, 500, None) == (s.status, s.document["code"], s.document["data"]),
    "Q19.kie_rate": lambda s: (200, 429) == (s.status, s.document["code"]),
    "Q19.kie_request": lambda s: (200, 422) == (s.status, s.document["code"]),
    "Q19.success": lambda s: s.status == 200 and s.document["success"] is False,
    "Q19.detail": lambda s: s.status == 200 and isinstance(s.document["detail"], str),
    "Q20.array": lambda s: s.status == 400 and s.document[0]["error"]["status"] == "INVALID_ARGUMENT",
    "Q20.string": lambda s: s.status == 500 and s.document == {"error": "overloaded"},
    "Q20.number": lambda s: s.status == 503 and error_of(s)["code"] == 503,
    "Q20.nested": lambda s: s.status == 500 and json.loads(error_of(s)["message"])["error"]["code"] == 429,
    "Q21.choices_null": lambda s: '"choices": null' in s.text,
    "Q21.choices_absent": lambda s: s.status == 200 and "choices" not in s.text,
    "Q21.choices_empty": lambda s: '"choices": []' in s.text and s.choices == [],
    "Q21.message_absent": lambda s: ["stop"] == s.reasons and s.messages == [{}],
    "Q21.content_null": lambda s: not s.content and ["stop"] == s.reasons,
    "Q21.content_empty": lambda s: s.content == "" and ["stop"] == s.reasons,
    "Q21.content_list": lambda s: s.content == [{"type": "text", "text": TEXT}],
    "Q22.no_id": lambda s: good(s) and '"id"' not in s.text,
    "Q22.no_usage": lambda s: good(s) and s.usage is None,
    "Q22.no_completion_tokens": lambda s: good(s) and "completion_tokens" not in s.usage,
    "Q22.more": lambda s: good(s) and s.usage["cost"] == 0.002,
    "Q22.total": lambda s: good(s) and s.usage["total_tokens"] < s.usage["prompt_tokens"],
    "Q23": lambda s: good(s) and "upstream/alias-001" in s.text and "scripted" not in s.text,
    "Q24.upper": lambda s: ["STOP"] == s.reasons and s.content == TEXT,
    "Q24.length": lambda s: ["length"] == s.reasons and s.content == TEXT[: len(TEXT) // 2],
    "Q24.max_tokens": lambda s: ["MAX_TOKENS"] == s.reasons,
    "Q24.content_filter": lambda s: ["content_filter"] == s.reasons,
    "Q24.recitation": lambda s: ["RECITATION"] == s.reasons,
    "Q24.tool_calls": lambda s: ["tool_calls"] == s.reasons and "tool_calls" not in s.messages[0],
    "Q24.error": lambda s: ["error"] == s.reasons,
    "Q24.null": lambda s: [] == s.reasons and s.content == TEXT,
    "Q25": lambda s: (["stop"], "") == (s.reasons, s.content),
    "Q26.request": lambda s: s.status == 429 and "INVALID_ARGUMENT" in error_of(s)["message"],
    "Q26.rate": lambda s: s.status == 400 and "token budget" in error_of(s)["message"],
    "Q27": lambda s: not s.content and s.field("refusal").startswith("I'm sorry"),
    "Q28": lambda s: good(s) and {"service_tier", "obfuscation", "annotations"} <= set(s.text.split('"')),
    "Q29.reasoning_content": lambda s: good(s) and s.field("reasoning_content"),
    "Q29.reasoning": lambda s: good(s) and s.field("reasoning"),
    "Q29.reasoning_details": lambda s: good(s) and s.field("reasoning_details")[0]["text"],
    "Q29.think": lambda s: s.content.startswith("<think>") and s.content.endswith(f"</think>\n{TEXT}"),
    "Q29.thought": lambda s: s.content.startswith("<thought>") and s.content.endswith(f"</thought>\n{TEXT}"),
    "Q29.google": lambda s: (
        s.messages[0]["extra_content"] == {"google": {"thought": True}}
        and "".join(m.get("content", "") for m in s.messages[1:]) == f"</thought>{TEXT}"
    ),
    "Q30": lambda s: ("", ["length"]) == (s.content, s.reasons),
    "Q31": lambda s: ("", TEXT) == (s.content, s.field("reasoning_content")),
    "Q32": lambda s: (s.field("reasoning_content") + s.content).endswith(TEXT) and s.content != TEXT,
    "Q33": lambda s: s.content.replace("\n", "") == TEXT != s.content,
    "Q34": lambda s: s.content == f"```json\n{TEXT}\n```",
    "Q35.before": lambda s: s.content.endswith(f":\n\n{TEXT}"),
    "Q35.after": lambda s: s.content.startswith(f"{TEXT}\n\n"),
    "Q36.tail": lambda s: s.content == f'{TEXT}."\n}}',
    "Q36.twice": lambda s: s.content == f"{TEXT}\n{TEXT}",
    "Q36.other": lambda s: json.loads(s.content.split("\n")[1]) not in ({}, GOOD),
    "Q37": lambda s: TEXT.startswith(s.content) and s.content != TEXT and ["stop"] == s.reasons,
    "Q38.digits": lambda s: "0" * 100_000 in s.content and ["length"] == s.reasons,
    "Q38.words": lambda s: " and so on" * 10_000 in s.content and ["length"] == s.reasons,
    "Q39": lambda s: s.content.replace("\x01", "") == TEXT != s.content,
    "Q40.comma": lambda s: s.content == TEXT[:-1] + ",}",
    "Q40.keys": lambda s: s.content.startswith("{name: ") and '"number"' not in s.content,
    "Q40.bracket": lambda s: s.content == TEXT[:-1],
    "Q41": lambda s: inside(s)["number"] == 13 and inside(s)["name"] == "Anna Berg",
    "Q42.array": lambda s: inside(s) == [GOOD],
    "Q42.scalar": lambda s: inside(s) == 42,
    "Q42.wrapper": lambda s: inside(s) == {"response": GOOD},
    "Q43.numbers": lambda s: (inside(s)["number"], inside(s)["price"]) == ("12", "12.5"),
    "Q43.nulls": lambda s: inside(s)["note"] == "N/A",
    "Q43.floats": lambda s: '"number": 12.0' in s.content and inside(s) == GOOD,
    "Q43.dates": lambda s: inside(s)["date"] == "02/01/2024",
    "Q44": lambda s: not set(inside(s)) & set(GOOD),
    "Q45.more": lambda s: set(inside(s)) - set(GOOD) == {"notes"},
    "Q45.empty": lambda s: inside(s) == {**GOOD, "tags": {}},
    "Q46": status(400, "too many states for serving"),
    "Q47": lambda s: inside(s)["name"] == "",
    "Q48": status(400, "Proto field is not repeating, cannot start list"),
    "Q49.siblings": status(400, "sibling"),
    "Q49.cycle": status(400, "Cyclic $ref"),
    "Q50.refused": status(400, "enum"),
    "Q50.strings": lambda s: inside(s)["number"] == "12",
    "Q51": status(400, 'Unknown name \\"title\\"'),
    "Q52": status(400, "'required' is required to be supplied"),
    "Q53.schema": status(400, "json_schema.schema is required"),
    "Q53.both": status(400, "not both"),
    "Q54": lambda s: good(s) and s.usage["completion_tokens_details"]["reasoning_tokens"] == 880,
    "Q55.refused": status(400, "mutually exclusive"),
    "Q55.dropped": lambda s: "call a function" in s.content and ["stop"] == s.reasons,
    "Q56.seconds": lambda s: limited(s, "1"),
    "Q56.float": lambda s: limited(s, "0.5"),
    "Q56.zero": lambda s: limited(s, "0"),
    "Q56.negative": lambda s: limited(s, "-5"),
    "Q56.long": lambda s: limited(s, "3600"),
    "Q56.suffix": lambda s: limited(s, "1s"),
    "Q56.words": lambda s: limited(s, "soon"),
    "Q56.missing": lambda s: limited(s, None),
    "Q56.date": lambda s: s.status == 429 and 0 <= wait_until(s) - time.time() <= 2,
    "Q56.past": lambda s: s.status == 429 and wait_until(s) < time.time() - 3000,
    "Q56.text": lambda s: limited(s, None) and "try again in 0.724s" in error_of(s)["message"],
    "Q56.delay": lambda s: limited(s, None) and error_of(s)["details"][1]["retryDelay"] == "1s",
    "Q57.good": lambda s: good(s) and s.headers["x-ratelimit-remaining-requests"] == "-1",
    "Q57.limited": lambda s: limited(s, None) and s.headers["x-ratelimit-limit-requests"] == "-1",
    "Q58.day": lambda s: s.status == 429 and "PerDay" in s.text,
    "Q58.minute": lambda s: s.status == 429 and "PerMinute" in s.text,
    "Q58.balance": lambda s: s.status == 429 and error_of(s)["type"] == "insufficient_quota",
    "Q59.user": lambda s: limited(s, "1") and s.headers["x-ratelimit-remaining"] == "0",
    "Q59.limiter": status(503, "rate_limit_unavailable"),
    "Q61": lambda s: (None, "eof") == (s.status, s.end),
    "Q62": lambda s: (200, "stall") == (s.status, s.end) and s.body.startswith(b"data: "),
    "Q63": lambda s: s.content == "" and s.usage["prompt_tokens"] > 0,
    "Q64": status(422, "Failed to get the file information"),
    "Q65.type": status(400, "Unsupported MIME type"),
    "Q65.size": status(413, "10 MB"),
    "Q66": status(400, "expired"),
    "Q67.nan": lambda s: "NaN" in s.content and any(v != v for v in inside(s).values()),
    "Q67.infinity": lambda s: -math.inf in inside(s).values(),
    "Q67.huge": lambda s: "1e999" in s.content and math.inf in inside(s).values(),
    "Q67.surrogate": lambda s: "\ud800" in inside(s).values() and "\\ud800" in s.content,
    "Q67.long_int": lambda s: "9" * 5000 in s.content,
    "Q67.deep": lambda s: "[" * 100_000 in s.content,
    "Q67.twice": lambda s: s.content.count('"name"') == 2 and inside(s)["name"] == "Anna Berg or other",
    "Q68": lambda s: "125e-1" in s.content and inside(s) == GOOD,
    "Q69": lambda s: good(s) and s.after == "reset",
    "Q70": lambda s: s.text.split("\n\n")[-2].startswith('event: error\ndata: {"error": ') and [] == s.reasons,
    "Q71.empty": lambda s: (
        s.content == TEXT and "" in [c.get("finish_reason") for c in s.choices] and s.reasons == [""]
    ),
    "Q71.absent": lambda s: s.content == TEXT and "finish_reason" not in s.text and s.usage,
    "Q72.hidden": lambda s: good(s) and s.usage["total_tokens"] == 77 and s.usage["completion_tokens"] == 5,
    "Q72.zero": lambda s: good(s) and s.usage["prompt_tokens"] == 0,
    "Q73.error": lambda s: ["length"] == s.reasons and "error" in s.chunks[-2] and s.chunks[-1]["usage"],
    "Q73.usage": lambda s: ["stop", "stop"] == s.reasons and s.chunks[-1]["usage"] and s.chunks[-1]["choices"],
    "Q74": lambda s: ["thinking", "text"] == [part["type"] for part in s.content] and s.content[1]["text"] == TEXT,
    "Q75": lambda s: limited(s, None) and error_of(s)["code"] == 429 and "google" in error_of(s)["metadata"]["raw"],
    "Q76.json": lambda s: s.status == 200 and s.document == {"status": "ok", "version": "1.2"},
    "Q76.text": lambda s: (200, "text/plain", "It works!\n") == (s.status, s.headers["content-type"], s.text),
    "Q77": lambda s: good(s) and len(s.chunks) == 1 and "id" not in s.chunks[0] and s.usage,
    "Q78": status(400, "URL_ROBOTED"),
    "Q79.unexpected_tool_call": lambda s: ["UNEXPECTED_TOOL_CALL"] == s.reasons and not s.content,
    "Q79.model_armor": lambda s: ["MODEL_ARMOR"] == s.reasons and not s.content,
    "Q79.safety": lambda s: ["SAFETY"] == s.reasons and not s.content,
    "Q79.no_parts": lambda s: ["stop"] == s.reasons and not s.content and '"content": null' not in s.text,
}


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def request_body(number: int = 1, *, stream: bool = False) -> dict[str, Any]:
    more = {"stream_options": {"include_usage": True}} if stream else {}
    return {"messages": [{"role": "user", "content": f"item {number}"}], "stream": stream, **more}


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer(lambda call: GOOD, stall=3) as found:
        yield found


FORMS = [
    pytest.param(fault, stream, id=f"{fault.name}-{'stream' if stream else 'plain'}")
    for fault in FAULTS.values()
    for stream in (False, True)
    if fault.applies({"stream": stream})
]


@pytest.mark.parametrize(("fault", "stream"), FORMS)
def test_the_bytes_on_the_wire_have_the_quirk(server: FaultServer, fault: Fault, stream: bool) -> None:
    """Each fault, asked for by X-Fault, in each form that it has."""
    seen = ask(server.port, request_body(stream=stream), {"X-Fault": fault.name}, wait=0.3 if _is_silent(fault) else 5)
    assert SHOWN[fault.name](seen), (seen.status, seen.headers, seen.body[:600], seen.end)
    given = server.ledger[-1]
    assert (fault.name, fault.billed) == (given.fault, given.billed)
    assert (TEXT if fault.billed else None) == given.content
    if seen.headers:
        assert fault.name == seen.headers["x-fault"]


@pytest.mark.parametrize("stream", [False, True])
def test_no_quirk_shows_in_a_good_answer(server: FaultServer, stream: bool) -> None:
    """So that each of the checks above can fail."""
    seen = ask(server.port, request_body(stream=stream))
    assert (True, stream) == (good(seen), of_stream(seen))
    forms = [fault for fault in FAULTS.values() if fault.applies({"stream": stream})]
    assert [] == [fault.name for fault in forms if _holds(SHOWN[fault.name], seen)]


def _holds(shown: Shown, seen: Seen) -> bool:
    try:
        return bool(shown(seen))
    except (ValueError, LookupError, TypeError, AttributeError):
        return False


def _is_silent(fault: Fault) -> bool:
    return fault.name in ("Q13.stall", "Q62")


def test_every_quirk_of_the_protocol_is_here_or_its_absence_is_explained() -> None:
    shown = {fault.quirk for fault in FAULTS.values()}
    assert {f"Q{number}" for number in range(1, 80)} == shown | set(NOT_SHOWN)
    assert set(FAULTS) == set(SHOWN)


def test_a_fault_expects_classes_that_there_are() -> None:
    classes = {"ok", "output", *map(str, ErrorClass)}
    assert all(fault.expect and set(fault.expect) <= classes for fault in FAULTS.values())
    assert all("ok" in fault.expect for fault in FAULTS.values() if fault.flagged)
    assert all(
        not fault.billed
        for fault in FAULTS.values()
        if fault.expect[0] in ("request", "rate", "balance") and fault.on == "any"
    )


@pytest.mark.parametrize("content", [GOOD, "no JSON", "", [1, 2], {}, {"a": {"b": [True, "x" * 10_000]}}])
def test_a_fault_is_a_pure_function_of_any_answer(content: Any) -> None:
    """The same turn gives the same bytes."""
    for fault in FAULTS.values():
        for stream in (False, True):
            turn = Turn(completion(content), {"stream": stream}, seed=5, now=1e9)
            if fault.applies(turn.body):
                assert fault.make(turn) == fault.make(turn)


def dealt(profile: str, seed: int, *, stream: bool = False, count: int = 1000, reverse: bool = False) -> dict[int, Any]:
    dealer = Dealer(PROFILES[profile], seed)
    numbers = range(count)
    found = {}
    for number in reversed(numbers) if reverse else numbers:
        deal = dealer.deal(json.dumps(request_body(number, stream=stream)).encode(), {"stream": stream})
        found[number] = (deal.fault.name if deal.fault else None, deal.seed)
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_the_same_seed_gives_the_same_faults_in_any_order(profile: str) -> None:
    assert dealt(profile, 1) == dealt(profile, 1, reverse=True)
    assert dealt(profile, 1) != dealt(profile, 2)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_has_its_rates(profile: str, stream: bool) -> None:
    """Over 1,000 requests all together, over 20,000 each fault: within four standard deviations."""
    table = {fault.name: rate for fault, rate in PROFILES[profile].table(stream=stream)}
    few = [name for name, _ in dealt(profile, 3, stream=stream).values() if name]
    assert _near(len(few), sum(table.values()), 1000)
    many = Counter(name for name, _ in dealt(profile, 3, stream=stream, count=20_000).values() if name)
    assert [] == [name for name, rate in table.items() if not _near(many[name], rate, 20_000)]
    assert set(many) <= set(table)


def _near(found: int, rate: float, count: int) -> bool:
    return abs(found - rate * count) <= 4 * math.sqrt(count * rate * (1 - rate)) + 1


@pytest.mark.parametrize("profile", ["toapis", "kie", "newapi"])
def test_a_gateways_profile_leaves_most_answers_alone_and_ends_no_run(profile: str) -> None:
    for stream in (False, True):
        table = PROFILES[profile].table(stream=stream)
        assert sum(rate for _, rate in table) < 0.35
        assert max(rate for _, rate in table) <= 0.03
        assert {"ok", "output", "transient", "rate", "policy"} >= {fault.expect[0] for fault, _ in table}


def test_chaos_has_every_fault() -> None:
    found = {fault.name for stream in (False, True) for fault, _ in PROFILES["chaos"].table(stream=stream)}
    assert set(FAULTS) == found


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_a_request_comes_through_within_six_attempts(profile: Profile) -> None:
    assert profile.clean_after < 6
    assert None is profile.draw(0.0, profile.clean_after + 1, stream=False)
    assert None is not profile.draw(0.0, profile.clean_after, stream=True)


def test_names_that_are_none_are_refused() -> None:
    for name in ("Q999", "", "q14", "Q60"):
        with pytest.raises(UnknownFault):
            named(name)
    for name in ("nobody", "Q999"):
        with pytest.raises(UnknownFault):
            profile_of(name)


def test_a_profile_of_none_obeys_the_header_alone() -> None:
    dealer = Dealer(profile_of("none"))
    deals = [dealer.deal(b"{}", {}, wanted) for wanted in (None, "Q4.missing", None)]
    assert [None, "Q4.missing", None] == [deal.fault and deal.fault.name for deal in deals]


def test_rates_are_shares() -> None:
    for rates in ({"Q1": 0.7, "Q2": 0.4}, {"Q1": -0.1}):
        with pytest.raises(ValueError, match="shares"):
            Profile("mine", rates)


def test_a_fault_has_the_same_bytes_in_every_process() -> None:
    """The members of a message come in their order, not in that of a set."""
    names = [f"member_{number}" for number in range(20)]
    message = {"role": "assistant", **dict.fromkeys(names, "x"), "content": "y"}
    chunks = chunks_of({"choices": [{"message": message, "finish_reason": "stop"}]})
    deltas = [name for chunk in chunks for name in chunk["choices"][0]["delta"]]
    assert names == [name for name in deltas if name in names]
