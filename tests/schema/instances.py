"""Hypothesis strategies for valid instances of any type of the corpus, and what makes two instances the same.

A value is drawn so that it obeys its constraints and fits its column, and is then read by Pydantic itself.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Address
from math import ceil, floor
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from annotated_types import GroupedMetadata, Interval
from hypothesis import reject
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    AnyUrl,
    AwareDatetime,
    BaseModel,
    EmailStr,
    EncodedBytes,
    HttpUrl,
    JsonValue,
    NaiveDatetime,
    RootModel,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType, is_typeddict

Strategy = st.SearchStrategy[Any]

INT64 = (-(2**63), 2**63 - 1)
DAYS = dt.timedelta(days=106_751_990)  # microseconds of it fit int64
LONGEST = 3  # items of a list, entries of a dict, unless the field wants more
ALPHABET = st.characters(exclude_categories=["Cs"])
ZONES = st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=2)), dt.timezone(dt.timedelta(hours=-9, minutes=-30))])
INSTANTS = st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 12, 31), timezones=ZONES)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(*INT64) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=6)
PAGES = st.builds("https://{}.org/{}?q={}".format, WORD.filter(lambda word: word[0].isalpha()), WORD, WORD)

PLAIN: dict[Any, Strategy] = {
    type(None): st.none(),
    bool: st.booleans(),
    dt.datetime: INSTANTS,
    AwareDatetime: INSTANTS,
    NaiveDatetime: st.datetimes(),
    dt.time: st.times(),
    UUID: st.uuids(),
    AnyUrl: PAGES.map(AnyUrl),
    HttpUrl: PAGES.map(HttpUrl),
    EmailStr: st.builds("{}@{}.com".format, WORD, WORD.filter(lambda word: word[0].isalpha())),
    IPv4Address: st.ip_addresses(v=4),
    IPv6Address: st.ip_addresses(v=6),
    Path: st.lists(WORD, min_size=1, max_size=3).map(lambda parts: Path(*parts)),
}


@dataclasses.dataclass
class Limits:
    """What the constraints of a field come to."""

    least: Any = None
    most: Any = None
    above: Any = None
    below: Any = None
    step: Any = None
    shortest: int = 0
    longest: int | None = None
    pattern: str | None = None
    max_digits: int | None = None
    decimal_places: int | None = None
    encoded: bool = False
    unique: bool = False
    version: int | None = None  # of a UUID


def instances(annotation: Any, unroll: int = 0) -> Strategy:
    """Valid instances of a type; a recursive model comes at most `unroll` times below itself."""
    read = TypeAdapter(annotation).validate_python
    return _drawn(annotation, [], _Depth(unroll, ())).map(read)


@dataclasses.dataclass(frozen=True)
class _Depth:
    """The models that hold the place we are at."""

    unroll: int
    seen: tuple[Any, ...]

    def within(self, model: Any) -> _Depth | None:
        """One step down; None where the model has been unrolled often enough."""
        if self.seen.count(model) > self.unroll:
            return None
        return _Depth(self.unroll, (*self.seen, model))


def _drawn(annotation: Any, metadata: Sequence[Any], depth: _Depth) -> Strategy:
    if annotation is JsonValue:
        return JSON
    if isinstance(annotation, TypeAliasType):
        return _drawn(annotation.__value__, metadata, depth)
    origin, args = get_origin(annotation), get_args(annotation)
    if isinstance(origin, TypeAliasType):
        value = origin.__value__[args]
        return _drawn(value, metadata, depth)
    if annotation in (AwareDatetime, NaiveDatetime, EmailStr):
        return PLAIN[annotation]
    if origin is Annotated:
        return _drawn(args[0], [*args[1:], *metadata], depth)
    if origin in (Union, types.UnionType):
        return st.one_of([_drawn(part, [*metadata, *_within(part, args)], depth) for part in args])
    if origin is Literal:
        return st.sampled_from(args)
    limits = _limits(metadata)
    if origin in COLLECTIONS:
        return COLLECTIONS[origin](args, limits, depth)
    if isinstance(annotation, type):
        return _of_class(annotation, limits, depth)
    raise TypeError(f"no strategy for {annotation!r}")


def _within(part: Any, union: tuple[Any, ...]) -> list[Any]:
    """A whole number beside a float stands in a column of doubles."""
    return [Interval(ge=-(2**53), le=2**53)] if part is int and float in union else []


def _of_class(kind: type, limits: Limits, depth: _Depth) -> Strategy:
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    if issubclass(kind, BaseModel):
        return _model(kind, depth)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, depth)
    if is_typeddict(kind):
        return _typed_dict(kind, depth)
    if issubclass(kind, tuple):
        return _named_tuple(kind, depth)
    if kind in LIMITED:
        return LIMITED[kind](limits)
    return PLAIN[kind]


def _limits(metadata: Iterable[Any]) -> Limits:
    found = Limits()
    for item in _flat(metadata):
        _add(found, item)
    return found


def _flat(metadata: Iterable[Any]) -> Iterable[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _flat(item.metadata)
            yield item
        elif isinstance(item, GroupedMetadata):
            yield from _flat(item)
        else:
            yield item


def _add(limits: Limits, item: Any) -> None:
    if isinstance(item, FieldInfo):
        extra = item.json_schema_extra
        limits.unique = isinstance(extra, dict) and extra.get("uniqueItems") is True
    for theirs, ours in WORDS.items():
        if getattr(item, theirs, None) is not None:
            setattr(limits, ours, getattr(item, theirs))
    limits.encoded = limits.encoded or isinstance(item, EncodedBytes)


# what annotated_types and Pydantic call it → what it is called here
WORDS = {
    "ge": "least",
    "gt": "above",
    "le": "most",
    "lt": "below",
    "multiple_of": "step",
    "min_length": "shortest",
    "max_length": "longest",
    "pattern": "pattern",
    "max_digits": "max_digits",
    "decimal_places": "decimal_places",
    "uuid_version": "version",
}


# numbers, texts, times


def _whole(limits: Limits) -> Strategy:
    least, most = _steps(limits, Fraction(limits.step or 1), INT64)
    return st.integers(least, most).map(lambda count: count * (limits.step or 1))


def _steps(limits: Limits, step: Fraction, within: tuple[Any, Any]) -> tuple[int, int]:
    """The first and the last multiple of a step between the bounds."""
    lows = [ceil(Fraction(within[0]) / step)]
    highs = [floor(Fraction(within[1]) / step)]
    if limits.least is not None:
        lows.append(ceil(Fraction(limits.least) / step))
    if limits.above is not None:
        lows.append(floor(Fraction(limits.above) / step) + 1)
    if limits.most is not None:
        highs.append(floor(Fraction(limits.most) / step))
    if limits.below is not None:
        highs.append(ceil(Fraction(limits.below) / step) - 1)
    return max(lows), min(highs)


def _real(limits: Limits) -> Strategy:
    if limits.step is not None:
        least, most = _steps(limits, Fraction(limits.step), (-1000, 1000))
        return st.integers(least, most).map(lambda count: count * limits.step)
    low = limits.least if limits.least is not None else limits.above
    high = limits.most if limits.most is not None else limits.below
    return st.floats(
        None if low is None else float(low),
        None if high is None else float(high),
        exclude_min=limits.least is None and limits.above is not None,
        exclude_max=limits.most is None and limits.below is not None,
        allow_nan=False,
        allow_infinity=False,
    )


def _exact(limits: Limits) -> Strategy:
    """As many digits as the column has: 38, 9 of them decimals, unless the field says otherwise."""
    digits, places = limits.max_digits, limits.decimal_places
    scale = places if places is not None else 9 if digits is None else min(9, digits)
    unit = Fraction(1, 10**scale)
    largest = (10 ** (38 if digits is None else digits) - 1) * unit
    step = Fraction(limits.step) if limits.step is not None else unit
    least, most = _steps(limits, step, (-largest, largest))
    exact = st.integers(least, most).map(lambda count: _decimal(count * step, scale))
    return st.one_of(exact, exact.map(_short)).filter(lambda value: _holds(limits, value))


def _decimal(value: Fraction, scale: int) -> Decimal:
    units = int(value * 10**scale)
    return Decimal((int(units < 0), tuple(int(digit) for digit in str(abs(units))), -scale))


def _short(value: Decimal) -> Decimal:
    """The same number in as few digits as it takes, never with a positive exponent."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or not any(digits):
        return Decimal(0)
    while exponent < 0 and digits[-1] == 0:
        digits, exponent = digits[:-1], exponent + 1
    return Decimal((sign, digits, exponent))


