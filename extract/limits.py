"""When a call may begin, and whether its failure counts: the load controller and the budget around a sender."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from extract.budget import Budget, Hold
from extract.config import Limits, Model, Retry
from extract.control import Answered, Cancelled, Controller, End, Limited, LoadRules, Refused, Ticket, Troubled, Verdict
from extract.errors import APIError, ErrorClass, RunStopped
from extract.media import MediaError
from extract.records import ChatRequest, Completion, Sender
from extract.requests import estimated_tokens
from extract.stop import Stop

FIRST_PATIENCE = 60.0  # seconds of an outage before anything was answered: then it is the address, not a passing fault

OnParked = Callable[[ChatRequest, APIError], None]


def with_limits(
    send: Sender,
    limits: Limits,
    model: Model,
    stop: Stop,
    *,
    retry: Retry | None = None,
    refuse: Callable[[ChatRequest], None] = lambda request: None,
    on_parked: OnParked = lambda request, error: None,
) -> Sender:
    """A sender that begins each call when the endpoint, the limits and the caps of the run let it.

    `retry` bounds for how long a server may ask for a pause, and for how long one request may be refused for its rate.

    A call that fails for what is not its record's fault, an outage or a rate that was too high, is made again here, as
    often as it takes, and `on_parked` hears of it; any other error is raised, with the time that the call waited.
    `refuse` raises for a request that is not to be made any more: it hears of each that has got its turn, and what it
    refuses counts for nothing.

    Raises RunStopped when a cap is reached or an outage takes too long, and for all that wait once `stop` is requested.
    """
    policy = retry or Retry()
    gates: list[_Gate] = []  # made in the loop, whose clock it uses

    def gate() -> _Gate:
        if not gates:
            rules = LoadRules(
                concurrency=limits.concurrency,
                adaptive=limits.adaptive,
                requests_per_minute=limits.requests_per_minute,
                tokens_per_minute=limits.tokens_per_minute,
                outage_timeout=limits.outage_timeout,
                max_retry_after=policy.max_retry_after,
            )
            gates.append(_Gate(rules, Budget(limits, model), stop, refuse))
        return gates[0]

    async def sender(request: ChatRequest) -> Completion:
        turns, asking = gate(), _Asking(request, policy)
        while True:
            # one that was parked goes behind the others: if it is its own fault, it holds nobody up
            turn = await turns.take(_Wish(request, estimated_tokens(request), request.attempt > 1))
            asking.begin(turn, turns)
            try:
                completion = await send(request)
            except APIError as error:
                if asking.counts(error, turn, turns):
                    raise
                on_parked(request, error)
                turns.refuse_long_outage(error)
            except MediaError:
                turns.unsent(turn)
                raise
            except BaseException:
                turns.end(turn, Cancelled())
                raise
            else:
                turns.answered(turn, completion)
                return completion if asking.calls <= completion.attempts else replace(completion, attempts=asking.calls)

    return sender


@dataclass(frozen=True, slots=True)
class _Wish:
    """A request that waits for its turn."""

    request: ChatRequest
    guessed: int  # input tokens
    is_retry: bool


@dataclass(frozen=True, slots=True)
class _Turn:
    """A call that may begin, or has."""

    ticket: Ticket
    hold: Hold
    waited: float = 0.0  # seconds for it


@dataclass
class _Asking:
    """What one request has met so far, and so whether a failure is one of its attempts."""

    request: ChatRequest
    policy: Retry
    calls: int = 0
    _waited: float = 0.0  # for its turns
    _looks: int = 0  # calls of it that looked whether an outage is over
    _refused: float = math.inf  # for its rate, the first time
    _served: int = 0  # calls of others until its last refusal

    def begin(self, turn: _Turn, gate: _Gate) -> None:
        self.calls += 1
        self._waited += turn.waited
        self._looks += turn.ticket.probe
        if math.isinf(self._refused):
            self._served = gate.served

    def counts(self, error: APIError, turn: _Turn, gate: _Gate) -> bool:
        """End the call; whether its failure is the request's own, and one of its attempts."""
        error.waited = self._waited
        if error.kind is ErrorClass.RATE:
            return self._refused_alone(error, turn, gate)
        if gate.failed(turn, error) is Verdict.COUNT:
            return True
        return bool(self._looks) and gate.is_tail and self.request.attempt + self._looks >= self.policy.max_attempts

    def _refused_alone(self, error: APIError, turn: _Turn, gate: _Gate) -> bool:
        """Others were served between two of its refusals; or it was refused for so long that it is enough."""
        is_first, now = math.isinf(self._refused), gate.now()
        self._refused = min(self._refused, now)
        is_alone, self._served = not is_first and gate.served > self._served, gate.served
        if is_alone:
            gate.end(turn, Refused())  # it says nothing of the rate of the others
            return True
        gate.failed(turn, error)
        if now - self._refused <= self.policy.max_seconds:
            return False
        gate.refuse_long_outage(error)
        return True


