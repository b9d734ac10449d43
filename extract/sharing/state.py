"""What stands in the file: what all have used, one controller, and a place for each process."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

from extract import control
from extract.config import Limits
from extract.control import Controller, LoadRules
from extract.errors import RunStopped
from extract.records import Usage
from extract.sharing import places
from extract.sharing.places import CAPS, STATED, Place

_SAID = {
    "max_requests": "{:.0f} requests made",
    "max_cost_usd": "{:.4f} USD spent",
    "max_total_tokens": "{:.0f} tokens used",
}


@dataclass(frozen=True, slots=True)
class Amount:
    """What a call uses, and what that costs."""

    usage: Usage = Usage()
    usd: float = 0.0


@dataclass(slots=True)
class Totals:
    """What all have used since the file was made."""

    requests: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    usd: float = 0.0
    answers: float = 0.0
    last: float = 0.0  # when this was written
    members: float = 0.0  # grows when a process comes or goes

    def add(self, used: Amount) -> None:
        self.input_tokens += used.usage.input_tokens
        self.output_tokens += used.usage.output_tokens
        self.usd += used.usd


_TOTALS = len(Totals.__slots__)


class State:
    """All of it, as one process knows it in its turn."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.totals = Totals()
        self.places: list[Place] = []
        self.control = Controller(LoadRules(), now)
        self.stated: dict[str, float] = {}  # the smallest of what the processes state
        self._outage_timeout = limits.outage_timeout  # each has its own
        self._members = -1.0  # whose limits the rules are made from

    def take(self, numbers: array[float]) -> None:
        """Know what another process knew. Raises ValueError for what none has written."""
        try:
            of_control, of_places = int(numbers[_TOTALS]), int(numbers[_TOTALS + 1])
            at = _TOTALS + 2
            control.learn(self.control, numbers[at : at + of_control])
        except (IndexError, OverflowError) as error:
            raise ValueError(str(error)) from error
        rest = numbers[at + of_control :]
        if len(rest) != of_places * places.SIZE or math.isnan(sum(numbers[:_TOTALS]) + sum(rest)):
            raise ValueError("the numbers are not all there")
        self.totals = Totals(*numbers[:_TOTALS])
        self.places = [Place(*rest[start : start + places.SIZE]) for start in range(0, len(rest), places.SIZE)]
        if not all(place.is_sound for place in self.places):
            raise ValueError("no process is like that")
        self._count()

    def numbers(self) -> array[float]:
        learned = control.numbers_of(self.control)
        totals = [getattr(self.totals, name) for name in Totals.__slots__]
        return array("d", (*totals, len(learned), len(self.places), *learned, *places.numbers_of(self.places)))

    def _count(self) -> None:
        self.control.in_flight = int(sum([place.in_flight for place in self.places]))

    def place(self, number: float) -> Place | None:
        return next((place for place in self.places if place.number == number), None)

    def forget(self, now: float) -> None:
        """What was learned of the endpoint."""
        self.control = Controller(self.control.rules, now)
        self._count()

    def add(self, place: Place) -> None:
        place.turns = min((other.turns for other in self.places), default=0.0)
        self.places.append(place)
        self.totals.members += 1

    def remove(self, place: Place, now: float) -> None:
        """Its process has ended: so have its calls in flight, which may be billed."""
        self.control.abandoned(int(place.in_flight), now, probe=bool(place.looks))
        self.totals.input_tokens += place.held_input
        self.totals.output_tokens += place.held_output
        self.totals.usd += place.held_usd
        self.totals.members += 1
        self.places.remove(place)

    def heed_rules(self, now: float) -> bool:
        """The smallest of what is stated holds; whether somebody has come or gone since it was last asked."""
        if self._members == self.totals.members:
            return False
        self._members = self.totals.members
        found = self.stated = {name: self._least(name) for name in STATED}
        rules = LoadRules(
            concurrency=int(found["concurrency"]),
            adaptive=any(place.adaptive for place in self.places),
            requests_per_minute=_limit(found["requests_per_minute"]),
            tokens_per_minute=_limit(found["tokens_per_minute"]),
            outage_timeout=self._outage_timeout,
            max_retry_after=self._least("max_retry_after"),
        )
        if rules != self.control.rules:
            knew = control.numbers_of(self.control)
            self.control = Controller(rules, now)
            control.learn(self.control, knew)
            self._count()
        return True

    def _least(self, name: str) -> float:
        return min([float(getattr(place, name)) for place in self.places])

    def has_room(self, likely: Amount, path: object) -> bool:
        """Whether such a call may begin below the caps of all. Raises RunStopped at one."""
        caps = {name: cap for name in CAPS if (cap := self.stated[name]) < math.inf}
        if not caps:
            return True
        totals = self.totals
        tokens = totals.input_tokens + totals.output_tokens
        used = {"max_requests": totals.requests, "max_cost_usd": totals.usd, "max_total_tokens": tokens}
        for name, cap in caps.items():
            if used[name] >= cap:
                raise RunStopped(
                    f"{_SAID[name].format(used[name])} by all that share {path}, the cap of them all",
                    code=f"budget.{name}",
                    hint=f"raise limits.{name}, or remove the file when no run uses it",
                )
        if not self.control.in_flight:
            return True
        used["max_requests"] += 1
        used["max_cost_usd"] += sum([place.held_usd for place in self.places]) + likely.usd
        held = sum([place.held_input + place.held_output for place in self.places])
        used["max_total_tokens"] += held + likely.usage.total
        return all(used[name] <= cap for name, cap in caps.items())


def _limit(value: float) -> float | None:
    return None if math.isinf(value) else value
