"""What makes an API of a model that only writes text: files, search, thoughts and function calls round it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

from extract.server.engine import ChatCall, Delta, End, Json, Link, Pieces, Prompt, TextModel, Turn, Written, usage
from extract.server.media import Media
from extract.server.refusals import bad_request, server_error
from extract.server.search import Corpus, Passage, citations, context, grounding
from extract.server.thoughts import thinking, thought_over
from extract.server.tools import CallReader, answered, spoken, with_tools

CONTROL = re.compile(r"<\|(?=\w{1,40}\|>)")


class Assistant:
    """An engine over a text model; `corpus` is what googleSearch searches."""

    def __init__(self, model: TextModel, *, corpus: Corpus | None = None, media: Media | None = None) -> None:
        self._model, self._corpus, self._media = model, corpus, media or Media()

    @property
    def model(self) -> str:
        """The model's name."""
        return self._model.model

    @property
    def slots(self) -> int:
        """How many requests are worked on at a time."""
        return self._model.slots

    async def models(self) -> list[Json]:
        """The one model, as /v1/models lists it."""
        return [{"id": self.model, "object": "model", "created": 0, "owned_by": "local"}]

    async def stream(self, call: ChatCall) -> Pieces:
        """The answer in pieces. Raises WireError."""
        turns = await self._media.read(call.turns)
        question = _question(turns)
        passages = await self._search(question) if call.search else []
        prompt = _prompt(call, turns, passages)
        heard = _Heard()
        if call.thoughts and (first := thinking(prompt, call.effort)):
            async with aclosing(self._model.write(first)) as pieces:
                async for piece in pieces:
                    if delta := heard.thought(piece):
                        yield delta
            prompt = thought_over(prompt, heard.thoughts, heard.reasoning)
        async with aclosing(self._answer(prompt, heard)) as deltas:
            async for delta in deltas:
                yield delta
        if call.search:
            found = citations(passages, heard.letters)
            yield Delta({"annotations": found, "groundingMetadata": grounding(question, passages)})
        yield heard.end()

    async def _answer(self, prompt: Prompt, heard: _Heard) -> AsyncGenerator[Delta, None]:
        reader = CallReader() if prompt.calls else None
        async with aclosing(self._model.write(prompt)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Written):
                    heard.answered(piece)
                    continue
                heard.text.append(piece)
                for delta in reader.read(piece) if reader else [Delta({"content": piece})]:
                    heard.letters += len(delta.fields.get("content") or "")
                    yield delta
        if "stop" not in prompt.sampling and heard.finish_reason == "stop":
            _require_whole(prompt, "".join(heard.text), reader)
        if reader and reader.calls and heard.finish_reason == "stop":
            heard.finish_reason = "tool_calls"

    async def _search(self, question: str) -> list[Passage]:
        if self._corpus is None:
            raise bad_request(
                "googleSearch is answered from a local folder, and this server was started without one "
                "(--search-corpus DIR).",
                "tools",
            )
        return await asyncio.to_thread(self._corpus.search, question)


class _Heard:
    """What was written so far, and what it took."""

    def __init__(self) -> None:
        self.thoughts = ""
        self.text: list[str] = []
        self.letters = 0
        self.finish_reason = ""
        self.reasoning = 0
        self._prompt: int | None = None
        self._completion = 0

    def thought(self, piece: str | Written) -> Delta | None:
        if isinstance(piece, Written):
            self.reasoning = piece.completion_tokens
            self._prompt = piece.prompt_tokens
            return None
        self.thoughts += piece
        return Delta({"reasoning_content": piece})

    def answered(self, written: Written) -> None:
        self.finish_reason, self._completion = written.finish_reason, written.completion_tokens
        # The prompt of a second pass holds the thoughts of the first, which were counted as such already.
        self._prompt = written.prompt_tokens if self._prompt is None else self._prompt

    def end(self) -> End:
        tokens = usage(self._prompt or 0, self.reasoning + self._completion, self.reasoning)
        return End(self.finish_reason, tokens)


def _prompt(call: ChatCall, turns: tuple[Turn, ...], passages: list[Passage]) -> Prompt:
    messages = [{"role": _role(turn), "content": harmless(_words(turn))} for turn in turns]
    if passages:
        last = {**messages[-1], "content": f"{harmless(context(passages))}\n\n{messages[-1]['content']}"}
        messages = [*messages[:-1], last]
    if call.calls:
        messages = with_tools(messages, call.calls)
    return Prompt(messages, call.max_tokens, call.sampling, call.schema, call.calls)


def harmless(text: str) -> str:
    """The text of a document may spell the marks between turns (<|im_end|>); broken up they are mere text."""
    return CONTROL.sub("< |", text)


def _role(turn: Turn) -> str:
    # Many templates know no role `tool`; those that do write it as a turn of the user.
    return "user" if turn.role == "tool" else turn.role


def _words(turn: Turn) -> str:
    text = "\n".join(part for part in turn.parts if not isinstance(part, Link))
    if turn.role == "tool":
        return answered(text)
    return "\n".join(words for words in (text, spoken(turn)) if words) if turn.tool_calls else text


def _question(turns: tuple[Turn, ...]) -> str:
    asked = [turn for turn in turns if turn.role == "user"]
    return _words(asked[-1]) if asked else ""


def _require_whole(prompt: Prompt, text: str, reader: CallReader | None) -> None:
    # The last guard: a grammar that fails half-way is dropped by llama.cpp without an error.
    whole = reader.is_complete if reader else prompt.schema is None or _is_json(text)
    if not whole:
        raise server_error("The grammar failed while generating.", code="grammar_failed")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
