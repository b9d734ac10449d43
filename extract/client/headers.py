"""What headers say of limits: how long to wait, and how much is left of which allowance."""

from __future__ import annotations

import datetime as dt
import email.utils
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DAY = 86_400.0  # seconds; no allowance takes longer to open again
_UNITS = {"ms": 0.001, "mil": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY}
_PIECE = (
    r"(\d+(?:\.\d+)?) ?"
    r"(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)(?![a-z])"
)
_PIECES = re.compile(_PIECE)
_DURATION = re.compile(rf"(?:{_PIECE} ?)+")
_ASKED = re.compile(rf"(try again|retry) (?:in|after) ((?:{_PIECE} ?)+)")
_LIMIT = re.compile(r"(?:x-)?ratelimit-(limit|remaining|reset)(?:-([a-z-]+))?")
_EPOCH = 1e9  # numbers from here on are points in time, in seconds
_EPOCH_MS = 1e11  # and from here on in milliseconds


@dataclass(frozen=True, slots=True)
class Window:
    """One allowance: how much there is, how much is left, and in how many seconds it is whole again."""

    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """The allowances that the headers of an answer name: "requests", "tokens" and so on, and ToAPIs' category."""

    windows: Mapping[str, Window] = field(default_factory=dict)
    category: str | None = None

    @property
    def wait(self) -> float | None:
        """Seconds until every allowance that is used up opens again; None when none is, or none says when."""
        waits = [window.reset for window in self.windows.values() if window.remaining == 0 and window.reset]
        return max(waits, default=None)


def limits_in(headers: Mapping[str, str], now: float | None = None, own: Sequence[str] = ()) -> RateHeaders:
    """The rate-limit headers of any dialect as numbers: `x-ratelimit-limit-requests`, `X-RateLimit-Remaining`.

    What names no unit is of requests. Of one allowance the headers that the dialect calls its `own` count, where there
    are any: a gateway passes on those of its upstream as well. Values that cannot be (-1, a limit of 0, a reset in the
    past or in a week) are left out: some servers send them.
    """
    given = lowered(headers)
    names = {name.lower() for name in own}
    passed_on, of_own = (
        _windows({name: text for name, text in given.items() if (name in names) is is_own}, now)
        for is_own in (False, True)
    )
    return RateHeaders(passed_on | of_own, given.get("x-ratelimit-category"))


def _windows(headers: Mapping[str, str], now: float | None) -> dict[str, Window]:
    named: dict[str, dict[str, str]] = {}
    for name, text in headers.items():
        if found := _LIMIT.fullmatch(name):
            named.setdefault(found[2] or "requests", {})[found[1]] = text
    return {unit: window for unit, texts in named.items() if (window := _window(texts, now)) is not None}


def _window(texts: Mapping[str, str], now: float | None) -> Window | None:
    limit, remaining = (_number(texts[name]) if name in texts else None for name in ("limit", "remaining"))
    if "limit" in texts and not limit:  # then the rest is no better
        return None
    window = Window(limit, remaining, _until(texts.get("reset", ""), now))
    return None if window == Window() else window


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that the server asks to wait, else None.

    Of `retry-after-ms`, and `retry-after` as seconds, as a duration ("1m30s") or as a date; a date that is past is 0.
    """
    given = lowered(headers)
    milliseconds = _number(given.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    text = given.get("retry-after", "")
    for read in (_number, duration):
        seconds = read(text)
        if seconds is not None:
            return seconds
    seconds = _until_date(text, now)
    return None if seconds is None else max(0.0, seconds)


def duration(text: str) -> float | None:
    """Seconds of "41.724s", "6m0s", "20ms", "1 minute 30 seconds"; None for any other text."""
    text = text.strip().lower()
    if not _DURATION.fullmatch(text):
        return None
    total = sum(float(number) * _UNITS.get(unit[:3], _UNITS[unit[0]]) for number, unit in _PIECES.findall(text))
    return total if math.isfinite(total) else None


def wait_in(text: str, *, only: str | None = None) -> float | None:
    """Seconds that a sentence asks to wait: "try again in 41.724s", "retry after 20 seconds"; `only` one of the two."""
    for found in _ASKED.finditer(" ".join(text.lower().split())):
        if only is None or found[1] == only:
            return duration(found[2])
    return None


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """Header names in lower case, values stripped."""
    return {str(name).lower(): str(value).strip() for name, value in headers.items()}


def _number(text: str) -> float | None:
    """A number that is not negative; of one that was sent twice ("5, 5") the first."""
    try:
        number = float(text.partition(",")[0])
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def _until(text: str, now: float | None) -> float | None:
    """Seconds until a reset: a duration, a number of seconds, a point in time in seconds, milliseconds or as a date."""
    number = _number(text)
    if number is None:
        seconds = duration(text)
        seconds = _until_date(text, now) if seconds is None else seconds
    elif number >= _EPOCH:
        seconds = (number / 1000 if number >= _EPOCH_MS else number) - _now(now)
    else:
        seconds = number
    return seconds if seconds is not None and 0 < seconds <= DAY else None


def _until_date(text: str, now: float | None) -> float | None:
    """Seconds until a date of HTTP, or of ISO 8601."""
    try:
        parts = email.utils.parsedate_tz(text)
        if parts is not None:
            return email.utils.mktime_tz(parts) - _now(now)
        moment = dt.datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp() - _now(now)
    except (ValueError, OverflowError, TypeError, IndexError):  # the last two from email.utils, on odd dates
        return None


def _now(now: float | None) -> float:
    return time.time() if now is None else now
