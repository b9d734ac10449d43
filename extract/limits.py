"""When a call may begin, and whether its failure counts: wraps a sender."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from extract.config import Retry
from extract.control import Cancelled, Refused, Verdict
from extract.errors import APIError, ErrorClass, RunStopped
from extract.gate import Gate, Turn, Wish
from extract.media import MediaError
from extract.records import ChatRequest, Completion, Sender

OnParked = Callable[[ChatRequest, APIError], None]


def with_limits(
    send: Sender,
    gate: Gate,
    *,
    refuse: Callable[[ChatRequest], None] = lambda request: None,
    on_parked: OnParked = lambda request, error: None,
) -> Sender:
    """A sender each of whose calls has its turn at the gate.

    A call that fails for what is not its record's fault, an outage or a rate that was too high, is made again here, as
    often as it takes, and `on_parked` hears of it; any other error is raised, with the time that the call waited.
    `refuse` raises for a request that is not to be made any more: it hears of each that has got its turn, and what it
    refuses counts for nothing.

    Raises RunStopped when a cap is reached or an outage takes too long, and for all that wait once the run is to stop.
    """
    gate.refuse = refuse

    async def sender(request: ChatRequest) -> Completion:
        asking = _Asking(request, gate.retry)
        while True:
            # one that was parked goes behind the others: if it is its own fault, it holds nobody up
            turn = await gate.take(Wish.of(request, is_retry=request.attempt > 1))
            if gate.is_overtaken(turn):  # it was given in the same pass of the loop in which a refusal came
                asking.waited += turn.waited
                gate.unsent(turn)
                continue
            asking.begin(turn, gate)
            try:
                completion = await send(request)
            except APIError as error:
                try:
                    counts = await asking.counts(error, turn, gate)
                except RunStopped:  # the run ends with this call, which was made all the same
                    on_parked(request, error)
                    raise
                if counts:
                    raise
                on_parked(request, error)
                gate.refuse_long_outage(error)
            except MediaError:
                gate.unsent(turn)
                raise
            except BaseException:  # cancelled, or a fault of our own: the permit is given back in any case
                gate.end(turn, Cancelled())
                raise
            else:
                gate.answered(turn, completion)
                return completion if asking.calls <= completion.attempts else replace(completion, attempts=asking.calls)

    return sender


@dataclass
class _Asking:
    """What one request has met so far, and so whether a failure is one of its attempts."""

    request: ChatRequest
    policy: Retry
    calls: int = 0
    waited: float = 0.0  # for its turns
    _looks: int = 0  # calls of it that looked whether an outage is over
    _refused: float = math.inf  # for its rate, the first time
    _served: int = 0  # calls of others until its last refusal

    def begin(self, turn: Turn, gate: Gate) -> None:
        self.calls += 1
        self.waited += turn.waited
        self._looks += turn.ticket.probe
        if math.isinf(self._refused):
            self._served = gate.served

    async def counts(self, error: APIError, turn: Turn, gate: Gate) -> bool:
        """End the call; whether its failure is the request's own, and one of its attempts."""
        error.waited = self.waited
        if error.kind is ErrorClass.RATE:
            return await self._refused_alone(error, turn, gate)
        if await gate.failed(turn, error) is Verdict.COUNT:
            return True
        return bool(self._looks) and gate.is_tail and self.request.attempt + self._looks >= self.policy.max_attempts

    async def _refused_alone(self, error: APIError, turn: Turn, gate: Gate) -> bool:
        """Others were served between two of its refusals; or it was refused for so long that it is enough."""
        is_first, now = math.isinf(self._refused), gate.now()
        self._refused = min(self._refused, now)
        is_alone, self._served = not is_first and gate.served > self._served, gate.served
        if is_alone:
            gate.end(turn, Refused())  # it says nothing of the rate of the others
            return True
        await gate.failed(turn, error)
        if now - self._refused <= self.policy.max_seconds:
            return False
        gate.refuse_long_outage(error)
        return True
