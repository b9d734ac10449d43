"""The bodies of answers: whole, and in the chunks of a stream."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from extract.server.engine import Delta, End

Json = dict[str, Any]

CALLS = "tool_calls"


class Answer:
    """One answer on its way out: its id, and the bodies made of its pieces, `model` being the one that is named."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._head: Json = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time())}
        self._message: Json = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
        self._end = End(None, None)

    def add(self, piece: Delta | End) -> None:
        """Take the next piece."""
        if isinstance(piece, End):
            self._end = piece
            return
        self._model = piece.model or self._model
        merge(self._message, piece.fields)

    def body(self) -> Json:
        """The body of a 200, of all pieces."""
        choice = {"index": 0, "message": self._whole(), "logprobs": None, "finish_reason": self._end.finish_reason}
        return {
            **self._head,
            "object": "chat.completion",
            "model": self._model,
            "choices": [choice],
            "usage": self._end.usage,
            "service_tier": "default",
        }

    def first_chunk(self) -> Json:
        """The chunk that opens a stream."""
        return self._chunk([self._choice({"role": "assistant", "content": "", "refusal": None})])

    def chunk(self, piece: Delta | End) -> Json:
        """The chunk of one piece."""
        self.add(piece)
        if isinstance(piece, End):
            return self._chunk([self._choice({}, piece.finish_reason)])
        return self._chunk([self._choice(piece.fields)])

    def usage_chunk(self) -> Json:
        """The last chunk, for those who asked for it."""
        return {**self._chunk([]), "usage": self._end.usage}

    def _chunk(self, choices: list[Json]) -> Json:
        return {
            **self._head,
            "object": "chat.completion.chunk",
            "model": self._model,
            "choices": choices,
            "usage": None,
            "service_tier": "default",
        }

    def _choice(self, delta: Json, finish_reason: str | None = None) -> Json:
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}

    def _whole(self) -> Json:
        message = dict(self._message)
        calls = [{name: value for name, value in call.items() if name != "index"} for call in message.pop(CALLS, [])]
        if calls:
            return {**message, CALLS: calls}
        return {**message, "content": message["content"] or ""}


def merge(message: Json, delta: Json) -> None:
    """Add the fields of a delta to a message: texts and lists grow, calls by their index, the rest is replaced."""
    for name, value in delta.items():
        known = message.get(name)
        if name == CALLS:
            _merge_calls(message.setdefault(CALLS, []), value or [])
        elif isinstance(known, list) and isinstance(value, list):
            message[name] = [*known, *value]
        elif isinstance(known, str) and isinstance(value, str) and name != "role":
            message[name] = known + value
        elif value is not None or name not in message:
            message[name] = value


def _merge_calls(calls: list[Json], pieces: list[Json]) -> None:
    for piece in pieces:
        known = next((call for call in calls if call.get("index") == piece.get("index")), None)
        if known is None or "index" not in piece:
            calls.append(json.loads(json.dumps(piece)))
        else:
            function = known.setdefault("function", {"name": "", "arguments": ""})
            more = (piece.get("function") or {}).get("arguments") or ""
            function["arguments"] = (function.get("arguments") or "") + more


def encoded(body: Json) -> bytes:
    """The JSON of a body in UTF-8; half of a surrogate pair, which has no UTF-8, stays an escape."""
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(body, separators=(",", ":")).encode()
