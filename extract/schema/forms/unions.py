"""The form of a union: which branch a value is, and which an answer is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic_core import ValidationError

from extract.records import short
from extract.schema.forms.compounds import Properties, class_of
from extract.schema.forms.scalars import Enumerated, Form, Reading
from extract.schema.nodes import with_floats
from extract.schema.shapes import TAG, Shape
from extract.schema.unions import native, wire_class

ITSELF = -1  # no branch is chosen: by any that it may be, the value is what it is in JSON, and the model says which


@dataclass
class Union(Form):
    """One of several shapes: as it is where `told_apart`, else an object with a tag and one part that is not null."""

    branches: Sequence[tuple[str, Form]]
    tagged: bool
    validate: Callable[[int, Any, Any], Any]  # a branch's value and a context → its instance; raises ValueError
    fits: Callable[[int, Any], bool]  # whether a Python value is of a branch
    leave_out_nulls: bool = False

    def __post_init__(self) -> None:
        self.plain = not self.tagged and all(form.plain for _, form in self.branches)
        # JSON may say less than the wire, and Pydantic may take for another branch what is not of its Python type
        shapes = [form.shape for _, form in self.branches]
        self.live = self.tagged or not all(map(native, shapes)) or _may_take_one_for_true(shapes)
        self.plain = self.plain and not self.live

    @property
    def writes_null(self) -> bool:
        return not self.shape.nullable and any(form.writes_null for _, form in self.branches)

    def _write(self, value: Any) -> Any:
        number = self.branch_of(value)
        label, form = self.branches[number]
        written = form.to_wire(value)
        if not self.tagged:
            return written
        if self.leave_out_nulls:
            return {TAG: label, label: written}
        return {TAG: label, **{name: written if name == label else None for name, _ in self.branches}}

    def branch_of(self, value: Any) -> int:
        """Which branch a Python value is. Raises ValueError."""
        numbers = [number for number in range(len(self.branches)) if self.fits(number, value)]
        if not numbers:
            raise ValueError(f"{type(value).__name__} is no branch of the union")
        return numbers[0]

    def _read(self, answer: Any, path: str, reading: Reading) -> Any:
        has_tag = self.tagged and isinstance(answer, dict) and TAG in answer
        number = self._tag(answer, path, reading) if has_tag else self._branch_of_answer(answer, path, reading)
        if number is None:
            return answer
        reading.chosen[path, id(self)] = number
        if number == ITSELF:
            return answer
        label, form = self.branches[number]
        return form.from_wire(answer[label] if has_tag else answer, path, reading)

    def _tag(self, answer: Any, path: str, reading: Reading) -> int | None:
        names = [name for name, _ in self.branches]
        label = answer[TAG]
        if label not in names:
            reading.complain("union", path, f"tag is {label!r}, which is none of {', '.join(names)}", short(label))
            return None
        others = [
            name for name in answer if name not in (TAG, label) and (answer[name] is not None or name not in names)
        ]
        if label not in answer:
            reading.complain("union", path, f"tag is {label!r}, and there is no such part", label)
            return None
        if others:
            filled = f"{', '.join(map(repr, others))} {'is' if len(others) == 1 else 'are'} filled too"
            reading.complain("union", path, f"tag is {label!r}, but {filled}", others[0])
            return None
        return names.index(label)

    def _branch_of_answer(self, answer: Any, path: str, reading: Reading) -> int | None:
        found = self._branches_like(answer)
        if len(found) == 1:
            return found[0]
        if found and class_of(answer) != "object" and all(native(self.branches[number][1].shape) for number in found):
            return ITSELF
        if self.tagged:  # an endpoint that did not heed the schema
            names = ", ".join(name for name, _ in self.branches)
            reading.complain("union", path, f"no tag says which of {names} it is", short(answer))
        return None

    def _branches_like(self, answer: Any) -> list[int]:
        kind = class_of(answer)
        found = [number for number, (_, form) in enumerate(self.branches) if wire_class(form.schema) in (kind, "any")]
        if len(found) > 1 and kind == "object":
            found = [number for number in found if _is_like(self.branches[number][1], answer)]
        return found

    def hydrate(self, value: Any, path: str, reading: Reading) -> Any:
        """Null too: it may be that of a branch, as of a RootModel."""
        return self._hydrate(value, path, reading) if self.live else value

    def _hydrate(self, value: Any, path: str, reading: Reading) -> Any:
        number = reading.chosen.get((path, id(self)))
        if number is None:
            return value
        if number == ITSELF:
            return with_floats(value)  # a Decimal may be a branch of its own
        form = self.branches[number][1]
        if not self.tagged and native(form.shape) and not isinstance(value, Decimal):
            return value  # as it is in JSON; the model's validators read it once
        hydrated = form.hydrate(value, path, reading)
        try:
            return self.validate(number, hydrated, reading.context)
        except ValidationError as error:
            reading.errors.append((path, error))
            return value


def _may_take_one_for_true(shapes: Sequence[Shape]) -> bool:
    """Whether a Literal of a boolean stands beside numbers: Pydantic finds the Decimal 1.0 among its values."""
    named = any(isinstance(choice.json, bool) for shape in shapes for choice in shape.choices)
    return named and any(shape.kind == "float" for shape in shapes)


def _is_like(form: Form, answer: Mapping[str, Any]) -> bool:
    """Whether an object has the names of this branch, and its tags' values where it says them."""
    if not isinstance(form, Properties):
        return False
    names = {item.field.wire for item in form.properties}
    known = answer.keys() <= names | {form.extra_name} or form.schema.get("additionalProperties") is not False
    if not (known and names <= answer.keys()):
        return False
    enums = [item for item in form.properties if item.field.shape.kind == "enum" and not item.field.shape.nullable]
    found = [(item, answer[item.field.wire]) for item in enums]
    return all(_is_written(item.form, value) or (value is None and item.null_is_default) for item, value in found)


def _is_written(form: Form, value: Any) -> bool:
    """Whether an answer is one of the enum's values; True is not 1."""
    labelled = isinstance(form, Enumerated) and form.labelled
    values = [choice.label if labelled else choice.json for choice in form.shape.choices]
    return any(item == value and isinstance(item, bool) == isinstance(value, bool) for item in values)
