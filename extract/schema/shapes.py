"""One tree for everything that a schema says: what a value is in Python, in JSON and in a table.

A reader (`types` for Python types, `raw` for a JSON Schema) makes the tree; wire form, Arrow types, cells and source
bindings follow from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from extract.evidence import Evidence
from extract.verbatim import Target, Verbatim

JsonSchema = dict[str, Any]
Kind = Literal[
    "str",
    "int",
    "float",
    "bool",
    "decimal",
    "date",
    "datetime",
    "time",
    "timedelta",
    "bytes",
    "text",  # any other class that is written as a string: UUID, URL, path, address
    "enum",
    "null",
    "json",  # any JSON value, carried as its text
    "list",  # set, frozenset and tuple of one type too
    "tuple",
    "map",
    "object",
    "union",
]

BOUND_KINDS: dict[str, Target] = {"str": "str", "int": "int", "float": "float", "decimal": "decimal", "date": "date"}
TAG = "tag"  # which branch of a union it is
EXTRA = "additional_properties"  # where undeclared properties go that a schema allows


class Absent:
    """The one value `ABSENT`: a key that is not there."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent()


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of an enum: its label, its JSON value and what it is in Python."""

    label: str
    json: Any
    python: Any


@dataclass(frozen=True, slots=True)
class Branch:
    """One alternative of a union, by a label that no other has."""

    label: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an object: its name in Python, its name in JSON, its shape."""

    name: str
    wire: str
    shape: Shape
    required: bool = True  # the full schema asks for it
    column: bool = True  # False: asked for and judged, but not in the table (excluded fields)
    computed: bool = False  # in the table, but never asked for
    cut: bool = False  # a recursion ends here: neither asked for nor in the table
    constant: Any = ABSENT  # what stands where it is cut; ABSENT: the default


@dataclass(frozen=True, slots=True)
class Shape:
    """One type. `schema` is the node of the full JSON Schema that it stands for, its parts included."""

    kind: Kind
    schema: JsonSchema = field(default_factory=dict)
    nullable: bool = False
    description: str | None = None
    item: Shape | None = None  # of a list; the value of a map
    key: Shape | None = None  # of a map
    items: tuple[Shape, ...] = ()  # of a tuple
    fields: tuple[Field, ...] = ()  # of an object
    extra: Shape | None = None  # of an object: what its undeclared properties are, None when it takes none
    branches: tuple[Branch, ...] = ()  # of a union
    choices: tuple[Choice, ...] = ()  # of an enum
    digits: tuple[int, int] | None = None  # of a Decimal: precision, scale
    naive: bool = False  # of a datetime: without zone
    encoded: bool = False  # of bytes: Pydantic itself reads the base64 text
    verbatim: Verbatim | None = None
    evidence: Evidence | None = None  # what is asked of the source for the value
    python: type | None = None  # class of an object (dict: by item), container of a list, class of an enum
    roots: int = 0  # RootModels around the value
    root: type | None = None  # class of the outermost of them
    core: Any = None  # Pydantic's core schema, to validate the value by itself

    @property
    def target(self) -> Target:
        """What a chosen span is read as; only for what `Verbatim` can bind."""
        return BOUND_KINDS[self.kind]

    @property
    def asked(self) -> tuple[Field, ...]:
        """The fields that an answer holds."""
        return tuple(item for item in self.fields if not item.computed and not item.cut)

    @property
    def columns(self) -> tuple[Field, ...]:
        """The fields that a table holds."""
        return tuple(item for item in self.fields if item.column and not item.cut)

    def children(self) -> Iterator[tuple[str, Shape]]:
        """The shapes one level below, each with its step in a JSON path (`*` for an item or an entry)."""
        if self.item:
            yield "*", self.item
        yield from ((str(number), shape) for number, shape in enumerate(self.items))
        yield from ((item.wire, item.shape) for item in self.asked)
        yield from (("", branch.shape) for branch in self.branches)
        if self.extra:
            yield "*", self.extra


def bindings(shape: Shape, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Shape]]:
    """Every verbatim scalar below a shape with its path in the answer; "*" stands for the items of a list."""
    if shape.verbatim:
        return [(path, shape)]
    if shape.kind == "list" and shape.item:
        return bindings(shape.item, (*path, "*"))
    return [found for item in shape.asked for found in bindings(item.shape, (*path, item.wire))]


def any_bound(shape: Shape) -> bool:
    """Whether a verbatim scalar stands anywhere below, also where `bindings` does not look."""
    return bool(shape.verbatim) or any(any_bound(child) for _, child in shape.children())


def json_types(schema: Mapping[str, Any]) -> frozenset[str]:
    """The JSON types that a node names."""
    kind = schema.get("type", ())
    return frozenset([kind] if isinstance(kind, str) else kind)


def extra_column(shape: Shape) -> str:
    """The column of undeclared properties: a name that no field has."""
    return free_name(item.name for item in shape.columns)


def free_name(taken: Iterable[str]) -> str:
    """What undeclared properties are called where these names are taken."""
    name, names = EXTRA, set(taken)
    while name in names:
        name += "_"
    return name


def column_value(shape: Shape, choice: Choice) -> Any:
    """How the column of an enum shows a choice: by its JSON value, or by its label where no one type holds them all."""
    same = len({type(item.json) for item in shape.choices}) == 1 or not in_dictionary(shape)
    return choice.json if same and not isinstance(choice.json, list | dict) else choice.label


def in_dictionary(shape: Shape) -> bool:
    """Whether an enum's column holds texts: its own, or the labels of values that no one column type holds."""
    kinds = {type(choice.json) for choice in shape.choices}
    return not (kinds == {bool} or kinds <= {int, float})
