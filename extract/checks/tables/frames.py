"""A table check by a schema of `pandera`, in the extra `checks`."""

from __future__ import annotations

import inspect
from typing import Any

import pyarrow as pa

from extract.checks.codes import extra
from extract.checks.tables.finding import MAX_CULPRITS, TableCheck, Verdict
from extract.checks.tables.rows import Culprit, Place, TableRows
from extract.errors import ConfigError
from extract.fingerprint import source_of, without_addresses
from extract.records import Severity, path_to

FRAME = "table.pandera"


def pandera(
    schema: Any,
    *,
    by_shard: bool = False,
    name: str | None = None,
    severity: Severity = "reject",
    repair: bool = False,
) -> TableCheck:
    """The table fits a `DataFrameSchema` or `DataFrameModel` of pandera (code `table.pandera`).

    It gets key, passed-through columns and fields as `result.to_pandas()` has them, without the columns `_…` about the
    call. The whole table is read into memory, since any check may look at all rows; `by_shard`: shard after shard,
    which is right for schemas that judge row by row.
    """
    title = schema.__name__ if inspect.isclass(schema) else getattr(schema, "name", None)
    called = name or f"pandera({title if isinstance(title, str) else type(schema).__name__})"
    if not callable(getattr(schema, "validate", None)):
        raise ConfigError(f"{called}: {schema!r} is no schema of pandera"[:200])

    def judge(rows: TableRows) -> Verdict:
        errors = extra("pandera.errors", "checks.tables.pandera")
        found = _Failures(rows.key)
        tables = rows.shards()
        for table in tables if by_shard else [pa.concat_tables(tables)]:
            frame = frame_of(table.select([name for name in table.column_names if not name.startswith("_")]))
            try:
                schema.validate(frame, lazy=True)
            except errors.SchemaErrors as error:
                found.add(frame, error.failure_cases)
            except errors.SchemaError as error:  # of a schema that cannot be lazy
                found.say(str(error)[:300])
        return found.verdict()

    def prepare() -> None:
        extra("pandera.errors", "checks.tables.pandera")

    settings = (_source(schema), by_shard)
    return TableCheck(FRAME, called, (), judge, settings, severity, repair, (), prepare)


def frame_of(table: pa.Table) -> Any:
    """The rows as a DataFrame; whole numbers and booleans with nulls keep their kind (Int64, boolean)."""
    import pandas as pd

    kinds = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame = table.to_pandas()
    for column in table.column_names:
        if table[column].null_count and table[column].type in kinds:
            frame[column] = table[column].to_pandas(types_mapper=kinds.get)
    return frame


class _Failures:
    """The failure cases of pandera as places; those of a whole column name no row."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.said: dict[str, int] = {}
        self.first: dict[str, Any] = {}  # key of the first row of which it is said
        self.places: dict[Place, dict[str, None]] = {}  # with the checks that each fails
        self.rows = 0

    def say(self, text: str) -> None:
        self.said[text] = self.said.get(text, 0) + 1

    def add(self, frame: Any, cases: Any) -> None:
        keys = frame[self.key].tolist()
        failed = set()
        for case in cases.to_dict("records"):
            column = case.get("column")
            said = f"{column if isinstance(column, str) else 'table'}: {case.get('check')}"
            self.say(said)
            index = case.get("index")
            if isinstance(index, int | float) and index == index and 0 <= int(index) < len(keys):  # noqa: PLR0124
                failed.add(int(index))
                self.first.setdefault(said, keys[int(index)])
                at = path_to("$", column) if isinstance(column, str) and column in frame.columns else "$"
                place = (keys[int(index)], at)
                if place in self.places or len(self.places) < MAX_CULPRITS:
                    self.places.setdefault(place, {})[str(case.get("check"))[:200]] = None
        self.rows += len(failed)

    def _row(self, text: str) -> str:
        return f", first in row {self.first[text]!r}" if text in self.first else ""

    def verdict(self) -> Verdict:
        if not self.said:
            return Verdict()
        most = sorted(self.said.items(), key=lambda item: (-item[1], item[0]))
        examples = "; ".join(f"{text} ({number:,}{self._row(text)})" for text, number in most[:3])
        more = f", and {len(most) - 3:,} more" if len(most) > 3 else ""
        culprits = [
            Culprit(*place, f"the table's schema does not take it: {', '.join(failed)}")
            for place, failed in self.places.items()
            if place[1] != "$"
        ]
        message = f"the table does not fit: {examples}{more}"
        return Verdict(message, tuple(self.places), self.rows, culprits=culprits)


def _source(schema: Any) -> str:
    """What a schema asks for, as text: of functions in it their source."""
    if inspect.isclass(schema):
        return source_of(schema)
    columns = getattr(schema, "columns", {})
    parts = [schema, *(columns.values() if isinstance(columns, dict) else ())]
    checks = [check for part in parts for check in getattr(part, "checks", None) or ()]
    functions = [source_of(function) for check in checks if (function := getattr(check, "_check_fn", None))]
    return "\n".join([without_addresses(repr(schema)), *map(str, functions)])
