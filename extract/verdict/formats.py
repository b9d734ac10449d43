"""Formats that are judged, and numbers as exact as they are written."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any


def exact(node: Any) -> Any:
    """The value with its fractions as Decimals: a float means its shortest digits (three times 0.1 is 0.3 then)."""
    if isinstance(node, Mapping):
        found: dict[str, Any] = {}
        for key, value in node.items():  # no comprehension: half the depth of the stack
            found[key] = exact(value)
        return found
    if isinstance(node, list | tuple):
        items = []
        for item in node:
            items.append(exact(item))
        return items
    return Decimal(repr(node)) if isinstance(node, float) else node


_read_date = dt.date.fromisoformat
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d"
_TIME = re.compile(rf"{_CLOCK}(:[0-5]\d(\.\d{{1,9}})?)?(Z|[+-]{_CLOCK})?", re.ASCII | re.IGNORECASE)


def _is_date(value: object) -> bool:
    """YYYY-MM-DD: of what `fromisoformat` takes, the other forms of ten characters have no hyphen there."""
    if not isinstance(value, str):
        return True
    try:
        return len(value) == 10 and value[4] == value[7] == "-" and bool(_read_date(value))
    except ValueError:
        return False


def _is_time(value: object) -> bool:
    return not isinstance(value, str) or bool(_TIME.fullmatch(value))


def _is_date_time(value: object) -> bool:
    """RFC 3339, the zone left open: the model says whether it needs one."""
    if not isinstance(value, str):
        return True
    day, _, clock = value.replace("t", "T").replace(" ", "T").partition("T")
    return _is_date(day) and bool(_TIME.fullmatch(clock))


FORMATS: Mapping[str, Callable[[object], bool]] = {"date": _is_date, "time": _is_time, "date-time": _is_date_time}
