"""Models compiled: the wire schema, the full one, response_format, losses, fingerprints."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from extract.errors import SchemaError
from extract.schema import PROFILES, compile_schema, node_at, places
from extract.verbatim import Verbatim
from extract.verdict import Verdict
from schema.small_models import MODELS, Color, Everything, Part, Size


class Receipt(BaseModel):
    """A till receipt."""

    shop: str = Field(description="Who sold", min_length=1)
    total: Decimal = Field(ge=0, max_digits=10, decimal_places=2)
    day: dt.date | None
    color: Color | None = Field(None, description="Its colour")
    lines: list[Part] = Field(max_length=9)


PART = {
    "additionalProperties": False,
    "description": "A part.",
    "properties": {"name": {"description": "its name", "type": "string"}, "weight": {"type": ["number", "null"]}},
    "required": ["name", "weight"],
    "propertyOrdering": ["name", "weight"],
    "type": "object",
}
WIRE = {
    "additionalProperties": False,
    "description": "A till receipt.",
    "properties": {
        "shop": {"description": "Who sold (at least 1 character)", "type": "string"},
        "total": {"minimum": 0, "type": "number"},
        "day": {"format": "date", "type": ["string", "null"]},
        "color": {"description": "Its colour", "enum": ["red", "blue", None], "type": ["string", "null"]},
        "lines": {"items": PART, "maxItems": 9, "type": "array"},
    },
    "required": ["shop", "total", "day", "color", "lines"],
    "propertyOrdering": ["shop", "total", "day", "color", "lines"],
    "type": "object",
}


def nodes(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for child in [*schema.get("properties", {}).values(), schema.get("items")]:
        if child is not None:
            yield from nodes(child)


def test_response_format_in_its_three_forms() -> None:
    """A: beside the type; B: bare; C: wrapped, named and strict. C is the default."""
    schema = compile_schema(Receipt)
    rest = {key: value for key, value in WIRE.items() if key != "type"}
    assert schema.response_format_as("A") == {"type": "json_schema", **rest}
    assert schema.response_format_as("B") == WIRE
    wrapped = {"type": "json_schema", "json_schema": {"name": "Receipt", "strict": True, "schema": WIRE}}
    assert schema.response_format_as("C") == schema.response_format == wrapped
    own = {"type": "object", "properties": {}}
    assert schema.response_format_as("C", own)["json_schema"]["schema"] == own


def test_fields_keep_the_order_of_the_model() -> None:
    """The model writes them in this order."""
    assert list(compile_schema(Everything).wire_schema["properties"]) == list(Everything.model_fields)


def test_each_dropped_keyword_is_a_loss() -> None:
    """Place, keyword, value, and what happens instead."""
    losses = {str(loss) for loss in compile_schema(Receipt).losses}
    assert losses == {
        "$.shop: minLength 1 is moved to description",
        "$.total: decimal digits [10, 2] is checked locally",
        "$.lines[*].weight: decimal digits [8, 3] is checked locally",
    }


@pytest.mark.parametrize(
    ("profile", "lost"),
    [
        ("gemini", {"minLength", "pattern", "multipleOf", "exclusiveMinimum", "uniqueItems", "format"}),
        ("page", {"minLength", "pattern", "multipleOf", "exclusiveMinimum", "uniqueItems", "format"}),
        ("openai", {"minLength", "uniqueItems"}),
        ("llamacpp", {"multipleOf", "exclusiveMinimum", "uniqueItems", "format"}),
        ("full", set()),
        ("function", {"minLength", "pattern", "multipleOf", "exclusiveMinimum", "uniqueItems", "format"}),
    ],
)
def test_a_profile_carries_what_its_endpoint_honours(profile: Any, lost: set[str]) -> None:
    """What is not carried is listed, and stays in the full schema that judges."""

    class Limited(BaseModel):
        a: str = Field(min_length=1, pattern="^x")
        b: int = Field(gt=0, le=9, multiple_of=3)
        c: list[int] = Field(min_length=1, json_schema_extra={"uniqueItems": True})
        d: str = Field(json_schema_extra={"format": "email"})

    schema = compile_schema(Limited, profile)
    assert lost == {loss.keyword for loss in schema.losses}
    wire, full = json.dumps(schema.wire_schema), json.dumps(schema.json_schema)
    for keyword in ("minLength", "pattern", "multipleOf", "exclusiveMinimum", "uniqueItems", "format"):
        assert f'"{keyword}"' in full
        assert (keyword in lost) == (f'"{keyword}"' not in wire)
    assert "maximum" in wire


def test_every_supported_type_has_a_wire_schema() -> None:
    """Definitions are inlined, nullable parts are type arrays with null, a constant is an enum of one."""
    wire = compile_schema(Everything).wire_schema["properties"]
    assert {"type": "string", "enum": ["red", "blue"], "description": "A colour."} == wire["color"]
    assert {"type": "integer", "enum": [1, 2]} == wire["number"]
    assert {"type": "string", "enum": ["true"]} == wire["yes"]
    assert {"type": "boolean", "enum": [True]} == compile_schema(Everything, "openai").wire_schema["properties"]["yes"]
    assert {"type": "string", "enum": ["red"]} == wire["member"]
    assert {"type": ["string", "null"], "enum": ["x", None]} == wire["maybe_word"]
    assert {"type": ["string", "null"], "enum": ["x", None]} == wire["maybe_one"]
    assert {"type": ["integer", "null"], "description": "inner"} == wire["maybe"]
    assert {"type": "array", "items": {"type": ["integer", "null"]}} == wire["gaps"]
    assert ["object", "null"] == wire["maybe_part"]["type"]
    assert PART | {"type": ["object", "null"]} == wire["maybe_part"]
    assert {"type": "number"} == wire["exact"]
    assert ["date", "date-time", "time"] == [wire[name]["format"] for name in ("day", "at", "clock")]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(drawn=MODELS)
def test_a_random_model_compiles_to_a_strict_valid_schema(drawn: tuple[type[BaseModel], Any]) -> None:
    """Draft 2020-12, no references, all objects closed, all fields required in order, on the wire and in full."""
    model = drawn[0]
    schema = compile_schema(model)
    for found in (schema.wire_schema, schema.json_schema):
        Draft202012Validator.check_schema(found)
        assert "$ref" not in json.dumps(found)
        for node in nodes(found):
            assert "anyOf" not in node
            if "properties" in node:
                assert node["additionalProperties"] is False
                assert node["required"] == list(node["properties"])
    assert list(schema.wire_schema["properties"]) == list(model.model_fields)


@pytest.mark.parametrize(
    "name", ["$ref", "$defs", "anyOf", "items", "properties", "type", "enum", "const", "title", "é"]
)
def test_a_field_may_be_called_like_a_keyword(name: str) -> None:
    """Names of fields are no keywords, at the top and below."""
    inner = create_model("Inner", x=(int | None, Field(alias=name)))
    model = create_model("Outer", x=(str | None, Field(alias=name)), y=(inner, ...))
    wire = compile_schema(model).wire_schema
    assert {name: {"type": ["string", "null"]}} == {name: wire["properties"][name]}
    assert {name: {"type": ["integer", "null"]}} == wire["properties"]["y"]["properties"]


def test_aliases_are_the_names_on_the_wire() -> None:
    """Alias and validation alias; the table keeps the field's name."""

    class Named(BaseModel):
        total: int = Field(alias="Total due")
        shop: str = Field(validation_alias="Shop")

    schema = compile_schema(Named)
    assert ["Total due", "Shop"] == schema.wire_schema["required"]
    assert ["total", "shop"] == schema.arrow_schema.names


