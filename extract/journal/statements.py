"""A group of entries → rows of the tables: few statements for many entries."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from pydantic_core import from_json

from extract.journal.accounts import book
from extract.journal.entries import COMPLAINT, COMPLETION, FORGET, HUMAN, INSTEAD, NOTES, RESEARCH, Answer, Entry
from extract.journal.seals import is_sealed, seal

ROWS = (64, 32, 16, 8, 4, 2, 1)  # that go in with one statement


def insert(connection: sqlite3.Connection, group: Sequence[Entry], account: str | None = None) -> list[Answer | None]:
    """What became of each entry. Answers are dropped in their turn, all else goes in together."""
    found: list[Answer | None] = []
    for forget, entries in groupby(group, lambda entry: entry.kind == FORGET):
        found += (_drop if forget else _insert_together)(connection, list(entries), account)
    return found


def _drop(connection: sqlite3.Connection, entries: Sequence[Entry], account: str | None) -> list[Answer | None]:
    """Answers that are to be asked for again. Their attempts are marked: such are counted when the next one comes."""
    dropped = [entry.request for entry in entries]
    marks = ",".join("?" * len(dropped))
    number = connection.execute(f"DELETE FROM answers WHERE request IN ({marks})", dropped).rowcount  # noqa: S608
    book(connection, account, {"answers": -number})
    if number:
        connection.execute(
            f"UPDATE attempts SET kind = 'forgotten' WHERE kind = 'completion' AND request IN ({marks})",  # noqa: S608
            dropped,
        )
    return [None] * len(entries)


def _insert_together(
    connection: sqlite3.Connection, entries: Sequence[Entry], account: str | None
) -> list[Answer | None]:
    notes = [row for entry in entries if entry.note is not None for row in _note_rows(entry, entry.note)]
    if notes:
        _insert_rows(connection, "INSERT OR REPLACE INTO notes (request, kind, body, digest)", notes)
    calls = [entry for entry in entries if entry.kind not in NOTES]
    attempts = iter(_insert_calls(connection, calls, account)) if calls else iter(())
    return [
        Answer(entry.kind, None, 0, None, entry.note or b"") if entry.kind in NOTES else next(attempts)
        for entry in entries
    ]


def _insert_calls(connection: sqlite3.Connection, calls: Sequence[Entry], account: str | None) -> list[Answer | None]:
    """Few statements for all: what a statement costs is more than what a row costs."""
    requests = {entry.request for entry in calls}
    made = Counter(dict(_among(connection, "attempts", requests, "AND kind <> 'completion'")))
    replaced = dict(_among(connection, "answers", requests))
    standing = _whole(connection, replaced) if replaced else {}
    if replaced:  # damaged, or asked by two processes at once: rare, and worth reading all attempts
        made.update(dict(_among(connection, "attempts", replaced, "AND kind = 'completion'")))
    known, now = len(made), time.time()
    found = []
    for entry in calls:
        made[entry.request] += 1
        found.append(None if entry.body is None else _answer_of(entry, made[entry.request], entry.body))
    answered = {
        entry.request: (entry, answer)
        for entry, answer in zip(calls, found, strict=True)
        if answer and entry.request not in standing
    }
    _insert_rows(
        connection,
        "INSERT INTO attempts (request, at, kind, status, code, message, input_tokens, output_tokens, unsure)",
        [
            (e.request, now, e.kind, e.status, e.code, e.message, e.usage.input_tokens, e.usage.output_tokens, e.unsure)
            for e in calls
        ],
    )
    if answered:
        _insert_rows(
            connection,
            "INSERT OR REPLACE INTO answers",
            [_answer_row(entry, answer) for entry, answer in answered.values()],
        )
    retries = len(calls) - (len(requests) - known)  # all but the first of each request
    _add_to_totals(connection, account, calls, retries, len(answered) - len(replaced.keys() & answered.keys()))
    return [standing.get(entry.request, answer) if answer else None for entry, answer in zip(calls, found, strict=True)]


def _insert_rows(connection: sqlite3.Connection, into: str, rows: Sequence[Sequence[Any]]) -> None:
    """Many rows a statement, in few sizes, so that each is compiled once.

    With every statement the other threads get their turn, and while they are busy this one waits 5 ms for its own: a
    group of 128 took 115 ms beside a busy loop with a statement for each row, and takes 8 ms.
    """
    at = 0
    for size in ROWS:
        while at + size <= len(rows):
            some = rows[at : at + size]
            row = f"({','.join('?' * len(some[0]))})"
            connection.execute(f"{into} VALUES {','.join([row] * size)}", [value for each in some for value in each])
            at += size


def _whole(connection: sqlite3.Connection, requests: Iterable[str]) -> dict[str, Answer]:
    """The answers to these requests that are undamaged: the first one stands, since a table may rest on it."""
    named = tuple(requests)
    marks = ",".join("?" * len(named))
    query = f"SELECT request, kind, status, attempts, message, body, digest FROM answers WHERE request IN ({marks})"  # noqa: S608
    rows = connection.execute(query, named)
    return {request: Answer(*stored) for request, *stored, digest in rows if is_sealed(request, stored, digest)}


def _among(
    connection: sqlite3.Connection, table: str, requests: Iterable[str], which: str = ""
) -> Iterable[tuple[str, int]]:
    """How many rows of the table each of these requests has; those without any are left out."""
    named = tuple(requests)
    marks = ",".join("?" * len(named))
    query = f"SELECT request, count(*) FROM {table} WHERE request IN ({marks}) {which} GROUP BY request"  # noqa: S608
    return connection.execute(query, named)


def _add_to_totals(
    connection: sqlite3.Connection, account: str | None, calls: Sequence[Entry], retries: int, answers: int
) -> None:
    costs = [entry.cost_usd for entry in calls if entry.cost_usd is not None]
    added = {
        "requests": len(calls),
        "retries": retries,
        "input_tokens": sum(entry.usage.input_tokens for entry in calls),
        "output_tokens": sum(entry.usage.output_tokens for entry in calls),
        "cost_usd": sum(costs) if costs else None,
        "answers": answers,
        "ambiguous": sum(entry.unsure for entry in calls if entry.kind != COMPLETION),
        "unmetered": sum(entry.unsure for entry in calls if entry.kind == COMPLETION),
    }
    book(connection, account, added)


def _answer_of(entry: Entry, attempts: int, body: bytes) -> Answer:
    return Answer(entry.kind, entry.status, attempts, entry.message, body)


def _answer_row(entry: Entry, answer: Answer) -> tuple[Any, ...]:
    stored = (answer.kind, answer.status, answer.attempts, answer.message, answer.body)
    return (
        *(entry.request, *stored[:3], entry.usage.input_tokens, entry.usage.output_tokens),
        *(*stored[3:], seal(entry.request, *stored)),
    )


def _note_rows(entry: Entry, note: bytes) -> Iterable[tuple[str, str, bytes, bytes]]:
    kind = entry.kind if entry.kind in NOTES else RESEARCH
    if kind not in (INSTEAD, HUMAN, COMPLAINT):
        return [_note_row(entry.request, kind, note)]
    return [_note_row(name, kind, body.encode()) for name, body in from_json(note)]


def _note_row(request: str, kind: str, body: bytes) -> tuple[str, str, bytes, bytes]:
    return request, kind, body, seal(request, kind, None, 0, None, body)
