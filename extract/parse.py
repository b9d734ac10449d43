"""The text of an answer as JSON, strictly: what Python's own reader lets pass in silence is an issue here.

Numbers with a fraction stay exact (Decimal). NaN, Infinity, a key that comes twice, a lone surrogate, a number beyond
any column and a nesting that no schema asked for are refused.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from extract.records import Issue

MAX_EXPONENT = 400  # a float ends at 308


class ParseError(ValueError):
    """An answer that is not strict JSON; carries the issue."""

    def __init__(self, code: str, message: str, value: Any = None) -> None:
        super().__init__(message)
        self.issue = Issue("parse", code, "$", message, value)


def parse_json(text: str) -> Any:
    """The one JSON value of the text. Raises ParseError."""
    try:
        value = json.loads(
            text, parse_float=_number, parse_int=_whole, parse_constant=_constant, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 20) : error.pos + 20]
        raise ParseError("parse.json", f"{error.msg} at character {error.pos}", near) from None
    except RecursionError:
        raise ParseError("parse.depth", "nested too deeply") from None
    if "\\u" in text or not text.isascii():
        _refuse_surrogates(value)
    return value


def _number(digits: str) -> Decimal:
    number = Decimal(digits)
    if abs(number.adjusted()) > MAX_EXPONENT:
        raise ParseError("parse.number", "a number beyond any column", digits[:80])
    return number


def _whole(digits: str) -> int:
    if len(digits) > MAX_EXPONENT:
        raise ParseError("parse.number", "a number beyond any column", digits[:80])
    return int(digits)


def _constant(name: str) -> Any:
    raise ParseError("parse.number", f"{name} is not JSON", name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ParseError("parse.duplicate_key", f"the key {twice!r} comes twice", twice)
    return found


def _refuse_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise ParseError("parse.surrogate", "half of a surrogate pair is no text") from None
