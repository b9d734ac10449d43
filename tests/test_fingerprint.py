"""Fingerprints: what a function or model does, as text."""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, BaseModel, field_validator

from extract.fingerprint import source_of, source_of_model, without_addresses


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
