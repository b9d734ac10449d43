"""Models and schemas that cannot be expressed, or are out of all measure: a clear SchemaError, and never a hang."""

from __future__ import annotations

import dataclasses
import re
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model
from typing_extensions import TypedDict

from extract import compile_schema
from extract.errors import SchemaError
from extract.schema.profiles import PROFILES

SECONDS = 1.0 if sys.gettrace() is None else 4.0  # of CPU; measuring coverage takes its own
PLACE = r"\$(\.properties)?\.(thing|type)\b"  # of `thing`, in an answer or in the schema, or of what it names

profiles = pytest.mark.parametrize("profile", PROFILES)
some_profiles = pytest.mark.parametrize("profile", ["gemini", "openai", "full"])


def outcome(schema: Any, profile: Any = "gemini", **options: Any) -> Any:
    """What is compiled, or the SchemaError, in time."""
    for _ in range(3):  # others may be at work on this machine, and slow down its caches
        found, seconds = timed(schema, profile, **options)
        if seconds <= SECONDS:
            return found
    raise AssertionError(f"{seconds:.2f} s")


def timed(schema: Any, profile: Any, **options: Any) -> tuple[Any, float]:
    start = time.process_time()
    try:
        return compile_schema(schema, profile, **options), time.process_time() - start
    except SchemaError as error:
        return error, time.process_time() - start


def refusal(schema: Any, profile: Any = "gemini", **options: Any) -> SchemaError:
    """The SchemaError, which says where, for which profile and what to do."""
    error = outcome(schema, profile, **options)
    assert isinstance(error, SchemaError), error
    assert error.path
    assert error.hint
    assert profile in str(error)
    assert error.path in str(error)
    assert 2000 > len(str(error))
    return error


def field_of(kind: Any) -> type[BaseModel]:
    """A model with a field of that type, one level down."""
    inner = create_model("Inner", thing=(kind, ...), __config__=ConfigDict(arbitrary_types_allowed=True))
    return create_model("Outer", inner=(inner, ...))


def model_of(name: str, **fields: Any) -> Any:
    return create_model(name, **fields)


def schema_of(node: Any) -> dict[str, Any]:
    """A raw schema with that node as the property `thing`."""
    return {"type": "object", "properties": {"thing": node}, "required": ["thing"], "additionalProperties": False}


# --- recursion


class Tree(BaseModel):
    name: str
    children: list[Tree]


class Employee(BaseModel):
    name: str
    office: Office | None = None


class Office(BaseModel):
    staff: list[Employee] = []


class Endless(BaseModel):
    inner: Endless


@profiles
def test_recursion_without_a_depth_is_refused_with_the_cycle_named(profile: Any) -> None:
    """The way round, and the option that states a depth."""
    assert re.search(r"Tree\b.* -> .*Tree", str(refusal(Tree, profile)))
    assert re.search(r"Employee\b.* -> .*Office\b.* -> .*Employee", str(refusal(Employee, profile)))
    assert "unroll" in str(refusal(Tree, profile).hint)


@profiles
def test_recursion_in_a_raw_schema_is_refused_with_the_cycle_named(profile: Any) -> None:
    tree = {"type": "object", "properties": {"below": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    error = refusal({"$ref": "#/$defs/tree", "$defs": {"tree": tree}}, profile)
    assert re.search("tree.* -> .*tree", str(error))
    assert "unroll" in str(error.hint)
    itself = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert "#" in str(refusal(itself, profile))


@profiles
def test_recursion_with_a_depth_compiles(profile: Any) -> None:
    """A cut list of children is empty, and the instance comes back."""
    compiled = compile_schema(Tree, profile, unroll=2)
    tree = Tree(name="a", children=[Tree(name="b", children=[])])
    assert tree == compiled.restore(compiled.answer_form(tree))


def test_a_recursion_that_never_ends_is_refused_at_any_depth() -> None:
    """No value is of such a type."""
    error = refusal(Endless, unroll=3)
    assert "Endless" in str(error)


def test_a_great_depth_of_unrolling_is_no_hang() -> None:
    """Two branches a level are 2 ** levels parts."""

    class Node(BaseModel):
        left: Node | None = None
        right: Node | None = None

    Node.model_rebuild(_types_namespace={"Node": Node})
    outcome(Node, unroll=8)


# --- types that no schema can say


class Thing:
    """A class that Pydantic does not know."""


@profiles
@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (Any, "Any"),
        (list[Any], "Any"),
        (dict[str, Any], "Any"),
        (object, "Any|object"),
        (Thing, "Thing|is-instance"),
        (Callable[[int], int], "[Cc]allable"),
        (type[int], "type|is-subclass|Any"),
        (list, "Any"),
        (int | Any, "Any"),
    ],
    ids=str,
)
def test_a_type_that_no_schema_can_say(kind: Any, named: str, profile: Any) -> None:
    """The path leads to the field, the message names the type."""
    error = refusal(field_of(kind), profile)
    assert error.path.startswith("$.inner.thing")
    assert re.search(named, str(error))


