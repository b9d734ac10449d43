"""Random models for the compiler: hypothesis draws a type together with a strategy for its instances."""

from __future__ import annotations

import dataclasses
import datetime as dt
import types
import uuid
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from enum import Enum, IntEnum, StrEnum
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NotRequired, TypeVar, Union

from hypothesis import strategies as st
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    EmailStr,
    Field,
    JsonValue,
    NaiveDatetime,
    RootModel,
    StrictInt,
    TypeAdapter,
    create_model,
)
from pydantic.dataclasses import dataclass as checked_dataclass
from typing_extensions import TypedDict

NESTING = 5
# few names, so that two types of a model often share one; and names that are words of JSON Schema or of our rewrites
TYPE_NAMES = ("Part", "Line", "Item", "Address")
FIELD_NAMES = (
    *("name", "total", "lines", "date", "kind", "type", "properties", "enum", "items", "value", "key", "tag"),
    *("required", "anyOf", "const", "default", "item_0", "null", "größe", "a", "b", "c"),
)
ALIASES = ("Total due", "$ref", "$defs", "a.b", "it's", "lineItems", "€", "[0]", "*", "additionalProperties", "if")
DESCRIPTIONS = ("What is printed", "Größe in m²", 'e.g. "5 x 3"', "two\nlines")
ROUGH_TEXT = st.text(max_size=12)
_WIDE = Context(prec=100)
MANY = 8  # a set or dict may be asked for a few members when its items have at least so many values

T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    """A generic model."""

    content: T
    spare: T | None = None


class Base(BaseModel):
    """What other models inherit."""

    number: int = Field(ge=1, description="Number in the list")


@dataclasses.dataclass(frozen=True)
class Made:
    """A type and a strategy for its instances."""

    annotation: Any
    values: st.SearchStrategy[Any]
    hashable: bool = False
    many: bool = False  # has at least `MANY` values
    plain_default: bool = False  # an instance may be the default of a field as it is


Draw = Callable[[st.SearchStrategy[Any]], Any]


def _leaf(annotation: Any, values: st.SearchStrategy[Any], *, many: bool = True, default: bool = True) -> Made:
    return Made(annotation, values, hashable=True, many=many, plain_default=default)


_NEAR = (dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1))
_UTC_OR_OFFSET = st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=30))])
_INSTANTS = st.datetimes(*_NEAR, timezones=_UTC_OR_OFFSET).map(lambda found: found.replace(fold=0))
_URLS = [AnyUrl(f"https://example.org/{name}?q=1") for name in "abcdefghij"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | ROUGH_TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(ROUGH_TEXT, inner, max_size=2),
    max_leaves=4,
)

PLAIN: dict[str, Made] = {
    "str": _leaf(str, ROUGH_TEXT),
    "int": _leaf(int, st.integers(-(2**63), 2**63 - 1)),
    "strict int": _leaf(StrictInt, st.integers(-9, 9)),
    "float": _leaf(float, st.floats(allow_nan=False, allow_infinity=False)),
    "bool": _leaf(bool, st.booleans(), many=False),
    "decimal": _leaf(Decimal, st.decimals(-(10**9), 10**9, places=4)),
    "date": _leaf(dt.date, st.dates()),
    "datetime": _leaf(dt.datetime, _INSTANTS),
    "aware": _leaf(AwareDatetime, _INSTANTS),
    "naive": _leaf(NaiveDatetime, st.datetimes()),
    "time": _leaf(dt.time, st.times()),
    "duration": _leaf(dt.timedelta, st.timedeltas(-dt.timedelta(9999), dt.timedelta(9999))),
    "uuid": _leaf(uuid.UUID, st.uuids()),
    "url": _leaf(AnyUrl, st.sampled_from(_URLS)),
    "email": _leaf(EmailStr, st.sampled_from([f"{name}@example.org" for name in "abcdefghij"])),
    "bytes": _leaf(bytes, st.binary(max_size=9), default=False),
    "ip": _leaf(IPv4Address, st.integers(0, 2**32 - 1).map(IPv4Address)),
    "path": _leaf(PurePosixPath, st.sampled_from("abcdefghij").map(PurePosixPath)),
    "json": Made(JsonValue, _JSON),
}
PATTERNS = ("^[a-z]{2,4}$", "^[0-9]{3}-[0-9]{2}$", "[A-Z]+", "^(yes|no|maybe)$", r"^\w+ \d+\.$")


