"""Templates over a record's columns: sandboxed Jinja2, what a template names, and where files go in its text.

A column that is missing is an error, never a blank.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jinja2
from jinja2 import StrictUndefined, TemplateError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from extract.errors import PromptError

_NONCE = secrets.token_hex(16)  # marks the place of files in a rendered text; no cell can know it
PLACE = re.compile(rf"\x02{_NONCE}:(\d+)\x03")  # where files go; the number is that of their column


class _Place:
    """What a media column is in a template: a place for its files, and no text; true when there are any."""

    def __init__(self, number: int, cell: Any) -> None:
        self.mark = f"\x02{_NONCE}:{number}\x03"
        self._filled = bool(cell)

    def __bool__(self) -> bool:
        return self._filled

    def __repr__(self) -> str:
        return "a file"

    def __str__(self) -> str:
        raise TypeError("a media column can only be placed as it is: {{ column }}")


def _finalized(value: Any) -> Any:
    """What a template's expression prints: a null cell is no text, least of all "None", and bytes are none either."""
    if isinstance(value, _Place):
        return value.mark
    if isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("the column holds bytes, not text; a column of files is named in Prompt(media=[...])")
    return "" if value is None else value


_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False, finalize=_finalized
)
HELPERS = frozenset(_ENVIRONMENT.globals)  # range, namespace and so on, unless the source has a column of that name
_NAMES_ONLY = ImmutableSandboxedEnvironment()  # without helpers, so that such a column is seen
_NAMES_ONLY.globals.clear()
WHOLE_RECORD = "record"  # `{{ record["Total amount"] }}` reaches columns whose names are no identifiers


@dataclass(frozen=True)
class Template:
    """A compiled template; one of texts and columns alone is joined without Jinja, which takes ten times as long."""

    text: str
    whole: jinja2.Template
    pieces: tuple[tuple[str, str | None], ...]  # texts, and names of columns; empty: it is more than that

    @cached_property
    def _tree(self) -> nodes.Template:
        return _NAMES_ONLY.parse(self.text)

    @cached_property
    def names(self) -> frozenset[str]:
        """What it uses and does not set itself: columns, helpers, the whole record."""
        return frozenset(meta.find_undeclared_variables(self._tree))

    @cached_property
    def subscripts(self) -> frozenset[str]:
        """The columns named as `record["…"]`."""
        return frozenset(
            str(node.arg.value)
            for node in self._tree.find_all(nodes.Getitem)
            if isinstance(node.node, nodes.Name)
            and node.node.name == WHOLE_RECORD
            and isinstance(node.arg, nodes.Const)
        )

    @property
    def needs_others(self) -> bool:
        """Whether it includes, imports or extends another template."""
        return bool(list(meta.find_referenced_templates(self._tree)))

    def rendered(self, record: Mapping[str, Any], media: Sequence[str] = ()) -> str:
        """What it says of a record, with a PLACE for each of the `media` columns that it names. Raises PromptError."""
        if self.pieces and not media:
            try:
                return "".join([piece if name is None else _shown(record[name]) for piece, name in self.pieces])
            except (KeyError, TypeError):  # which Jinja tells in its words
                pass
        values = dict(record) | {name: _Place(number, record.get(name)) for number, name in enumerate(media)}
        try:
            return str(self.whole.render({WHOLE_RECORD: values} | values))
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


def template_of(text: str, what: str) -> Template:
    """A template; `what` is its name in an error. Raises PromptError."""
    try:
        return Template(text, _ENVIRONMENT.from_string(text), tuple(_pieces(_ENVIRONMENT.parse(text))))
    except TemplateError as error:
        raise PromptError(f"the {what} is no valid template: {error}") from error


def _pieces(tree: nodes.Template) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for output in tree.body:
        for node in output.nodes if isinstance(output, nodes.Output) else [output]:
            if isinstance(node, nodes.TemplateData):
                found.append((node.data, None))
            elif isinstance(node, nodes.Name) and node.name != WHOLE_RECORD:
                found.append(("", node.name))
            else:
                return []
    return found


def _shown(value: Any) -> str:
    return value if type(value) is str else str(_finalized(value))
