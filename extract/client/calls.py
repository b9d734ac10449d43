"""The calls of functions: in a stream, put together from their pieces; with arguments that are JSON, not its text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from extract.client.values import listed, objects_in, part_of


class _Pairs(dict[str, Any]):
    """An object that still knows the members of which a dict keeps only the last."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


class _Number(float):
    """A number that still knows its digits."""

    def __new__(cls, text: str) -> _Number:
        made = super().__new__(cls, text)
        made.text = text
        return made

    text: str


def with_texts(document: Any, text: bytes) -> Any:
    """The document of this text, with all arguments of calls as text: with every digit, and every member sent twice.

    Raises ValueError or RecursionError.
    """
    if not any(True for _ in _objects(document)):
        return document
    document = json.loads(text, object_pairs_hook=_Pairs, parse_float=_Number)
    for function, name in list(_objects(document)):
        function[name] = _text(function[name])
    return document


def _objects(document: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Where arguments are no text."""
    for choice in objects_in(document.get("choices") if isinstance(document, dict) else None):
        for said in objects_in([choice.get("delta"), choice.get("message")]):
            called = (function for call in objects_in(said.get("tool_calls")) for function in _functions(call))
            for function in objects_in([said.get("function_call"), *called]):
                for name in ("arguments", "input"):
                    if function.get(name) and not isinstance(function[name], str):
                        yield function, name


def _functions(call: Mapping[str, Any]) -> tuple[Any, Any]:
    return call.get("function"), call.get("custom")


def _text(value: Any) -> str:
    if isinstance(value, _Pairs):
        return (
            "{" + ", ".join([f"{json.dumps(name, ensure_ascii=False)}: {_text(it)}" for name, it in value.pairs]) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join([_text(item) for item in value]) + "]"
    return value.text if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)


class Calls:
    """Takes deltas in order; `last` is the piece of arguments that came last."""

    def __init__(self) -> None:
        self.last = ""
        self._calls: list[dict[str, Any]] = []
        self._at: dict[int, dict[str, Any]] = {}
        self._legacy: dict[str, Any] | None = None

    def take(self, delta: Mapping[str, Any]) -> bool:
        """Whether there was anything."""
        found = False
        for place, piece in enumerate(listed(delta.get("tool_calls"))):
            if isinstance(piece, dict):
                self._join(self._call(place, piece), piece.get("function") or piece.get("custom"))
                found = True
        legacy = delta.get("function_call")
        if isinstance(legacy, dict) and (legacy.get("name") or legacy.get("arguments")):
            self._legacy = self._legacy or {"function": {"name": "", "arguments": []}}
            self._join(self._legacy, legacy)
            found = True
        return found

    def _call(self, place: int, piece: Mapping[str, Any]) -> dict[str, Any]:
        """The call that a piece belongs to. Gemini's layer gives parallel calls one index and ids of their own."""
        index = piece.get("index")
        at = index if isinstance(index, int) else place
        call = self._at.get(at)
        own = piece.get("id")
        if call is None or (own and call["id"] and own != call["id"] and _named(piece)):
            call = {"index": at, "id": "", "type": "function", "function": {"name": "", "arguments": []}}
            self._at[at] = call
            self._calls.append(call)
        call["id"] = call["id"] or own or ""
        if piece.get("extra_content"):
            call["extra_content"] = piece["extra_content"]
        return call

    def _join(self, call: Mapping[str, Any], function: Any) -> None:
        self.last = ""
        if not isinstance(function, dict):
            return
        made = call["function"]
        made["name"] = made["name"] or function.get("name") or ""
        arguments = function.get("arguments", function.get("input"))
        if arguments:
            self.last = arguments if isinstance(arguments, str) else json.dumps(arguments)
            made["arguments"].append(self.last)

    def members(self) -> dict[str, Any]:
        """Of the message: `tool_calls` by index, `function_call` of the old form."""
        found: dict[str, Any] = {}
        if self._calls:
            ordered = sorted(self._calls, key=lambda call: call["index"])
            found["tool_calls"] = [_joined_call(call) for call in ordered]
        if self._legacy:
            found["function_call"] = _joined_call(self._legacy)["function"]
        return found


def _named(piece: Mapping[str, Any]) -> bool:
    return bool(part_of(piece, "function").get("name"))


def _joined_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {**call, "function": {**function, "arguments": "".join(function["arguments"])}}