@profiles
def test_a_type_that_pydantic_cannot_read(profile: Any) -> None:
    """A dataclass or TypedDict with a class that Pydantic does not know."""

    @dataclasses.dataclass
    class Holder:
        thing: Thing

    assert "Thing" in str(refusal(Holder, profile))
    assert "Thing" in str(refusal(TypedDict("Box", {"thing": Thing}), profile))  # type: ignore[operator]


@pytest.mark.parametrize("kind", [list[Thing], Thing, Any, object, Callable[[int], int]], ids=str)
def test_such_a_type_at_the_top(kind: Any) -> None:
    assert isinstance(refusal(kind), SchemaError)


def test_a_forward_reference_to_nothing_names_it() -> None:
    class Lost(BaseModel):
        thing: Nowhere  # type: ignore[name-defined]  # noqa: F821

    assert "Nowhere" in str(refusal(Lost))


def test_a_model_without_fields_is_refused_or_compiles() -> None:
    """Where it is no whole row it may be a tag without content."""
    outcome(create_model("Empty"))
    outcome(field_of(create_model("Empty")))


# --- references


@profiles
@pytest.mark.parametrize(
    "reference",
    [
        "https://example.org/person.json",
        "http://json-schema.org/draft-07/schema#",
        "other.json#/definitions/a",
        "file:///etc/passwd",
        "urn:uuid:deadbeef-4321-4321-4321-1234567890ab",
    ],
)
def test_a_reference_to_the_outside_is_refused_and_not_fetched(reference: str, profile: Any) -> None:
    error = refusal(schema_of({"$ref": reference}), profile)
    assert re.match(PLACE, error.path)
    assert "$ref" in str(error)
    assert reference in str(error)


@profiles
@pytest.mark.parametrize("reference", ["#/$defs/nowhere", "#nowhere", "#/properties/thing/items/7", "#/%", "#/type"])
def test_a_reference_to_nothing_is_refused(reference: str, profile: Any) -> None:
    error = refusal(schema_of({"$ref": reference}), profile)
    assert re.match(PLACE, error.path)
    assert "$ref" in str(error)
    assert reference in str(error)


