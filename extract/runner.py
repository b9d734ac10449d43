"""The one async loop: records in, answers from the journal or the endpoint, outcomes out in input order."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from extract.budget import RecordCapReached
from extract.by_hand import Hands
from extract.config import Model
from extract.errors import APIError, ErrorClass, RunDirectoryError, RunStopped
from extract.feed import Deliver, Found, feed
from extract.garbage import rare_collections
from extract.journal import COMPLETION, Answer, Journal
from extract.journaled import completion_of
from extract.ladder import Climb, Ladder, Overtaken, Step, TooComplex
from extract.media import MediaError
from extract.parts import Piece, lasting_flags, outcome_of, stated_cost, with_research
from extract.prices import cost_of
from extract.records import ChatRequest, Completion, Issue, Outcome, Record, Sender, Spent, Usage
from extract.repair import Ask, SecondLooks, Workshop
from extract.report import OnProgress, Tally
from extract.requests import Unaskable
from extract.stop import Stop
from extract.tools import record_of_call
from extract.validate import Judge
from extract.votes import Voting
from extract.watch import Watch

logger = logging.getLogger("extract.runner")

Settle = Callable[[], Awaitable[None]]
Mend = Callable[[Record, Outcome, Ask], Awaitable[Outcome | None]]  # None: the run stops


async def _settled() -> None:
    """Nothing is still to be done with what was delivered."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No attempt got an answer: why, after how many."""

    issue: Issue
    attempts: int
    unanswered: bool = True  # a later run asks again


_LookAgain = Literal["look again"]  # the schema was refused for another record before this request was sent
_LOOK_AGAIN: _LookAgain = "look again"
Asked = Completion | Answer | NoAnswer | _LookAgain | None  # None: the run stops


