"""Where calls wait for their turn: each kind in order, as the controller, the budget and other processes say."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from extract.budget import Budget
from extract.config import Limits, Model, Retry
from extract.control import (
    Answered,
    Cancelled,
    Controller,
    End,
    Limited,
    LoadRules,
    Refused,
    Suspects,
    Troubled,
    Verdict,
)
from extract.errors import APIError, ErrorClass, ExtractError, RunStopped
from extract.prices import cost_of
from extract.records import ChatRequest, Completion, Usage
from extract.sharing import Amount, Shared
from extract.stop import Stop
from extract.turns import Turn, Wish

FIRST_PATIENCE = 60.0  # seconds of an outage before anything was answered: then it is the address, not a passing fault
SOON = 2e-6  # seconds: a turn may come this much before the end of a pause

_NOTHING = Usage()


class NoRoomError(Exception):
    """There is none for a call that need not be made."""


@dataclass(eq=False, slots=True)
class _Suspect:
    """A failure that may turn out to be the outage's; `verdict` is there where its record has to know."""

    error: APIError
    verdict: asyncio.Future[Verdict] | None = field(default=None)

    def clear(self, *, of_outage: bool) -> None:
        self.error.of_outage = of_outage
        self.decide(Verdict.PARK if of_outage else Verdict.COUNT)

    def decide(self, verdict: Verdict) -> None:
        if self.verdict is not None and not self.verdict.done():
            self.verdict.set_result(verdict)


