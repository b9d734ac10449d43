"""Calendar dates in many written forms, without a time of day."""

from __future__ import annotations

import datetime as dt
import re

from extract.spans.span import Span

MAX_DATE_TEXT = 200  # characters of which a date is read
_CENTURY_TURN = 69  # two-digit years below it are of this century

_MONTH_NAMES = (
    *("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul"),
    *("august aug", "september sep sept", "october oct", "november nov", "december dec"),
)
_MONTHS = {name: number for number, names in enumerate(_MONTH_NAMES, 1) for name in names.split()}
_MON = r"(?i:" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")"
_GAP = r"[ \t]{0,2}[-/.,' ]?[ \t]{0,2}"
_YEAR = r"(?:(?:19|20)\d\d|\d\d)"
# Groups: y, m, d with a number where the order is plain; a and b where only the reader knows which is the day.
_FORMS = (
    r"(?<!\d)(?<!\d[-/.])(?P<y1>(?:19|20)\d\d)(?P<s1>[-/.])(?P<m1>\d{1,2})(?P=s1)(?P<d1>\d{1,2})(?!\d)(?![-/.]\d)",
    rf"(?<!\d)(?<!\d[-/.])(?P<a2>\d{{1,2}})[ ]?(?P<s2>[-/.])[ ]?(?P<b2>\d{{1,2}})[ ]?(?P=s2)[ ]?(?P<y2>{_YEAR})"
    r"(?!\d)(?![-/]\d)(?!\.\d)",
    rf"(?<!\d)(?P<d3>\d{{1,2}})(?i:st|nd|rd|th)?{_GAP}(?P<m3>{_MON})\.?(?![A-Za-z]){_GAP}(?P<y3>{_YEAR})(?!\d)(?!:\d)",
    rf"(?<![A-Za-z])(?P<m4>{_MON})\.?{_GAP}(?P<d4>\d{{1,2}})(?i:st|nd|rd|th)?(?:[ ]{{0,2}},[ ]{{0,2}}|[ ]|[-/.'])"
    rf"(?P<y4>{_YEAR})(?!\d)(?!:\d)",
    rf"(?<!\d)(?P<y5>(?:19|20)\d\d){_GAP}(?P<m5>{_MON})\.?(?![A-Za-z]){_GAP}(?P<d5>\d{{1,2}})(?!\d)",
    r"(?P<y6>(?:19|20)\d\d)年[ ]?(?P<m6>\d{1,2})月[ ]?(?P<d6>\d{1,2})日",
    # a date with a clock time glued on: 02/05/201814:17
    r"(?<!\d)(?P<a7>\d{1,2})(?P<s7>[-/.])(?P<b7>\d{1,2})(?P=s7)(?P<y7>(?:19|20)\d\d)(?=\d{1,2}:\d\d)",
)
_DATE = re.compile("|".join(_FORMS))


def date_spans(text: str, *, day_first: bool | None = None) -> list[Span]:
    """Every date; what is no day of the calendar is left out.

    `value` is the date, or None where it reads in two ways (02/05/2018 with `day_first=None`).
    """
    found = []
    for match in _DATE.finditer(text):
        readings = _readings(match)
        if any(readings):
            found.append(Span(match.start(), match.end(), match.group(), _chosen(readings, day_first)))
    return found


def parse_date(text: str, *, day_first: bool | None = None) -> dt.date | None:
    """The first date of a short text; None if there is none, or if it can be read in two ways."""
    match = _DATE.search(text[:MAX_DATE_TEXT])
    return _chosen(_readings(match), day_first) if match else None


Readings = tuple[dt.date | None, dt.date | None]


def _readings(match: re.Match[str]) -> Readings:
    """(day first, month first); both the same where the writing leaves no doubt."""
    groups = match.groupdict()
    for form in ("2", "7"):
        if groups["a" + form]:
            year, first, second = groups["y" + form], groups["a" + form], groups["b" + form]
            return _day(year, second, first), _day(year, first, second)
    for form in ("1", "3", "4", "5", "6"):
        if groups["d" + form]:
            month = groups["m" + form]
            day = _day(groups["y" + form], str(_MONTHS.get(month.lower(), month)), groups["d" + form])
            return day, day
    return None, None


def _chosen(readings: Readings, day_first: bool | None) -> dt.date | None:
    by_day, by_month = readings
    if day_first is not None:
        return by_day if day_first else by_month
    if by_day and by_month and by_day != by_month:
        return None
    return by_day or by_month


def _day(year: str, month: str, day: str) -> dt.date | None:
    number = int(year)
    if len(year) == 2:
        number += 2000 if number < _CENTURY_TURN else 1900
    try:
        return dt.date(number, int(month), int(day))
    except ValueError:
        return None
