"""Damaged answers by the thousand: never a crash, never slow, and never an answer that the bytes do not hold.

EXTRACT_MUTATIONS sets how many (5,000 by default; the full run has 100,000 and lines of 64 MB).
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from extract.client import completion_from
from extract.client.reading import Answer
from extract.errors import APIError
from extract.records import Completion
from tests.client.raw import USAGE, answer, delta, events

COUNT = int(os.environ.get("EXTRACT_MUTATIONS", "5000"))
SECONDS = 1.0 if sys.gettrace() is None else 4.0  # of CPU for one answer; measuring coverage takes its own
CONTENT = json.dumps(
    {"name": "Käse 😀 & co", "number": 12345, "lines": [{"a": 1.5, "b": None}] * 4}, ensure_ascii=False
)
PIECES = [CONTENT[start : start + 9] for start in range(0, len(CONTENT), 9)]
CALL = {"tool_calls": [{"index": 0, "id": "i", "function": {"name": "f", "arguments": "{}"}}]}
BASES = [
    json.dumps(answer(CONTENT, usage=USAGE)).encode(),
    json.dumps(answer(CONTENT, reasoning_content="hm", annotations=[], usage=USAGE), ensure_ascii=False).encode(),
    events(*(delta(piece) for piece in PIECES), delta(finish="stop", usage=USAGE)),
    events(delta(CONTENT, "stop", USAGE)),
    b": PING\n\n"
    + events(*(delta(piece, reasoning="x") for piece in PIECES), delta("", "stop")).replace(b"\n", b"\r\n"),
    events(delta(reasoning="so"), *(delta(piece) for piece in PIECES), delta(**CALL), delta(finish="stop"), done=False),
]
IDS = ["json", "json with more", "stream", "one chunk", "stream with CRLF", "stream without end"]


def read(data: bytes, *, pieces: bool = False) -> Completion | None:
    """None for an answer that is refused; anything but a refusal is a fault."""
    started = time.process_time()
    try:
        if not pieces:
            return completion_from(data, {})
        reading = Answer({})
        for start in range(0, len(data), 11):
            reading.feed(data[start : start + 11])
        return reading.completion()
    except APIError:
        return None
    finally:
        assert time.process_time() - started < SECONDS


def held(data: bytes) -> set[str]:
    """What content these bytes hold, by the plainest reading of every JSON document in them."""
    if data.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"{", b"["):
        return {_content([_loads(data)])}
    chunks, data_lines = [], []
    for line in [*re.split(rb"\r\n|\r|\n", data.removeprefix(b"\xef\xbb\xbf")), b""]:
        if line.partition(b":")[0] == b"data":
            data_lines.append(line.partition(b":")[2].removeprefix(b" "))
        elif not line and data_lines:
            chunks.append(_loads(b"\n".join(data_lines)))
            data_lines = []
    return {_content(chunks)}


def _loads(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _content(documents: list[Any]) -> str:
    texts = []
    for document in documents:
        for choice in (document.get("choices") if isinstance(document, dict) else None) or ():
            message = choice.get("delta") or choice.get("message") or {}
            texts += [message.get("content")]
    return "".join(text for text in texts if isinstance(text, str))


def usable(found: Completion | None) -> bool:
    """Whether the judge would look at it: finished, and JSON."""
    if found is None or found.finish_reason != "stop":
        return False
    return isinstance(_loads((found.content or "").encode("utf-8", "surrogatepass")), dict)


def check(data: bytes) -> None:
    found = read(data)
    assert found == read(data, pieces=True)
    with suppress(APIError):
        completion_from(data, {}, finish_optional=True)
    if found is not None:
        assert found == completion_from(found.raw, {})
    if found is not None and usable(found) and found.content != CONTENT:
        assert {found.content} == held(data)  # the bytes say so; nothing was made up
        assert () == found.flags


def flip(data: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :]


def insert(*texts: bytes) -> Callable[[bytes, random.Random], bytes]:
    def change(data: bytes, dice: random.Random) -> bytes:
        place = dice.randrange(len(data) + 1)
        return data[:place] + dice.choice(texts) + data[place:]

    return change


def replace_number(data: bytes, dice: random.Random) -> bytes:
    found = dice.choice([*re.finditer(rb"\d+", data)])
    number = dice.choice([b"NaN", b"-Infinity", b"1e999", b"9" * 400, b"9" * 5000, b"-1", b"0.5", b"null", b"01"])
    return data[: found.start()] + number + data[found.end() :]


def replace_value(data: bytes, dice: random.Random) -> bytes:
    """Of a member: whatever JSON may hold there."""
    found = dice.choice([*re.finditer(rb'(?<="): ("[^"\\]*"|\d+|null|\[\]|\{\})', data)])
    made = [b"null", b"[]", b"{}", b'""', b"7", b"true", b"[" * 300 + b"]" * 300, b'{"x":' * 300 + b"1" + b"}" * 300]
    return (
        data[: found.start(1)]
        + dice.choice([*made, b'"\\ud800"', b'[{"type": "text", "text": 7}]'])
        + data[found.end(1) :]
    )


def repeat_member(data: bytes, dice: random.Random) -> bytes:
    found = dice.choice([*re.finditer(rb'"[a-z_]+": ("[^"\\]*"|\d+|null), ', data)])
    return data[: found.end()] + found[0].replace(b"1", b"2") + data[found.end() :]


def drop_or_double(data: bytes, dice: random.Random) -> bytes:
    start, end = sorted((dice.randrange(len(data)), dice.randrange(len(data))))
    return data[:start] + data[end:] if dice.random() < 0.5 else data[:end] + data[start:]


CHANGES = [
    flip,
    flip,
    insert(b"\xff", b"\xc3", b"\xed\xa0\x80", b"\0", b"\xef\xbb\xbf"),
    insert(b"\n", b"\r", b"\r\n\r\n", b"\n\n", b":", b"data: ", b"event: error\n", b"data: [DONE]\n\n"),
    insert(b"[" * 100_000, b'{"a":' * 5_000, b"x" * 200_000, b"\\", b'"'),
    replace_number,
    replace_value,
    repeat_member,
    drop_or_double,
]


@pytest.mark.parametrize("base", BASES, ids=IDS)
def test_truncated_at_every_offset(base: bytes) -> None:
    """Refused, or whole all the same (only its end is missing)."""
    for end in range(len(base)):
        found = read(base[:end])
        assert found is None or (CONTENT, "stop") == (found.content, found.finish_reason)
    assert CONTENT == read(base).content  # type: ignore[union-attr]


@pytest.mark.parametrize("part", range(20))
def test_mutated(part: int) -> None:
    """One to three changes each; seeded, so that a failure can be had again."""
    dice = random.Random(part)
    for _ in range(COUNT // 20):
        data = dice.choice(BASES)
        for _ in range(dice.choice((1, 1, 1, 2, 3))):
            change = dice.choice(CHANGES)
            try:
                data = change(data, dice)
            except IndexError:
                continue  # nothing of the kind is left
        check(data)


LONG = [8] if COUNT <= 5000 else [8, 60]


@pytest.mark.parametrize("megabytes", LONG)
@pytest.mark.parametrize("kind", ["text", "blank", "digits", "braces", "comment", "no line end", "tiny deltas"])
def test_very_long_lines(megabytes: int, kind: str) -> None:
    """In pieces of 16 KB: in proportion to the length, whatever is in the line."""
    size = megabytes * 1_000_000
    line = {
        "text": events(delta("ab" * (size // 2)), delta(finish="stop")),
        "blank": events(delta('{"a":' + " " * size + "1}"), delta(finish="stop")),
        "digits": b"data: " + b"9" * size + b"\n\n",
        "braces": b"data: " + b"{" * size + b"\n\n",
        "comment": b": " + b"x" * size + b"\n\n",
        "no line end": b"data: " + b"x" * size,
        "tiny deltas": events(*([delta("abc %d ")] * (size // 800)), delta(finish="stop")),
    }[kind]
    started = time.process_time()
    reading = Answer({})
    try:
        for start in range(0, len(line), 16_384):
            reading.feed(line[start : start + 16_384])
        assert reading.completion().finish_reason in ("stop", "loop")
    except APIError:
        assert kind not in ("text", "blank", "tiny deltas")
    else:
        assert kind in ("text", "blank", "tiny deltas")
    assert time.process_time() - started < SECONDS * (1 + megabytes / 8)