@st.composite
def _texts(draw: Draw) -> Made:
    kind = draw(st.sampled_from(["length", "pattern", "both"]))
    if kind == "length":
        low, high = draw(st.none() | st.integers(0, 3)), draw(st.none() | st.integers(3, 9))
        values = st.text(min_size=low or 0, max_size=high or 12)
        return _leaf(Annotated[str, Field(min_length=low, max_length=high)], values)
    pattern = draw(st.sampled_from(PATTERNS))
    longest = 40 if kind == "both" else None
    values = st.from_regex(pattern, alphabet=st.characters(codec="ascii", categories=["L", "N", "Zs", "P"]))
    # "$" also matches before a last line feed in Python, not in the model
    values = values.filter(lambda text: "\n" not in text and len(text) < 40)
    return _leaf(Annotated[str, Field(pattern=pattern, max_length=longest)], values, many=False)


@st.composite
def _numbers(draw: Draw) -> Made:
    """int, float or Decimal within bounds that are met or not, in steps or not."""
    kind, size = draw(st.sampled_from([(int, 1), (float, Decimal("0.5")), (Decimal, Decimal("0.01"))]))
    step = draw(st.sampled_from([None, 1, 2, 5]))
    low, high = draw(st.none() | st.integers(-30, 30)), draw(st.none() | st.integers(50, 90))
    more: dict[str, Any] = {}
    if low is not None:
        more[draw(st.sampled_from(["ge", "gt"]))] = kind(low)
    if high is not None:
        more[draw(st.sampled_from(["le", "lt"]))] = kind(high)
    if step is not None:
        more["multiple_of"] = kind(step * size)
    if kind is Decimal and draw(st.booleans()):
        more |= {"max_digits": draw(st.integers(6, 40)), "decimal_places": draw(st.integers(2, 4))}
    unit = (step or 1) * size
    first = int((low if low is not None else -99) / unit) + 1
    last = int((high if high is not None else 99) / unit) - 1
    values = st.integers(first, last).map(lambda count: kind(count * unit))
    return _leaf(Annotated[kind, Field(**more)], values)


@st.composite
def _decimals(draw: Draw) -> Made:
    digits = draw(st.integers(1, 38))
    places = draw(st.integers(0, digits))
    values = st.integers(-(10**digits) + 1, 10**digits - 1).map(lambda count: Decimal(count).scaleb(-places, _WIDE))
    return _leaf(Annotated[Decimal, Field(max_digits=digits, decimal_places=places)], values, many=False)


@st.composite
def _literals(draw: Draw) -> Made:
    pools: list[list[Any]] = [["a", "b", "it's", ""], [1, 2, 30], [True], [True, False], ["a", 1, True], ["x", None]]
    values = draw(st.sampled_from(pools))
    kept = draw(st.lists(st.sampled_from(values), min_size=1, unique_by=repr))
    return _leaf(Literal[tuple(kept)], st.sampled_from(kept), many=False)


@st.composite
def _enums(draw: Draw) -> Made:
    name = draw(st.sampled_from(TYPE_NAMES))
    base, members = draw(
        st.sampled_from(
            [
                (StrEnum, {"RED": "red", "BLUE": "light blue", "EMPTY": ""}),
                (IntEnum, {"ONE": 1, "TEN": 10}),
                (Enum, {"A": "a", "B": "b"}),
                (Enum, {"ONE": 1, "TWO": 2}),
                (Enum, {"HALF": 0.5, "WORD": "word", "SEVEN": 7}),
                (Enum, {"YES": True, "NO": False}),
            ]
        )
    )
    made: Any = base(name, members)
    if draw(st.integers(0, 4)) == 0:
        only = next(iter(made))
        return _leaf(Literal[only], st.just(only), many=False)
    return _leaf(made, st.sampled_from(list(made)), many=False)


