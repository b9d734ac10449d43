"""Second opinions on receipts, by their layout."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.trust.opinions import likeness, opposed
from extract import Issue, Record
from extract.spans import date_spans, line_spans, money_spans

_SUFFIX = re.compile(r"\b(s/?b|sdn|bhd|enterprise|trading|restoran|restaurant|cafe|plt|ltd|perniagaan|kedai)\b", re.I)
_NOT_TOTAL = re.compile(
    r"qty|quantity|item|disc|saving|excl|before|sub|total gst|gst payable|tax\b(?!.*incl)|point|paid|supplies|stamp",
    re.I,
)
_LAST = re.compile(r"rounded|after (adj|round)|total payable|nett? total|amount due|to pay", re.I)
_TOTAL = re.compile(r"total|amount due|to pay|nett|payable", re.I)
_POSTCODE = re.compile(r"\b\d{5}\b")
_STREET = re.compile(
    r"\b(jalan|jln|lot|no\.?\s*\d|taman|lorong|persiaran|batu|pt\s*\d|ground floor|level|bandar)", re.I
)


@dataclass(frozen=True)
class Printed:
    """What a receipt's layout says: the company on top, the date that stands first, the total behind its word, the
    address between company and the numbers."""

    def __call__(self, value: Any, record: Record) -> Iterator[Issue]:
        text = str(record["text"])
        for field, opinions in (
            ("company", [company_of(text)]),
            ("date", [date_of(text)]),
            ("total", [total_of(text), paid_of(text)]),
            ("address", [address_of(text)]),
        ):
            said = getattr(value, field)
            wrong = [other for other in opinions if other is None or not _is_alike(said, other)]
            if wrong:
                yield opposed(field, said if said is None else str(said), str(wrong[0]))


def _is_alike(said: Any, other: Any) -> bool:
    if isinstance(said, str) and isinstance(other, str):
        return likeness(said, other) >= 0.9
    return bool(said == other)


def company_of(text: str) -> str | None:
    """The first of the top lines with a word for a firm, without the code at its end; else the first line."""
    tops = [re.sub(r"\s*\([^()]*\d[^()]*\)?\s*$", "", span.shown) for span in line_spans(text)][:4]
    return next((line for line in tops if _SUFFIX.search(line)), tops[0] if tops else None)


def date_of(text: str) -> Any:
    return next((span.value for span in date_spans(text, day_first=True)), None)


def total_of(text: str) -> Any:
    """The amount on the last line that speaks of the total, and of nothing that only sounds like it."""
    found = [(line, [span.value for span in money_spans(line)]) for line in text.splitlines() if _TOTAL.search(line)]
    own = [(line, amounts[0]) for line, amounts in found if len(amounts) == 1 and not _NOT_TOTAL.search(line)]
    final = [amount for line, amount in own if _LAST.search(line)] or [amount for _, amount in own]
    return final[-1] if final else max((amount for _, amounts in found for amount in amounts), default=None)


def paid_of(text: str) -> Any:
    """What was handed over less the change; where that is not printed, the total by its words."""
    cash, change = (_amount(text, pattern) for pattern in (r"^\W*(cash|tender|visa|master|amount paid)", r"^\W*change"))
    return cash - change if cash is not None and change is not None else total_of(text)


def _amount(text: str, pattern: str) -> Any:
    lines = [line for line in text.splitlines() if re.search(pattern, line, re.IGNORECASE)]
    return next((span.value for line in lines for span in money_spans(line)), None)


def address_blocks(text: str) -> list[str]:
    """Runs of one to five lines near the top that could be an address, the likeliest first."""
    lines = [line.strip() for line in text.splitlines()[:12]]
    runs = [(start, end) for start in range(1, len(lines)) for end in range(start + 1, min(start + 6, len(lines) + 1))]
    scored = sorted(runs, key=lambda run: -_of_address(lines[run[0] : run[1]]))
    return list(dict.fromkeys(" ".join(lines[start:end]).strip(" .,") for start, end in scored))[:24]


_OTHER = re.compile(
    r"gst|tel|fax|invoice|reg|co\.?\s*no|\(\s*\d+\s*-|date|cashier|bill|receipt|roc|www|@|sdn|bhd", re.I
)


def _of_address(lines: Sequence[str]) -> float:
    score = 0.0
    for line in lines:
        score += -3 if _OTHER.search(line) else 1.0 if _STREET.search(line) or "," in line else -0.2
    return score + (2 if _POSTCODE.search(" ".join(lines[-2:])) else 0) + (1 if _STREET.search(lines[0]) else 0)


def address_of(text: str) -> str | None:
    return next(iter(address_blocks(text)), None)
