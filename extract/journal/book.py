"""The journal as a run sees it: lookups in one connection, writes through the thread of another."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter
from pydantic_core import to_json

from extract.errors import APIError, RunDirectoryError
from extract.failpoints import failpoint
from extract.journal.accounts import totals_of
from extract.journal.ahead import Ahead
from extract.journal.by_hand import PREFIX, ByHand, noted_by_hand, read_by_hand
from extract.journal.complaints import PREFIX as COMPLAINTS
from extract.journal.complaints import Complaint, name_of_round, noted_complaint, read_complaint
from extract.journal.entries import (
    COMPLAINT,
    COMPLETION,
    FLUSH,
    FORGET,
    HUMAN,
    INSTEAD,
    OWNER,
    RESEARCH,
    RESULT,
    Answer,
    Entry,
    Totals,
)
from extract.journal.file import connect
from extract.journal.instead import Instead, name_of_note, noted, read_note
from extract.journal.known import Known
from extract.journal.patience import patiently
from extract.journal.seals import is_sealed, is_sealed_note
from extract.journal.writer import Writer
from extract.records import Completion, Research

logger = logging.getLogger("extract.journal")

_RESEARCH_READER = TypeAdapter(Research)
Note = TypeVar("Note", ByHand, Complaint)


class Journal:
    """The journal of a run directory, or one that several share. Read from any thread, written by one of its own.

    account: names the run directory; in a shared journal, what is asked is booked on it. The journal that stands in the
    directory is its `owner`'s: all that is booked on no other account is the owner's.
    """

    def __init__(self, path: Path, account: str | None = None, *, shared: bool = False) -> None:
        """Open or make the journal; raises RunDirectoryError when the file is no journal or cannot be used."""
        self.path = path
        self.is_shared = shared
        self._reader = connect(path)
        self._reading = threading.Lock()
        self._ahead = Ahead(self._reader, self._reading)
        try:
            owner = self._owner()
            self.account = account if shared else owner or account
            self._writer = Writer(path, self.account if self.account != owner and shared else None)
        except BaseException:  # a connection that stays open keeps the file's log
            self._reader.close()
            raise
        if owner is None and self.account and not shared:  # with what is written first
            self._writer.put(Entry(OWNER, OWNER, None, None, None, None, note=self.account.encode()))
        self._known = Known() if not shared and self._is_empty() else None  # else there is much to be found
        self._has_notes = self._has_instead()
        self._refused: set[str] = set()  # by us

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
        """The stored answer to this exact request; that of another request, where this run was given one instead."""
        if self._has_notes and (instead := self._instead(request)) is not None:
            answer = self._answer(instead.request)
            if answer is not None:
                return replace(answer, attempts=answer.attempts + instead.attempts, instead=instead)
        return self._answer(request)

    def _answer(self, request: str) -> Answer | None:
        if self._known is not None and not self._writer.is_disturbed and request not in self._known:
            return None
        found = self._ahead.take(request)
        if found is None:
            found = self._row(self._ahead.query, request)
            if found is None:
                return None
            if not self.is_shared:  # where others may forget what was read
                self._ahead.follow(found[-1])
        kind, status, attempts, message, body, digest, note, seal_of_note, _ = found
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
        """Requests, retries and tokens of all attempts of this account, and the answers that they brought."""
        return totals_of(self._row, self._writer.account, self.path)

    def has_relaxed(self) -> bool:
        """Whether some request was refused for its schema, so that answers may stand under relaxed ones."""
        return bool(self._row("SELECT EXISTS (SELECT 1 FROM answers WHERE kind = 'schema_too_complex')")[0])

    def has_stored(self, request: str) -> bool:
        """Whether an answer stands there, damaged or not."""
        return bool(self._row("SELECT EXISTS (SELECT 1 FROM answers WHERE request = ?)", request)[0])

    def result(self, call: str) -> bytes | None:
        """What a function gave back in this call, if it was made before."""
        found = self._row("SELECT body, digest FROM notes WHERE request = ? AND kind = 'result'", call)
        return found[0] if found and is_sealed_note(call, RESULT, *found) else None

    def answered_by(self, request: str) -> str:
        """The request whose answer counts for this one in this run directory: itself, or another."""
        instead = self._instead(request) if self._has_notes else None
        return instead.request if instead else request

    def attempts_at(self, request: str) -> int:
        """Calls that this request has taken so far, with those of what answers it now."""
        found = self.lookup(request)
        if found is not None:
            return found.attempts
        failed = self._row("SELECT count(*) FROM attempts WHERE request = ? AND kind <> 'completion'", request)
        return int(failed[0])

    async def store(
        self, request: str, completion: Completion, cost_usd: float | None = None, research: Research | None = None
    ) -> Answer:
        """Store a completion, what it cost and what went before it; returns when it is on disk.

        The first answer to a request stands: where another process was faster, the answer given back is its.
        """
        note = None if research is None else to_json(research)
        entry = Entry(request, COMPLETION, completion.status, None, None, completion.raw, completion.usage, cost_usd)
        entry.note, entry.unsure = note, completion.is_unmetered
        return await self._kept(entry)

    async def store_result(self, call: str, result: bytes) -> None:
        """Store what a function gave back; returns when it is on disk."""
        await self._writer.stored(Entry(call, RESULT, None, None, None, None, note=result))

    async def store_refusal(self, request: str, error: APIError) -> Answer:
        """Store an error that is final for its record; returns when it is on disk."""
        self._refused.add(request)
        entry = Entry(request, error.kind, error.status, error.code, error.message, error.body)
        entry.unsure = error.may_be_billed
        return await self._kept(entry)

    async def store_instead(self, answers: Mapping[str, Instead]) -> None:
        """From now on, in this run directory, each of these requests is answered by another; all of them or none."""
        rows = [(name_of_note(request, self.account), noted(instead)) for request, instead in answers.items()]
        await self._writer.stored(Entry("", INSTEAD, None, None, None, None, note=to_json(rows)))
        self._has_notes = True

    def by_hand(self) -> list[ByHand]:
        """What people said of records of this run directory, and took back."""
        found = [read_by_hand(body) if body else None for _, body in self._own_notes(PREFIX, HUMAN)]
        return self._undamaged(found, "what a person said of a record")

    async def store_by_hand(self, notes: Sequence[ByHand]) -> None:
        """From now on people's words count for these records, or no longer; all of them or none."""
        rows = [(name_of_note(note.name, self.account), noted_by_hand(note)) for note in notes]
        await self._writer.stored(Entry("", HUMAN, None, None, None, None, note=to_json(rows)))

    def complaints(self) -> list[Complaint]:
        """What table checks have had against records of this run directory, round after round."""
        notes = [each for each in self._own_notes(COMPLAINTS, COMPLAINT) if not each[0].startswith(name_of_round(""))]
        found = [read_complaint(body) if body else None for _, body in notes]
        return self._undamaged(found, "what a table check had against a record")

    def had_round(self, round: str) -> bool:
        """Whether the complaints of this round are stored, if there were any."""
        name = name_of_note(name_of_round(round), self.account)
        found = self._row("SELECT body, digest FROM notes WHERE request = ? AND kind = 'complaint'", name)
        return found is not None and is_sealed_note(name, COMPLAINT, *found)

    async def store_complaints(self, round: str, notes: Sequence[Complaint]) -> None:
        """A round was held, and these are its complaints; all of them or none."""
        rows = [(name_of_note(note.name, self.account), noted_complaint(note)) for note in notes]
        rows.append((name_of_note(name_of_round(round), self.account), str(len(notes)).encode()))
        await self._writer.stored(Entry("", COMPLAINT, None, None, None, None, note=to_json(rows)))

    def note_failure(self, request: str, error: APIError) -> None:
        """Note a failed attempt that will be made again, or that leaves its record without an answer."""
        entry = Entry(request, error.kind, error.status, error.code, error.message, None)
        entry.unsure = error.may_be_billed
        self._writer.put(entry)

    async def forget(self, requests: Sequence[str]) -> None:
        """Drop these answers, so that they are asked for again; the attempts stay on the account.

        Of a shared journal only refusals that came in this run: others may have tables that rest on the rest.
        """
        for request in requests:
            if not self.is_shared or request in self._refused:
                self._writer.put(Entry(request, FORGET, None, None, None, None))
        await self.flush()
        self._ahead.clear()

    async def flush(self) -> None:
        """Return when everything stored or noted so far is on disk."""
        await self._writer.stored(Entry("", FLUSH, None, None, None, None))

    async def _kept(self, entry: Entry) -> Answer:
        if self._known is not None:
            self._known.add(entry.request)
        self._ahead.take(entry.request)
        return await self._writer.stored(entry)

    def _is_empty(self) -> bool:
        """Whether no answer is there; a file that cannot say so is not empty, and the first lookup tells of it."""
        try:
            return not self._row("SELECT EXISTS (SELECT 1 FROM answers)")[0]
        except RunDirectoryError:
            return False

    def _has_instead(self) -> bool:
        try:
            return bool(self._row("SELECT EXISTS (SELECT 1 FROM notes WHERE kind = 'instead')")[0])
        except RunDirectoryError:  # the first lookup tells of it
            return True

    def _instead(self, request: str) -> Instead | None:
        """Which request answers for this one in this run directory."""
        name = name_of_note(request, self.account)
        found = self._row("SELECT body, digest FROM notes WHERE request = ? AND kind = 'instead'", name)
        if found is None:
            return None
        if not is_sealed_note(name, INSTEAD, *found):
            logger.warning("%s: what answers for %s is damaged: its first answer counts", self.path, request)
            return None
        return read_note(found[0])

    def _own_notes(self, prefix: str, kind: str) -> Iterator[tuple[str, bytes | None]]:
        """The notes of this run directory of one kind, by name; None for the body of one that is damaged."""
        query = "SELECT request, body, digest FROM notes WHERE request BETWEEN ? AND ? AND kind = ?"
        ending = name_of_note("", self.account)
        for name, body, digest in self._rows(query, prefix, f"{prefix}~", kind):
            if name.endswith(ending):
                yield name, body if is_sealed_note(name, kind, body, digest) else None

    def _undamaged(self, notes: Sequence[Note | None], what: str) -> list[Note]:
        for _ in range(sum(note is None for note in notes)):
            logger.warning("%s: %s is damaged, and is left out", self.path, what)
        return [note for note in notes if note is not None]

    def _owner(self) -> str | None:
        """Whose directory the journal stands in, or stood."""
        try:
            found = self._row("SELECT body, digest FROM notes WHERE request = 'owner' AND kind = 'owner'")
        except RunDirectoryError:  # the first lookup tells of it
            return None
        return found[0].decode("ascii", "replace") if found and is_sealed_note(OWNER, OWNER, *found) else None

    def _row(self, query: str, *values: str) -> Any:
        """One row, or None."""
        return self._read(query, values, lambda cursor: cursor.fetchone())

    def _rows(self, query: str, *values: str) -> list[Any]:
        """All rows."""
        found: list[Any] = self._read(query, values, lambda cursor: cursor.fetchall())
        return found

    def _read(self, query: str, values: Sequence[str], fetch: Callable[[sqlite3.Cursor], Any]) -> Any:
        """What is found. A statement that is open in another thread would hold an old state of the file for all."""

        def read() -> Any:
            with self._reading, closing(self._reader.execute(query, values)) as cursor:
                return fetch(cursor)

        try:
            return patiently(read)
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