def leaves() -> st.SearchStrategy[Made]:
    """Every scalar kind, plain or with constraints, and closed lists."""
    plain = st.sampled_from(list(PLAIN.values()))
    return st.one_of(plain, plain, _texts(), _numbers(), _numbers(), _decimals(), _literals(), _enums())


@st.composite
def any_type(draw: Draw, depth: int) -> Made:
    """A type with at most `depth` levels below it."""
    nested = depth > 0 and draw(st.integers(0, 9)) > 3
    made: Made = draw(draw(st.sampled_from(_NESTED))(depth - 1) if nested else leaves())
    return made


@st.composite
def _lists(draw: Draw, depth: int) -> Made:
    item = draw(any_type(depth))
    kind = draw(st.sampled_from(["list", "tuple"]))
    low, high = draw(st.none() | st.integers(0, 2)), draw(st.none() | st.integers(2, 4))
    values: st.SearchStrategy[Any] = st.lists(item.values, min_size=low or 0, max_size=high or 3)
    bare: Any = list[item.annotation]  # type: ignore[name-defined]  # a drawn type
    if kind == "tuple":
        bare, values = tuple[item.annotation, ...], values.map(tuple)  # type: ignore[name-defined]
    return Made(_bounded(bare, low, high), values)


@st.composite
def _sets(draw: Draw, depth: int) -> Made:
    item = draw(leaves().filter(lambda made: made.hashable))
    low, high = draw(st.none() | st.integers(0, 2)), draw(st.none() | st.integers(2, 4))
    if not item.many:
        low = None
    kind = draw(st.sampled_from([set, frozenset]))
    values = st.sets(item.values, min_size=low or 0, max_size=high or 3).map(kind)
    return Made(_bounded(kind[item.annotation], low, high), values)


@st.composite
def _tuples(draw: Draw, depth: int) -> Made:
    items = draw(st.lists(any_type(depth), min_size=1, max_size=3))
    return Made(tuple[tuple(item.annotation for item in items)], st.tuples(*(item.values for item in items)))  # type: ignore[misc]


_KEYS = [
    *(PLAIN[name] for name in ("str", "str", "int", "date", "uuid")),
    _leaf(Annotated[str, Field(pattern="^[a-z]{2,4}$")], st.from_regex("[a-z]{2,4}", fullmatch=True)),
    _leaf(Literal["a", "b"], st.sampled_from(["a", "b"]), many=False),
    _leaf(StrEnum("Unit", {"KG": "kg", "M": "m"}), st.sampled_from(["kg", "m"]), many=False),
]


@st.composite
def _dicts(draw: Draw, depth: int) -> Made:
    key, item = draw(st.sampled_from(_KEYS)), draw(any_type(depth))
    if isinstance(key.annotation, type) and issubclass(key.annotation, Enum):
        key = dataclasses.replace(key, values=st.sampled_from(list(key.annotation)))
    low, high = draw(st.none() | st.integers(0, 2)), draw(st.none() | st.integers(2, 4))
    low = low if key.many else None
    values = st.dictionaries(key.values, item.values, min_size=low or 0, max_size=high or 3)
    return Made(_bounded(dict[key.annotation, item.annotation], low, high), values)  # type: ignore[name-defined]


def _bounded(bare: Any, low: int | None, high: int | None) -> Any:
    return bare if low is high is None else Annotated[bare, Field(min_length=low, max_length=high)]


@st.composite
def _optionals(draw: Draw, depth: int) -> Made:
    made = draw(any_type(depth))
    either = made.annotation | None
    values = _as_null_is_read(either, st.none() | made.values)
    return Made(either, values, made.hashable, plain_default=made.plain_default)


