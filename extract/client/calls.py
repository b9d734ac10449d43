"""The calls of functions in a stream, put together from their pieces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class Calls:
    """Takes deltas in order; `last` is the piece of arguments that came last."""

    def __init__(self) -> None:
        self.last = ""
        self._calls: list[dict[str, Any]] = []
        self._at: dict[int, dict[str, Any]] = {}
        self._legacy: dict[str, Any] | None = None

    def take(self, delta: Mapping[str, Any]) -> bool:
        """Whether there was anything."""
        pieces = delta.get("tool_calls")
        found = False
        for place, piece in enumerate(pieces if isinstance(pieces, list) else ()):
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
    function = piece.get("function")
    return isinstance(function, dict) and bool(function.get("name"))


def _joined_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {**call, "function": {**function, "arguments": "".join(function["arguments"])}}