def _holds(limits: Limits, value: Decimal) -> bool:
    """As Pydantic counts: the 0 before the point of a plain 0 is a digit, and `max_digits` is for both sides of it."""
    _, digits, exponent = value.as_tuple()
    places = -int(exponent)
    total = max(len(digits), places)
    if limits.max_digits is None:
        return True
    whole = limits.max_digits if limits.decimal_places is None else limits.max_digits - limits.decimal_places
    return total <= limits.max_digits and total - places <= whole


def _text(limits: Limits) -> Strategy:
    longest = limits.longest if limits.longest is not None else max(12, limits.shortest)
    if limits.pattern is None:
        return st.text(ALPHABET, min_size=limits.shortest, max_size=min(longest, limits.shortest + 12))
    whole = limits.pattern.startswith("^") and limits.pattern.endswith("$")
    found = st.from_regex(limits.pattern, fullmatch=whole, alphabet=ALPHABET)
    bounded = limits.longest is not None or limits.shortest
    return found.filter(lambda text: limits.shortest <= len(text) <= longest) if bounded else found


def _bytes(limits: Limits) -> Strategy:
    found = st.binary(min_size=limits.shortest, max_size=limits.longest or 12)
    return found.map(base64.b64encode) if limits.encoded else found


def _day(limits: Limits) -> Strategy:
    one = dt.timedelta(days=1)
    least = limits.least or (limits.above + one if limits.above else dt.date.min)
    most = limits.most or (limits.below - one if limits.below else dt.date.max)
    return st.dates(least, most)


