"""CSV (RFC 4180): quoted cells with line breaks, UTF-8 with or without BOM. Every cell is text, just as it stands."""

from __future__ import annotations

import codecs
import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from extract.errors import ConfigError, InputError
from extract.records import Issue
from extract.sources.rows import Row, refuse_twins


@dataclass(frozen=True)
class Csv:
    """A CSV file. A row with too few or too many cells is marked with a problem; empty lines are passed over."""

    path: str | Path
    delimiter: str = ","
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        try:
            "".encode(self.encoding)  # refuses codecs that are not of text too
        except (LookupError, UnicodeError):
            raise ConfigError(f"unknown encoding {self.encoding!r}") from None
        if len(self.delimiter) != 1 or self.delimiter in '\r\n"':
            raise ConfigError(f"the delimiter is one character, got {self.delimiter!r}")

    @property
    def label(self) -> str:
        return str(self.path)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        _, header = next(self._lines(), (1, None))
        if header is None:
            raise InputError("the file is empty", file=self.label, line=1, hint="the first line names the columns")
        names = tuple(name or f"column_{number}" for number, name in enumerate(header, 1))
        refuse_twins(names, self.label, line=1)
        return names

    @property
    def arrow_types(self) -> dict[str, pa.DataType]:
        return dict.fromkeys(self.columns, pa.string())

    def __iter__(self) -> Iterator[Row]:
        columns = self.columns
        lines = self._lines()
        next(lines)
        for line, cells in lines:
            if len(cells) == len(columns):
                yield Row(dict(zip(columns, cells, strict=True)), line)
            else:
                yield _ragged(columns, cells, line)

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """(line where the row begins, its cells)."""
        csv.field_size_limit(sys.maxsize if sys.maxsize < 2**31 else 2**31 - 1)  # documents outgrow the 128 kB default
        encoding = "utf-8-sig" if codecs.lookup(self.encoding).name == "utf-8" else self.encoding
        line = 1
        try:
            with open(self.path, encoding=encoding, newline="") as file:
                reader = csv.reader(file, delimiter=self.delimiter, strict=True)
                for cells in reader:
                    if cells:
                        yield line, cells
                    line = reader.line_num + 1
        except csv.Error as error:
            message = f"not valid CSV: {error}"
            raise InputError(message, file=self.label, line=line, hint='a quote inside a cell is written ""') from error
        except UnicodeError as error:
            raise self._bad_bytes(error) from error
        except OSError as error:
            raise InputError(f"the file cannot be read: {error.strerror}", file=self.label) from error

    def _bad_bytes(self, error: UnicodeError) -> InputError:
        """Where in the file the bytes are that are no text; the decoder only knows its own block.

        The column counts characters from 1, as editors do.
        """
        decoder = codecs.getincrementaldecoder(self.encoding)()
        hint = "save the file as UTF-8, or say Csv(path, encoding='cp1252')"
        seen, size = 0, Path(self.path).stat().st_size
        try:
            with open(self.path, "rb") as file:
                for number, raw in enumerate(file, 1):  # noqa: B007  # the handler reads it
                    seen += len(raw)
                    decoder.decode(raw, final=seen == size)
        except UnicodeDecodeError as found:
            value = found.object[found.start : found.end]
            before = found.object[: found.start].decode(self.encoding, "replace").removeprefix("\ufeff")
            message = f"byte {value.hex(' ')} is no {self.encoding}"
            column = len(before) + 1
            return InputError(message, file=self.label, line=number, column=column, value=value, hint=hint)
        except UnicodeError:
            pass  # of the file as a whole, such as UTF-16 without a mark
        return InputError(f"not {self.encoding}: {error}", file=self.label, hint=hint)


def _ragged(columns: tuple[str, ...], cells: list[str], line: int) -> Row:
    values = dict(zip(columns, [*cells, *[None] * (len(columns) - len(cells))], strict=False))
    message = f"line {line}: {len(cells)} cells, the header has {len(columns)}"
    return Row(values, line, Issue("source", "source.cells", "$", message, cells))
