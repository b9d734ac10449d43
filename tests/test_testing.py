"""The scripted server: real HTTP, answers that the test decides, a ledger of what came."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import pytest

from extract.faults import Profile
from extract.testing import Call, FaultServer, Reply, ScriptedServer, completion
from tests.wire_client import Seen, ask


def post(server: ScriptedServer, content: str = "hi", **more: object) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": content}]}
    return httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=5, **more)  # type: ignore[arg-type]


def test_content_becomes_a_completion() -> None:
    """Text as it stands, data as its JSON."""
    with ScriptedServer(lambda call: {"n": call.number, "said": call.prompt}) as server:
        answer = post(server, "ä").json()
    assert {"n": 1, "said": "ä"} == json.loads(answer["choices"][0]["message"]["content"])
    assert {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15} == answer["usage"]


def test_a_reply_decides_everything() -> None:
    with ScriptedServer(lambda call: Reply(b"busy", status=503, headers={"retry-after": "7"})) as server:
        answer = post(server)
    assert (503, b"busy", "7") == (answer.status_code, answer.content, answer.headers["retry-after"])


def test_a_dropped_connection_has_no_answer() -> None:
    with ScriptedServer(lambda call: Reply(drop=True)) as server, pytest.raises(httpx.RemoteProtocolError):
        post(server)


def test_the_ledger_keeps_all_calls_with_their_headers() -> None:
    with ScriptedServer(lambda call: "x") as server:
        post(server, "one")
        post(server, "two", headers={"X-Own": "Value"})
        httpx.get(f"{server.base_url}/models")
    assert [1, 2, 3] == [call.number for call in server.calls]
    assert ["one", "two"] == [call.prompt for call in server.calls[:2]]
    assert ("Value", "/v1/models", {}) == (server.calls[1].headers["x-own"], server.calls[2].path, server.calls[2].body)
    assert isinstance(server.calls[0], Call)


def test_it_knows_how_many_calls_it_had_at_one_time() -> None:
    async def many(url: str) -> None:
        async with httpx.AsyncClient() as client:
            body = {"messages": [{"content": "x"}]}
            await asyncio.gather(*(client.post(f"{url}/chat/completions", json=body) for _ in range(5)))

    with ScriptedServer(lambda call: Reply(completion("x"), delay=0.2)) as server:
        asyncio.run(many(server.base_url))
        assert (5, 0) == (server.most_in_flight, server.in_flight)


def test_it_ends_while_calls_are_in_flight() -> None:
    """Leaving the block does not wait for slow answers."""

    async def hang(url: str) -> None:
        async with httpx.AsyncClient(timeout=0.2) as client:
            with pytest.raises(httpx.TimeoutException):
                await client.post(f"{url}/chat/completions", json={"messages": [{"content": "x"}]})

    with ScriptedServer(lambda call: Reply("x", delay=60)) as server:
        asyncio.run(hang(server.base_url))


def test_a_completion_can_be_anything() -> None:
    found = completion(None, finish_reason="length", tokens=(1, 2), refusal="no")
    assert {"role": "assistant", "content": None, "refusal": "no"} == found["choices"][0]["message"]
    assert ("length", 3) == (found["choices"][0]["finish_reason"], found["usage"]["total_tokens"])


def ask_stream(server: ScriptedServer, *, wait: float = 0.5, **more: object) -> Seen:
    return ask(server.port, {"messages": [{"role": "user", "content": "hi"}], "stream": True, **more}, wait=wait)


def test_a_stream_is_answered_as_a_stream() -> None:
    """Role, content in pieces, finish_reason, usage if asked for, [DONE]."""
    text = json.dumps({"said": "ä" * 100}, ensure_ascii=False)
    with ScriptedServer(lambda call: text) as server:
        seen = ask_stream(server, stream_options={"include_usage": True})
        bare = ask_stream(server)
    assert "text/event-stream; charset=utf-8" == seen.headers["content-type"]
    assert {"role": "assistant", "content": ""} == seen.messages[0]
    assert (text, ["stop"], "[DONE]") == (seen.content, seen.reasons, seen.data[-1])
    assert len(seen.chunks) > 6
    assert {"chat.completion.chunk"} == {chunk["object"] for chunk in seen.chunks}
    assert (15, []) == (seen.usage["total_tokens"], seen.chunks[-1]["choices"])
    assert None is bare.usage
    assert [{}] == [choice["delta"] for choice in bare.choices[-1:]]


def test_a_streamed_message_has_its_other_fields() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    body = completion(None, finish_reason="tool_calls", tool_calls=calls, reasoning_content="well")
    with ScriptedServer(lambda call: Reply(body)) as server:
        seen = ask_stream(server)
    assert ("well", ["tool_calls"]) == (seen.field("reasoning_content"), seen.reasons)
    assert [{"index": 0, **calls[0]}] == seen.field("tool_calls")


def test_what_is_scripted_to_the_letter_is_not_made_a_stream() -> None:
    """Other statuses, bodies that are no completion, a content-type of the test's own."""
    own = Reply(completion("x"), headers={"Content-Type": "application/json"})
    replies = [Reply({"error": {}}, 500), Reply(b"data: x\n\n"), Reply({"a": 1}), own]
    with ScriptedServer(lambda call: replies[call.number - 1]) as server:
        bodies = [ask_stream(server).body for _ in replies]
    assert [b'{"error": {}}', b"data: x\n\n", b'{"a": 1}', json.dumps(completion("x")).encode()] == bodies


