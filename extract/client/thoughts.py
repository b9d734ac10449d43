"""Thoughts and answer told apart where a gateway mixed them; only what can be read in one way is moved."""

from __future__ import annotations

import re

from extract.client.values import is_json, json_or_none

FROM_REASONING = "content_from_reasoning"
HEAD_FROM_REASONING = "content_head_from_reasoning"
_OPEN = re.compile(r"\s*<(think|thought)>")
_CLOSE = re.compile(r"</(?:think|thought)>")
_JSON_BEGINS = re.compile(r'[\[{]\s*["\[{]')
_MAX_TEXT = 256 * 1024  # characters that are tried; a lost head is a few
_MAX_TRIES = 32  # places where the lost head may begin


def without_thought(content: str | None) -> tuple[str | None, str | None]:
    """The content and the thought at its head: `<think>…</think>`, or only its end where the rest came elsewhere."""
    if not content or "</th" not in content:
        return content, None
    opened = _OPEN.match(content)
    if opened:
        thought, closed, rest = content[opened.end() :].partition(f"</{opened[1]}>")
        return (rest.lstrip(), thought) if closed else (content, None)
    closed_at = _CLOSE.search(content)
    if closed_at is None:
        return content, None
    head, rest = content[: closed_at.start()], content[closed_at.end() :].lstrip()
    if not head.strip():
        return rest, None
    # an end without a beginning: the template of the prompt held it. An answer that itself holds the tag begins as JSON
    return (rest, head) if rest[:1] in ("{", "[") and head.lstrip()[:1] not in ("{", "[", '"') else (content, None)


def from_reasoning(content: str | None, reasoning: str) -> tuple[str | None, str | None, str | None]:
    """Content, reasoning and flag, where an answer or its head landed in the reasoning."""
    if not content or not content.strip():
        if _is_object(reasoning.strip()):
            return reasoning.strip(), None, FROM_REASONING
        return content, reasoning, None
    if len(content) > _MAX_TEXT or is_json(content):
        return content, reasoning, None
    starts = _starts_of_head(content, reasoning)
    if len(starts) != 1:
        return content, reasoning, None
    return reasoning[starts[0] :] + content, reasoning[: starts[0]] or None, HEAD_FROM_REASONING


def _starts_of_head(content: str, reasoning: str) -> list[int]:
    """Where in the reasoning an object begins that the content ends.

    Not after other JSON: what begins within it may be a part of a larger object that the content does not end.
    """
    if not content.rstrip().endswith("}"):
        return []
    opened = _JSON_BEGINS.search(reasoning)
    last = opened.start() if opened else len(reasoning)
    braces = [found.start() for found in re.finditer("{", reasoning)][-_MAX_TRIES:]
    return [start for start in braces if start <= last and _is_object(reasoning[start:] + content)]


def _is_object(text: str) -> bool:
    return text.startswith("{") and isinstance(json_or_none(text), dict)