def _length(limits: Limits) -> Strategy:
    least = limits.least if limits.least is not None else -DAYS
    most = limits.most if limits.most is not None else DAYS
    return st.timedeltas(least, most)


def _id(limits: Limits) -> Strategy:
    return st.uuids(version=limits.version)  # type: ignore[arg-type]  # one of 1 to 5


LIMITED: dict[Any, Callable[[Limits], Strategy]] = {
    int: _whole,
    float: _real,
    Decimal: _exact,
    str: _text,
    bytes: _bytes,
    dt.date: _day,
    dt.timedelta: _length,
    UUID: _id,
}


# collections


def _list(args: tuple[Any, ...], limits: Limits, depth: _Depth) -> Strategy:
    item = _drawn(args[0], [], depth)
    if item.is_empty:
        return st.just([])
    return st.lists(item, min_size=limits.shortest, max_size=_most(limits), unique=limits.unique)


def _most(limits: Limits) -> int:
    wanted = max(LONGEST, limits.shortest)
    return wanted if limits.longest is None else min(wanted, limits.longest)


def _set(kind: Callable[[list[Any]], Any]) -> Callable[[tuple[Any, ...], Limits, _Depth], Strategy]:
    def drawn(args: tuple[Any, ...], limits: Limits, depth: _Depth) -> Strategy:
        item = _hashable(args[0], depth)
        return st.lists(item, unique=True, min_size=limits.shortest, max_size=_most(limits)).map(kind)

    return drawn


def _hashable(annotation: Any, depth: _Depth) -> Strategy:
    """A model in a set is drawn as the model, not as the dict that it is read from."""
    read = TypeAdapter(annotation).validate_python
    return _drawn(annotation, [], depth).map(read)


def _dict(args: tuple[Any, ...], limits: Limits, depth: _Depth) -> Strategy:
    key, value = _drawn(args[0], [], depth), _drawn(args[1], [], depth)
    if value.is_empty:
        return st.just({})
    return st.dictionaries(key, value, min_size=limits.shortest, max_size=_most(limits))


def _tuple(args: tuple[Any, ...], limits: Limits, depth: _Depth) -> Strategy:
    if len(args) == 2 and args[1] is Ellipsis:
        return _list(args[:1], limits, depth).map(tuple)
    return st.tuples(*[_drawn(part, [], depth) for part in args])


COLLECTIONS: dict[Any, Callable[[tuple[Any, ...], Limits, _Depth], Strategy]] = {
    list: _list,
    set: _set(set),
    frozenset: _set(frozenset),
    dict: _dict,
    tuple: _tuple,
}


# things with fields