@st.composite
def _unions(draw: Draw, depth: int) -> Made:
    parts = draw(st.lists(any_type(depth), min_size=2, max_size=3))
    either = _either(parts)
    return Made(either, _as_null_is_read(either, st.one_of(*(part.values for part in parts))))


def _as_null_is_read(annotation: Any, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Of values that are null in JSON the one that Pydantic reads of it: of `RootModel[int | None] | None` it is None."""

    def is_read(value: Any) -> bool:
        bare = value
        while isinstance(bare, RootModel):
            bare = bare.root
        return bare is not None or bool(TypeAdapter(annotation).validate_json("null") == value)

    return values.filter(is_read)


def _either(parts: list[Made]) -> Any:
    return Union[tuple(part.annotation for part in parts)]  # noqa: UP007  # of drawn types


@st.composite
def _discriminated(draw: Draw, depth: int) -> Made:
    labels = draw(st.sampled_from([("cat", "dog"), ("a", "b", "c"), (1, 2)]))
    tag = draw(st.sampled_from(["kind", "type", "tag"]))
    names = tuple(draw(st.sampled_from(TYPE_NAMES)) for _ in labels)
    parts = [
        draw(_objects(depth, fixed={tag: Literal[label]}, name=name)) for label, name in zip(labels, names, strict=True)
    ]
    return Made(Annotated[_either(parts), Field(discriminator=tag)], st.one_of(*(part.values for part in parts)))


@st.composite
def _roots(draw: Draw, depth: int) -> Made:
    made = draw(any_type(depth))
    name = draw(st.sampled_from(TYPE_NAMES))
    root = types.new_class(name, (RootModel[made.annotation],))  # type: ignore[name-defined]
    return Made(root, made.values.map(root))


@st.composite
def _generics(draw: Draw, depth: int) -> Made:
    made = draw(any_type(depth))
    box = Box[made.annotation]  # type: ignore[name-defined]
    spare = _as_null_is_read(made.annotation | None, made.values)
    return Made(box, st.builds(lambda content, spare: box(content=content, spare=spare), made.values, spare))


_EXTRAS: list[dict[str, Any] | None] = [
    *(None, None, None, None),
    {"examples": ["x"]},
    {"x-unit": "EUR"},
    {"maxLength": 5000},
    {"not": {"const": "no such value"}},
]


@dataclasses.dataclass(frozen=True)
class _Member:
    """A field: its name, what the input calls it, type, strategy, and what `Field` is told."""

    name: str
    key: str
    made: Made
    told: Mapping[str, Any]


@st.composite
def _members(draw: Draw, depth: int, taken: frozenset[str] = frozenset(), *, aliases: bool = True) -> list[_Member]:
    names = draw(st.lists(st.sampled_from(FIELD_NAMES), min_size=1, max_size=4, unique=True))
    found, used = [], set(taken)
    for name in names:
        made = draw(any_type(depth))
        told: dict[str, Any] = {"description": draw(st.sampled_from([None, None, *DESCRIPTIONS]))}
        told["json_schema_extra"] = draw(st.sampled_from(_EXTRAS))
        key = draw(st.sampled_from([name, name, name, *ALIASES])) if aliases else name
        if key in used or name in used:
            continue
        if key != name:
            told[draw(st.sampled_from(["alias", "validation_alias"]))] = key
        if draw(st.integers(0, 3)) == 0:
            default = TypeAdapter(made.annotation).validate_python(draw(made.values))  # as Pydantic reads it
            told |= {"default": default} if made.plain_default else {"default_factory": lambda value=default: value}
        used |= {key, name}
        found.append(_Member(name, key, made, {word: told[word] for word in told if told[word] is not None}))
    return found


@st.composite
def _objects(draw: Draw, depth: int, fixed: Mapping[str, Any] | None = None, name: str | None = None) -> Made:
    """A Pydantic model; `fixed` are fields of one value."""
    base = draw(st.sampled_from([None, None, None, Base]))
    taken = frozenset(fixed or {}) | (frozenset({"number"}) if base else frozenset())
    members = draw(_members(depth, taken))
    fields: dict[str, Any] = {tag: (annotation, ...) for tag, annotation in (fixed or {}).items()}
    fields |= {member.name: (member.made.annotation, Field(**member.told)) for member in members}
    if not fields and base is None:
        fields["spare"] = (int, 0)
    more: dict[str, Any] = {"__base__": base} if base else {"__config__": draw(_configs())}
    made: Any = create_model(name or draw(st.sampled_from(TYPE_NAMES)), __doc__=draw(_DOCS), **more, **fields)
    given, left_out = _by_key(members)
    given |= {tag: st.just(annotation.__args__[0]) for tag, annotation in (fixed or {}).items()}
    if base:
        given["number"] = st.integers(1, 99)
    return Made(made, st.fixed_dictionaries(given, optional=left_out).map(made.model_validate))


_DOCS = st.sampled_from([None, "A thing.", "A thing\n\nin two paragraphs."])


def _configs() -> st.SearchStrategy[ConfigDict]:
    return st.sampled_from(
        [
            ConfigDict(),
            ConfigDict(extra="forbid"),
            ConfigDict(extra="allow"),
            ConfigDict(title="Title of it", use_attribute_docstrings=True),
            ConfigDict(json_schema_extra={"examples": [{}], "minProperties": 0}),
        ]
    )


def _by_key(members: list[_Member]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Strategies of the members that must be given, and of those that may be left out."""
    parts: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for member in members:
        parts["default" in member.told or "default_factory" in member.told][member.key] = member.made.values
    return parts


@st.composite
def _dataclasses(draw: Draw, depth: int) -> Made:
    members = draw(_members(depth, aliases=False))
    fields = [
        (
            member.name,
            Annotated[member.made.annotation, Field(description=member.told.get("description"))],
            dataclasses.field(
                **{word: member.told[word] for word in ("default", "default_factory") if word in member.told}
            ),
        )
        for member in members
    ]
    made: Any = dataclasses.make_dataclass(draw(st.sampled_from(TYPE_NAMES)), fields, kw_only=True, unsafe_hash=False)
    if draw(st.booleans()):
        made = checked_dataclass(made)
    given, left_out = _by_key(members)
    return Made(made, st.fixed_dictionaries(given, optional=left_out).map(TypeAdapter(made).validate_python))


@st.composite
def _typed_dicts(draw: Draw, depth: int) -> Made:
    members = [
        dataclasses.replace(member, told={"default": None} if draw(st.integers(0, 2)) == 0 else {})
        for member in draw(_members(depth, aliases=False))
    ]
    fields = {
        member.name: NotRequired[member.made.annotation] if member.told else member.made.annotation
        for member in members
    }
    made: Any = TypedDict(draw(st.sampled_from(TYPE_NAMES)), fields)  # type: ignore[misc]  # drawn names
    given, left_out = _by_key(members)
    return Made(made, st.fixed_dictionaries(given, optional=left_out).map(TypeAdapter(made).validate_python))


_NESTED: list[Callable[[int], st.SearchStrategy[Made]]] = [
    *(_objects, _objects, _objects, _lists, _lists, _sets, _tuples, _dicts, _dicts, _optionals, _optionals),
    *(_unions, _unions, _discriminated, _roots, _generics, _dataclasses, _typed_dicts),
]


@st.composite
def _list_of_objects(draw: Draw, depth: int) -> Made:
    made = draw(_objects(depth))
    return Made(list[made.annotation], st.lists(made.values, max_size=2))  # type: ignore[name-defined]


def models(nesting: int = NESTING) -> st.SearchStrategy[Made]:
    """What `compile_schema` may be given; mostly models."""
    model = _objects(nesting - 1)
    rare = [_dataclasses(nesting - 1), _typed_dicts(nesting - 1), _list_of_objects(nesting - 2), _enums(), _literals()]
    return st.one_of(*([model] * 12), *rare, st.sampled_from([made for name, made in PLAIN.items() if name != "json"]))
