"""A group of entries → rows of the tables: few statements for many entries."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from extract.journal.entries import FLUSH, FORGET, RESEARCH, RESULT, Answer, Entry
from extract.journal.seals import seal


def insert(connection: sqlite3.Connection, group: Sequence[Entry]) -> list[Answer | None]:
    """What became of each entry. Answers are dropped in their turn, all else goes in together."""
    found: list[Answer | None] = []
    for forget, entries in groupby(group, lambda entry: entry.kind == FORGET):
        found += (_drop if forget else _insert_together)(connection, list(entries))
    return found


def _drop(connection: sqlite3.Connection, entries: Sequence[Entry]) -> list[Answer | None]:
    """Answers that are to be asked for again. Their attempts are marked: such are counted when the next one comes."""
    dropped = [entry.request for entry in entries]
    marks = ",".join("?" * len(dropped))
    number = connection.execute(f"DELETE FROM answers WHERE request IN ({marks})", dropped).rowcount  # noqa: S608
    connection.execute("UPDATE totals SET answers = answers - ?", (number,))
    if number:
        connection.execute(
            f"UPDATE attempts SET kind = 'forgotten' WHERE kind = 'completion' AND request IN ({marks})",  # noqa: S608
            dropped,
        )
    return [None] * len(entries)


def _insert_together(connection: sqlite3.Connection, entries: Sequence[Entry]) -> list[Answer | None]:
    notes = [_note_row(entry) for entry in entries if entry.note is not None]
    if notes:
        connection.executemany("INSERT OR REPLACE INTO notes (request, kind, body, digest) VALUES (?,?,?,?)", notes)
    calls = [entry for entry in entries if entry.kind not in (FLUSH, RESULT)]
    attempts = iter(_insert_calls(connection, calls)) if calls else iter(())
    return [
        Answer(entry.kind, None, 0, None, entry.note or b"") if entry.kind in (FLUSH, RESULT) else next(attempts)
        for entry in entries
    ]


def _insert_calls(connection: sqlite3.Connection, calls: Sequence[Entry]) -> list[Answer | None]:
    """Few statements for all: what a statement costs is more than what a row costs."""
    requests = {entry.request for entry in calls}
    made = Counter(dict(_among(connection, "attempts", requests, "AND kind <> 'completion'")))
    replaced = dict(_among(connection, "answers", requests))
    if replaced:  # answers that were found damaged: rare, and worth reading all attempts
        made.update(dict(_among(connection, "attempts", replaced, "AND kind = 'completion'")))
    known, now = len(made), time.time()
    found = []
    for entry in calls:
        made[entry.request] += 1
        found.append(None if entry.body is None else _answer_of(entry, made[entry.request], entry.body))
    answered = {entry.request: (entry, answer) for entry, answer in zip(calls, found, strict=True) if answer}
    connection.executemany(
        "INSERT INTO attempts (request, at, kind, status, code, message, input_tokens, output_tokens)"
        " VALUES (?,?,?,?,?,?,?,?)",
        [
            (e.request, now, e.kind, e.status, e.code, e.message, e.usage.input_tokens, e.usage.output_tokens)
            for e in calls
        ],
    )
    if answered:
        connection.executemany(
            "INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?,?,?,?,?)",
            [_answer_row(entry, answer) for entry, answer in answered.values()],
        )
    retries = len(calls) - (len(requests) - known)  # all but the first of each request
    _add_to_totals(connection, calls, retries, len(answered) - len(replaced.keys() & answered.keys()))
    return found


def _among(
    connection: sqlite3.Connection, table: str, requests: Iterable[str], which: str = ""
) -> Iterable[tuple[str, int]]:
    """How many rows of the table each of these requests has; those without any are left out."""
    named = tuple(requests)
    marks = ",".join("?" * len(named))
    query = f"SELECT request, count(*) FROM {table} WHERE request IN ({marks}) {which} GROUP BY request"  # noqa: S608
    return connection.execute(query, named)


def _add_to_totals(connection: sqlite3.Connection, calls: Sequence[Entry], retries: int, answers: int) -> None:
    costs = [entry.cost_usd for entry in calls if entry.cost_usd is not None]
    cost = sum(costs) if costs else None
    connection.execute(
        "UPDATE totals SET requests = requests + ?, retries = retries + ?, input_tokens = input_tokens + ?,"
        " output_tokens = output_tokens + ?, answers = answers + ?,"
        " cost_usd = coalesce(cost_usd + ?, cost_usd, ?)",
        (
            *(len(calls), retries, sum(entry.usage.input_tokens for entry in calls)),
            *(sum(entry.usage.output_tokens for entry in calls), answers, cost, cost),
        ),
    )


def _answer_of(entry: Entry, attempts: int, body: bytes) -> Answer:
    return Answer(entry.kind, entry.status, attempts, entry.message, body)


def _answer_row(entry: Entry, answer: Answer) -> tuple[Any, ...]:
    stored = (answer.kind, answer.status, answer.attempts, answer.message, answer.body)
    return (
        *(entry.request, *stored[:3], entry.usage.input_tokens, entry.usage.output_tokens),
        *(*stored[3:], seal(entry.request, *stored)),
    )


def _note_row(entry: Entry) -> tuple[str, str, bytes, bytes]:
    kind, body = RESULT if entry.kind == RESULT else RESEARCH, entry.note or b""
    return entry.request, kind, body, seal(entry.request, kind, None, 0, None, body)