def _model(model: type[BaseModel], depth: _Depth) -> Strategy:
    below = depth.within(model)
    if below is None:
        return st.nothing()
    model.model_rebuild()
    if issubclass(model, RootModel):
        root = model.model_fields["root"]
        inner = _drawn(root.annotation, root.metadata, below)
        return inner.map(model.model_validate)
    required: dict[str, Strategy] = {}
    optional: dict[str, Strategy] = {}
    for name, info in model.model_fields.items():
        drawn = _drawn(info.annotation, [*info.metadata, info], below)
        target = required if info.is_required() else optional
        target[_read_as(name, info)] = drawn
    has_rules = model.__pydantic_decorators__.field_validators or model.__pydantic_decorators__.model_validators
    values = _fields(required, optional)
    return values.map(_judged(model)) if has_rules else values.map(model.model_validate)


def _read_as(name: str, info: FieldInfo) -> str:
    alias = info.validation_alias or info.alias or name
    found = alias.choices[0] if isinstance(alias, AliasChoices) else alias
    if not isinstance(found, str):
        raise TypeError(f"no strategy for the alias of {name}")
    return found


def _fields(required: Mapping[str, Strategy], optional: Mapping[str, Strategy]) -> Strategy:
    """Of what may be left out, all, none or some are given."""
    given = {name: drawn for name, drawn in optional.items() if not drawn.is_empty}
    if not given:
        return st.fixed_dictionaries(dict(required))
    return st.fixed_dictionaries(dict(required), optional=given)


def _judged(model: type[BaseModel]) -> Callable[[Any], Any]:
    """Reads values by a model with rules of its own; what they refuse is not drawn."""

    def judge(values: Any) -> Any:
        try:
            return model.model_validate(values)
        except ValidationError:
            return reject()

    return judge


def _dataclass(kind: Any, depth: _Depth) -> Strategy:
    below = depth.within(kind)
    if below is None:
        return st.nothing()
    hints = get_type_hints(kind, include_extras=True)
    required: dict[str, Strategy] = {}
    optional: dict[str, Strategy] = {}
    for field in dataclasses.fields(kind):
        info = field.default if isinstance(field.default, FieldInfo) else None
        drawn = _drawn(hints[field.name], [info] if info else [], below)
        target = required if _is_needed(field, info) else optional
        target[field.name] = drawn
    return _fields(required, optional).map(TypeAdapter(kind).validate_python)


def _is_needed(field: dataclasses.Field[Any], info: FieldInfo | None) -> bool:
    if info is not None:
        return info.is_required()
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _typed_dict(kind: Any, depth: _Depth) -> Strategy:
    below = depth.within(kind)
    if below is None:
        return st.nothing()
    required: dict[str, Strategy] = {}
    optional: dict[str, Strategy] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        mark = get_origin(hint)
        needed = mark is Required or (mark is not NotRequired and name in kind.__required_keys__)
        inner = get_args(hint)[0] if mark in (Required, NotRequired) else hint
        (required if needed else optional)[name] = _drawn(inner, [], below)
    return _fields(required, optional)


def _named_tuple(kind: Any, depth: _Depth) -> Strategy:
    hints = get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{name: _drawn(hint, [], depth) for name, hint in hints.items()})


# sameness


def exactly(value: Any, *, in_table: bool = False) -> Any:
    """A form in which equal means the same type and the same value.

    1, 1.0, True and Decimal(1) differ in it; instants in two zones, and 1.0 and 1.00 as Decimals, do not. As a table
    keeps it (`in_table`), excluded fields do not count, a union of int and float is one column of doubles, and a key
    that is not there is null.
    """
    if isinstance(value, BaseModel):
        infos = type(value).model_fields
        names = [name for name, info in infos.items() if not (in_table and info.exclude)]
        return type(value).__name__, {name: exactly(vars(value)[name], in_table=in_table) for name in names}
    if dataclasses.is_dataclass(value):
        parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return type(value).__name__, exactly(parts, in_table=in_table)
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if item is not None or not in_table}
        return {exactly(key): exactly(item, in_table=in_table) for key, item in kept.items()}
    if isinstance(value, list | tuple):
        return type(value).__name__, tuple(exactly(item, in_table=in_table) for item in value)
    if isinstance(value, set | frozenset):
        return type(value).__name__, frozenset(_frozen(exactly(item, in_table=in_table)) for item in value)
    if isinstance(value, dt.datetime):
        return "datetime", value.tzinfo is not None, value
    return "number" if in_table and type(value) in (int, float) else type(value).__name__, value


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((key, _frozen(item)) for key, item in value.items())
    return tuple(_frozen(item) for item in value) if isinstance(value, tuple) else value
