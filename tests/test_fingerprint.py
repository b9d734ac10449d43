"""Fingerprints: what a function or model does, as text."""

from __future__ import annotations

from enum import Enum

from pydantic import BaseModel, field_validator

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

    assert source_of(Check) == source_of(Check())
