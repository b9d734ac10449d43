"""Python types read: what they become, and what is refused with the field's path."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, Optional, TypeVar

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    JsonValue,
    NaiveDatetime,
    RootModel,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    computed_field,
    create_model,
    field_validator,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict

from extract.errors import SchemaError
from extract.schema import types
from extract.schema.shapes import ABSENT, Choice, Shape
from extract.schema.types import read_type
from extract.verbatim import Verbatim
from schema.small_models import Color, Part, Size

T = TypeVar("T")


class Tree(BaseModel):
    name: str
    children: list["Tree"]  # noqa: UP037  # the class does not exist yet


class Chain(BaseModel):
    name: str
    next: Optional["Chain"] = None  # noqa: UP037, UP045


class Ring(BaseModel):
    other: "Ring"  # noqa: UP037


class Wide(BaseModel):
    name: str
    parts: dict[str, Wide]
    maybe: Wide | None
    either: Wide | int


class Ping(BaseModel):
    pong: Pong | None


class Pong(BaseModel):
    ping: Ping


class Empty(BaseModel):
    pass


class NoMember(Enum):
    pass


class Mixed(Enum):
    A = "a"
    B = 1


class Typed(TypedDict):
    a: int
    b: NotRequired[str | None]


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Data:
    a: int
    b: str = "x"


@pydantic_dataclass
class Checked:
    a: int = Field(alias="A")


class Numbers(RootModel[list[int]]):
    pass


class Box(BaseModel, Generic[T]):
    inside: T


MARK = Verbatim("line")
UNSUPPORTED = [
    *(dict, tuple, list, set, Any, object, complex, type[int], Callable[[int], int], Json[int]),
    collections.abc.Iterable[int],
    *(dict[Any, int], dict[tuple[int, int], int], dict[bytes, int], dict[str | None, int]),
    *(Empty, Tree, Ping, NoMember),
    Annotated[Color, MARK],
    Annotated[Literal["a"], MARK],
    Annotated[bool, MARK],
    Annotated[dt.datetime, Verbatim("date")],
    Annotated[AwareDatetime, Verbatim("date")],
    Annotated[Part, MARK],
    Annotated[list[str], MARK],
    Annotated[dict[str, str], MARK],
    Annotated[int | str, MARK],
    Annotated[Decimal, Field(max_digits=77, decimal_places=2)],
    Annotated[Decimal, Field(max_digits=5, decimal_places=6)],
    Annotated[int, WithJsonSchema({"type": "array"})],
]


@pytest.mark.parametrize("kind", UNSUPPORTED, ids=str)
def test_an_unsupported_type_is_refused_with_the_path_of_its_field(kind: Any) -> None:
    """At the top, in a list, in a nested model, optional or excluded: never a silent string."""
    for annotation, path in ((kind, r"\$\.field"), (list[kind], r"\$\.field\[\*\]"), (Optional[kind], r"\$\.field")):  # noqa: UP045
        model = create_model("Model", good=(int, ...), field=(annotation, ...))
        with pytest.raises(SchemaError, match=rf"^({path}|Model: recursive)"):
            read_type(model)
    inner = create_model("Inner", field=(kind, ...))
    with pytest.raises(SchemaError, match=r"^(\$\.outer\[\*\]\.field|Model: recursive)"):
        read_type(create_model("Model", outer=(list[inner], ...)))  # type: ignore[valid-type]
    with pytest.raises(SchemaError, match=r"^(\$\.field|Model: recursive)"):
        read_type(create_model("Model", good=(int, ...), field=(kind, Field(exclude=True))))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Tree, "^Tree: recursive model: Tree -> Tree"),
        (Ping, "^Ping: recursive model: Ping -> Pong -> Ping"),
        (Empty, "^Empty: the model has no fields"),
        (create_model("M", a=(int, Field(exclude=True))), "^M: the model has no fields"),
        (create_model("M", a=(int, Field(validation_alias=AliasPath("x", 0)))), r"^\$\.a: an alias that is a path"),
        (create_model("M", a=(int, Field(alias="b")), b=(int, ...)), r"^\$\.b: has the alias 'b' of the field 'a'"),
        (
            create_model("M", a=(int, ...), b=(Annotated[str, MARK], Field(exclude=True))),
            r"^\$\.b: Verbatim on an excl",
        ),
        (Data.__init__, "^__init__: |only known as JSON"),
        (Enum("Odd", {"A": object()}), "^Odd: Unable to serialize"),
        (Literal[b"\xff"], "utf-8"),
    ],
)
def test_a_type_that_makes_no_table_is_refused(model: Any, message: str) -> None:
    """Recursion, no fields, aliases that are paths or used twice, functions."""
    with pytest.raises(SchemaError, match=message):
        read_type(model)


def test_what_pydantic_does_not_know_is_refused_with_a_hint() -> None:
    """An arbitrary class: the supported types are listed."""
    with pytest.raises(SchemaError, match="use str, int") as caught:
        read_type(type("Odd", (), {}))
    assert "Odd" == caught.value.path


def shape(annotation: Any, **options: Any) -> Shape:
    """Without the core schema, which no test can write."""
    found = read_type(create_model("M", a=(annotation, Field(**options)))).shape.fields[0].shape
    return bare(found)


def bare(found: Shape) -> Shape:
    return dataclasses.replace(
        found, core=None, item=found.item and bare(found.item), key=found.key and bare(found.key), schema={}
    )


@pytest.mark.parametrize(
    ("annotation", "options", "digits"),
    [
        (Decimal, {}, (38, 9)),
        (Decimal, {"decimal_places": 2}, (38, 2)),
        (Decimal, {"max_digits": 10, "decimal_places": 2}, (10, 2)),
        (Decimal, {"max_digits": 5}, (10, 5)),
        (Decimal, {"max_digits": 20}, (29, 9)),
        (Decimal | None, {"max_digits": 10, "decimal_places": 0}, (10, 0)),
        (Annotated[Decimal, Field(max_digits=76, decimal_places=4)] | None, {}, (76, 4)),
    ],
)
def test_digits_of_a_decimal(annotation: Any, options: dict[str, int], digits: tuple[int, int]) -> None:
    """Precision and scale hold everything that the field admits."""
    assert digits == shape(annotation, **options).digits


def test_scalars_lists_and_objects() -> None:
    """Kinds, nullability, items and the fields of objects; the outer description wins."""
    assert Shape("int", description="d") == shape(int, description="d")
    assert Shape("int", nullable=True, description="in") == shape(Annotated[int, Field(description="in")] | None)
    assert Shape("str", description="out") == shape(Annotated[str, Field(description="in")], description="out")
    assert Shape("list", item=Shape("str", nullable=True), python=list) == shape(list[str | None])
    assert [(choice.label, choice.json, choice.python) for choice in shape(Color).choices] == [
        ("RED", "red", Color.RED),
        ("BLUE", "blue", Color.BLUE),
    ]
    assert Shape("enum", choices=(Choice("x", "x", "x"),), nullable=True) == shape(Literal["x", None])
    assert ["name", "weight"] == [item.name for item in shape(Part | None).fields]
    assert [False, True] == [shape(kind).naive for kind in (AwareDatetime, NaiveDatetime)]


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        *[(int | str, "union"), (int | float, "float"), (dict[str, int], "map"), (dict[dt.date, int], "map")],
        *[(tuple[int, str], "tuple"), (Point, "tuple"), (tuple[int, ...], "list"), (set[int], "list")],
        *[(frozenset[str], "list"), (collections.abc.Sequence[int], "list"), (bytes, "bytes"), (Base64Bytes, "bytes")],
        *[(dt.timedelta, "timedelta"), (uuid.UUID, "text"), (AnyUrl, "text"), (JsonValue, "json"), (None, "null")],
        *[(Literal[None], "null"), (Mixed, "enum"), (Literal["a", 1], "enum"), (Literal[b"x"], "enum")],
        *[(Typed, "object"), (Data, "object"), (Checked, "object"), (Numbers, "list"), (Box[int], "object")],
        *[(RootModel[int], "int"), (collections.abc.Mapping[str, int], "map"), (dt.datetime, "datetime")],
        *[(Annotated[int, WithJsonSchema({"type": "string"})], "text"), (dict[Color, int], "map")],
    ],
    ids=str,
)
def test_every_other_type_has_its_kind(annotation: Any, kind: str) -> None:
    """Unions, maps, tuples, sets, bytes, texts, TypedDicts, dataclasses and RootModels."""
    assert kind == shape(annotation).kind


def test_values_of_an_enum_have_labels() -> None:
    """Names of members, texts, JSON; where two texts are alike all are JSON."""
    labels = {kind: [choice.label for choice in shape(annotation).choices] for kind, annotation in _ENUMS.items()}
    assert {"mixed": ["A", "B"], "literal": ["a", "1"], "alike": ['"1"', "1"], "size": ["S", "L"]} == labels
    with pytest.raises(SchemaError, match="an enum value that JSON has not"):
        shape(Enum("Odd", {"A": float("nan")}))


_ENUMS: dict[str, Any] = {"mixed": Mixed, "literal": Literal["a", 1], "alike": Literal["1", 1], "size": Size}


def test_keys_of_a_map_are_of_their_own_type() -> None:
    """Whole numbers, dates, enums and texts with a pattern; what JSON Schema can say of a key it says."""
    keys: list[Any] = [str, int, dt.date, Color, Size, Annotated[str, Field(pattern="^a")]]
    assert ["str", "int", "date", "enum", "enum", "str"] == [
        (shape(dict[key, int]).key or Shape("null")).kind for key in keys
    ]
    found = [
        read_type(create_model("M", a=(dict[key, int], ...))).shape.schema["properties"]["a"].get("propertyNames")
        for key in keys
    ]
    assert [None, None, None, {"enum": ["red", "blue"]}, {"enum": ["1", "2"]}, {"pattern": "^a"}] == found


def test_roots_are_counted() -> None:
    """Each RootModel around a value, so that it can be opened."""
    assert [1, 2, 1] == [shape(kind).roots for kind in (Numbers, RootModel[Numbers], Numbers | None)]
    assert shape(Numbers | None).nullable
    assert 1 == shape(RootModel[int | str]).roots


def test_an_excluded_field_has_no_column() -> None:
    """It is asked for and judged, but not written."""
    model = create_model("M", a=(int, ...), why=(str, Field(exclude=True)))
    assert [("a", True), ("why", False)] == [(item.name, item.column) for item in read_type(model).shape.fields]


def test_an_alias_with_choices_goes_by_its_first_plain_one() -> None:
    """Paths are passed over."""
    choices = AliasChoices(AliasPath("x", 0), "y", "z")
    model = create_model("M", a=(int, Field(validation_alias=choices)), b=(int, Field(alias="B")))
    assert ["y", "B"] == [item.wire for item in read_type(model).shape.fields]


def test_undeclared_properties_are_read() -> None:
    """Any JSON, or what the model says of them."""

    class Any_(BaseModel):
        model_config = ConfigDict(extra="allow")

    class Whole(BaseModel):
        model_config = ConfigDict(extra="allow")
        a: str
        __pydantic_extra__: dict[str, int]

    assert ["json", "int"] == [(read_type(model).shape.extra or Shape("null")).kind for model in (Any_, Whole)]
    assert read_type(Data).shape.extra is None


def test_computed_fields_are_columns() -> None:
    """Nullable, since the model fills them; never asked for."""

    class Sum(BaseModel):
        a: int

        @computed_field  # type: ignore[prop-decorator]
        @property
        def twice(self) -> int:
            return 2 * self.a

    item = read_type(Sum).shape.fields[1]
    assert ("twice", True, True) == (item.name, item.computed, item.shape.nullable)


def test_a_recursion_is_unrolled_to_its_depth() -> None:
    """Where it ends stands a default, null, or nothing in a list or map; each place is told."""
    assert ("$.children[*].children",) == read_type(Tree, 1).cuts
    assert ("$.next.next.next",) == read_type(Chain, 2).cuts
    reading = read_type(Wide, 1)
    inner = next(item for item in reading.shape.fields if item.name == "maybe").shape
    cut = {item.name: item.constant for item in inner.fields if item.cut}
    assert {"parts": {}, "maybe": None} == cut
    assert ABSENT is read_type(Chain, 1).shape.fields[1].shape.fields[1].constant
    assert "int" == next(item for item in inner.fields if item.name == "either").shape.kind
    with pytest.raises(SchemaError, match=r"^Ring: the cycle has no end"):
        read_type(Ring, 1)


def test_a_recursion_through_a_union_alone_has_no_end() -> None:
    """Where every branch is cut."""

    class One(BaseModel):
        both: "Two | Three"  # noqa: UP037

    class Two(BaseModel):
        one: One

    class Three(BaseModel):
        one: One

    One.model_rebuild()
    with pytest.raises(SchemaError, match="the cycle has no end"):
        read_type(One, 1)


def test_a_model_that_grows_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of parts is bounded."""
    monkeypatch.setattr(types, "MAX_NODES", 100)
    with pytest.raises(SchemaError, match="more than 100 parts"):
        read_type(Wide, 5)


