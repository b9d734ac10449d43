"""Fingerprints: what a function or model does, as text."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from enum import Enum
from functools import partial
from typing import Annotated, Any, Generic, NamedTuple, NewType, NotRequired, TypeVar

import pytest
from pydantic import AfterValidator, BaseModel, Discriminator, Field, RootModel, Tag, field_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypeAliasType, TypedDict

from extract.fingerprint import code_of, source_of, source_of_model, without_addresses


class Colour(Enum):
    RED = "red"


class Base(BaseModel):
    a: int


class Part(BaseModel):
    colour: Colour | None
    inner: list[Base]


class Whole(Base):
    parts: list[Part]


def test_every_model_and_enum_below_counts() -> None:
    """Bases, nested models and enums are in the text, each once."""
    text = source_of_model(Whole)
    assert [1, 1, 1, 1] == [text.count(f"class {name}(") for name in ("Colour", "Base", "Part", "Whole")]


def test_functions_without_source_differ_by_their_code() -> None:
    """A function of a plain session is told from another by its compiled code."""
    made: dict[str, object] = {}
    exec("def f(v, r): return 1\ndef g(v, r): return 2\ndef h(v, r): return 1", made)
    f, g, h = (source_of(made[name]) for name in "fgh")
    assert f != g
    assert f == h


def test_a_validator_of_a_model_without_source_counts() -> None:
    """A changed validator changes the text even where the class has no source."""

    def model(text: str) -> type[BaseModel]:
        made: dict[str, object] = {"BaseModel": BaseModel, "field_validator": field_validator, "__name__": "nowhere"}
        exec(text, made)
        return made["M"]  # type: ignore[return-value]

    form = "class M(BaseModel):\n    a: int\n    @field_validator('a')\n    def check(cls, v): return v + {}"
    one, two, same = (source_of_model(model(form.format(number))) for number in (1, 2, 1))
    assert one != two
    assert one == same


def test_addresses_are_left_out() -> None:
    """Two processes write the same text."""
    assert "<f>" == without_addresses("<f at 0x7f00>")


def test_an_object_that_is_called_counts_by_its_class() -> None:
    """A callable object's text is its class."""

    class Check:
        def __call__(self) -> None: ...

    assert source_of(Check()) == source_of(Check())
    assert "class Check" in source_of(Check())


def test_what_a_function_is_bound_to_counts() -> None:
    """Arguments of a partial, closures, defaults and attributes of callable objects tell two checks apart."""

    def limited(value: object, record: object, limit: int = 0) -> None: ...

    def closing_over(limit: int) -> object:
        return lambda value, record: limit

    class Limited:
        def __init__(self, limit: int) -> None:
            self.limit = limit

        def __call__(self, value: object, record: object) -> None: ...

    makers = (lambda limit: partial(limited, limit=limit), closing_over, Limited, lambda limit: Limited(limit).__call__)
    for make in makers:
        assert source_of(make(1)) != source_of(make(2))
        assert source_of(make(1)) == source_of(make(1))


def test_a_function_that_closes_over_itself_ends() -> None:
    """No endless recursion."""

    def outer() -> object:
        def inner() -> object:
            return inner

        return inner

    assert "def inner" in source_of(outer())


def test_validators_in_annotations_and_mixins_count() -> None:
    """The function of an AfterValidator and a base class that is no model are parts of a model."""

    def positive(value: int) -> int:
        return value

    class Mixin:
        pass

    class Model(Mixin, BaseModel):
        a: Annotated[int, AfterValidator(positive)]
        b: list[Annotated[int, AfterValidator(positive)]]

    text = source_of_model(Model)
    assert "def positive" in text
    assert "class Mixin" in text


def checked(value: int) -> int:
    return value


def made() -> int:
    return 7


def kind_of(value: Any) -> str:
    return "base"


T = TypeVar("T")
Number = Annotated[int, AfterValidator(checked)]


