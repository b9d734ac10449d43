"""What a run may still spend: held back before each call, settled after it."""

from __future__ import annotations

from dataclasses import dataclass

from extract.config import Limits, Model
from extract.errors import RunStopped
from extract.records import Usage

_SAID = {
    "max_requests": "{:.0f} requests made",
    "max_cost_usd": "{:.4f} USD spent",
    "max_total_tokens": "{:.0f} tokens used",
    "max_seconds": "{:.0f} seconds passed",
}
HEED = 8  # answers after which their mean counts, in place of the most that a call may use


@dataclass(frozen=True, slots=True)
class Hold:
    """What one call in flight will likely use."""

    usage: Usage
    guessed: int  # input tokens as they were guessed from the size of the request


_NOTHING = Hold(Usage(), 0)


class Budget:
    """The caps of one run, in calls, tokens, US dollars and seconds.

    A call holds back what it will likely use; its answer settles that. Beside others in flight it begins only when all
    of them fit below the caps, and alone as long as no cap is reached: one call at most passes a cap, by what it costs.
    """

    def __init__(self, limits: Limits, model: Model) -> None:
        self._caps = {name: cap for name in _SAID if (cap := getattr(limits, name)) is not None}
        self._counts = bool(self._caps or limits.tokens_per_minute)  # else nobody asks what a call will use
        self._model = model
        self._begun: float | None = None  # when the first call was
        self._held = Usage()
        self._in_flight = 0
        self._answers = 0  # that say what they used
        self._guessed = 0  # input tokens guessed for them
        self._found = Usage()  # and what they said
        self.requests = 0
        self.spent = Usage()

    def has_room(self, guessed: int, now: float) -> bool:
        """Whether a call may begin; when not, one in flight has to end first. Raises RunStopped at a cap."""
        self._begun = now if self._begun is None else self._begun
        if not self._caps:
            return True
        used = self._used(self.spent, now)
        for name, cap in self._caps.items():
            if used[name] >= cap:
                said = _SAID[name].format(used[name])
                raise RunStopped(f"{said}, the cap of this run", hint=f"raise limits.{name}")
        if not self._in_flight:
            return True
        used = self._used(self.spent + self._held + self.likely(guessed), now)
        return all(used[name] <= cap for name, cap in self._caps.items())

    def hold(self, guessed: int) -> Hold:
        """A call begins, whose request looks like `guessed` input tokens."""
        if not self._counts:
            return _NOTHING
        found = Hold(self.likely(guessed), guessed)
        self._held += found.usage
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
        self._answers += 1
        self._guessed += hold.guessed
        self._found += used
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
        self._held -= hold.usage
        self._in_flight -= 1
        self.spent += used

    def likely(self, guessed: int) -> Usage:
        """What a call will use, where that matters: as the answers so far tell, before there are some at most."""
        if not self._counts:
            return _NOTHING.usage
        if self._answers < HEED:
            return Usage(guessed, self._model.max_tokens)
        scale = self._found.input_tokens / max(1, self._guessed)
        return Usage(round(guessed * scale), round(self._found.output_tokens / self._answers))

    def _used(self, usage: Usage, now: float) -> dict[str, float]:
        """What is used of each cap."""
        return {
            "max_requests": self.requests,
            "max_cost_usd": self._model.cost_usd(usage.input_tokens, usage.output_tokens) or 0.0,
            "max_total_tokens": usage.input_tokens + usage.output_tokens,
            "max_seconds": now - (self._begun or now),
        }
