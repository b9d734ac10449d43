"""The body of an HTTP 200 → one Completion, whether it came as JSON or as a stream of events.

The first bytes decide which it is: gateways stream unasked, do not stream though asked, and name the wrong type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from extract.client.calls import with_texts
from extract.client.classify import error_from, has_error, invalid
from extract.client.sse import FIELDS, Decoder, Event
from extract.client.stream import FLAGS, MARKS, Assembly
from extract.client.thoughts import from_reasoning, without_thought
from extract.client.values import (
    encodable,
    finish_of,
    finish_of_whole,
    json_of,
    json_or_none,
    listed,
    objects_in,
    part_of,
    parts_of,
    stored,
)
from extract.client.websources import sources_of
from extract.dialects import DialectRules
from extract.records import Completion, ToolCall, Usage

MAX_TOKENS = 10**9  # more are no count of tokens of one call
MAX_PAGE = 1024 * 1024  # bytes that are read of what is a page, not an answer
_BLANK = b"\xef\xbb\xbf \t\r\n"  # a byte order mark, and blanks that keep a connection awake
_NAME = re.compile(rb"[:\r\n]")
_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
_NO_THOUGHTS = frozenset(_THOUGHTS).isdisjoint
# the usual answer: one choice with one text, and nothing else that counts
_DOCUMENT = frozenset(("id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"))
_CHOICE = frozenset(("index", "message", "finish_reason", "logprobs"))
_MESSAGE = frozenset(("role", "content"))
_UNUSED = frozenset(
    ("refusal", "tool_calls", "function_call", "annotations", "audio", "reasoning", "reasoning_content")
)  # empty
_FINISH = {  # what Gemini calls it → what the API calls it; other reasons keep their name
    "max_tokens": "length",
    **dict.fromkeys(
        ("safety", "prohibited_content", "blocklist", "spii", "recitation", "model_armor"),
        "content_filter",
    ),
}


def completion_from(body: bytes, headers: Mapping[str, str], *, finish_optional: bool = False) -> Completion:
    """The completion of an HTTP 200 body, as it came or as `Completion.raw` keeps it.

    Raises APIError when it holds an error or no completion.
    """
    if body[:1] == b"{":
        return _of_json(body, headers, finish_optional=finish_optional)
    answer = Answer(headers, finish_optional=finish_optional)
    answer.feed(body)
    return answer.completion()


class Answer:
    """The body of one HTTP 200 as it arrives.

    `clean` hides what must not be kept, `request` serves an estimate, errors are looked for as the `dialect` writes
    them.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        *,
        finish_optional: bool = False,
        clean: Callable[[bytes], bytes] = bytes,
        request: bytes = b"",
        dialect: DialectRules | None = None,
    ) -> None:
        self._headers = headers
        self._dialect = dialect
        self._finish_optional = finish_optional
        self._clean = clean
        self._request = request
        self._body = bytearray()  # of what is no stream, or not yet known to be one
        self._stream: tuple[Decoder, Assembly] | None = None
        self._is_stream: bool | None = None

    @property
    def over(self) -> bool:
        """Whether nothing that may still come counts."""
        if self._stream:
            return self._stream[1].over
        return len(self._body) >= MAX_PAGE and self._body[:1] == b"<"

    @property
    def done(self) -> bool:
        """Whether a stream has said that it ends."""
        return self._stream is not None and self._stream[1].done

    def finished(self) -> bool:
        """Whether the answer is whole, even if its connection breaks now."""
        return self._stream is not None and self._stream[1].finished(cut=True)

    def is_whole_object(self) -> bool:
        """Whether what came is no stream, but one whole JSON object: nothing of it can be missing."""
        if self._stream is not None or not self._body.rstrip().endswith(b"}"):
            return False
        return isinstance(json_or_none(bytes(self._body)), dict)

    def feed(self, data: bytes) -> None:
        """Take what has come. Raises APIError for an error in a stream."""
        if self._is_stream is None:
            data = bytes(self._body + data) if self._body else data.lstrip(_BLANK)
            self._body = bytearray()
            self._is_stream = is_stream(data[:8])
            if self._is_stream:
                assembly = Assembly(self._headers, self._request, self._clean, self._dialect)
                self._stream = Decoder(tell_foreign=True), assembly
        if self._stream is None:
            self._body += data
            return
        decoder, assembly = self._stream
        for event in decoder.feed(data):
            assembly.add(self._cleaned(event))

    def completion(self, *, cut: bool = False) -> Completion:
        """The whole answer, now that no more comes; `cut`: its connection broke. Raises APIError."""
        if self._stream is None:
            body = self._clean(bytes(self._body))
            return _of_json(body, self._headers, finish_optional=self._finish_optional, dialect=self._dialect)
        decoder, assembly = self._stream
        last = decoder.close()
        if last is not None and not assembly.over:
            if assembly.is_whole(last):
                assembly.add(self._cleaned(last))
            else:
                cut = True
        document = assembly.document(cut=cut, finish_optional=self._finish_optional)
        try:
            return _of_json(stored(document, self._clean), self._headers)
        except (ValueError, RecursionError) as error:
            raise invalid(f"the stream holds what cannot be kept: {error}", b"", self._headers) from None

    def _cleaned(self, event: Event) -> Event:
        return replace(event, data=self._clean(event.data)) if self._clean is not bytes else event