class Gate:
    """Lets waiting calls begin. It is made in the loop that it is used in."""

    def __init__(
        self,
        limits: Limits,
        model: Model,
        stop: Stop,
        *,
        retry: Retry | None = None,
        shared: Shared | None = None,
        others: Mapping[str, Model] | None = None,
    ) -> None:
        """`others`: models of the run besides the first, by the name that their requests bear."""
        self.retry = retry or Retry()  # for how long a server may ask for a pause, and one request be refused alone
        self.refuse: Callable[[ChatRequest], None] = lambda request: None
        self._loop = asyncio.get_running_loop()
        self._clock = shared.clock if shared else _clock_of(self._loop)
        self._patience = limits.outage_timeout
        self._shared = shared
        self._control = shared.control if shared else Controller(_rules(limits, self.retry), self.now())
        self._budget = (Budget if shared is None else _Counting)(limits, model, others)
        self._models = {"": model, **(others or {})}
        self._stop = stop
        self._retries: deque[tuple[Wish, asyncio.Future[Turn]]] = deque()
        self._spares: deque[tuple[Wish, asyncio.Future[Turn]]] = deque()
        self._firsts: deque[tuple[Wish, asyncio.Future[Turn]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_soon = False  # the pump is to run once the loop comes round
        self._rest_until = -math.inf  # the server asked for so long
        self._suspects = Suspects[_Suspect]()
        self._in_flight = 0  # calls of this process
        self.served = 0  # calls that the endpoint answered
        stop.then(self._pump)

    def now(self) -> float:
        return self._clock()

    async def take(self, wish: Wish) -> Turn:
        """A turn, at once where that may be. Raises what stops the run, or what refuses the request."""
        is_first = not (self._retries or self._spares or self._firsts)
        if is_first and self._shared is None and self._wait(wish) <= 0:
            return self._begin(wish)
        turn: asyncio.Future[Turn] = self._loop.create_future()
        asked = self.now()
        (self._retries if wish.is_retry else self._spares if wish.is_spare else self._firsts).append((wish, turn))
        if self._shared is None:
            self._pump()
        else:
            self._soon()
        try:
            begun = await turn
            return replace(begun, waited=begun.ticket.start - asked)
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and not turn.exception():  # given just when it was given up
                self.unsent(turn.result())
            raise

    @property
    def is_resting(self) -> bool:
        """Whether a server has asked for a pause that has not ended: a turn that was given before is not to be used."""
        return self.now() < self._rest_until - SOON

    async def spare(self, request: ChatRequest) -> Spare:
        """A turn for a second call of a request. Raises NoRoomError unless all is well, or what stops the run."""
        return Spare(self, await self.take(Wish.of(request, is_spare=True)))

    def answered(self, turn: Turn, completion: Completion) -> None:
        usage = completion.usage
        self._budget.answered(turn.hold, usage)
        self.served += 1
        self._end(turn, Answered(usage.total or None), usage if usage != _NOTHING else turn.hold.usage)

    async def failed(self, turn: Turn, error: APIError, *, is_last: bool = False) -> Verdict:
        """The call came back with an error; whether that is one of the record's attempts.

        Where it is one as far as is known, and an outage opens over it, the error is marked as `of_outage` then. With
        `is_last` there is no answer until that is known, since it would be the end of the record.
        """
        (self._budget.lost if error.may_be_billed else self._budget.refused)(turn.hold)
        if error.kind is ErrorClass.RATE:
            self._heed(error)
        end, used = _end_of(error), turn.hold.usage if error.may_be_billed else _NOTHING
        if self._shared is None:
            verdict = self._finished(turn, end)
        else:
            tier, hold = turn.hold.tier, turn.hold
            asked = self._shared.verdict(turn.ticket, self._amount(hold.usage, tier), self._amount(used, tier), end)
            self._in_flight -= 1
            self._soon()
            verdict = await asked
        if verdict is Verdict.COUNT and isinstance(end, Troubled):
            return await self._suspected(error, is_last)
        return verdict

    def refused_alone(self, turn: Turn, error: APIError) -> None:
        """The call was refused for its rate, and others are not: it says nothing of their rate, but has them pause."""
        self._heed(error)
        self.end(turn, Refused(error.retry_after))

    def _heed(self, error: APIError) -> None:
        if error.retry_after:
            pause = min(error.retry_after, self.retry.max_retry_after)
            self._rest_until = max(self._rest_until, self.now() + pause)

    async def _suspected(self, error: APIError, is_last: bool) -> Verdict:
        suspect = _Suspect(error)
        self._suspects.add(self.now(), suspect)
        if not is_last:
            self._review()
            return Verdict.COUNT
        suspect.verdict, asked = self._loop.create_future(), self.now()
        self._review()
        found = await suspect.verdict
        error.waited += self.now() - asked
        return found

    def _review(self) -> None:
        """Who failed in an outage, and who by itself? Where nothing is at work any more, nobody is kept waiting."""
        if not self._suspects:
            return
        control = self._shared.control if self._shared else self._control
        for suspect, of_outage in self._suspects.known(control):
            suspect.clear(of_outage=of_outage and not self.is_tail)
        if not (self._in_flight or self._waiting):
            for suspect in self._suspects:
                suspect.decide(Verdict.COUNT)

    def end(self, turn: Turn, end: End) -> None:
        is_lost = isinstance(end, Cancelled)
        (self._budget.lost if is_lost else self._budget.refused)(turn.hold)
        self._end(turn, end, turn.hold.usage if is_lost else _NOTHING)

    def unsent(self, turn: Turn) -> None:
        """The call was not made after all."""
        self._budget.refused(turn.hold)
        self._end(turn, Cancelled(is_unsent=True), _NOTHING)

    @property
    def is_tail(self) -> bool:
        """Whether some calls were answered, and only such as failed before are left.

        Then it is not known whether there is an outage or whether these records are at fault: looks count as attempts.
        """
        return self.served > 0 and not self._firsts

    def refuse_long_outage(self, error: APIError) -> None:
        """Raises RunStopped when the endpoint has served nothing for too long."""
        control = self._shared.control if self._shared else self._control
        was_served = self.served or (self._shared is not None and self._shared.was_served)
        seconds = control.outage_seconds(self.now())
        if seconds > (self._patience if was_served else min(self._patience, FIRST_PATIENCE)):
            raise RunStopped(
                f"no answer for {seconds:.0f} seconds: {error.message}",
                code="outage",
                hint=error.hint or "run the same command again when the endpoint is well",
            ) from error

    def _end(self, turn: Turn, end: End, used: Usage) -> None:
        if self._shared is None:
            self._finished(turn, end)
            return
        tier, hold = turn.hold.tier, turn.hold
        self._in_flight -= 1
        self._shared.end(turn.ticket, self._amount(hold.usage, tier), self._amount(used, tier), end)
        self._soon()

    def _finished(self, turn: Turn, end: End) -> Verdict:
        verdict = self._control.finished(turn.ticket, self.now(), end)
        self._in_flight -= 1
        self._review()
        if self._retries or self._spares or self._firsts:
            self._loop.call_soon(self._pump)  # first the caller hears of it, and may change its mind about the others
        return verdict

    @property
    def _waiting(self) -> int:
        return len(self._retries) + len(self._spares) + len(self._firsts)

    def _wait(self, wish: Wish) -> float:
        """Seconds until this call may begin, as far as is known now. Raises RunStopped at a cap."""
        if self._stop.requested:
            raise RunStopped("stopped")
        self.refuse(wish.request)
        now = self.now()
        if wish.is_spare and not (self._shared.control if self._shared else self._control).is_calm(now):
            raise NoRoomError
        if not self._budget.has_room(wish.guessed, now, wish.request.tier):
            return math.inf
        likely = self._budget.likely(wish.guessed)
        if self._shared is None:
            return self._control.may_start(now, likely.total, retry=wish.is_retry)
        if not self._shared.has_room(self._amount(likely, wish.request.tier)):
            return math.inf
        return self._shared.wait(likely.total, retry=wish.is_retry)

    def _begin(self, wish: Wish) -> Turn:
        hold = self._budget.hold(wish.guessed, wish.request.tier)
        if self._shared is not None:
            ticket = self._shared.begin(self._amount(hold.usage, hold.tier), retry=wish.is_retry)
        else:
            ticket = self._control.started(self.now(), hold.usage.total, retry=wish.is_retry)
        self._in_flight += 1
        return Turn(ticket, hold)

    def _amount(self, usage: Usage, tier: str) -> Amount:
        return Amount(usage, cost_of(self._models[tier], usage) or 0.0)

    def _soon(self) -> None:
        """One turn among processes for all that happens in one round of the loop."""
        if not self._is_soon:
            self._is_soon = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Let begin what may; the rest waits for a call to end, or for the timer."""
        self._is_soon = False
        if self._timer:
            self._timer.cancel()
            self._timer = None
        soonest = self._serve_all() if self._shared is None else self._serve_in_turn(self._shared)
        if math.isfinite(soonest):
            self._timer = self._loop.call_later(soonest, self._pump)
        self._review()

    def _serve_all(self) -> float:
        soonest = math.inf
        for queue in (self._retries, self._spares, self._firsts):
            wait = 0.0
            while queue and wait <= 0:
                wait = self._serve(queue)
            soonest = min(soonest, wait or math.inf)
        return soonest

    def _serve_in_turn(self, shared: Shared) -> float:
        """As `_serve_all`, once no other process does the same."""
        try:
            if not shared.turn():
                return shared.again
            try:
                soonest = self._serve_all()
                return shared.note_waiting(self._waiting, soonest)
            finally:
                shared.end_turn()
        except ExtractError as error:
            self._give_up(shared, error)
            return math.inf

    def _give_up(self, shared: Shared, error: ExtractError) -> None:
        """There will be no turn any more."""
        shared.give_up(error)
        for queue in (self._retries, self._spares, self._firsts):
            while queue:
                _, turn = queue.popleft()
                if not turn.done():
                    turn.set_exception(error)

    def _serve(self, queue: deque[tuple[Wish, asyncio.Future[Turn]]]) -> float:
        """Let the first of a queue begin, if it may; else the seconds that it has to wait."""
        wish, turn = queue[0]
        if turn.done():  # it was cancelled
            queue.popleft()
            return 0.0
        try:
            wait = self._wait(wish)
            found = self._begin(wish) if wait <= 0 else None
        except Exception as error:  # of the caps, or of `refuse`: that call's own
            queue.popleft()
            turn.set_exception(error)
            return 0.0
        if found:
            queue.popleft()
            turn.set_result(found)
        return wait


class Spare:
    """The turn of a second call. Each ends once."""

    def __init__(self, gate: Gate, turn: Turn) -> None:
        self._gate, self._turn = gate, turn

    @property
    def is_resting(self) -> bool:
        """Whether it is not to be used after all."""
        return self._gate.is_resting

    def answered(self, completion: Completion) -> None:
        self._gate.answered(self._turn, completion)

    async def failed(self, error: APIError) -> None:
        await self._gate.failed(self._turn, error)

    def lost(self) -> None:
        """It was sent, and nobody waited for the answer: it may be billed."""
        self._gate.end(self._turn, Cancelled())

    def unsent(self) -> None:
        self._gate.unsent(self._turn)


class _Counting(Budget):
    """Knows what calls will likely use even without caps of its own: others may have some."""

    def __init__(self, limits: Limits, model: Model, others: Mapping[str, Model] | None = None) -> None:
        super().__init__(limits, model, others)
        self._counts = True


def _rules(limits: Limits, retry: Retry) -> LoadRules:
    return LoadRules(
        concurrency=limits.concurrency,
        adaptive=limits.adaptive,
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        outage_timeout=limits.outage_timeout,
        max_retry_after=retry.max_retry_after,
    )


def _end_of(error: APIError) -> End:
    if error.kind is ErrorClass.RATE:
        return Limited(error.retry_after)
    return Troubled(error.code or "") if error.kind is ErrorClass.TRANSIENT else Refused()


def _clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The loop's own, unless that has whole milliseconds: by that a pause would end up to one too early."""
    return time.monotonic if type(loop).__module__.partition(".")[0] == "uvloop" else loop.time
