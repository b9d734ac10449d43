"""A process among those that share their limits: what it asks of the one controller, and what it tells it."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from extract.config import Limits, Model
from extract.control import Answered, Controller, End, Ticket, Verdict, bound
from extract.disk import told
from extract.errors import ConfigError, RunStopped
from extract.sharing import turns
from extract.sharing.file import LimitsFile
from extract.sharing.places import MOST, Place
from extract.sharing.state import Amount, State

logger = logging.getLogger("extract.limits")

LOOK = 0.5  # seconds to look whether the others live
OLD = 600.0  # seconds without a call, after which what was learned of the endpoint is forgotten
JOIN, LEAVE = 10.0, 1.0  # seconds to wait for a turn,
HELD_UP = 60.0  # and during the run, where nothing else has to wait for it
LEEWAY = 60.0  # seconds that all may wait besides what a server asks for: spread, grace, looks in an outage
_NAP, _LONGEST_NAP = 0.001, 0.05  # seconds until the next try


@dataclass(frozen=True, slots=True)
class _Ended:
    """A call of this process that the others do not know of yet."""

    ticket: Ticket
    held: Amount
    used: Amount
    end: End
    verdict: asyncio.Future[Verdict] | None


@contextmanager
def joined(
    path: Path,
    limits: Limits,
    model: Model,
    max_retry_after: float,
    clock: Callable[[], float] | None = None,
    others: Iterable[Model] = (),
) -> Iterator[Shared]:
    """Share these limits with all that name this file, until the end. `others`: models besides the first.

    Raises ConfigError.
    """
    shared = Shared(path, limits, (model, *others), max_retry_after, clock or _clock())
    try:
        yield shared
    finally:
        shared.leave()


class Shared:
    """One process's part. What asks for a turn belongs between `turn` and `end_turn`."""

    def __init__(
        self, path: Path, limits: Limits, models: Iterable[Model], max_retry_after: float, clock: Callable[[], float]
    ) -> None:
        self.clock = clock
        self._path = path
        self._knows_prices = all(model.cost_usd(1, 1) is not None for model in models)
        self._state = State(limits, clock())
        self._number = 0  # of the change that is known
        self._ended: list[_Ended] = []
        self._is_changed = self._is_left = False
        self._look_at = 0.0
        self._held_up: float | None = None  # since then it was not this process's turn
        self._said: dict[str, float] = {}
        self._place = Place(0.0)
        self._place.state(limits, max_retry_after)
        self._file = LimitsFile(path)
        try:
            self._wait_for_turn(JOIN)
            try:
                self._join()
            finally:
                self._file.end_turn()
        except BaseException as error:  # whatever it is, the file is not kept open for it
            self._file.close()
            if isinstance(error, OSError):
                raise self._file.wrong(error.strerror or str(error)) from error
            raise

    def _wait_for_turn(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._file.try_turn():
            if time.monotonic() > until:
                raise self._file.wrong("another process holds it and does not let go")
            time.sleep(_NAP)

    def _join(self) -> None:
        now, ours, state = self.clock(), _whose_clock(), self._state
        theirs = self._file.begin(ours)
        self._catch_up()
        others = [place for place in state.places if self._file.is_taken(int(place.number))]
        if theirs != ours and others:
            raise self._file.wrong("it is in use on another machine, or with a clock of its own")
        if theirs != ours or state.totals.last > now + 1:  # from before the machine was started
            state.places = []
            state.forget(now)
            self._file.set_clock(ours)
        self._bury(now)
        if not others and now > state.totals.last + OLD:
            state.forget(now)
        elif not others:
            state.control.alone_again(now)
        self._place.number = float(self._free_place())
        state.add(self._place)
        self._heed_rules(now)
        self._write(now)

    def _free_place(self) -> int:
        number = next((each for each in range(1, MOST + 1) if self._file.take_place(each)), None)
        if number is None:
            raise self._file.wrong(f"{MOST} processes use it already")
        return number

    def leave(self) -> None:
        """What ended is told, and this process is no more among them."""
        if self._is_left:
            return
        try:
            with suppress(ConfigError, RunStopped, OSError):  # then the others find out by themselves
                self._wait_for_turn(LEAVE)
                self._file.end_turn()
                if self.turn():
                    self._state.remove(self._place, self.clock())
                    self._is_changed = True
                    self.end_turn()
        finally:
            self._is_left = True
            self._file.close()

    # a turn

    def turn(self) -> bool:
        """Whether it is this process's turn. Then all is known that the others did. Raises RunStopped, DiskPause."""
        if self._is_left:
            raise RunStopped("the run has ended")
        try:
            if not self._file.try_turn():
                self._note_held_up()
                return False
            self._held_up = None
            try:
                self._read()
            except BaseException:  # whatever it is, the others go on
                self._file.end_turn()
                raise
            return True
        except ConfigError as error:  # which it was not when this began
            raise RunStopped(error.message, hint=error.hint) from error
        except OSError as error:
            raise told(error, self._path) from error

    def end_turn(self) -> None:
        """Let the others know. Raises DiskPause."""
        try:
            if self._is_changed:
                self._write(self.clock())
        except OSError as error:
            raise told(error, self._path) from error
        finally:
            self._file.end_turn()

    @property
    def again(self) -> float:
        """Seconds until the next try, when it was not this process's turn."""
        return min(_LONGEST_NAP, _NAP + (self.clock() - (self._held_up or self.clock())) / 4)

    def _note_held_up(self) -> None:
        now = self.clock()
        self._held_up = now if self._held_up is None else self._held_up
        if now - self._held_up > HELD_UP:
            raise RunStopped(f"{self._path}: another process holds it and does not let go")

    def _read(self) -> None:
        if self._catch_up():
            mine = self._state.place(self._place.number)
            if mine is None:
                raise self._file.wrong("somebody has made it anew")
            self._place = mine
        now = self.clock()
        if now >= self._look_at:
            self._look_at = now + LOOK
            if not self._file.is_in_place():
                raise self._file.wrong("it was removed or replaced")
            self._bury(now)
        self._heed_rules(now)
        self._settle(now)

    def _catch_up(self) -> bool:
        """Whether there was a change since."""
        number = self._file.number()
        if number == self._number:
            return False
        try:
            self._state.take(self._file.read(number))
        except ValueError as error:
            raise self._file.wrong("it is damaged") from error
        bound(self._state.control, self.clock(), self._place.max_retry_after + LEEWAY)
        self._number = number
        return True

    def _write(self, now: float) -> None:
        self._state.totals.last = now
        self._file.write(self._number + 1, self._state.numbers())
        self._number += 1
        self._is_changed = False

    def _bury(self, now: float) -> None:
        """Processes that ended without leaving."""
        for place in list(self._state.places):
            if place is not self._place and not self._file.is_taken(int(place.number)):
                self._state.remove(place, now)
                self._is_changed = True

    def _heed_rules(self, now: float) -> None:
        """The smallest of what is stated holds, and it is said. Raises ConfigError for a cap that cannot be kept."""
        if not self._state.heed_rules(now):
            return
        if self._state.stated["max_cost_usd"] < math.inf and not self._knows_prices:
            raise ConfigError(
                f"{self._path}: another process caps the cost, and this one knows no prices",
                hint="set model.input_usd_per_million and model.output_usd_per_million, of each model",
            )
        for name, value in self._state.stated.items():
            own = getattr(self._place, name)
            if value < own and self._said.get(name) != value:
                instead = "no limit" if own == math.inf else f"the {own:g}"
                logger.warning(
                    "%s: another process states limits.%s=%g; that holds, and not %s here",
                    *(self._path, name, value, instead),
                )
        self._said = self._state.stated

    # calls

    @property
    def control(self) -> Controller:
        """As it was in the last turn."""
        return self._state.control

    @property
    def was_served(self) -> bool:
        """Whether the endpoint has ever answered any of them."""
        return self._state.totals.answers > 0

    def has_room(self, likely: Amount) -> bool:
        """In a turn: whether a call may begin below the caps of all. Raises RunStopped at one."""
        return self._state.has_room(likely, self._path)

    def wait(self, tokens: float, *, retry: bool) -> float:
        """In a turn: as Controller.may_start, and longer where it is the turn of another."""
        return turns.wait(self._state, self._place, self.clock(), tokens, retry=retry)

    def note_waiting(self, calls: int, seconds: float) -> float:
        """In a turn: so many calls wait for so long as far as is known; the seconds until the next look."""
        self._is_changed = self._is_changed or bool(calls or self._place.waiting)
        return turns.note_waiting(self._state, self._place, self.clock(), calls, seconds)

    def begin(self, held: Amount, *, retry: bool) -> Ticket:
        """In a turn: a call begins."""
        ticket = self.control.started(self.clock(), held.usage.total, retry=retry)
        self._place.in_flight += 1
        self._place.looks += ticket.probe
        self._place.turns += 1
        self._hold(held, 1)
        self._state.totals.requests += 1
        self._is_changed = True
        return ticket

    def end(self, ticket: Ticket, held: Amount, used: Amount, end: End) -> None:
        """A call has ended; heard of in the next turn."""
        self._ended.append(_Ended(ticket, held, used, end, None))

    def verdict(self, ticket: Ticket, held: Amount, used: Amount, end: End) -> asyncio.Future[Verdict]:
        """As `end`, and what it means for its record."""
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._ended.append(_Ended(ticket, held, used, end, verdict))
        return verdict

    def give_up(self, error: Exception) -> None:
        """There will be no more turn: who waits for a verdict hears why."""
        for ended in self._ended:
            if ended.verdict is not None and not ended.verdict.done():
                ended.verdict.set_exception(error)
        self._ended.clear()

    def _settle(self, now: float) -> None:
        for ended in self._ended:
            verdict = self.control.finished(ended.ticket, now, ended.end)
            self._place.in_flight -= 1
            self._place.looks = max(0.0, self._place.looks - ended.ticket.probe)
            self._hold(ended.held, -1)
            self._state.totals.add(ended.used)
            self._state.totals.answers += isinstance(ended.end, Answered)
            self._is_changed = True
            if ended.verdict is not None and not ended.verdict.done():
                ended.verdict.set_result(verdict)
        self._ended.clear()

    def _hold(self, held: Amount, sign: int) -> None:
        self._place.held_input += sign * held.usage.input_tokens
        self._place.held_output += sign * held.usage.output_tokens
        self._place.held_usd += sign * held.usd


def _clock() -> Callable[[], float]:
    """The same for all processes, and no clock on the wall: it never steps, and goes on while the machine sleeps."""
    which = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return lambda: time.clock_gettime(which)


def _whose_clock() -> bytes:
    """Names the time since which that clock counts: the start of the machine, and a container's own count."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()[:36]
    except OSError:
        boot = b""
    try:
        count = os.readlink("/proc/self/ns/time").encode()[:27]
    except OSError:
        count = b""
    return boot + b" " + count
