"""Templates over a record's columns: sandboxed Jinja2, what a template names, and where files go in its text.

A column that is missing is an error, never a blank.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import jinja2
from jinja2 import StrictUndefined, TemplateError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from extract.errors import PromptError
from extract.untrusted import fenced

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


def _between_lines(value: Any, before: str, after: str) -> Any:
    """What an expression prints, as data that is told from the prompt; numbers and dates can say nothing that harms."""
    plain = isinstance(value, str) and not value.strip()
    if plain or value is None or isinstance(value, (_Place, StrictUndefined, bytes, bytearray, memoryview, *_FIGURES)):
        return value
    return f"{before}{fenced(str(value))}{after}"


def _finalized(value: Any) -> Any:
    """What a template's expression prints: a null cell is no text, least of all "None", and bytes are none either."""
    if isinstance(value, _Place):
        return value.mark
    if isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("the column holds bytes, not text; a column of files is named in Prompt(media=[...])")
    return "" if value is None else value


_FIGURES = (int, float, Decimal, dt.date, dt.time, dt.timedelta)
_FENCE = "extract.fence"  # no name that a template could use
_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False, finalize=_finalized
)
_ENVIRONMENT.filters[_FENCE] = _between_lines
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


def template_of(text: str, what: str, untrusted: bool | Collection[str] = False) -> Template:
    """A template; `what` is its name in an error. Raises PromptError.

    What the `untrusted` columns, or all, print stands between lines of its own.
    """
    try:
        if untrusted:
            return Template(text, _with_fences(text, untrusted), ())
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


def _with_fences(text: str, untrusted: bool | Collection[str]) -> jinja2.Template:
    """The template with lines around whatever an expression prints that reads a column of these.

    A name that the template sets itself may hold any of them.
    """
    tree = _ENVIRONMENT.parse(text)
    columns = meta.find_undeclared_variables(_NAMES_ONLY.parse(text))
    trusted = frozenset() if untrusted is True else columns - frozenset(untrusted or ()) - {WHOLE_RECORD}
    first = tree.body[0] if tree.body else None
    for output in tree.find_all(nodes.Output):
        pieces = output.nodes
        for place, node in enumerate(pieces):
            names = {each.name for each in (node, *node.find_all(nodes.Name)) if isinstance(each, nodes.Name)}
            if not names - trusted:
                continue
            before = _text_of(pieces[place - 1]) if place else "\n" if output is first else ""
            after = _text_of(pieces[place + 1]) if place + 1 < len(pieces) else ""
            ends = ["" if before.endswith("\n") else "\n", "" if after.startswith("\n") else "\n"]
            if output is tree.body[-1] and place + 1 == len(pieces):
                ends[1] = ""
            around: list[nodes.Expr] = [nodes.Const(each) for each in ends]
            fence = nodes.Filter(node, _FENCE, around, [], None, None)
            fence.set_lineno(node.lineno)
            pieces[place] = fence.set_environment(_ENVIRONMENT)  # type: ignore[call-overload]
    code = _ENVIRONMENT.compile(tree)
    return jinja2.Template.from_code(_ENVIRONMENT, code, _ENVIRONMENT.make_globals(None))


def _text_of(node: nodes.Node) -> str:
    return node.data if isinstance(node, nodes.TemplateData) else ""


def _shown(value: Any) -> str:
    return value if type(value) is str else str(_finalized(value))
