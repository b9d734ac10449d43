"""What Pydantic's core schemas say of a type, and the validators that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import SchemaValidator, core_schema

from extract.errors import SchemaError
from extract.evidence import EVIDENCE, Evidence
from extract.records import path_to
from extract.schema.shapes import JsonSchema, Kind, Shape
from extract.verbatim import VERBATIM, Verbatim

_SCALARS: dict[str, Kind] = {
    "str": "str",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "decimal": "decimal",
    "date": "date",
    "datetime": "datetime",
    "time": "time",
    "timedelta": "timedelta",
    "bytes": "bytes",
    "uuid": "text",
    "url": "text",
    "multi-host-url": "text",
    "none": "null",
}
_LISTS: dict[str, type] = {"list": list, "set": set, "frozenset": frozenset, "tuple": tuple}
_OBJECTS = ("model", "dataclass", "typed-dict")
_SWITCHES = frozenset({"json-or-python", "lax-or-strict"})

Cores = Mapping[str, Any]  # of one node, by their types


@dataclass(frozen=True)
class TypeReading:
    """What was read: the shape of the type, and how to validate a value of it or of a part of it."""

    shape: Shape
    adapter: TypeAdapter[Any]
    cuts: tuple[str, ...]  # where a recursion is cut off

    def validate(self, value: Any, context: Any = None) -> Any:
        """The instance. Raises pydantic.ValidationError."""
        # lax, since JSON has no dates or enums to be strict about, and the schema has checked the JSON types
        return self.adapter.validator.validate_python(value, strict=False, context=context)

    def validate_part(self, shape: Shape) -> Callable[[Any, Any], Any]:
        """What makes of a value and a context the instance of one part by itself; raises pydantic.ValidationError."""
        if shape.core is None:  # a schema of the user's own
            return lambda value, _: value
        validate = self.validator_of(shape).validate_python
        return lambda value, context: validate(value, strict=False, context=context)

    def validator_of(self, shape: Shape) -> SchemaValidator:
        """The validator of one part by itself."""
        return SchemaValidator(
            core_schema.definitions_schema(shape.core, list(definitions_of(self.adapter.core_schema)))
        )


def is_json_value(cores: Iterable[Mapping[str, Any]]) -> bool:
    return any(str(core.get("ref", "")).startswith("pydantic.types.JsonValue") for core in cores)


def is_switched(by_type: Cores) -> bool:
    """Whether the Python value is not what the JSON one is."""
    return not _SWITCHES.isdisjoint(by_type)


def object_of(by_type: Cores) -> Mapping[str, Any] | None:
    """The core schema of a class with fields."""
    return next((by_type[name] for name in _OBJECTS if name in by_type), None)


def container_of(by_type: Cores) -> type | None:
    """The class of a list or set."""
    return next((container for name, container in _LISTS.items() if name in by_type), None)


def scalar_of(by_type: Cores) -> tuple[Kind, Mapping[str, Any]] | None:
    """The kind of a single value, with its core schema."""
    name = next((name for name in _SCALARS if name in by_type), None)
    if name is None:
        return None
    kind = _SCALARS[name]
    return "text" if kind == "str" and is_switched(by_type) else kind, by_type[name]


def enum_of(by_type: Cores) -> tuple[type | None, list[Any]] | None:
    """The class of a closed list, None of a Literal, with its members; each once, whatever its aliases."""
    if "enum" in by_type:
        core = by_type["enum"]
        return core["cls"], list({id(member): member for member in core["members"]}.values())
    return (None, list(by_type["literal"]["expected"])) if "literal" in by_type else None


def computed_of(core: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and type of each computed field: columns that the model fills by itself."""
    decorators = getattr(core["cls"], "__pydantic_decorators__", None)
    for name, item in decorators.computed_fields.items() if decorators else ():
        yield name, item.info.return_type


def members_of(core: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Field name → core schema of each field of a model, dataclass or TypedDict."""
    while "fields" not in core or core["type"] == "dataclass":
        core = core["schema"]
    fields = core["fields"]
    yield from fields.items() if isinstance(fields, dict) else ((item["name"], item) for item in fields)


def json_names(members: Mapping[str, Any], node: JsonSchema, path: str) -> dict[str, str]:
    """Field name → name in JSON: the plain alias by which the model takes it."""
    names: dict[str, str] = {}
    for name, core in members.items():
        alias = core.get("validation_alias", name)
        if not isinstance(alias, str):
            plain = [steps[0] for steps in alias if len(steps) == 1] if isinstance(alias[0], list) else []
            if not plain:
                hint = "use a plain alias, or AliasChoices with one"
                raise SchemaError("an alias that is a path", path=path_to(path, name), hint=hint)
            alias = plain[0]
        names[name] = alias if alias in node.get("properties", {}) else name
    return names


def definitions_of(core: Mapping[str, Any]) -> Iterator[Any]:
    while core["type"] != "definitions":
        if "schema" not in core:
            return
        core = core["schema"]
    yield from core["definitions"]


def verbatim_of(core: Mapping[str, Any]) -> Verbatim | None:
    return (core.get("metadata") or {}).get(VERBATIM)


def evidence_of(core: Mapping[str, Any]) -> Evidence | None:
    return (core.get("metadata") or {}).get(EVIDENCE)
