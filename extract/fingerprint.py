"""What a function or a model does, as text: when the text changes, tables are derived anew."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, get_args

from pydantic import BaseModel


def source_of(thing: Any) -> str:
    """The source of a function or class; its compiled code where there is no source, as in a plain session."""
    routine = thing if inspect.isroutine(thing) or inspect.isclass(thing) else type(thing)
    try:
        return inspect.getsource(routine)
    except (OSError, TypeError):
        return _code(routine)


def source_of_model(model: type[BaseModel]) -> str:
    """The sources of a model, its bases, and every model and enum below it, in a fixed order."""
    return "\n".join(source_of(kind) for kind in dict.fromkeys(_kinds(model, set())))


def without_addresses(text: str) -> str:
    """A repr that is the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _code(thing: Any) -> str:
    if inspect.isclass(thing):
        found = (source_of(inner) for inner in map(_unwrapped, vars(thing).values()) if hasattr(inner, "__code__"))
        return "\n".join([thing.__qualname__, *found])
    code = getattr(thing, "__code__", None)
    return without_addresses(repr((code.co_code, code.co_consts, code.co_names))) if code else repr(type(thing))


def _unwrapped(value: Any) -> Any:
    """The function inside a classmethod, property or Pydantic's decorator."""
    for name in ("wrapped", "__func__", "fget"):
        value = getattr(value, name, value)
    return value


def _kinds(annotation: Any, seen: set[Any]) -> Iterator[type]:
    if not isinstance(annotation, type):
        for part in get_args(annotation):
            yield from _kinds(part, seen)
        return
    if annotation in seen or not issubclass(annotation, BaseModel | Enum) or annotation is BaseModel:
        return
    seen.add(annotation)
    for base in annotation.__bases__:
        yield from _kinds(base, seen)
    yield annotation
    if issubclass(annotation, BaseModel):
        for field in annotation.model_fields.values():
            yield from _kinds(field.annotation, seen)
