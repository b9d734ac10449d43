"""What is wrong with a row that a person filled in, in the words of the file: row, column, value, what to do."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from extract.accepting.cells import readable, shown_value
from extract.accepting.form import OVERRIDE, Edit, EditForm
from extract.by_hand import may_be_overruled
from extract.nearest import did_you_mean
from extract.records import Issue, field_of
from extract.schema import Shape
from extract.schema.shapes import ABSENT

_LONGEST = 80  # characters of a value that is shown
_DECIMAL = re.compile(r"Decimal\('([^']*)'\)")
_WANTED = {
    "str": 'a text; "" is the empty one',
    "int": "a whole number, without thousands separators",
    "float": "a number with a decimal point and without thousands separators, such as 1234.5",
    "decimal": "a number with a decimal point and without thousands separators, such as 1234.50",
    "bool": "true or false",
    "date": "a date such as 2026-01-31",
    "datetime": "a date and time such as 2026-01-31T13:45:00+01:00",
    "time": "a time of day such as 13:45:00",
    "timedelta": "a duration such as PT1H30M",
    "bytes": "base64",
    "list": 'a JSON list such as ["a", "b"]',
    "tuple": "a JSON list of as many values as the field has",
    "map": 'a JSON object such as {"a": 1}',
    "object": 'a JSON object such as {"city": "Bonn"}',
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row cannot be accepted. `column`: of the file, None where it is the row as a whole."""

    file: str
    place: str
    key: str
    column: str | None
    value: str | None
    code: str
    message: str
    hint: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @property
    def text(self) -> str:
        """For people, in one line."""
        where = ", ".join(filter(None, (self.file, self.place, f"key {self.key!r}", self._column)))
        return f"{where}: {self.message} [{self.code}] ({self.hint})"

    @property
    def _column(self) -> str:
        if self.column is None:
            return ""
        return f"column {self.column!r}" + (f", value {self.value!r}" if self.value is not None else ", empty")


def problem_of(form: EditForm, label: str, edit: Edit, issue: Issue) -> Problem:
    """What a judge found, where it stands in the file."""
    name = field_of(issue)
    column = form.column_of(name) if name is not None else None
    item = form.fields[column] if column else None
    value = edit.values.get(column) if column else None
    shown = shown_value(item, value) if item and value is not ABSENT else None
    message = _DECIMAL.sub(r"\1", issue.message)
    if shown is None and column in edit.values and issue.code in ("schema.type", "schema.required"):
        message = "the cell is empty, and the field needs a value"
    return Problem(
        *(label, edit.place, edit.key, column, _short(shown), issue.code, message[:2_000]),
        _remedy(issue, item.field.shape if item else None, shown),
    )


def unfit_of(form: EditForm, label: str, edit: Edit) -> list[Problem]:
    """What cells no value could be read from."""
    return [
        Problem(
            *(label, edit.place, edit.key, column, _short(str(cell)), "edit.cell", message),
            f"write {_words(form.fields[column].field.shape, None)}",
        )
        for column, (cell, message) in edit.unfit.items()
    ]


def _remedy(issue: Issue, shape: Shape | None, shown: str | None) -> str:
    if may_be_overruled(issue):
        return f"correct it, or write yes in the column {OVERRIDE!r} if it is right all the same"
    if issue.code == "check.error":
        return "repair the check"
    if issue.stage == "semantic":
        return "correct it: this check rejects, and cannot be overridden"
    return (
        f"write {_words(shape, shown)}" if shape else "correct the row; what the schema asks for cannot be overridden"
    )


def _words(shape: Shape | None, shown: str | None) -> str:
    """What the field takes."""
    if shape is None:
        return "what the field takes"
    if shape.kind == "enum":
        values = [each.json if isinstance(each.json, str) else readable(each.json) for each in shape.choices]
        return f"one of its values; {did_you_mean(shown or '', values[:30])}"
    return _WANTED.get(shape.kind, "what the message asks for")


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