@dataclass
class Runner:
    """Runs records through build, journal, send and judge. `send` retries, limits and stores by itself."""

    ladders: Sequence[Ladder]  # one for each request of a record
    judge: Judge
    journal: Journal
    send: Sender
    model: Model
    tally: Tally
    stop: Stop
    width: int  # records at work at once, waiting ones included
    notify: OnProgress = lambda tally: None
    reads_files: bool = False  # to make a request
    models: Mapping[str, Model] = field(default_factory=dict)  # others than the first, by their names on the wire
    voting: Voting | None = None  # has several answers to a question
    workshop: Workshop | None = None  # asks again for what failed
    counts_records: bool = False  # what each of them costs, since that has a cap
    by_hand: Hands = field(default_factory=Hands)  # records that people spoke of: they are not asked for
    second_looks: SecondLooks = field(default_factory=SecondLooks)  # at answers that do not go with others
    watch: Watch = field(default_factory=Watch)
    refused_schemas: list[str] = field(default_factory=list)  # requests of records that no schema got an answer for
    _failures: dict[str, int] = field(default_factory=dict)  # calls that failed so far, by request
    _asking: dict[str, asyncio.Future[Asked]] = field(default_factory=dict)
    _replaying: bool = True  # the last record's answers were in the journal, so the next one's may be

    async def run(self, records: Iterable[Record], deliver: Deliver, settle: Settle = _settled) -> None:
        """Deliver an outcome for each record, in order. Ends early, without an error, when a stop is requested.

        `settle` returns when all is done with what was delivered; it is waited for however the run ends.
        """

        def begin(record: Record) -> Found:
            return self._at_hand(record) or group.create_task(self._outcome(record))

        self._notify()
        with rare_collections():
            try:
                async with asyncio.TaskGroup() as group:
                    try:
                        await feed(records, begin, deliver, width=self.width, ended=lambda: self.stop.requested)
                    except Exception as error:  # of the source or the sink: the calls in flight are finished first
                        self.stop.request(error)
            finally:
                try:
                    await settle()
                except Exception as error:
                    self.stop.request(error)

    def _at_hand(self, record: Record) -> Outcome | None:
        """The outcome of a record that the journal has all answers to, without a task for it.

        None: not so, or something is wrong; then `_outcome` does it all, and says what.
        """
        if self.reads_files or self.voting or not self._replaying:
            return None
        if record.key in self.by_hand or record.key in self.second_looks:
            return None
        try:
            pieces = [self._stored(Climb(ladder, record)) for ladder in self.ladders]
            found = [piece for piece in pieces if piece is not None]
            if len(found) < len(pieces):
                return None
            outcome = self._outcome_of(record, found)
            if self.workshop is None:
                return self._counted(outcome, replayed=True)
            return self._counted(self.workshop.noted(outcome), replayed=True) if outcome.ok else None
        except Exception as error:  # it comes again where it is dealt with
            logger.debug("record %r: %s", record.key, error)
            return None

    def _stored(self, climb: Climb) -> Piece | None:
        """A request whose answer is in the journal, and is no refusal."""
        step: Step[Answer] = climb.look(self.journal.lookup)
        if step.answer is None or step.answer.kind != COMPLETION:
            self._replaying = step.answer is not None
            return None
        self._note_rung(climb.ladder, step.request.rung, answered=True)
        return self._answered_by(climb, step, completion_of(step.answer), replayed=True)

    def failed(self, request: ChatRequest, error: APIError) -> None:
        """Hears of every call that failed and may be made again."""
        name = request.owner or request.hash
        before = self._failures.get(name, 0)
        self._failures[name] = before + 1
        self.journal.note_failure(request.hash, error)
        self.tally.failed(retry=before > 0, may_be_billed=error.may_be_billed)
        logger.info("attempt %d failed: %s", before + 1, error)
        self._notify()

    async def _outcome(self, record: Record) -> Outcome | None:
        """The outcome of one record, whatever happens; None when the run stops before there is one."""
        try:
            said = self.by_hand(record) if record.key in self.by_hand else None
            return self._counted(said, replayed=True) if said else await self._answered(record)
        except (RunStopped, RunDirectoryError) as error:
            self.stop.request(error)
            return None
        except Exception:  # the last guard: one record never stops a run, and its trace is kept
            logger.exception("record %r", record.key)
            return self._counted(Outcome(record, issues=(_internal(),), unanswered=True))

    async def _answered(self, record: Record) -> Outcome | None:
        try:
            climbs = await self._climbs(record)
        except Unaskable as error:
            return self._counted(Outcome(record, issues=(error.issue,)))
        spent = Spent() if self.counts_records else None
        pieces = await _all_of([self._piece(climb, spent) for climb in climbs])
        found = [piece for piece in pieces if piece is not None]
        if len(found) < len(pieces):
            return None
        outcome: Outcome | None = self._outcome_of(record, found)
        if self.voting and outcome:
            outcome = await self._voted(self.voting, climbs[0], outcome, found[0], spent)
        if self.workshop and outcome:
            outcome = await self._asked_more(self.workshop.mended, record, outcome, found, spent)
        if outcome and record.key in self.second_looks:
            spent = Spent(outcome.cost_usd or 0.0) if self.counts_records else None
            outcome = await self._asked_more(self.second_looks, record, outcome, found, spent)
        if outcome is None:
            return None
        return self._counted(outcome, replayed=all(piece.replayed for piece in found))

    async def _voted(
        self, voting: Voting, climb: Climb, outcome: Outcome, first: Piece, spent: Spent | None
    ) -> Outcome | None:
        """The outcome by the vote of several answers; None when the run stops."""
        if first.completion is None:
            return outcome
        rung = climb.rung_of(first.request)  # and not where the run stands, which a later run may not know
        requests = voting.requests(climb.ladder.question.builders[rung], rung, climb.record)
        more = await _all_of([self._aside(replace(request, spent=spent)) for request in requests])
        if None in more:
            return None
        answered = [piece for piece in (first, *more) if piece is not None and piece.completion is not None]
        completions = [piece.completion for piece in answered if piece.completion is not None]
        judged = voting.outcome(climb.record, completions)
        if judged is None:
            return outcome
        usage = sum((each.usage for each in completions), first.research.usage)
        is_stated = any(piece.stated_cost for piece in answered)
        return replace(
            judged,
            completion=replace(judged.completion or completions[0], usage=usage),
            request=" ".join([outcome.request or "", *(piece.request for piece in answered[1:])]),
            attempts=outcome.attempts + sum(piece.attempts for piece in answered[1:]),
            cost_usd=self._cost_of(answered) if is_stated else cost_of(self.model, usage),
            flags=tuple(dict.fromkeys((*judged.flags, *lasting_flags([first])))),
            unanswered=any(piece is not None and piece.unanswered for piece in more),
        )

    def _cost_of(self, pieces: Sequence[Piece]) -> float | None:
        """What answers cost of which some came from another model; those that the run's own gave, at its price."""
        own = [piece.completion for piece in pieces if piece.completion and not piece.stated_cost]
        usage = sum((each.usage for each in own), Usage())
        costs = [stated_cost(pieces), *([cost_of(self.model, usage)] if own else [])]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    async def _asked_more(
        self, mend: Mend, record: Record, outcome: Outcome, pieces: Sequence[Piece], spent: Spent | None
    ) -> Outcome | None:
        """The outcome after repairs, or a second look; None when the run stops."""

        async def ask(request: ChatRequest) -> Piece | None:
            return await self._aside(replace(request, spent=spent))

        found = await mend(record, outcome, ask)
        if found is None or found is outcome:
            return found
        return replace(found, flags=tuple(dict.fromkeys((*found.flags, *lasting_flags(pieces)))))

    async def _aside(self, request: ChatRequest) -> Piece | None:
        """What a request came to that stands on no ladder, from the journal or the endpoint; None: the run stops."""
        stored = self.journal.lookup(request.hash)
        asked = stored or await self._ask_once(request)
        if asked == _LOOK_AGAIN:  # another process was answered meanwhile
            asked = self.journal.lookup(request.hash)
        if asked is None:
            return None
        if isinstance(asked, NoAnswer):
            return Piece(request.hash, asked.attempts, issue=asked.issue, unanswered=asked.unanswered)
        if isinstance(asked, Answer) and asked.kind != COMPLETION:
            issue = Issue("request", f"api.{asked.kind}", "$", asked.message or "", asked.status)
            return Piece(request.hash, asked.attempts, issue=issue)
        completion = completion_of(asked) if isinstance(asked, Answer) else asked
        completion = self._as_record(completion, request)
        stated = (stored.instead.cost_usd,) if stored and stored.instead else ()
        return Piece(request.hash, completion.attempts, completion, replayed=stored is not None, stated_cost=stated)

    async def _climbs(self, record: Record) -> list[Climb]:
        """The record's requests; files are read in another thread."""
        if self.reads_files:
            return await asyncio.to_thread(lambda: [Climb(ladder, record) for ladder in self.ladders])
        return [Climb(ladder, record) for ladder in self.ladders]

    def _outcome_of(self, record: Record, pieces: Sequence[Piece]) -> Outcome:
        parts = [ladder.question.part for ladder in self.ladders]
        outcome = outcome_of(record, [part for part in parts if part], pieces, self.judge)
        research = max((piece.research for piece in pieces), key=lambda each: each.calls)  # parts have the same
        outcome = with_research(outcome, research)
        usage = outcome.completion.usage if outcome.completion else None
        cost = cost_of(self.model, usage) if usage else None
        flags = [*outcome.flags, *lasting_flags(pieces)]
        return replace(
            outcome,
            request=" ".join(piece.request for piece in pieces),
            attempts=sum(piece.attempts for piece in pieces) + research.calls,
            cost_usd=stated_cost(pieces) if any(piece.stated_cost for piece in pieces) else cost,
            flags=tuple(flags),
        )

    async def _piece(self, climb: Climb, spent: Spent | None = None) -> Piece | None:
        """What one request of a record came to, on the first rung that has an answer; None when the run stops."""
        replayed = True
        while True:
            step: Step[Answer] = climb.look(self.journal.lookup)
            answered = step.answer is not None and step.answer.kind != ErrorClass.SCHEMA
            self._note_rung(climb.ladder, step.request.rung, answered=answered)
            if step.answer is not None:
                return self._of_journal(climb, step, step.answer, replayed)
            request = step.request if spent is None else replace(step.request, spent=spent)
            asked = await self._ask_in_turn(climb.ladder, request)
            replayed = False
            if isinstance(asked, Completion):
                self._note_rung(climb.ladder, step.request.rung, answered=True)
                return self._answered_by(climb, step, asked, replayed)
            if isinstance(asked, Answer) and asked.kind != ErrorClass.SCHEMA:
                self._note_rung(climb.ladder, step.request.rung, answered=True)
                return self._of_journal(climb, step, asked, replayed)
            if isinstance(asked, NoAnswer):
                return Piece(step.request.hash, asked.attempts, issue=asked.issue, unanswered=asked.unanswered)
            if asked is None:
                self.refused_schemas += climb.refused
                return None

    def heard(self, completion: Completion, tier: str = "") -> None:
        """Hears of every answer that was paid, those to rounds of research too."""
        cost = cost_of(self.models.get(tier, self.model), completion.usage)
        retry = completion.attempts > 1
        self.tally.answered(completion.usage, cost, retry=retry, unmetered=completion.is_unmetered)
        self._notify()

    def _of_journal(self, climb: Climb, step: Step[Answer], answer: Answer, replayed: bool) -> Piece | None:
        if answer.kind == COMPLETION:
            return self._answered_by(climb, step, completion_of(answer), replayed)
        if answer.kind == ErrorClass.SCHEMA:
            self.refused_schemas += climb.refused
            if climb.ladder.question.is_shared:
                self.stop.request(climb.ladder.too_complex(answer.message or ""))
                return None
        issue = Issue("request", f"api.{answer.kind}", "$", answer.message or "", answer.status)
        raw = answer.body.decode("utf-8", "replace")
        name, attempts = step.request.hash, answer.attempts
        return Piece(name, attempts, issue=issue, raw=raw, relaxed=step.relaxed, replayed=replayed)

    def _answered_by(self, climb: Climb, step: Step[Answer], completion: Completion, replayed: bool) -> Piece:
        self.watch.answered()
        completion = self._as_record(completion, step.request)
        return Piece(
            step.request.hash,
            completion.attempts,
            completion,
            relaxed=step.relaxed,
            flags=step.request.flags,
            research=completion.research,
            replayed=replayed,
            stated_cost=(step.answer.instead.cost_usd,) if step.answer and step.answer.instead else (),
        )

    def _as_record(self, completion: Completion, request: ChatRequest) -> Completion:
        """The completion with the record as its content, and with what its request had masked."""
        if self.model.mode == "tool":
            completion = record_of_call(completion, self.ladders[0].question.build.schema.name)
        return replace(completion, masks=request.masks) if request.masks else completion

    def _note_rung(self, ladder: Ladder, rung: int, *, answered: bool) -> None:
        """Later records begin where this one is; said once a rung."""
        ladder.reached(rung, answered=answered)
        if ladder.said == ladder.rung:
            return
        ladder.said = ladder.rung
        self.tally.relaxed = max((each.relaxed for each in self.ladders), key=len)
        self.tally.rungs = tuple(each.rung for each in self.ladders)
        logger.warning(
            "the endpoint finds the schema%s too complex; from here on it does without %s, which is checked here",
            f" of {', '.join(ladder.question.part.names)}" if ladder.question.part else "",
            ", ".join(ladder.relaxed),
        )
        self._notify()

    @property
    def unfounded(self) -> list[str]:
        """Refusals that say nothing about their records, when the run ended for them; to be asked again."""
        if self.watch.verdict:
            return [*self.watch.refused, *self.refused_schemas]
        return self.refused_schemas if isinstance(self.stop.reason, TooComplex) else []

    async def _ask_in_turn(self, ladder: Ladder, request: ChatRequest) -> Asked:
        if ladder.is_open(request.rung):
            return await self._ask_once(request)
        async with ladder.turn(request.rung) as may_ask:
            return await self._ask_once(request) if may_ask else _LOOK_AGAIN

    async def _ask_once(self, request: ChatRequest) -> Asked:
        """Identical requests at work together are one call."""
        asking = self._asking.get(request.hash)
        if asking is not None:
            return await asking
        asking = self._asking[request.hash] = asyncio.get_running_loop().create_future()
        try:
            asked = await self._ask(request)
            asking.set_result(asked)
            return asked
        finally:
            asking.cancel()  # unless it has its result; the run itself is cancelled then
            del self._asking[request.hash]

    async def _ask(self, request: ChatRequest) -> Asked:
        """The answer; an issue when no attempt got one; None when the run stops."""
        try:
            return await self._sent(request)
        except Overtaken:
            self._failures.pop(request.hash, None)
            return _LOOK_AGAIN
        except (RunStopped, RunDirectoryError) as error:
            self.stop.request(error)
            return None
        except RecordCapReached as error:
            issue = Issue("request", "budget.record", "$", str(error), error.spent)
            return NoAnswer(issue, self._failures.pop(request.hash, 0), unanswered=False)
        except MediaError as error:  # a file has changed since its request was made; a later run asks again
            return NoAnswer(error.issue, self._failures.pop(request.hash, 0))
        except Exception:  # the last guard for the sender; a later run asks again
            logger.exception("request %s", request.hash)
            return NoAnswer(_internal(), self._failures.pop(request.hash, 0) + 1)

    async def _sent(self, request: ChatRequest) -> Asked:
        try:
            completion = await self.send(request)
        except APIError as error:
            return self._refused(request, error)
        self.heard(completion, request.tier)
        self._failures.pop(request.hash, None)
        return completion

    def _refused(self, request: ChatRequest, error: APIError) -> Asked:
        if error.retryable:  # all attempts are noted already
            issue = Issue("request", f"api.{error.kind}", "$", error.message, error.code)
            return NoAnswer(issue, self._failures.pop(request.hash, 0))
        retry = self._failures.pop(request.hash, 0) > 0
        self.tally.failed(retry=retry, may_be_billed=error.may_be_billed)
        if error.stops_run:
            self.journal.note_failure(request.hash, error)
            self.stop.request(error)
            return None
        is_own = error.kind is not ErrorClass.SCHEMA or request.is_repair
        if is_own or not self._step_down(request, error):
            self._heed(self.watch.refusal(request.hash, error))
        return self.journal.stored_answer(request.hash)

    def _step_down(self, request: ChatRequest, error: APIError) -> bool:
        """A schema was refused: at once, before another call begins, the run leaves its rung, or ends.

        False when it is the record's own schema that cannot be relaxed any further.
        """
        ladder = self.ladders[request.part]
        if request.rung == ladder.last and not ladder.question.is_shared:
            return False
        if request.rung == ladder.last:
            self.stop.request(ladder.too_complex(error.message))
        else:
            ladder.reached(request.rung + 1)
        return True

    def _heed(self, reason: Exception | None) -> None:
        if reason is not None:
            self.stop.request(reason)

    def _counted(self, outcome: Outcome, *, replayed: bool = False) -> Outcome:
        self._replaying |= replayed
        self.tally.count(outcome, replayed=replayed)
        self._notify()
        return outcome

    def _notify(self) -> None:
        try:
            self.notify(self.tally)
        except Exception as error:  # the watcher's own fault: it ends the run, and loses no answer
            self.stop.request(error)


async def _all_of(tasks: Sequence[Coroutine[Any, Any, Piece | None]]) -> list[Piece | None]:
    """Run side by side; when one fails the others are finished first."""
    if len(tasks) == 1:
        return [await tasks[0]]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    if failures := [each for each in found if isinstance(each, BaseException)]:
        raise failures[0]
    return [each for each in found if not isinstance(each, BaseException)]


def _internal() -> Issue:
    return Issue("internal", "internal.error", "$", traceback.format_exc(limit=-5))