def test_words_beside_a_reference_win() -> None:
    """A field's own description stands before that of its type."""

    class Outer(BaseModel):
        part: Part = Field(description="the main part")
        color: Color = Field(description="mine")

    wire = compile_schema(Outer).wire_schema["properties"]
    assert ["the main part", "mine"] == [wire["part"]["description"], wire["color"]["description"]]


def test_an_open_model_is_closed_on_the_wire() -> None:
    """What `extra="allow"` allows is asked for as a list of entries, and that is a loss."""

    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        a: int

    schema = compile_schema(Open)
    assert schema.wire_schema["additionalProperties"] is False
    assert schema.json_schema["additionalProperties"] is True
    entries = schema.wire_schema["properties"]["additional_properties"]["items"]
    assert ["key", "value"] == entries["required"] == entries["propertyOrdering"]
    assert [
        "$: additionalProperties is rewritten to a list of key and value called 'additional_properties'",
        '$[*]: type "any JSON" is rewritten to JSON text',
    ] == [str(loss) for loss in schema.losses]


def test_a_schema_of_the_users_own_is_left_alone() -> None:
    """A union that a user's own JSON Schema brings is kept where the profile carries it."""

    class Own(BaseModel):
        a: Annotated[int, WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]})]
        b: Annotated[int, WithJsonSchema({"type": "integer", "minimum": 1})] | None

    schema = compile_schema(Own, "openai")
    assert {"anyOf": [{"type": "integer"}, {"type": "string"}]} == schema.wire_schema["properties"]["a"]
    assert {"type": ["integer", "null"], "minimum": 1} == schema.wire_schema["properties"]["b"]
    assert ["anyOf"] == [loss.keyword for loss in compile_schema(Own, "page").losses]


