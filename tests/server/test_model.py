"""The answers of the real model, over HTTP on loopback."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from extract.errors import ConfigError
from extract.server import LocalServer
from extract.server.weights import WeightsNotFound, find_weights
from server.shapes import ANSWER, CHUNK
from server.support import SEARCH, STRING, USER, WEATHER, Json, chunks, closed, form_c, joined


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed")
    try:
        server = LocalServer()
        find_weights(None)
    except WeightsNotFound as error:
        pytest.skip(str(error))
    with server:
        yield server.base_url


def ask(base_url: str, **body: Any) -> Json:
    response = httpx.post(f"{base_url}/chat/completions", json={"messages": [USER], **body}, timeout=120)
    return {"status": response.status_code, **response.json()}


def content(answer: Json) -> str:
    text: str = answer["choices"][0]["message"]["content"]
    return text


RECEIPT = closed(shop={"type": "string", "maxLength": 20}, city={"const": "Zürich"}, paid={"enum": ["card", 'c"sh']})
FORMS = {
    "flat": {**RECEIPT, "type": "json_schema"},
    "bare": RECEIPT,
    "openai": form_c(RECEIPT),
    "llama.cpp": {"type": "json_schema", "schema": RECEIPT},
}


@pytest.mark.model
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_enforced(base_url: str, form: str) -> None:
    """Values the prompt says nothing of are in the answer, in the order of the properties."""
    answer = ask(base_url, response_format=FORMS[form], max_tokens=60)
    row = json.loads(content(answer))
    jsonschema.validate(row, RECEIPT)
    assert list(row) == ["shop", "city", "paid"]
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]


LABELS = [f'label "{n}" — é{chr(0x4E00 + n)}' for n in range(60)]
SHAPES: dict[str, Json] = {
    "large enum": {"enum": LABELS},
    "objects in arrays": {
        "type": "array",
        "minItems": 1,
        "maxItems": 2,
        "items": closed(
            name={"type": "string", "maxLength": 8}, tags={"type": "array", "items": {"enum": ["x"]}, "maxItems": 1}
        ),
    },
    "nullable": {"type": ["string", "null"], "maxLength": 8},
    "anyOf": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 99}, closed(n={"type": "null"})]},
    "date": {"type": "string", "format": "date"},
    "date-time": {"type": "string", "format": "date-time"},
    "lengths": {"type": "string", "minLength": 3, "maxLength": 4},
    "pattern": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2}$"},
    "bounds": {"type": "number", "minimum": 10.5, "maximum": 11},
    "const": {"const": "fixed"},
}


@pytest.mark.model
@pytest.mark.parametrize("shape", SHAPES)
def test_every_kind_of_schema_is_enforced(base_url: str, shape: str) -> None:
    """The grammar holds each keyword that extraction schemas use."""
    schema = closed(v=SHAPES[shape])
    answer = ask(base_url, response_format=form_c(schema), max_tokens=60)
    assert answer["choices"][0]["finish_reason"] == "stop"
    jsonschema.validate(json.loads(content(answer)), schema, format_checker=jsonschema.FormatChecker())


@pytest.mark.model
def test_a_schema_without_a_grammar_is_a_400_with_the_reason(base_url: str) -> None:
    """A schema that llama.cpp would silently drop is refused, and the keyword named."""
    answer = ask(base_url, response_format=closed(a=STRING, b={"not": STRING}), max_tokens=5)
    assert answer["status"] == 400
    assert answer["error"]["param"] == "response_format"
    assert "into a grammar: #/properties/b: keyword 'not'" in answer["error"]["message"]


@pytest.mark.model
def test_json_object_is_any_object(base_url: str) -> None:
    """json_object is JSON, though of no particular shape."""
    assert content(ask(base_url, response_format={"type": "json_object"}, max_tokens=4)).startswith("{")


@pytest.mark.model
def test_free_text_and_max_tokens(base_url: str) -> None:
    """Without response_format the model writes text, and stops at max_tokens with finish_reason length."""
    answer = ask(base_url, max_tokens=3)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3


@pytest.mark.model
def test_a_prompt_too_long_is_refused_not_cut(base_url: str) -> None:
    """A prompt over the context is a 400 with a code of its own, with and without a shared prefix."""
    long = {"role": "user", "content": "word " * 5000}
    for messages in ([long], [long, USER]):
        answer = ask(base_url, messages=messages)
        assert (answer["status"], answer["error"]["code"]) == (400, "context_length_exceeded")
        assert "the context of this model is 4096" in answer["error"]["message"]


@pytest.mark.model
def test_the_same_request_gives_the_same_bytes(base_url: str) -> None:
    """Neither the slot, nor what ran before, nor what runs beside a request, nor a reused prefix changes its answer."""
    system = {"role": "system", "content": "Continue the text of the user."}
    texts = ["Once upon a time", "The recipe for bread is", "Once upon a hill", "In 1914"]

    def write(text: str) -> str:
        messages = [system, {"role": "user", "content": text}]
        return content(ask(base_url, messages=messages, max_tokens=16, temperature=1, seed=3))

    alone = [write(text) for text in texts]
    ask(base_url, messages=[system, {"role": "assistant", "content": "Other"}], max_tokens=1)
    with ThreadPoolExecutor(4) as pool:
        beside = list(pool.map(write, reversed(texts)))
    assert alone == beside[::-1]


@pytest.mark.model
def test_closing_stops_a_running_generation(base_url: str) -> None:
    """A server that is stopped answers a running request with a 503 and does not wait for its end."""
    with LocalServer() as server, ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            ask, server.base_url, max_tokens=3000, messages=[{"role": "user", "content": "Count to 9999."}]
        )
        url = server.base_url.removesuffix("/v1")
        while httpx.get(f"{url}/ledger").json()["requests"] == 0:
            pass
        server.stop()
    assert (running.result()["status"], running.result()["error"]["code"]) == (503, "shutting_down")


@pytest.mark.model
def test_a_file_that_is_no_model_is_a_config_error(base_url: str, tmp_path: Path) -> None:
    """A broken GGUF file is named."""
    (broken := tmp_path / "broken.gguf").write_bytes(b"GGUF, not")
    with pytest.raises(ConfigError, match=r"cannot load .*broken\.gguf"):
        LocalServer(str(broken)).start()


def stream(base_url: str, **body: Any) -> list[Json]:
    """The chunks of a streamed answer, each of the right shape."""
    asked = {"messages": [USER], **body, "stream": True, "stream_options": {"include_usage": True}}
    found = chunks(httpx.post(f"{base_url}/chat/completions", json=asked, timeout=120))
    for chunk in found:
        jsonschema.validate(chunk, CHUNK)
    return found


@pytest.mark.model
def test_a_stream_is_the_answer_in_pieces(base_url: str) -> None:
    """The same text as without a stream, in more than one piece, with the same usage."""
    body = {"response_format": form_c(RECEIPT), "max_tokens": 60}
    whole, pieces = ask(base_url, **body), stream(base_url, **body)
    assert content(whole) == joined(pieces, "content")
    assert len(pieces) > 5
    assert whole["usage"] == pieces[-1]["usage"]
    whole.pop("status")
    jsonschema.validate(whole, ANSWER)


@pytest.mark.model
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_demanded_call_is_made_with_fitting_arguments(base_url: str, choice: Any) -> None:
    """The grammar holds the name and the schema of the parameters."""
    other = {"type": "function", "function": {"name": "stop", "parameters": closed(now={"const": True})}}
    asked = {"role": "user", "content": "What is the weather in Paris?"}
    answer = ask(base_url, messages=[asked], tools=[WEATHER, other], tool_choice=choice, max_tokens=60)
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert "tool_calls" == answer["choices"][0]["finish_reason"]
    arguments = json.loads(call["function"]["arguments"])
    schema = {"get_weather": WEATHER["function"]["parameters"], "stop": closed(now={"const": True})}
    jsonschema.validate(arguments, schema[call["function"]["name"]])
    if choice != "required":
        assert "get_weather" == call["function"]["name"]


@pytest.mark.model
def test_parameters_without_a_grammar_are_a_400(base_url: str) -> None:
    """A function whose arguments could not be held to its schema is refused by name."""
    odd = {"type": "function", "function": {"name": "odd", "parameters": closed(a={"not": STRING})}}
    answer = ask(base_url, tools=[WEATHER, odd], tool_choice="required", max_tokens=5)
    assert (400, "tools") == (answer["status"], answer["error"]["param"])
    assert "the parameters of 'odd' into a grammar: #/properties/a: keyword 'not'" in answer["error"]["message"]


@pytest.mark.model
def test_thoughts_are_written_by_the_model(base_url: str) -> None:
    """The first pass is real: its tokens are counted, and the answer keeps its schema."""
    answer = ask(
        base_url, include_thoughts=True, reasoning_effort="low", response_format=form_c(RECEIPT), max_tokens=90
    )
    jsonschema.validate(json.loads(content(answer)), RECEIPT)
    thoughts = answer["choices"][0]["message"]["reasoning_content"]
    counted = answer["usage"]["completion_tokens_details"]["reasoning_tokens"]
    assert 0 < counted <= 45
    assert len(thoughts) > 1
    assert counted < answer["usage"]["completion_tokens"] <= 90


@pytest.mark.model
def test_a_search_grounds_the_answer(tmp_path: Path) -> None:
    """What only the corpus knows is in the answer, with its source."""
    (tmp_path / "clocks.md").write_text("# Clocks\n\nThe museum of clocks in Besançon opens at 9:15.")
    with LocalServer(search_corpus=tmp_path, slots=1) as server:
        asked = {"role": "user", "content": "When does the museum of clocks open?"}
        answer = ask(server.base_url, messages=[asked], tools=[SEARCH], max_tokens=40)
    assert "9:15" in content(answer)
    assert ["corpus:/clocks.md"] == [
        cited["url_citation"]["url"] for cited in answer["choices"][0]["message"]["annotations"]
    ]


@pytest.mark.model
def test_a_client_that_goes_frees_the_slot() -> None:
    """A long text that nobody waits for is stopped: the next request on the only slot is answered at once."""
    with LocalServer(slots=1) as server:
        long = {"messages": [{"role": "user", "content": "Count to 9999."}], "max_tokens": 3000, "stream": True}
        url = f"{server.base_url}/chat/completions"
        with httpx.stream("POST", url, json=long, timeout=60) as response:
            next(response.iter_lines())
        started = time.monotonic()
        assert 200 == ask(server.base_url, max_tokens=2)["status"]
        assert time.monotonic() - started < 20
        counts = httpx.get(server.base_url.replace("/v1", "/ledger")).json()
    assert {"requests": 2, "completions": 1, "in_work": 0} == counts
