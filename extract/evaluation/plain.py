"""Values as people and JSON have them."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any


def plain(value: Any) -> Any:
    """A value of a table as JSON data: a decimal is a number where that is exact, else text, without empty places."""
    if isinstance(value, Mapping):
        return {_clean(str(name)): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, float) and value - value != 0:  # NaN and infinity are none in JSON
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    for kind, shown in _SHOWN.items():
        if isinstance(value, kind):
            return shown(value)
    return _clean(str(value))


def cell_text(value: Any) -> str | None:
    """A value as a cell of text: nested ones as JSON."""
    if isinstance(value, Decimal):
        return _digits(value)
    found = plain(value)
    if found is None or isinstance(found, str):
        return found
    return json.dumps(found, ensure_ascii=False)


def _clean(text: str) -> str:
    """Without halves of pairs, which no file can hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def _digits(value: Decimal) -> str:
    text = format(value, "f") if abs(value.adjusted()) < 100 else str(value)
    return text.rstrip("0").rstrip(".") if "." in text and "E" not in text else text


def _number(value: Decimal) -> int | float | str:
    text = _digits(value)
    if "." not in text and "E" not in text:
        return int(text) if text.lstrip("-").isdigit() else text
    return float(text) if len(text) < 16 and Decimal(repr(float(text))) == value else text


_SHOWN: dict[type, Callable[[Any], Any]] = {
    Decimal: _number,
    dt.timedelta: lambda value: value.total_seconds(),
    dt.date: lambda value: value.isoformat(),
    dt.time: lambda value: value.isoformat(),
    bytes: lambda value: base64.b64encode(value).decode(),
}
