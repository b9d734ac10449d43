"""How a text lies on its page: lines that hold something, and what stands where in relation to what."""

from __future__ import annotations

import re
from bisect import bisect_right

from extract.evidence.support import Support

_FILLED = re.compile(r"[^\r\n]*\S[^\r\n]*")

Relation = tuple[int, int]


class Layout:
    """The lines of a text that are not blank, counted from 0."""

    def __init__(self, text: str) -> None:
        self._begins = [match.start() for match in _FILLED.finditer(text)] or [0]

    def line(self, at: int) -> int:
        """The line of a place."""
        return max(0, bisect_right(self._begins, at) - 1)

    def lines(self, span: Support) -> tuple[int, int]:
        """The first and the last line of a span."""
        return self.line(span.start), self.line(max(span.start, span.end - 1))

    def begin(self, line: int) -> int:
        """Where a line begins."""
        return self._begins[line]

    def columns(self, span: Support) -> tuple[int, int]:
        """The columns in which a span begins and ends."""
        begin = self._begins[self.line(span.start)]
        return span.start - begin, span.end - begin

    def relation(self, one: Support, other: Support) -> Relation:
        """Whether one stands on a line above (-1), on the same (0) or below (1); and whether before or behind."""
        return _sign(self.line(one.start) - self.line(other.start)), _sign(one.start - other.start)


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)
