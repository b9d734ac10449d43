"""Refusals that have nothing to do with the pace: gateways pass on those of upstreams which others overload."""

from __future__ import annotations

NOISE_REFUSALS = 3  # in a row,
NOISE_FALL = 0.985  # each at less than this part of the pace before,
NOISE_DEPTH = 0.7  # and the last below this part of the first: a limit refuses near itself
NOISE_SHARE = 0.12  # of late calls refused, at most: a limit that fell refuses half of them and more
NOISE_MEMORY = 64  # calls that this share looks back
NOISE_DOUBLE, NOISE_MORE, NOISE_MOST = 2.0, 0.03, 0.15  # share above which it is the pace again


class Noise:
    """Tells refusals that come whatever the pace is from those of a limit.

    They go on at the same share of calls however slow the pace has become; a pace that heeded them would come to
    nothing.
    """

    def __init__(self) -> None:
        self._share = 0.0  # of late calls that were refused
        self._most = 0.0  # share up to which it is noise; 0.0: it is not
        self._fastest = self._last = 0.0  # paces that were refused
        self._falls = 0  # refusals in a row, each at a slower pace than the one before

    @property
    def is_tolerated(self) -> bool:
        return self._most > 0

    def end(self, refused: bool) -> None:
        self._share += (refused - self._share) / NOISE_MEMORY
        if self._most and self._share > self._most:
            self._most = self._fastest = 0.0

    def fell(self, at: float) -> bool:
        """A call was refused at this pace; whether that was one too many to come from it."""
        if at > NOISE_FALL * self._last or self._share > NOISE_SHARE:
            self._fastest, self._falls = at, 0
        else:
            self._falls += 1
        self._last = at
        if self._falls < NOISE_REFUSALS or at > NOISE_DEPTH * self._fastest:
            return False
        self._most = min(NOISE_MOST, NOISE_DOUBLE * self._share + NOISE_MORE)
        self._fastest = 0.0
        return True