def is_stream(head: bytes) -> bool | None:
    """Whether a body that begins so is a stream of events; None while it may still become one."""
    name = _NAME.split(head, maxsplit=1)[0]
    if len(name) < len(head):
        return not name or name in FIELDS
    return None if any(field.startswith(name) for field in FIELDS) else False


def _of_json(
    body: bytes,
    headers: Mapping[str, str],
    *,
    finish_optional: bool = False,
    dialect: DialectRules | None = None,
) -> Completion:
    try:
        document = json_of(body)
        if usual := _of_usual(document, body, headers):
            return usual
        document = with_texts(document, body)
        refused = has_error(document)
    except (ValueError, RecursionError, TypeError) as error:
        said = error_from(200, headers, body).message if body[:1] == b"<" else str(error)
        raise invalid(f"HTTP 200, but no JSON: {said}", body, headers) from None
    if refused:
        raise error_from(200, headers, body, dialect=dialect)
    choice = _only_choice(document)
    message = choice.get("message") if choice else None
    if not isinstance(message, dict) or choice is None:
        raise invalid("HTTP 200, but not one choice with a message", body, headers)
    reason = finish_of(choice)
    if reason is None and finish_optional and (reason := finish_of_whole(message)):
        choice["finish_reason"] = reason
        document[MARKS] = {"flags": ["finish_missing"]}
        body = stored(document, bytes)
    return _completion(document, choice, message, reason, body, headers)


def _completion(
    document: dict[str, Any],
    choice: dict[str, Any],
    message: dict[str, Any],
    reason: str | None,
    body: bytes,
    headers: Mapping[str, str],
) -> Completion:
    reason = _FINISH.get(reason.lower(), reason.lower()) if reason else None
    content, thought = without_thought(_text(message.get("content")))
    reasoning = _reasoning(message, thought)
    refusal, calls = _refusal(message.get("refusal")), _calls(message)
    flags = _marks(document)
    if reasoning and reason == "stop" and not refusal and not calls:
        content, reasoning, flag = from_reasoning(content, reasoning)
        flags += (flag,) if flag else ()
    model = document.get("model")
    return Completion(
        content=content,
        finish_reason=reason,
        model=encodable(model) if isinstance(model, str) else None,
        usage=_usage(document.get("usage")),
        raw=body,
        refusal=refusal,
        reasoning=reasoning,
        tool_calls=calls,
        sources=sources_of(document, choice, message),
        flags=flags,
        request_id=headers.get("x-request-id"),
    )


def _marks(document: Mapping[str, Any]) -> tuple[str, ...]:
    """What was noted when the document was assembled."""
    flags = listed(part_of(document, MARKS).get("flags"))
    return tuple(flag for flag in FLAGS if flag in flags)


def _only_choice(document: Any) -> dict[str, Any] | None:
    """Two answers to one request are none: nobody says which is meant."""
    choices = document.get("choices") if isinstance(document, dict) else None
    found = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    return found if isinstance(found, dict) else None


