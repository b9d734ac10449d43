"""The one async loop: records in, answers from the journal or the endpoint, outcomes out in input order."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace

from extract.client import completion_from
from extract.config import Model
from extract.errors import APIError, RunDirectoryError, RunStopped
from extract.journal import COMPLETION, Answer, Journal
from extract.records import ChatRequest, Completion, Issue, Outcome, Record, Sender, Usage
from extract.report import OnProgress, Tally
from extract.requests import RequestBuilder, Unaskable
from extract.validate import Judge
from extract.watch import Watch

logger = logging.getLogger("extract.runner")

Deliver = Callable[[Outcome], Awaitable[None]]


class Stop:
    """Asks a run to end early; may be called from another thread. Calls in flight are finished, none is begun."""

    def __init__(self) -> None:
        self.reason: Exception | None = None
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self) -> None:
        """Bind to the running loop; a request made before this is kept."""
        self._loop = asyncio.get_running_loop()
        if self.reason:
            self._event.set()

    def request(self, reason: Exception) -> None:
        """The first reason counts."""
        self.reason = self.reason or reason
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    @property
    def requested(self) -> bool:
        return self.reason is not None

    async def sleep(self, seconds: float) -> None:
        """Sleep that ends at once when a stop is requested."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return


def until_stopped(send: Sender, stop: Stop) -> Sender:
    """A sender that begins no call after a stop. Raises RunStopped."""

    async def sender(request: ChatRequest) -> Completion:
        if stop.requested:
            raise RunStopped("stopped")
        return await send(request)

    return sender


def journaled(send: Sender, journal: Journal, model: Model) -> Sender:
    """A sender whose answers, and refusals that are final for a record, are stored when it returns.

    It stands inside the limits: a permit is held until the answer is stored, so that a crash costs no more calls than
    there are permits.
    """

    async def sender(request: ChatRequest) -> Completion:
        try:
            completion = await send(request)
        except APIError as error:
            if not error.retryable and not error.stops_run:
                await journal.store_refusal(request.hash, error)
            raise
        usage = completion.usage
        await journal.store(request.hash, completion, model.cost_usd(usage.input_tokens, usage.output_tokens))
        return completion

    return sender


@dataclass(frozen=True, slots=True)
class _NoAnswer:
    """No attempt got an answer: why, after how many."""

    issue: Issue
    attempts: int


