"""How two values of a field are compared: each kind reads a value into one form, and says when two are the same."""

from __future__ import annotations

import base64
import datetime as dt
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from difflib import SequenceMatcher
from functools import partial
from typing import Any

import pyarrow as pa

from extract.errors import ConfigError
from extract.nearest import did_you_mean

NESTED = ("list", "set", "ignore")  # what is said of a field and is no comparison of two values
NOISE = Decimal("1e-9")  # relative: what is left of a decimal fraction in binary
LONG_TEXT = 2000  # characters from which `similar` compares words, so that no text takes minutes

_EXACT = Context(prec=60, Emax=999_999, Emin=-999_999, traps=[])  # what is no number becomes NaN, beyond it infinity
_TRUE, _FALSE = {"true", "yes", "1", "y"}, {"false", "no", "0", "n"}


@dataclass(frozen=True, slots=True)
class Comparator:
    """`read` gives a value its one form and raises ValueError for what is none of the kind; `same` compares two."""

    name: str
    read: Callable[[Any], Any]
    same: Callable[[Any, Any], bool]
    is_equality: bool = True  # whether `same` is `==`, of values that can be hashed
    is_enum: bool = False
    is_noisy: bool = False  # `==` but for noise

    @property
    def is_chain(self) -> bool:
        """Whether what is the same as the same is the same."""
        return self.is_equality or self.is_noisy


def comparator_for(spec: str | Callable[[Any, Any], Any], kind: str, field: str) -> Comparator:
    """The comparator that a user names for a field of this kind. Raises ConfigError for one that there is not."""
    if callable(spec):
        own = spec
        return Comparator("own", lambda value: value, lambda a, b: bool(own(a, b)), is_equality=False)
    name, _, setting = spec.strip().partition(":")
    if name == "exact" and not setting:
        return Comparator("exact", _READERS["number"], _equal) if kind == "number" else default_for(kind)
    try:
        made = _MAKERS[name](setting)
    except KeyError:
        known = did_you_mean(name, ["exact", *_MAKERS, *NESTED])
        raise ConfigError(f"{field}: unknown comparator {spec!r}", hint=known) from None
    except ValueError as error:
        raise ConfigError(f"{field}: {spec!r}: {error}") from None
    return made


def default_for(kind: str) -> Comparator:
    """The comparator of a kind of column."""
    return _MAKERS[kind]("")


def kind_of(column: pa.DataType) -> str:
    """The kind of a column of single values, by its Arrow type."""
    if isinstance(column, pa.BaseExtensionType):
        return kind_of(column.storage_type)
    if pa.types.is_dictionary(column):
        return "enum"
    for kind, tests in _TESTS.items():
        if any(test(column) for test in tests):
            return kind
    return "text"


def guessed_kind(values: list[Any]) -> str:
    """The kind of cells that are all text, as CSV has them: what each of them can be read as."""
    found = [value for value in values if value is not None]
    for kind in ("bool", "number", "date", "datetime") if found else ():
        if all(_reads(_READERS[kind], value) for value in found):
            return kind
    return "text"


def _reads(read: Callable[[Any], Any], value: Any) -> bool:
    try:
        read(value)
    except ValueError:
        return False
    return True


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, int | float | Decimal):
        return str(value)
    raise ValueError(f"{_shown(value)} is no text")


def _folded(value: Any) -> str:
    return " ".join(_text(value).casefold().split())


def _letters(value: Any) -> str:
    """Letters and digits, their case folded; of a long text its words."""
    text = unicodedata.normalize("NFKC", _text(value)).casefold()
    return re.sub(r"[\W_]+", " " if len(text) > LONG_TEXT else "", text)


