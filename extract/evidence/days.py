"""Dates and times of day of a text, in any order and in the months' names of many languages."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import chain, islice

from extract.evidence.support import MAX_PLACES, SCORES, How, Support
from extract.evidence.words import Words

_NEAR = 3  # tokens between a month and its day or year: "12 de marzo de 2018"
_JOINED = 40  # characters between a date and its time of day
_LANGUAGES = (
    "en de fr es it pt nl pl cs sk sl hr hu ro bg ru uk el tr sv da nb fi et lv lt mt is sq mk sr bs ca eu gl cy ga id "
    "ms vi sw af ar he fa hi bn ta te th ur kk uz az ka hy"
)
_DIGITS_ONLY = re.compile(r"(?<!\d)((?:19|20)\d\d)(0[1-9]|1[0-2])([0-2]\d|3[01])(?!\d)")
# Begins with a digit and nothing that looks back, so that it is searched for quickly.
_NUMERIC = re.compile(r"([0-9]{1,4})[ ]?([-/.])[ ]?([0-9]{1,2})[ ]?\2[ ]?([0-9]{1,4})")
_SIGNED = re.compile(r"([0-9]{4})[ ]?([\u5e74\ub144])[ ]?([0-9]{1,2})[ ]?[\u6708\uc6d4][ ]?([0-9]{1,2})[\u65e5\uc77c]")
_CLOCK = re.compile(r"\d{1,2}:\d\d")  # glued to a date: 02/05/201814:17
_TIME = re.compile(
    r"([0-9]{1,2})(?:[:.h\u2236]|\s?[hH]\s?)([0-5]\d)(?:[:.]([0-5]\d)(?:[.,](\d{1,6}))?)?"
    r"(?:\s?([ap])\.?\s?m\b\.?)?(?!\d)",
    re.IGNORECASE,
)
_CENTURY_TURN = 69  # two-digit years below it are of this century


class Days:
    """The dates and times of a text by value."""

    def __init__(self, words: Words) -> None:
        self._text = words.text
        self._days: dict[dt.date, dict[tuple[int, int], How]] = {}
        self._doubtful: list[tuple[int, int, dt.date, dt.date]] = []  # with the day first, and with the month first
        orders = set()
        self._times: list[tuple[int, int, dt.time]] = []
        for start, end, by_day, by_month in _numeric(words.text):
            if by_day and by_month and by_day != by_month:
                self._doubtful.append((start, end, by_day, by_month))
                continue
            self._put(by_day or by_month, start, end, "exact")
            if not (by_day and by_month):
                orders.add(by_day is not None)
        self._order = orders.pop() if len(orders) == 1 else None  # as the dates that leave no doubt have it
        for match in _DIGITS_ONLY.finditer(words.text):
            with suppress(ValueError):
                self._put(dt.date(*map(int, match.groups())), *match.span(), "normalised")
        for day, start, end in _named(words):
            self._put(day, start, end, "exact")
        for match in _TIME.finditer(words.text):
            if (time := _time(match)) is not None:
                self._times.append((*match.span(), time))

    def find(self, value: dt.date | dt.time, day_first: bool | None = None, most: int = MAX_PLACES) -> list[Support]:
        """Where the date, the time, or the date and then the time stands, at most so many places.

        `day_first` says how 02/05/2018 reads; None: as the other dates of the text say, else both ways.
        """
        if isinstance(value, dt.time):
            same = ((start, end) for start, end, time in self._times if _same(time, value))
            return [self._support(start, end, "exact") for start, end in islice(same, most)]
        day = value.date() if isinstance(value, dt.datetime) else value
        places = sorted(
            [
                *self._days.get(day, {}).items(),
                *self._of_doubtful(day, self._order if day_first is None else day_first),
            ],
            key=lambda item: (item[1] != "exact", item[0]),
        )[:most]
        found = [self._support(*place, how) for place, how in places]
        if not isinstance(value, dt.datetime):
            return found
        at = value.time()
        timed = [joined for each in found for joined in self._with_time(each, at)]
        return timed or (found if at == dt.time() else [])

    def _of_doubtful(self, day: dt.date, order: bool | None) -> Iterator[tuple[tuple[int, int], How]]:
        for start, end, by_day, by_month in self._doubtful:
            readings = (by_day, by_month) if order is None else (by_day,) if order else (by_month,)
            if day in readings:
                yield (start, end), "exact" if order is not None else "normalised"

    def _with_time(self, day: Support, at: dt.time) -> Iterator[Support]:
        for start, end, time in self._times:
            if _same(time, at) and (-_JOINED <= start - day.end <= _JOINED or -_JOINED <= day.start - end <= 0):
                yield self._support(min(start, day.start), max(end, day.end), day.how)

    def _put(self, day: dt.date | None, start: int, end: int, how: How) -> None:
        if day is not None:
            places = self._days.setdefault(day, {})
            if places.get((start, end)) != "exact":
                places[start, end] = how

    def _support(self, start: int, end: int, how: How) -> Support:
        return Support(start, end, self._text[start:end], how, SCORES[how])


@cache
def _months() -> dict[str, frozenset[int]]:
    """Folded names of months and how they are shortened, by CLDR; a few mean two months, in two languages."""
    from babel import Locale  # half a second, and only where a text has names of months

    found: dict[str, set[int]] = {}
    for language in _LANGUAGES.split():
        months = Locale.parse(language).months
        for names in (months[context][width] for context in months for width in ("wide", "abbreviated")):
            for number, name in names.items():
                tokens = Words(name).folded
                if len(tokens) == 1 and not tokens[0].isdigit():
                    found.setdefault(tokens[0], set()).add(int(number))
    return {name: frozenset(numbers) for name, numbers in found.items()}


def _numeric(text: str) -> Iterator[tuple[int, int, dt.date | None, dt.date | None]]:
    """Dates in three numbers: what they are with the day first, and with the month first."""
    is_signed = "\u5e74" in text or "\ub144" in text
    for match in chain(_NUMERIC.finditer(text), _SIGNED.finditer(text) if is_signed else ()):
        first, mark, second, third = match.groups()
        start, end = match.span()
        if len(first) == 3 or _goes_on(text, start, end, mark):
            continue
        if len(first) == 4:
            by_day = by_month = _day(first, second, third)
        else:
            by_day, by_month = _day(third, second, first), _day(third, first, second)
            if mark == "." and by_day:  # nobody puts the month first between points
                by_month = by_day
        if by_day or by_month:
            yield start, end, by_day, by_month


def _goes_on(text: str, start: int, end: int, mark: str) -> bool:
    """Whether more numbers hang on to these, as in a version or an address of a network."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if before[-1:].isdigit() or (before[-1:] == mark and before[:1].isdigit()):
        return True
    return (after[:1].isdigit() and not _CLOCK.match(text, end)) or (after[:1] == mark and after[1:].isdigit())


