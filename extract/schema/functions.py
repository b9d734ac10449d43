"""Function declarations: the same compiler makes the `parameters` of a tool, and reads a call's arguments back."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from extract.errors import SchemaError
from extract.parse import ParseError, parse_json
from extract.schema.compile import CompiledSchema, compile_schema
from extract.schema.forms import Reading
from extract.schema.shapes import JsonSchema

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


class ArgumentsError(ValueError):
    """Arguments of a tool call that do not fit the function; the message is fit to be sent back to the model."""


@dataclass(frozen=True)
class Tool:
    """A function that a model may call."""

    name: str
    description: str
    schema: CompiledSchema  # of its parameters, profile "function"
    function: Callable[..., Any]

    @property
    def declaration(self) -> JsonSchema:
        """{"type": "function", "function": {"name", "description", "parameters"}}, as `tools` lists it."""
        about = {"name": self.name, "description": self.description, "parameters": self.schema.wire_schema}
        return {"type": "function", "function": about}

    def arguments(self, text: str) -> dict[str, Any]:
        """The keyword arguments of a call, typed as the function takes them. Raises ArgumentsError."""
        try:
            answer = parse_json(text or "{}")  # some endpoints send nothing for no arguments
            reading = Reading()
            found = self.schema.form.from_wire(answer, "$", reading)
            if issues := reading.issues or self.schema.verdict.issues(found):
                raise ValueError("; ".join(f"{issue.path}: {issue.message}" for issue in issues))
            call = self.schema.instance(found, reading)
        except ParseError as error:
            raise ArgumentsError(f"the arguments are not JSON: {error}") from None
        except ValueError as error:
            raise ArgumentsError(f"the arguments do not fit: {error}") from None
        return {name: getattr(call, name) for name in type(call).model_fields if name in call.model_fields_set}

    def call(self, text: str) -> Any:
        """Call the function with the arguments of a tool call. Raises ArgumentsError, and whatever it raises itself."""
        return self.function(**self.arguments(text))


def tool_of(function: Callable[..., Any], *, name: str | None = None, description: str | None = None) -> Tool:
    """A typed Python function as a tool: `def lookup(vendor: str, country: Country | None = None) -> …`.

    Parameters are keyword arguments with type annotations; `Annotated[str, Field(description=…)]` describes one. The
    description is the first paragraph of the docstring. Raises SchemaError that names the parameter.
    """
    called = str(name or getattr(function, "__name__", ""))
    if not _NAME.fullmatch(called):
        raise SchemaError(f"{called!r} is no name of a tool", hint="letters, digits, '_' and '-', at most 64")
    said = description or (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
    if not said:
        raise SchemaError("a tool needs a docstring: the model chooses by it", path=called, hint="or description=…")
    fields = _fields(function, called)
    if not fields:
        raise SchemaError(
            "a tool without parameters", path=called, hint="give it one, or put its answer into the prompt"
        )
    model = create_model(called, __config__=ConfigDict(extra="forbid"), **fields)
    return Tool(called, said, compile_schema(model, "function"), function)


def _fields(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise SchemaError(f"a type that is not there: {error}", path=name, hint="define or import it") from None
    fields: dict[str, Any] = {}
    for item in inspect.signature(function).parameters.values():
        path = f"{name}({item.name})"
        if item.kind in (item.VAR_POSITIONAL, item.VAR_KEYWORD, item.POSITIONAL_ONLY):
            raise SchemaError(f"a parameter of the kind {item.kind.description}", path=path, hint="name each parameter")
        if item.name.startswith("_") or hasattr(BaseModel, item.name):
            raise SchemaError("a name that Pydantic keeps for itself", path=path, hint="call it otherwise")
        if item.name not in hints:
            raise SchemaError("a parameter without a type", path=path, hint="annotate it")
        fields[item.name] = (hints[item.name], ... if item.default is item.empty else item.default)
    return fields