def _number(value: Any) -> int | Decimal:
    """A float is the decimal fraction that it is written as."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return value
    found = _EXACT.create_decimal(value.strip()) if isinstance(value, str) else Decimal("NaN")
    if not found.is_finite():
        raise ValueError(f"{_shown(value)} is no number (a decimal point, and no thousands separators: 1234.5)")
    return found


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = _text(value).strip().casefold() if isinstance(value, str | int) else ""
    if word not in _TRUE | _FALSE:
        raise ValueError(f"{_shown(value)} is neither true nor false")
    return word in _TRUE


def _date(value: Any) -> dt.date:
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    found: dt.date = _iso(value, lambda text: dt.datetime.fromisoformat(text).date(), "date (2026-01-31)")
    return found


def _datetime(value: Any) -> dt.datetime:
    """An instant; without a zone it is taken as UTC, as everywhere here."""
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)
    moment = value if isinstance(value, dt.datetime) else _iso(value, dt.datetime.fromisoformat, "date and time")
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _time(value: Any) -> dt.time:
    return value if isinstance(value, dt.time) else _iso(value, dt.time.fromisoformat, "time of day (13:45)")


def _duration(value: Any) -> dt.timedelta:
    if isinstance(value, dt.timedelta):
        return value
    try:
        return dt.timedelta(seconds=float(_number(value)))
    except (OverflowError, ValueError):
        raise ValueError(f"{_shown(value)} is no duration in seconds") from None


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        raise ValueError(f"{_shown(value)} is not base64") from None


def _iso(value: Any, read: Callable[[str], Any], what: str) -> Any:
    try:
        return read(value.strip())
    except (AttributeError, ValueError):
        raise ValueError(f"{_shown(value)} is no {what}") from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _close(absolute: Decimal, relative: Decimal, a: Any, b: Any) -> bool:
    """Whether `a` is as near to the gold value `b` as one of the two tolerances allows."""
    if a == b:
        return True
    x, y = _EXACT.create_decimal(a), _EXACT.create_decimal(b)
    if not (x.is_finite() and y.is_finite()):
        return False
    return abs(_EXACT.subtract(x, y)) <= max(absolute, _EXACT.multiply(relative, abs(y)))


def _alike(least: float, a: str, b: str) -> bool:
    if max(len(a), len(b)) > LONG_TEXT:
        return _ratio(least, a.split(), b.split())
    return _ratio(least, a, b)


def _ratio(least: float, a: Any, b: Any) -> bool:
    matcher = SequenceMatcher(None, a, b)
    return matcher.real_quick_ratio() >= least and matcher.quick_ratio() >= least and matcher.ratio() >= least


def _plain(name: str, setting: str, *, read: Callable[[Any], Any], is_enum: bool = False) -> Comparator:
    if setting:
        raise ValueError(f"{name} takes no setting")
    return Comparator(name, read, _equal, is_enum=is_enum)


def _make_number(setting: str) -> Comparator:
    """`number`, `number:0.01`, `number:1%`, or both."""
    absolute, relative = Decimal(0), NOISE
    for part in filter(None, map(str.strip, setting.split(","))):
        found = Decimal(_number(part.removesuffix("%")))
        if found < 0:
            raise ValueError("a tolerance is not negative")
        if part.endswith("%"):
            relative = found / 100
        else:
            absolute = found
    same = partial(_close, absolute, relative)
    return Comparator(_named("number", setting), _number, same, is_equality=False, is_noisy=not setting)


def _make_similar(setting: str) -> Comparator:
    least = float(setting or 0.9)
    if not 0 < least <= 1:
        raise ValueError("how similar is more than 0 and at most 1")
    return Comparator(f"similar:{least:g}", _letters, partial(_alike, least), is_equality=False)


def _named(name: str, setting: str) -> str:
    return f"{name}:{setting}" if setting else name


_READERS: dict[str, Callable[[Any], Any]] = {
    "text": _text,
    "enum": _text,
    "folded": _folded,
    "number": _number,
    "bool": _bool,
    "date": _date,
    "datetime": _datetime,
    "time": _time,
    "duration": _duration,
    "bytes": _bytes,
}
_MAKERS: dict[str, Callable[[str], Comparator]] = {
    name: partial(_plain, name, read=read, is_enum=name in ("enum", "bool")) for name, read in _READERS.items()
} | {"number": _make_number, "similar": _make_similar}
_TESTS: dict[str, tuple[Callable[[pa.DataType], bool], ...]] = {
    "bool": (pa.types.is_boolean,),
    "number": (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
    "date": (pa.types.is_date,),
    "datetime": (pa.types.is_timestamp,),
    "time": (pa.types.is_time,),
    "duration": (pa.types.is_duration,),
    "bytes": (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary),
}
