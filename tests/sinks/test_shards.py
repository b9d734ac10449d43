"""Shards: typed rows and quarantine, as Parquet and CSV, and back."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from extract.errors import ConfigError
from extract.records import Completion, Issue, Outcome, Record, Usage
from extract.schema import compile_schema
from extract.sinks import ShardWriter, read_rows, read_shards
from extract.sources import open_source


class Part(BaseModel):
    """A part."""

    name: str


class Thing(BaseModel):
    """A thing with a field of every kind."""

    text: str | None
    whole: int | None
    money: Decimal | None
    share: float | None
    sure: bool | None
    day: dt.date | None
    at: dt.datetime | None
    names: list[str]
    part: Part


VALUES: dict[str, Any] = {
    "text": 'a "b"\nc, ä',
    "whole": -7,
    "money": Decimal("1.5"),
    "share": 0.25,
    "sure": True,
    "day": dt.date(2024, 2, 29),
    "at": dt.datetime(2024, 2, 29, 1, 2, 3, tzinfo=dt.UTC),
    "names": ["x", "y"],
    "part": {"name": "p"},
}
SOURCE = pa.table({"id": ["k1", "k2"], "reason": ["own", None], "n": [1, 2]})


def writer(root: Path, format: str = "parquet", neutralise: bool = True) -> ShardWriter:
    source = open_source(SOURCE, key="id")
    return ShardWriter(root, source, compile_schema(Thing), ("n", "id"), format, neutralise)


def put(own: ShardWriter, number: int, outcomes: Sequence[Outcome]) -> tuple[int, ...]:
    """A shard of one slice."""
    return own.write(number, [own.slice(outcomes)])


def outcome(key: str = "k1", **changes: Any) -> Outcome:
    """A row that passed, or one for the quarantine when it has issues."""
    record = Record(key=key, position=0, cells={"id": key, "reason": "own", "n": 1})
    completion = Completion("{}", "stop", "m", Usage(10, 5), b"")
    settings = {
        "row": VALUES,
        "completion": completion,
        "attempts": 2,
        "flags": ("f",),
        "cost_usd": 0.5,
        "request": "h",
    }
    return Outcome(record, **(settings | changes))


def issue(**changes: Any) -> Issue:
    return Issue(**({"stage": "schema", "code": "schema.enum", "path": "$.a", "message": "no", "value": 7} | changes))


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))


def test_a_shard_is_a_file_of_each_table_even_without_rows(tmp_path: Path) -> None:
    put(writer(tmp_path), 3, [outcome()])
    assert ["quarantine/part-00003.parquet", "table/part-00003.parquet"] == names(tmp_path)


def test_a_row_has_key_columns_fields_and_what_is_known_of_the_call(tmp_path: Path) -> None:
    own = writer(tmp_path)
    put(own, 0, [outcome()])
    table = pq.read_table(tmp_path / "table/part-00000.parquet")
    assert own.table_schema == table.schema
    assert ["id", "n", *VALUES, *(name for name in table.column_names if name.startswith("_"))] == table.column_names
    [row] = table.to_pylist()
    assert VALUES | {"id": "k1", "n": 1} == {name: value for name, value in row.items() if not name.startswith("_")}
    assert (2, ["f"], "m", 10, 5, 0.5, "h") == tuple(row[name] for name in table.column_names[-7:])


def test_a_row_without_a_completion_leaves_its_columns_empty(tmp_path: Path) -> None:
    own = writer(tmp_path)
    put(own, 0, [outcome(completion=None, cost_usd=None)])
    [row] = read_shards(tmp_path / "table", "parquet").to_pylist()
    assert (None, None, None) == (row["_model"], row["_input_tokens"], row["_cost_usd"])


def test_the_quarantine_says_what_was_wrong_and_keeps_the_source(tmp_path: Path) -> None:
    """A source column whose name is taken stands beside."""
    own = writer(tmp_path)
    issues = (issue(value={"a": [1]}), issue(code="schema.type", value=None))
    put(own, 0, [outcome(row=None, issues=issues, raw="half \ud800")])
    table = pq.read_table(tmp_path / "quarantine/part-00000.parquet")
    assert own.quarantine_schema == table.schema
    [row] = table.to_pylist()
    assert ("k1", "schema.enum", "schema", "$.a", "no", '{"a": [1]}') == tuple(row.values())[:6]
    assert ["schema.enum", "schema.type"] == [found["code"] for found in json.loads(row["issues"])]
    assert ("half \\ud800", 2, "h") == (row["raw_answer"], row["attempts"], row["request"])
    assert ("k1", "own", 1) == (row["id"], row["source.reason"], row["n"])


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_the_same_outcomes_make_the_same_bytes(tmp_path: Path, format: str) -> None:
    found: list[list[bytes]] = []
    for name in ("a", "b"):
        own = writer(tmp_path / name, format)
        put(own, 0, [outcome(), outcome("k2", issues=(issue(),), row=None)])
        found.append([path.read_bytes() for path in sorted((tmp_path / name).rglob("part-*"))])
    assert found[0] == found[1]


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_slices_make_the_same_bytes_as_the_whole(tmp_path: Path, format: str) -> None:
    """However they are cut, and with columns whose dictionaries differ from slice to slice."""
    kinds = pa.array(["a", "b"]).dictionary_encode()
    source = open_source(SOURCE.append_column("kind", kinds).append_column("kinds", pa.nulls(2, pa.list_(kinds.type))))
    some = []
    for number in range(40):
        passed = number % 5 != 4
        cells = {"id": f"k{number}", "reason": None, "n": number, "kind": f"v{number % 7}", "kinds": [f"w{number}"]}
        row = VALUES | {"whole": number, "names": ["x"] * (number % 3)} if passed else None
        found = outcome(row=row, issues=() if passed else (issue(),), raw=None if passed else '{"a": 1}')
        some.append(dataclasses.replace(found, record=Record(key=number, position=number, cells=cells)))
    found_bytes = []
    for step in (40, 16, 7, 1):
        root = tmp_path / str(step)
        columns = ("kind", "kinds") if format == "parquet" else ("kind",)
        own = ShardWriter(root, source, compile_schema(Thing), columns, format, children=True)
        sizes = own.write(0, [own.slice(some[at : at + step]) for at in range(0, 40, step)])
        found_bytes.append([(root / folder / f"part-00000.{format}").read_bytes() for folder in own.folders])
        assert [len(content) for content in found_bytes[-1]] == list(sizes)
    assert [found_bytes[0]] * 4 == found_bytes


def test_shards_are_read_in_order_and_without_any_there_are_no_rows(tmp_path: Path) -> None:
    own = writer(tmp_path)
    for number in (1, 0, 10):
        put(own, number, [outcome(f"k{number}")])
    assert ["k0", "k1", "k10"] == read_shards(tmp_path / "table", "parquet")["id"].to_pylist()
    assert own.table_schema == read_shards(tmp_path / "none", "parquet", own.table_schema).schema
    assert 0 == read_shards(tmp_path / "none", "csv").num_rows


def back(root: Path, rows: Sequence[dict[str, Any]], neutralise: bool = False) -> list[dict[str, Any]]:
    own = writer(root, "csv", neutralise)
    put(own, 0, [outcome(row=VALUES | row) for row in rows])
    found: list[dict[str, Any]] = read_rows(root, "csv", own.layout, neutralised=neutralise).to_pylist()
    return found


def test_csv_comes_back_typed(tmp_path: Path) -> None:
    """Lists and nested values too."""
    [row] = back(tmp_path, [{}])
    assert VALUES | {"_flags": ["f"]} == {name: row[name] for name in (*VALUES, "_flags")}


def test_csv_keeps_null_and_empty_text_apart(tmp_path: Path) -> None:
    rows = back(tmp_path, [{"text": None, "whole": None, "day": None}, {"text": "", "sure": None}, {"text": "NULL"}])
    assert [None, "", "NULL"] == [row["text"] for row in rows]
    assert (None, None, None) == (rows[0]["whole"], rows[0]["day"], rows[1]["sure"])


def test_a_cell_of_csv_may_be_larger_than_a_block(tmp_path: Path) -> None:
    """Raw answers of several megabytes are read back."""
    long = "x" * 3_000_000
    assert [long, "y"] == [row["text"] for row in back(tmp_path, [{"text": long}, {"text": "y"}])]


def written(path: Path) -> str:
    """The text of the one row, as it stands in the file."""
    with open(path / "table/part-00000.csv", newline="", encoding="utf-8") as file:
        return next(csv.DictReader(file))["text"]


@pytest.mark.parametrize("text", ["=1+1", "+1+cmd|' /C calc'!A0", "-SUM(A1)", "-x", "@a", "\tx", "\rx", "'=1", "''+a"])
def test_text_that_a_spreadsheet_would_run_is_neutralised(tmp_path: Path, text: str) -> None:
    """In the file, unless it is switched off; read back it is what it was."""
    assert text == back(tmp_path / "on", [{"text": text}], neutralise=True)[0]["text"]
    assert f"'{text}" == written(tmp_path / "on")
    assert text == back(tmp_path / "off", [{"text": text}])[0]["text"]
    assert text == written(tmp_path / "off")


@pytest.mark.parametrize("text", ["-5.00", "+33 1 22", "- 7,5", "+", "'x", "a=b"])
def test_numbers_and_plain_text_stay_as_they_are(tmp_path: Path, text: str) -> None:
    """A sign before mere digits runs nothing."""
    assert text == back(tmp_path, [{"text": text}], neutralise=True)[0]["text"]
    assert text == written(tmp_path)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)),
        min_size=1,
        max_size=5,
    )
)
def test_any_text_comes_back_from_csv(tmp_path_factory: pytest.TempPathFactory, texts: list[str | None]) -> None:
    assert texts == [row["text"] for row in back(tmp_path_factory.mktemp("csv"), [{"text": text} for text in texts])]


def test_csv_is_for_other_readers_too(tmp_path: Path) -> None:
    back(tmp_path, [{}])
    with open(tmp_path / "table/part-00000.csv", newline="", encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    assert (VALUES["text"], "-7", "1.5", "true", "2024-02-29") == (
        *(row["text"], row["whole"], row["money"], row["sure"], row["day"]),
    )


def test_columns_that_no_file_can_hold_are_refused_before_anything_is_paid(tmp_path: Path) -> None:
    """An Arrow type that Parquet lacks is a ConfigError with the column's name."""
    table = pa.table({"id": ["a"], "span": pa.array([None], pa.month_day_nano_interval())})
    source = open_source(table, "id")
    own = ShardWriter(tmp_path, source, compile_schema(Part), (), "parquet")
    with pytest.raises(ConfigError, match="the column 'span'"):
        own.check()
    writer(tmp_path, "parquet").check()


