"""Parquet, Arrow tables and frames: typed cells; what cannot be read is named."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from extract.errors import InputError
from extract.sources import ArrowTable, Parquet, open_source

TABLE = pa.table(
    {
        "category": pa.array(["a", None, "a"]).dictionary_encode(),
        "large": pa.array(["x", "y", None], pa.large_string()),
        "money": pa.array([Decimal("1.10"), None, Decimal("-2.00")], pa.decimal128(9, 2)),
        "at": pa.array([dt.datetime(2024, 2, 29, 1, 2, 3, tzinfo=dt.UTC)] * 3, pa.timestamp("us", "UTC")),
        "nested": pa.array([{"lines": [1, 2]}, None, {"lines": []}]),
        "whole": pa.array([2**63, 0, 1], pa.uint64()),
    }
)


def test_parquet_cells_come_as_python_values(tmp_path: Path) -> None:
    """Dictionary, large_string, decimal, timestamp and nested columns, with their Arrow types."""
    pq.write_table(TABLE, tmp_path / "a.parquet", row_group_size=2)
    source = Parquet(tmp_path / "a.parquet")
    assert TABLE.to_pylist() == [row.values for row in source]
    assert tuple(TABLE.schema.names) == source.columns
    assert dict(zip(TABLE.schema.names, TABLE.schema.types, strict=True)) == source.arrow_types


def test_an_arrow_table_is_a_source() -> None:
    source = open_source(TABLE)
    assert TABLE.to_pylist() == [dict(record) for record in source.records()]
    assert ("Arrow table", tuple(TABLE.schema.names)) == (source.label, source.columns)


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "folder"])
def test_a_file_that_is_no_parquet_is_an_input_error(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "a.parquet"
    if damage == "folder":
        file.mkdir()
    else:
        pq.write_table(TABLE, file)
        content = file.read_bytes()
        file.write_bytes({"truncated": content[:-20], "text": b"id,text\n1,2\n", "empty": b""}[damage])
    with pytest.raises(InputError, match="not a readable Parquet file") as caught:
        list(Parquet(file))
    assert str(file) == caught.value.file


def test_damage_in_the_middle_of_a_parquet_file_is_an_input_error(tmp_path: Path) -> None:
    """The footer is good, the pages are not."""
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [f"{n}" for n in range(5000)]}), file, use_dictionary=False, compression="zstd")
    content = bytearray(file.read_bytes())
    content[60:2000] = b"\xff" * 1940
    file.write_bytes(bytes(content))
    with pytest.raises(InputError, match="not a readable Parquet file"):
        list(Parquet(file))


def test_a_column_name_that_comes_twice_is_named() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(InputError, match="'a' comes twice"):
        _ = ArrowTable(table).columns


def test_a_frame_is_a_source_without_its_index() -> None:
    """NaN, None and NaT are null; the index is left out; names become text."""
    frame = pd.DataFrame(
        {"text": ["a", np.nan], "n": [1.5, np.nan], 3: [pd.NaT, pd.Timestamp("2024-01-02")]}, index=[10, 20]
    )
    source = open_source(frame)
    assert ("text", "n", "3") == source.columns
    assert [
        {"text": "a", "n": 1.5, "3": None},
        {"text": None, "n": None, "3": pd.Timestamp("2024-01-02")},
    ] == [dict(record) for record in source.records()]


def test_a_frame_column_of_mixed_types_is_named() -> None:
    with pytest.raises(InputError, match="no one type") as caught:
        open_source(pd.DataFrame({"ok": [1, 2], "mixed": [1, "a"]}))
    assert ("DataFrame", "mixed") == (caught.value.file, caught.value.column)


def test_a_frame_with_arrow_columns_and_categories_is_a_source() -> None:
    """Chunked Arrow columns and categories are taken as they are."""
    chunked = pa.chunked_array([["a"], ["b"]])
    frame = pd.DataFrame({"x": pd.Series(pd.arrays.ArrowExtensionArray(chunked)), "c": pd.Categorical(["p", "q"])})
    assert [{"x": "a", "c": "p"}, {"x": "b", "c": "q"}] == [dict(r) for r in open_source(frame).records()]


_FILES = [b"\x89PNG\0", b"", None, bytes(range(256))]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.list_(pa.binary())])
def test_bytes_stay_bytes(tmp_path: Path, kind: pa.DataType) -> None:
    """Of Parquet, Arrow and pandas, alone and in lists: files are often stored so."""
    files = [None if data is None else [data, data] for data in _FILES] if pa.types.is_list(kind) else _FILES
    table = pa.table({"file": pa.array(files, kind)})
    pq.write_table(table, tmp_path / "a.parquet")
    for source in (tmp_path / "a.parquet", table):
        assert files == [record["file"] for record in open_source(source).records()]
    if kind == pa.binary():
        frame = pd.DataFrame({"file": files})
        assert files == [record["file"] for record in open_source(frame).records()]


def test_files_in_a_table_are_read_a_few_at_a_time(tmp_path: Path) -> None:
    """A table of 160 MB of files takes far less than that."""
    path = tmp_path / "a.parquet"
    schema = pa.schema([("file", pa.binary())])
    with pq.ParquetWriter(path, schema, compression="none") as out:
        for number in range(10):
            files = [bytes([number, each]) * 500_000 for each in range(16)]
            out.write_table(pa.table({"file": files}, schema=schema))
    code = (
        "import resource, sys\n"
        "from extract.sources import open_source\n"
        "source = open_source(sys.argv[1])\n"
        "source.arrow_types\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert 160 == sum(1 for _ in source.records())\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert 100 > int(done.stdout)
