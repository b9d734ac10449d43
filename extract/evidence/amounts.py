"""Numbers of a text, in any country's writing, each with all the values that it can be read as."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from extract.evidence.support import MAX_PLACES, SCORES, How, Support

_RUN = re.compile(r"\d(?:[\d.,'\u2019\u02bc \u00a0\u202f]{0,60}\d)?")
_SPACES = re.compile(r"[ \u00a0\u202f]")
_GROUPS = re.compile(r"\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?:[.,]\d{1,6})?")
_INDIAN = re.compile(r"\d{1,2}(?:,\d{2})*,\d{3}(?:\.\d{1,6})?")
_QUOTES = re.compile(r"(?<=\d)['\u2019\u02bc](?=\d{3}(?!\d))")
_MARKED = re.compile(r"\d{1,3}(?:[.,]\d{3})+")
_PERCENT = re.compile(r"\s?(?:[%\u066a\uff05]|percent\b|per cent\b|Prozent\b)", re.IGNORECASE)
_SCALES = {
    "k": 3, "tsd": 3, "thousand": 3, "tausend": 3, "mille": 3, "mil": 3, "lakh": 5, "lac": 5, "m": 6, "mn": 6, "mm": 6,
    "mio": 6, "million": 6, "millions": 6, "millionen": 6, "millones": 6, "crore": 7, "cr": 7, "b": 9, "bn": 9,
    "billion": 9, "billions": 9, "mrd": 9, "milliarde": 9, "milliarden": 9, "milliard": 9, "milliards": 9,
}  # fmt: skip
_SCALE = re.compile(rf"[ -]?({'|'.join(sorted(_SCALES, key=len, reverse=True))})\b\.?", re.IGNORECASE)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SIGNS = re.compile(r"[(\-\u2212\u2012\u2013]")
_BESIDE = re.compile(r"(?:\d[:/-]|(?:^|[^A-Za-z])(?![xX])[A-Za-z]|[a-z]{2}[A-Za-z]|\d[A-Za-z]{1,3})\Z")
_BESIDE_AFTER = re.compile(r"[:/]\d|-\d")
_MINUS = "-\u2212\u2012\u2013"
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {word: number for number, word in enumerate(_ONES)} | {
    word: 10 * number for number, word in enumerate(_TENS, 2)
}
_WORD = re.compile(rf"\b({'|'.join(_TENS)})(?:[- ]({'|'.join(_ONES[1:10])}))?\b|\b({'|'.join(_ONES)})\b", re.IGNORECASE)


class Amounts:
    """The numbers of a text by value; built once, asked for many values."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._by_value: dict[Decimal, dict[tuple[int, int], How]] = {}
        plain = text if text.isascii() else _plain_digits(text)
        found = [match.span() for match in _RUN.finditer(plain)]
        point = _decimal_mark(plain[start:end] for start, end in found)
        for start, end in found:
            for low, high, value, how in _readings(plain, start, end, point):
                self._put(value, low, high, how)
        for match in _WORD.finditer(text):
            self._put(Decimal(_spelled(match)), match.start(), match.end(), "normalised")

    def find(self, value: Decimal, most: int = MAX_PLACES) -> list[Support]:
        """Where a number stands that reads as the value, the plainest readings first, at most so many."""
        places = sorted(self._by_value.get(value, {}).items(), key=lambda item: (item[1] != "exact", item[0]))
        return [Support(start, end, self._text[start:end], how, SCORES[how]) for (start, end), how in places[:most]]

    def _put(self, value: Decimal, start: int, end: int, how: How) -> None:
        places = self._by_value.setdefault(value, {})
        if places.get((start, end)) != "exact":
            places[start, end] = how


def _plain_digits(text: str) -> str:
    """The same text with ASCII digits and marks, letter by letter."""
    known = {"\u066b": ".", "\u066c": ",", "\uff0e": ".", "\uff0c": ","}
    odd = {each for each in _NOT_ASCII.findall(text) if each.isdecimal() or each in known}
    table = {ord(each): known.get(each) or str(unicodedata.decimal(each)) for each in odd}
    return text.translate(table) if table else text


def _decimal_mark(numbers: Iterator[str]) -> str | None:
    """The decimal mark of most numbers that leave no doubt of theirs, if they agree for the greater part."""
    counted = Counter(mark for number in numbers if (mark := _sure_mark(number)))
    if not counted:
        return None
    (mark, most), *others = counted.most_common()
    return mark if not others or most > 2 * others[0][1] else None


def _sure_mark(number: str) -> str | None:
    last = max(number.rfind("."), number.rfind(","))
    if last < 0:
        return None
    mark, decimals = number[last], len(number) - last - 1
    both = "." in number and "," in number
    return mark if number.count(mark) == 1 and (both or decimals in (1, 2)) else None


Reading = tuple[int, int, Decimal, How]


