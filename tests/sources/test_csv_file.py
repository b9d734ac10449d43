"""CSV: every cell as it stands, every fault with its place."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.errors import ConfigError, InputError
from extract.sources import Csv, open_source
from tests.support import SHARED


def written(path: Path, content: bytes) -> Csv:
    path.write_bytes(content)
    return Csv(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data.csv"


def cells(source: Csv) -> list[tuple[str, ...]]:
    return [tuple(row.values[name] for name in source.columns) for row in source]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a,b\n1,2\n", [("1", "2")]),
        (b"a,b\r\n1,2\r\n", [("1", "2")]),
        (b"a,b\r1,2\r", [("1", "2")]),
        (b"a,b\n1,2", [("1", "2")]),
        (b"\xef\xbb\xbfa,b\n1,2\n", [("1", "2")]),
        (b'a,b\n"x,y","say ""no"""\n', [("x,y", 'say "no"')]),
        (b'a,b\n"one\ntwo","three\r\nfour"\n', [("one\ntwo", "three\r\nfour")]),
        (b'"a","b"\n"",\n', [("", "")]),
        (b"a,b\n 1 ,\t2\n", [(" 1 ", "\t2")]),
        (b"a,b\n\n1,2\n\n\n3,4\n", [("1", "2"), ("3", "4")]),
        (b'a,b\n5" disk,2\n', [('5" disk', "2")]),
        (b"a,b\nx\x00y,2\n", [("x\x00y", "2")]),
        ("a,b\nÄ,\u2028\n".encode(), [("Ä", "\u2028")]),
        (b"a,b\n007,NULL\n", [("007", "NULL")]),
    ],
)
def test_every_cell_is_text_as_it_stands(file: Path, content: bytes, expected: list[tuple[str, ...]]) -> None:
    """RFC 4180 quoting, line breaks of every kind, BOM, NUL: cells arrive unchanged."""
    source = written(file, content)
    assert expected == cells(source)
    assert ("a", "b") == source.columns


def test_a_row_knows_the_line_where_it_begins(file: Path) -> None:
    """Line breaks in cells and blank lines do not shift the line numbers."""
    source = written(file, b'a,b\n"1\n1",2\n\n3,4\n')
    assert [2, 5] == [row.line for row in source]


def test_a_cell_of_a_megabyte_is_one_cell(file: Path) -> None:
    """Documents may be larger than the csv module's default limit."""
    source = written(file, b'a,b\n"' + b"x" * 1_000_000 + b'",2\n')
    assert 1_000_000 == len(cells(source)[0][0])


@pytest.mark.parametrize(
    ("content", "line"), [(b'a,b\n1,2\n3,"open\nto the end\n', 3), (b'a,b\n"x"y,2\n', 2), (b'"a,b\n', 1)]
)
def test_broken_quotes_name_file_and_line(file: Path, content: bytes, line: int) -> None:
    """An unterminated quote is an error at the row where it begins."""
    with pytest.raises(InputError, match="not valid CSV") as caught:
        list(written(file, content))
    assert (str(file), line) == (caught.value.file, caught.value.line)


@pytest.mark.parametrize(
    ("content", "line", "column", "value"),
    [
        (b"a,b\n1,2\nx\xff,2\n", 3, 2, b"\xff"),
        (b"a,b\n\xc3\xa4\xe9,2\n", 2, 2, b"\xe9"),
        (b"\xef\xbb\xbfa\xff,b\n", 1, 2, b"\xff"),
        (b"a,b\n1,\xc3", 2, 3, b"\xc3"),
        (b"a,b\n" + b"1,2\n" * 5000 + b"\xe4,2\n", 5002, 1, b"\xe4"),
    ],
)
def test_bytes_that_are_no_utf8_are_named_with_their_place(
    file: Path, content: bytes, line: int, column: int, value: bytes
) -> None:
    """File, line, column in characters and the bytes, with what to do."""
    with pytest.raises(InputError, match="encoding='cp1252'") as caught:
        list(written(file, content))
    assert (line, column, value) == (caught.value.line, caught.value.column, caught.value.value)


