"""Sources: keys, the look over all records before any call, limits, and that nothing is loaded whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from extract.errors import ConfigError, InputError
from extract.sources import Csv, Scan, open_source
from tests.support import rows_csv


def test_the_row_number_is_the_key_when_none_is_given(tmp_path: Path) -> None:
    source = open_source(rows_csv(tmp_path / "a.csv", 3))
    assert ("row", pa.int64(), [1, 2, 3]) == (source.key_name, source.key_type, [r.key for r in source.records()])


def test_the_key_column_gives_the_keys(tmp_path: Path) -> None:
    source = open_source(rows_csv(tmp_path / "a.csv", 2), key="id")
    assert ("id", ["k1", "k2"]) == (source.key_name, [r.key for r in source.records()])


def test_a_key_that_comes_twice_is_named_with_both_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('id,text\na,"x\ny"\nb,2\na,3\n')
    with pytest.raises(InputError, match="'a' comes twice, first at line 2") as caught:
        open_source(file, key="id").scan()
    assert (str(file), 5, "id", "a") == (caught.value.file, caught.value.line, caught.value.column, caught.value.value)


def test_equal_hashes_of_different_keys_are_no_duplicates() -> None:
    """Python hashes -1 and -2 alike; both are good keys."""
    source = open_source(pa.table({"id": [-1, -2], "text": ["a", "b"]}), key="id")
    assert 2 == source.scan().count


@pytest.mark.parametrize("row", [",x", '"",x'])
def test_an_empty_key_is_named_with_its_line(tmp_path: Path, row: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"id,text\na,1\n{row}\n")
    with pytest.raises(InputError, match="key is empty") as caught:
        open_source(file, key="id").scan()
    assert (3, "id") == (caught.value.line, caught.value.column)


def test_a_null_key_in_a_frame_is_named_with_its_row() -> None:
    frame = pd.DataFrame({"id": ["a", None], "text": ["1", "2"]})
    with pytest.raises(InputError, match="key is empty") as caught:
        open_source(frame, key="id").scan()
    assert 2 == caught.value.line


def test_a_ragged_row_without_a_key_is_named_by_its_line(tmp_path: Path) -> None:
    """It goes to the quarantine and must be found there."""
    file = tmp_path / "a.csv"
    file.write_text("text,id\nx\ny,b\n")
    assert ["line 2", "b"] == [record.key for record in open_source(file, key="id").records()]


def test_a_key_column_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it has: id, text"):
        open_source(rows_csv(tmp_path / "a.csv", 1), key="nr").check()


def test_a_key_is_text_or_a_whole_number() -> None:
    with pytest.raises(ConfigError, match="text or a whole number"):
        open_source(pa.table({"id": [1.5]}), key="id").check()


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a"]),
        pa.array(["a"], pa.large_string()),
        pa.array([1], pa.uint64()),
        pa.array(["a"]).dictionary_encode(),
    ],
)
def test_text_and_whole_numbers_of_every_width_are_keys(column: Any) -> None:
    source = open_source(pa.table({"id": column}), key="id")
    source.check()
    assert not pa.types.is_dictionary(source.key_type)
    assert 1 == source.scan().count


def test_the_limit_reads_no_further(tmp_path: Path) -> None:
    """A fault behind the limit is none."""
    file = tmp_path / "a.csv"
    file.write_bytes(b'id,text\na,1\nb,2\nc,"open\n')
    assert 2 == open_source(file, limit=2).scan().count


def test_the_fingerprint_changes_with_content_and_with_nothing_else(tmp_path: Path) -> None:
    one, two = rows_csv(tmp_path / "a.csv", 3), rows_csv(tmp_path / "b.csv", 3)
    scan = open_source(one).scan()
    assert scan == open_source(two).scan()
    assert scan.fingerprint != open_source(rows_csv(two, 3, "other {}".format)).scan().fingerprint
    assert scan.fingerprint != open_source(one, key="id").scan().fingerprint
    assert isinstance(scan, Scan)


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl", "table"])
def test_records_are_read_again_from_any_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """They are the same as in the reading of all, whatever was passed over, with a limit too."""
    monkeypatch.setattr("extract.sources.MARK", 4)
    table = pa.table({"id": [f"k{number}" for number in range(11)], "text": [f"t {number}" for number in range(11)]})
    rows: Any = tmp_path / f"a.{kind}"
    if kind == "csv":
        rows_csv(rows, 11)
    elif kind == "parquet":
        pq.write_table(table, rows, row_group_size=3)
    elif kind == "jsonl":
        rows.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        rows = table
    for limit in (None, 9):
        source = open_source(rows, key="id", limit=limit)
        whole, scan = list(source.records()), source.scan()
        assert (limit or 11) == scan.count
        for start in range(scan.count + 1):
            assert whole[start:] == list(source.records_of(scan, start))


def test_a_source_that_changes_is_noticed_behind_what_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is passed over is not looked at again; all that is given is as it was scanned, or the end is an error."""
    monkeypatch.setattr("extract.sources.MARK", 4)
    file = rows_csv(tmp_path / "a.csv", 11)
    scan = open_source(file).scan()
    text = file.read_text().splitlines(keepends=True)
    for changed in range(11):
        file.write_text("".join(line[:-1] + "x\n" if at == changed + 1 else line for at, line in enumerate(text)))
        for start in range(11):
            records = open_source(file).records_of(scan, start)
            if changed < start // 4 * 4:
                assert 11 - start == len(list(records))
            else:
                with pytest.raises(InputError, match="the source has changed while it was read"):
                    list(records)


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    """A missing file, an unknown kind of file, an object of another kind."""
    with pytest.raises(InputError, match="no such file"):
        open_source(tmp_path / "none.csv")
    (tmp_path / "a.xls").touch()
    with pytest.raises(ConfigError, match=r"unknown kind of file '\.xls'"):
        open_source(str(tmp_path / "a.xls"))
    with pytest.raises(ConfigError, match="no source: int"):
        open_source(7)


