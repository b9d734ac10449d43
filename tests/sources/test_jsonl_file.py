"""JSONL: one object a line, types from all lines, faults with their line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from extract.errors import InputError
from extract.sources import Jsonl


def written(folder: Path, content: str | bytes) -> Jsonl:
    file = folder / "data.jsonl"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return Jsonl(file)


def test_lines_become_rows_with_their_line(tmp_path: Path) -> None:
    """A BOM, blank lines and CRLF are passed over; a key that a line lacks is null."""
    source = written(tmp_path, b'\xef\xbb\xbf{"a": "x"}\r\n\n{"a": "y", "b": 1}\n')
    assert [({"a": "x", "b": None}, 1), ({"a": "y", "b": 1}, 3)] == [(dict(r.values), r.line) for r in source]
    assert str(tmp_path / "data.jsonl") == source.label


@pytest.mark.parametrize(
    ("values", "kind", "cells"),
    [
        (["true", "false"], pa.bool_(), [True, False]),
        (["1", "null"], pa.int64(), [1, None]),
        (["1", "2.5"], pa.float64(), [1, 2.5]),
        ([str(2**60), "1"], pa.int64(), [2**60, 1]),
        ([str(2**60), "0.5"], pa.string(), [str(2**60), "0.5"]),
        ([str(2**70), "1"], pa.string(), [str(2**70), "1"]),
        (['"x"', "1", "true"], pa.string(), ["x", "1", "true"]),
        (['{"ä": [1]}', "null"], pa.string(), ['{"ä": [1]}', None]),
        (["[1, 2]"], pa.string(), ["[1, 2]"]),
        (["null"], pa.string(), [None]),
    ],
)
def test_a_column_has_the_type_of_all_its_values(
    tmp_path: Path, values: list[str], kind: Any, cells: list[Any]
) -> None:
    """Mixed kinds, nested values and numbers too large for a column are text, as JSON; no digit is lost."""
    source = written(tmp_path, "".join(f'{{"a": {value}}}\n' for value in values))
    assert kind == source.arrow_types["a"]
    assert cells == [row.values["a"] for row in source]
    assert (
        cells
        == pa.Table.from_pylist([dict(r.values) for r in source], schema=pa.schema([("a", kind)]))["a"].to_pylist()
    )


@pytest.mark.parametrize(
    ("line", "message", "column"),
    [
        ('{"a": 1', "EOF while parsing an object", 7),
        ("{'a': 1}", "key must be a string", 2),
        ('{"a": NaN}', "expected value", 7),
        ("[1]", "one JSON object", 1),
        ("7", "one JSON object", 1),
        ('{"a": 1e999}', "beyond any column", "a"),
        ('{"a": "\\ud800"}', "hex escape", 14),
        ("\ud800", "expected value", 1),
    ],
)
def test_a_bad_line_is_named_with_file_line_and_column(tmp_path: Path, line: str, message: str, column: Any) -> None:
    content = b'{"a": 1}\n\n' + line.encode("utf-8", "surrogatepass")
    with pytest.raises(InputError, match=message) as caught:
        list(written(tmp_path, content))
    assert (str(tmp_path / "data.jsonl"), 3) == (caught.value.file, caught.value.line)
    assert column == caught.value.column
    assert "line 1" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "\n\n", "{}\n"])
def test_a_file_without_columns_is_an_input_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match="empty"):
        list(written(tmp_path, content))


def test_a_file_that_cannot_be_opened_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        list(Jsonl(tmp_path))
