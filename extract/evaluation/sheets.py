"""The one door to openpyxl, of the extra `excel`: one sheet of cells, read and written."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from extract.errors import ConfigError, InputError

LONGEST_CELL = 32_767  # characters that a cell of a workbook can hold
LARGEST = 512 * 2**20  # bytes of an unpacked workbook that are read

_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")  # \r too, which XML would make \n
_TEXT = "@"  # the format in which a spreadsheet takes what is typed as it is


def read_sheet(path: Path) -> tuple[list[str], list[dict[str, Any]], list[int]]:
    """Column names, rows, and the number of each row as the spreadsheet counts; empty rows are passed over.

    Raises InputError for a file that is no workbook, for formulas, and for names that are missing or come twice.
    """
    book = _opened(path)
    try:
        found = list(book.active.iter_rows()) if book.active is not None else []
    finally:
        book.close()
    if not found:
        raise InputError("the sheet is empty", file=str(path), line=1, hint="the first row names the columns")
    names = _names(path, found[0])
    rows, lines = [], []
    for number, cells in enumerate(found[1:], 2):
        values = {name: _value(path, number, name, cell) for name, cell in zip(names, cells, strict=False)}
        if any(value is not None for value in values.values()):
            rows.append({name: values.get(name) for name in names})
            lines.append(number)
    return names, rows, lines


def write_sheet(path: Path, names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
    """One sheet of texts with a fixed first row. No text is a formula, and what is typed is taken as it is.

    Raises ConfigError for a text that is longer than a cell.
    """
    _refuse_long(path, names, rows)
    cells = _library("openpyxl.cell")
    book = _library("openpyxl").Workbook(write_only=True)
    sheet = book.create_sheet("labels")
    sheet.freeze_panes = "A2"

    def cell(value: str | None) -> Any:
        made = cells.WriteOnlyCell(sheet, None if value is None else _escaped(value))
        if value is not None:
            made.data_type = "s"  # a leading = would have made it a formula
            made.quotePrefix = True  # nor does it become one when the cell is opened and left
        made.number_format = _TEXT
        return made

    for row in (names, *rows):
        sheet.append([cell(value) for value in row])
    book.save(path)


def _refuse_long(path: Path, names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
    for row in rows:
        for name, value in zip(names, row, strict=True):
            if value is not None and len(_escaped(value)) > LONGEST_CELL:
                raise ConfigError(
                    f"{path.suffix}: {name}: a text of {len(value):,} characters is too long for a cell",
                    hint="write a .csv",
                )


def _opened(path: Path) -> Any:
    load = _library("openpyxl").load_workbook
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size > LARGEST:
            raise InputError(f"unpacks to {size:,} bytes, more than {LARGEST:,}", file=str(path))
        return load(path, read_only=True, data_only=False)
    except InputError:
        raise
    except Exception as error:  # openpyxl raises whatever a damaged part leads to
        raise InputError(f"not a readable workbook: {error}", file=str(path)) from error


def _names(path: Path, cells: Sequence[Any]) -> list[str]:
    names = ["" if cell.value is None else str(_value(path, 1, "", cell)).strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    for number, name in enumerate(names, 1):
        if not name or name in names[: number - 1]:
            problem = "comes twice" if name else "is empty"
            raise InputError(f"the column name {name!r} {problem}", file=str(path), line=1, column=number)
    return names


def _value(path: Path, number: int, name: str, cell: Any) -> Any:
    value = cell.value
    if cell.data_type == "f":
        raise InputError(f"row {number}: a formula: {value!s:.60}", file=str(path), column=name, hint="write the value")
    if cell.data_type == "e":
        raise InputError(f"row {number}: an error: {value!s:.60}", file=str(path), column=name, value=value)
    if isinstance(value, str):
        return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value) or None
    return value


def _escaped(text: str) -> str:
    """What XML cannot hold as `_x000B_`, and a text that looks like that so that it comes back."""
    safe = _ESCAPED.sub(lambda found: f"_x005F{found[0]}", text)
    return _UNWRITABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", safe)


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            "files of kind .xlsx need openpyxl, which is not installed",
            hint="pip install 'tablecast[excel]', or use a .csv",
        ) from error
