"""When a model repeats itself for ever: seen while it still writes, since every token of the loop is paid for.

A loop is a tail of the text with one period of at most PERIOD characters. How long it must be is set by what honest
answers hold:

- of white space alone, 2,000 characters: layout copied from a page has hundreds of blanks, not thousands;
- without any of JSON's signs (so within one number or one string), 4,000 characters: rules of dashes, dots that
  lead to a page number and padded identifiers stay below;
- with them, 8,000 characters and 500 times: a list of 200 equal numbers is honest, and so is a table of 2,500 zeros
  (`0, ` is three characters) or of 499 equal rows of any size.

A loop that changes a little each time (a counter) is none here; max_tokens ends it. Texts of different items have no
period at all.
"""

from __future__ import annotations

PERIOD = 512  # characters of what is repeated, at most
REPEATS = 500
WHITE, SCALAR, ITEMS = 2_000, 4_000, 8_000  # characters of a loop
_STEP = 1_024  # characters between two looks
_WINDOW = PERIOD * REPEATS  # characters that are kept, enough for every limit
_SIGNS = frozenset('",:[]{}')


class LoopGuard:
    """Told of a text piece by piece; `add` says whether its end has become a loop."""

    def __init__(self) -> None:
        self._tail = ""
        self._pieces: list[str] = []
        self._waiting = 0

    def add(self, piece: str) -> bool:
        self._pieces.append(piece)
        self._waiting += len(piece)
        if self._waiting < _STEP:
            return False
        self._tail = (self._tail + "".join(self._pieces))[-_WINDOW:]
        self._pieces, self._waiting = [], 0
        return is_loop(self._tail)


def is_loop(text: str) -> bool:
    """Whether this text ends in a loop."""
    if len(text) < WHITE:
        return False
    end = text[-WHITE:]
    if end.isspace():
        return True
    period = _period(end)
    if not period:
        return False
    limit = ITEMS if _SIGNS & set(text[-period:]) else SCALAR
    needed = max(limit, period * REPEATS) if limit == ITEMS else limit
    tail = text[-needed:]
    return len(tail) == needed and tail[period:] == tail[:-period]


def _period(end: str) -> int:
    """The smallest period of this end of a text, 0 when there is none of at most PERIOD.

    Twice PERIOD characters recur first at the distance of the smallest period. Searched from behind by turning the text
    round, since Python's search forward is linear in the worst case, and the one backward is not.
    """
    turned = end[: -(3 * PERIOD) - 1 : -1]
    return max(0, turned.find(turned[: 2 * PERIOD], 1))