@profiles
def test_a_loop_of_references_is_refused(profile: Any) -> None:
    """a → b → a with nothing between, and a reference to itself: no value is described."""
    loop = schema_of({"$ref": "#/$defs/a"}) | {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    assert "$ref" in str(refusal(loop, profile))
    refusal({"$ref": "#"}, profile)
    refusal(schema_of({"$ref": "#/properties/thing"}), profile)
    refusal(loop, profile, unroll=3)


@profiles
def test_a_loop_through_applicators_is_refused(profile: Any) -> None:
    """allOf and anyOf lead nowhere either."""
    for keyword in ("allOf", "anyOf", "oneOf"):
        refusal({"$ref": "#/$defs/a", "$defs": {"a": {keyword: [{"$ref": "#/$defs/a"}]}}}, profile)


@pytest.mark.parametrize("reference", [3, None, ["#"], {}])
def test_a_reference_that_is_no_text(reference: Any) -> None:
    assert "$ref" in str(refusal(schema_of({"$ref": reference})))


@some_profiles
def test_sharing_that_grows_without_end_is_no_hang(profile: Any) -> None:
    """40 levels, each of which refers twice to the next: 2 ** 40 parts."""
    levels: dict[str, Any] = {
        f"level{number}": {
            "type": "object",
            "properties": {side: {"$ref": f"#/$defs/level{number + 1}"} for side in ("left", "right")},
        }
        for number in range(40)
    }
    schema = {"$ref": "#/$defs/level0", "$defs": {**levels, "level40": {"type": "string"}}}
    outcome(schema, profile)  # what is too large may be carried as JSON text
    unions = {
        f"u{number}": {"anyOf": [{"$ref": f"#/$defs/u{number + 1}"}] * 2 + [{"const": number}]} for number in range(40)
    }
    outcome({"$ref": "#/$defs/u0", "$defs": {**unions, "u40": {"type": "string"}}}, profile)
    both = {f"b{number}": {"allOf": [{"$ref": f"#/$defs/b{number + 1}"}] * 2} for number in range(40)}
    outcome({"$ref": "#/$defs/b0", "$defs": {**both, "b40": {"type": "string"}}}, profile)


def test_models_that_share_parts_without_end_are_refused_in_time() -> None:
    inner: Any = str
    for number in range(40, -1, -1):
        inner = model_of(f"Level{number}", left=(inner, ...), right=(inner, ...))
    assert isinstance(refusal(inner), SchemaError)


# --- patterns


LACKING = [r"(?<=a)b{,2}(", "[", "(?P<x>a)(?P<x>b)", "*a", r"\p{Nonsense}", "a{2,1}", r"\k<none>"]


@profiles
@pytest.mark.parametrize("pattern", LACKING)
def test_a_pattern_that_the_local_engine_lacks_is_refused(pattern: str, profile: Any) -> None:
    """Nobody could check it; path, keyword and pattern are named."""
    error = refusal(schema_of({"type": "string", "pattern": pattern}), profile)
    assert re.match(PLACE, error.path)
    assert "pattern" in str(error)
    assert pattern in str(error)


@some_profiles
@pytest.mark.parametrize(
    "pattern", [r"^\p{L}+$", r"(?=a)[a-z]+", r"(a)\1", r"^(?!x)", r"(?<year>\d{4})", r"\cA", "^\\d+$"]
)
def test_a_pattern_of_ecma_262_is_taken_or_refused_by_name(pattern: str, profile: Any) -> None:
    found = outcome(schema_of({"type": "string", "pattern": pattern}), profile)
    if isinstance(found, SchemaError):
        assert "pattern" in str(refusal(schema_of({"type": "string", "pattern": pattern}), profile))


def test_a_pattern_of_a_model_that_the_local_engine_lacks_is_refused() -> None:
    """Pydantic takes it as a mere JSON Schema; the judge could not."""
    model = create_model("Coded", code=(str, Field(json_schema_extra={"pattern": "("})))
    error = refusal(model)
    assert error.path == "$.code"
    assert "pattern" in str(error)


@some_profiles
def test_a_pattern_key_that_the_local_engine_lacks_is_refused(profile: Any) -> None:
    schema = {"type": "object", "patternProperties": {"(": {"type": "string"}}}
    assert "patternProperties" in str(refusal(schema, profile))


# --- what is no schema


@profiles
@pytest.mark.parametrize(
    ("node", "keyword"),
    [
        ({"type": "strin"}, "type"),
        ({"type": 3}, "type"),
        ({"type": []}, "type"),
        ({"type": ["string", "strin"]}, "type"),
        ({"enum": "a"}, "enum"),
        ({"type": "string", "minLength": "3"}, "minLength"),
        ({"type": "string", "maxLength": -1}, "maxLength"),
        ({"type": "number", "minimum": "0"}, "minimum"),
        ({"type": "number", "multipleOf": 0}, "multipleOf"),
        ({"type": "array", "items": 3}, "items"),
        ({"type": "array", "items": {"type": "strin"}}, "type"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1.5}, "minItems"),
        ({"type": "object", "properties": []}, "properties"),
        ({"type": "object", "properties": {"a": 3}}, "properties|a"),
        ({"type": "object", "required": "a", "properties": {"a": {"type": "string"}}}, "required"),
        ({"anyOf": []}, "anyOf"),
        ({"anyOf": {"type": "string"}}, "anyOf"),
        ({"type": "string", "pattern": 3}, "pattern"),
    ],
    ids=str,
)
def test_an_invalid_schema_is_refused(node: Any, keyword: str, profile: Any) -> None:
    """The place and the keyword are named."""
    error = refusal(schema_of(node), profile)
    assert re.match(PLACE, error.path)
    assert re.search(keyword, str(error))


