"""Nothing is dropped, merged or taken for something else in silence."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from extract.records import Completion, Outcome, Record, Usage
from extract.schema import compile_schema
from extract.schema.nodes import json_text
from extract.validate import Judge


class Base(BaseModel):
    a: int


class Derived(Base):
    b: int


class Either(BaseModel):
    x: Base | Derived


class Holder(BaseModel):
    x: Base


class Tree(BaseModel):
    v: int
    kids: list[Tree] = []
    more: dict[str, Tree] = {}
    one: Tree | None = None


class Sets(BaseModel):
    ids: set[UUID] = set()
    raw: frozenset[bytes] = frozenset()
    sums: set[Decimal] = set()


class Counts(BaseModel):
    by_sum: dict[Decimal, int]


class Colour(Enum):
    RED = "r"
    ROT = "r"  # an alias
    BLUE = "b"


class Size(IntEnum):
    TEN = 10


def judged(compiled: Any, answer: Any) -> Outcome:
    completion = Completion(json_text(answer), "stop", None, Usage(), b"")
    return Judge(compiled, (), ())(Record(1, 0, {}), completion)


@pytest.mark.parametrize("profile", ["gemini", "openai", "full"])
def test_a_subclass_is_a_branch_of_its_own(profile: Any) -> None:
    """In the answer, the instance and the row."""
    compiled = compile_schema(Either, profile)
    for either in (Either(x=Derived(a=1, b=2)), Either(x=Base(a=1))):
        answer = compiled.answer_form(either)
        assert type(either.x) is type(compiled.restore(answer).x)
        row = judged(compiled, answer).row
        assert row is not None
        assert type(either.x).__name__ == row["x"]["tag"]
        assert either.x.model_dump() == row["x"][type(either.x).__name__]


def test_the_fields_of_a_subclass_are_not_dropped() -> None:
    """Where the schema has no place for them it is said."""
    compiled = compile_schema(Holder)
    for call in (compiled.answer_form, compiled.row_of):
        with pytest.raises(ValueError, match="Derived has fields that Base has not: b"):
            call(Holder(x=Derived(a=1, b=2)))


def test_a_recursion_deeper_than_unrolled_is_not_cut() -> None:
    """Through a list, a map and an optional field; what ends in time comes back."""
    compiled = compile_schema(Tree, unroll=1)
    leaf = Tree(v=3)
    for deep in (Tree(v=2, kids=[leaf]), Tree(v=2, more={"k": leaf}), Tree(v=2, one=leaf)):
        for call in (compiled.answer_form, compiled.row_of):
            with pytest.raises(ValueError, match="deeper than it is unrolled"):
                call(Tree(v=1, one=deep))
    tree = Tree(v=1, kids=[leaf], more={"k": leaf}, one=leaf)
    assert tree == compiled.restore(compiled.answer_form(tree)) == compiled.instance_of(compiled.row_of(tree))


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        ({"ids": ["6BA7B810-9DAD-11D1-80B4-00C04FD430C8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"]}, "$.ids"),
        ({"raw": ["QQ==", "QR=="]}, "$.raw"),
    ],
)
def test_items_of_a_set_do_not_merge(answer: dict[str, Any], path: str) -> None:
    """Two texts that are one value are named, as two that are the same text are."""
    given = {"ids": [], "raw": [], "sums": []} | answer
    assert [("schema.uniqueItems", path)] == [
        (issue.code, issue.path) for issue in judged(compile_schema(Sets), given).issues
    ]


def test_keys_that_are_one_are_named() -> None:
    """1.50 and 1.5 are one Decimal."""
    entries = [{"key": Decimal("1.50"), "value": 1}, {"key": Decimal("1.5"), "value": 2}]
    (issue,) = judged(compile_schema(Counts), {"by_sum": entries}).issues
    assert ("schema.duplicate_key", "$.by_sum") == (issue.code, issue.path)


def test_an_alias_of_an_enum_is_no_value_of_its_own() -> None:
    """Each value and each name stands once on the wire."""
    assert ["r", "b"] == compile_schema(Colour).wire_schema["properties"]["value"]["enum"]
    assert ["RED", "BLUE"] == compile_schema(Colour, enums="name").wire_schema["properties"]["value"]["enum"]


def test_a_number_of_an_enum_is_not_the_number() -> None:
    """An IntEnum beside int."""

    class Mixed(BaseModel):
        x: int | Size

    compiled = compile_schema(Mixed)
    assert {"tag": "Size", "integer": None, "Size": 10} == compiled.answer_form(Mixed(x=Size.TEN))["x"]
    assert {"tag": "Size", "integer": None, "Size": 10} == compiled.row_of(Mixed(x=Size.TEN))["x"]


def test_the_branches_of_a_raw_union_are_told_by_the_whole_schema() -> None:
    """References lead out of the branch, also where the schema is wrapped."""
    schema = {
        "type": "object",
        "properties": {
            "v": {
                "anyOf": [
                    {"type": "object", "properties": {"x": {"$ref": f"#/properties/{name}"}}, "required": ["x"]}
                    for name in ("one", "two")
                ]
            },
            "one": {"enum": ["a", "b"]},
            "two": {"enum": ["c", "d"]},
        },
        "required": ["v"],
    }
    compiled = compile_schema(schema)
    row = judged(compiled, compiled.answer_form({"v": {"x": "c"}})).row
    assert row is not None
    assert "object_2" == row["v"]["tag"]
    kinds = {
        name: {"type": "object", "properties": {"x": {"$ref": f"#/$defs/{name}x"}}, "required": ["x"]} for name in "AB"
    }
    definitions = {**kinds, "Ax": {"type": "integer"}, "Bx": {"type": "string"}}
    wrapped = compile_schema({"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}], "$defs": definitions})
    assert {"x": "hi"} == wrapped.restore(wrapped.answer_form({"x": "hi"}))


def test_draft_04_is_read_as_it_is_meant() -> None:
    """Its id, and its exclusive bounds, which are true or false there."""
    draft = "http://json-schema.org/draft-04/schema#"
    number = {"type": "integer", "minimum": 5, "exclusiveMinimum": True}
    listed = {"$schema": draft, "type": "array", "items": {"$ref": "#/definitions/x"}, "definitions": {"x": number}}
    compiled = compile_schema(listed, "full")
    assert 5 == compiled.wire_schema["properties"]["value"]["items"]["exclusiveMinimum"]
    assert [6] == compiled.restore(compiled.answer_form([6]))
    assert not judged(compiled, {"value": [5]}).ok
    assert {"type": "integer", "minimum": 6} == compile_schema(listed).wire_schema["properties"]["value"]["items"]


def test_an_instant_of_plain_json_may_be_written_small() -> None:
    """What the format allows, the column takes."""
    compiled = compile_schema({"type": "object", "properties": {"at": {"type": "string", "format": "date-time"}}})
    row = judged(compiled, {"at": "2020-01-01t00:00:00z"}).row
    assert row is not None
    assert dt.datetime(2020, 1, 1, tzinfo=dt.UTC) == row["at"]