def test_a_part_is_validated_by_itself() -> None:
    """With definitions, strict models and a context."""

    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        day: dt.date

        @field_validator("day")
        @classmethod
        def _is_later(cls, value: dt.date, info: ValidationInfo) -> dt.date:
            if value < info.context:
                raise ValueError("too early")
            return value

    class Holder(BaseModel):
        one: Strict | Part
        other: Strict | None

    reading = read_type(Holder)
    validate = reading.validate_part(reading.shape.fields[0].shape.branches[0].shape)
    assert dt.date(2024, 1, 2) == validate({"day": "2024-01-02"}, dt.date(2024, 1, 1)).day
    with pytest.raises(ValidationError, match="too early"):
        validate({"day": "2024-01-02"}, dt.date(2024, 1, 3))


def test_what_is_only_known_by_its_json_schema() -> None:
    """Lists, closed lists, null; a tuple of open length is refused."""
    kinds: list[Any] = [{"type": "array", "items": {"type": "integer"}}, {"enum": ["a", "b"]}, {"type": "null"}]
    assert ["list", "enum", "null"] == [shape(Annotated[Any, WithJsonSchema(node)]).kind for node in kinds]


@pytest.mark.parametrize("kind", [list[Part], dict[str, Part], tuple[Part, Part], list[Color]])
def test_an_enum_on_a_type_whose_parts_are_classes_is_refused(kind: Any) -> None:
    """At the field, with what to do: plain JSON is no instance of the classes."""
    model = create_model("Model", field=(kind, Field(json_schema_extra={"enum": [[], {}]})))
    with pytest.raises(SchemaError, match=r"^\$\.field: an enum on a type whose parts are classes") as caught:
        read_type(model)
    assert "close its parts, by a Literal or an Enum" in str(caught.value.hint)


def test_a_closed_list_of_lists_keeps_no_marks() -> None:
    """The full schema says what Pydantic's own does."""
    model = create_model("Model", field=(list[str], Field(json_schema_extra={"enum": [["a"], ["b"]]})))
    full = read_type(model).shape.schema
    assert model.model_json_schema()["properties"] == full["properties"]


def test_a_union_that_a_recursion_shortens_is_told() -> None:
    """The branch that is cut."""
    assert "$.either.either" in " ".join(read_type(Wide, 1).cuts)
