"""A model instance as cells: what a column cannot hold is an issue, never a crash or a silent change."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any, Literal, NotRequired

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, JsonValue, NaiveDatetime, RootModel, create_model
from typing_extensions import TypedDict

from extract.records import Issue
from extract.schema import compile_schema
from schema.small_models import MODELS, Color, Part, Size


class Typed(TypedDict):
    a: int
    b: NotRequired[int | None]


class Words(RootModel[set[str]]):
    pass


def cells(annotation: Any, value: Any, **options: Any) -> tuple[Any, list[Issue], list[str]]:
    model = create_model("M", a=(annotation, Field(**options)))
    row, issues, flags = compile_schema(model).tabulator(model.model_construct(a=value))
    return row["a"], issues, flags


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(drawn=MODELS, data=st.data())
def test_cells_go_through_arrow_unchanged(drawn: tuple[type[BaseModel], Any], data: st.DataObject) -> None:
    """Model → cells → Arrow → cells is the same for every supported type."""
    model, values = drawn
    instance = data.draw(values)
    schema = compile_schema(model)
    row, issues, flags = schema.tabulator(instance)
    assert ([], []) == (issues, flags)
    table = pa.Table.from_pylist([row], schema=schema.arrow_schema)
    table.validate()
    assert [row] == table.to_pylist()


@pytest.mark.parametrize(
    ("annotation", "value", "code"),
    [
        (int, 2**63, "table.int_range"),
        (int, -(2**63) - 1, "table.int_range"),
        (float, float("inf"), "table.float_range"),
        (float, float("nan"), "table.float_range"),
        (Decimal, Decimal("NaN"), "table.decimal_range"),
        (Decimal, Decimal("Infinity"), "table.decimal_range"),
        (Decimal, Decimal("0.0000000001"), "table.decimal_range"),
        (Decimal, Decimal("1e29"), "table.decimal_range"),
        (Decimal, Decimal("12345678901234567890123456789.0000000001"), "table.decimal_range"),
        (dt.time, dt.time(1, 2, tzinfo=dt.UTC), "table.time_zone"),
        (dt.datetime, dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14))), "table.datetime_range"),
        (
            dt.datetime,
            dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(dt.timedelta(hours=-14))),
            "table.datetime_range",
        ),
        (str, None, "table.null"),
        (Color, None, "table.null"),
        (Part, None, "table.null"),
        (list[int], None, "table.null"),
        (int, "1", "table.type"),
        (int, True, "table.type"),
        (float, True, "table.type"),
        (bool, 1, "table.type"),
        (str, 5, "table.type"),
        (dt.date, dt.datetime(2024, 1, 1), "table.type"),
        (dt.datetime, dt.date(2024, 1, 1), "table.type"),
        (Color, 1, "table.type"),
        (Size, "S", "table.type"),
        (Decimal, 0.5, "table.type"),
        (Part, {"name": "x"}, "table.type"),
        (list[int], "1", "table.type"),
        (set[int], 5, "table.type"),
        (tuple[int, str], (1,), "table.type"),
        (tuple[int, str], 5, "table.type"),
        (dict[str, int], [1], "table.type"),
        (Typed, 5, "table.type"),
        (int | str, 0.5, "table.type"),
        (uuid.UUID, 5, "table.type"),
        (bytes, "QQ==", "table.type"),
        (dt.timedelta, 5, "table.type"),
        (dt.timedelta, dt.timedelta.max, "table.timedelta_range"),
        (float, 2**53 + 1, "table.float_range"),
        (JsonValue, float("inf"), "table.type"),
        (JsonValue, object(), "table.type"),
        (uuid.UUID, object(), "table.type"),
    ],
)
def test_what_a_column_cannot_hold_is_an_issue(annotation: Any, value: Any, code: str) -> None:
    """A stable code and the place; the cell is null, other cells stand."""
    cell, issues, _ = cells(annotation, value)
    assert cell is None
    ((stage, found, path),) = [(issue.stage, issue.code, issue.path) for issue in issues]
    assert ("model", code, "$.a") == (stage, found, path)
    assert issues[0].message


def test_the_place_of_an_issue_is_that_on_the_wire() -> None:
    """Aliases and positions, as the quarantine's other stages write them."""
    inner = create_model("Inner", x=(list[int], Field(alias="X y")))
    model = create_model("M", a=(list[inner], ...))  # type: ignore[valid-type]
    instance = model.model_construct(a=[inner.model_construct(x=[1, 2**64])])
    _, issues, _ = compile_schema(model).tabulator(instance)
    assert ["$.a[0]['X y'][1]"] == [issue.path for issue in issues]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("0.1", "0.1"),
        ("1.10", "1.10"),
        ("1E+5", "100000"),
        ("1.0000000000000", "1.000000000"),
        ("1." + "0" * 60, "1.000000000"),
        ("0E-500", "0E-9"),
        ("99999999999999999999999999999.999999999", "99999999999999999999999999999.999999999"),
        ("-12345678901234567890123456789.123456789", "-12345678901234567890123456789.123456789"),
    ],
)
def test_a_decimal_keeps_its_value_and_fits_its_column(given: str, written: str) -> None:
    """No rounding, no exponent, no zeros that Arrow would refuse."""
    cell, issues, _ = cells(Decimal, Decimal(given))
    assert ([], written) == (issues, str(cell))
    assert [Decimal(given)] == pa.array([cell], pa.decimal128(38, 9)).to_pylist()


