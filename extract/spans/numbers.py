"""Numbers and amounts of money, in the usual writings of any country."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from decimal import Decimal, InvalidOperation

from extract.spans.dates import date_spans
from extract.spans.span import Span

MAX_NUMBER_TEXT = 64  # characters of which a number is read

_CODES = (
    "RM|MYR|USD|EUR|GBP|SGD|AUD|CAD|NZD|HKD|JPY|CNY|RMB|INR|IDR|THB|PHP|VND|KRW|TWD|CHF|SEK|NOK|DKK|PLN|CZK|"
    "HUF|RON|TRY|ZAR|BRL|MXN|AED|SAR|ILS|RUB|UAH|NGN|KES|EGP|Rp|Rs|kr|Fr|zł|Kč|Ft"
)
_SYMBOLS = r"(?:US|AU|A|C|CA|HK|NZ|NT|S|R)?\$|[€£¥₹₩₽₺฿₫₱₦₴₪]"
# Digits with thousands marks of one kind (three digits after each), or plain digits; then decimals. A plain space is a
# thousands mark only before a decimal comma (1 234,50): on an English receipt "2 100.00" is two numbers.
_GROUPED = r"\d{1,3}(?:,\d{3}){1,6}|\d{1,3}(?:\.\d{3}){1,6}|\d{1,3}(?:['\u2019\u00a0\u202f]\d{3}){1,6}"
_BEFORE = r"(?<![\d])(?<!\d[.,:/])"  # not inside a longer number, time or date
_AFTER = r"(?!\d)(?![.,:/]\d)"
_MARKED = rf"(?:(?:{_GROUPED})|\d{{1,15}})(?:[.,]\d{{1,4}})?"  # any number, beside a currency
_PRICE = (
    r"(?:\d{1,3}(?:,\d{3}){1,6}|\d{1,3}(?:['\u2019\u00a0\u202f]\d{3}){1,6}|\d{1,15})\.\d{2}"
    r"|(?:\d{1,3}(?:\.\d{3}){1,6}|\d{1,3}(?:['\u2019\u00a0\u202f ]\d{3}){1,6}|\d{1,15}),\d{2}"
)
_SIGN = r"(?:(?<![\w)])[-\u2212+]\s?)?"
_MONEY = re.compile(
    rf"(?:(?<![A-Za-z])(?i:{_CODES})(?![A-Za-z])|{_SYMBOLS})\s{{0,3}}(?P<n1>[-\u2212]?(?:{_MARKED})){_AFTER}"
    rf"|{_BEFORE}(?P<n2>{_SIGN}(?:{_PRICE})){_AFTER}(?!\s?%)"
    rf"|{_BEFORE}(?P<n3>{_SIGN}(?:{_MARKED})){_AFTER}\s?(?:(?:{_CODES})(?![A-Za-z])|[€£¥₹₩₽₺฿₫₱₦₴₪])(?!\s?\d)"
)
_NUMBER = re.compile(
    rf"{_BEFORE}(?<![A-Za-z]){_SIGN}(?:(?:{_GROUPED})|\d{{1,15}})(?:[.,]\d{{1,10}})?{_AFTER}(?![A-Za-z])"
)
_DIGITS = re.compile(r"\d[\d.,' \u2019]{0,40}")
_THOUSANDS = 3  # digits between two marks


def money_spans(text: str) -> list[Span]:
    """Amounts: numbers with two decimals, and any number beside a currency sign; the span is the number alone.

    Percentages, times and dates are no amounts.
    """
    return _read([match.span(_amount(match)) for match in _MONEY.finditer(text)], text)


def number_spans(text: str) -> list[Span]:
    """Every number that stands alone: no part of a word, a time or a date."""
    return _read([match.span() for match in _NUMBER.finditer(text)], text)


def parse_number(text: str) -> Decimal | None:
    """The one number of a short text, or None. Knows 1,234.50, 1.234,50, 1 234,50, 1'234.50, (5.00), 5.00-."""
    if len(text) > MAX_NUMBER_TEXT:
        return None
    plain = unicodedata.normalize("NFKC", text).strip().replace("\u2212", "-")
    found = _DIGITS.findall(plain)
    if len(found) != 1:
        return None
    at = plain.index(found[0])
    digits = re.sub(r"['\u2019 ]", "", found[0].rstrip(" .,'\u2019"))
    body = _with_point(digits)
    try:
        value = Decimal(body) if body else None
    except InvalidOperation:
        return None
    if value is None:
        return None
    return -value if _is_negative(plain[:at].rstrip(), plain[at + len(found[0].rstrip()) :].lstrip()) else value


def _amount(match: re.Match[str]) -> str:
    """The group that holds the number."""
    return next(name for name in ("n1", "n2", "n3") if match[name] is not None)


def _read(places: list[tuple[int, int]], text: str) -> list[Span]:
    """The spans at these places that read as a number and are no part of a date."""
    dates = [(span.start, span.end) for span in date_spans(text)]
    found = []
    for start, end in places:
        near = bisect_right(dates, (start, len(text)))
        if any(a < end and start < b for a, b in dates[max(0, near - 1) : near + 1]):
            continue
        value = parse_number(text[start:end])
        if value is not None:
            found.append(Span(start, end, text[start:end], value))
    return found


def _is_negative(before: str, after: str) -> bool:
    """ "- 5.00", "-RM5.00", "RM -5.00", "5.00-" and "(5.00)" are; a dash far from the number does not count."""
    return before.endswith("-") or before.startswith("-") or after == "-" or ("(" in before and after.startswith(")"))


def _with_point(digits: str) -> str | None:
    """Digits with one decimal point at most: "1.234,50" is "1234.50"; None for what no country writes."""
    dots, commas = digits.count("."), digits.count(",")
    if dots and commas:
        mark, other = (".", ",") if digits.rindex(".") > digits.rindex(",") else (",", ".")
        whole = digits.replace(other, "")
        return whole.replace(mark, ".") if whole.count(mark) == 1 else None
    if dots + commas == 1:
        return digits if dots else _lone_comma(digits)
    parts = re.split(r"[.,]", digits)
    if len(parts) > 1 and (len(parts[0]) > _THOUSANDS or any(len(part) != _THOUSANDS for part in parts[1:])):
        return None
    return "".join(parts)


def _lone_comma(digits: str) -> str:
    """1,234 is a thousand; 1,23 and 0,500 are decimals."""
    whole, decimals = digits.split(",")
    is_thousands = len(decimals) == _THOUSANDS and len(whole) <= _THOUSANDS and not digits.startswith("0")
    return whole + decimals if is_thousands else f"{whole}.{decimals}"
