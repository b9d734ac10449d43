"""Forms: each rewrite beside its inverse, and answers that are written in no form at all."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import uuid
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

import pytest
from jsonschema import Draft202012Validator
from pydantic import (
    Base64Bytes,
    Base64UrlBytes,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    RootModel,
    ValidationInfo,
    create_model,
    field_validator,
)
from typing_extensions import TypedDict

from extract.parse import parse_json
from extract.records import Completion, Outcome, Record, Usage
from extract.schema import CompiledSchema, Profile, compile_schema
from extract.schema.forms import Reading, choice_of, class_of
from extract.schema.profiles import PROFILES
from extract.validate import Judge
from extract.verbatim import Verbatim
from schema.small_models import Color, Part, Size

RECORD = Record(key="k", position=0, cells={"text": "ACME"})


class Mixed(Enum):
    A = "a"
    B = 1
    C = None


class Rooted(RootModel[dt.date | str]):
    pass


class Point(NamedTuple):
    x: int
    y: Decimal


class Typed(TypedDict):
    a: int
    b: NotRequired[str | None]


@dataclasses.dataclass
class Data:
    a: bytes
    b: int = 5


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    day: dt.date


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


def model(annotation: Any, **options: Any) -> Any:
    return create_model("M", a=(annotation, Field(**options)))


def judged(compiled: CompiledSchema, answer: str) -> Outcome:
    found = Judge(compiled, (), ["text"])(RECORD, Completion(answer, "stop", "m", Usage(), b""))
    assert found.ok == (found.row is not None)
    return found


WRITTEN: list[tuple[Any, Any, Any, dict[str, Any]]] = [
    # type, value, its form on Gemini's wire, forms of other profiles
    (int, 5, 5, {}),
    (Decimal, Decimal("1.50"), Decimal("1.50"), {}),
    (dt.date, dt.date(2024, 1, 2), "2024-01-02", {}),
    (dt.timedelta, dt.timedelta(days=1, seconds=2), "P1DT2S", {}),
    (uuid.UUID, uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001", {}),
    (bytes, b"\xff\xfe", "//4=", {}),
    (Base64Bytes, b"\xff\xfe", "//4=", {}),
    (Base64UrlBytes, b"\xff\xfe", "__4=", {}),
    (Color, Color.RED, "red", {}),
    (Size, Size.L, 2, {"function": "L"}),
    (Mixed, Mixed.B, "B", {}),
    (Literal[True], True, "true", {"openai": True, "full": True}),
    (Literal[b"x"], b"x", "x", {}),
    (JsonValue, {"a": [1, 0.5, None]}, '{"a":[1,0.5,null]}', {}),
    (JsonValue, None, "null", {}),
    (list[bytes], [b"A", b""], ["QQ==", ""], {}),
    (set[str], {"b", "a"}, ["a", "b"], {}),
    (frozenset[Size], frozenset({Size.S}), [1], {"function": ["S"]}),
    (tuple[int, ...], (1, 2), [1, 2], {}),
    (tuple[int, bytes], (1, b"A"), [1, "QQ=="], {"openai": {"item_0": 1, "item_1": "QQ=="}}),
    (Point, Point(1, Decimal("2.0")), [1, Decimal("2.0")], {"function": {"item_0": 1, "item_1": Decimal("2.0")}}),
    (dict[str, bytes], {"a": b"A"}, [{"key": "a", "value": "QQ=="}], {"full": {"a": "QQ=="}}),
    (dict[int, int], {1: 2}, [{"key": 1, "value": 2}], {"full": {"1": 2}}),
    (dict[dt.date, int], {dt.date(2024, 1, 2): 2}, [{"key": "2024-01-02", "value": 2}], {"full": {"2024-01-02": 2}}),
    (dict[Size, int], {Size.L: 2}, [{"key": 2, "value": 2}], {"function": [{"key": "L", "value": 2}]}),
    (dict[Literal[1, 2], int], {1: 2}, [{"key": 1, "value": 2}], {"llamacpp": {"1": 2}}),
    (dict[bool, int], {True: 2}, [{"key": True, "value": 2}], {"full": {"true": 2}}),
    (dict[Decimal, int], {Decimal("1.5"): 2}, [{"key": Decimal("1.5"), "value": 2}], {"full": {"1.5": 2}}),
    (Rooted, Rooted("2024-01-02"), {"tag": "text", "date": None, "text": "2024-01-02"}, {}),
    (Rooted, Rooted(dt.date(2024, 1, 2)), {"tag": "date", "date": "2024-01-02", "text": None}, {}),
    (int | str, "x", {"tag": "text", "integer": None, "text": "x"}, {"openai": "x", "full": "x"}),
    (Cat | Dog, Cat(lives=9), {"tag": "cat", "cat": {"kind": "cat", "lives": 9}, "dog": None}, {}),
    (
        Cat | Dog | None,
        Dog(kind="dog", day=dt.date(2024, 1, 2)),
        {"tag": "dog", "cat": None, "dog": {"kind": "dog", "day": "2024-01-02"}},
        {},
    ),
    (
        Rooted | bytes,
        Rooted("x"),
        {"tag": "Rooted", "Rooted": {"tag": "text", "date": None, "text": "x"}, "bytes": None},
        {},
    ),
    (Typed, {"a": 1}, {"a": 1, "b": []}, {"function": {"a": 1}}),
    (Typed, {"a": 1, "b": "x"}, {"a": 1, "b": ["x"]}, {"function": {"a": 1, "b": "x"}}),
    (Data, Data(b"A"), {"a": "QQ==", "b": 5}, {}),
    (
        Open,
        Open.model_validate({"a": 1, "more": [0.5]}),
        {"a": 1, "additional_properties": [{"key": "more", "value": "[0.5]"}]},
        {},
    ),
]


@pytest.mark.parametrize(("annotation", "value", "written", "others"), WRITTEN)
def test_what_is_written_is_read_back(annotation: Any, value: Any, written: Any, others: dict[str, Any]) -> None:
    """In every profile: the answer obeys the wire schema and gives the same instance; so does the row."""
    kind = model(annotation)
    instance = kind(a=value) if annotation not in (Base64Bytes, Base64UrlBytes) else kind.model_construct(a=value)
    assert {"a": written} == compile_schema(kind).answer_form(instance)
    for profile in PROFILES:
        compiled = compile_schema(kind, profile)
        answer = compiled.answer_form(instance)
        if profile in others:
            assert {"a": others[profile]} == answer
        again = parse_json(json.dumps(answer, default=float))
        if profile != "function":  # which says `nullable`
            Draft202012Validator(compiled.wire_schema).validate(json.loads(json.dumps(answer, default=float)))
        assert instance == compiled.restore(answer)
        assert judged(compiled, json.dumps(again, default=float)).ok
        assert instance == compiled.instance_of(compiled.row_of(instance))


@pytest.mark.parametrize("profile", ["gemini", "openai", "full"])
def test_absent_and_null_are_two_things(profile: Profile) -> None:
    """A NotRequired field that may be null: a list of at most one item."""
    compiled = compile_schema(Typed, profile)
    for value in ({"a": 1}, {"a": 1, "b": None}, {"a": 1, "b": "x"}):
        assert value == compiled.restore(compiled.answer_form(value))
    assert {"a": 1, "b": "x"} == compiled.restore({"a": 1, "b": "x"})  # as the model takes it


def test_decimals_as_text_keep_their_digits() -> None:
    """Also as keys."""
    compiled = compile_schema(model(dict[Decimal, Decimal]), decimals="string")
    instance = compiled.model(a={Decimal("1.50"): Decimal("2.00")})
    assert {"a": [{"key": "1.50", "value": "2.00"}]} == compiled.answer_form(instance)
    assert "2.00" == str(compiled.restore(compiled.answer_form(instance)).a[Decimal("1.50")])


def test_enums_by_name_come_back() -> None:
    """By their labels, as keys and in objects that tags tell apart."""
    compiled = compile_schema(model(dict[Size, Mixed]), enums="name")
    instance = compiled.model(a={Size.L: Mixed.A})
    assert {"a": [{"key": "L", "value": "A"}]} == compiled.answer_form(instance)
    assert instance == compiled.restore(compiled.answer_form(instance))
    tagged = compile_schema(model(Cat | Dog), "openai", enums="name")
    assert Cat(lives=1) == tagged.restore({"a": {"kind": "cat", "lives": 1}}).a


def test_a_bound_value_is_written_as_text() -> None:
    """A span of the record is chosen; the judge reads it."""
    compiled = compile_schema(model(Annotated[Decimal, Verbatim("money")]))
    assert {"a": "1.50"} == compiled.answer_form(compiled.model(a=Decimal("1.50")))


@pytest.mark.parametrize("profile", ["gemini", "openai", "function"])
def test_a_recursion_ends_as_the_model_says(profile: Profile) -> None:
    """What is cut off is put back; what is deeper has no place."""
    compiled = compile_schema(Tree, profile, unroll=1)
    tree = Tree(name="a", children=[Tree(name="b", children=[])])
    assert {"name": "a", "children": [{"name": "b"}]} == compiled.answer_form(tree)
    assert tree == compiled.restore(compiled.answer_form(tree))
    deep = '{"name": "a", "children": [{"name": "b", "children": [{"name": "c", "children": []}]}]}'
    assert ["$.children[0].children"] == [issue.path for issue in judged(compiled, deep).issues]


class Tree(BaseModel):
    name: str
    children: list["Tree"]  # noqa: UP037


def test_what_the_wire_cannot_hold_is_a_value_error() -> None:
    """No number, no value of the enum, no branch of the union, another length, a property too many."""
    wrong: list[tuple[Any, Any, str]] = [
        (float, float("inf"), "inf is no JSON number"),
        (Color, "green", "none of the enum's values"),
        (int | str, 0.5, "float is no branch of the union"),
        (tuple[int, int], (1,), "shorter"),
    ]
    for annotation, value, message in wrong:
        compiled = compile_schema(model(annotation))
        with pytest.raises(ValueError, match=message):
            compiled.answer_form(compiled.model.model_construct(a=value))
    opened = compile_schema({"properties": {"a": {"type": "integer"}}}, "openai")
    entries = [{"key": "b", "value": "2"}]
    assert {"a": 1, "additional_properties": entries} == opened.answer_form({"a": 1, "b": 2})
    with pytest.raises(ValueError, match="no instance of the schema"):
        opened.answer_form(5)
    with pytest.raises(ValueError, match="str is no list"):
        compile_schema({"items": {"type": "string"}}).answer_form("foobar")
    with pytest.raises(ValueError, match=r"no form for it: \$\.value: 1 is not of type"):
        compile_schema({"minLength": 2}).answer_form(1)
    opened = compile_schema({"properties": {"a": {"type": "integer"}}}, "full")
    assert {"a": 1, "b": 2} == opened.answer_form({"a": 1, "b": 2})


MAP, UNION, PAIR = dict[str, int], dt.date | str, tuple[int, str]
MALFORMED: list[tuple[Any, str, str, str]] = [
    # type, answer, code, path
    (MAP, "5", "schema.type", "$.a"),
    (MAP, "null", "schema.type", "$.a"),
    (MAP, '"x"', "schema.type", "$.a"),
    (MAP, "[1]", "schema.type", "$.a"),
    (MAP, '[{"key": "a"}]', "schema.type", "$.a"),
    (MAP, '[{"key": "a", "value": 1, "more": 2}]', "schema.type", "$.a"),
    (MAP, '[{"key": null, "value": 1}]', "schema.type", "$.a"),
    (MAP, '[{"key": 5, "value": 1}]', "schema.type", "$.a"),
    (MAP, '[{"key": {"x": 1.5}, "value": 1}]', "schema.type", "$.a"),
    (MAP, '[{"key": "x y", "value": "1"}]', "schema.type", "$.a['x y']"),
    (MAP, '[{"key": "x", "value": 1}, {"key": "x", "value": 2}]', "schema.duplicate_key", "$.a"),
    (dict[int, int], '[{"key": 1, "value": 1}, {"key": 1.0, "value": 2}]', "schema.duplicate_key", "$.a"),
    (dict[int, int], '[{"key": "1", "value": 1}]', "schema.type", "$.a"),
    (dict[int, int], '[{"key": 1.5, "value": 1}]', "model.int_parsing", "$.a['1.5']['[key]']"),
    (dict[Size, int], '[{"key": 7, "value": 1}]', "schema.enum", "$.a"),
    (dict[Color, int], '[{"key": "green", "value": 1}]', "schema.enum", "$.a"),
    (dict[str, bytes], '[{"key": "x", "value": "!"}]', "schema.contentEncoding", "$.a.x"),
    (UNION, "null", "schema.anyOf", "$.a"),
    (UNION, "5", "schema.union", "$.a"),
    (UNION, "{}", "schema.union", "$.a"),
    (UNION, '{"tag": "date"}', "schema.union", "$.a"),
    (UNION, '{"tag": "date", "date": null}', "schema.anyOf", "$.a"),
    (UNION, '{"tag": "time", "time": "x"}', "schema.union", "$.a"),
    (UNION, '{"tag": null}', "schema.union", "$.a"),
    (UNION, '{"tag": {"x": 1}}', "schema.union", "$.a"),
    (UNION, '{"tag": "date", "date": "2024-01-02", "text": "x"}', "schema.union", "$.a"),
    (UNION, '{"tag": "text", "date": null, "text": "x", "more": null}', "schema.union", "$.a"),
    (UNION, '{"tag": "date", "date": "2024-13-01", "text": null}', "model.date_from_datetime_parsing", "$.a"),
    (dt.date | dict[str, str], '{"tag": "x"}', "schema.union", "$.a"),
    (Cat | Dog, '{"tag": "cat", "cat": {"kind": "dog", "lives": 1}, "dog": null}', "schema.anyOf", "$.a"),
    (Cat | Dog, '{"tag": "cat", "cat": {"kind": "cat"}, "dog": null}', "schema.anyOf", "$.a"),
    (Cat | Dog, '{"tag": "cat", "cat": [], "dog": null}', "schema.anyOf", "$.a"),
    (list[UNION], '[{"tag": "date", "date": "x", "text": null}]', "model.date_from_datetime_parsing", "$.a[0]"),
    (Mixed, '"D"', "schema.enum", "$.a"),
    (Mixed, "[]", "schema.enum", "$.a"),
    (Literal[True], '"false"', "schema.enum", "$.a"),
    (Size, '"L"', "schema.type", "$.a"),
    (bytes, '"!"', "schema.contentEncoding", "$.a"),
    (bytes, '"Q"', "schema.contentEncoding", "$.a"),
    (bytes, '"é"', "schema.contentEncoding", "$.a"),
    (bytes, "5", "schema.type", "$.a"),
    (bytes, "null", "schema.type", "$.a"),
    (Base64Bytes, '"!"', "schema.contentEncoding", "$.a"),
    (JsonValue, '"{"', "schema.json_text", "$.a"),
    (JsonValue, '"NaN"', "schema.json_text", "$.a"),
    (JsonValue, '"1e350"', "model.invalid-json-value", "$.a"),
    (PAIR, "[1]", "schema.minItems", "$.a"),
    (PAIR, '[1, "x", 2]', "schema.maxItems", "$.a"),
    (PAIR, "[1, null]", "schema.type", "$.a[1]"),
    (PAIR, "null", "schema.type", "$.a"),
    (PAIR, '{"item_0": 1, "item_1": "x"}', "schema.type", "$.a"),
    (set[int], "5", "schema.type", "$.a"),
    (set[int], "[1, 1]", "schema.uniqueItems", "$.a"),
    (list[bytes], "5", "schema.type", "$.a"),
    (list[bytes], '["QQ==", "!"]', "schema.contentEncoding", "$.a[1]"),
    (Part, "null", "schema.type", "$.a"),
    (Part, "[]", "schema.type", "$.a"),
    (Data, '{"a": "QQ==", "b": 1, "c": 2}', "schema.additionalProperties", "$.a"),
    (Data, "[]", "schema.type", "$.a"),
    (Typed, '{"a": 1, "b": ["x", "y"]}', "schema.type", "$.a.b"),
    (Typed, '{"a": 1, "b": [5]}', "schema.type", "$.a.b"),
    (Typed, "[]", "schema.type", "$.a"),
    (Open, '{"a": 1, "additional_properties": null}', "schema.type", "$.a.additional_properties"),
    (Open, '{"a": 1, "additional_properties": "x"}', "schema.type", "$.a.additional_properties"),
    (Open, '{"a": 1, "additional_properties": [{"key": 1, "value": "1"}]}', "schema.type", "$.a.additional_properties"),
    (Open, '{"a": 1, "additional_properties": [{"key": "a", "value": "1"}]}', "schema.duplicate_key", "$.a"),
    (Open, '{"a": 1, "additional_properties": [{"key": "b", "value": "{"}]}', "schema.json_text", "$.a.b"),
]


@pytest.mark.parametrize(("annotation", "answer", "code", "path"), MALFORMED, ids=str)
def test_a_malformed_answer_is_an_issue_with_its_place(annotation: Any, answer: str, code: str, path: str) -> None:
    """Never an exception, and never a row; `restore` raises ValueError at most."""
    compiled = compile_schema(model(annotation))
    outcome = judged(compiled, f'{{"a": {answer}}}')
    assert (code, path) in [(issue.code, issue.path) for issue in outcome.issues]
    assert all(issue.message for issue in outcome.issues)
    for profile in PROFILES:
        assert judged(compile_schema(compiled.model, profile), f'{{"a": {answer}}}') is not None


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        ('{"item_0": 1}', "$.a"),
        ('{"item_0": 1, "item_2": "x"}', "$.a"),
        ('{"item_0": 1, "item_1": "x", "item_2": 2}', "$.a"),
        ('{"item_0": 1, "item_1": null}', "$.a[1]"),
        ("[1]", "$.a"),
        ("5", "$.a"),
    ],
)
def test_a_tuple_as_an_object_needs_its_names(answer: str, path: str) -> None:
    """All of them, and no other."""
    assert [path] == [
        issue.path for issue in judged(compile_schema(model(PAIR), "openai"), f'{{"a": {answer}}}').issues
    ]


@pytest.mark.parametrize(
    "answer", ['"x"', '"1_0"', '"NaN"', '"0x1"', "null", "true", f'"{"9" * 401}"', f'"1.{"9" * 5000}"']
)
def test_a_decimal_as_text_is_read_strictly(answer: str) -> None:
    """What is no number, or has more digits than any, is left for the judge."""
    issues = judged(compile_schema(model(Decimal), decimals="string"), f'{{"a": {answer}}}').issues
    assert [("schema.type", "$.a")] == [(issue.code, issue.path) for issue in issues]


@pytest.mark.parametrize("answer", ['{"kind": "cat"}', '{"kind": "cow", "lives": 1}', "[]", "5", "{}"])
def test_an_object_that_no_branch_is_like_is_left_for_the_judge(answer: str) -> None:
    """Where the profile has anyOf."""
    issues = judged(compile_schema(model(Cat | Dog), "openai"), f'{{"a": {answer}}}').issues
    assert [("schema.anyOf", "$.a")] == [(issue.code, issue.path) for issue in issues]


def test_branches_of_one_json_type_are_told_apart_by_the_model() -> None:
    """Plain texts and numbers are their own JSON; a list of bytes beside one of dates has a tag everywhere."""
    assert 5 == compile_schema(model(int | bool | str), "openai").restore({"a": 5}).a
    compiled = compile_schema(model(Literal["x"] | Annotated[str, Field(min_length=2)]), "openai")
    assert ["x", "xy"] == [compiled.restore({"a": text}).a for text in ("x", "xy")]
    assert (
        "tag"
        in compile_schema(model(list[bytes] | list[dt.date]), "openai").wire_schema["properties"]["a"]["properties"]
    )


def test_a_union_within_a_union_has_a_choice_of_its_own() -> None:
    """Both stand at one place of the answer."""
    compiled = compile_schema(model(Rooted | bool | bytes))
    for value in (Rooted("2024-01-02"), Rooted(dt.date(2024, 1, 2)), True, b"A"):
        instance = compiled.model(a=value)
        assert instance == compiled.restore(compiled.answer_form(instance))


def test_validators_inside_a_union_see_the_record() -> None:
    """And a strict model there takes JSON."""

    class Shop(BaseModel):
        model_config = ConfigDict(strict=True)
        name: str
        day: dt.date

        @field_validator("name")
        @classmethod
        def _stands_there(cls, value: str, info: ValidationInfo) -> str:
            if value not in info.context["record"]["text"]:  # type: ignore[index]
                raise ValueError("not there")
            return value

    compiled = compile_schema(model(Shop | Part), "openai")
    assert judged(compiled, '{"a": {"name": "ACME", "day": "2024-01-02"}}').ok
    issues = judged(compiled, '{"a": {"name": "BETA", "day": "2024-01-02"}}').issues
    assert [("model.value_error", "$.a.name")] == [(issue.code, issue.path) for issue in issues]
    with pytest.raises(ValueError, match=r"\$\.a\.name: Value error, not there"):
        compiled.restore({"a": {"name": "BETA", "day": "2024-01-02"}}, {"record": RECORD})


def test_what_is_allowed_beside_the_fields_is_taken_where_it_stands() -> None:
    """As entries, or in the object itself; not both."""
    compiled = compile_schema(Open)
    assert Open.model_validate({"a": 1, "b": 2}) == compiled.restore({"a": 1, "b": 2})
    with pytest.raises(ValueError, match="'b' comes twice"):
        compiled.restore({"a": 1, "b": 2, "additional_properties": [{"key": "b", "value": "2"}]})

    class Bytes(BaseModel):
        model_config = ConfigDict(extra="allow")
        a: bytes
        __pydantic_extra__: dict[str, bytes]

    instance = Bytes.model_validate({"a": b"A", "b": b"B"})
    compiled = compile_schema(Bytes)
    assert [{"key": "b", "value": "Qg=="}] == compiled.answer_form(instance)["additional_properties"]
    assert instance == compiled.restore(compiled.answer_form(instance))


def test_nulls_are_left_out_of_a_function_call() -> None:
    """Of the parts of a union; what is left out of a call is put back for fields that must be there."""

    class Call(BaseModel):
        a: int | None
        b: int | None = None
        c: int = 5
        d: int | str

    compiled = compile_schema(Call, "function")
    call = Call(a=None, d="x")
    assert {"a": None, "b": None, "c": 5, "d": {"tag": "text", "text": "x"}} == compiled.answer_form(call)
    assert call == compiled.restore(compiled.answer_form(call)) == compiled.restore({"d": {"tag": "text", "text": "x"}})


def test_the_json_class_of_an_answer() -> None:
    """As the judge names it."""
    answers: list[Any] = [True, 1, Decimal("0.5"), 0.5, "x", [], {}, None]
    classes = ["boolean", "number", "number", "number", "string", "array", "object", "null"]
    assert classes == [class_of(answer) for answer in answers]


def test_the_choice_of_an_enum_is_exact() -> None:
    """True is not 1."""
    shape = compile_schema(model(Literal[1, True])).shape.fields[0].shape
    assert ["1", "true"] == [choice_of(shape, value).label for value in (1, True)]


def test_a_reading_collects_what_comes_to_light() -> None:
    """Issues of the schema stage."""
    reading = Reading()
    reading.complain("code", "$.a", "message", 5)
    assert [("schema", "schema.code", "$.a", 5)] == [(i.stage, i.code, i.path, i.value) for i in reading.issues]


@pytest.mark.parametrize(
    ("annotation", "answer"),
    [
        (list[bytes] | int, '"x"'),
        (list[JsonValue], "[5]"),
        (tuple[bytes, int], "5"),
        (dict[str, bytes], "5"),
        (list[dict[str, bytes]], '["x"]'),
        (JsonValue, "5"),
    ],
    ids=str,
)
@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_that_is_read_and_made_live_raises(annotation: Any, answer: str, profile: Profile) -> None:
    """Also where the judge is not asked: `restore` gives an instance or a ValueError."""
    compiled = compile_schema(model(annotation), profile)
    with contextlib.suppress(ValueError):
        compiled.restore(parse_json(f'{{"a": {answer}}}'))