def test_columns_named_like_the_quarantines_own_keep_their_content(tmp_path: Path) -> None:
    """However many `source.` it takes."""
    table = pa.table({"key": ["a"], "source.key": ["b"], "reason": ["c"]})
    own = ShardWriter(tmp_path, open_source(table), compile_schema(Part), (), "parquet")
    names = own.quarantine_schema.names
    assert len(names) == len(set(names))
    assert {"source.source.key", "source.key", "source.reason"} <= set(names)


def test_child_tables_are_written_before_their_parent(tmp_path: Path) -> None:
    """And the sizes are those of the folders, in their order."""
    own = dataclasses.replace(writer(tmp_path), children=True)
    found = put(own, 0, [outcome(), outcome("k2", row=VALUES | {"names": []})])
    assert ("table", "quarantine", "table.names") == own.folders
    paths = [tmp_path / folder / "part-00000.parquet" for folder in own.folders]
    assert [path.stat().st_size for path in paths] == list(found)
    table, _, names = (path.stat().st_mtime_ns for path in paths)
    assert names <= table
    child = pq.read_table(paths[2])
    assert {"id": ["k1", "k1"], "position": [0, 1], "value": ["x", "y"]} == child.to_pydict()
    assert [2, 0] == pq.read_table(paths[0])["names"].to_pylist()


