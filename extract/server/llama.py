"""The text model: llama.cpp in this process, through xllamacpp, with one grammar-bound text per prompt.

Each slot is a llama.cpp of its own with one sequence and its own thread. Sharing one instance between slots would mix
requests in a batch, and then the same request need not give the same bytes: here nothing else is in the batch.
"""

from __future__ import annotations

import asyncio
import json
import queue
import re
import secrets
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from extract.errors import ConfigError
from extract.server.engine import Json, Prompt, Written
from extract.server.grammar import blame, grammar_of, without_enum_texts
from extract.server.refusals import WireError, bad_request, shutting_down
from extract.server.tools import calls_grammar

SLOTS = 2
# Two threads halve the wait for one answer on an idle machine, but took the same processor time for it; beside other
# work they took four to five times as much.
THREADS_PER_SLOT = 1
CONTEXT = 4096
QUANTIZATION = r"[.-](I?Q\d\w*|B?F16|F32)$"  # the end of a file name: SmolLM2-135M-Instruct.Q4_1
DEFAULTS: Json = {"temperature": 0.0, "seed": 0}


class LlamaModel:
    """Writes texts on `slots` slots, first come first served; `load` or the first prompt loads the weights."""

    def __init__(
        self, weights: Path, *, slots: int = SLOTS, threads: int = THREADS_PER_SLOT, context: int = CONTEXT
    ) -> None:
        """`threads` and `context` (tokens) are per slot."""
        self.model = re.sub(QUANTIZATION, "", weights.stem)
        self.slots = slots
        self._weights, self._threads, self._context = weights, threads, context
        self._idle: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        self._workers = ThreadPoolExecutor(slots, thread_name_prefix="llama")
        self._loading = threading.Lock()
        self._loaded = False
        self._accepted: set[str] = set()
        self._closing = threading.Event()

    def load(self) -> None:
        """Load the weights, once. Raises ConfigError if xllamacpp is absent or cannot read the file."""
        with self._loading:
            if not self._loaded:
                for _ in range(self.slots):
                    llama = _open(self._weights, threads=self._threads, context=self._context)
                    self._idle.put(_Slot(llama, self._accepted))
                self._loaded = True

    async def write(self, prompt: Prompt) -> AsyncGenerator[str | Written, None]:
        """One text in pieces; waits for a free slot. Raises WireError if the prompt or the schema is refused.

        Closing the generator stops the model at its next token.
        """
        heard: asyncio.Queue[str | Written | Exception] = asyncio.Queue()
        page = _Page(_teller(heard), self._closing)
        try:
            work = self._workers.submit(self._write, prompt, page)
        except RuntimeError:  # the pool is shut down
            raise shutting_down() from None
        work.add_done_callback(page.close)
        try:
            while True:
                piece = await heard.get()
                if isinstance(piece, Exception):
                    raise piece
                yield piece
                if isinstance(piece, Written):
                    return
        finally:
            page.is_unwanted = True
            work.cancel()

    def close(self) -> None:
        """Stop running texts, refuse waiting ones and free the model."""
        self._closing.set()
        self._workers.shutdown(wait=True, cancel_futures=True)
        self._idle = queue.SimpleQueue()

    def _write(self, prompt: Prompt, page: _Page) -> Written:
        self.load()
        # As many workers as slots, so a slot is always idle here.
        slot = self._idle.get_nowait()
        try:
            return slot.write(prompt, page)
        finally:
            self._idle.put(slot)


@dataclass(slots=True)
class _Page:
    """A text as it is written, in pieces: told at once, and so that it can be stopped."""

    tell: Callable[[str | Written | Exception], None]
    closing: threading.Event
    is_unwanted: bool = False  # nobody waits for it any more
    finish_reason: str | None = None
    usage: Json = field(default_factory=dict)
    refusal: Json = field(default_factory=dict)

    def hear(self, piece: Json) -> bool:
        """Take one piece; true stops the model."""
        # Kept, not raised: an exception in a callback does not come through llama.cpp.
        self.refusal = piece if "error" in piece else self.refusal
        self.usage = piece.get("usage") or self.usage
        for choice in piece.get("choices") or []:
            if text := choice["delta"].get("content"):
                self.tell(text)
            self.finish_reason = choice["finish_reason"] or self.finish_reason
        return self.is_unwanted or self.closing.is_set()

    def written(self) -> Written:
        """The end of the whole text. Raises WireError if it was refused, or stopped by the server."""
        _raise_refusal(self.refusal)
        if self.finish_reason is None:
            raise shutting_down()
        return Written(self.finish_reason, self.usage["prompt_tokens"], self.usage["completion_tokens"])

    def close(self, work: Future[Written]) -> None:
        """Tell how the work ended."""
        if work.cancelled():
            self.tell(shutting_down())
            return
        error = work.exception()
        if isinstance(error, Exception):
            self.tell(error)
        elif error is None:
            self.tell(work.result())


