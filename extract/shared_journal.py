"""What a run does so that others can use its journal, also at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from extract.disk import told
from extract.journal import Journal
from extract.ladder import Overtaken
from extract.records import ChatRequest, Completion, Sender
from extract.runner import Runner
from extract.sinks import RunDirectory
from extract.sinks.rundir import JOURNAL

Refuse = Callable[[ChatRequest], None]


def opened_journal(directory: RunDirectory, place: Path) -> Journal:
    """The journal of a run directory, wherever it is. Raises RunDirectoryError when it cannot be used."""
    is_shared = place != directory.path / JOURNAL
    if is_shared:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise told(error, place.parent, "cannot hold a journal") from error
    return Journal(place, directory.account, shared=is_shared)


def about_run(journal: Journal, started: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the manifest says of the journal, and of how the run was started."""
    place = {"journal": str(journal.path)} if journal.is_shared else {}
    return {"run": journal.account, **place, **({"started": dict(started)} if started else {})}


def taken_over(manifest: Mapping[str, Any] | None) -> dict[str, Any]:
    """The mark of a redrive that did not come to its end, whose tables a run makes from what was answered."""
    marked = (manifest or {}).get("redrive")
    return {"redrive": {**marked, "state": "left"}} if isinstance(marked, dict) else {}


def first_answers(runner: Runner, refuse: Refuse) -> tuple[Sender, Refuse]:
    """The runner's sender and `refuse`, for a journal that other processes write too.

    A request that was answered meanwhile is not sent. When two were asked the same at once, both are paid, the answer
    that was stored first stands, and the tables of both rest on it.
    """
    send, journal = runner.send, runner.journal

    def refuse_answered(request: ChatRequest) -> None:
        refuse(request)
        if journal.lookup(request.hash) is not None:
            raise Overtaken

    async def sender(request: ChatRequest) -> Completion:
        completion = await send(request)
        stored = journal.lookup(request.hash)
        if stored is not None and stored.body != completion.raw:
            runner.heard(completion)
            raise Overtaken
        return completion

    return sender, refuse_answered
