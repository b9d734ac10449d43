"""What a run, and each record of it, may still spend: held back before each call, settled after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from extract.config import Limits, Model
from extract.errors import APIError, RunStopped
from extract.prices import cost_of
from extract.records import ChatRequest, Completion, Sender, Usage
from extract.requests import estimated_tokens

_SAID = {
    "max_requests": "{:.0f} requests made",
    "max_cost_usd": "{:.4f} USD spent",
    "max_total_tokens": "{:.0f} tokens used",
    "max_seconds": "{:.0f} seconds passed",
}
HEED = 8  # answers after which their mean counts, in place of the most that a call may use
SURELY = 0.25  # of the input tokens that are guessed from a request's size: hardly any text gets by with fewer


@dataclass
class Habit:
    """What calls use, as the answers so far tell; before there are some, the most that a call may use."""

    model: Model
    answers: int = 0  # that say what they used
    guessed: int = 0  # input tokens guessed for them
    found: Usage = Usage()  # and what they said

    def add(self, guessed: int, used: Usage) -> None:
        self.answers += 1
        self.guessed += guessed
        self.found += used

    def likely(self, guessed: int) -> Usage:
        """What a call will use whose request looks like `guessed` input tokens."""
        if self.answers < HEED:
            return Usage(guessed, self.model.max_tokens)
        found, scale = self.found, guessed / max(1, self.guessed)
        return Usage(
            round(found.input_tokens * scale),
            round(found.output_tokens / self.answers),
            round(found.cached_tokens * scale),
            round(found.thinking_tokens / self.answers),
        )


@dataclass(frozen=True, slots=True)
class Hold:
    """What one call in flight will likely use."""

    usage: Usage
    guessed: int  # input tokens as they were guessed from the size of the request
    tier: str = ""  # the model that is asked, where it is not the run's first


_NOTHING = Hold(Usage(), 0)


class Budget:
    """The caps of one run, in calls, tokens, US dollars and seconds.

    A call holds back what it will likely use; its answer settles that. Beside others in flight it begins only when all
    of them fit below the caps, and alone as long as no cap is reached: one call at most passes a cap, by what it costs.
    """

    def __init__(self, limits: Limits, model: Model, others: Mapping[str, Model] | None = None) -> None:
        """`others`: models of the run besides the first, by name."""
        self._caps = {name: cap for name in _SAID if (cap := getattr(limits, name)) is not None}
        self._counts = bool(self._caps or limits.tokens_per_minute)  # else nobody asks what a call will use
        self._models = {"": model, **(others or {})}
        self._begun: float | None = None  # when the first call was
        self._held: dict[str, Usage] = {}  # by model
        self._spent: dict[str, Usage] = {}
        self._in_flight = 0
        self._habit = Habit(model)
        self.requests = 0

    @property
    def spent(self) -> Usage:
        return sum(self._spent.values(), Usage())

    def has_room(self, guessed: int, now: float, tier: str = "") -> bool:
        """Whether a call may begin; when not, one in flight has to end first. Raises RunStopped at a cap."""
        self._begun = now if self._begun is None else self._begun
        if not self._caps:
            return True
        used = self._used(now, self._spent)
        for name, cap in self._caps.items():
            if used[name] >= cap:
                said = _SAID[name].format(used[name])
                raise RunStopped(f"{said}, the cap of this run", code=f"budget.{name}", hint=f"raise limits.{name}")
        if not self._in_flight:
            return True
        used = self._used(now, self._spent, self._held, {tier: self.likely(guessed)})
        return all(used[name] <= cap for name, cap in self._caps.items())

    def hold(self, guessed: int, tier: str = "") -> Hold:
        """A call begins, whose request looks like `guessed` input tokens."""
        if not self._counts:
            return _NOTHING
        found = Hold(self.likely(guessed), guessed, tier)
        self._held[tier] = self._held.get(tier, _NOTHING.usage) + found.usage
        self._in_flight += 1
        self.requests += 1
        return found

    def answered(self, hold: Hold, used: Usage) -> None:
        """An answer says what it used; where it says nothing, what was held counts."""
        if not self._counts:
            return
        if used == Usage():
            self.lost(hold)
            return
        self._habit.add(hold.guessed, used)
        self._settle(hold, used)

    def lost(self, hold: Hold) -> None:
        """No answer came in time: it may have been billed, and counts as if it was."""
        self._settle(hold, hold.usage)

    def refused(self, hold: Hold) -> None:
        """The endpoint answered with an error, and bills nothing."""
        self._settle(hold, Usage())

    def _settle(self, hold: Hold, used: Usage) -> None:
        if not self._counts:
            return
        self._held[hold.tier] -= hold.usage
        self._in_flight -= 1
        self._spent[hold.tier] = self._spent.get(hold.tier, _NOTHING.usage) + used

    def likely(self, guessed: int) -> Usage:
        """What a call will use, where that matters: as the answers so far tell, before there are some at most."""
        return self._habit.likely(guessed) if self._counts else _NOTHING.usage

    def _used(self, now: float, *accounts: Mapping[str, Usage]) -> dict[str, float]:
        """What is used of each cap, by all these accounts together."""
        usage = {tier: sum((each.get(tier, Usage()) for each in accounts), Usage()) for tier in self._models}
        return {
            "max_requests": self.requests,
            "max_cost_usd": sum(cost_of(self._models[tier], each) or 0.0 for tier, each in usage.items()),
            "max_total_tokens": sum(each.total for each in usage.values()),
            "max_seconds": now - (self._begun or now),
        }


class RecordCapReached(Exception):  # noqa: N818  # it says what became of a record
    """A record has cost as much as one may; carries what it has cost, in US dollars."""

    def __init__(self, spent: float, cap: float) -> None:
        super().__init__(
            f"its calls have cost {spent:.6f} USD, and the next would pass limits.max_cost_usd_per_record ({cap:g})"
        )
        self.spent = spent


@dataclass
class RecordBudget:
    """What each record may cost in one run: all calls for it, of tools, retries, parts and relaxed schemas together.

    A call begins as long as its record has not cost the cap, and its input alone would surely not pass it. So a record
    passes the cap by what the calls for it in flight cost, at most. A call without an answer that may be billed counts
    with what it likely used. An answer that was paid is kept, whatever it cost.
    """

    cap: float
    model: Model
    others: Mapping[str, Model] = field(default_factory=dict)  # by name, as requests name them

    def __post_init__(self) -> None:
        self._habit = Habit(self.model)

    def refuse(self, request: ChatRequest) -> None:
        """Raises RecordCapReached for a call that is not to be made."""
        if request.spent is None:
            return
        spent = request.spent.usd
        least = self._cost(request, Usage(int(estimated_tokens(request) * SURELY)))
        if spent >= self.cap or spent + least > self.cap:
            raise RecordCapReached(spent, self.cap)

    def metered(self, send: Sender) -> Sender:
        """A sender whose calls are on the account of their records."""

        async def sender(request: ChatRequest) -> Completion:
            guessed = estimated_tokens(request)
            try:
                completion = await send(request)
            except APIError as error:
                if error.may_be_billed:
                    self._charge(request, self._habit.likely(guessed))
                raise
            if completion.usage.total:
                self._habit.add(guessed, completion.usage)
            self._charge(request, completion.usage if completion.usage.total else self._habit.likely(guessed))
            return completion

        return sender

    def _charge(self, request: ChatRequest, used: Usage) -> None:
        if request.spent is not None:
            request.spent.usd += self._cost(request, used)

    def _cost(self, request: ChatRequest, usage: Usage) -> float:
        return cost_of(self.others.get(request.tier, self.model), usage) or 0.0