def test_the_suffix_says_what_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "a.TSV").write_text("a\tb\n1\t2\n")
    pq.write_table(pa.table({"a": ["1"]}), tmp_path / "a.pq")
    (tmp_path / "a.ndjson").write_text('{"a": "1"}\n')
    assert ("a", "b") == open_source(tmp_path / "a.TSV").columns
    assert ("a",) == open_source(tmp_path / "a.pq").columns == open_source(str(tmp_path / "a.ndjson")).columns
    csv = Csv(tmp_path / "a.TSV")
    assert csv is open_source(csv).rows
    assert str(tmp_path / "a.TSV") == open_source(csv).label


def test_the_folder_of_a_source(tmp_path: Path) -> None:
    """Where its file lies; a table in memory lies nowhere."""
    file = rows_csv(tmp_path / "a.csv", 1)
    assert [tmp_path, tmp_path, tmp_path, None] == [
        open_source(source).folder for source in (file, str(file), Csv(file), pa.table({"a": [1]}))
    ]


_PEAK = """
import sys
from benchmarks.child import peak_rss
from extract.sources import open_source
open_source(sys.argv[2]).scan()
before = peak_rss()
assert open_source(sys.argv[1], key="id").scan().count == 5000
print(int(peak_rss() - before) // 1_000_000)
"""


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_large_file_is_never_loaded_whole(tmp_path: Path, kind: str) -> None:
    """Reading 100 MB takes less than half of that, whatever is kept of a batch."""
    large, small = tmp_path / f"large.{kind}", tmp_path / f"small.{kind}"
    for file, count in ((large, 5000), (small, 2)):
        texts = (f"{n:05d}" + "lorem ipsum " * 1666 for n in range(count))
        if kind == "parquet":
            with pq.ParquetWriter(
                file, pa.schema([("id", pa.int64()), ("text", pa.string())]), compression="none"
            ) as out:
                for n, text in enumerate(texts):
                    if n % 500 == 0:
                        batch: list[dict[str, Any]] = []
                    batch.append({"id": n, "text": text})
                    if len(batch) == min(500, count):
                        out.write_table(pa.Table.from_pylist(batch, schema=out.schema))
        else:
            line = '{{"id": {}, "text": "{}"}}\n' if kind == "jsonl" else "{},{}\n"
            with file.open("w") as out:
                out.write("id,text\n" if kind == "csv" else "")
                out.writelines(line.format(n, text) for n, text in enumerate(texts))
    command = [sys.executable, "-c", _PEAK, large, small]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert 50 > int(done.stdout)
