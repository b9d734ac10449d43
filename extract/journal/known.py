"""Which requests may have an answer, so that most that have none are not looked up in the file."""

from __future__ import annotations

from collections.abc import Iterable

BITS = 24  # of a place: 2 MB, in which a million names leave one wrong guess in four hundred
PROBES = 4  # places for each name

_PLACES = (1 << BITS) - 1


class Known:
    """A Bloom filter of names: what it does not have was never added; what it has probably was.

    B. H. Bloom, Space/time trade-offs in hash coding with allowable errors, 1970.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._bits = bytearray(1 << (BITS - 3))
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        bits, place, step = self._bits, *_start(name)
        for _ in range(PROBES):
            bits[place >> 3] |= 1 << (place & 7)
            place = (place + step) & _PLACES

    def __contains__(self, name: str) -> bool:
        bits, place, step = self._bits, *_start(name)
        for _ in range(PROBES):
            if not bits[place >> 3] >> (place & 7) & 1:
                return False
            place = (place + step) & _PLACES
        return True


def _start(name: str) -> tuple[int, int]:
    """The first place of a name and the way to the next: two halves of Python's hash, which is good for one process."""
    mixed = hash(name)
    return mixed & _PLACES, (mixed >> 32) & _PLACES | 1
