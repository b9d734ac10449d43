"""Recorded traffic of nineteen hosts: one reading, however the bytes are split, and no surprise in any of it."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.client import completion_from
from extract.client.classify import error_from
from extract.client.reading import Answer
from extract.errors import APIError, ErrorClass, InvalidResponseError
from extract.records import Completion, Usage
from tests.client.raw import asked, head, refused
from tests.support import SHARED

FILE = SHARED / "vectors" / "completions" / "interactions.jsonl"
ALL: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text().split("\n") if line] if FILE.exists() else []
ANSWERS = [each for each in ALL if each["status"] == 200]
STREAMS = [each for each in ANSWERS if each["stream"]]
NO_COMPLETION = {"pai-10b051ae77-0"}  # an echo service
BROKEN = {"pai-e3cdd85129-0": ErrorClass.OUTPUT, "pai-f1ea358882-0": ErrorClass.OUTPUT}  # errors within a stream
UNFINISHED = {"pai-c9c85b3501-0"}  # without a finish_reason

pytestmark = [pytest.mark.shared, pytest.mark.skipif(not ALL, reason="no shared folder")]


def read(pieces: list[bytes], **settings: Any) -> Completion | tuple[str, str]:
    """What the pieces come to; an error as its type and message, so that two can be compared."""
    answer = Answer({}, **settings)
    try:
        for piece in pieces:
            answer.feed(piece)
        return answer.completion()
    except APIError as error:
        return type(error).__name__, error.message


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(ends)]


def joined(each: dict[str, Any]) -> dict[str, Any]:
    """Content, finish_reason and usage of a recorded answer, read in the plainest way."""
    texts, reason, usage = [], None, {}
    body = each["body"]
    lines = [line[6:] for line in body.split("\n") if line.startswith("data: {")] if each["stream"] else [body]
    for document in map(json.loads, lines):
        for choice in document.get("choices") or ():
            message = choice.get("delta") or choice.get("message") or {}
            content = message.get("content")
            if isinstance(content, list):
                content = "".join(part["text"] for part in content if part["type"] == "text")
            texts += [content or ""]
            reason = reason or choice.get("finish_reason")
        usage = document.get("usage") or (document.get("x_groq") or {}).get("usage") or usage
    thought, tag, said = "".join(texts).partition("</think>")
    texts = [said.lstrip()] if tag and thought.startswith("<think>") else texts  # kept apart by us
    given, made, total = (usage.get(f"{name}_tokens") or 0 for name in ("prompt", "completion", "total"))
    return {"content": "".join(texts), "reason": reason or None, "usage": Usage(given, max(made, total - given))}


@pytest.mark.parametrize("each", ANSWERS, ids=lambda each: each["id"])
def test_every_recorded_answer(each: dict[str, Any]) -> None:
    """Whole, byte by byte and in random splits the same; read again from what is kept, the same; nothing is lost."""
    data = each["body"].encode()
    whole = read([data])
    dice = random.Random(each["id"])
    splits = [[data[place : place + 1] for place in range(len(data))]] if len(data) < 50_000 else []
    splits += [cut(data, [dice.randrange(len(data)) for _ in range(dice.randrange(1, 30))]) for _ in range(3)]
    for pieces in splits:
        assert whole == read(pieces)
    if isinstance(whole, tuple):
        assert each["id"] in NO_COMPLETION | set(BROKEN) | UNFINISHED
        return
    assert whole == completion_from(data, {}) == completion_from(whole.raw, {})
    expected = joined(each)
    assert expected == {"content": whole.content or "", "reason": whole.finish_reason, "usage": whole.usage}
    assert () == whole.flags


@given(st.sampled_from(STREAMS or [{}]), st.lists(st.integers(0, 50_000), max_size=20))
def test_random_splits_of_recorded_streams(each: dict[str, Any], places: list[int]) -> None:
    data = each["body"].encode()
    assert read([data]) == read(cut(data, places))


def test_the_answers_that_are_none() -> None:
    """An echo service; errors within a stream; a stream without a finish_reason, taken only where that may be."""
    by_id = {each["id"]: each["body"].encode() for each in ALL}
    for name in NO_COMPLETION | UNFINISHED:
        with pytest.raises(InvalidResponseError):
            completion_from(by_id[name], {})
    for name, kind in BROKEN.items():
        with pytest.raises(APIError) as caught:
            completion_from(by_id[name], {})
        assert kind is caught.value.kind
    found = read([by_id["pai-c9c85b3501-0"]], finish_optional=True)
    assert isinstance(found, tuple)  # its content is "4", which may have been 42


@pytest.mark.parametrize("each", [each for each in ALL if each["status"] != 200], ids=lambda each: each["id"])
def test_every_recorded_error(each: dict[str, Any]) -> None:
    """As the client meets it, and as the table of classes says."""
    data = each["body"].encode()
    expected = error_from(each["status"], each["response_headers"], data)
    found = refused(head(each["response_headers"].get("content-type"), each["status"]), data, stream=each["stream"])
    assert (type(expected), expected.kind, expected.message) == (type(found), found.kind, found.message)


NO_REASON = "the answer has no finish_reason; it may have been billed"


@pytest.mark.parametrize("each", [*STREAMS, *ANSWERS[::20]], ids=lambda each: each["id"])
def test_recorded_answers_over_a_socket(each: dict[str, Any]) -> None:
    """In pieces of 100 bytes, asked for as they came and the other way round."""
    data = each["body"].encode()
    expected = read([data])
    pieces = [data[start : start + 100] for start in range(0, len(data), 100)]
    for stream in (True, False):
        if isinstance(expected, tuple) or expected.finish_reason is None:
            error = refused(head(), *pieces, stream=stream)
            told = expected if isinstance(expected, tuple) else ("InvalidResponseError", NO_REASON)
            assert told == (type(error).__name__, error.message)
        else:
            assert expected == asked(head(), *pieces, stream=stream)
