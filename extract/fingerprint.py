"""What a function or a model does, as text: when the text changes, tables are derived anew.

A change that this does not see leaves old tables standing, so more is looked at than is strictly needed: defaults,
closures, arguments of partials, attributes of callable objects. What a function calls elsewhere is not followed.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from types import CodeType
from typing import Any, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo
from typing_extensions import is_typeddict

_LIBRARIES = frozenset(
    {"builtins", "pydantic", "pydantic_core", "annotated_types", "enum", "abc", "typing", "typing_extensions", "types"}
    | {"collections", "dataclasses", "decimal", "datetime", "uuid"}
)
_FUNCTIONS = ("func", "discriminator", "default_factory")  # of a validator, of Discriminator, of a field


def source_of(thing: Any) -> str:
    """The source of a function, class or callable object with what it is bound to; its compiled code where there is no
    source, as in a plain session."""
    return _text(thing, set())


def code_of(function: Any) -> str:
    """The source of a function by itself, without what it is bound to: a connection or a cache changes as it works."""
    while isinstance(function, functools.partial):
        function = function.func
    return _source(function if inspect.isroutine(function) else type(function))


def source_of_model(model: Any) -> str:
    """The sources of a type, its bases, its validators, and of every class below it, in a fixed order.

    Models, dataclasses, TypedDicts and RootModels are followed into their fields, annotations into their arguments.
    """
    return "\n".join(dict.fromkeys(source_of(part) for part in _parts(model, set())))


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
    if isinstance(thing, set | frozenset):
        return "\n".join(sorted(_text(part, seen) for part in thing))
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
    return _compiled(code) if code else repr(type(thing))


def _compiled(value: Any) -> str:
    """Code, or a constant in it: the order of a set is another one in every process."""
    if isinstance(value, CodeType):
        return f"({value.co_code!r}, {_compiled(value.co_consts)}, {value.co_names!r})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_compiled, value))})"
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(map(_compiled, value)))}}}"
    return without_addresses(repr(value))


def _unwrapped(value: Any) -> Any:
    """The function inside a classmethod, property or Pydantic's decorator."""
    for name in ("wrapped", "__func__", "fget"):
        value = getattr(value, name, value)
    return value


def _parts(annotation: Any, seen: set[Any]) -> Iterator[Any]:
    """Classes of the project's own, functions in annotations (validators, factories), and other marks there."""
    for name in _FUNCTIONS:
        if callable(function := getattr(annotation, name, None)):
            yield function
    if isinstance(annotation, type) and not get_args(annotation):
        yield from _parts_of_class(annotation, seen)
        return
    for part in _inside(annotation):
        yield from _parts(part, seen)
    if not _is_library(type(annotation)):
        yield from _parts(type(annotation), seen)
        yield annotation


def _parts_of_class(cls: type, seen: set[Any]) -> Iterator[Any]:
    if cls in seen or _is_library(cls):
        return
    seen.add(cls)
    for base in cls.__bases__:
        yield from _parts(base, seen)
    yield cls
    for part in _fields(cls):
        yield from _parts(part, seen)


def _is_library(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in _LIBRARIES


def _inside(annotation: Any) -> Iterator[Any]:
    """What a generic annotation, an alias, a NewType or a `Field(...)` is made of."""
    if origin := get_origin(annotation):
        yield origin
    yield from get_args(annotation)
    yield from (getattr(annotation, name) for name in ("__value__", "__supertype__") if hasattr(annotation, name))
    if isinstance(annotation, FieldInfo):
        yield annotation.annotation
        yield from annotation.metadata


def _fields(cls: type) -> Iterator[Any]:
    """The fields of a model, dataclass, TypedDict or NamedTuple: their types and what is marked there."""
    found = getattr(cls, "__pydantic_fields__", None)
    if isinstance(found, dict):
        yield from found.values()
    elif is_dataclass(cls) or is_typeddict(cls) or hasattr(cls, "_fields"):
        yield from _hints(cls)
        yield from (vars(cls).get("__dataclass_fields__") or {}).values()


def _hints(cls: type) -> Iterator[Any]:
    try:
        yield from get_type_hints(cls, include_extras=True).values()
    except (NameError, AttributeError, TypeError):  # a name that only Pydantic finds
        yield from cls.__annotations__.values()