def _teller(heard: asyncio.Queue[str | Written | Exception]) -> Callable[[str | Written | Exception], None]:
    loop = asyncio.get_running_loop()

    def tell(piece: str | Written | Exception) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody listens
            loop.call_soon_threadsafe(heard.put_nowait, piece)

    return tell


@dataclass(slots=True)
class _Slot:
    """One llama.cpp instance, whose cache holds `prefix`; `accepted` are the grammars known to work, shared by all."""

    llama: Any
    accepted: set[str]
    prefix: str | None = None

    def write(self, prompt: Prompt, page: _Page) -> Written:
        grammar = self._grammar(prompt)
        cached = self._settle(prompt.messages)
        body = {
            **DEFAULTS,
            **prompt.sampling,
            **grammar,
            "messages": prompt.messages,
            "max_tokens": prompt.max_tokens,
            "cache_prompt": cached,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        self._ask(body, page.hear)
        return page.written()

    def _settle(self, messages: list[dict[str, str]]) -> bool:
        """Bring the cache to all messages but the last, and nothing else. False if there is nothing to reuse.

        Reusing whatever the request before left would save a little more, but how a prompt is cut into batches changes
        the last bits of its activations, and through them the answer. So a prefix is always computed alone and from
        nothing, and a later request first drops everything after it.
        """
        shared = messages[:-1]
        if not shared or messages[-1]["role"] == "assistant":
            self.prefix = None
            return False
        wanted = json.dumps(shared)
        known, self.prefix = wanted == self.prefix, None
        try:
            self._ask({"messages": shared, "max_tokens": 1, "temperature": 0.0, "cache_prompt": known})
        except WireError:
            # Too long: the request itself will be refused, with the right count.
            return False
        self.prefix = wanted
        return True

    def _grammar(self, prompt: Prompt) -> Json:
        if prompt.calls is not None:
            for tool in prompt.calls.tools:
                self._require(tool.parameters, "tools", f"the parameters of '{tool.name}'")
            return {"grammar": calls_grammar(prompt.calls)}
        if prompt.schema is None:
            return {}
        self._require(prompt.schema, "response_format", "the schema")
        return {"grammar": grammar_of(prompt.schema)}

    def _require(self, schema: Json, param: str, name: str) -> None:
        """Raises WireError if llama.cpp would drop the grammar of this schema."""
        # The trial empties the cache, so schemas that differ only in the texts of their enums share one: a record's own
        # candidates would else cost it the whole prefix. Any text can stand in an enum.
        kind = grammar_of(without_enum_texts(schema))
        if kind in self.accepted:
            return
        self.prefix = None
        if not self._enforces(schema):
            reason = blame(schema, self._enforces)
            raise bad_request(f"llama.cpp cannot turn {name} into a grammar: {reason}.", param)
        self.accepted.add(kind)

    def _enforces(self, schema: Json) -> bool:
        """Whether llama.cpp really applies the grammar: told to write Z, which starts no JSON value, it must not."""
        answer = self.llama.handle_completions(
            {
                "prompt": "Z",
                "n_predict": 1,
                "temperature": 0.0,
                "logit_bias": [["Z", 1000.0]],
                "grammar": grammar_of(schema),
            }
        )
        return "error" not in answer and not answer["choices"][0]["text"].startswith("Z")

    def _ask(self, body: Json, *hear: Callable[[Json], bool]) -> None:
        try:
            answer = self.llama.handle_chat_completions(body, *hear)
        except ValueError as error:
            raise bad_request(f"llama.cpp refuses the request: {error}") from error
        _raise_refusal(answer or {})


def _raise_refusal(answer: Json) -> None:
    error = answer.get("error")
    if error is None:
        return
    if error.get("type") == "exceed_context_size_error":
        raise bad_request(
            f"The prompt has {error['n_prompt_tokens']} tokens, the context of this model is {error['n_ctx']}.",
            "messages",
            code="context_length_exceeded",
        )
    raise bad_request(f"llama.cpp refuses the request: {error.get('message')}")


def _open(weights: Path, *, threads: int, context: int) -> Any:
    try:
        import xllamacpp  # here, because the extra `local` is optional and its import takes a while
    except ImportError as error:
        raise ConfigError("xllamacpp is not installed", hint="pip install 'tablecast[local]'") from error
    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.n_parallel, params.n_ctx = 1, context
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads, cpu.poll = threads, 0
    params.cache_ram_mib = 0
    params.verbosity = -1
    # xllamacpp opens an HTTP listener of its own beside the in-process calls; nobody knows its key.
    params.api_keys = [secrets.token_urlsafe()]
    try:
        return xllamacpp.Server(params)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"llama.cpp cannot load {weights}: {error}") from error
