"""JSON lines: one object a line. Columns are the keys of all lines; a key that a line lacks is null there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic_core import from_json

from extract.errors import InputError
from extract.sources.rows import Row

_TYPES: dict[type, pa.DataType] = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
_PLACE = re.compile(r" at line \d+ column (\d+)$")


@dataclass(frozen=True)
class Jsonl:
    """A JSONL file in UTF-8."""

    path: str | Path

    @property
    def label(self) -> str:
        return str(self.path)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.arrow_types)

    @cached_property
    def arrow_types(self) -> dict[str, pa.DataType]:
        """A column whose values are all of one kind has that type; others are text, as JSON."""
        kinds: dict[str, set[type]] = {}
        for line, values in self._objects():
            for name, value in values.items():
                if value in (float("inf"), float("-inf")):
                    raise InputError("a number beyond any column", file=self.label, line=line, column=name, value=value)
                kinds.setdefault(name, set()).add(_kind(value))
        if not kinds:
            raise InputError("the file is empty", file=self.label, line=1)
        return {name: _type(found) for name, found in kinds.items()}

    def __iter__(self) -> Iterator[Row]:
        types = self.arrow_types
        for line, values in self._objects():
            yield Row({name: _cell(values.get(name), kind) for name, kind in types.items()}, line)

    def _objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            with open(self.path, "rb") as file:
                for number, raw in enumerate(file, 1):
                    text = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
                    if text.strip():
                        yield number, self._object(number, text)
        except OSError as error:
            raise InputError(f"the file cannot be read: {error.strerror}", file=self.label) from error

    def _object(self, line: int, text: bytes) -> dict[str, Any]:
        try:
            found = from_json(text, allow_inf_nan=False)
        except ValueError as error:
            message, column = _placed(str(error))
            raise InputError(
                f"not JSON: {message}", file=self.label, line=line, column=column, value=text[:80]
            ) from None
        if not isinstance(found, dict):
            raise InputError("a line holds one JSON object", file=self.label, line=line, column=1, value=text[:80])
        return found


class _Wide:
    """A mark for whole numbers beyond 64 bits: their column is text."""


class _Long:
    """A mark for whole numbers that a float cannot hold exactly: beside fractions their column is text."""


def _kind(value: Any) -> type:
    if type(value) is not int or abs(value) <= 2**53:
        return type(value)
    return _Long if -(2**63) <= value < 2**63 else _Wide


def _placed(message: str) -> tuple[str, int | None]:
    """The parser's message without its place, and the column; it counts lines from the one that it was given."""
    found = _PLACE.search(message)
    return (message[: found.start()], int(found[1])) if found else (message, None)


def _type(kinds: set[type]) -> pa.DataType:
    kinds = kinds - {type(None)}
    if _Long in kinds and kinds <= {int, _Long}:
        return pa.int64()
    if kinds == {int, float}:
        return pa.float64()
    return _TYPES.get(next(iter(kinds)), pa.string()) if len(kinds) == 1 else pa.string()


def _cell(value: Any, kind: pa.DataType) -> Any:
    if value is None or not pa.types.is_string(kind) or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
