"""The engine: llama.cpp in this process, through xllamacpp, with one schema-bound completion per call.

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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from extract.errors import ConfigError
from extract.server.grammar import blame, grammar_of, without_enum_texts
from extract.server.wire import ChatCall, ChatResult, Json, WireError, bad_request, server_error

SLOTS = 2
# Two threads halve the wait for one answer on an idle machine, but took the same processor time for it; beside other
# work they took four to five times as much.
THREADS_PER_SLOT = 1
CONTEXT = 4096
QUANTIZATION = r"[.-](I?Q\d\w*|B?F16|F32)$"  # the end of a file name: SmolLM2-135M-Instruct.Q4_1
DEFAULTS: Json = {"temperature": 0.0, "seed": 0}


class LlamaEngine:
    """Answers calls on `slots` slots, first come first served; `load` or the first call loads the weights."""

    def __init__(
        self, weights: Path, *, slots: int = SLOTS, threads: int = THREADS_PER_SLOT, context: int = CONTEXT
    ) -> None:
        """`threads` and `context` (tokens) are per slot."""
        self.model = re.sub(QUANTIZATION, "", weights.stem)
        self._weights, self._slots, self._threads, self._context = weights, slots, threads, context
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
                for _ in range(self._slots):
                    llama = _open(self._weights, threads=self._threads, context=self._context)
                    self._idle.put(_Slot(llama, self._closing, self._accepted))
                self._loaded = True

    async def complete(self, call: ChatCall) -> ChatResult:
        """One completion; waits for a free slot. Raises WireError if the prompt or the schema is refused."""
        return await asyncio.get_running_loop().run_in_executor(self._workers, self._complete, call)

    def close(self) -> None:
        """Stop running generations, refuse waiting ones and free the model."""
        self._closing.set()
        self._workers.shutdown(wait=True, cancel_futures=True)
        self._idle = queue.SimpleQueue()

    def _complete(self, call: ChatCall) -> ChatResult:
        self.load()
        # As many workers as slots, so a slot is always idle here.
        slot = self._idle.get_nowait()
        try:
            return slot.complete(call)
        finally:
            self._idle.put(slot)


@dataclass(slots=True)
class _Slot:
    """One llama.cpp instance, whose cache holds `prefix`; `accepted` are the grammars known to work, shared by all."""

    llama: Any
    closing: threading.Event
    accepted: set[str]
    prefix: str | None = None

    def complete(self, call: ChatCall) -> ChatResult:
        grammar = {} if call.schema is None else {"grammar": self._grammar(call.schema)}
        cached = self._settle(call.messages)
        heard = _Heard(self.closing)
        body = {
            **DEFAULTS,
            **call.sampling,
            **grammar,
            "messages": call.messages,
            "max_tokens": call.max_tokens,
            "cache_prompt": cached,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        self._ask(body, heard.hear)
        return heard.result(whole_json=call.schema is not None and "stop" not in call.sampling)

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

    def _grammar(self, schema: Json) -> str:
        # The trial empties the cache, so schemas that differ only in the texts of their enums share one: a record's own
        # candidates would else cost it the whole prefix. Any text can stand in an enum.
        kind = grammar_of(without_enum_texts(schema))
        if kind not in self.accepted:
            self.prefix = None
            if not self._enforces(schema):
                reason = blame(schema, self._enforces)
                raise bad_request(f"llama.cpp cannot turn the schema into a grammar: {reason}.", "response_format")
            self.accepted.add(kind)
        return grammar_of(schema)

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


@dataclass(slots=True)
class _Heard:
    """The answer as it arrives in pieces: heard in pieces so that it can be stopped."""

    closing: threading.Event
    content: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Json = field(default_factory=dict)
    refusal: Json = field(default_factory=dict)

    def hear(self, piece: Json) -> bool:
        """Take one piece; true stops the generation."""
        # Kept, not raised: an exception in a callback does not come through llama.cpp.
        self.refusal = piece if "error" in piece else self.refusal
        self.usage = piece.get("usage") or self.usage
        for choice in piece.get("choices") or []:
            self.content.append(choice["delta"].get("content") or "")
            self.finish_reason = choice["finish_reason"] or self.finish_reason
        return self.closing.is_set()

    def result(self, *, whole_json: bool) -> ChatResult:
        """The whole answer. Raises WireError if it was cut short by the server, or is not the JSON it must be."""
        _raise_refusal(self.refusal)
        if self.finish_reason is None:
            raise server_error("The server is shutting down.", status=503, code="shutting_down")
        text = "".join(self.content)
        if whole_json and self.finish_reason == "stop":
            _require_json(text)
        return ChatResult(text, self.finish_reason, self.usage["prompt_tokens"], self.usage["completion_tokens"])


def _require_json(text: str) -> None:
    # The last guard: a grammar that fails half-way is dropped by llama.cpp without an error.
    try:
        json.loads(text)
    except ValueError:
        raise server_error("The grammar failed while generating.", code="grammar_failed") from None


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
