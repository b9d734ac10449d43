"""Candidate spans of a text: amounts of money, dates, numbers, lines.

Every finder returns a list of `Span`: exact substrings (`text == source[start:end]`), in order of
appearance.  Every regular expression here has bounded repeats only and no nested ones, so a finder takes
time linear in the text, whatever it holds.  Standard library only.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation


@dataclass(frozen=True)
class Span:
    start: int
    end: int
    text: str  # source[start:end], exactly
    value: object = None  # what it means, where that is known (Decimal, date, str)

    @property
    def shown(self) -> str:
        """The span with each run of white space made one space (what goes on the wire)."""
        return " ".join(self.text.split())


# ----------------------------------------------------------------------------- numbers and money

_CODES = (
    "RM|MYR|USD|EUR|GBP|SGD|AUD|CAD|NZD|HKD|JPY|CNY|RMB|INR|IDR|THB|PHP|VND|KRW|TWD|CHF|SEK|NOK|DKK|PLN|CZK|"
    "HUF|RON|TRY|ZAR|BRL|MXN|AED|SAR|ILS|RUB|UAH|NGN|KES|EGP|Rp|Rs|kr|Fr|zł|Kč|Ft"
)
_SYMBOLS = r"(?:US|AU|A|C|CA|HK|NZ|NT|S|R)?\$|[€£¥₹₩₽₺฿₫₱₦₴₪]"
# digits with thousands marks of one kind (three digits after each), or plain digits; then decimals. A plain space
# is a thousands mark only before a decimal comma (1 234,50): on an English receipt "2 100.00" is two numbers
_GROUPED = r"\d{1,3}(?:,\d{3}){1,6}|\d{1,3}(?:\.\d{3}){1,6}|\d{1,3}(?:['\u2019\u00a0\u202f]\d{3}){1,6}"
_BEFORE = r"(?<![\d])(?<!\d[.,:/])"  # not inside a longer number, time or date
_AFTER = r"(?!\d)(?![.,:/]\d)"
_NUM_MARKED = rf"(?:(?:{_GROUPED})|\d{{1,15}})(?:[.,]\d{{1,4}})?"  # any number (beside a currency)
_NUM_PRICE = (
    r"(?:\d{1,3}(?:,\d{3}){1,6}|\d{1,3}(?:['\u2019\u00a0\u202f]\d{3}){1,6}|\d{1,15})\.\d{2}"
    r"|(?:\d{1,3}(?:\.\d{3}){1,6}|\d{1,3}(?:['\u2019\u00a0\u202f ]\d{3}){1,6}|\d{1,15}),\d{2}"
)
_SIGN = r"(?:(?<![\w)])[-\u2212+]\s?)?"
_MONEY = re.compile(
    rf"(?P<cur1>(?<![A-Za-z])(?i:{_CODES})(?![A-Za-z])|{_SYMBOLS})\s{{0,3}}(?P<n1>[-\u2212]?(?:{_NUM_MARKED})){_AFTER}"
    rf"|{_BEFORE}(?P<n2>{_SIGN}(?:{_NUM_PRICE})){_AFTER}(?!\s?%)(?:\s?(?P<cur2>(?:(?i:{_CODES})(?![A-Za-z])|{_SYMBOLS})))?"
    rf"|{_BEFORE}(?P<n3>{_SIGN}(?:{_NUM_MARKED})){_AFTER}\s?(?P<cur3>(?:(?:{_CODES})(?![A-Za-z])|[€£¥₹₩₽₺฿₫₱₦₴₪]))(?!\s?\d)"
)
_NUMBER = re.compile(
    rf"{_BEFORE}(?<![A-Za-z]){_SIGN}(?:(?:{_GROUPED})|\d{{1,15}})(?:[.,]\d{{1,10}})?{_AFTER}(?![A-Za-z])"
)


def parse_number(text: str) -> Decimal | None:
    """The one number of a short text, or None. Knows 1,234.50, 1.234,50, 1 234,50, 1'234.50, (5.00), 5.00-."""
    if len(text) > 64:
        return None
    s = unicodedata.normalize("NFKC", text).strip().replace("\u2212", "-")
    found = re.findall(r"\d[\d.,' \u2019]{0,40}", s)
    if len(found) != 1:
        return None
    at = s.index(found[0])
    digits = found[0].rstrip(" .,'\u2019")
    before, after = s[:at].rstrip(), s[at + len(found[0].rstrip()) :].lstrip()
    # "- 5.00", "-RM5.00", "RM -5.00" and "5.00-" are negative, as is "(5.00)"; a dash far from it is not
    negative = (
        before.endswith("-") or before.startswith("-") or after == "-" or ("(" in before and after.startswith(")"))
    )
    body = re.sub(r"['\u2019 ]", "", digits)
    dot, comma = body.count("."), body.count(",")
    if dot and comma:
        mark = "." if body.rindex(".") > body.rindex(",") else ","
        body = body.replace("," if mark == "." else ".", "")
        if body.count(mark) > 1:
            return None
        body = body.replace(mark, ".")
    elif dot + comma == 1:
        mark = "." if dot else ","
        # 1,234 is a thousand; 1.234 and 1,23 are decimals (a lone dot is a decimal point)
        if mark == "," and len(body) - body.index(mark) - 1 == 3 and body.index(mark) <= 3 and not body.startswith("0"):
            body = body.replace(",", "")
        else:
            body = body.replace(mark, ".")
    elif dot > 1 or comma > 1:
        parts = re.split(r"[.,]", body)
        if any(len(p) != 3 for p in parts[1:]) or not 1 <= len(parts[0]) <= 3:
            return None
        body = "".join(parts)
    try:
        value = Decimal(body)
    except InvalidOperation:
        return None
    return -value if negative else value


