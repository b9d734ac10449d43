"""The events of one streamed answer → one document, as the same answer would be without streaming.

So one reader serves both. What the document cannot say in the words of the API (that a loop was stopped, that no
finish_reason came) stands in its member `tablecast`, and the document can be stored and read again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic_core import from_json

from extract.client.calls import Calls, with_texts
from extract.client.classify import error_from, has_error
from extract.client.loops import LoopGuard
from extract.client.sse import FOREIGN, Event
from extract.errors import ErrorClass, InvalidResponseError

MARKS = "tablecast"  # member of an assembled document
FLAGS = ("finish_missing", "loop_stopped", "usage_estimated")
DONE = b"[DONE]"
GROUNDING = ("grounding_metadata", "groundingMetadata")
_KEPT = ("citations", "search_results", *GROUNDING)  # members of chunks: the last one with something in it
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning", "thinking")  # members of deltas: joined
_CHARACTERS_PER_TOKEN = 4  # of an estimate
_ADDRESS_HINT = "is EXTRACT_BASE_URL the address of a chat-completions API?"
_MEDIA = re.compile(rb";base64,[A-Za-z0-9+/=]+")


class Assembly:
    """Takes the events of one answer in order; `over` once no further one counts, `done` at its [DONE].

    Raises APIError for an error within the stream, and for a chunk that is no JSON: its text would be missing.
    """

    def __init__(
        self, headers: Mapping[str, str], request: bytes = b"", clean: Callable[[bytes], bytes] = bytes
    ) -> None:
        self.over = False
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
                raise error_from(200, self._headers, data) from None
            if event.name not in ("message", FOREIGN) and not data.startswith((b"{", b"[")):
                return None  # a ping, or what else a server calls by name
            raise invalid(f"a chunk of the stream is no JSON: {error}", data, self._headers) from None
        if refused:
            raise error_from(200, self._headers, data)
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
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            index = choice.get("index")
            self._several |= bool(index) and isinstance(index, int)
            self._take(choice)
        self._several |= isinstance(choices, list) and len(choices) > 1
        groq = chunk.get("x_groq")
        self._take_usage(chunk.get("usage") or (groq.get("usage") if isinstance(groq, dict) else None))
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
        if isinstance(delta.get("extra_content"), dict):
            self._keep(google_of(delta))
        for name in _TEXTS:
            if delta.get(name):
                self._take_text(name, delta)
        details = delta.get("reasoning_details")
        for detail in details if isinstance(details, list) else ():
            self._take_detail(detail)
        annotations = delta.get("annotations")
        if isinstance(annotations, list):
            self._annotations += annotations
        if self._calls.take(delta):
            self._pieces += 1
            self._guard("calls", self._calls.last)

    def _take_text(self, name: str, delta: dict[str, Any]) -> None:
        value = delta[name]
        if isinstance(value, list):
            for part_of, text in parts_of(value):
                self._append("thought" if part_of == "thinking" else name, text)
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
        if isinstance(usage, dict) and any(_is_number(value) for value in usage.values()):
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
            hint = None if self._began else _ADDRESS_HINT
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


def finish_of(choice: Mapping[str, Any]) -> str | None:
    """The finish_reason as it came, or as Gemini spells the member; "" is none."""
    reason = choice.get("finish_reason") or choice.get("finishReason")
    return str(reason) if reason else None


def finish_of_whole(message: Mapping[str, Any]) -> str | None:
    """The finish_reason of an answer that has none: only what ends visibly (an object, a list) is seen to be whole."""
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        functions = [call.get("function") if isinstance(call, dict) else None for call in calls]
        whole = all(isinstance(each, dict) and _is_whole(each.get("arguments")) for each in functions)
        return "tool_calls" if whole else None
    return "stop" if _is_whole(message.get("content")) else None


def _is_whole(text: Any) -> bool:
    try:
        return isinstance(text, str) and isinstance(json_of(text), dict | list)
    except (ValueError, RecursionError):
        return False


def google_of(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    """`extra_content.google`, where Gemini's layer marks thoughts and keeps its sources."""
    extra = holder.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    return google if isinstance(google, dict) else {}


def parts_of(content: list[Any]) -> Iterator[tuple[str, str]]:
    """The parts of a content: ("text" or "thinking", its text); parts of other types are left out."""
    for part in content:
        if not isinstance(part, dict):
            continue
        kind, text = part.get("type"), part.get("text")
        if kind == "text" and isinstance(text, str):
            yield ("thinking" if part.get("thought") is True else "text"), text
        elif kind == "thinking":
            yield "thinking", _inner_text(part.get("thinking", text))


def _inner_text(thought: Any) -> str:
    if isinstance(thought, list):
        texts = (part.get("text") for part in thought if isinstance(part, dict))
        return "".join(text for text in texts if isinstance(text, str))
    return thought if isinstance(thought, str) else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def encodable(text: str) -> str:
    """Half of a surrogate pair, which no file can hold, as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def json_of(text: bytes | str) -> Any:
    """The JSON of a text. Python's own reader takes what the strict one refuses: half a surrogate pair.

    Raises ValueError or RecursionError.
    """
    try:
        return from_json(text)
    except (ValueError, TypeError):  # a TypeError for a text that already holds such a half
        return json.loads(text)


def stored(document: Mapping[str, Any], clean: Callable[[bytes], bytes]) -> bytes:
    """A document as it is kept: compact, ASCII (so it holds any text, and a key is found in it)."""
    return clean(json.dumps(document, separators=(",", ":")).encode())


def invalid(
    message: str, body: bytes, headers: Mapping[str, str], hint: str | None = _ADDRESS_HINT
) -> InvalidResponseError:
    """HTTP 200 that is no whole chat completion; worth another attempt."""
    return InvalidResponseError(
        message,
        kind=ErrorClass.TRANSIENT,
        status=200,
        body=body[:65536],
        request_id=headers.get("x-request-id"),
        hint=hint,
    )
