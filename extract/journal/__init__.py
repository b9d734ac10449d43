"""Every answer and every attempt, in SQLite, stored before it is judged.

What functions gave back to the model is kept beside the answers, so that a restart does not call them again.
Answers are kept under the hash of the exact request: a restart asks only what has no answer, and a change of checks or
columns re-derives the tables without a call. A thread of its own commits in groups, so that one fsync serves many.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from extract.errors import APIError, RunDirectoryError
from extract.failpoints import failpoint
from extract.journal.entries import COMPLETION, FLUSH, FORGET, RESEARCH, RESULT, Answer, Entry, Totals
from extract.journal.file import APPLICATION, FORMAT, connect
from extract.journal.known import Known
from extract.journal.seals import is_sealed, is_sealed_note
from extract.journal.statements import insert as _insert
from extract.journal.writer import GROUP, WINDOW, Writer
from extract.records import Completion, Research, Usage

__all__ = ["APPLICATION", "COMPLETION", "FORMAT", "GROUP", "WINDOW", "Answer", "Journal", "Totals", "is_sealed"]

logger = logging.getLogger("extract.journal")

_RESEARCH_READER = TypeAdapter(Research)


class Journal:
    """The journal of one run directory. Read from any thread, written by a thread of its own."""

    def __init__(self, path: Path) -> None:
        """Open or make the journal; raises RunDirectoryError when the file is no journal or cannot be used."""
        self.path = path
        self._reader = connect(path)
        self._reading = threading.Lock()
        try:
            self._writer = Writer(path, _insert)
        except RunDirectoryError:
            self._reader.close()
            raise
        self._known = Known() if self._is_empty() else None  # else there is much to be found, and all is looked up

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.stop()
        try:
            failpoint("journal.close.before")
            self._writer.connection.close()
            self._reader.close()
            failpoint("journal.close.after")
        except (OSError, sqlite3.Error) as refused:  # all is committed; the next who opens it settles the log
            logger.warning("%s could not be closed: %s", self.path, refused)

    def lookup(self, request: str) -> Answer | None:
        """The stored answer to this exact request."""
        if self._known is not None and request not in self._known:
            return None
        found = self._row(
            "SELECT a.kind, a.status, a.attempts, a.message, a.body, a.digest, n.body, n.digest"
            " FROM answers a LEFT JOIN notes n ON n.request = a.request AND n.kind = 'research' WHERE a.request = ?",
            request,
        )
        if found is None:
            return None
        kind, status, attempts, message, body, digest, note, seal_of_note = found
        if not is_sealed(request, found[:5], digest):
            logger.warning("%s: the answer to %s is damaged and is asked for again", self.path, request)
            return None
        return Answer(kind, status, attempts, message, body, _research(request, note, seal_of_note))

    def stored_answer(self, request: str) -> Answer:
        """The answer that was just stored. Raises RunDirectoryError when it cannot be read back."""
        found = self.lookup(request)
        if found is None:
            raise RunDirectoryError(f"{self.path} does not give back what was stored", hint="look at the disk")
        return found

    def totals(self) -> Totals:
        """Requests, retries and tokens of all attempts so far, and the answers that are kept."""
        found = self._row("SELECT * FROM totals")
        if found is None:
            raise RunDirectoryError(f"{self.path} cannot be read: its totals are gone", hint="see `extract fsck`")
        requests, retries, given, made, cost_usd, answers = found
        return Totals(requests, retries, Usage(given, made), cost_usd, answers)

    def has_relaxed(self) -> bool:
        """Whether some request was refused for its schema, so that answers may stand under relaxed ones."""
        return bool(self._row("SELECT EXISTS (SELECT 1 FROM answers WHERE kind = 'schema_too_complex')")[0])

    def result(self, call: str) -> bytes | None:
        """What a function gave back in this call, if it was made before."""
        found = self._row("SELECT body, digest FROM notes WHERE request = ? AND kind = 'result'", call)
        return found[0] if found and is_sealed_note(call, RESULT, *found) else None

    async def store(
        self, request: str, completion: Completion, cost_usd: float | None = None, research: Research | None = None
    ) -> Answer:
        """Store a completion, what it cost and what went before it; returns when it is on disk."""
        note = None if research is None else to_json(research)
        entry = Entry(request, COMPLETION, completion.status, None, None, completion.raw, completion.usage, cost_usd)
        entry.note = note
        return await self._kept(entry)

    async def store_result(self, call: str, result: bytes) -> None:
        """Store what a function gave back; returns when it is on disk."""
        await self._writer.stored(Entry(call, RESULT, None, None, None, None, note=result))

    async def store_refusal(self, request: str, error: APIError) -> Answer:
        """Store an error that is final for its record; returns when it is on disk."""
        return await self._kept(Entry(request, error.kind, error.status, error.code, error.message, error.body))

    def note_failure(self, request: str, error: APIError) -> None:
        """Note a failed attempt that will be made again, or that leaves its record without an answer."""
        self._writer.put(Entry(request, error.kind, error.status, error.code, error.message, None))

    async def forget(self, requests: Sequence[str]) -> None:
        """Drop these answers, so that they are asked for again; the attempts stay on the account."""
        for request in requests:
            self._writer.put(Entry(request, FORGET, None, None, None, None))
        await self.flush()

    async def flush(self) -> None:
        """Return when everything stored or noted so far is on disk."""
        await self._writer.stored(Entry("", FLUSH, None, None, None, None))

    async def _kept(self, entry: Entry) -> Answer:
        if self._known is not None:
            self._known.add(entry.request)
        return await self._writer.stored(entry)

    def _is_empty(self) -> bool:
        """Whether no answer is there; a file that cannot say so is not empty, and the first lookup tells of it."""
        try:
            return not self._row("SELECT EXISTS (SELECT 1 FROM answers)")[0]
        except RunDirectoryError:
            return False

    def _row(self, query: str, *values: str) -> Any:
        """One row. A statement that is still open in another thread would hold an old state of the file for all."""
        try:
            with self._reading, closing(self._reader.execute(query, values)) as cursor:
                return cursor.fetchone()
        except (sqlite3.Error, UnicodeError) as error:  # UnicodeError: in the words of an error about a damaged page
            raise RunDirectoryError(f"{self.path} cannot be read: {error}", hint="see `extract fsck`") from error


def _research(request: str, note: object, digest: object) -> Research:
    """What was noted of the research before an answer; a note that is damaged is none."""
    if note is None or not is_sealed_note(request, RESEARCH, note, digest):
        return Research()
    try:
        return _RESEARCH_READER.validate_json(note)  # type: ignore[arg-type]  # sealed notes are bytes
    except ValueError:
        return Research()