def test_a_body_in_pieces_with_waits() -> None:
    with ScriptedServer(lambda call: Reply(chunks=[b"data: a", 0.2, b"\n\n"])) as server:
        started = time.monotonic()
        seen = ask_stream(server, wait=5)
    assert ([b"data: a", b"\n\n"], "whole", "open") == (seen.pieces, seen.end, seen.after)
    assert time.monotonic() - started > 0.2


def test_pieces_are_framed_as_the_headers_say() -> None:
    def script(call: Call) -> Reply:
        return Reply(chunks=[b"ab", b"c"], headers=[{"Content-Length": "9"}, {"Connection": "close"}][call.number - 1])

    with ScriptedServer(script) as server:
        short, closed = ask_stream(server), ask_stream(server)
    assert ("9", "stall") == (short.headers["content-length"], short.end)
    assert (b"abc", "whole", "closed") == (closed.body, closed.end, closed.after)


def test_a_connection_ends_after_its_pieces_or_at_once() -> None:
    replies = [Reply(chunks=[b"ab"], reset=True), Reply(reset=True), Reply(chunks=[b"ab"], drop=True), Reply(drop=True)]
    with ScriptedServer(lambda call: replies[call.number - 1]) as server:
        seen = [ask_stream(server) for _ in replies]
    assert [(b"ab", "reset"), (b"", "reset"), (b"ab", "eof"), (b"", "eof")] == [(each.body, each.end) for each in seen]
    assert [200, None, 200, None] == [each.status for each in seen]


def test_a_fault_server_keeps_a_ledger() -> None:
    """A quirk by name comes once, at first; what costs nothing does not reach the script."""
    answered: list[int] = []

    def script(call: Call) -> str:
        answered.append(call.number)
        return f"answer {call.number}"

    with FaultServer(script, "Q56.seconds", seed=3) as server:
        statuses = [post(server, text).status_code for text in ("a", "b", "a", "b")]
    assert [429, 429, 200, 200] == statuses
    assert [3, 4] == answered
    first, *_, last = server.ledger
    assert (1, 1, "Q56.seconds", False, None) == (first.number, first.attempt, first.fault, first.billed, first.content)
    assert (4, 2, None, True, "answer 4") == (last.number, last.attempt, last.fault, last.billed, last.content)
    assert [server.ledger[0].request] == [given.request for given in server.ledger[2:3]]


def test_an_answer_that_is_billed_and_never_arrives() -> None:
    with FaultServer(lambda call: "x", "Q61") as server, pytest.raises(httpx.RemoteProtocolError):
        post(server)
    assert [("Q61", True, "x")] == [(given.fault, given.billed, given.content) for given in server.ledger]


def test_what_the_script_raises_is_raised_at_the_end() -> None:
    """The client gets a 500 that says so, which is no fault of the server; the error of the test itself goes first."""
    wrong = LookupError("no such item")

    def script(call: Call) -> Any:
        raise wrong

    with pytest.raises(LookupError) as caught, FaultServer(script, "Q22.no_usage") as server:
        answer = post(server)
    assert (500, True) == (answer.status_code, "no such item" in answer.text)
    assert ([wrong], wrong) == (server.errors, caught.value)
    assert [(None, False)] == [(given.fault, given.billed) for given in server.ledger]

    def test() -> None:
        with ScriptedServer(script) as server:
            post(server)
            raise KeyError

    with pytest.raises(KeyError):
        test()


def test_what_the_script_refuses_gets_no_fault() -> None:
    with FaultServer(lambda call: Reply("no", 404), "Q2") as server:
        assert "no" == post(server).text
    assert [(None, False)] == [(given.fault, given.billed) for given in server.ledger]


def test_a_fault_server_without_a_profile_obeys_the_header_alone() -> None:
    with FaultServer(lambda call: "x") as server:
        assert "x" == post(server).json()["choices"][0]["message"]["content"]
        assert 504 == post(server, headers={"X-Fault": "Q5.504"}).status_code
        unknown = post(server, headers={"X-Fault": "Q999"})
    assert (400, "X-Fault") == (unknown.status_code, unknown.json()["error"]["param"])


def test_a_profile_of_your_own() -> None:
    mine = Profile("mine", {"Q23": 0.5}, clean_after=1)
    with FaultServer(lambda call: "x", mine, seed=1) as server:
        for number in range(40):
            post(server, str(number))
    assert {"Q23", None} == {given.fault for given in server.ledger}


def test_a_function_may_name_the_fault_of_a_call() -> None:
    with FaultServer(lambda call: "x", lambda call: "Q20.string" if call.prompt == "bad" else None) as server:
        assert [500, 200, 500] == [post(server, text).status_code for text in ("bad", "fine", "bad")]


def test_a_script_may_return_a_whole_completion() -> None:
    """It goes out as it is, not as the content of another one."""
    with ScriptedServer(lambda call: completion("cut", finish_reason="length")) as server:
        (choice,) = post(server).json()["choices"]
    assert ("cut", "length") == (choice["message"]["content"], choice["finish_reason"])