def _text(content: Any) -> str | None:
    """Content as text; of a list of parts, the text parts."""
    if isinstance(content, list):
        return "".join(text for kind, text in parts_of(content) if kind == "text")
    return content if isinstance(content, str) else None


def _reasoning(message: Mapping[str, Any], thought: str | None) -> str | None:
    """The thoughts, wherever they are: servers that have several places for them say the same in each."""
    if not thought and _NO_THOUGHTS(message) and not isinstance(message.get("content"), list):
        return None
    found = next((text for name in _THOUGHTS if (text := _said(message.get(name)))), None)
    content = message.get("content")
    if not found and isinstance(content, list):
        found = "".join(text for kind, text in parts_of(content) if kind == "thinking")
    if thought:
        found = f"{found}\n\n{thought}" if found else thought
    return encodable(found) if found else None


def _said(value: Any) -> str:
    if isinstance(value, list):
        pieces = (piece.get("text") or piece.get("summary") for piece in objects_in(value))
        return "\n\n".join(piece for piece in pieces if isinstance(piece, str))
    return value if isinstance(value, str) else ""


def _refusal(refusal: Any) -> str | None:
    """Some servers fill the member with an empty text, which refuses nothing."""
    if isinstance(refusal, str):
        return encodable(refusal) if refusal.strip() else None
    return encodable(json.dumps(refusal)) if refusal else None


def _calls(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """The calls of functions; one without a name is a filler."""
    legacy = message.get("function_call")
    found = [_call(call) for call in objects_in(message.get("tool_calls"))]
    if isinstance(legacy, dict) and not any(found):
        found = [_call({"function": legacy})]
    return tuple(call for call in found if call)


def _call(call: Mapping[str, Any]) -> ToolCall | None:
    function = call.get("function")
    if not isinstance(function, dict) or not function.get("name"):
        function = call.get("custom")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not name or not isinstance(name, str):
        return None
    arguments = function.get("arguments", function.get("input"))
    arguments = arguments if isinstance(arguments, str) else ""  # see `with_texts`
    own = call.get("id")
    return ToolCall(
        encodable(own) if isinstance(own, str) else "", encodable(name), arguments, call.get("extra_content")
    )


def _of_usual(document: Any, body: bytes, headers: Mapping[str, str]) -> Completion | None:
    """The completion of a usual answer, in half the time; None for any other."""
    if type(document) is not dict or not document.keys() <= _DOCUMENT:
        return None
    choices = document.get("choices")
    choice = choices[0] if type(choices) is list and len(choices) == 1 else None
    if type(choice) is not dict or not choice.keys() <= _CHOICE or choice.get("finish_reason") != "stop":
        return None
    message = choice.get("message")
    if type(message) is not dict:
        return None
    content = message.get("content")
    if type(content) is not str or "</th" in content:  # the end of a thought
        return None
    if any(message[name] or name not in _UNUSED for name in message.keys() - _MESSAGE):
        return None
    model = document.get("model")
    return Completion(
        content,
        "stop",
        encodable(model) if isinstance(model, str) else None,
        _usage(document.get("usage")),
        body,
        request_id=headers.get("x-request-id"),
    )


def _usage(usage: Any) -> Usage:
    """Output counts what is billed: thoughts that appear only in the total are added."""
    if not isinstance(usage, dict):
        return Usage()
    given, total = _count(usage.get("prompt_tokens")), _count(usage.get("total_tokens"))
    made = _count(usage.get("completion_tokens"))
    hidden = total - given - made
    output, cached, thinking = (made + hidden, 0, hidden) if hidden > 0 else (made, 0, 0)
    if (of_input := usage.get("prompt_tokens_details")) and isinstance(of_input, dict):
        cached = min(given, _count(of_input.get("cached_tokens")))
    if (of_output := usage.get("completion_tokens_details")) and isinstance(of_output, dict):
        thinking = min(output, max(thinking, _count(of_output.get("reasoning_tokens"))))
    return Usage(given, output, cached, thinking)


def _count(value: Any) -> int:
    if type(value) is int:
        return value if 0 < value < MAX_TOKENS else 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < MAX_TOKENS else 0
