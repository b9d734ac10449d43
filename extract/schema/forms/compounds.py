"""Forms of what has parts: lists, tuples, maps and objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from extract.records import path_to, short
from extract.schema.forms.scalars import Form, Reading
from extract.schema.nodes import json_text, key_text, sorted_values
from extract.schema.shapes import ABSENT, Field, Shape
from extract.schema.unions import json_class

KEY, VALUE = "key", "value"  # of an entry


@dataclass
class Items(Form):
    """A list; a set is written in a fixed order."""

    item: Form
    typed: Callable[[Any], Any] | None = None  # of a set: an item → what two of its items must not share

    def __post_init__(self) -> None:
        self.plain, self.live = self.item.plain and self.typed is None, self.item.live

    def _write(self, value: Any) -> list[Any]:
        if isinstance(value, str | bytes | Mapping):
            raise ValueError(f"{type(value).__name__} is no list")
        found = [self.item.to_wire(item) for item in value]
        return sorted_values(found) if isinstance(value, set | frozenset) else found

    def _read(self, answer: Any, path: str, reading: Reading) -> Any:
        if not isinstance(answer, list):
            return answer
        found = [self.item.from_wire(item, path_to(path, number), reading) for number, item in enumerate(answer)]
        if self.typed and len({self._same(item) for item in found}) < len(found):
            reading.complain("uniqueItems", path, "two items of the set are one", short(found))
        return found

    def _same(self, item: Any) -> Any:
        """What makes two items one, such as an id in capitals and one in small letters."""
        try:
            return self.typed(self.item.hydrate(item, "$", Reading())) if self.typed else item
        except ValueError:  # for the judge to name
            return json_text(item)

    def _hydrate(self, value: Any, path: str, reading: Reading) -> Any:
        if not isinstance(value, list):
            return value
        return [self.item.hydrate(item, path_to(path, number), reading) for number, item in enumerate(value)]


@dataclass
class Parts(Form):
    """A tuple: as a list, or as an object `item_0`, `item_1` … where `named`."""

    items: Sequence[Form]
    named: bool

    def __post_init__(self) -> None:
        self.plain = not self.named and all(item.plain for item in self.items)
        self.live = any(item.live for item in self.items)

    def _write(self, value: Any) -> Any:
        found = [item.to_wire(part) for item, part in zip(self.items, value, strict=True)]
        return dict(zip(self.names, found, strict=True)) if self.named else found

    @property
    def names(self) -> list[str]:
        return [f"item_{number}" for number in range(len(self.items))]

    def _read(self, answer: Any, path: str, reading: Reading) -> Any:
        if self.named and isinstance(answer, dict) and answer.keys() == set(self.names):
            answer = [answer[name] for name in self.names]
        if not isinstance(answer, list) or len(answer) != len(self.items):
            return answer
        return self._each(answer, [item.from_wire for item in self.items], path, reading)

    def _hydrate(self, value: Any, path: str, reading: Reading) -> Any:
        if not isinstance(value, list) or len(value) != len(self.items):
            return value
        return self._each(value, [item.hydrate for item in self.items], path, reading)

    @staticmethod
    def _each(values: list[Any], readers: Sequence[Callable[..., Any]], path: str, reading: Reading) -> list[Any]:
        pairs = enumerate(zip(readers, values, strict=True))
        return [read(value, path_to(path, number), reading) for number, (read, value) in pairs]


@dataclass
class Entries(Form):
    """A map: as an object, or as a list of `key` and `value` where `listed`."""

    key: Form
    value: Form
    listed: bool
    typed: Callable[[Any], Any] | None = None  # the text of a key → the key, where two texts may be one key

    def __post_init__(self) -> None:
        self.plain = not self.listed and self.value.plain and self.typed is None
        choices = self.key.shape.choices
        self._members = {key_text(choice.json): choice.python for choice in choices if type(choice.json) is not str}
        self.live = self.value.live or bool(self._members)

    def _write(self, value: Any) -> Any:
        pairs = [(self.key.to_wire(key), self.value.to_wire(item)) for key, item in value.items()]
        if self.listed:
            return [{KEY: key, VALUE: item} for key, item in pairs]
        return {key_text(self.key.from_wire(key, "$", Reading())): item for key, item in pairs}

    def _read(self, answer: Any, path: str, reading: Reading) -> Any:
        pairs = self._pairs(answer, path, reading)
        if pairs is None:
            return answer
        found: dict[str, Any] = {}
        seen: set[Any] = set()
        for key, value in pairs:
            same = self._same(key)
            if same in seen:
                reading.complain("duplicate_key", path, f"the key {key!r} comes twice", key)
            seen.add(same)
            found[key] = self.value.from_wire(value, path_to(path, key), reading)
        return found

    def _same(self, key: str) -> Any:
        """What makes two keys one: their typed value, such as 1.50 and 1.5."""
        try:
            return self.typed(key) if self.typed else key
        except ValueError:  # for the model to name
            return key

    def _pairs(self, answer: Any, path: str, reading: Reading) -> list[tuple[str, Any]] | None:
        if isinstance(answer, dict):
            return list(answer.items())
        if not self.listed or not isinstance(answer, list):
            return None
        if not all(isinstance(entry, dict) and entry.keys() == {KEY, VALUE} for entry in answer):
            return None
        keys = [self.key.from_wire(entry[KEY], path, reading) for entry in answer]
        if not all(json_class(self.key.shape) in (class_of(key), "any") for key in keys):
            return None  # null is not the key "null"
        return [(_key(key), entry[VALUE]) for key, entry in zip(keys, answer, strict=True)]

    def _hydrate(self, value: Any, path: str, reading: Reading) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            self._members.get(key, key): self.value.hydrate(item, path_to(path, key), reading)
            for key, item in value.items()
        }


def _key(key: Any) -> str:
    """The key of a JSON object; 1.0 is the whole number 1."""
    return key_text(int(key) if isinstance(key, Decimal) and key == key.to_integral_value() else key)


@dataclass
class Property:
    """One field of an object on the wire."""

    field: Field
    form: Form
    null_is_default: bool = False  # the full schema has no null here: it stands for the default
    maybe: bool = False  # absent and null are two things: a list of at most one item


@dataclass
class Properties(Form):
    """An object; what a schema allows beside its fields is a list of entries, where `extra` is given."""

    properties: Sequence[Property]
    extra: Entries | None = None
    extra_name: str = ""
    leave_out_nulls: bool = False

    def __post_init__(self) -> None:
        self._by_wire = {item.field.wire: item for item in self.properties}
        self._constants = {
            item.wire: item.constant for item in self.shape.fields if item.cut and item.constant is not ABSENT
        }
        self._nulls = [
            item.field.wire
            for item in self.properties
            if self.leave_out_nulls and item.field.required and item.field.shape.nullable
        ]
        self._odd = {
            item.field.wire: item
            for item in self.properties
            if not item.form.plain or item.null_is_default or item.maybe  # the others are taken as they stand
        }
        self.plain = not (self._constants or self._nulls or self.extra or self._odd)
        extra_live = self.extra is not None and self.extra.live
        self.live = extra_live or any(item.form.live for item in self.properties)

    def _write(self, value: Any) -> Any:
        refuse_lost(self.shape, value)
        found: dict[str, Any] = {}
        for item in self.properties:
            held = value_of(self.shape, value, item.field)
            if held is not ABSENT or not self.leave_out_nulls:
                found[item.field.wire] = self._written(item, held)
        if self.extra:
            found[self.extra_name] = self.extra.to_wire(extras_of(self.shape, value))
        elif extras := extras_of(self.shape, value):
            if self.schema.get("additionalProperties", True) is False:
                raise ValueError(f"the profile's objects are closed, and {next(iter(extras))!r} is no field")
            found |= extras
        return found

    @staticmethod
    def _written(item: Property, value: Any) -> Any:
        if item.maybe:
            return [] if value is ABSENT else [item.form.to_wire(value)]
        return None if value is ABSENT else item.form.to_wire(value)

    def _read(self, answer: Any, path: str, reading: Reading) -> Any:
        if not isinstance(answer, dict):
            return answer
        found: dict[str, Any] = {}
        extras: Any = ABSENT
        for name, value in answer.items():
            item = self._odd.get(name)
            if item is not None:
                self._take(item, value, path, reading, found)
            elif self.extra and name == self.extra_name:
                extras = self.extra.from_wire(value, path, reading)
            else:
                found[name] = value
        self._merge(found, extras, path, reading)
        if not self._constants and not self._nulls:
            return found
        return self._constants | found | {name: None for name in self._nulls if name not in found}

    @staticmethod
    def _take(item: Property, value: Any, path: str, reading: Reading, found: dict[str, Any]) -> None:
        if item.null_is_default and value is None:
            return
        if item.maybe and isinstance(value, list) and len(value) < 2:
            if not value:
                return
            value = value[0]
        name = item.field.wire
        found[name] = value if item.form.plain else item.form.from_wire(value, path_to(path, name), reading)

    def _merge(self, found: dict[str, Any], extras: Any, path: str, reading: Reading) -> None:
        if extras is ABSENT:
            return
        if not isinstance(extras, dict):  # the judge would take it for an undeclared property
            reading.complain("type", path_to(path, self.extra_name), "no list of key and value", short(extras))
            return
        for name in extras.keys() & (found.keys() | self._by_wire.keys()):
            reading.complain("duplicate_key", path, f"the key {name!r} comes twice", name)
        for name, value in extras.items():
            found.setdefault(name, value)

    def _hydrate(self, value: Any, path: str, reading: Reading) -> Any:
        if not isinstance(value, dict):
            return value
        found = dict(value)
        for item in self.properties:
            name = item.field.wire
            if item.form.live and name in found:
                found[name] = item.form.hydrate(found[name], path_to(path, name), reading)
        if self.extra and self.extra.live:
            for name in found.keys() - self._by_wire.keys():
                found[name] = self.extra.value.hydrate(found[name], path_to(path, name), reading)
        return found


def value_of(shape: Shape, value: Any, item: Field) -> Any:
    """The value of a field of an object, ABSENT where a dict has none."""
    if shape.python is dict:
        return value.get(item.wire if shape.core is None else item.name, ABSENT)
    held = getattr(value, "__dict__", {})  # first, since asking for a deprecated field warns
    return held[item.name] if item.name in held else getattr(value, item.name)


def refuse_lost(shape: Shape, value: Any) -> None:
    """Raises ValueError for what its shape has no field for: a deeper recursion, the fields of a subclass."""
    for item in shape.fields:
        if item.cut and value_of(shape, value, item) not in (ABSENT, None, [], {}, (), set()):
            raise ValueError(f"the recursion goes on in {item.wire!r}, deeper than it is unrolled")
    if shape.python in (None, dict, type(value)):
        return
    names = {item.name for item in shape.fields}
    fields = {**getattr(type(value), "model_fields", {}), **getattr(type(value), "__dataclass_fields__", {})}
    if more := [name for name in fields if name not in names and shape.python in type(value).__mro__]:
        raise ValueError(f"{type(value).__name__} has fields that {shape.python.__name__} has not: {', '.join(more)}")


def extras_of(shape: Shape, value: Any) -> dict[str, Any]:
    """What an object holds beside its fields."""
    if shape.python is dict:
        names = {item.wire if shape.core is None else item.name for item in shape.fields}
        return {name: item for name, item in value.items() if name not in names}
    return dict(getattr(value, "__pydantic_extra__", None) or {})


def class_of(answer: Any) -> str:
    """The JSON class of an answer, as `json_class` names it."""
    if isinstance(answer, bool):
        return "boolean"
    if isinstance(answer, int | float | Decimal):
        return "number"
    names: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return names.get(type(answer), "null")