@pytest.mark.parametrize(
    "nothing",
    [
        None,
        3,
        2.5,
        [],
        "x",
        b"{}",
        (),
        {1, 2},
        lambda: None,
        len,
        ...,
        Decimal(1),
        re,
        field_of(int)(inner={"thing": 1}),
    ],
    ids=lambda nothing: type(nothing).__name__,
)
def test_what_is_no_schema_at_all(nothing: Any) -> None:
    """The message says what is wanted."""
    error = outcome(nothing)
    assert isinstance(error, SchemaError)
    assert re.search("model|schema", str(error), re.IGNORECASE)
    assert error.hint


@pytest.mark.parametrize(
    "schema", [{}, {"title": "x"}, {"description": "anything"}, {1: 2}, {"type": "object"}, {"type": "array"}], ids=str
)
def test_a_schema_that_says_nothing_is_refused_or_text(schema: Any) -> None:
    """Any JSON can only be carried as its text."""
    outcome(schema)


def test_a_schema_without_values_is_refused_or_compiles() -> None:
    """`false` takes nothing."""
    outcome(schema_of(False))
    outcome(schema_of({"enum": []}))
    outcome({"not": {}})
    outcome(schema_of({"allOf": [{"type": "string"}, {"type": "integer"}]}))
    outcome(schema_of({"type": "integer", "minimum": 3, "maximum": 2}))


@pytest.mark.parametrize("profile", ["gemni", "", None, 3, [], "Gemini"])
def test_an_unknown_profile_is_refused_by_name(profile: Any) -> None:
    with pytest.raises(SchemaError, match="profile") as caught:
        compile_schema(field_of(int), profile)
    assert "gemini" in str(caught.value.hint)
    assert repr(profile) in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("decimals", "float"),
        ("decimals", None),
        ("enums", "label"),
        ("relax", 5),
        ("relax", -1),
        ("relax", "arrays"),
        ("unroll", -1),
        ("unroll", 60),
        ("unroll", "2"),
        ("unroll", 1.5),
    ],
)
def test_an_unknown_value_of_an_option_is_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(SchemaError, match=option) as caught:
        compile_schema(field_of(int), "gemini", **{option: value})
    assert repr(value) in str(caught.value)
    assert caught.value.hint


def test_an_option_that_is_not_there_is_a_type_error() -> None:
    """As with any Python function."""
    with pytest.raises(TypeError):
        compile_schema(field_of(int), "gemini", unrol=2)  # type: ignore[call-arg]


# --- names


WORDS = ["$ref", "$defs", "type", "properties", "required", "anyOf", "enum", "items", "additionalProperties", "const"]
RUDE = [
    "",
    " ",
    "a.b",
    "it's",
    '"',
    "\\",
    "[0]",
    "*",
    "\x00",
    "\n",
    "é",
    "😀",
    "__proto__",
    "x" * 1000,
    "value",
    "key",
    "tag",
]


@profiles
@pytest.mark.parametrize("name", WORDS + RUDE, ids=lambda name: repr(name)[:20])
def test_a_property_may_have_any_name(name: str, profile: Any) -> None:
    """Words of JSON Schema too: they are names here, and the losses' paths lead to them."""
    inner = {"type": "object", "properties": {name: {"type": "string", "minLength": 2}}, "required": [name]}
    found = outcome(schema_of(inner | {"additionalProperties": False}), profile)
    instance = {"thing": {name: "ab"}}
    assert instance == found.restore(found.answer_form(instance))
    model = create_model("Named", thing=(str, Field(alias=name, min_length=2)))
    made = compile_schema(model, profile)
    filled = model.model_validate({name: "ab"})
    assert filled == made.restore(made.answer_form(filled))


