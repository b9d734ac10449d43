"""Template and record → messages.

Templates are sandboxed Jinja2; a column that is missing is an error, never a blank.
"""

from __future__ import annotations

import codecs
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic_core import from_json

from extract.errors import InputError, PromptError
from extract.nearest import Nearest
from extract.records import Record

Message = dict[str, Any]

_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    autoescape=False,
    finalize=lambda value: "" if value is None else value,  # a null cell is no text, least of all "None"
)
_HELPERS = frozenset(_ENVIRONMENT.globals)  # range, namespace and so on, unless the source has a column of that name
_NAMES_ONLY = ImmutableSandboxedEnvironment()  # without helpers, so that such a column is seen
_NAMES_ONLY.globals.clear()
_WHOLE_RECORD = "record"  # `{{ record["Total amount"] }}` reaches columns whose names are no identifiers


@dataclass(frozen=True, slots=True)
class Example:
    """A record as it might come, and the answer that is wanted for it, in the form of the wire."""

    record: Mapping[str, Any]
    answer: Mapping[str, Any]


@dataclass(frozen=True)
class Prompt:
    """What is said to the model for each record.

    user: template over the record's columns, `{{ text }}`; a column whose name is no identifier: `{{ record["a b"] }}`.
    system: template of the system message, None for none.
    examples: few-shot examples, sent as earlier turns: `Example`s, {"record", "answer"} dicts, or a JSONL file of such.
    nearest: send only this many examples, those whose prompt text is most like the record's, the closest last;
        None sends all, in order.
    narrow: enum fields that are offered only the values which the nearest examples answer with; for long lists of
        labels. A right value that none of them has cannot be chosen then.
    media: columns that hold files; not supported yet.
    """

    user: str
    system: str | None = None
    examples: Sequence[Example | Mapping[str, Any]] | str | Path = ()
    nearest: int | None = None
    narrow: Sequence[str] = ()
    media: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        if self.nearest is not None and self.nearest < 0:
            raise PromptError(f"nearest is {self.nearest}", hint="a whole number from 0, or None for all examples")
        if self.narrow and not self.nearest:
            raise PromptError("narrow needs nearest examples", hint="say how many: nearest=8")

    @cached_property
    def _user(self) -> Any:
        return _template(self.user, "user prompt")

    @cached_property
    def _system(self) -> Any:
        return _template(self.system, "system prompt") if self.system else None

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that the templates name."""
        return tuple(sorted((self._names - _HELPERS - {_WHOLE_RECORD}) | self._subscripts))

    @cached_property
    def _trees(self) -> tuple[nodes.Template, ...]:
        _ = self._user, self._system  # compiling finds unknown filters and tests
        trees = [_NAMES_ONLY.parse(self.user), _NAMES_ONLY.parse(self.system or "")]
        if any(list(meta.find_referenced_templates(tree)) for tree in trees):
            raise PromptError("a prompt cannot include, import or extend another template")
        return tuple(trees)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(name for tree in self._trees for name in meta.find_undeclared_variables(tree))

    @cached_property
    def _subscripts(self) -> frozenset[str]:
        """The columns named as `record["…"]`."""
        if _WHOLE_RECORD not in self._names:
            return frozenset()
        found = [node for tree in self._trees for node in tree.find_all(nodes.Getitem)]
        return frozenset(
            str(node.arg.value)
            for node in found
            if isinstance(node.node, nodes.Name)
            and node.node.name == _WHOLE_RECORD
            and isinstance(node.arg, nodes.Const)
        )

    def _wanted(self, columns: Sequence[str]) -> list[str]:
        """The columns that the templates name, of a source with these columns."""
        helpers = self._names & _HELPERS & set(columns)
        found = (set(self.columns) | helpers) - (self._subscripts if _WHOLE_RECORD in columns else set())
        return sorted(found)

    def check(self, columns: Sequence[str]) -> None:
        """Refuse templates and examples that do not fit the source. Raises PromptError, InputError."""
        if self.media:
            raise PromptError("media columns are not supported yet", hint="put the document's text into a column")
        wanted = self._wanted(columns)
        for name in wanted:
            if name not in columns:
                close = get_close_matches(name, columns, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"the source has: {', '.join(columns)}"
                raise PromptError(f"the prompt uses a column {name!r} that the source has not", hint=hint)
        if not wanted and _WHOLE_RECORD not in self._names:
            raise PromptError(
                "the prompt uses no column, so every request would be the same",
                hint="name one: {{ " + (columns[0] if columns else "text") + " }}",
            )
        for number, example in enumerate(self.loaded_examples, 1):
            missing = [name for name in wanted if name not in example.record]
            if missing:
                raise PromptError(f"example {number} lacks the column {missing[0]!r} that the prompt uses")
        if self.nearest != 0:
            self._turns  # noqa: B018  # an example that cannot be rendered is an error now, not one for each record

    def text_columns(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Where the record's text stands: the columns that the prompt uses, all when it uses the whole record."""
        return tuple(name for name in self._wanted(columns) if name in columns) or tuple(columns)

    @cached_property
    def loaded_examples(self) -> tuple[Example, ...]:
        """The examples, read from their file when given as one."""
        if isinstance(self.examples, str | Path):
            return tuple(read_examples(Path(self.examples)))
        return tuple(_example(item, f"example {n}") for n, item in enumerate(self.examples, 1))

    def messages(self, record: Record) -> list[Message]:
        """System message, examples as turns, and the record's own message. Raises PromptError."""
        return self.fitted(record)[0]

    def fitted(self, record: Record) -> tuple[list[Message], list[Example]]:
        """The messages for a record, and the examples that they hold. Raises PromptError."""
        head = [{"role": "system", "content": self._rendered(self._system, record)}] if self._system else []
        user = self._rendered(self._user, record)
        chosen = self._chosen(user)
        turns = [message for index in chosen for message in self._turns[index]]
        return [*head, *turns, {"role": "user", "content": user}], [self.loaded_examples[index] for index in chosen]

    def _chosen(self, user: str) -> Sequence[int]:
        if self.nearest is None or self.nearest >= len(self._turns):
            return range(len(self._turns))
        return self._index.closest(user, self.nearest)[::-1]

    @cached_property
    def _index(self) -> Nearest:
        return Nearest([turns[0]["content"] for turns in self._turns])

    @cached_property
    def _turns(self) -> tuple[tuple[Message, Message], ...]:
        return tuple(
            (
                {"role": "user", "content": self._rendered(self._user, example.record)},
                {"role": "assistant", "content": json.dumps(example.answer, ensure_ascii=False, default=_as_json)},
            )
            for example in self.loaded_examples
        )

    def _rendered(self, template: Any, record: Mapping[str, Any]) -> str:
        values = dict(record)
        try:
            return str(template.render({_WHOLE_RECORD: values} | values))
        except (
            TemplateError,
            TypeError,
            ValueError,
            ArithmeticError,
            LookupError,
            AttributeError,
            RecursionError,
        ) as error:
            raise PromptError(f"the prompt cannot be rendered: {error}") from error


def read_examples(path: Path) -> list[Example]:
    """Examples from a JSONL file of {"record": {…}, "answer": {…}}. Raises InputError with file and line."""
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()
    except OSError as error:
        raise InputError(f"the examples cannot be read: {error.strerror}", file=str(path)) from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = from_json(line)
        except ValueError as error:
            raise InputError(f"not JSON: {error}", file=str(path), line=number) from error
        found.append(_example(item, f"{path}, line {number}"))
    return found


def _example(item: Example | Mapping[str, Any], place: str) -> Example:
    if isinstance(item, Example):
        return item
    if not isinstance(item, Mapping) or set(item) != {"record", "answer"}:
        raise PromptError(f"{place} is no example", hint='give {"record": {column: value}, "answer": {field: value}}')
    for part in ("record", "answer"):
        if not isinstance(item[part], Mapping):
            raise PromptError(f"{place}: {part!r} is no object")
    return Example(record=item["record"], answer=item["answer"])


def _as_json(value: Any) -> Any:
    """A value of an example's answer as the model should write it."""
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)


def _template(text: str, what: str) -> Any:
    try:
        return _ENVIRONMENT.from_string(text)
    except TemplateError as error:
        raise PromptError(f"the {what} is no valid template: {error}") from error
