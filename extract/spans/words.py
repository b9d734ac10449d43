"""Lines, names, and spans with the words that stand before them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from extract.spans.span import Span

MAX_LABEL = 60  # characters before a span that are shown with it
MIN_LETTERS = 2  # a line with fewer is no line of words

_LINE = re.compile(r"[^\r\n]+")
# a code at the end of a line, in brackets or bare with a digit: "(519537-X)", "(CO. NO:20154-T)", " 862725-U"
_CODE = re.compile(r"\s{0,4}(?:[(\[][^()\[\]\n]{0,40}\d[^()\[\]\n]{0,40}[)\]]|\s\d[\w-]{3,20})\s{0,4}$")
_CODE_REACH = 100  # characters at the end of a line where a code may stand
_WORD = r"[^\W\d_a-zß-öø-ÿ][\w'\u2019&]{0,40}(?:-\w{1,40}){0,3}"
_LINK = r"(?:(?:of|the|and|in|on|at|de|la|le|du|von|van|der|&)[ ]){0,2}"
_NAME = re.compile(rf"\b{_WORD}(?:[ ]{_LINK}{_WORD}){{0,7}}(?:[ ]\d{{1,4}}\b)?")
_ENDING = re.compile(r"(?:['\u2019]s|[ ]\d{1,4})$")  # "The Ploughman's", "Umi 21": a part of the name or not
_JOINT = re.compile(r" (?:in|on|at)(?: the)? ")
_ARTICLES = ("the ", "a ", "an ")


def line_spans(text: str, *, trim: bool = False) -> list[Span]:
    """Lines with at least two letters, without outer white space; `trim`: without a code at the end."""
    found = []
    for match in _LINE.finditer(text):
        line = match.group()
        start, end = match.start() + len(line) - len(line.lstrip()), match.start() + len(line.rstrip())
        if trim:
            end = _before_code(text, start, end)
        if _letters(text[start:end]) >= MIN_LETTERS:
            found.append(Span(start, end, text[start:end]))
    return found


def name_spans(text: str) -> list[Span]:
    """Runs of capitalised words ("Café Sicilia", "The Golden Curry").

    A run that opens a sentence or begins with an article is given without its first word too, one that ends with 's or
    a number without that too, and one that is joined ("Burger King on the Riverside") in its parts too.
    """
    found: dict[tuple[int, int], Span] = {}
    for match in _NAME.finditer(text):
        name = match.group()
        opens = text[max(0, match.start() - 50) : match.start()].rstrip()[-1:] in ("", ".", "!", "?", ":", ";")
        for start, end in _parts(name, opens):
            if end - start > 1:
                place = (match.start() + start, match.start() + end)
                found.setdefault(place, Span(*place, text[place[0] : place[1]]))
    return sorted(found.values(), key=lambda span: (span.start, -span.end))


def labelled(text: str, spans: Iterable[Span]) -> list[Span]:
    """Each span with what stands before it on its line: "TOTAL INCL. GST@6%  RM 26.10" for 26.10.

    Where nothing with a letter stands before it, the line above is taken too.
    """
    return [_with_label(text, span) for span in spans]


def _with_label(text: str, span: Span) -> Span:
    low = max(0, span.start - 2 * MAX_LABEL)  # look no further back: one long line stays linear
    start = max(low, text.rfind("\n", low, span.start) + 1)
    if start > low and not _letters(text[start : span.start]):
        start = max(low, text.rfind("\n", low, start - 1) + 1)
    if start < span.start - MAX_LABEL:
        start = span.start - MAX_LABEL
        while start < span.start and not text[start].isspace():  # cut between words
            start += 1
    while start < span.start and text[start].isspace():
        start += 1
    return Span(start, span.end, text[start : span.end], span.value)


def _before_code(text: str, start: int, end: int) -> int:
    """Where the line ends without a code; the whole line if it is nothing else."""
    low = max(start, end - _CODE_REACH)
    code = _CODE.search(text[low:end])
    return low + code.start() if code and _letters(text[start : low + code.start()]) >= MIN_LETTERS else end


def _parts(name: str, opens: bool) -> list[tuple[int, int]]:
    parts = [(0, len(name))]
    second = name.find(" ") + 1
    if second and (opens or name[:second].lower() in _ARTICLES):
        parts.append((second, len(name)))
        if name[second:].lower().startswith("the "):
            parts.append((second + len("the "), len(name)))
    ending = _ENDING.search(name)
    if ending:
        parts += [(start, ending.start()) for start, _ in parts]
    joints = list(_JOINT.finditer(name))
    before = [(start, joint.start()) for joint in joints for start, _ in parts if start < joint.start()]
    return [*parts, *before, *((joint.end(), len(name)) for joint in joints)]


def _letters(text: str) -> int:
    return sum(character.isalpha() for character in text)
