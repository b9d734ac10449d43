"""The text of an answer as JSON, strictly: what Python's own reader lets pass in silence is an issue here.

Numbers with a fraction stay exact (Decimal). NaN, Infinity, a key that comes twice, a lone surrogate, a number beyond
any column and a nesting that no schema asked for are refused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

import jiter

from extract.records import Issue

MAX_DIGITS = 400  # of one number, and the size of its exponent: a float ends at 308
MAX_DEPTH = 100  # objects and lists within each other

MAX_TEXT = 4_000_000  # characters; a larger one would hold up all other records

_UNREAD = object()
_SHAPE = bytes.maketrans(b"123456789E[", b"000000000e{")  # numbers and brackets, whichever they are
_SIGNS = b"+-"
_LONG, _FAR = b"0" * 100, b"0e000"  # in that shape, without signs: what may be a number beyond MAX_DIGITS


class ParseError(ValueError):
    """An answer that is not strict JSON; carries the issue, and for a fault of syntax its place."""

    def __init__(self, code: str, message: str, value: Any = None, position: int | None = None) -> None:
        super().__init__(message)
        self.issue = Issue("parse", code, "$", message, value)
        self.position = position  # character at which it is no JSON


def parse_json(text: str) -> Any:
    """The one JSON value of the text. Raises ParseError."""
    if len(text) > MAX_TEXT:
        raise ParseError("parse.size", f"the answer has {len(text):,} characters, more than any record needs")
    value = _read_fast(text)
    return _read_carefully(text) if value is _UNREAD else value


def parse_at(text: str, start: int) -> tuple[Any, int]:
    """The JSON value that begins at `start`, and where it ends; control characters may stand in its strings.

    Raises ParseError. All else is as strict as in `parse_json`.
    """
    try:
        value, end = _LENIENT.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise _no_json(text, error) from None
    except RecursionError:
        raise ParseError("parse.depth", "nested too deeply") from None
    _refuse_depth(value)
    _refuse_surrogates(value)
    return value, end


def _read_fast(text: str) -> Any:
    """What the compiled reader, which is as strict, makes of an ordinary text; `_UNREAD` on any fault or doubt."""
    try:
        data = text.encode()
        shape = data.translate(_SHAPE, _SIGNS)
        if _LONG in shape or _FAR in shape:
            return _UNREAD
        value = jiter.from_json(data, allow_inf_nan=False, catch_duplicate_keys=True, float_mode="decimal")
        if shape.count(b"{") > MAX_DEPTH:
            _refuse_depth(value)
    except ValueError:  # no JSON, half of a surrogate pair, too deep
        return _UNREAD
    return value


def _read_carefully(text: str) -> Any:
    """Python's own reader, with the issue for each fault."""
    try:
        value = json.loads(
            text, parse_float=_number, parse_int=_whole, parse_constant=_constant, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        raise _no_json(text, error) from None
    except RecursionError:
        raise ParseError("parse.depth", "nested too deeply") from None
    _refuse_depth(value)
    if "\\u" in text or not text.isascii():
        _refuse_surrogates(value)
    return value


def _no_json(text: str, error: json.JSONDecodeError) -> ParseError:
    near = text[max(0, error.pos - 20) : error.pos + 20]
    return ParseError("parse.json", f"{error.msg} at character {error.pos}", near, error.pos)


def _number(digits: str) -> Decimal:
    if len(digits) > MAX_DIGITS:
        raise _beyond(digits)
    try:
        number = Decimal(digits)
    except InvalidOperation:  # an exponent of more than 18 digits
        raise _beyond(digits) from None
    if abs(number.adjusted()) > MAX_DIGITS:
        raise _beyond(digits)
    return number


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _beyond(digits)
    return int(digits)


def _beyond(digits: str) -> ParseError:
    return ParseError("parse.number", "a number beyond any column", digits[:80])


def _constant(name: str) -> Any:
    raise ParseError("parse.number", f"{name} is not JSON", name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = Counter(name for name, _ in pairs)
        twice = next(name for name in names if names[name] > 1)
        raise ParseError("parse.duplicate_key", f"the key {twice!r} comes twice", twice)
    return found


def _refuse_depth(value: Any) -> None:
    """What comes after may walk an answer by recursion, so it must stay far from Python's own limit."""
    level = [value]
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [child for node in level for child in _children(node)]
    if any(isinstance(node, dict | list) for node in level):
        raise ParseError("parse.depth", "nested too deeply")


def _children(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _refuse_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise ParseError("parse.surrogate", "half of a surrogate pair is no text") from None


_LENIENT = json.JSONDecoder(
    strict=False, parse_float=_number, parse_int=_whole, parse_constant=_constant, object_pairs_hook=_object
)