def test_names_that_clash_on_the_wire() -> None:
    """Two fields with one alias; a union's part that is called as its tag."""
    twins = create_model("Twins", a=(str, Field(alias="x")), b=(str, Field(alias="x")))
    assert "'x'" in str(refusal(twins))
    tag = create_model("tag", a=(int, ...))
    other = create_model("other", a=(int, ...))
    model = create_model("Clash", thing=(tag | other, ...))
    compiled = compile_schema(model, "gemini")
    for part in (tag(a=1), other(a=1)):
        filled = model(thing=part)
        assert type(part) is type(compiled.restore(compiled.answer_form(filled)).thing)


# --- size


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = schema_of(schema)
    return schema


@profiles
@pytest.mark.parametrize("depth", [20, 100, 1000, 100_000])
def test_a_deep_schema(depth: int, profile: Any) -> None:
    """Compiles, or is refused by its depth; never a RecursionError."""
    found = outcome(nested(depth), profile)
    if isinstance(found, SchemaError):
        assert found.hint
        assert profile in str(found)
        assert 2000 > len(str(found))
    assert depth < 1000 or isinstance(found, SchemaError)


@some_profiles
@pytest.mark.parametrize("keyword", ["items", "anyOf", "allOf", "not", "additionalProperties"])
def test_a_deep_schema_of_other_words(keyword: str, profile: Any) -> None:
    schema: Any = {"type": "string"}
    for _ in range(3000):
        schema = {keyword: [schema, {"type": "null"}] if keyword.endswith("Of") else schema}
    assert isinstance(outcome(schema_of(schema), profile), SchemaError)


@some_profiles
@pytest.mark.parametrize("depth", [20, 100])
def test_a_deep_model(depth: int, profile: Any) -> None:
    inner: Any = str
    for _ in range(depth):
        inner = model_of("Level", inner=(inner, ...))
    found = outcome(inner, profile)
    if isinstance(found, SchemaError):
        assert found.hint


def wide(count: int) -> dict[str, Any]:
    names = [f"property_{number:05}" for number in range(count)]
    return {
        "type": "object",
        "properties": {name: {"type": "string", "maxLength": 40} for name in names},
        "required": names,
    }


LARGE: Sequence[tuple[str, dict[str, Any]]] = [
    ("wide", wide(14_000)),
    ("enum", schema_of({"type": "string", "enum": [f"label number {number:06}" for number in range(45_000)]})),
    (
        "enums",
        {"type": "object", "properties": {f"p{n}": {"enum": [f"v{i:05}" for i in range(1000)]} for n in range(110)}},
    ),
    ("description", schema_of({"type": "string", "description": "word " * 210_000})),
    ("pattern", schema_of({"type": "string", "pattern": "a?" * 500_000})),
    (
        "union",
        schema_of(
            {
                "anyOf": [
                    {"type": "object", "properties": {f"p{n}": {"const": n}}, "required": [f"p{n}"]}
                    for n in range(12_000)
                ]
            }
        ),
    ),
    (
        "definitions",
        {"type": "object", "properties": {"a": {"type": "string"}}, "$defs": {f"d{n}": wide(3) for n in range(5000)}},
    ),
]


@profiles
@pytest.mark.parametrize(("kind", "schema"), LARGE, ids=[kind for kind, _ in LARGE])
def test_a_schema_of_a_megabyte(kind: str, schema: dict[str, Any], profile: Any) -> None:
    """Compiles, with warnings about its size, or is refused; in time."""
    found = outcome(schema, profile)
    if isinstance(found, SchemaError):
        assert found.hint
        assert profile in str(found)
        assert 2000 > len(str(found))


class Point(NamedTuple):
    x: int
    y: int


def test_a_named_tuple_compiles() -> None:
    """It is a tuple with names."""
    model = field_of(Point)
    compiled = compile_schema(model, "openai")
    filled = model(inner={"thing": Point(1, 2)})
    assert filled == compiled.restore(compiled.answer_form(filled))