@dataclass
class Runner:
    """Runs records through build, journal, send and judge. `send` retries, limits and stores by itself."""

    build: RequestBuilder
    judge: Judge
    journal: Journal
    send: Sender
    model: Model
    tally: Tally
    stop: Stop
    width: int  # records at work at once, waiting ones included
    notify: OnProgress = lambda tally: None
    watch: Watch = field(default_factory=Watch)
    _failures: dict[str, int] = field(default_factory=dict)  # calls that failed so far, by request
    _asking: dict[str, asyncio.Task[Answer | _NoAnswer | None]] = field(default_factory=dict)

    async def run(self, records: Iterable[Record], deliver: Deliver) -> None:
        """Deliver an outcome for each record, in order. Ends early, without an error, when a stop is requested."""
        self._notify()
        async with asyncio.TaskGroup() as group:
            try:
                await self._feed(records, deliver, group)
            except Exception as error:  # of the source or the sink: the calls in flight are finished first
                self.stop.request(error)

    async def _feed(self, records: Iterable[Record], deliver: Deliver, group: asyncio.TaskGroup) -> None:
        window: deque[asyncio.Task[Outcome | None]] = deque()
        for record in records:
            if self.stop.requested:
                break
            window.append(group.create_task(self._outcome(record, group)))
            if len(window) >= self.width and not await self._deliver_first(window, deliver):
                break
        while window and await self._deliver_first(window, deliver):
            pass

    async def _deliver_first(self, window: deque[asyncio.Task[Outcome | None]], deliver: Deliver) -> bool:
        outcome = await window.popleft()
        if outcome is None:
            return False
        await deliver(outcome)
        return True

    def failed(self, request: ChatRequest, attempt: int, error: APIError) -> None:
        """Hears of every call that failed and may be made again."""
        self._failures[request.hash] = attempt
        self.journal.note_failure(request.hash, error)
        self.tally.call(Usage(), None, retry=attempt > 1)
        logger.info("attempt %d failed: %s", attempt, error)
        self._notify()

    async def _outcome(self, record: Record, group: asyncio.TaskGroup) -> Outcome | None:
        """The outcome of one record, whatever happens; None when the run stops before there is one."""
        try:
            return await self._answered(record, group)
        except RunDirectoryError as error:
            self.stop.request(error)
            return None
        except Exception:  # the last guard: one record never stops a run, and its trace is kept
            logger.exception("record %r", record.key)
            return self._counted(Outcome(record, issues=(_internal(),), unanswered=True))

    async def _answered(self, record: Record, group: asyncio.TaskGroup) -> Outcome | None:
        try:
            request = self.build(record)
        except Unaskable as error:
            return self._counted(Outcome(record, issues=(error.issue,)))
        answer: Answer | _NoAnswer | None = self.journal.lookup(request.hash)
        replayed = answer is not None
        if answer is None:
            answer = await self._ask_once(request, group)
        if answer is None:
            return None
        if isinstance(answer, _NoAnswer):
            issues, attempts = (answer.issue,), answer.attempts
            return self._counted(Outcome(record, issues, request=request.hash, attempts=attempts, unanswered=True))
        if answer.kind == COMPLETION:
            self.watch.answered()
        return self._counted(self._judged(record, request, answer), replayed=replayed)

    async def _ask_once(self, request: ChatRequest, group: asyncio.TaskGroup) -> Answer | _NoAnswer | None:
        """Identical requests at work together are one call."""
        task = self._asking.get(request.hash)
        if task is None:
            task = self._asking[request.hash] = group.create_task(self._ask(request))
            task.add_done_callback(lambda _: self._asking.pop(request.hash, None))
        return await task

    async def _ask(self, request: ChatRequest) -> Answer | _NoAnswer | None:
        """The stored answer; an issue when no attempt got one; None when the run stops."""
        try:
            completion = await self.send(request)
            cost = self.model.cost_usd(completion.usage.input_tokens, completion.usage.output_tokens)
            self.tally.call(completion.usage, cost, retry=completion.attempts > 1)
            self._failures.pop(request.hash, None)
            return self.journal.lookup(request.hash)
        except APIError as error:
            return self._refused(request, error)
        except (RunStopped, RunDirectoryError) as error:
            self.stop.request(error)
            return None
        except Exception:  # the last guard for the sender; a later run asks again
            logger.exception("request %s", request.hash)
            return _NoAnswer(_internal(), self._failures.pop(request.hash, 0) + 1)

    def _refused(self, request: ChatRequest, error: APIError) -> Answer | _NoAnswer | None:
        if error.retryable:  # all attempts are noted already
            self._heed(self.watch.no_answer(error))
            issue = Issue("request", f"api.{error.kind}", "$", error.message, error.code)
            return _NoAnswer(issue, self._failures.pop(request.hash, 0))
        self.tally.call(Usage(), None, retry=self._failures.pop(request.hash, 0) > 0)
        if error.stops_run:
            self.journal.note_failure(request.hash, error)
            self.stop.request(error)
            return None
        self._heed(self.watch.refusal(request.hash, error))
        return self.journal.lookup(request.hash)

    def _heed(self, reason: Exception | None) -> None:
        if reason is not None:
            self.stop.request(reason)

    def _judged(self, record: Record, request: ChatRequest, answer: Answer) -> Outcome:
        if answer.kind != COMPLETION:
            issue = Issue("request", f"api.{answer.kind}", "$", answer.message or "", answer.status)
            raw = answer.body.decode("utf-8", "replace")
            return Outcome(record, issues=(issue,), request=request.hash, attempts=answer.attempts, raw=raw)
        completion = completion_from(answer.body, {})
        usage = completion.usage
        return replace(
            self.judge(record, completion),
            request=request.hash,
            attempts=answer.attempts,
            cost_usd=self.model.cost_usd(usage.input_tokens, usage.output_tokens),
        )

    def _counted(self, outcome: Outcome, *, replayed: bool = False) -> Outcome:
        self.tally.count(outcome, replayed=replayed)
        self._notify()
        return outcome

    def _notify(self) -> None:
        try:
            self.notify(self.tally)
        except Exception as error:  # the watcher's own fault: it ends the run, and loses no answer
            self.stop.request(error)


def _internal() -> Issue:
    return Issue("internal", "internal.error", "$", traceback.format_exc(limit=-5))
