"""Tools: declarations that an endpoint takes, and arguments as the function takes them."""

from __future__ import annotations

import datetime as dt
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from extract.errors import SchemaError
from extract.schema.functions import ArgumentsError, tool_of


class Country(Enum):
    DE = "de"
    FR = "fr"


def lookup(  # one of each kind
    vendor: Annotated[str, Field(description="Its name", min_length=2)],
    country: Country | None = None,
    since: dt.date | None = None,
    codes: list[int] = [1],  # noqa: B006  # read only
    kind: Literal[1, 2] = 1,
    rates: dict[str, float] = {},  # noqa: B006  # read only
    size: int | str = 3,
) -> Any:
    """Find a vendor
    by its name.

    What comes after is not for the model.
    """
    return vendor, country, since, codes, kind, rates, size


def test_the_declaration_has_the_subset_that_tools_take() -> None:
    """Types, descriptions, string enums and what is required; null is a field that may be left out."""
    declared = tool_of(lookup).declaration
    assert "function" == declared["type"]
    function = declared["function"]
    assert ("lookup", "Find a vendor by its name.") == (function["name"], function["description"])
    properties = function["parameters"]["properties"]
    assert ["vendor"] == function["parameters"]["required"]
    assert {"type": "string", "description": "Its name (at least 2 characters)"} == properties["vendor"]
    assert {"type": "string", "enum": ["de", "fr"], "nullable": True} == properties["country"]
    assert {"type": "string", "enum": ["1", "2"]} == properties["kind"]
    assert ["key", "value"] == properties["rates"]["items"]["required"]


def test_arguments_come_typed_and_defaults_are_the_functions_own() -> None:
    """Every rewrite is read back."""
    tool = tool_of(lookup)
    assert {"vendor": "acme"} == tool.arguments('{"vendor": "acme"}')
    text = (
        '{"vendor": "acme", "country": "de", "since": "2020-01-02", "codes": [2], "kind": "2", '
        '"rates": [{"key": "a", "value": 1.5}], "size": {"tag": "text", "text": "x"}}'
    )
    assert ("acme", Country.DE, dt.date(2020, 1, 2), [2], 2, {"a": 1.5}, "x") == tool.call(text)
    assert ("acme", None, None, [1], 1, {}, 3) == tool.call('{"vendor": "acme"}')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("", r"\$: 'vendor' is a required property"),
        ('{"vendor": "a"}', r"\$\.vendor"),
        ('{"vendor": 5}', r"\$\.vendor: 5 is not of type 'string'"),
        ('{"vendor": "ab", "zz": 1}', "'zz' was unexpected"),
        ('{"vendor": "ab", "country": "it"}', r"\$\.country"),
        ('{"vendor": "ab", "rates": [{"key": "a", "value": 1}, {"key": "a", "value": 2}]}', "comes twice"),
    ],
)
def test_arguments_that_do_not_fit_are_told_to_the_model(text: str, message: str) -> None:
    """By place and reason."""
    with pytest.raises(ArgumentsError, match=message):
        tool_of(lookup).arguments(text)


def no_docs(a: int) -> None: ...


def many(*a: int) -> None:
    """Many."""


def untyped(a) -> None:  # type: ignore[no-untyped-def]
    """Untyped."""


def nothing() -> None:
    """Nothing."""


def private(_a: int) -> None:
    """Private."""


def reserved(model_config: int) -> None:
    """Reserved."""


def lost(a: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Lost."""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_docs, "no_docs: a tool needs a docstring"),
        (many, r"many\(a\): a parameter of the kind variadic"),
        (untyped, r"untyped\(a\): a parameter without a type"),
        (nothing, "nothing: a tool without parameters"),
        (private, r"private\(_a\): a name that Pydantic keeps"),
        (reserved, r"reserved\(model_config\): a name that Pydantic keeps"),
        (lost, "lost: a type that is not there: name 'Nowhere'"),
    ],
)
def test_a_function_that_makes_no_tool_is_refused(function: Any, message: str) -> None:
    """The parameter is named."""
    with pytest.raises(SchemaError, match=message):
        tool_of(function)


def test_name_and_description_may_be_given() -> None:
    """The name must be one that endpoints take."""
    tool = tool_of(no_docs, name="other-name", description="Said.")
    assert ("other-name", "Said.") == (tool.name, tool.description)
    with pytest.raises(SchemaError, match="is no name of a tool"):
        tool_of(lookup, name="two words")
