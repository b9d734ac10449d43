"""Nested rows as child tables and flat columns: rejoined, they are what they were."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import itertools
import json
import os
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

import extract
from extract import Endpoint
from extract.api import prepare_run
from extract.errors import ConfigError, RunDirectoryError, RunStopped
from extract.preparing import prepare
from extract.sinks import Layout, folder_of, label_of, read_rows, read_shards
from extract.sinks.csv_file import write_csv
from extract.sources import open_source
from extract.testing import Call, ScriptedServer
from tests.support import parts, pipeline, rows_csv

SETTINGS = settings(
    max_examples=150, report_multiple_bugs=False, deadline=None, suppress_health_check=list(HealthCheck)
)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
NAMES = st.one_of(
    st.sampled_from(["a", "b", "A", "id", "position", "value", "key", "a.b", "a_position", "_id", "x/y", "", "%", "ä"]),
    TEXT,
)
WAYS = [(True, False), (True, True), (False, True)]
BIG = {"min_value": -(2**63), "max_value": 2**63 - 1}
SCALARS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.bool_(), st.booleans()),
    (pa.int8(), st.integers(-128, 127)),
    (pa.int64(), st.integers(**BIG)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float32(), st.floats(width=32, allow_nan=False)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.string(), TEXT),
    (pa.large_string(), st.sampled_from(["=1+1", "-x", "", "'=a", "null", "NaN", '"', ",", "\r\n", "-5"])),
    (pa.binary(), st.binary(max_size=5)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.decimal128(12, 2), st.decimals(-(10**9), 10**9, places=2)),
    (pa.decimal128(38, 9), st.decimals(-(10**20), 10**20, places=9)),
    (pa.decimal256(60, 30), st.decimals(-(10**20), 10**20, places=30)),
    (pa.decimal128(5, -2), st.integers(-99999, 99999).map(lambda n: Decimal(n).scaleb(2))),
    (pa.date32(), st.dates()),
    (pa.time64("us"), st.times()),
    (pa.time32("s"), st.times().map(lambda t: t.replace(microsecond=0))),
    (pa.timestamp("us"), st.datetimes()),
    (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(dt.UTC))),
    (pa.timestamp("ms", "+05:30"), st.integers(-(10**12), 10**13)),
    (pa.timestamp("ns", "Europe/Berlin"), st.integers(-(2**61), 2**61)),
    (pa.duration("us"), st.integers(**BIG)),
    (pa.duration("s"), st.integers(-(10**13), 10**13)),
    (pa.dictionary(pa.int32(), pa.string()), TEXT),
    (pa.dictionary(pa.int8(), pa.string(), ordered=True), st.sampled_from(["x", "y", ""])),
    (pa.dictionary(pa.int32(), pa.int64()), st.integers(0, 3)),
]


@st.composite
def fields(draw: Any, name: str, depth: int) -> tuple[pa.Field, st.SearchStrategy[Any]]:
    """A field, and what makes its values."""
    kind, values = draw(kinds(depth))
    nullable = draw(st.booleans())
    return pa.field(name, kind, nullable), st.one_of(st.none(), values) if nullable else values


@st.composite
def kinds(draw: Any, depth: int) -> tuple[pa.DataType, st.SearchStrategy[Any]]:
    shape = draw(st.sampled_from(["scalar", "struct", "list", "large", "fixed", "map"] if depth else ["scalar"]))
    if shape == "scalar":
        found: tuple[pa.DataType, st.SearchStrategy[Any]] = draw(st.sampled_from(SCALARS))
        return found
    if shape == "struct":
        parts = [draw(fields(name, depth - 1)) for name in draw(st.lists(NAMES, max_size=3, unique=True))]
        return pa.struct([own for own, _ in parts]), st.fixed_dictionaries({own.name: values for own, values in parts})
    if shape == "map":
        value, values = draw(fields("value", depth - 1))
        entries = st.lists(st.tuples(TEXT, values), max_size=3)
        return pa.map_(pa.string(), value, keys_sorted=draw(st.booleans())), entries
    item, items = draw(fields("item", depth - 1))
    if shape == "fixed":
        return pa.list_(item, 2), st.lists(items, min_size=2, max_size=2)
    return (pa.list_ if shape == "list" else pa.large_list)(item), st.lists(items, max_size=3)


@st.composite
def tables(draw: Any) -> pa.Table:
    """A table with a key and up to three fields of any kind, nested up to three deep."""
    parts = [
        draw(fields(name, 3)) for name in draw(st.lists(NAMES.filter(lambda n: n != "id"), max_size=3, unique=True))
    ]
    count = draw(st.integers(0, 4))
    columns = [pa.array([draw(values) for _ in range(count)], own.type) for own, values in parts]
    keys = pa.array([f"k{number}" for number in range(count)])
    schema = pa.schema([pa.field("id", pa.string(), nullable=False), *(own for own, _ in parts)], {"about": "x"})
    return pa.Table.from_arrays([keys, *columns], schema=schema)


def layout(table: pa.Table, children: bool = True, flat: bool = False) -> Layout:
    return Layout(table.schema, "id", children, flat)


def assert_same(expected: pa.Table, found: pa.Table) -> None:
    """Equal schemas and rows; the words of a dictionary may stand in another order."""
    assert expected.schema.equals(found.schema, check_metadata=True)
    assert expected.to_pylist() == found.to_pylist()
    assert is_valid(found) or not is_valid(expected)


def is_valid(table: pa.Table) -> bool:
    """Arrow itself makes bad arrays: a dictionary without words under a null struct that has one."""
    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def sound(table: pa.Table, children: bool, flat: bool) -> Layout:
    """The layout, unless the names fall together."""
    own = layout(table, children, flat)
    try:
        own.check()
    except ConfigError:
        return dataclasses.replace(own, schema=table.select(["id"]).schema)
    return own


@pytest.mark.parametrize(("children", "flat"), WAYS)
@SETTINGS
@given(data=st.data())
def test_what_is_split_is_rejoined_exactly(children: bool, flat: bool, data: Any) -> None:
    """Any types, nulls anywhere, empty lists, no rows, names of any kind; a slice of a table too."""
    table = data.draw(tables())
    own = layout(table, children, flat)
    for part in (table, table.slice(1), pa.concat_tables([table, table.slice(0, 1)])):
        found = own.rejoin(own.split(part))
        assert part.equals(found, check_metadata=True)
        assert is_valid(found) or not is_valid(part)
        assert own.schemas == {path: piece.schema for path, piece in own.split(part).items()}


@pytest.mark.parametrize("is_deep", [False, True])
def test_a_batch_of_nulls_adds_no_word_to_a_dictionary(is_deep: bool) -> None:
    """What fills a place under a null struct is one of the words that are there already."""
    words = pa.dictionary(pa.int8(), pa.string(), ordered=True)
    words = pa.struct([pa.field("of", words, nullable=False)]) if is_deep else words
    word = {"of": "x"} if is_deep else "x"
    flags = pa.list_(pa.field("item", pa.bool_(), nullable=False))
    inner = pa.struct([pa.field("word", words, nullable=False), pa.field("flags", flags, nullable=False)])
    outer = pa.struct([pa.field("inner", inner)])
    schema = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("a", outer, nullable=False)])
    rows = [{"id": "k0", "a": {"inner": None}}, {"id": "k1", "a": {"inner": {"word": word, "flags": []}}}]
    table = pa.Table.from_pylist(rows, schema=schema)
    part = pa.concat_tables([table, table.slice(0, 1)])
    own = layout(part, True, False)
    assert part.equals(own.rejoin(own.split(part)), check_metadata=True)


def write_shards(root: Path, table: pa.Table, own: Layout, format: str, rows: int = 2) -> None:
    for number, start in enumerate(range(0, max(len(table), 1), rows)):
        for path, part in own.split(table.slice(start, rows)).items():
            folder = root / folder_of(path)
            folder.mkdir(exist_ok=True)
            file = folder / f"part-{number:05d}.{format}"
            pq.write_table(part, file) if format == "parquet" else write_csv(file, part, neutralise=True)


@pytest.mark.parametrize(("format", "flat"), [("parquet", False), ("parquet", True), ("csv", True)])
@SETTINGS
@given(data=st.data())
def test_files_give_back_the_nested_rows(
    tmp_path_factory: pytest.TempPathFactory, format: str, flat: bool, data: Any
) -> None:
    """Through Parquet and CSV, in several shards, and without any row."""
    table = data.draw(tables())
    own = sound(table, True, flat)
    table = table.select(own.schema.names)
    if format == "parquet" and not writable(own):
        return
    root = tmp_path_factory.mktemp("run")
    write_shards(root, table, own, format)
    assert_same(table.replace_schema_metadata(own.schema.metadata), read_rows(root, format, own))


def writable(own: Layout) -> bool:
    """Whether Parquet takes these columns: it has no structs without fields."""
    try:
        for schema in own.schemas.values():
            pq.write_table(schema.empty_table(), pa.BufferOutputStream())
    except (pa.ArrowException, OSError):  # a negative scale is an OSError
        return False
    return True


@SETTINGS
@given(tables())
def test_what_is_rejoined_can_be_written_as_it_was(table: pa.Table) -> None:
    """What lies under a null struct is no null where the schema holds none."""
    for children, flat in WAYS:
        own = layout(table, children, flat)
        if writable(Layout(table.schema, "id")) and is_valid(table):
            pq.write_table(own.rejoin(own.split(table)), pa.BufferOutputStream())


NESTED = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("address", pa.struct([("city", pa.string()), ("phones", pa.list_(pa.string()))])),
        pa.field(
            "lines",
            pa.list_(
                pa.field(
                    "item",
                    pa.struct([("id", pa.int64()), ("position", pa.string()), ("taxes", pa.list_(pa.float64()))]),
                    nullable=False,
                )
            ),
        ),
        pa.field("grid", pa.list_(pa.list_(pa.int64()))),
        pa.field("notes", pa.map_(pa.string(), pa.struct([("text", pa.string())]))),
    ]
)
LINES = [{"id": 7, "position": "left", "taxes": [0.1, 0.2]}, {"id": 8, "position": None, "taxes": []}]
ROWS = [
    {"id": "k1", "address": None, "lines": LINES, "grid": [[1, 2], None, []], "notes": [("a", {"text": "x"})]},
    {"id": "k2", "address": {"city": None, "phones": None}, "lines": None, "grid": None, "notes": None},
    {"id": "k3", "address": {"city": "B", "phones": ["1"]}, "lines": [], "grid": [], "notes": [("b", None)]},
]
TABLE = pa.Table.from_pylist(ROWS, schema=NESTED)


def named(parts: dict[tuple[str, ...], pa.Table]) -> dict[str, dict[str, list[Any]]]:
    return {label_of(path): part.to_pydict() for path, part in parts.items()}


def test_child_tables_have_key_positions_and_fields() -> None:
    """A name that a field has already gets `_` in front; what a struct of the item holds stays in it."""
    found = named(layout(TABLE).split(TABLE))
    assert ["", "address.phones", "lines", "lines.taxes", "grid", "grid.value", "notes"] == list(found)
    assert {"id": ["k3"], "position": [0], "value": ["1"]} == found["address.phones"]
    assert {
        "_id": ["k1", "k1"],
        "_position": [0, 1],
        "id": [7, 8],
        "position": ["left", None],
        "taxes": [2, 0],
    } == found["lines"]
    assert {"id": ["k1", "k1"], "lines_position": [0, 0], "position": [0, 1], "value": [0.1, 0.2]} == found[
        "lines.taxes"
    ]
    assert {"id": ["k1"] * 3, "position": [0, 1, 2], "value": [2, None, 0]} == found["grid"]
    assert {"id": ["k1"] * 2, "grid_position": [0, 0], "position": [0, 1], "value": [1, 2]} == found["grid.value"]
    assert [{"text": "x"}, None] == found["notes"]["value"]
    assert ["a", "b"] == found["notes"]["key"]
    assert [2, None, 0] == found[""]["lines"]
    assert [None, {"city": None, "phones": None}, {"city": "B", "phones": 1}] == found[""]["address"]


def test_flat_columns_tell_a_null_struct_from_a_struct_of_nulls() -> None:
    found = named(layout(TABLE, flat=True).split(TABLE))
    assert [False, True, True] == found[""]["address"]
    assert [None, None, "B"] == found[""]["address.city"]
    assert [None, None, 1] == found[""]["address.phones"]
    assert {"value": [True, False], "value.text": ["x", None]}.items() <= found["notes"].items()


def test_flat_alone_leaves_lists_where_they_are() -> None:
    own = layout(TABLE, children=False, flat=True)
    [found] = own.split(TABLE).values()
    assert ["id", "address", "address.city", "address.phones", "lines", "grid", "notes"] == found.column_names
    assert found["lines"] == TABLE["lines"]


def test_a_plain_table_is_not_touched() -> None:
    """Nor is one whose nested columns are to stay as they are."""
    assert TABLE is layout(TABLE, children=False).split(TABLE)[()]
    own = dataclasses.replace(layout(TABLE, flat=True), whole=frozenset(TABLE.column_names))
    assert TABLE is own.split(TABLE)[()]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["address", "address.city"], r"two columns of the table would be called 'address.city'"),
        (["lines", "Lines"], r"the child tables 'lines' and 'Lines' would share a folder"),
        (["straße", "STRASSE"], "would share a folder"),
        (["\N{LATIN SMALL LETTER E WITH ACUTE}", "E\N{COMBINING ACUTE ACCENT}"], None),
        (["x" * 201], "too long for a folder"),
        (["a.b", "a/b", "a%2Fb", "..", "", "CON"], None),
    ],
)
def test_names_that_fall_together_are_refused(names: list[str], message: str | None) -> None:
    """Before anything is paid; odd names have folders of their own."""
    kinds = {"address": pa.struct([("city", pa.string())]), "address.city": pa.string()}
    own = Layout(
        pa.schema([("id", pa.string()), *((n, kinds.get(n, pa.list_(pa.int64()))) for n in names)]), "id", True, True
    )
    if message:
        with pytest.raises(ConfigError, match=message):
            own.check()
        return
    own.check()
    folders = [folder_of(path) for path in own.schemas]
    assert len(names) + 1 == len({name.casefold() for name in folders})
    assert [] == [name for name in folders if set(name) & set('/\\:*?"<>| ') or name.endswith(".")]


def test_parts_that_do_not_belong_together_are_refused() -> None:
    """Rows lost, moved, or of another key; columns of another schema; a part that is not there."""
    own = layout(TABLE)
    parts = own.split(TABLE)
    child = parts["lines",]
    for bad in (child.slice(1), child.take([1, 0]), child.set_column(0, "_id", pa.array(["k1", "k2"]))):
        with pytest.raises(ValueError, match="'lines'"):
            own.rejoin({**parts, ("lines",): bad})
    with pytest.raises(ValueError, match="'lines'"):
        own.rejoin({**parts, ("lines",): child.rename_columns(["_id", "_position", "id", "position", "tax"])})
    with pytest.raises(ValueError, match=r"'grid\.value'"):
        own.rejoin({path: part for path, part in parts.items() if path != ("grid", "value")})


def test_null_where_the_schema_has_none_is_refused() -> None:
    schema = pa.schema([("id", pa.string()), pa.field("a", pa.list_(pa.int64()), nullable=False)])
    with pytest.raises(pa.ArrowInvalid, match="null in 'a'"):
        Layout(schema, "id", True).split(pa.Table.from_pylist([{"id": "k", "a": None}], schema=schema))


@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        (pa.decimal128(12, 2), Decimal("34.4"), "34.40"),
        (pa.decimal128(38, 9), Decimal("34.40"), "34.4"),
        (pa.decimal128(38, 9), Decimal("-1E-9"), "-0.000000001"),
        (pa.timestamp("us", "Europe/Berlin"), dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "2024-01-01T00:00:00+00:00"),
        (pa.timestamp("ms"), dt.datetime(2024, 1, 1, 1, 2, 3, 500000), "2024-01-01T01:02:03.500"),
        (pa.time64("us"), dt.time(1, 2, 3), "01:02:03"),
        (pa.duration("us"), dt.timedelta(hours=1, microseconds=5), "3600.000005"),
        (pa.binary(), b"\xfb\xff", base64.b64encode(b"\xfb\xff").decode()),
        (pa.binary(), b"\xf8a", "'+GE="),
        (pa.uuid(), uuid.UUID(int=7).bytes, "AAAAAAAAAAAAAAAAAAAABw=="),
        (pa.float64(), -1e-5, "-0.00001"),
    ],
)
def test_cells_of_csv(tmp_path: Path, kind: pa.DataType, value: Any, cell: str) -> None:
    """What people and other programs read; and back."""
    storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    column = pa.array([value, None], storage)
    column = pa.ExtensionArray.from_storage(kind, column) if storage != kind else column
    table = pa.table({"id": ["k", "l"], "x": column})
    write_csv(tmp_path / "part-00000.csv", table, neutralise=True)
    assert f"id,x\nk,{cell}\nl,\n" == (tmp_path / "part-00000.csv").read_text()
    assert table == read_shards(tmp_path, "csv", table.schema)


def test_a_year_that_has_no_text_is_refused(tmp_path: Path) -> None:
    far = pa.table({"day": pa.array([2**31 - 1], pa.int32()).cast(pa.date32())})
    with pytest.raises(pa.ArrowInvalid, match="outside the years"):
        write_csv(tmp_path / "a.csv", far, neutralise=True)


def test_lost_child_tables_are_told(tmp_path: Path) -> None:
    own = layout(TABLE)
    write_shards(tmp_path, TABLE, own, "parquet")
    (tmp_path / "table.lines/part-00001.parquet").unlink()
    with pytest.raises(RunDirectoryError, match=r"do not fit part-00001\.parquet"):
        read_rows(tmp_path, "parquet", own)


# a whole run


class Tax(BaseModel):
    """A tax."""

    name: str
    rate: Decimal = Field(max_digits=5, decimal_places=2)


class Line(BaseModel):
    """A line of an invoice."""

    article: str
    price: Decimal = Field(max_digits=12, decimal_places=2)
    taxes: list[Tax]


class Address(BaseModel):
    """Where somebody lives."""

    city: str | None
    street: str | None


class Invoice(BaseModel):
    """An invoice."""

    number: int
    kind: Literal["bill", "credit"]
    day: dt.date | None
    address: Address | None
    lines: list[Line]


class Plain(BaseModel):
    """An invoice without lines."""

    number: int


def invoice(call: Call) -> dict[str, Any]:
    """The answer to `item 7`: seven modulo three lines, each with one tax less than the one before."""
    number = int(call.prompt.split()[-1])
    tax = {"name": "=VAT", "rate": 0.19}
    lines = [{"article": f"a{n}", "price": 1.5 + n, "taxes": [tax] * n} for n in range(number % 3)]
    address = None if number % 2 else {"city": None if number % 4 else "Bonn", "street": "-x"}
    day = None if number % 5 else "2024-02-29"
    return {"number": number, "kind": "bill", "day": day, "address": address, "lines": lines}


OUTPUTS: list[dict[str, Any]] = [
    {},
    {"children": "tables"},
    {"flat": True},
    {"children": "tables", "flat": True},
    {"format": "csv"},
]


def run(server: ScriptedServer, source: Path, out: Path, **changes: Any) -> extract.Result:
    flow = pipeline(**({"schema": Invoice, "shard_rows": 7} | changes))
    return extract.run(flow, source, out=out, endpoint=Endpoint(base_url=server.base_url))


def test_a_result_is_the_same_however_it_was_written(tmp_path: Path) -> None:
    """Nothing is asked again, and no folder of an earlier layout is left."""
    source, out = rows_csv(tmp_path / "items.csv", 20), tmp_path / "out"
    with ScriptedServer(invoice) as server:
        results = []
        for changes in (*OUTPUTS, {}):
            found = run(server, source, out, **changes)
            results.append((found.table, found.children))
            folders = {path.name for path in out.iterdir() if path.is_dir()}
            nested = changes.get("format") == "csv" or changes.get("children") == "tables"
            assert {"table", "quarantine", *(["table.lines", "table.lines.taxes"] if nested else [])} == folders
        assert 20 == len(server.calls)
    first = results[0][0]
    for table, children in results:
        assert first.schema == table.schema
        assert first.to_pylist() == table.to_pylist()
        assert ["lines", "lines.taxes"] == list(children)
        assert ["id", "position", "article", "price", "taxes"] == children["lines"].column_names
        assert results[0][1]["lines.taxes"].to_pylist() == children["lines.taxes"].to_pylist()
    assert ["k1", "k2", "k2", "k4"] == results[0][1]["lines"]["id"].to_pylist()[:4]


def test_the_manifest_names_the_folders(tmp_path: Path) -> None:
    source, out = rows_csv(tmp_path / "items.csv", 5), tmp_path / "out"
    with ScriptedServer(invoice) as server:
        run(server, source, out, children="tables")
    manifest = json.loads((out / "manifest.json").read_text())
    assert ["table", "quarantine", "table.lines", "table.lines.taxes"] == manifest["folders"]
    sizes = [(out / folder / "part-00000.parquet").stat().st_size for folder in manifest["folders"]]
    assert sizes == manifest["shards"][0]["sizes"]


def test_a_schema_without_lists_leaves_no_child_tables(tmp_path: Path) -> None:
    source, out = rows_csv(tmp_path / "items.csv", 20), tmp_path / "out"
    with ScriptedServer(lambda call: invoice(call) if "lines" in str(call.body) else {"number": 1}) as server:
        run(server, source, out, children="tables")
        run(server, source, out, children="tables", schema=Plain)
    assert {"table", "quarantine"} == {path.name for path in out.iterdir() if path.is_dir()}


def test_a_lost_child_file_is_made_anew_without_asking(tmp_path: Path) -> None:
    source, out = rows_csv(tmp_path / "items.csv", 20), tmp_path / "out"
    with ScriptedServer(invoice) as server:
        run(server, source, out, children="tables")
        before = parts(out)
        (out / "table.lines.taxes/part-00001.parquet").unlink()
        (out / "table.lines/part-00000.parquet").write_bytes(b"")
        run(server, source, out, children="tables")
        assert 20 == len(server.calls)
    assert before == parts(out)


def test_a_write_that_is_cut_off_anywhere_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each file that a run puts in place; nothing is asked twice."""
    source = rows_csv(tmp_path / "items.csv", 10)
    with ScriptedServer(invoice) as server:
        run(server, source, tmp_path / "whole", children="tables")
        for cut in range(1, 12, 3):
            out, steps, asked = tmp_path / str(cut), itertools.count(1), len(server.calls)

            def replace(*paths: Any, steps: Any = steps, cut: int = cut) -> None:
                if next(steps) == cut:
                    raise OSError(28, "No space left on device")
                os.rename(*paths)

            with monkeypatch.context() as patch:
                patch.setattr("extract.sinks.files.os.replace", replace)
                with pytest.raises((OSError, RunStopped), match="No space"):
                    run(server, source, out, children="tables")
            run(server, source, out, children="tables")
            assert asked + 10 == len(server.calls)
            assert parts(tmp_path / "whole") == parts(out)


@pytest.mark.parametrize(("name", "value"), [("children", "table"), ("children", None), ("flat", "yes")])
def test_another_word_for_the_layout_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        pipeline(**{name: value})


def test_the_layout_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    """So that tables of another layout are derived anew."""
    source = open_source(rows_csv(tmp_path / "items.csv", 1), "id")
    ways: list[dict[str, Any]] = [{}, {"children": "tables"}, {"flat": True}, {"children": "tables", "flat": True}]
    endpoint = Endpoint(base_url="https://example.invalid")
    assert 4 == len({prepare(pipeline(**way), source, endpoint).fingerprint for way in ways})


def test_clashing_names_cost_nothing(tmp_path: Path) -> None:
    """A passed-through column too; `check` finds it as well as `run`."""
    source = tmp_path / "items.csv"
    source.write_text("id,text,address.city\nk1,item 1,Bonn\n")
    with ScriptedServer(invoice) as server:
        for go in (prepare_run, extract.run):
            flow = pipeline(schema=Invoice, columns=["address.city"], flat=True)
            with pytest.raises(ConfigError, match=r"called 'address\.city'"):
                go(flow, source, endpoint=Endpoint(base_url=server.base_url))
        assert not server.calls
