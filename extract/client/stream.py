"""The events of one streamed answer → one document, as the same answer would be without streaming.

So one reader serves both. What the document cannot say in the words of the API (that a loop was stopped, that no
finish_reason came) stands in its member `tablecast`, and the document can be stored and read again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from extract.client.calls import Calls, with_texts
from extract.client.classify import ADDRESS_HINT, error_from, has_error, invalid
from extract.client.loops import LoopGuard
from extract.client.sse import FOREIGN, Event
from extract.client.values import (
    finish_of,
    finish_of_whole,
    google_of,
    is_count,
    json_of,
    listed,
    objects_in,
    part_of,
    parts_of,
)
from extract.dialects import DialectRules

MARKS = "tablecast"  # member of an assembled document
FLAGS = ("finish_missing", "loop_stopped", "usage_estimated")
DONE = b"[DONE]"
GROUNDING = ("grounding_metadata", "groundingMetadata")
_KEPT = ("citations", "search_results", *GROUNDING)  # members of chunks: the last one with something in it
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning", "thinking")  # members of deltas: joined
_CHARACTERS_PER_TOKEN = 4  # of an estimate
_MEDIA = re.compile(rb";base64,[A-Za-z0-9+/=]+")


class Assembly:
    """Takes the events of one answer in order; `over` once no further one counts, `done` at its [DONE].

    Raises APIError for an error within the stream, and for a chunk that is no JSON: its text would be missing.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        request: bytes = b"",
        clean: Callable[[bytes], bytes] = bytes,
        dialect: DialectRules | None = None,
    ) -> None:
        self.over = False
        self._dialect = dialect
        self._clean = clean
        self._headers = headers
        self._request = request
        self.done = False
        self._finish: str | None = None
        self._late = False  # content came after the finish_reason, which was then no end
        self._apart = False  # the finish_reason came in a chunk without content, so after all of it
        self._loops = False
        self._several = False
        self._began = False
        self._pieces = 0
        self._texts: dict[str, list[str]] = {name: [] for name in (*_TEXTS, "thought")}
        self._guards: dict[str, LoopGuard] = {}
        self._details: list[dict[str, Any]] = []
        self._annotations: list[Any] = []
        self._executed: dict[str, Any] = {}
        self._calls = Calls()
        self._document: dict[str, Any] = {"object": "chat.completion"}

    def add(self, event: Event) -> None:
        data = event.data.strip()
        if self.over or not data:
            return
        if data.startswith(DONE):
            self.done = self.over = True
            return
        chunk = self._chunk(event, data)
        if isinstance(chunk, dict):
            self._merge(chunk)

    def _chunk(self, event: Event, data: bytes) -> Any:
        try:
            chunk = with_texts(json_of(data), data)
            refused = event.name == "error" or has_error(chunk)
        except (ValueError, RecursionError, TypeError) as error:
            if event.name == "error":
                raise error_from(200, self._headers, data, dialect=self._dialect) from None
            if event.name not in ("message", FOREIGN) and not data.startswith((b"{", b"[")):
                return None  # a ping, or what else a server calls by name
            raise invalid(f"a chunk of the stream is no JSON: {error}", data, self._headers) from None
        if refused:
            raise error_from(200, self._headers, data, dialect=self._dialect)
        if event.name == FOREIGN:
            raise invalid("a line of the stream is no field of an event", data, self._headers)
        if not isinstance(chunk, dict) and chunk is not None:
            raise invalid("a chunk of the stream is no object", data, self._headers)
        return chunk

    def _merge(self, chunk: dict[str, Any]) -> None:
        document = self._document
        for name in ("id", "created", "model", "system_fingerprint", "service_tier"):
            if chunk.get(name):
                document.setdefault(name, chunk[name])
        self._keep(chunk)
        choices = listed(chunk.get("choices"))
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            index = choice.get("index")
            self._several |= bool(index) and isinstance(index, int)
            self._take(choice)
        self._several |= len(choices) > 1
        self._take_usage(chunk.get("usage") or part_of(chunk, "x_groq").get("usage"))
        if self._loops and self._finish is None:
            self.over = True

    def _take(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta") or choice.get("message")
        self._keep(choice)
        self._take_usage(choice.get("usage"))
        had = self._pieces
        if isinstance(delta, dict):
            self._began = True
            self._take_delta(delta)
        came = self._pieces > had
        reason = finish_of(choice)
        if self._finish is not None:
            self._late |= came
            if reason and self._late and reason.lower() != "stop":
                self._finish = reason
        elif reason:
            self._finish, self._apart = reason, not came and self._began

    def _take_delta(self, delta: dict[str, Any]) -> None:
        self._keep(delta)
        self._keep(google_of(delta))
        for name in _TEXTS:
            if delta.get(name):
                self._take_text(name, delta)
        for detail in listed(delta.get("reasoning_details")):
            self._take_detail(detail)
        self._annotations += listed(delta.get("annotations"))
        for tool in objects_in(delta.get("executed_tools")):  # told when it begins, and again with what it found
            self._executed[repr((tool.get("index"), tool.get("arguments")))] = tool
        if self._calls.take(delta):
            self._pieces += 1
            self._guard("calls", self._calls.last)

    def _take_text(self, name: str, delta: dict[str, Any]) -> None:
        value = delta[name]
        if isinstance(value, list):
            for kind, text in parts_of(value):
                self._append("thought" if kind == "thinking" else name, text)
        elif isinstance(value, str):
            self._append("thought" if name == "content" and google_of(delta).get("thought") is True else name, value)

    def _append(self, name: str, text: str) -> None:
        if text:
            self._pieces += 1
            self._texts[name].append(text)
            self._guard(name, text)

    def _guard(self, name: str, text: str) -> None:
        guard = self._guards.get(name)
        if guard is None:
            guard = self._guards[name] = LoopGuard()
        self._loops |= guard.add(text)

    def _take_detail(self, detail: Any) -> None:
        """Pieces of one detail (same type and index) become one."""
        if not isinstance(detail, dict):
            return
        before = self._details[-1] if self._details else None
        if before is None or any(before.get(name) != detail.get(name) for name in ("type", "index")):
            before = {"type": detail.get("type"), "index": detail.get("index")}
            self._details.append(before)
        for name in ("text", "summary"):
            if isinstance(detail.get(name), str) and detail[name]:
                before.setdefault(name, []).append(detail[name])
                self._pieces += 1
                self._guard("details", detail[name])

    def _keep(self, holder: Mapping[str, Any]) -> None:
        for name in _KEPT:
            if holder.get(name):
                self._document[name] = holder[name]

    def _take_usage(self, usage: Any) -> None:
        """The last one with numbers: some servers repeat it, some end with an empty one."""
        if isinstance(usage, dict) and any(is_count(value) for value in usage.values()):
            self._document["usage"] = usage

    @staticmethod
    def is_whole(event: Event) -> bool:
        """Whether an event that the end of the stream cut off lost nothing."""
        data = event.data.strip()
        try:
            return not data or data.startswith(DONE) or json_of(data) is not NotImplemented
        except (ValueError, RecursionError):
            return False

    def finished(self, *, cut: bool) -> bool:
        """Whether the answer is known to be whole. `cut`: the stream broke off, rather than ended."""
        if self._loops and self.over and not self.done:
            return True
        if self._finish is None:
            return False
        return self.done or ((self._apart if cut else True) and not self._late)

    def document(self, *, cut: bool, finish_optional: bool) -> dict[str, Any]:
        """The whole answer. Raises InvalidResponseError when it is not known to be whole."""
        message = self._message()
        reason, flags = self._finish, []
        if self._loops and self.over and not self.done:
            reason = "loop"
            flags += ["loop_stopped"]
            if "usage" not in self._document:
                self._document["usage"] = self._estimate(message)
                flags += ["usage_estimated"]
        elif reason is None and finish_optional and self.done:
            reason = finish_of_whole(message)
            flags += ["finish_missing"]
        if reason is None or not (flags or self.finished(cut=cut)):
            said = "the stream ended before the answer did" if not self.done else "the stream has no finish_reason"
            partial = self._clean(self._text("content").encode("utf-8", "replace"))
            hint = None if self._began else ADDRESS_HINT
            raise invalid(f"{said}; it may have been billed", partial, self._headers, hint)
        choices = [{"index": 0, "message": message, "finish_reason": reason}]
        self._document["choices"] = choices * 2 if self._several else choices
        return self._document | ({MARKS: {"flags": flags}} if flags else {})

    def _message(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant"}
        message |= {name: text for name in _TEXTS if (text := self._text(name))}
        message.setdefault("content", None)
        thought = self._text("thought")
        if thought:
            message["reasoning_content"] = thought.removeprefix("<thought>") + message.get("reasoning_content", "")
        if self._details:
            joined = ({name: _joined(value) for name, value in detail.items()} for detail in self._details)
            message["reasoning_details"] = list(joined)
        if self._annotations:
            message["annotations"] = self._annotations
        if self._executed:
            message["executed_tools"] = list(self._executed.values())
        return message | self._calls.members()

    def _text(self, name: str) -> str:
        return "".join(self._texts[name])

    def _estimate(self, message: Mapping[str, Any]) -> dict[str, int]:
        """Tokens of a call whose count was not waited for: a piece is at least one, media are left out."""
        made = max(self._pieces, len(json.dumps(message)) // _CHARACTERS_PER_TOKEN)
        given = len(_MEDIA.sub(b"", self._request)) // _CHARACTERS_PER_TOKEN
        return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}


def _joined(value: Any) -> Any:
    return "".join(value) if isinstance(value, list) else value
