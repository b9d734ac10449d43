"""What every kind of source offers: its columns, their Arrow types, and its rows, as often as asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import pyarrow as pa

from extract.errors import InputError
from extract.records import Issue

BATCH = 256  # rows read at a time: so many that the loop of a run is held up for a fraction of a millisecond


@dataclass(frozen=True, slots=True)
class Row:
    """One row as read. `problem` is set when the reader could not take it as it stands."""

    values: Mapping[str, Any]
    line: int | None = None
    problem: Issue | None = None


class Rows(Protocol):
    """A source of rows that can be read more than once."""

    @property
    def label(self) -> str:
        """What messages call it: the path, or "DataFrame"."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def arrow_types(self) -> Mapping[str, pa.DataType]: ...

    def __iter__(self) -> Iterator[Row]: ...


def since(rows: Rows, start: int) -> Iterator[Row]:
    """The rows from this one on, counted from 0; those before are skipped by the source itself where it can."""
    skip: Callable[[int], Iterator[Row]] | None = getattr(rows, "since", None)
    return skip(start) if skip else islice(rows, start, None)


def refuse_twins(names: Sequence[str], label: str, line: int | None = None) -> None:
    """Refuse a column name that comes twice. Raises InputError."""
    seen: set[str] = set()
    for number, name in enumerate(names, 1):
        if name in seen:
            raise InputError(f"the column name {name!r} comes twice", file=label, line=line, column=number)
        seen.add(name)
