"""Phrases that speak to a model and not to a reader: orders to ignore its instructions, roles of a chat, forged lines.

Texts and patterns are folded alike (`letters.folded`), so that accents, case, look-alikes and unseen characters hide
nothing.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import unquote

from extract.untrusted.letters import folded, hidden_tags
from extract.untrusted.orders import ORDERS

_MOST_ENCODED = 40  # pieces of one text that are decoded
_LONGEST_ENCODED = 8000  # characters of one piece
_FEWEST_SIGNS = 8  # that are encoded one by one
_EXCERPT = 120

_ROLES = re.compile(
    r"<\|[a-z][a-z_▁ ]{2,40}\|>|\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>|</?(?:system|assistant)(?:_prompt)?>"
    r"|(?:^|\n)[ \t]{0,8}#{2,4} ?(?:system|instruction|assistant|human|user)(?: (?:prompt|message))? ?:"
    r"|(?:^|\n)[ \t]{0,8}#{2,4} ?(?:system|instruction|assistant|human|user)[ \t]{0,8}(?:\n|$)"
    r'|"role" ?: ?"(?:system|assistant|developer)"'
    r"|(?:^|\n)human: [^\n]{0,2000}\n{1,3}assistant:"
)
_ROLE_SIGNS = ("<|", "inst]", "sys>>", "_of_turn>", "<sys", "</sys", "<assis", "</assis", "##", '"role"', "human:")
_FORGED = re.compile(
    r"(?:^|\n)[ \t]{0,8}-{3} ?(?:end of )?(?:data|file) [0-9a-f]{6,32}(?:, page \d{1,6} of \d{1,6})? ?-{3}"
    r"|(?:^|\n)[^\w\n]{2,20}(?:end|begin|start) of (?:the )?(?:user |system )?"
    r"(?:input|prompt|context|instructions|user data)\b[^\w\n]{0,20}(?:\n|$)"
)
_FORGED_WORDS = ("end of ", "begin of ", "start of ")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{24,8000}={0,2}")
_HEX = re.compile(r"(?:0x)?((?:[0-9A-Fa-f]{2}){20,4000})")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2}[\w .,!?-]{0,3}){8,2000}")
_ENTITIES = re.compile(r"(?:&#x?[0-9A-Fa-f]{2,6};[\w .,!?-]{0,3}){8,2000}")


@dataclass(frozen=True)
class _Phrases:
    """The orders of one language, folded: words of which one of each kind must be there before a pattern is tried."""

    verbs: Sequence[str]
    objects: Sequence[str]
    patterns: Sequence[re.Pattern[str]]


@cache  # and not at import: most runs look at nothing
def _phrases() -> list[_Phrases]:
    return [
        _Phrases(
            folded(each.verbs).split("|"),
            folded(each.objects).split("|"),
            [re.compile(folded(phrase)) for phrase in each.phrases],
        )
        for each in ORDERS
    ]


def speaking(text: str) -> Iterator[tuple[str, str, str]]:
    """Kind, what was found, and an excerpt, for each kind of phrase; at most one of a kind."""
    plain = folded(f"{text} {tags}" if (tags := hidden_tags(text)) else text)
    if found := _order_in(plain):
        yield "instruction", "a phrase that gives the model an order", found
    if any(sign in plain for sign in _ROLE_SIGNS) and (match := _ROLES.search(plain)):
        yield "role_marker", "a mark that begins a turn of a chat", match[0].strip()[:_EXCERPT]
    if ("---" in plain or any(words in plain for words in _FORGED_WORDS)) and (match := _FORGED.search(plain)):
        yield "delimiter", "a line like those that stand around data", match[0].strip()[:_EXCERPT]
    if found := next((order for piece in _decoded(text) if (order := _order_in(folded(piece)))), ""):
        yield "encoded", "an encoded text that gives the model an order", found


def _order_in(plain: str) -> str:
    """The first phrase of a folded text, "" for none."""
    line = " ".join(plain.split())
    for each in _phrases():
        if not (any(word in line for word in each.verbs) and any(word in line for word in each.objects)):
            continue
        for pattern in each.patterns:
            if match := pattern.search(line):
                return match[0][:_EXCERPT]
    return ""


def _decoded(text: str) -> Iterator[str]:
    left = _MOST_ENCODED
    for pattern, decode in ((_BASE64, _of_letters), (_PERCENT, unquote), (_ENTITIES, html.unescape)):
        if (pattern is _PERCENT and text.count("%") < _FEWEST_SIGNS) or (pattern is _ENTITIES and "&#" not in text):
            continue
        for match in pattern.finditer(text):
            left -= 1
            if left < 0:
                return
            yield decode(match[0][:_LONGEST_ENCODED])


def _of_letters(piece: str) -> str:
    """What a run of letters and digits encodes: in hexadecimal if it can be, else in base64."""
    if match := _HEX.fullmatch(piece):
        return bytes.fromhex(match[1]).decode("utf-8", "replace")
    plain = piece.rstrip("=").replace("-", "+").replace("_", "/")
    plain = plain[: len(plain) - (len(plain) % 4 == 1)]
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4)).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""