class Bound(BaseModel):
    name: Annotated[str, Verbatim("line")]
    total: Annotated[Decimal, Verbatim("money")] = Field(description="to pay", ge=0)
    days: list[Annotated[dt.date | None, Verbatim("date")]]


def test_a_bound_field_is_a_string_on_the_wire() -> None:
    """The rewrite and each keyword that goes with it are losses; a text stays as it is."""
    schema = compile_schema(Bound)
    wire = schema.wire_schema["properties"]
    assert {"type": "string", "description": "to pay"} == wire["total"]
    assert {"type": ["string", "null"]} == wire["days"]["items"]
    assert {
        '$.total: type "number" is rewritten to a span of the record',
        "$.total: minimum 0 is checked locally",
        "$.total: decimal digits [38, 9] is checked locally",
        '$.days[*]: type "string" is rewritten to a span of the record',
        '$.days[*]: format "date" is checked locally',
    } == {str(loss) for loss in schema.losses}
    assert [("name",), ("total",), ("days", "*")] == [path for path, _ in schema.bindings]
    assert "number" == schema.json_schema["properties"]["total"]["type"]


T = TypeVar("T")
_WORD: dict[str, Any] = {"type": "string"}


class Box(BaseModel, Generic[T]):
    inside: T


def test_the_name_on_the_wire_is_plain() -> None:
    """Letters, digits, "_" and "-", at most 64."""
    model = create_model("Beleg (é) " + "x" * 100, a=(int, ...))
    name = compile_schema(model).name
    assert ("Beleg_____" + "x" * 54, 64) == (name, len(name))
    assert ["Box", "Part", "answer", "Word", "answer"] == [
        compile_schema(kind).name for kind in (Box[int], list[Part], list[int], {**_WORD, "title": "Word"}, _WORD)
    ]


@pytest.mark.parametrize("model", ["Receipt", Receipt.model_construct(), 5, None, [int]])
def test_only_types_and_schemas_are_compiled(model: Any) -> None:
    """Anything else is a SchemaError."""
    with pytest.raises(SchemaError, match="a type or a JSON Schema is needed"):
        compile_schema(model)