class Mark:
    """A mark of the user's own, that cannot be hashed."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __repr__(self) -> str:
        return f"Mark({self.limit})"


@dataclass
class Data:
    part: Part
    number: Number
    more: int = dataclass_field(default_factory=made)


@pydantic_dataclass
class Checked:
    part: Part
    number: Number
    more: int = Field(default_factory=made)


class Typed(TypedDict):
    part: Part
    number: NotRequired[Annotated[Number, Field(default_factory=made)]]


class Named(NamedTuple):
    part: Part
    number: Number
    more: Annotated[int, Field(default_factory=made)]


class Rooted(RootModel[dict[str, tuple[Part, Number]]]):
    @field_validator("root")
    @classmethod
    def _is_made(cls, value: Any) -> Any:
        return value or made()


class Box(BaseModel, Generic[T]):
    inside: T
    number: Number
    more: int = Field(default_factory=made)


@dataclass
class Plain(Generic[T]):
    inside: T
    number: Number
    more: Annotated[int, Mark(3)] = dataclass_field(default_factory=made)


@pytest.mark.parametrize(
    "kind",
    [Data, Checked, Typed, Named, Rooted, Box[Part], Plain[Part], list[Data], Data | None, dict[str, Typed]],
    ids=str,
)
def test_classes_of_every_kind_are_followed(kind: Any) -> None:
    """Their fields' types, the validators in their annotations, and what makes their defaults."""
    text = source_of_model(kind)
    for name in ("class Part(", "class Colour(", "class Base(", "def checked("):
        assert 1 == text.count(name)
    assert "made" in text
    assert ("def made(" in text) == (kind is not Rooted)


def test_aliases_and_marks_are_followed() -> None:
    """A NewType, an alias of a type, a mark by its class and what it shows, a Discriminator's function."""
    named = NewType("named", Part)
    assert "class Part(" in source_of_model(named)
    assert "class Part(" in source_of_model(TypeAliasType("Parts", list[Part]))  # type: ignore[valid-type]
    text = source_of_model(Plain[Part])
    assert "class Mark" in text
    assert "Mark(3)" in text
    union = Annotated[Annotated[Base, Tag("base")] | Annotated[Part, Tag("part")], Discriminator(kind_of)]
    assert "def kind_of(" in source_of_model(union)


def test_a_name_that_only_pydantic_finds_is_passed_over() -> None:
    """A class inside a function, whose annotations are texts: its own source counts."""

    class Inner(BaseModel):
        a: int

    @dataclass
    class Outer:
        inner: Inner

    assert "inner: Inner" in source_of_model(Outer)


def test_plain_types_have_no_source() -> None:
    """Those of Python and of Pydantic."""
    assert ["", "", ""] == [source_of_model(kind) for kind in (int, list[str], dict[str, Annotated[int, Field(ge=1)]])]


def test_a_changed_mark_changes_the_text() -> None:
    """Marks that show what they hold tell two types apart."""

    def model(limit: int) -> Callable[..., Any]:
        return Annotated[int, Mark(limit)]  # type: ignore[return-value]

    assert source_of_model(model(1)) != source_of_model(model(2))
    assert source_of_model(model(1)) == source_of_model(model(1))


WITHOUT_SOURCE = """
from extract.fingerprint import code_of, source_of
made = {}
exec('''
def is_unit(text, known=frozenset({"kg", "g", "l", "ml"})):
    inner = lambda: text in {"t", "lb", "oz", "st", ("a", "b")}
    return text in {"kg", "g", "l", "ml", "piece", None, 1} or text in known or inner()
''', made)
print(code_of(made["is_unit"]), source_of(made["is_unit"]))
"""


def test_code_without_source_is_named_alike_in_every_process() -> None:
    """The order of its sets is not, and its requests would be paid for again."""

    def told(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", WITHOUT_SOURCE]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert 1 == len({told(seed) for seed in ("1", "2", "3")})


def test_the_constants_of_inner_code_count() -> None:
    made: dict[str, Any] = {}
    exec("a = lambda text: [each in {'kg', 'g'} for each in text]", made)
    exec("b = lambda text: [each in {'kg', 't'} for each in text]", made)
    assert code_of(made["a"]) != code_of(made["b"])
