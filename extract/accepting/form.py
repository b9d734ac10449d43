"""The file with quarantined rows that people fill in, one column a field: how it is written, and read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from extract.accepting.cells import UnfitError, empty, readable, shown_value, unwrapped, wire_value
from extract.errors import ConfigError, InputError
from extract.evaluation.plain import cell_text
from extract.evaluation.sheets import LONGEST_CELL, write_sheet
from extract.evaluation.sides import CHECKED, Read, key_text, make_side, read_table, says_yes
from extract.nearest import did_you_mean
from extract.parse import ParseError, parse_json
from extract.records import Record
from extract.schema import CompiledSchema, Shape
from extract.schema.forms import Property
from extract.schema.shapes import ABSENT, Field
from extract.sinks.csv_file import write_csv
from extract.sinks.files import write_whole
from extract.sources import Csv

KEY, REASON, MESSAGE, OVERRIDE = "key", "reason", "message", "override"
OWN = (KEY, REASON, MESSAGE, CHECKED, OVERRIDE)
KINDS = (".csv", ".xlsx", ".jsonl")


@dataclass(frozen=True, slots=True)
class Edit:
    """One row of the file: the fields that it names, as the wire has them; ABSENT where a cell is empty and may be."""

    key: str
    place: str  # in the file
    values: Mapping[str, Any]  # by column
    unfit: Mapping[str, tuple[Any, str]]  # column → cell, and why it cannot be read
    override: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """A quarantined record as the template shows it; `answer`: what was answered, where it can be read."""

    record: Record
    reason: str
    message: str
    answer: Mapping[str, Any]


@dataclass(frozen=True)
class EditForm:
    """The columns of the file, for one schema and one source."""

    schema: CompiledSchema
    source_columns: Sequence[str]
    key_name: str

    @cached_property
    def fields(self) -> dict[str, Property]:
        """By column."""
        form = self.schema.form
        items = list(form.properties)
        if form.extra is not None:
            name = form.extra_name
            items.append(Property(Field(name, name, Shape("map"), required=False), form.extra))
        return {f"field.{item.field.name}" if item.field.name in OWN else item.field.name: item for item in items}

    @cached_property
    def shown(self) -> dict[str, str]:
        """Column of the source → what it is called here; the key has its own."""
        taken, names = {*OWN, *self.fields, *self.source_columns}, {}
        for column in self.source_columns:
            name = column
            while name in OWN or name in self.fields or (name != column and name in taken):
                name = f"source.{name}"
            taken.add(name)
            names[column] = name
        return names

    def column_of(self, wire: str) -> str | None:
        """The column of a property on the wire, or of a field by its name."""
        for column, item in self.fields.items():
            if wire in (item.field.wire, item.field.name):
                return column
        return None

    def answer(self, edit: Edit, before: Mapping[str, Any]) -> dict[str, Any]:
        """The record as a model would answer it: the edit, and for columns that the file lacks what was answered."""
        found = {}
        for column, item in self.fields.items():
            wire = item.field.wire
            value = edit.values[column] if column in edit.values else before.get(wire, empty(item))
            if value is not ABSENT:
                found[wire] = value
        return found

    def write(self, path: Path, drafts: Sequence[Draft]) -> None:
        """Write a file to be filled in, whole or not at all. Raises ConfigError for another kind of file, one that is
        there already, or a value too long for a cell."""
        kind = path.suffix.lower()
        if kind not in KINDS:
            raise ConfigError(f"{path}: edits are a {', '.join(KINDS)}", hint="-o edits.xlsx")
        if path.exists():
            raise ConfigError(f"{path} is there already", hint="it may hold edits: name another file")
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == ".jsonl":
            lines = "".join(readable(self._typed(draft)) + "\n" for draft in drafts)
            write_whole(path, lambda temp: temp.write_text(lines, "utf-8"))
            return
        rows = [self._texts(draft) for draft in drafts]
        write_whole(path, lambda temp: (_write_csv if kind == ".csv" else self._write_sheet)(temp, self._names, rows))

    @property
    def _names(self) -> list[str]:
        shown = [name for column, name in self.shown.items() if column != self.key_name]
        return [KEY, REASON, MESSAGE, *shown, *self.fields, CHECKED, OVERRIDE]

    def _texts(self, draft: Draft) -> list[str | None]:
        cells = [draft.record.get(column) for column in self.shown if column != self.key_name]
        fields = [shown_value(item, draft.answer.get(item.field.wire)) for item in self.fields.values()]
        return [cell_text(draft.record.key), draft.reason, draft.message, *map(cell_text, cells), *fields, None, None]

    def _typed(self, draft: Draft) -> dict[str, Any]:
        """The same for JSON, in which values have their types."""
        values = [unwrapped(item, draft.answer.get(item.field.wire)) for item in self.fields.values()]
        cells = self._texts(draft)
        start = len(cells) - len(values) - 2
        key = draft.record.key
        return dict(zip(self._names, [key, *cells[1:start], *values, None, None], strict=True))

    def _write_sheet(self, path: Path, names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
        """A cell of the source is only there to be read, and may be cut, which it says; a value may not."""
        exact = {KEY, *self.fields}
        cut = [[cell if name in exact else _cut(cell) for name, cell in zip(names, row, strict=True)] for row in rows]
        write_sheet(path, names, cut)

    def read(self, given: Any) -> tuple[str, list[Edit]]:
        """What the file is called, and its rows that are checked (all, without a column `checked`).

        Raises InputError for what is no file of edits: unknown columns, keys that come twice, formulas.
        """
        is_jsonl = isinstance(given, str | Path) and Path(given).suffix.lower() in (".jsonl", ".ndjson")
        read = _read_jsonl(Path(given)) if is_jsonl else read_table(given)
        key = KEY if KEY in read.kinds else self.key_name
        self._refuse_columns(read, key)
        if isinstance(given, str | Path) and Path(given).suffix.lower() in (".csv", ".tsv"):
            self._refuse_formulas(Path(given))
        make_side(read, key)
        edits = [
            self._edit(read, row, number, key, is_typed=is_jsonl)
            for number, row in zip(read.lines, read.rows, strict=True)
            if CHECKED not in read.kinds or says_yes(row[CHECKED], read, number)
        ]
        if not edits:
            hint = "write x where a row is right now"
            column = CHECKED if CHECKED in read.kinds else None
            raise InputError("no row is checked" if column else "no rows", file=read.label, column=column, hint=hint)
        return read.label, edits

    def _refuse_columns(self, read: Read, key: str) -> None:
        if key not in read.kinds:
            raise InputError("there is no column 'key'", file=read.label, hint="extract accept RUN_DIR --template")
        known = {*OWN, *self.fields, *self.shown.values(), *self.source_columns}
        for name in read.kinds:
            if name not in known:
                nearest = did_you_mean(name, [*self.fields, *OWN])
                raise InputError(f"{name!r} is no field", file=read.label, column=name, hint=nearest)
        if not any(name in self.fields for name in read.kinds):
            fields = ", ".join(self.fields)
            raise InputError("no column is a field", file=read.label, hint=f"the fields: {fields}")

    def _refuse_formulas(self, path: Path) -> None:
        """Their value is not in the file for sure."""
        for row in Csv(path, delimiter="\t" if path.suffix.lower() == ".tsv" else ","):
            for name in (*self.fields, KEY, OVERRIDE):
                if (row.values.get(name) or "").startswith("="):
                    hint = "write the value; a text that begins with = has an apostrophe in front: '="
                    value = row.values[name]
                    raise InputError("a formula", file=str(path), line=row.line, column=name, value=value, hint=hint)

    def _edit(self, read: Read, row: Mapping[str, Any], number: int, key: str, *, is_typed: bool) -> Edit:
        values: dict[str, Any] = {}
        unfit: dict[str, tuple[Any, str]] = {}
        for column, item in self.fields.items():
            if column in read.kinds:
                try:
                    values[column] = wire_value(item, row[column], is_typed=is_typed)
                except UnfitError as error:
                    values[column], unfit[column] = None, (row[column], str(error))
        override = OVERRIDE in read.kinds and says_yes(row[OVERRIDE], read, number, OVERRIDE)
        return Edit(key_text(row[key]), f"{read.place} {number}", values, unfit, override)


def _write_csv(path: Path, names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
    columns = [pa.array([row[at] for row in rows], pa.string()) for at in range(len(names))]
    write_csv(path, pa.Table.from_arrays(columns, names=list(names)), neutralise=True)


def _cut(cell: str | None) -> str | None:
    if cell is None or len(cell) <= LONGEST_CELL:
        return cell
    mark = f" … [cut here, {len(cell):,} characters]"
    return cell[: LONGEST_CELL - len(mark)] + mark


def _read_jsonl(path: Path) -> Read:
    """One JSON object a line, its numbers digit for digit."""
    rows, lines = [], []
    for number, row in _objects(path):
        rows.append(row)
        lines.append(number)
    kinds = dict.fromkeys(name for row in rows for name in row)
    if not rows:
        raise InputError("the file is empty", file=str(path), line=1)
    whole = [{**dict.fromkeys(kinds), **row} for row in rows]
    return replace(Read(str(path), kinds, whole, lines), place="line")


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise InputError("there is no such file", file=str(path)) from None
    except (OSError, UnicodeError) as error:
        raise InputError(f"the file cannot be read: {error}", file=str(path)) from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = parse_json(line)
        except ParseError as error:
            raise InputError(f"not JSON: {error}", file=str(path), line=number, value=line[:80]) from None
        if not isinstance(found, dict):
            raise InputError("a line holds one JSON object", file=str(path), line=number, value=line[:80])
        yield number, found
