"""The questions of a probe as data: what is sent, and how the answer is read.

The prompt asks for one word and the schema allows only another, so an answer shows which of the two the endpoint heeds.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from extract.errors import APIError
from extract.parse import ParseError, parse_json
from extract.probe.findings import Finding
from extract.records import Completion

MOST = 20  # requests of one probe, those that are not paid included
ASKED = "banana"  # the word that the prompt wants
ROOM = 1024  # tokens: thoughts count, and a model that must think needs them

Body = dict[str, Any]
Read = Callable[["Heard", str], Finding]


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer: a completion, or why there is none. `streamed`: it came as events."""

    completion: Completion | None
    error: APIError | None = None
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """`fields` go into the body, made for a nonce; `read` makes the finding of what was heard, given the nonce."""

    name: str
    fields: Callable[[str], Body]
    read: Read
    stream: bool | None = False  # None: the field is left out


def planned() -> tuple[Question, ...]:
    """What is asked, the plain question first: without it the others mean nothing."""
    return (
        Question("chat", lambda nonce: _said(f"Reply with the word {ASKED}."), _answers),
        *(Question(f"response_format {form}", _form(form), _heeds) for form in ("C", "A", "B")),
        Question("json_object", lambda nonce: {**_WANTED, "response_format": {"type": "json_object"}}, _is_json),
        Question("streaming", lambda nonce: {**_WANTED, **_COUNTED}, _streams, stream=True),
        Question("streaming by default", lambda nonce: _WANTED, _streams, stream=None),
        Question("function call", lambda nonce: {**_WANTED, **_function(nonce), "tool_choice": _NAMED}, _calls),
        Question("function call by choice", lambda nonce: {**_USE, **_function(nonce)}, _calls),
        Question("googleSearch", lambda nonce: {**_NEWS, "tools": [_SEARCH]}, _searches),
        Question("googleSearch with response_format", _search_form, _searches_and_heeds),
        Question("functions with response_format", lambda nonce: {**_form("C")(nonce), **_function(nonce)}, _heeds),
        Question("include_thoughts", lambda nonce: {**_SUM, "include_thoughts": True}, _thinks),
        Question("reasoning_effort low", lambda nonce: {**_SUM, "reasoning_effort": "low"}, _takes),
        Question("reasoning_effort high", lambda nonce: {**_SUM, "reasoning_effort": "high"}, _takes),
        Question("image", _picture, _sees),
    )


def usage_of(heard: Heard, name: str = "usage") -> Finding:
    """Whether tokens are counted."""
    usage = heard.completion.usage if heard.completion else None
    found = usage is not None and usage.input_tokens > 0 and usage.output_tokens > 0
    return Finding(
        name, "yes" if found else "no", f"{usage.input_tokens} in, {usage.output_tokens} out" if usage else ""
    )


def failed(name: str, error: APIError) -> Finding:
    """Refused, where the endpoint says so; else nothing is known."""
    passing = error.retryable or error.status == 429  # whatever it says besides
    kind = "failed" if passing else "refused"
    return Finding(name, kind, error.message[:200])


def _said(text: str) -> Body:
    return {"messages": [{"role": "user", "content": text}]}


_WANTED = _said(f'Answer with this JSON object and nothing else: {{"word": "{ASKED}"}}')
_USE = _said("Use the function give_word to give a word.")
_SUM = _said("What is 17 times 23? Reply with the number.")
_NEWS = _said("Search the web: what is the newest stable version of Python? One short sentence.")
_COLOURS = {"red": b"\xff\0\0", "green": b"\0\xa0\0", "blue": b"\0\0\xff", "yellow": b"\xff\xff\0"}
_COUNTED = {"stream_options": {"include_usage": True}}
_SEARCH = {"type": "function", "function": {"name": "googleSearch"}}
_NAMED = {"type": "function", "function": {"name": "give_word"}}


def _schema(nonce: str) -> Body:
    word = {"type": "string", "enum": [nonce]}
    return {"type": "object", "properties": {"word": word}, "required": ["word"], "additionalProperties": False}