parse_money = parse_number  # currency signs and tax letters round the number are passed over


def money_spans(text: str, *, currency: bool = False) -> list[Span]:
    """Amounts of money: numbers with two decimals, and any number beside a currency sign.

    `currency=False`: the span is the number alone ("26.10"); True: with its sign ("RM 26.10").
    Percentages, times and dates are not amounts.
    """
    out = []
    taken = [(s.start, s.end) for s in date_spans(text)]
    for m in _MONEY.finditer(text):
        group = next(g for g in ("n1", "n2", "n3") if m.group(g) is not None)
        start, end = m.span() if currency else m.span(group)
        if any(a < end and start < b for a, b in _near(taken, start)):
            continue
        value = parse_number(m.group(group))
        if value is not None:
            out.append(Span(start, end, text[start:end], value))
    return out


def number_spans(text: str) -> list[Span]:
    """Every number that stands alone (not part of a word, a time or a date)."""
    taken = [(s.start, s.end) for s in date_spans(text)]
    out = []
    for m in _NUMBER.finditer(text):
        if any(a < m.end() and m.start() < b for a, b in _near(taken, m.start())):
            continue
        value = parse_number(m.group())
        if value is not None:
            out.append(Span(m.start(), m.end(), m.group(), value))
    return out


def _near(taken: list[tuple[int, int]], at: int) -> list[tuple[int, int]]:
    import bisect

    i = bisect.bisect_right(taken, (at, 1 << 60))
    return taken[max(0, i - 1) : i + 2]


# ----------------------------------------------------------------------------- dates

_MONTHS = {
    m: i // 2 + 1
    for i, m in enumerate(
        [
            "january",
            "jan",
            "february",
            "feb",
            "march",
            "mar",
            "april",
            "apr",
            "may",
            "may",
            "june",
            "jun",
            "july",
            "jul",
            "august",
            "aug",
            "september",
            "sep",
            "october",
            "oct",
            "november",
            "nov",
            "december",
            "dec",
        ]
    )
} | {"sept": 9}
_MON = r"(?i:" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")"
_GAP = r"[ \t]{0,2}[-/.,' ]?[ \t]{0,2}"
_YEAR = r"(?:(?:19|20)\d\d|\d\d)"
_DATE = re.compile(
    "|".join(
        (
            r"(?<!\d)(?<!\d[-/.])(?P<y1>(?:19|20)\d\d)(?P<s1>[-/.])(?P<m1>\d{1,2})(?P=s1)(?P<d1>\d{1,2})(?!\d)(?![-/.]\d)",
            rf"(?<!\d)(?<!\d[-/.])(?P<a2>\d{{1,2}})[ ]?(?P<s2>[-/.])[ ]?(?P<b2>\d{{1,2}})[ ]?(?P=s2)[ ]?(?P<y2>{_YEAR})(?!\d)(?![-/]\d)(?!\.\d)",
            rf"(?<!\d)(?P<d3>\d{{1,2}})(?i:st|nd|rd|th)?{_GAP}(?P<m3>{_MON})\.?(?![A-Za-z]){_GAP}(?P<y3>{_YEAR})(?!\d)(?!:\d)",
            rf"(?<![A-Za-z])(?P<m4>{_MON})\.?{_GAP}(?P<d4>\d{{1,2}})(?i:st|nd|rd|th)?(?:[ ]{{0,2}},[ ]{{0,2}}|[ ]|[-/.'])(?P<y4>{_YEAR})(?!\d)(?!:\d)",
            rf"(?<!\d)(?P<y5>(?:19|20)\d\d){_GAP}(?P<m5>{_MON})\.?(?![A-Za-z]){_GAP}(?P<d5>\d{{1,2}})(?!\d)",
            r"(?P<y6>(?:19|20)\d\d)年[ ]?(?P<m6>\d{1,2})月[ ]?(?P<d6>\d{1,2})日",
            # a date with a clock time glued on: 02/05/201814:17
            r"(?<!\d)(?P<a7>\d{1,2})(?P<s7>[-/.])(?P<b7>\d{1,2})(?P=s7)(?P<y7>(?:19|20)\d\d)(?=\d{1,2}:\d\d)",
        )
    )
)


def _day(y: str, m: str | int, d: str) -> datetime.date | None:
    year = int(y)
    if len(y) == 2:
        year += 2000 if year < 69 else 1900
    try:
        return datetime.date(year, int(m), int(d))
    except ValueError:
        return None


