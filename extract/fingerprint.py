"""What a function or a model does, as text: when the text changes, tables are derived anew.

A change that this does not see leaves old tables standing, so more is looked at than is strictly needed: defaults,
closures, arguments of partials, attributes of callable objects. What a function calls elsewhere is not followed.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, get_args

from pydantic import BaseModel

_LIBRARIES = frozenset({"builtins", "pydantic", "enum", "abc", "typing", "decimal", "datetime"})


def source_of(thing: Any) -> str:
    """The source of a function, class or callable object with what it is bound to; its compiled code where there is no
    source, as in a plain session."""
    return _text(thing, set())


def source_of_model(model: type[BaseModel]) -> str:
    """The sources of a model, its bases, its validators, and every model and enum below it, in a fixed order."""
    return "\n".join(source_of(part) for part in dict.fromkeys(_parts(model, set())))


def without_addresses(text: str) -> str:
    """A repr that is the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _text(thing: Any, seen: set[int]) -> str:
    if id(thing) in seen:  # a closure may hold its own function
        return ""
    seen.add(id(thing))
    if isinstance(thing, functools.partial):
        return "\n".join(["partial", *(_text(part, seen) for part in (thing.func, thing.args, thing.keywords))])
    if inspect.isclass(thing):
        return _source(thing)
    if inspect.isroutine(thing):
        return "\n".join([_source(thing), *(_text(part, seen) for part in _bound(thing))])
    if isinstance(thing, tuple | list):
        return "\n".join(_text(part, seen) for part in thing)
    if isinstance(thing, dict):
        return "\n".join(f"{key}: {_text(part, seen)}" for key, part in thing.items())
    if callable(thing) and hasattr(thing, "__dict__"):
        return "\n".join([_source(type(thing)), _text(vars(thing), seen)])
    return without_addresses(repr(thing))


def _bound(function: Any) -> Iterator[Any]:
    """Defaults, the values that the function closes over, and the object of a method."""
    yield from (getattr(function, "__defaults__", None), getattr(function, "__kwdefaults__", None))
    for cell in getattr(function, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    owner = getattr(function, "__self__", None)
    if owner is not None and not inspect.ismodule(owner) and not inspect.isclass(owner):
        yield owner


def _source(thing: Any) -> str:
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        return _code(thing)


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


def _parts(annotation: Any, seen: set[Any]) -> Iterator[type | Callable[..., Any]]:
    """Classes of the project's own, and the functions of validators in annotations."""
    validator = getattr(annotation, "func", None)
    if callable(validator):
        yield validator
    if not isinstance(annotation, type):
        for part in get_args(annotation):
            yield from _parts(part, seen)
        return
    if annotation in seen or annotation.__module__.partition(".")[0] in _LIBRARIES:
        return
    seen.add(annotation)
    for base in annotation.__bases__:
        yield from _parts(base, seen)
    yield annotation
    if issubclass(annotation, BaseModel):
        for field in annotation.model_fields.values():
            for part in (field.annotation, *field.metadata):
                yield from _parts(part, seen)
