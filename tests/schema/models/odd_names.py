"""Fields whose names mean something elsewhere."""

# ruff: noqa: PLC2401

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, create_model

from schema.models.case import Case


class Keywords(BaseModel):
    """Names of JSON Schema's own words."""

    type: str
    properties: list[str]
    items: dict[str, int]
    required: bool
    enum: int
    title: str
    description: str = Field(description="The description of the description")
    default: int = 0
    format: str
    const: float | None
    additional_properties: str = Field(alias="additionalProperties")
    any_of: int | str = Field(alias="anyOf")
    ref: str = Field(alias="$ref")
    defs: dict[str, str] = Field(alias="$defs")


class RewriteWords(BaseModel):
    """Names that the rewrites themselves use."""

    tag: int | str
    value: list[int]
    key: dict[str, int]
    item_0: tuple[int, str]
    self_: bool = Field(alias="self")


class OfPython(BaseModel):
    """Words that Python keeps, by alias."""

    class_: str = Field(alias="class")
    from_: int = Field(alias="from")
    import_: bool | None = Field(None, alias="import")
    none: None = Field(None, alias="None")


class Inner(BaseModel):
    größe: float
    名前: str


class NotAscii(BaseModel):
    """Letters of other scripts."""

    straße: str
    год: int
    inner: Inner
    emoji: int = Field(alias="🙂")


class Punctuated(BaseModel):
    """Blanks, quotes and signs, by alias."""

    total: float = Field(alias="Total (net), in €")
    quoted: str = Field(alias='say "hi"')
    single: str = Field(alias="it's")
    dotted: int = Field(alias="a.b[0]")
    slashed: dict[str, int] = Field(alias="a/b~c")
    backslash: list[Inner] = Field(alias="a\\b")
    starred: int = Field(alias="*")
    line: int | None = Field(alias="two\nlines")
    blank: int = Field(alias=" ")


Spaced: Any = create_model(
    "A model: with [odd] name!",
    __doc__="Its own name has signs.",
    part=(create_model("Part/é", x=(int, ...)), ...),
)


class Documented(BaseModel):
    """The first line.

    The second paragraph, with "quotes",
    a line break and ümläuts.
    """

    field: str
    """A docstring of a field is not read unless asked for."""


MODELS = [
    Case("names_keywords", Keywords),
    Case("names_rewrites", RewriteWords),
    Case("names_python", OfPython),
    Case("names_not_ascii", NotAscii),
    Case("names_punctuated", Punctuated),
    Case("names_of_models", Spaced),
    Case("names_documented", Documented),
]
