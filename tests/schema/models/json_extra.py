"""What a model adds to its JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from schema.models.case import Case


class Extra(BaseModel):
    """Keywords given as a dict."""

    model_config = ConfigDict(json_schema_extra={"x-origin": "page 1", "examples": [{"name": "a", "size": 1}]})

    name: str = Field(title="The name", examples=["Ada", "Bob"], json_schema_extra={"x-width": 20})
    size: int = Field(ge=-1000, json_schema_extra={"description": "Said in the extra", "maximum": 10**6}, le=10**6)


def _note(schema: dict[str, Any]) -> None:
    schema["x-note"] = "added"
    schema.pop("title", None)


class Called(BaseModel):
    """Keywords given by a function."""

    model_config = ConfigDict(title="Another title", json_schema_extra=_note)

    name: str = Field(json_schema_extra=_note)
    deprecated: int | None = Field(None, deprecated=True)


class Given(BaseModel):
    """A field whose schema is written by hand."""

    number: Annotated[int, WithJsonSchema({"type": "integer", "description": "By hand"})]
    named: str = Field(title='A "title"', description="Says: \\ and ü\nin two lines")


MODELS = [Case("extra_dict", Extra), Case("extra_callable", Called), Case("extra_by_hand", Given)]