def test_a_row_that_its_csv_cannot_hold_does_not_fit(tmp_path: Path) -> None:
    """A list with a null in it, where the model says that there is none."""
    own = writer(tmp_path, "csv")
    assert own.fits(outcome())
    assert not own.fits(outcome(row=VALUES | {"names": ["x", None]}))
    assert not own.fits(outcome(row=VALUES | {"text": "\ud800"}))


@pytest.mark.parametrize("kind", [pa.decimal128(5, -2), pa.list_view(pa.int64()), pa.month_day_nano_interval()])
def test_source_columns_that_csv_cannot_hold_are_refused(tmp_path: Path, kind: pa.DataType) -> None:
    """Before anything is paid."""
    source = open_source(pa.table({"id": ["a"], "odd": pa.nulls(1, kind)}), "id")
    own = ShardWriter(tmp_path, source, compile_schema(Part), ("odd",), "csv")
    with pytest.raises(ConfigError, match="the column 'odd'"):
        own.check()


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_reasoning_is_the_last_column_when_asked(tmp_path: Path, format: str) -> None:
    """As text that a file can hold; null where the answer came without."""
    own = dataclasses.replace(writer(tmp_path, format), reasoning=True)
    thought = Completion("{}", "stop", "m", Usage(10, 5), b"", reasoning="first \ud83d then")
    put(own, 0, [outcome(), outcome("k2", completion=thought), outcome("k3", completion=None)])
    table = read_shards(tmp_path / "table", format, own.layout.schemas[()])
    assert "_reasoning" == table.column_names[-1]
    assert [None, "first \\ud83d then", None] == table["_reasoning"].to_pylist()
    assert own.table_schema.names[:-1] == writer(tmp_path).table_schema.names
