"""The same questions under names of their own, and which answer then stands for which."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace

from extract.pipeline import Prepared
from extract.records import Outcome, Record
from extract.requests import RequestBuilder, Unaskable


@dataclass(frozen=True)
class AgainBuilder(RequestBuilder):
    """Makes the same requests under names of their own, so that an answer that is there already does not count."""

    turn: str = ""

    def _scope(self, record: Record) -> str:
        return f"{super()._scope(record)} again {self.turn}"


def again(prepared: Prepared, turn: str) -> Prepared:
    """What asks anew, each request once in this turn."""

    def named(build: RequestBuilder) -> RequestBuilder:
        given = {each.name: getattr(build, each.name) for each in fields(RequestBuilder)}
        return AgainBuilder(**given, turn=turn)

    questions = tuple(replace(question, build=named(question.build)) for question in prepared.questions)
    return replace(prepared, build=named(prepared.build), questions=questions)


def in_place_of(
    prepared: Prepared, asked: Prepared, requests: Sequence[str], outcome: Outcome
) -> list[tuple[str, str]]:
    """A record's requests and what was asked instead of each: questions and votes. Repairs are the run's own."""
    others, count = (outcome.request or "").split(), len(asked.questions)
    votes = _votes(prepared, outcome.record, requests[0])
    instead = _votes(asked, outcome.record, others[0])
    return [*zip(requests[:count], others[:count], strict=True), *zip(votes, instead, strict=False)]


def _votes(prepared: Prepared, record: Record, first: str) -> list[str]:
    """The names of the requests that vote beside the first one, whose name this is."""
    if prepared.voting is None:
        return []
    with suppress(Unaskable):  # a file is gone since
        for rung, build in enumerate(prepared.questions[0].builders):
            if build(record).hash == first:
                return [request.hash for request in prepared.voting.requests(build, rung, record)]
    return []