def test_another_encoding_can_be_said(file: Path) -> None:
    """cp1252 and UTF-16 are read when named."""
    file.write_bytes("a,b\nä,€\n".encode("cp1252"))
    assert [("ä", "€")] == cells(Csv(file, encoding="cp1252"))
    file.write_bytes("a,b\nä,€\n".encode("utf-16"))
    assert [("ä", "€")] == cells(Csv(file, encoding="utf-16"))


def test_utf16_without_a_mark_is_an_input_error(file: Path) -> None:
    """A decoder that refuses the whole file is reported with the file."""
    file.write_bytes("a,b\nä,€\n".encode("utf-16-le"))
    with pytest.raises(InputError, match="utf-16") as caught:
        list(Csv(file, encoding="utf-16"))
    assert str(file) == caught.value.file


@pytest.mark.parametrize("encoding", ["klingon", "base64"])
def test_an_unknown_encoding_is_a_config_error(encoding: str) -> None:
    """Codecs that are not of text count as unknown."""
    with pytest.raises(ConfigError, match="unknown encoding"):
        Csv("x.csv", encoding=encoding)


@pytest.mark.parametrize("delimiter", ["", "ab", '"', "\n"])
def test_a_delimiter_is_one_character(delimiter: str) -> None:
    with pytest.raises(ConfigError, match="one character"):
        Csv("x.csv", delimiter=delimiter)


def test_ragged_rows_keep_every_cell_and_say_their_line(file: Path) -> None:
    """Too few and too many cells: a problem with the line number, all cells in its value."""
    rows = list(written(file, b"a,b\n1\n1,2,3\n4,5\n"))
    assert [
        ("line 2: 1 cells, the header has 2", ["1"]),
        ("line 3: 3 cells, the header has 2", ["1", "2", "3"]),
        None,
    ] == [row.problem and (row.problem.message, row.problem.value) for row in rows]
    assert {"a": "1", "b": None} == rows[0].values


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_input_error(file: Path, content: bytes) -> None:
    with pytest.raises(InputError, match="empty") as caught:
        list(written(file, content))
    assert 1 == caught.value.line


def test_a_header_alone_is_an_input_error(file: Path) -> None:
    file.write_bytes(b"a,b\n")
    with pytest.raises(InputError, match="no records"):
        open_source(file).scan()


def test_a_column_name_that_comes_twice_is_named(file: Path) -> None:
    with pytest.raises(InputError, match="'a' comes twice") as caught:
        list(written(file, b"a,b,a\n1,2,3\n"))
    assert 3 == caught.value.column


def test_an_empty_header_cell_gets_a_name(file: Path) -> None:
    """The name is the column's number."""
    assert ("a", "column_2") == written(file, b"a,\n1,2\n").columns


def test_a_file_that_cannot_be_opened_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        list(Csv(tmp_path))


@pytest.mark.shared
def test_the_w3c_files_are_read_by_rfc_4180() -> None:
    """All 136 files of the W3C suite give the rows that the suite states."""
    path = SHARED / "vectors/csv/csvw.jsonl"
    if not path.exists():
        pytest.skip("the shared vectors are not beside this checkout")
    for line in path.read_text().splitlines():
        check_vector(json.loads(line))


def check_vector(case: dict[str, object], folder: Path | None = None) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "data.csv"
        file.write_bytes(base64.b64decode(str(case["content_base64"])))
        source = Csv(file, delimiter=str(case["delimiter"]))
        expected: list[list[str]] = case["rows"]  # type: ignore[assignment]
        try:
            header = list(source.columns)
        except InputError:
            assert not expected or len(set(expected[0])) < len([name for name in expected[0] if name])
            return
        found = [row.problem.value if row.problem else [row.values[name] for name in header] for row in source]
        assert expected[1:] == found, case["files"]


_CELL = st.text(st.characters(codec="utf-8"), max_size=12)


@given(st.lists(st.tuples(_CELL, _CELL), min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_the_csv_module_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], end: str, bom: bool
) -> None:
    """Round trip: any text in any cell."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *rows])
    file = tmp_path_factory.mktemp("csv") / "data.csv"
    file.write_bytes((b"\xef\xbb\xbf" if bom else b"") + buffer.getvalue().encode())
    assert rows == cells(Csv(file))