def _readings(match: re.Match) -> tuple[datetime.date | None, datetime.date | None]:
    """(day first, month first); both the same where the order of writing leaves no doubt."""
    g = match.groupdict()
    for k in ("2", "7"):
        if g["a" + k]:
            return _day(g["y" + k], g["b" + k], g["a" + k]), _day(g["y" + k], g["a" + k], g["b" + k])
    for k in ("1", "3", "4", "5", "6"):
        if g["d" + k]:
            month = g["m" + k]
            d = _day(g["y" + k], _MONTHS.get(month.lower(), month), g["d" + k])
            return d, d
    return None, None


def _resolve(readings, day_first: bool | None) -> datetime.date | None:
    by_day, by_month = readings
    if day_first is True:
        return by_day
    if day_first is False:
        return by_month
    if by_day and by_month and by_day != by_month:
        return None  # ambiguous
    return by_day or by_month


def date_spans(text: str, *, day_first: bool | None = None) -> list[Span]:
    """Calendar dates in many written forms, without a time of day. A span with no valid reading is left out.

    `value` is the date, or None where the reading is ambiguous (day_first=None: 02/05/2018).
    """
    out = []
    for m in _DATE.finditer(text):
        r = _readings(m)
        if any(r):
            out.append(Span(m.start(), m.end(), m.group(), _resolve(r, day_first)))
    return out


def parse_date(text: str, *, day_first: bool | None = None) -> datetime.date | None:
    """The first date of a short text; None if there is none, or if it can be read in two ways."""
    m = _DATE.search(text[:200])
    return _resolve(_readings(m), day_first) if m else None


# ----------------------------------------------------------------------------- lines

_LINE = re.compile(r"[^\r\n]+")
# a code in brackets, or a bare one with a digit, at the end of a line: "(519537-X)", "(CO. NO:20154-T)", " 862725-U"
_TAIL = re.compile(r"\s{0,4}(?:[(\[][^()\[\]\n]{0,40}\d[^()\[\]\n]{0,40}[)\]]|\s\d[\w-]{3,20})\s{0,4}$")


def line_spans(
    text: str, *, first: int | None = None, last: int | None = None, letters: int = 2, trim: bool = False, join: int = 1
) -> list[Span]:
    """Lines of a text, without outer white space.

    letters: a line with fewer letters is left out.  first/last: only that many lines that passed, from the top or
    the end.  trim: a line that ends with a code (in brackets, or with a digit) is given without that code (instead
    of the whole line).  join: also the spans of 2..join lines that follow one another.
    """
    whole = []
    for m in _LINE.finditer(text):
        raw = m.group()
        lead, tail = len(raw) - len(raw.lstrip()), len(raw.rstrip())
        if sum(c.isalpha() for c in raw) >= max(1, letters):
            whole.append((m.start() + lead, m.start() + tail))
    if first is not None:
        whole = whole[:first] if last is None else whole[:first] + whole[max(first, len(whole) - last) :]
    elif last is not None:
        whole = whole[max(0, len(whole) - last) :]
    out = []
    for i, (a, b) in enumerate(whole):
        for n in range(1, max(1, join) + 1):
            if i + n > len(whole):
                break
            end = whole[i + n - 1][1]
            if n > 1 and text.count("\n", a, end) > n - 1:
                break  # a line between them was left out
            if trim:
                t = _TAIL.search(text[max(a, end - 100) : end])
                if t:
                    cut = max(a, end - 100) + t.start()
                    if sum(c.isalpha() for c in text[a:cut]) >= max(1, letters):
                        end = cut
            out.append(Span(a, end, text[a:end], " ".join(text[a:end].split())))
    return out


# ----------------------------------------------------------------------------- labelled spans


def labelled(text: str, spans: Iterable[Span], *, max_label: int = 60) -> list[Span]:
    """Each span with what stands before it on its line: "TOTAL INCL. GST@6%  RM 26.10" for 26.10.

    Where nothing with a letter stands before it, the line above is taken too. `value` stays the value of the span, so
    the chosen text leads back to it; the text is still an exact substring.
    """
    out = []
    for s in spans:
        start = text.rfind("\n", 0, s.start) + 1
        if not any(c.isalpha() for c in text[start : s.start]) and start > 0:
            start = text.rfind("\n", 0, start - 1) + 1
        start = max(start, s.start - max_label)
        while start < s.start and text[start].isspace():
            start += 1
        out.append(Span(start, s.end, text[start : s.end], s.value))
    return out


def distinct(
    spans: Iterable[Span],
    key: Callable[[Span], object] = lambda s: s.shown,
    *,
    keep: str = "first",
    limit: int | None = None,
) -> list[Span]:
    """One span for each key (the first or the last one), in order of appearance; at most `limit`."""
    seen: dict = {}
    for s in spans:
        if keep == "last":
            seen.pop(key(s), None)
            seen[key(s)] = s
        else:
            seen.setdefault(key(s), s)
    out = list(seen.values())
    return out[:limit] if limit else out
