"""The finished rows of a run as table checks see them: shard by shard, never all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from extract.checks.paths import Found, reader, scopes
from extract.records import Key

Shards = Callable[[], Iterator[pa.Table]]
Place = tuple[Key, str]  # key of the row, JSON path in it


class Culprit(NamedTuple):
    """A place that is to be asked again, and what is said of it then: no value of another row."""

    key: Key
    path: str
    why: str

    @property
    def place(self) -> Place:
        return self.key, self.path


@dataclass(frozen=True)
class TableRows:
    """Rows by shard, nested however they were written. `open`: the rows of another run or of a file, for comparison."""

    key: str
    shards: Shards
    quarantined: int = 0
    open: Callable[[Path, str], TableRows] | None = None

    def records(self, fields: Sequence[str]) -> Iterator[tuple[Key, dict[str, Any]]]:
        """Key and row, with only the columns that these paths begin with."""
        names = list(dict.fromkeys([self.key, *(field.partition(".")[0] for field in fields)]))
        for shard in self.shards():
            for row in shard.select(names).to_pylist(maps_as_pydicts="lossy"):
                yield row[self.key], row

    def values(self, field: str) -> Iterator[tuple[Place, Any]]:
        """Every value at a path, nulls left out."""
        read = reader(field)
        for key, row in self.records([field]):
            for path, found in read(row):
                yield (key, path), found

    def together(self, fields: Sequence[str]) -> Iterator[tuple[tuple[Place, ...], tuple[tuple[Any, ...], ...]]]:
        """The values of several paths that stand in one row, or in one item of the list that the paths share.

        With the places of all of them, those of the first path first.
        """
        objects, rest = scopes(*fields)
        readers = [reader(name) for name in rest]
        for key, row in self.records(fields):
            for at, scope in objects(row):
                found: list[Sequence[Found]] = [read(scope, at) for read in readers]
                if all(found):
                    places = tuple((key, path) for each in found for path, _ in each)
                    yield places, tuple(tuple(value for _, value in each) for each in found)
