"""JSON as servers send it, read for what it holds: texts, parts, objects of lists, ends that can be seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic_core import from_json


def json_of(text: bytes | str) -> Any:
    """The JSON of a text. Python's own reader takes what the strict one refuses: half a surrogate pair.

    Raises ValueError or RecursionError.
    """
    try:
        return from_json(text)
    except (ValueError, TypeError):  # a TypeError for a text that already holds such a half
        return json.loads(text)


def json_or_none(text: bytes | str) -> Any:
    """The JSON of a text, None where it is none."""
    try:
        return json_of(text)
    except (ValueError, RecursionError):
        return None


def is_json(text: str) -> bool:
    """Whether a text is JSON, be it null."""
    return json_or_none(text) is not None or text.strip() == "null"


def is_whole(text: Any) -> bool:
    """Whether a text is a JSON object or list: only these end visibly."""
    return isinstance(text, str) and isinstance(json_or_none(text), dict | list)


def listed(value: Any) -> list[Any]:
    """A list as it is; anything else is an empty one."""
    return value if isinstance(value, list) else []


def objects_in(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; anything else has none."""
    return [item for item in listed(value) if isinstance(item, dict)]


def part_of(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object that a member is; empty for any other member."""
    found = holder.get(name)
    return found if isinstance(found, dict) else {}


def google_of(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    """`extra_content.google`, where Gemini's layer marks thoughts and keeps its sources."""
    return part_of(part_of(holder, "extra_content"), "google")


def parts_of(content: list[Any]) -> Iterator[tuple[str, str]]:
    """The parts of a content: ("text" or "thinking", its text); parts of other types are left out."""
    for part in objects_in(content):
        kind, text = part.get("type"), part.get("text")
        if kind == "text" and isinstance(text, str):
            yield ("thinking" if part.get("thought") is True else "text"), text
        elif kind == "thinking":
            yield "thinking", _inner_text(part.get("thinking", text))


def _inner_text(thought: Any) -> str:
    if isinstance(thought, list):
        texts = (part.get("text") for part in objects_in(thought))
        return "".join(text for text in texts if isinstance(text, str))
    return thought if isinstance(thought, str) else ""


def finish_of(choice: Mapping[str, Any]) -> str | None:
    """The finish_reason as it came, or as Gemini spells the member; "" is none."""
    reason = choice.get("finish_reason") or choice.get("finishReason")
    return str(reason) if reason else None


def finish_of_whole(message: Mapping[str, Any]) -> str | None:
    """The finish_reason of an answer that has none: only what ends visibly (an object, a list) is seen to be whole."""
    calls = listed(message.get("tool_calls"))
    if calls:
        functions = [part_of(call, "function") if isinstance(call, dict) else {} for call in calls]
        return "tool_calls" if all(is_whole(each.get("arguments")) for each in functions) else None
    return "stop" if is_whole(message.get("content")) else None


def is_count(value: Any) -> bool:
    """Whether a value is a number above zero."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def encodable(text: str) -> str:
    """Half of a surrogate pair, which no file can hold, as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def stored(document: Mapping[str, Any], clean: Callable[[bytes], bytes]) -> bytes:
    """A document as it is kept: compact, ASCII (so it holds any text, and a key is found in it)."""
    return clean(json.dumps(document, separators=(",", ":")).encode())
