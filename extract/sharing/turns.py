"""Whose turn it is: every process gets its share, as long as it wants it and is there to take it."""

from __future__ import annotations

import math

from extract.control import AFTER_ANOTHER, Controller
from extract.sharing.places import Place, share
from extract.sharing.state import State

ALIVE = 1.0  # seconds since one has said that it waits; with more it is busy, and nobody waits for it
LATE = 0.005  # seconds that one may be late for its turn: half of what the pace makes up for
LAG = 0.05  # seconds at the pace of all that one may be ahead of others, at least one call
YIELD, YIELD_TOKENS = 0.25, 30.0  # seconds to wait for another's turn; for a call of many tokens is saved up
POLL = 0.01  # seconds for each process, to look whether a call of another has ended
POLL_MOST = 0.2  # seconds; so long a pause that has become shorter may go unheard


def wait(state: State, mine: Place, now: float, tokens: float, *, retry: bool) -> float:
    """As Controller.may_start, and longer where it is the turn of another."""
    found = state.control.may_start(now, tokens, retry=retry)
    if math.isinf(found) or len(state.places) == 1:
        return found
    others = [place for place in state.places if place is not mine]
    rivals = [place for place in others if _waits(place, now)]
    if not rivals:
        return found
    most = state.control.most_in_flight(now)
    wants = [place.in_flight + place.waiting * _waits(place, now) for place in others]
    if mine.in_flight >= share([*wants, mine.in_flight + max(1.0, mine.waiting)], most):
        return AFTER_ANOTHER
    return max(found, _others_first(state.control, mine, rivals, now, tokens, most))


def _others_first(control: Controller, mine: Place, rivals: list[Place], now: float, tokens: float, most: int) -> float:
    """Seconds for those to have their turn that had fewer."""
    rate = control.rate(now, tokens)
    if math.isinf(rate) and most > len(rivals):
        return 0.0  # there is room for all
    ahead = max(1.0, LAG * rate) if math.isfinite(rate) else 1.0
    longest = YIELD_TOKENS if control.rules.tokens_per_minute else YIELD
    due = [min(rival.due, now + longest) for rival in rivals if mine.turns - rival.turns >= ahead]
    return max(0.0, max(due) + LATE - now) if due else 0.0


def note_waiting(state: State, mine: Place, now: float, calls: int, seconds: float) -> float:
    """So many calls wait for so long as far as is known; the seconds until the next look."""
    if not calls:
        mine.waiting = 0.0
        return math.inf
    if not mine.waiting:  # it had nothing to do: that is not saved up
        mine.turns = max(mine.turns, min((place.turns for place in state.places if _waits(place, now)), default=0.0))
    poll = min(POLL_MOST, POLL * len(state.places)) if math.isinf(seconds) and len(state.places) > 1 else POLL_MOST
    mine.waiting, mine.seen = float(calls), now
    mine.due = now + (seconds if math.isfinite(seconds) else poll)
    return min(seconds, poll)


def _waits(place: Place, now: float) -> bool:
    return place.waiting > 0 and now - place.seen < ALIVE
