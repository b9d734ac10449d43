"""What each run directory has asked of a journal that several share.

The first row is `totals`, of all calls. The owner of the journal, whose directory it stands in, has what is booked on
no other account.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from extract.errors import RunDirectoryError
from extract.journal.entries import Totals
from extract.records import Usage

Row = Callable[..., Any]

TABLE = """
CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, requests INTEGER NOT NULL DEFAULT 0,
  retries INTEGER NOT NULL DEFAULT 0, input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0,
  cost_usd REAL, answers INTEGER NOT NULL DEFAULT 0, ambiguous INTEGER NOT NULL DEFAULT 0,
  unmetered INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID
"""
UNSURE = (  # of older journals it is not known which failed calls may be billed
    "ALTER TABLE attempts ADD COLUMN unsure INTEGER NOT NULL DEFAULT 0",
    "UPDATE attempts SET unsure = 1"
    " WHERE kind IN ('completion', 'forgotten') AND input_tokens = 0 AND output_tokens = 0",
    "ALTER TABLE totals ADD COLUMN ambiguous INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE totals ADD COLUMN unmetered INTEGER NOT NULL DEFAULT 0",
    "UPDATE totals SET unmetered = (SELECT count(*) FROM attempts WHERE unsure)",
)
_SUMS = ("requests", "retries", "input_tokens", "output_tokens", "answers", "ambiguous", "unmetered")


def book(connection: sqlite3.Connection, account: str | None, added: Mapping[str, float | None]) -> None:
    """Add these numbers to the totals, and to an account if there is one."""
    sums = ", ".join(
        f"{name} = coalesce({name} + :{name}, {name}, :{name})" if name == "cost_usd" else f"{name} = {name} + :{name}"
        for name in added
    )
    connection.execute(f"UPDATE totals SET {sums}", added)  # noqa: S608  # names of our own
    if account is not None:
        connection.execute("INSERT OR IGNORE INTO accounts (name) VALUES (?)", (account,))
        connection.execute(f"UPDATE accounts SET {sums} WHERE name = :name", {**added, "name": account})  # noqa: S608


def totals_of(row: Row, account: str | None, path: Path) -> Totals:
    """What was asked on this account; None: on none. Raises RunDirectoryError when nothing tells."""
    names = ", ".join((*_SUMS, "cost_usd"))
    if account is not None:
        return _totals(row(f"SELECT {names} FROM accounts WHERE name = ?", account))  # noqa: S608  # names of our own
    whole = row(f"SELECT {names} FROM totals")  # noqa: S608
    if whole is None:
        raise RunDirectoryError(f"{path} cannot be read: its totals are gone", hint="see `extract fsck`")
    others = row(f"SELECT {', '.join(f'coalesce(sum({name}), 0)' for name in _SUMS)}, sum(cost_usd) FROM accounts")  # noqa: S608
    costs = None if whole[-1] is None else whole[-1] - (others[-1] or 0.0)
    return _totals((*(all_of - own for all_of, own in zip(whole[:-1], others[:-1], strict=True)), costs))


def _totals(found: Any) -> Totals:
    if found is None:
        return Totals()
    requests, retries, given, made, answers, ambiguous, unmetered, cost_usd = found
    return Totals(requests, retries, Usage(given, made), cost_usd, answers, ambiguous, unmetered)
