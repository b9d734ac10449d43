"""Forms of single values: the base of all, and each that is written on the wire in its own way."""

from __future__ import annotations

import base64
import binascii
import math
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic_core import ValidationError, to_jsonable_python

from extract.parse import MAX_DIGITS, ParseError, parse_json
from extract.records import Issue
from extract.schema.nodes import json_text, with_floats
from extract.schema.shapes import Choice, JsonSchema, Shape

_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?\s*", re.ASCII)


@dataclass
class Reading:
    """What comes to light while one answer is read."""

    issues: list[Issue] = field(default_factory=list)
    chosen: dict[tuple[str, int], int] = field(default_factory=dict)  # path and id of a union's form → its branch
    errors: list[tuple[str, ValidationError]] = field(default_factory=list)  # of parts validated by themselves
    context: Any = None  # for the model's validators

    def complain(self, code: str, path: str, message: str, value: Any) -> None:
        self.issues.append(Issue("schema", f"schema.{code}", path, message, value))


@dataclass
class Form:
    """A value that is on the wire what it is in JSON."""

    shape: Shape
    schema: JsonSchema  # on the wire
    plain: bool = field(default=True, init=False)  # an answer is read as it stands
    live: bool = field(default=False, init=False)  # hydrating changes something

    def __post_init__(self) -> None:
        """Each form says here whether it is `plain` and `live`."""

    def to_wire(self, value: Any) -> Any:
        """The answer that stands for a value. Raises ValueError when the wire has none for it."""
        for _ in range(self.shape.roots):
            value = None if value is None else value.root
        return None if value is None and not self.writes_null else self._write(value)

    @property
    def writes_null(self) -> bool:
        """Whether None is written as something else than null."""
        return False

    def from_wire(self, answer: Any, path: str, reading: Reading) -> Any:
        return answer if self.plain or answer is None else self._read(answer, path, reading)

    def hydrate(self, value: Any, path: str, reading: Reading) -> Any:
        return self._hydrate(value, path, reading) if self.live and value is not None else value

    def _write(self, value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value} is no JSON number")
        if value is None or type(value) in (str, int, float, bool, Decimal):
            return value
        return to_jsonable_python(value, fallback=str)

    def _read(self, answer: Any, path: str, reading: Reading) -> Any:
        return answer

    def _hydrate(self, value: Any, path: str, reading: Reading) -> Any:
        return value


class DecimalText(Form):
    """A Decimal as text on the wire: its digits are the model's own."""

    def __post_init__(self) -> None:
        self.plain = False

    def _write(self, value: Any) -> str:
        return str(value)

    def _read(self, answer: Any, path: str, reading: Reading) -> Any:
        readable = isinstance(answer, str) and len(answer) <= MAX_DIGITS and _NUMBER.fullmatch(answer)
        return Decimal(answer.strip()) if readable else answer


class Bound(Form):
    """A value that is chosen among the printed spans of the record; the judge reads the span."""

    def _write(self, value: Any) -> str:
        return str(value)


class Bytes(Form):
    """Bytes as base64 text."""

    def __post_init__(self) -> None:
        self.plain = False
        self.live = not self.shape.encoded
        self._urlsafe = self.shape.schema.get("contentEncoding") == "base64url"

    def _write(self, value: Any) -> str:
        encode = base64.urlsafe_b64encode if self._urlsafe else base64.b64encode
        return value if isinstance(value, str) else encode(value).decode()

    def _read(self, answer: Any, path: str, reading: Reading) -> Any:
        if isinstance(answer, str) and _unbase64(answer, self._urlsafe) is None:
            reading.complain("contentEncoding", path, "the text is not base64", answer[:80])
        return answer

    def _hydrate(self, value: Any, path: str, reading: Reading) -> Any:
        decoded = _unbase64(value, self._urlsafe) if isinstance(value, str) else None
        return value if decoded is None else decoded


def _unbase64(text: str, urlsafe: bool) -> bytes | None:
    try:
        return base64.b64decode(text, altchars=b"-_" if urlsafe else None, validate=True)
    except (binascii.Error, ValueError):
        return None


@dataclass
class Enumerated(Form):
    """One of a closed list: by its JSON value, or by its label where `labelled`."""

    labelled: bool

    def __post_init__(self) -> None:
        self.plain = not self.labelled
        self._by_label = {choice.label: choice.json for choice in self.shape.choices}
        members = [choice.python for choice in self.shape.choices]
        self.live = any(
            isinstance(choice.json, list | dict | float)
            or (self.shape.python is None and type(member) is not type(choice.json))
            for choice, member in zip(self.shape.choices, members, strict=True)
        )

    def _write(self, value: Any) -> Any:
        choice = choice_of(self.shape, value)
        return choice.label if self.labelled else choice.json

    def _read(self, answer: Any, path: str, reading: Reading) -> Any:
        return self._by_label.get(answer, answer) if isinstance(answer, str) else answer

    def _hydrate(self, value: Any, path: str, reading: Reading) -> Any:
        value = float(value) if isinstance(value, Decimal) else value
        return next((c.python for c in self.shape.choices if type(c.json) is type(value) and c.json == value), value)


def choice_of(shape: Shape, value: Any) -> Choice:
    """The choice that a Python value is. Raises ValueError."""
    for choice in shape.choices:
        if _is(choice, value):
            return choice
    for choice in shape.choices if shape.core is None else ():  # plain JSON, in which 0 is 0.0
        if choice.json == value and isinstance(choice.json, bool) == isinstance(value, bool):
            return choice
    raise ValueError(f"{value!r} is none of the enum's values")


def is_choice(shape: Shape, value: Any) -> bool:
    """Whether a Python value is one of the enum's, by its type too."""
    return any(_is(choice, value) for choice in shape.choices)


def _is(choice: Choice, value: Any) -> bool:
    return choice.python is value or (type(choice.python) is type(value) and bool(choice.python == value))


class JsonText(Form):
    """Any JSON value as its text."""

    def __post_init__(self) -> None:
        self.plain, self.live = False, True

    def _hydrate(self, value: Any, path: str, reading: Reading) -> Any:
        return with_floats(value)

    @property
    def writes_null(self) -> bool:
        return not self.shape.nullable

    def _write(self, value: Any) -> str:
        return json_text(value if isinstance(value, dict | list) else to_jsonable_python(value))

    def _read(self, answer: Any, path: str, reading: Reading) -> Any:
        if not isinstance(answer, str):
            return answer
        try:
            return parse_json(answer)
        except ParseError as error:
            reading.complain("json_text", path, f"the text is not JSON: {error}", answer[:80])
            return answer
