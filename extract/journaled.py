"""What crosses the journal: answers on their way in, and what a stored one was when it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from extract.client import completion_from
from extract.config import Model
from extract.errors import APIError, ErrorClass
from extract.journal import Answer, Journal
from extract.prices import cost_of
from extract.records import ChatRequest, Completion, Sender


def journaled(send: Sender, journal: Journal, model: Model, others: Mapping[str, Model] | None = None) -> Sender:
    """A sender whose answers, and refusals that are final for a record, are stored when it returns.

    A completion carries the number of calls that were made for it, in all runs.

    It stands inside the limits: a permit is held until the answer is stored, so that a crash costs no more calls than
    there are permits.
    """

    async def sender(request: ChatRequest) -> Completion:
        try:
            completion = await send(request)
        except APIError as error:
            if request.owner and error.kind is ErrorClass.SCHEMA:  # of the tools' declarations: the run stops for it
                journal.note_failure(request.owner, error)
            elif not error.retryable and not error.stops_run:
                await journal.store_refusal(request.owner or request.hash, error)
            raise
        cost = cost_of(others.get(request.tier, model) if others else model, completion.usage)
        stored = await journal.store(request.hash, completion, cost, request.research)
        return completion if stored.attempts == completion.attempts else replace(completion, attempts=stored.attempts)

    return sender


def completion_of(answer: Answer) -> Completion:
    """A stored completion, as it was when it came."""
    found = completion_from(answer.body, {})
    if answer.instead:
        flags, model = (*found.flags, *answer.instead.flags), found.model or answer.instead.model
        found = replace(found, flags=flags, model=model, asked=answer.instead.model)
    if answer.attempts == found.attempts and answer.research == found.research:
        return found
    return replace(found, attempts=answer.attempts, research=answer.research)
