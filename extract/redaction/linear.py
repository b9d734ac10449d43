"""A user's regular expression, searched by RE2: in time that is linear in the text, whatever the pattern."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from extract.errors import ConfigError

Spans = Callable[[str], Iterator[tuple[int, int]]]

_SURROGATES = re.compile("[\ud800-\udfff]")
_MARKS = [chr(code) for code in range(0xF0000, 0xF0100)]  # no text uses all of them
_FEW = 20  # values that are best looked for one by one
_AT_ONCE = 400  # values in one pattern
_HINT = (
    "RE2 reads it: no look-around, no back-references; \\d, \\w and \\b are of ASCII, \\p{L} and \\p{N} of all scripts"
)


def searcher(pattern: str, what: str) -> Spans:
    """What finds where the pattern matches. Raises ConfigError for one that RE2 cannot read, or that matches "" too."""

    def spans(text: str) -> Iterator[tuple[int, int]]:
        text = _SURROGATES.sub("?", text)
        marks = (mark for mark in _MARKS if mark not in text)
        first, last = next(marks), next(marks)
        marked = pc.replace_substring_regex(pa.scalar(text), pattern=pattern, replacement=f"{first}\\0{last}").as_py()
        place = 0  # in the text
        for number, piece in enumerate(re.split(f"[{first}{last}]", marked)):
            if number % 2 and piece:
                yield place, place + len(piece)
            place += len(piece)

    try:
        empty = pc.match_substring_regex(pa.scalar(""), pattern=pattern).as_py()
        list(spans(""))
    except pa.ArrowInvalid as error:
        reason = str(error).removeprefix("Invalid regular expression: ")
        raise ConfigError(f"{what}: {pattern[:80]!r} cannot be searched for: {reason[:200]}", hint=_HINT) from None
    if empty:
        raise ConfigError(
            f"{what}: {pattern[:80]!r} matches an empty text too", hint="it would mask nothing everywhere"
        )
    return spans


def occurrences(values: Sequence[str], text: str) -> Iterator[tuple[int, int]]:
    """Where any of these values stands, in no order; of those that begin at one place the first."""
    if len(values) > _FEW:
        for first in range(0, len(values), _AT_ONCE):
            pattern = "|".join(map(re.escape, values[first : first + _AT_ONCE]))
            yield from searcher(_SURROGATES.sub("[?]", pattern), "values")(text)
        return
    for value in values:
        start = text.find(value)
        while start >= 0:
            yield start, start + len(value)
            start = text.find(value, start + len(value))
