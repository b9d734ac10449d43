r"""Patterns as Python reads them, judged by an engine that cannot hang.

JSON Schema patterns are searched for as `re.search` does, which is also what `jsonschema` does: `$` stands before a
last newline too, `\d` and `\w` know every script. `re` itself may take exponential time on a hostile text, so the
pattern is written anew for the engine of jsonschema-rs: linear time, and where a pattern needs look-around or a
back-reference, backtracking with a limit, beyond which the text counts as no match. A pattern that Python cannot read
(`\p{Letter}`) is taken as ECMA-262, the dialect that JSON Schema names. What neither can read is a `PatternError`.

Known differences from `re`: characters younger than Python's Unicode tables, and case folding of a few rare letters.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from re import _constants as op  # type: ignore[attr-defined]  # the parser's own names
from re import _parser as parser  # type: ignore[attr-defined]  # private, but the only exact reader of Python patterns
from typing import Any

import jsonschema_rs

from extract.errors import SchemaError

MAX_PATTERN = 20_000  # characters
# steps back of one search, some 20 ms; bytes of one compiled pattern
ENGINE = jsonschema_rs.FancyRegexOptions(backtrack_limit=200_000, size_limit=30_000_000)

_PLAIN = re.compile(r"\^?(?:[\w \-/:,@#%&=!~;'\"<>]|\\[.\-/])*", re.ASCII)  # the same text in both dialects
_NESTED_SET = re.compile(r"\[\[|--|&&|~~|\|\|")  # Python warns of what these may mean one day
_CLASSES = {
    op.CATEGORY_DIGIT: (r"\p{Nd}", "0-9"),
    op.CATEGORY_WORD: (r"\p{L}\p{N}_", "A-Za-z0-9_"),
    op.CATEGORY_SPACE: (r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000", r"\t-\r\x20"),
}
_NEGATED = {
    op.CATEGORY_NOT_DIGIT: op.CATEGORY_DIGIT,
    op.CATEGORY_NOT_WORD: op.CATEGORY_WORD,
    op.CATEGORY_NOT_SPACE: op.CATEGORY_SPACE,
}
_SPECIAL = frozenset(r"^$\.*+?()[]{}|/-")


class PatternError(ValueError):
    """A pattern that the local engine cannot judge."""


def portable(pattern: str) -> str:
    """The pattern in the engine's dialect, with Python's meaning. Raises PatternError."""
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"a pattern of {len(pattern):,} characters, more than {MAX_PATTERN:,}")
    if _PLAIN.fullmatch(pattern):
        return pattern
    try:
        tree = _read(pattern)
    except RecursionError:
        raise PatternError("a pattern nested too deeply") from None
    except (re.error, OverflowError):
        return pattern  # no Python: ECMA-262 as it stands
    return _Writer(tree.state.flags).whole(tree)


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a text holds the pattern, which is in the engine's dialect. Raises PatternError."""
    try:
        engine = jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=ENGINE)
    except ValueError:
        raise PatternError("a pattern that the local engine lacks, or one too big for it") from None
    return engine.is_valid


def pattern_error(path: str, pattern: str, reason: object) -> SchemaError:
    """What to raise for a pattern of a schema that cannot be judged here."""
    return SchemaError(
        f"the pattern {pattern[:80]!r} cannot be judged here: {reason}"[:400],
        path=path,
        hint="write it without atomic groups and conditions, and shorter; or leave it to a validator or a check",
    )


def _read(pattern: str) -> Any:
    if not _NESTED_SET.search(pattern):
        return parser.parse(pattern)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return parser.parse(pattern)