def test_instants_are_in_utc() -> None:
    """A value with a zone is converted; one without is taken as UTC and flagged; a naive column takes it as it is."""
    east = dt.timezone(dt.timedelta(hours=2))
    assert (dt.datetime(2024, 1, 1, 10, tzinfo=dt.UTC), [], []) == cells(
        dt.datetime, dt.datetime(2024, 1, 1, 12, tzinfo=east)
    )
    naive = dt.datetime(2024, 1, 1, 12)
    assert (naive.replace(tzinfo=dt.UTC), [], ["naive_datetime:$.a"]) == cells(dt.datetime, naive)
    assert (naive, [], []) == cells(NaiveDatetime, naive)


def test_enums_are_their_values() -> None:
    """Text or number, in lists as well; null where the model allows it."""
    assert "red" == cells(Color, Color.RED)[0]
    assert [2, None] == cells(list[Size | None], [Size.L, None])[0]
    assert {"name": "n", "weight": None} == cells(Part, Part(name="n", weight=None))[0]


@pytest.mark.parametrize(
    ("annotation", "value", "cell"),
    [
        (dict[str, int], {"a": 1}, [("a", 1)]),
        (dict[dt.date, Color], {dt.date(2024, 1, 2): Color.RED}, [(dt.date(2024, 1, 2), "red")]),
        (tuple[int, str | None], (1, None), {"item_0": 1, "item_1": None}),
        (set[str], {"b", "a"}, ["a", "b"]),
        (
            frozenset[dt.date],
            frozenset({dt.date(2024, 1, 2), dt.date(2024, 1, 1)}),
            [dt.date(2024, 1, n) for n in (1, 2)],
        ),
        (Words, Words({"b", "a"}), ["a", "b"]),
        (int | str, "x", {"tag": "text", "integer": None, "text": "x"}),
        (Part | Color, Color.RED, {"tag": "Color", "Part": None, "Color": "red"}),
        (Typed, {"a": 1}, {"a": 1, "b": None}),
        (uuid.UUID, uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (bytes, b"A", b"A"),
        (dt.timedelta, dt.timedelta(days=1), dt.timedelta(days=1)),
        (JsonValue, {"a": [1, "é", None, 0.5]}, '{"a":[1,"\\u00e9",null,0.5]}'),
        (JsonValue, None, "null"),
        (None, None, None),
        (Literal["a", 1], 1, "1"),
        (float, 3, 3),
    ],
)
def test_what_has_parts_has_a_cell(annotation: Any, value: Any, cell: Any) -> None:
    """Maps are pairs, tuples structs, sets sorted lists, unions a tag and one part, any JSON its text."""
    assert (cell, [], []) == cells(annotation, value)


def test_the_cells_of_a_raw_schema_are_typed() -> None:
    """Numbers, dates and instants of plain JSON; what is absent is null, what is undeclared a map."""
    raw = {
        "properties": {
            "n": {"type": "integer"},
            "x": {"type": "number"},
            "day": {"type": "string", "format": "date"},
            "at": {"type": "string", "format": "date-time"},
            "gone": {"type": "string"},
        },
        "additionalProperties": {"type": "integer"},
    }
    given = {"n": Decimal("1.0"), "x": Decimal("0.5"), "day": "2024-01-02", "at": "2024-01-02T03:04:05Z", "more": 7}
    row, issues, flags = compile_schema(raw).tabulator(given)
    assert ([], []) == (issues, flags)
    assert {
        **{"n": 1, "x": 0.5, "day": dt.date(2024, 1, 2), "gone": None, "additional_properties": [("more", 7)]},
        "at": dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    } == row
    assert [float, int] == [type(row["x"]), type(row["n"])]
    _, issues, _ = compile_schema(raw).tabulator({"day": "soon", "at": 5})
    assert [("table.type", "$.day"), ("table.type", "$.at")] == [(issue.code, issue.path) for issue in issues]


def test_what_is_no_instance_at_all_has_no_row() -> None:
    """An issue at the top, and no cells."""
    row, issues, _ = compile_schema(Part).tabulator(5)
    assert ({}, [("table.type", "$")]) == (row, [(issue.code, issue.path) for issue in issues])
