"""When a call may begin, and whether its failure counts: wraps a sender."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from extract.config import Retry
from extract.control import Cancelled, Verdict
from extract.errors import APIError, ErrorClass, RunStopped, let_go
from extract.gate import Gate
from extract.media import MediaError
from extract.records import ChatRequest, Completion, Sender
from extract.turns import Turn, Wish

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
    return _Limited(send, gate, on_parked).ask


class HeldBack(Exception):  # noqa: N818  # no error: the call is made later
    """A call was about to be made when a server had just asked for a pause."""


@runtime_checkable
class AsksAgain(Protocol):
    """A sender that calls this when it has connected, and sends nothing when that raises."""

    before_sending: Callable[[], None]


def held_back(send: Sender, gate: Gate) -> Sender:
    """The innermost sender: raises HeldBack for a call whose turn was given before a refusal was heard.

    What stands between the turn and the call may take its time, to read a file for instance, or to connect.
    """

    def refuse() -> None:
        if gate.is_resting:
            raise HeldBack

    async def sender(request: ChatRequest) -> Completion:
        refuse()
        return await send(request)

    if isinstance(send, AsksAgain):
        send.before_sending = refuse
    return sender


class _Limited:
    def __init__(self, send: Sender, gate: Gate, on_parked: OnParked) -> None:
        self._send, self._gate, self._on_parked = send, gate, on_parked
        self._alone: dict[str, _Refusals] = {}  # of requests that were refused, unlike others, and come again

    async def ask(self, request: ChatRequest) -> Completion:
        refused = self._alone.pop(request.hash, None)
        is_retry = request.attempt > 1 and refused is None
        asking = _Asking(request, self._gate.retry, refused or _Refusals())
        while True:
            turn = await self._gate.take(Wish.of(request, is_retry=is_retry))
            asking.waited += turn.waited
            if self._gate.is_resting:  # the turn was given in the same pass of the loop in which a refusal came
                self._gate.unsent(turn)
                continue
            asking.begin(turn, self._gate)
            try:
                completion = await self._call(request, turn)
            except HeldBack:
                asking.take_back(turn)
            except APIError as error:
                await self._park(asking, error, turn)
                # refused for its rate, it goes behind the others: if it is its own fault, it holds nobody up
                is_retry = is_retry and error.kind is not ErrorClass.RATE
            else:
                return completion if asking.calls <= completion.attempts else replace(completion, attempts=asking.calls)

    async def _call(self, request: ChatRequest, turn: Turn) -> Completion:
        """The answer. The turn has ended then, and whenever it raises, but with an APIError."""
        try:
            completion = await self._send(request)
        except APIError:
            raise
        except (HeldBack, MediaError):
            self._gate.unsent(turn)
            raise
        except BaseException:  # cancelled, or a fault of our own: the permit is given back in any case
            self._gate.end(turn, Cancelled())
            raise
        self._gate.answered(turn, completion)
        return completion

    async def _park(self, asking: _Asking, error: APIError, turn: Turn) -> None:
        """End the turn. Raises the error where it is one of the record's attempts."""
        request = asking.request
        try:
            counts = await asking.counts(error, turn, self._gate)
        except RunStopped:  # the run ends with this call, which was made all the same
            self._on_parked(request, error)
            raise
        if counts:
            if error.kind is ErrorClass.RATE and request.attempt < self._gate.retry.max_attempts:
                self._alone[request.hash] = asking.refused
            raise error
        self._on_parked(request, error)
        self._gate.refuse_long_outage(error)
        let_go(error)


@dataclass
class _Refusals:
    """Of one request, for its rate."""

    first: float = math.inf  # when
    served: int = 0  # calls of others until the last one


@dataclass
class _Asking:
    """What one request has met so far, and so whether a failure is one of its attempts."""

    request: ChatRequest
    policy: Retry
    refused: _Refusals
    calls: int = 0
    waited: float = 0.0  # for its turns
    _looks: int = 0  # calls of it that looked whether an outage is over
    _spared: int = 0  # times that its last attempt was none, for it fell into an outage

    def begin(self, turn: Turn, gate: Gate) -> None:
        self.calls += 1
        self._looks += turn.ticket.probe
        if math.isinf(self.refused.first):
            self.refused.served = gate.served

    def take_back(self, turn: Turn) -> None:
        """The call was not made."""
        self.calls -= 1
        self._looks -= turn.ticket.probe

    async def counts(self, error: APIError, turn: Turn, gate: Gate) -> bool:
        """End the call; whether its failure is the request's own, and one of its attempts."""
        error.waited = self.waited
        if error.kind is ErrorClass.RATE:
            return await self._refused_alone(error, turn, gate)
        is_last = self.request.attempt >= self.policy.max_attempts and self._spared < self.policy.max_attempts
        if await gate.failed(turn, error, is_last=is_last) is Verdict.COUNT:
            return True
        self._spared += is_last
        return bool(self._looks) and gate.is_tail and self.request.attempt + self._looks >= self.policy.max_attempts

    async def _refused_alone(self, error: APIError, turn: Turn, gate: Gate) -> bool:
        """Others were served between two of its refusals; or it was refused for so long that it is enough."""
        refused, now = self.refused, gate.now()
        is_alone = refused.first < now and gate.served > refused.served
        refused.first, refused.served = min(refused.first, now), gate.served
        if is_alone:
            gate.refused_alone(turn, error)
            return True
        await gate.failed(turn, error)
        if now - refused.first <= self.policy.max_seconds:
            return False
        gate.refuse_long_outage(error)
        return True