def test_a_pattern_that_cannot_be_judged_is_refused_alike() -> None:
    """Of a model and of a raw schema: the same words, each with its path."""
    raw = {"type": "object", "properties": {"code": {"type": "string", "pattern": "(?>a)"}}}
    model = create_model("Model", code=(str, Field(json_schema_extra={"pattern": "(?>a)"})))
    found = []
    for schema in (model, raw):
        with pytest.raises(SchemaError, match="cannot be judged here") as caught:
            compile_schema(schema)
        found.append(caught.value)
    assert ["$.code", "$.properties.code.pattern"] == [error.path for error in found]
    assert 1 == len({str(error).removeprefix(error.path) for error in found})


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    """The hint lists them."""
    with pytest.raises(SchemaError, match=f"unknown profile 'x'.*{', '.join(PROFILES)}"):
        compile_schema(Receipt, "x")  # type: ignore[arg-type]


def test_what_pydantic_cannot_express_is_a_schema_error() -> None:
    """Its first line, with the model's name."""

    class Odd:
        @classmethod
        def __get_pydantic_json_schema__(cls, *_: Any) -> Any:
            from pydantic.errors import PydanticInvalidForJsonSchema

            raise PydanticInvalidForJsonSchema("no schema\nfor this")

    class Holder(BaseModel):
        a: Annotated[int, Odd]

    with pytest.raises(SchemaError, match="Holder: no schema"):
        compile_schema(Holder)


def test_the_fingerprint_follows_schema_defaults_and_validators() -> None:
    """Equal for the same model, different when something that can change a row changes."""

    def model(default: int, pattern: str = "a+") -> type[BaseModel]:
        return create_model("Same", a=(int, default), b=(Annotated[str, Verbatim(pattern)], ...), c=(Literal["x"], ...))

    prints = [compile_schema(kind).fingerprint for kind in (model(1), model(1), model(2), model(1, "b+"))]
    assert prints[0] == prints[1]
    assert len({*prints}) == 3
    assert compile_schema(Receipt).fingerprint == compile_schema(Receipt).fingerprint
    assert compile_schema(Receipt).fingerprint != compile_schema(Receipt, "full").fingerprint
    lambdas = [create_model("L", a=(Annotated[str, Verbatim(lambda _: [])], ...)) for _ in range(2)]
    assert len({compile_schema(kind).fingerprint for kind in lambdas}) == 1


def test_places_of_an_answer() -> None:
    """Every value at a wire path with holder, key and JSON path; what the answer lacks is passed over."""
    answer = {"a b": [{"x": 1}, {"y": 2}, 5, {"x": None}], "c": 1}
    assert [(1, "$['a b'][0].x"), (None, "$['a b'][3].x")] == [
        (holder[key], place) for holder, key, place in places(answer, ("a b", "*", "x"))
    ]
    assert [] == list(places(answer, ("c", "*")))
    assert [] == list(places([1], ("c",)))
    assert [(1, 0, "$[0]")] == [(holder[key], key, place) for holder, key, place in places([1], ("*",))]


def test_node_at() -> None:
    """A path of names, "*" for items."""
    assert PART["properties"]["name"] == node_at(WIRE, ("lines", "*", "name"))  # type: ignore[index]
    assert WIRE == node_at(WIRE, ())


class Level(BaseModel):
    """Of several kinds at once."""

    name: str = "none"
    sizes: list[Size] = Field([], max_length=3)
    day: dt.date | None = None
    big: Literal[tuple(f"v{number}" for number in range(60))]  # type: ignore[valid-type]
    share: float = Field(ge=0, le=1)


@pytest.mark.parametrize(
    ("kind", "instance", "answer"),
    [
        (Color, Color.RED, "red"),
        (Literal["a", "b"], "b", "b"),
        (list[Part], [Part(name="n", weight=None)], [{"name": "n", "weight": None}]),
        (int, 5, 5),
        (int | None, None, None),
        (dict[str, int], {"a": 1}, [{"key": "a", "value": 1}]),
        ({"type": "array", "items": {"type": "integer"}}, [1], [1]),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "type": "integer"}, 5, 5),
    ],
    ids=str,
)
def test_what_is_no_object_stands_in_a_field(kind: Any, instance: Any, answer: Any) -> None:
    """Called `value`, on the wire and in the table; `restore` and `instance_of` take it out again."""
    compiled = compile_schema(kind)
    assert compiled.wrapped
    assert {"value": answer} == compiled.answer_form(instance)
    assert instance == compiled.restore({"value": answer})
    assert ["value"] == compiled.arrow_schema.names
    assert instance == compiled.instance_of(compiled.row_of(instance))


