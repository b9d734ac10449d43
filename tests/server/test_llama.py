"""The parts round llama.cpp that need no model."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from extract.errors import ConfigError
from extract.server.engine import Prompt
from extract.server.llama import LlamaModel, _open, _Page, _raise_refusal, _Slot
from extract.server.refusals import WireError
from server.support import Json


def test_an_answer_cut_off_by_shutdown_is_a_503() -> None:
    """A generation that was stopped is not passed off as an answer."""
    told: list[Any] = []
    page = _Page(told.append, threading.Event())
    assert not page.hear({"choices": [{"delta": {"content": "{"}, "finish_reason": None}]})
    page.closing.set()
    assert page.hear({"choices": [{"delta": {"content": "}"}, "finish_reason": None}]})
    assert ["{", "}"] == told
    with pytest.raises(WireError) as caught:
        page.written()
    assert caught.value.status == 503


def test_a_prompt_that_never_got_its_turn_is_a_503() -> None:
    """A prompt that waited when the server was stopped is answered."""
    told: list[Any] = []
    work: Future[Any] = Future()
    work.cancel()
    _Page(told.append, threading.Event()).close(work)
    assert [503] == [error.status for error in told]


def test_a_closed_model_refuses_prompts() -> None:
    """After close there is an answer, not a crash."""
    model = LlamaModel(Path("x.gguf"))
    model.close()

    async def ask() -> None:
        async for _ in model.write(Prompt([], 1)):
            pass

    with pytest.raises(WireError) as caught:
        asyncio.run(ask())
    assert caught.value.status == 503


def test_any_other_refusal_of_llama_cpp_is_a_400() -> None:
    """llama.cpp's own words are passed on."""
    with pytest.raises(WireError, match="no such thing"):
        _raise_refusal({"error": {"message": "no such thing", "type": "invalid_request_error"}})


def test_a_value_error_of_llama_cpp_is_a_400() -> None:
    """What xllamacpp raises for a request it cannot read is the request's fault."""

    class Llama:
        def handle_chat_completions(self, body: Json) -> Json:
            raise ValueError("odd template")

    with pytest.raises(WireError, match="odd template") as caught:
        _Slot(Llama(), set())._ask({})
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("file", "model"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
        ("Llama-3.2-1B-Q8_0.gguf", "Llama-3.2-1B"),
        ("plain.gguf", "plain"),
    ],
)
def test_the_model_is_named_for_its_file(file: str, model: str) -> None:
    """The quantization is no part of a model's name."""
    engine = LlamaModel(Path(file))
    assert engine.model == model
    engine.close()


def test_a_missing_xllamacpp_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the message says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "xllamacpp", None)
    with pytest.raises(ConfigError, match="pip install 'tablecast\\[local\\]'"):
        _open(Path("x.gguf"), threads=1, context=4096)
