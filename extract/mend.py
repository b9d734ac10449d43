"""JSON that is nearly right, mended by a few fixed rules. Pure; what comes out is still to be read strictly.

Dropped: a comma before a closing bracket. Quoted: a bare key, and what stands in single quotes. Translated: Python's
True, False and None. Added: a bracket that the next one or the end shows to be missing. Nothing of a value is ever made
up: a text or number at the end may be cut off, and so may a list that was not closed, so these are left as they are.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

MAX_MENDED = 200_000  # characters
MAX_DEPTH = 100

_TOKEN = re.compile(
    r"""(?P<space>\s++)
    |(?P<string>"(?:[^"\\]++|\\.)*+")
    |(?P<quoted>'(?:[^'\\\n]++|\\.)*+')
    |(?P<number>-?[0-9][0-9.eE+-]*+)
    |(?P<word>[A-Za-z_$][\w$-]*+)
    |(?P<mark>[{}\[\]:,])""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"True": "true", "False": "false", "None": "null", "true": "true", "false": "false", "null": "null"}
_CLOSER = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class Mended:
    """A value as JSON writes it, where it ends in the text, and whether brackets were added there."""

    text: str
    end: int
    was_open: bool = False


def mend(text: str, start: int) -> Mended | None:
    """The value that begins at `start`; None where no rule helps."""
    if len(text) - start > MAX_MENDED:
        return None
    tokens: list[str] = []
    open_ones: list[str] = []
    position = start
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            break  # such as the end, or a quote that nothing closes
        position = found.end()
        if found.lastgroup == "space":
            continue
        token = _plain(found, text)
        if token is None or not _take(token, tokens, open_ones):
            return None
        if not open_ones:
            return Mended("".join(tokens), position)
    return _closed(tokens, open_ones, text[position:], position)


def _plain(found: re.Match[str], text: str) -> str | None:
    """The token as JSON writes it."""
    token = found.group()
    if found.lastgroup == "quoted":
        return _requoted(token)
    if found.lastgroup != "word":
        return token
    is_key = text[found.end() : found.end() + 20].lstrip().startswith(":")
    return json.dumps(token, ensure_ascii=False) if is_key else _WORDS.get(token)


def _requoted(token: str) -> str:
    return '"' + token[1:-1].replace("\\'", "'").replace('\\"', '"').replace('"', '\\"') + '"'


def _take(mark: str, tokens: list[str], open_ones: list[str]) -> bool:
    """Put the token at the end of the others, with what is missing before it; False where it can have no place."""
    if mark in "}]":
        opener = "{" if mark == "}" else "["
        if opener not in open_ones:
            return False
        if tokens[-1] == "," and tokens[-2] not in "{[":
            tokens.pop()
        while open_ones[-1] != opener:
            tokens.append(_CLOSER[open_ones.pop()])
        open_ones.pop()
    elif mark in "{[":
        open_ones.append(mark)
    tokens.append(mark)
    return len(open_ones) <= MAX_DEPTH


def _closed(tokens: list[str], open_ones: list[str], rest: str, position: int) -> Mended | None:
    """The objects that the end leaves open are closed, if nothing of a value can have been cut."""
    is_whole = tokens[-1] in "}]" or (tokens[-2:-1] == [":"] and tokens[-1][-1] in '"el')  # text, true, false, null
    if not is_whole or "[" in open_ones or rest.strip().strip("`"):
        return None
    return Mended("".join(tokens) + "}" * len(open_ones), position, was_open=True)