def test_a_null_stands_for_the_default() -> None:
    """A field with a default is nullable on the wire, and only there."""
    compiled = compile_schema(Level)
    wire = compiled.wire_schema["properties"]
    assert [["string", "null"], ["array", "null"]] == [wire[name]["type"] for name in ("name", "sizes")]
    answer = {"name": None, "sizes": None, "day": None, "big": "v1", "share": 1}
    assert Level(big="v1", share=1) == compiled.restore(answer)
    assert "null" not in str(compiled.json_schema["properties"]["name"])
    assert {"$.name", "$.sizes"} == {loss.path for loss in compiled.losses if loss.keyword == "required"}


def test_the_relax_ladder() -> None:
    """Array bounds, numeric bounds, formats, big enums; each rung that changes something, then none."""
    found, compiled = [], compile_schema(Level)
    while compiled is not None:
        found.append(compiled)
        compiled = compiled.relaxed()
    assert [(), ("array bounds",), ("array bounds", "numeric bounds")] == [each.rungs for each in found[:3]]
    assert ["array bounds", "numeric bounds", "formats", "big enums"] == list(found[-1].rungs)
    texts = [json.dumps(each.wire_schema) for each in found]
    for number, keyword in enumerate(('"maxItems"', '"minimum"', '"format"', '"enum": ["v0"'), 1):
        assert [keyword in text for text in texts] == [True] * number + [False] * (len(texts) - number)
    assert "One of: v0, v1" in texts[-1]
    assert "At most 3 items" in texts[1]
    assert all(each.json_schema == found[0].json_schema for each in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decimals": "text"}, "unknown decimals 'text'.*number, string"),
        ({"enums": "label"}, "unknown enums 'label'.*value, name"),
        ({"relax": 5}, "relax is 5.*array bounds"),
        ({"relax": -1}, "relax is -1"),
        ({"unroll": 9}, "unroll is 9.*0 to 8"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    """What is allowed is said."""
    with pytest.raises(SchemaError, match=message):
        compile_schema(Receipt, **options)


def test_decimals_as_text() -> None:
    """The digits are the model's own."""
    compiled = compile_schema(Receipt, decimals="string")
    node = compiled.wire_schema["properties"]["total"]
    assert {"type": "string", "description": "A decimal number; at least 0"} == node
    receipt = Receipt(shop="s", total=Decimal("1.50"), day=None, lines=[])
    answer = compiled.answer_form(receipt)
    assert "1.50" == answer["total"]
    assert "1.50" == str(compiled.restore(answer).total)


def test_enums_by_name() -> None:
    """Members are asked for by their names; a Literal has none."""
    compiled = compile_schema(Everything, enums="name")
    wire = compiled.wire_schema["properties"]
    assert [["RED", "BLUE"], ["S", "L"], ["x", "y"]] == [wire[name]["enum"] for name in ("color", "size", "word")]


def test_published_limits_are_refused_before_anything_is_paid() -> None:
    """With the number, the limit and a way out; a profile without such limits takes it."""
    deep: Any = int
    for _ in range(11):
        deep = create_model("Deep", a=(deep, ...))
    with pytest.raises(SchemaError, match="'openai' does not take this schema: 11 depth, the endpoint takes 10"):
        compile_schema(deep, "openai")
    assert () == compile_schema(deep).warnings


def test_a_schema_that_may_have_too_many_states_is_warned_of() -> None:
    """Where the endpoint makes an automaton of it."""
    inner = create_model("Inner", a=(list[str], Field(max_length=100)))
    model = create_model("M", a=(list[inner], Field(max_length=100)))  # type: ignore[valid-type]
    assert "states" in compile_schema(model).warnings[0]
    assert () == compile_schema(model, "openai").warnings
    assert compile_schema(model).size.states > 20_000


def test_what_is_nested_too_deeply_is_refused() -> None:
    """No RecursionError."""
    deep: Any = int
    for _ in range(400):
        deep = list[deep]
    with pytest.raises(SchemaError, match="nested too deeply"):
        compile_schema(deep)


def test_what_does_not_come_back_is_a_value_error() -> None:
    """With path and message: what cannot be read, what the model refuses, what the wire or the table cannot hold."""
    compiled = compile_schema(create_model("M", a=(dict[str, int], ...), b=(float, ...)))
    with pytest.raises(ValueError, match=r"^\$\.a: the key 'x' comes twice"):
        compiled.restore({"a": [{"key": "x", "value": 1}, {"key": "x", "value": 2}], "b": 1})
    with pytest.raises(ValueError, match=r"\$\.b: .*valid number"):
        compiled.restore({"a": [], "b": "x"})
    odd = compiled.model.model_construct(a={}, b=float("nan"))
    with pytest.raises(ValueError, match="nan is no JSON number"):
        compiled.answer_form(odd)
    with pytest.raises(ValueError, match=r"^\$\.b: not a finite number"):
        compiled.row_of(odd)


def test_a_part_of_a_schema_asks_for_some_fields() -> None:
    """By their names in Python, in the order of the model."""
    model = create_model("M", a=(int, ...), b=(int, Field(alias="B")), c=(int, ...))
    part = compile_schema(model).part(["c", "b"], ["c", "B"])
    assert ["B", "c"] == part.wire_schema["required"] == part.wire_schema["propertyOrdering"]
    assert ["B", "c"] == list(part.wire_schema["properties"])
    assert ["b", "c"] == part.arrow_schema.names
    assert ["B"] == list(compile_schema(model, "openai").part(["b"], ["B"]).wire_schema["properties"])


def test_a_raw_schema_keeps_its_references() -> None:
    """In a field of its own as well; the judge sees the whole schema."""
    raw = {"$defs": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/n"}}
    compiled = compile_schema(raw)
    assert [1] == compiled.restore({"value": [1]})
    verdict = Verdict(compiled.json_schema)
    assert [True, False] == [verdict.accepts({"value": value}) for value in ([1], ["x"])]


def test_a_union_of_a_raw_schema_goes_by_its_parts() -> None:
    """By the parts of the raw schema, formats too; a part with a reference that leads elsewhere takes anything."""
    raw: dict[str, Any] = {
        "properties": {
            "a": {"anyOf": [{"type": "string", "format": "date"}, {"type": "string"}]},
            "b": {"anyOf": [{"$ref": "#/properties/c"}, {"type": "string"}]},
            "c": {"type": "object", "properties": {"d": {"$ref": "#/properties/e"}}},
            "e": {"type": "integer"},
        },
        "required": ["a", "b"],
    }
    compiled = compile_schema(raw)
    for value in ({"a": "2024-01-02", "b": "x"}, {"a": "x", "b": {"d": 1}}):
        assert value == compiled.restore(compiled.answer_form(value))
    assert ["date", "text"] == [compiled.row_of({"a": a, "b": "x"})["a"]["tag"] for a in ("2024-01-02", "x")]


def test_a_schema_of_the_users_own_in_a_union_goes_by_its_json() -> None:
    """There is no model to ask."""
    own = Annotated[Any, WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]})]
    model = create_model("M", a=(own, ...))
    compiled = compile_schema(model)
    for value in (1, "x"):
        instance = model(a=value)
        assert instance == compiled.restore(compiled.answer_form(instance))
        assert instance == compiled.instance_of(compiled.row_of(instance))
