"""Texts in a text: letter for letter, folded, in parts, through a scanner's eyes, and at last nearly.

A text is cut into tokens (a run of digits, a run of letters, one character of scripts that write no spaces). The folded
tokens, written together, are searched with `str.find`: case, white space, punctuation and hyphens at line ends drop
out, and places are told again from where the tokens stood. A match begins and ends with a token.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate

from rapidfuzz import fuzz

from extract.evidence.support import MAX_PLACES, SCORES, How, Support

MAX_VALUE = 5_000  # characters of a text that is looked for in more than the exact way
MAX_NEAR = 400  # characters of a text that is looked for nearly
FAR = 3  # lines below, in which a value may go on in its column
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0dff"
_TOKEN = re.compile(rf"\d+|[{_UNSPACED}]|(?:[^\W\d_{_UNSPACED}]|[{_MARKS}])+")
_ACCENTS = re.compile("[\u0300-\u036f]")
_LINE_END = re.compile(r"\r\n?|\n")
_APART = re.compile(r"[^\S\r\n]{4}")  # between columns, not between words
_BREAK = re.compile(r"[\r\n\t]|  ")  # between the pieces of a layout
# What a scanner takes for each other, digits and letters; all that hang together are one letter while searching.
_LOOKS = {"0": "oqd", "1": "lij", "2": "z", "5": "s", "6": "bg", "8": "b", "9": "gq"}
_SCANNED = str.maketrans("oqdbg689lijzs", "0000000011125")
_SCANNED_SHARE = 6  # one letter in so many may be scanned wrong, and one in any case


def fold(token: str) -> str:
    """A token without case, accents and width; digits of any script are 0 to 9."""
    if token.isascii():
        return token.lower()
    if token.isdecimal():
        return "".join(str(unicodedata.decimal(digit)) for digit in token)
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", token))
    return unicodedata.normalize("NFC", plain).casefold()


class Words:
    """A text, cut and folded; built once, asked for many values."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.places = [match.span() for match in _TOKEN.finditer(text)]  # of the tokens in the text
        tokens = _TOKEN.findall(text.lower() if text.isascii() else text)
        self.folded: list[str] = tokens if text.isascii() else [fold(token) for token in tokens]
        self.starts = [0, *accumulate(map(len, self.folded))]  # of the tokens in `compact`; at the end its length
        self.compact = "".join(self.folded)

    def find(self, value: str, most: int = MAX_PLACES) -> list[Support]:
        """Where the value stands, in the best way that is found at all, at most so many places."""
        wanted = Words(value) if len(value) <= MAX_VALUE else None
        exact = self._exact(value.strip(), wanted, most)
        if exact or wanted is None or not wanted.compact:
            return exact
        return (
            self._whole(wanted, self.compact, wanted.compact, "normalised", most)
            or self._in_parts(wanted)
            or self._scanned(wanted)
        )

    def near(self, value: str, least: float) -> Support | None:
        """The stretch that is most like the value, where the likeness (0 to 1) is at least so much."""
        if not value or len(value) > min(MAX_NEAR, len(self.text)):
            return None
        # the alignment counts places in the text it is given: lower() keeps them but for a few letters
        text, low = self.text.lower(), value.lower()
        if len(text) != len(self.text):
            text, low = self.text, value
        found = fuzz.partial_ratio_alignment(low, text, score_cutoff=100 * least)
        if found is None:
            return None
        start, end = self._widened(found.dest_start, found.dest_end)
        return Support(start, end, self.text[start:end], "near", round(found.score / 100, 3))

    def _exact(self, value: str, wanted: Words | None, most: int) -> list[Support]:
        found: list[Support] = []
        at = self.text.find(value) if value else -1
        while at >= 0 and len(found) < most:
            end = at + len(value)
            if wanted is None or self._is_apart(at, end, wanted):
                found.append(Support(at, end, value, "exact", SCORES["exact"]))
            at = self.text.find(value, at + 1)
        return found

    def _is_apart(self, start: int, end: int, wanted: Words) -> bool:
        """Whether no token goes on beyond the span."""
        if not wanted.places:
            return True
        before = bisect_right(self.places, (start, len(self.text))) - 1
        after = bisect_left(self.places, (end, 0)) - 1
        cut_before = before >= 0 and self.places[before][0] < start < self.places[before][1]
        return not cut_before and not (after >= 0 and self.places[after][0] < end < self.places[after][1])

    def _whole(self, wanted: Words, compact: str, value: str, how: How, most: int = MAX_PLACES) -> list[Support]:
        found: list[Support] = []
        cuts = wanted._cuts(0, len(wanted.folded) - 1)
        for first, last in self._runs(compact, value):
            if (
                len(found) < most
                and (
                    self._is_likely_scan(wanted, first, last, cuts) if how == "ocr" else cuts == self._cuts(first, last)
                )
                and not _APART.search(self.text, self.places[first][0], self.places[last][1])
            ):
                found.append(self._support(first, last, how))
        return found

    def _runs(self, compact: str, value: str) -> Iterator[tuple[int, int]]:
        """First and last token of each stretch that is the value."""
        at = compact.find(value)
        while at >= 0:
            first = bisect_left(self.starts, at)
            last = bisect_left(self.starts, at + len(value))
            if self.starts[first] == at and self.starts[last] == at + len(value):
                yield first, last - 1
            at = compact.find(value, at + 1)

    def _cuts(self, first: int, last: int) -> set[int]:
        """Where digits are parted from digits: 1.5 is not 15, and 12 3 is not 1 23."""
        tokens, origin = self.folded, self.starts[first]
        return {
            self.starts[number] - origin
            for number in range(first + 1, last + 1)
            if tokens[number][0].isdigit() and tokens[number - 1][-1].isdigit()
        }

    def _support(self, first: int, last: int, how: How) -> Support:
        start, end = self.places[first][0], self.places[last][1]
        return Support(start, end, self.text[start:end], how, SCORES[how])

    @cached_property
    def _lines(self) -> list[int]:
        """Where each line begins."""
        return [0, *(match.end() for match in _LINE_END.finditer(self.text))]

    @cached_property
    def _of_lines(self) -> list[int]:
        """The first token of each line, and at the end their number."""
        begins = [place[0] for place in self.places]
        return [*(bisect_left(begins, line) for line in self._lines), len(begins)]

    def _in_parts(self, wanted: Words) -> list[Support]:
        """The value in a column: it fills a cell to its end, and goes on below, where it began in its line."""
        if len(wanted.folded) < 2 or len(self._lines) < 2:
            return []
        begins = self._tokens.get(wanted.folded[0], ())
        found = (self._followed(wanted, first) for first in begins)
        return [self._support(*each, "parts") for each in found if each]

    @cached_property
    def _tokens(self) -> dict[str, list[int]]:
        """Where each token stands, the first places."""
        found: dict[str, list[int]] = {}
        for number, token in enumerate(self.folded):
            if len(places := found.setdefault(token, [])) < MAX_PLACES:
                places.append(number)
        return found

    def _followed(self, wanted: Words, first: int) -> tuple[int, int] | None:
        """First and last token of the value that begins here; None when it does not go on in its column."""
        value, at, token = wanted.compact, 0, first
        line = bisect_right(self._lines, self.places[first][0]) - 1
        column = self.places[first][0] - self._lines[line]
        while True:
            while token < len(self.folded) and value.startswith(self.folded[token], at):
                at += len(self.folded[token])
                token += 1
                if self._ends_cell(token - 1):
                    break
            if not self._ends_cell(token - 1):
                return None
            if at == len(value):
                return first, token - 1
            below = ((n, self._in_column(n, column)) for n in range(line + 1, min(line + 1 + FAR, len(self._lines))))
            line, token = next(
                ((n, t) for n, t in below if t is not None and value.startswith(self.folded[t], at)), (0, -1)
            )
            if token < 0:
                return None

    def _ends_cell(self, token: int) -> bool:
        """Whether a piece of the layout ends behind this token: its line, or two blanks."""
        if token + 1 == len(self.places):
            return True
        return bool(_BREAK.search(self.text, self.places[token][1], self.places[token + 1][0]))

    def _in_column(self, line: int, column: int) -> int | None:
        """The token of a line that begins in a column, give or take one."""
        at = self._lines[line] + column
        for token in range(self._of_lines[line], self._of_lines[line + 1]):
            if abs(self.places[token][0] - at) <= 1:
                return token
        return None

    @cached_property
    def _scan(self) -> str:
        return self.compact.translate(_SCANNED)

    def _scanned(self, wanted: Words) -> list[Support]:
        if len(self._scan) != len(self.compact) or len(wanted.compact) < 2:
            return []
        return self._whole(wanted, self._scan, wanted._scan, "ocr")

    def _is_likely_scan(self, wanted: Words, first: int, last: int, cuts: set[int]) -> bool:
        """Whether the letters that differ are a digit and a letter, and few; beside them digits may be parted."""
        at = self.starts[first]
        there = self.compact[at : at + len(wanted.compact)]
        differ = [number for number, (a, b) in enumerate(zip(there, wanted.compact, strict=True)) if a != b]
        if not 0 < len(differ) <= max(1, len(there) // _SCANNED_SHARE):
            return False
        beside = {number + step for number in differ for step in (0, 1)}
        return cuts - beside == self._cuts(first, last) - beside and all(
            there[n] in _LOOKS.get(wanted.compact[n], "") or wanted.compact[n] in _LOOKS.get(there[n], "")
            for n in differ
        )

    def _widened(self, start: int, end: int) -> tuple[int, int]:
        """The same stretch from where its first token begins to where its last ends."""
        low = bisect_right(self.places, start, key=lambda place: place[1])
        high = bisect_left(self.places, end, key=lambda place: place[0]) - 1
        return (self.places[low][0], self.places[high][1]) if low <= high else (start, end)