class _Writer:
    """Python's parse tree as an ECMA-262 pattern; `flags` are those in force where it writes."""

    def __init__(self, flags: int) -> None:
        self.flags = flags

    def whole(self, tree: Any) -> str:
        text = self.sequence(tree, last=True)
        return f"(?i:{text})" if self.flags & re.I else text

    def sequence(self, items: Any, *, last: bool) -> str:
        """`last`: nothing of the whole pattern comes after, so `$` may take a newline with it."""
        items = list(items)
        return "".join(
            self.item(code, value, last=last and index == len(items) - 1) for index, (code, value) in enumerate(items)
        )

    def item(self, code: Any, value: Any, *, last: bool = False) -> str:  # noqa: C901  # one branch a kind
        if code is op.LITERAL:
            return _literal(value)
        if code is op.NOT_LITERAL:
            return f"[^{_literal(value)}]"
        if code is op.ANY:
            return r"[\s\S]" if self.flags & re.S else r"[^\n]"
        if code is op.IN:
            return self.set_of(value)
        if code is op.AT:
            return self.place(value, last=last)
        if code is op.BRANCH:
            return f"(?:{'|'.join(self.sequence(branch, last=last) for branch in value[1])})"
        if code is op.SUBPATTERN:
            return self.group(value, last=last)
        if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            lazy = {op.MAX_REPEAT: "", op.MIN_REPEAT: "?", op.POSSESSIVE_REPEAT: "+"}[code]
            text = self.repeated(*value)
            return text and text + lazy
        if code in (op.ASSERT, op.ASSERT_NOT):
            behind = "<" if value[0] < 0 else ""
            return f"(?{behind}{'=' if code is op.ASSERT else '!'}{self.sequence(value[1], last=False)})"
        if code is op.GROUPREF:
            return rf"(?:\{value})"
        if code is op.FAILURE:
            return r"[^\s\S]"
        raise PatternError("an atomic group or a condition on a group, which the local engine lacks")

    def set_of(self, items: list[tuple[Any, Any]]) -> str:
        negated = bool(items) and items[0][0] is op.NEGATE
        inside, outside = "", []
        for code, value in items[negated:]:
            if code is op.LITERAL:
                inside += _literal(value)
            elif code is op.RANGE:
                inside += f"{_literal(value[0])}-{_literal(value[1])}"
            elif value in _NEGATED:
                outside.append(self.category(_NEGATED[value]))
            else:
                inside += self.category(value)
        if not outside:
            return f"[{'^' * negated}{inside}]"
        if negated:  # in every class of `outside` and not in `inside`
            return (f"(?![{inside}])" if inside else "") + "".join(f"(?=[{part}])" for part in outside) + r"[\s\S]"
        return f"(?:{'|'.join([f'[{inside}]'] * bool(inside) + [f'[^{part}]' for part in outside])})"

    def category(self, name: Any) -> str:
        return _CLASSES[name][bool(self.flags & re.A)]

    def place(self, where: Any, *, last: bool) -> str:
        many = self.flags & re.M
        if where in (op.AT_BEGINNING, op.AT_BEGINNING_STRING):
            return r"(?<![^\n])" if many and where is op.AT_BEGINNING else "^"
        if where is op.AT_END_STRING:
            return "$"
        if where is op.AT_END:
            return r"(?![^\n])" if many else r"\n?$" if last else r"(?=\n?$)"
        word = self.category(op.CATEGORY_WORD)
        if where is op.AT_BOUNDARY:
            return f"(?:(?<=[{word}])(?![{word}])|(?<![{word}])(?=[{word}]))"
        return rf"(?:(?<=[{word}])(?=[{word}])|(?<![{word}])(?![{word}])(?!^$))"  # none in an empty text, says Python

    def group(self, value: Any, *, last: bool) -> str:
        number, added, removed, inner = value
        before, self.flags = self.flags, (self.flags | added) & ~removed
        text = self.sequence(inner, last=last)
        self.flags = before
        if added & re.I:
            text = f"(?i:{text})"
        if removed & re.I:
            text = f"(?-i:{text})"
        return f"(?:{text})" if number is None else f"({text})"

    def repeated(self, least: int, most: Any, inner: Iterable[Any]) -> str:
        text = self.sequence(inner, last=False)
        return text and f"(?:{text}){{{least},{'' if most == op.MAXREPEAT else most}}}"


def _literal(code: int) -> str:
    if 0xD800 <= code <= 0xDFFF:
        raise PatternError("half of a surrogate pair in a pattern")
    sign = chr(code)
    if sign in _SPECIAL:
        return f"\\{sign}"
    return sign if code > 0x20 and code != 0x7F else f"\\x{code:02x}"
