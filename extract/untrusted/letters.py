"""Characters that hide or pose: zero-width and bidi controls, tag characters, look-alikes of another script.

What scripts and emoji need is let pass: joiners in Persian and Indic words and in emoji, marks of direction, the tags
of flags, a hyphen that shows only at the end of a line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Cyrillic and Greek letters that look like Latin ones
_LOOK_ALIKES = str.maketrans(
    "аеорсухіјѕһԁԛԝАВЕКМНОРСТХЅІЈҮοανΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxijshdqwABEKMHOPCTXSIJYoavABEZHIKMNOPTYX",
)
_FOREIGN = re.compile("[" + "".join(map(chr, _LOOK_ALIKES)) + "]")
_LATIN = re.compile("[A-Za-z]")
_WORD = re.compile(r"[^\W\d_]{4,}")

_JOINERS = "\u200b-\u200d\u2060-\u2064\ufeff\u180e\u034f\u115f\u1160\u3164\uffa0\u206a-\u206f"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_ALPHABETS = "A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u052f"  # of Europe, which need no joiners within words
_RUNS = re.compile(f"[{_JOINERS}]{{3,}}|[{_SELECTORS}]{{2,}}")
_WITHIN = re.compile(f"(?<=[{_ALPHABETS}])[{_JOINERS}]+(?=[{_ALPHABETS}])")
_FEWEST_WITHIN = 2  # one may be a hint where a long word may break

_TAGS = re.compile("[\U000e0000-\U000e007f]+")
_FLAG = re.compile("[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
_BLACK_FLAG = "\U0001f3f4"

_OVERRIDES = re.compile(r"[\u202d\u202e](?:[^\w\u202c-\u202e\n]{0,60}\w){2}")
_TURNED = re.compile(r"[\u202b\u2067](?:[^\w\u202a-\u202e\u2066-\u2069\n]{0,60}\w){2}")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")

_UNSEEN = re.compile(f"[{_JOINERS}{_SELECTORS}\u00ad\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]+")
_MARKS = re.compile("[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u3099\u309a]")


def odd_letters(text: str) -> Iterator[tuple[str, str, str]]:
    """Kind, what was found, and an excerpt, for each trick; at most one of a kind."""
    if text.isascii():
        return
    if _RUNS.search(text) or len(_WITHIN.findall(text)) >= _FEWEST_WITHIN:
        places = {at for found in (*_RUNS.finditer(text), *_WITHIN.finditer(text)) for at in range(*found.span())}
        yield (
            "zero_width",
            f"{len(places)} characters that cannot be seen",
            _excerpt(_RUNS.search(text) or _WITHIN.search(text)),
        )
    if found := _OVERRIDES.search(text) or (not _RIGHT_TO_LEFT.search(text) and _TURNED.search(text)):
        yield "bidi", "the text is shown in another order than it is read", _excerpt(found)
    if tags := hidden_tags(text):
        yield "tag_characters", "a text in characters that cannot be seen", tags[:200]
    if posing := next(_posing(text), None):
        yield "homoglyphs", "a word with letters of two scripts that look alike", posing


def hidden_tags(text: str) -> str:
    """What tag characters spell, but for those of flags."""
    if text.isascii():
        return ""
    found = []
    for match in _TAGS.finditer(text):
        if not (text[match.start() - 1 : match.start()] == _BLACK_FLAG and _FLAG.fullmatch(match[0])):
            found.append("".join(chr(ord(sign) - 0xE0000) for sign in match[0]))
    return " ".join("".join(sign if sign.isprintable() else " " for sign in run) for run in found)


def folded(text: str) -> str:
    """The text as it is meant to be read: nothing unseen, look-alikes as Latin, no accents, small letters."""
    if not text.isascii():
        text = _UNSEEN.sub("", _TAGS.sub("", text))
        text = _MARKS.sub("", unicodedata.normalize("NFKD", text))
        return unicodedata.normalize("NFC", text).casefold().translate(_LOOK_ALIKES)
    return text.casefold()


def _posing(text: str) -> Iterator[str]:
    if not _FOREIGN.search(text):
        return
    for match in _WORD.finditer(text):
        word = match[0]
        if (
            not word.isascii()
            and _LATIN.search(word)
            and _FOREIGN.search(word)
            and word.translate(_LOOK_ALIKES).isascii()
        ):
            yield word[:80]


def _excerpt(found: re.Match[str] | bool | None) -> str:
    if not isinstance(found, re.Match):
        return ""
    around = found.string[max(0, found.start() - 20) : found.end() + 20]
    return around[:120].encode("ascii", "backslashreplace").decode()