class _Gate:
    """Lets waiting calls begin, each kind in order, as the controller and the budget say."""

    def __init__(self, rules: LoadRules, budget: Budget, stop: Stop, refuse: Callable[[ChatRequest], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._control = Controller(rules, self.now())
        self._budget = budget
        self._stop = stop
        self._refuse = refuse
        self._retries: deque[tuple[_Wish, asyncio.Future[_Turn]]] = deque()
        self._firsts: deque[tuple[_Wish, asyncio.Future[_Turn]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.served = 0  # calls that the endpoint answered
        stop.then(self._pump)

    def now(self) -> float:
        return self._loop.time()

    async def take(self, wish: _Wish) -> _Turn:
        """A turn, at once where that may be. Raises what stops the run, or what refuses the request."""
        if not self._retries and not self._firsts and self._wait(wish) <= 0:
            return self._begin(wish)
        turn: asyncio.Future[_Turn] = self._loop.create_future()
        asked = self.now()
        (self._retries if wish.is_retry else self._firsts).append((wish, turn))
        self._pump()
        try:
            begun = await turn
            return replace(begun, waited=begun.ticket.start - asked)
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # given in the moment in which the waiting was given up
                self.end(turn.result(), Cancelled())
            raise

    def answered(self, turn: _Turn, completion: Completion) -> None:
        usage = completion.usage
        self._budget.answered(turn.hold, usage)
        self.served += 1
        self._end(turn, Answered(usage.total or None))

    def failed(self, turn: _Turn, error: APIError) -> Verdict:
        """The call came back with an error; whether that is one of the record's attempts."""
        (self._budget.lost if error.may_be_billed else self._budget.refused)(turn.hold)
        return self._end(turn, _end_of(error))

    def end(self, turn: _Turn, end: End) -> None:
        (self._budget.lost if isinstance(end, Cancelled) else self._budget.refused)(turn.hold)
        self._end(turn, end)

    def unsent(self, turn: _Turn) -> None:
        """The call was not made after all."""
        self._budget.refused(turn.hold)
        self._end(turn, Cancelled())

    @property
    def is_tail(self) -> bool:
        """Whether some calls were answered, and only such as failed before are left.

        Then it is not known whether there is an outage or whether these records are at fault: looks count as attempts.
        """
        return self.served > 0 and not self._firsts

    def refuse_long_outage(self, error: APIError) -> None:
        """Raises RunStopped when the endpoint has served nothing for too long."""
        seconds = self._control.outage_seconds(self.now())
        patience = self._control.rules.outage_timeout
        if seconds > (patience if self.served else min(patience, FIRST_PATIENCE)):
            raise RunStopped(
                f"no answer for {seconds:.0f} seconds: {error.message}",
                hint=error.hint or "run the same command again when the endpoint is well",
            ) from error

    def _end(self, turn: _Turn, end: End) -> Verdict:
        verdict = self._control.finished(turn.ticket, self.now(), end)
        if self._retries or self._firsts:
            self._loop.call_soon(self._pump)  # first the caller hears of it, and may change its mind about the others
        return verdict

    def _wait(self, wish: _Wish) -> float:
        """Seconds until this call may begin, as far as is known now. Raises RunStopped at a cap."""
        if self._stop.requested:
            raise RunStopped("stopped")
        self._refuse(wish.request)
        now = self.now()
        if not self._budget.has_room(wish.guessed, now):
            return math.inf
        return self._control.may_start(now, self._budget.likely(wish.guessed).total, retry=wish.is_retry)

    def _begin(self, wish: _Wish) -> _Turn:
        hold = self._budget.hold(wish.guessed)
        return _Turn(self._control.started(self.now(), hold.usage.total, retry=wish.is_retry), hold)

    def _pump(self) -> None:
        """Let begin what may; the rest waits for a call to end, or for the timer."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        soonest = math.inf
        for queue in (self._retries, self._firsts):
            wait = 0.0
            while queue and wait <= 0:
                wait = self._serve(queue)
            soonest = min(soonest, wait or math.inf)
        if math.isfinite(soonest):
            self._timer = self._loop.call_later(soonest, self._pump)

    def _serve(self, queue: deque[tuple[_Wish, asyncio.Future[_Turn]]]) -> float:
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


def _end_of(error: APIError) -> End:
    if error.kind is ErrorClass.RATE:
        return Limited(error.retry_after)
    return Troubled(error.code or "") if error.kind is ErrorClass.TRANSIENT else Refused()