def _readings(text: str, start: int, end: int, point: str | None) -> Iterator[Reading]:
    """All that a run of digits and marks can say, as a whole and, where spaces part it, in pieces."""
    run = text[start:end]
    if _SPACES.search(run):
        for match in _GROUPS.finditer(run):
            if match.end() == len(run) or not run[match.end()].isdigit():
                yield from _values(text, start + match.start(), start + match.end(), point)
        at = start
        for piece in _SPACES.split(run):
            stripped = piece.strip(".,'\u2019\u02bc")
            if stripped:
                low = at + piece.index(stripped)
                yield from _values(text, low, low + len(stripped), point)
            at += len(piece) + 1
        return
    yield from _values(text, start, end, point)
    if "," in run or "." in run:  # the year of a date
        for match in re.finditer(r"\d+", run):
            if match.end() - match.start() == 4 and 19 <= int(match.group()[:2]) <= 20:
                yield start + match.start(), start + match.end(), Decimal(match.group()), "normalised"


def _values(text: str, start: int, end: int, point: str | None) -> Iterator[Reading]:
    if _is_code(text, start, end):
        return
    written = _bodies(_SPACES.sub("", text[start:end]), point)
    how: How = "exact" if len(written) == 1 else "normalised"
    for body in written:
        value = Decimal(body)
        low, high, negative = _signed(text, start, end)
        yield low, high, -value if negative and value else value, how
        if negative and _is_joint(text, low):  # 2018-05, A-12: a dash that parts
            yield start, end, value, "normalised"
        if match := _PERCENT.match(text, end):
            yield low, match.end(), (-value if negative else value) / 100, "normalised"
        elif match := _SCALE.match(text, end):
            scaled = value.scaleb(_SCALES[match[1].lower()])
            yield low, match.end(), -scaled if negative else scaled, "normalised"


def _is_code(text: str, start: int, end: int) -> bool:
    """Whether the digits are part of a time, a date, or a word such as A4 or 118B: RM5.00, x2 and 5kg are numbers."""
    before, after = text[max(0, start - 6) : start], text[end : end + 3]
    if _BESIDE.search(before) or _BESIDE_AFTER.match(after):
        return True
    return text[start] == "0" and text[start : start + 2].isdigit()


def _bodies(digits: str, point: str | None) -> list[str]:
    """The number with one decimal point at most, in all ways in which countries read it."""
    plain = _QUOTES.sub("", digits)
    dots, commas = plain.count("."), plain.count(",")
    if not plain.replace(".", "").replace(",", "").isdigit():
        return []
    if not dots and not commas:
        return [plain]
    if dots and commas:
        mark, other = (".", ",") if plain.rindex(".") > plain.rindex(",") else (",", ".")
        whole = plain[: plain.rindex(mark)]
        if plain.count(mark) > 1 or not (_MARKED.fullmatch(whole) or _INDIAN.fullmatch(plain)):
            return []
        return [plain.replace(other, "").replace(mark, ".")]
    mark = "." if dots else ","
    if dots + commas > 1:
        return [plain.replace(mark, "")] if _MARKED.fullmatch(plain) or _INDIAN.fullmatch(plain) else []
    decimal, grouped = plain.replace(mark, "."), plain.replace(mark, "")
    if not _MARKED.fullmatch(plain) or plain.startswith("0"):
        return [decimal]
    if point is not None:
        return [decimal] if mark == point else [grouped]
    return [decimal, grouped]


def _signed(text: str, start: int, end: int) -> tuple[int, int, bool]:
    """The span with its sign: -5, - 5, RM -5, -RM5, 5-, (5)."""
    if not _SIGNS.search(text, max(0, start - 6), end + 2):
        return start, end, False
    before = text[max(0, start - 6) : start]
    bare = before.rstrip()
    if bare.endswith("(") and text[end : end + 2].lstrip()[:1] == ")":
        return start - len(before) + len(bare) - 1, text.index(")", end) + 1, True
    if bare and bare[-1] in _MINUS and len(before) - len(bare) <= 1:
        return start - len(before) + len(bare) - 1, end, True
    money = re.search(rf"[{_MINUS}]\s?(?:[A-Z]{{1,3}}|[^\w\s])\s?$", before)
    if money and not (money.start() and before[money.start() - 1].isalnum()):
        return start - len(before) + money.start(), end, True
    follows = text[end : end + 2]
    if follows[:1] in tuple(_MINUS) and not follows[1:].isalnum():
        return start, end + 1, True
    return start, end, False


def _is_joint(text: str, at: int) -> bool:
    """Whether the dash stands behind a letter or a digit, with or without a space."""
    return text[max(0, at - 2) : at].rstrip()[-1:].isalnum()


def _spelled(match: re.Match[str]) -> int:
    tens, one, small = (part.lower() if part else None for part in match.groups())
    return _WORDS[small] if small else _WORDS[tens or "zero"] + (_WORDS[one] if one else 0)