def _form(form: str) -> Callable[[str], Body]:
    def fields(nonce: str) -> Body:
        schema = _schema(nonce)
        forms: dict[str, Body] = {
            "A": {**schema, "type": "json_schema"},
            "B": schema,
            "C": {"type": "json_schema", "json_schema": {"name": "canary", "strict": True, "schema": schema}},
        }
        return {**_WANTED, "response_format": forms[form]}

    return fields


def _search_form(nonce: str) -> Body:
    return {**_form("C")(nonce), "tools": [_SEARCH]}


def _function(nonce: str) -> Body:
    about = {"name": "give_word", "description": "Give a word.", "parameters": _schema(nonce)}
    return {"tools": [{"type": "function", "function": about}]}


def _answers(heard: Heard, nonce: str) -> Finding:
    completion = heard.completion
    if completion is None or not (completion.content or "").strip():
        return Finding("chat", "no", f"an empty answer, finish_reason {completion and completion.finish_reason}")
    return Finding("chat", "yes", f"answers as {completion.model}" if completion.model else "")


def _word(text: str | None) -> tuple[bool, Any]:
    """Whether a text is a JSON object, and its word."""
    try:
        found = parse_json(text or "")
    except ParseError:
        return False, None
    return isinstance(found, dict), found.get("word") if isinstance(found, dict) else None


def _verdict(text: str | None, nonce: str) -> tuple[str, str]:
    is_object, word = _word(text)
    if word == nonce:
        return "enforced", ""
    return ("JSON only" if is_object else "ignored"), f"answered {(text or '')[:60]!r}"


def _heeds(heard: Heard, nonce: str) -> Finding:
    return Finding("", *_verdict(heard.completion.content if heard.completion else None, nonce))


def _is_json(heard: Heard, nonce: str) -> Finding:
    is_object, _ = _word(heard.completion.content if heard.completion else None)
    return Finding("", "yes" if is_object else "no")


def _streams(heard: Heard, nonce: str) -> Finding:
    return Finding("", "yes" if heard.streamed else "no")


def _calls(heard: Heard, nonce: str) -> Finding:
    calls = heard.completion.tool_calls if heard.completion else ()
    if not calls:
        return Finding("", "no", "answered without a call")
    _, word = _word(calls[0].arguments)
    return Finding("", "enforced" if word == nonce else "yes", "" if word == nonce else f"gave {word!r}")


def _searches(heard: Heard, nonce: str) -> Finding:
    pages = len(heard.completion.sources) if heard.completion else 0
    return Finding("", "yes", f"{pages} sources") if pages else Finding("", "taken", "no sources in the answer")


def _thinks(heard: Heard, nonce: str) -> Finding:
    thoughts = heard.completion.reasoning if heard.completion else None
    return Finding("", "yes" if thoughts else "no", f"{len(thoughts)} characters" if thoughts else "")


def _takes(heard: Heard, nonce: str) -> Finding:
    usage = heard.completion.usage if heard.completion else None
    return Finding("", "taken", f"{usage.output_tokens} tokens" if usage and usage.output_tokens else "")


def _searches_and_heeds(heard: Heard, nonce: str) -> Finding:
    """Both: the schema binds, and pages were found."""
    found, bound = _searches(heard, nonce), _heeds(heard, nonce)
    return bound if bound.verdict != "enforced" or found.verdict == "yes" else Finding("", "taken", found.detail)


def _colour(nonce: str) -> str:
    """One of the colours, told by the nonce; the empty one gives the first."""
    return list(_COLOURS)[int(nonce or "0", 16) % len(_COLOURS)]


def _sees(heard: Heard, nonce: str) -> Finding:
    text = (heard.completion.content or "").lower() if heard.completion else ""
    seen = [name for name in _COLOURS if name in text]
    return Finding("", "yes") if seen == [_colour(nonce)] else Finding("", "no", f"saw {text[:60]!r}")


def _picture(nonce: str) -> Body:
    url = "data:image/png;base64," + base64.b64encode(_square(_COLOURS[_colour(nonce)])).decode()
    parts = [
        {"type": "text", "text": "Which colour has this picture? Reply with one word."},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    return {"messages": [{"role": "user", "content": parts}]}


def _square(colour: bytes, side: int = 64) -> bytes:
    """A PNG of one colour, made here so that no imaging library is needed to ask."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = (b"\0" + colour * side) * side
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
