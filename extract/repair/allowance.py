"""What repairs may still cost: of one record, and of one run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from extract.config import Model, Repair
from extract.parts import Piece
from extract.prices import cost_of
from extract.records import ChatRequest, Usage
from extract.requests import estimated_tokens

Ask = Callable[[ChatRequest], Awaitable[Piece | None]]  # None: the run stops


@dataclass
class Account:
    """What was spent on repairs, or is held back for those under way."""

    tokens: int = 0
    cost_usd: float = 0.0

    def add(self, usage: Usage, cost_usd: float | None, sign: int = 1) -> None:
        self.tokens += sign * usage.total
        self.cost_usd += sign * (cost_usd or 0.0)


@dataclass
class Allowance:
    """The caps of one run. What a repair will likely take is held back before, and settled after: beside others under
    way it begins when all of them fit below the caps, and alone while no cap is reached."""

    settings: Repair
    spent: Account = field(default_factory=Account)
    _held: Account = field(default_factory=Account)
    _under_way: int = 0
    _settled: asyncio.Condition | None = None

    async def asked(
        self, request: ChatRequest, model: Model, of_record: Account, ask: Ask
    ) -> tuple[Piece | None, bool]:
        """What a repair came to, None when it may cost no more; and whether the run stops."""
        held = await self.take(request, model, of_record)
        if held is None:
            return None, False
        piece = None
        try:
            piece = await ask(request)
        finally:
            reply = piece.completion if piece else None
            await self.settle(held, model, reply.usage if reply else None)
        return piece, piece is None

    async def take(self, request: ChatRequest, model: Model, of_record: Account) -> Usage | None:
        """What is held back for one more repair; None when a cap is reached, of the run or of the record."""
        guess = Usage(estimated_tokens(request), model.max_tokens)
        cost = cost_of(model, guess)
        settings, settled = self.settings, self._condition
        while True:
            if _reached(of_record, settings.max_tokens_per_record, settings.max_cost_usd_per_record):
                return None
            if _reached(self.spent, settings.max_tokens, settings.max_cost_usd):
                return None
            likely = Account(self.spent.tokens + self._held.tokens, self.spent.cost_usd + self._held.cost_usd)
            likely.add(guess, cost)
            if not self._under_way or not _reached(likely, settings.max_tokens, settings.max_cost_usd):
                self._held.add(guess, cost)
                self._under_way += 1
                return guess
            async with settled:
                await settled.wait()

    async def settle(self, held: Usage, model: Model, used: Usage | None) -> None:
        """The repair has ended; `used` is what its answer says, None: there is none."""
        self._held.add(held, cost_of(model, held), -1)
        self._under_way -= 1
        if used is not None:
            self.spent.add(used, cost_of(model, used))
        async with self._condition:
            self._condition.notify_all()

    @property
    def _condition(self) -> asyncio.Condition:
        self._settled = self._settled or asyncio.Condition()
        return self._settled


def _reached(account: Account, tokens: int | None, cost_usd: float | None) -> bool:
    over_tokens = tokens is not None and account.tokens >= tokens
    return over_tokens or (cost_usd is not None and account.cost_usd >= cost_usd)
