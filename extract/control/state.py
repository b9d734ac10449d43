"""What a controller has learned, as plain numbers: for several processes that take turns with one.

The calls in flight are no part of it: whoever keeps the numbers knows whose they are.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from extract.control.controller import Controller

Convert = Callable[[float], Any]


def _moment(value: float) -> float | None:
    return None if math.isnan(value) else value


def _number(value: float) -> float:
    if math.isnan(value):
        raise ValueError("no number")
    return value


_OWN: dict[str, Convert] = {
    "_window": _number,
    "_pause_until": _number,
    "_pause": _number,
    "_is_doubted": bool,
    "_scout": bool,
    "_epoch": int,
    "_order": int,
    "_resumed": _number,
    "_cut_at": _number,
    "_latency": _number,
    "_refusal": _number,
    "_ended": _number,
    "_limited_since": _moment,
    "_refused_at": _number,
}
_PARTS: dict[str, dict[str, Convert]] = {
    "_cap": {
        "limit": _number,
        "_most": int,
        "_accepted": int,
        "_anew": _number,
        "_refused_from": _number,
        "_refused_until": _number,
        "_origin": _number,
    },
    "_pace": {
        "is_known": bool,
        "next": _number,
        "_low": _number,
        "_hold": _number,
        "_origin": _number,
        "_is_new": bool,
        "_probe": _number,
        "_is_search": bool,
    },
    "_breaker": {
        "open_since": _moment,
        "_beside": int,
        "_over": _number,
        "_interval": _number,
        "_look_at": _number,
        "_is_looking": bool,
    },
    "_ration": {"is_engaged": bool, "_share": _number, "_left": _number, "_filled": _number},
    "_noise": {"_share": _number, "_most": _number, "_fastest": _number, "_last": _number, "_falls": int},
}
_NAMES = [*_OWN, *(f"{part}.{name}" for part, fields in _PARTS.items() for name in fields)]
_CONVERTS = [*_OWN.values(), *(convert for fields in _PARTS.values() for convert in fields.values())]
_AGES = 1e12  # seconds
_BUCKETS = 3  # next start; level and time of the tokens
_READ = attrgetter(*_NAMES)
_CEILING = _NAMES.index("_cap.limit")
_TARGETS = [(part, list(fields)) for part, fields in {"": _OWN, **_PARTS}.items()]

LENGTH = len(_NAMES) + _BUCKETS  # numbers that are always there; pairs of failures in a row follow


def numbers_of(control: Controller) -> array[float]:
    """All that it has learned."""
    found = [math.nan if value is None else float(value) for value in _READ(control)]
    if control._cap.limit >= control.rules.concurrency:
        found[_CEILING] = math.inf  # nothing was learned: it is whatever is allowed
    requests, tokens = control._requests, control._tokens
    found.append(requests.next if requests else -math.inf)
    found += (tokens.level, tokens._filled) if tokens else (math.nan, 0.0)
    return array("d", (*found, *(at for pair in control._breaker._failed for at in pair)))


def learn(control: Controller, numbers: Sequence[float]) -> None:
    """Make it know what another knew, as far as its own rules allow. Raises ValueError for what no controller wrote."""
    if len(numbers) < LENGTH or (len(numbers) - LENGTH) % 2:
        raise ValueError("the numbers of a controller are not all there")
    try:
        values = iter([convert(number) for convert, number in zip(_CONVERTS, numbers, strict=False)])
    except OverflowError as error:  # no count is infinite
        raise ValueError(str(error)) from error
    for part, names in _TARGETS:
        target = getattr(control, part) if part else control
        for name in names:
            setattr(target, name, next(values))
    if not _is_sound(control):
        raise ValueError("no controller knows such numbers")
    rules = control.rules
    control._cap.limit = min(control._cap.limit, float(rules.concurrency))
    control._window = min(control._window, float(rules.concurrency)) if rules.adaptive else float(rules.concurrency)
    start, level, filled = numbers[LENGTH - _BUCKETS : LENGTH]
    if control._requests and start > -math.inf:
        control._requests.next = start
    if control._tokens and not math.isnan(level):
        control._tokens.level, control._tokens._filled = min(level, control._tokens.size), filled
    failed = iter(numbers[LENGTH:])
    control._breaker._failed = deque(zip(failed, failed, strict=True))


def _is_sound(control: Controller) -> bool:
    pace = control._pace
    is_pace = min(pace._low, pace._hold) > 0 and pace._probe >= 1 and abs(pace._origin) < _AGES
    return control._window >= 1 and control._cap.limit >= 1 and (is_pace or not pace.is_known)


def bound(control: Controller, now: float, most: float) -> None:
    """Nothing that it was told by others has it wait for longer than `most` seconds, or one gap between starts."""
    pace, breaker, requests, tokens = control._pace, control._breaker, control._requests, control._tokens
    control._pause_until = min(control._pause_until, now + most)
    pace.next = min(pace.next, now + most)
    breaker._over = min(breaker._over, now)
    if breaker.open_since is not None:
        breaker.open_since, breaker._look_at = min(breaker.open_since, now), min(breaker._look_at, now + most)
    if requests:
        requests.next = min(requests.next, now + max(most, requests.gap))
    if tokens:
        tokens.owe(now, most)