def _day(year: str, month: str, day: str) -> dt.date | None:
    with suppress(ValueError):
        return dt.date(_year(year), int(month), int(day))
    return None


def _named(words: Words) -> Iterator[tuple[dt.date, int, int]]:
    """Dates whose month is a word: 12. März 2018, 12 de marzo de 2018, March 12th, 2018, 2018. március 12."""
    months = _months()
    for number, token in enumerate(words.folded):
        for month in months.get(token, ()):
            yield from _around(words, number, month)


def _around(words: Words, at: int, month: int) -> Iterator[tuple[dt.date, int, int]]:
    tokens = words.folded
    before = [n for n in range(at - 1, max(-1, at - 1 - _NEAR), -1) if _is_short_number(tokens[n])]
    after = [n for n in range(at + 1, min(len(tokens), at + 2 + _NEAR)) if _is_short_number(tokens[n])]
    pairs = [(before[0], after[0]), (after[0], before[0])] if before and after else []
    if len(after) > 1:
        pairs.append((after[0], after[1]))
    for day, year in pairs:
        first, last = min(day, year, at), max(day, year, at)
        start, end = words.places[first][0], words.places[last][1]
        if "\n\n" in words.text[start:end]:
            continue
        if found := _day(tokens[year], str(month), tokens[day]):
            yield found, start, end


def _is_short_number(token: str) -> bool:
    return len(token) <= 4 and token.isdigit()


def _year(token: str) -> int:
    if len(token) == 4:
        return int(token)
    if len(token) != 2:
        raise ValueError(token)
    return int(token) + (2000 if int(token) < _CENTURY_TURN else 1900)


def _time(match: re.Match[str]) -> dt.time | None:
    hour, minute, second, part, half = match.groups()
    number = int(hour)
    before = match.string[max(0, match.start() - 1) : match.start()]
    if number > 24 or before in (":", "."):
        return None
    if half:
        if not 1 <= number <= 12:
            return None
        number = number % 12 + (12 if half.lower() == "p" else 0)
    with suppress(ValueError):
        return dt.time(number % 24, int(minute), int(second or 0), int((part or "0").ljust(6, "0")))
    return None


def _same(found: dt.time, wanted: dt.time) -> bool:
    """As far as it was written: 14:17 for 14:17:00, and not for 14:17:05."""
    return found == wanted.replace(tzinfo=None)
