"""What was asked of the server and what became of it: counts, and a JSON line for each chat request."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers

Json = dict[str, Any]

ROW, ATTEMPT = "x-row-key", "x-attempt"  # headers by which a test may say what a request is for
MOST = 200  # letters of such a header
GONE = 499  # the client went before its answer


class Ledger:
    """Counts chat requests as they arrive and as they are answered, and writes a line about each to a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.requests = 0
        self.completions = 0
        self.in_work = 0

    def arrived(self, path: str, headers: Headers) -> Entry:
        """The entry of a request that has just come in; close it."""
        self.requests += 1
        return Entry(self, self.requests, path, headers.get(ROW, "")[:MOST], headers.get(ATTEMPT, "")[:MOST])

    def counts(self) -> Json:
        """The counts so far."""
        return {"requests": self.requests, "completions": self.completions, "in_work": self.in_work}

    def write(self, line: Json) -> None:
        """Append a line to the file, if there is one."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


@dataclass(slots=True)
class Entry:
    """One request: filled in as it is worked on, written when it is closed.

    `is_billed`: the model has written something for it, whoever got to read it.
    """

    ledger: Ledger
    number: int  # from 1
    path: str
    row: str = ""
    attempt: str = ""
    raw: bytes = b""
    stream: bool = False
    status: int = 500
    usage: Json | None = None
    is_billed: bool = False
    is_in_work: bool = False
    is_closed: bool = False

    def begin(self) -> None:
        """The request is now worked on, or waits for that, until it is closed."""
        self.is_in_work = True
        self.ledger.in_work += 1

    def close(self, status: int | None = None) -> None:
        """Write the line; the first closing counts."""
        if self.is_closed:
            return
        self.is_closed = True
        self.ledger.in_work -= self.is_in_work
        self.status = self.status if status is None else status
        self.ledger.completions += self.status == 200
        usage = self.usage or {}
        line = {
            "request": self.number,
            "time": datetime.now(UTC).isoformat(),
            "path": self.path,
            "row": self.row or None,
            "attempt": self.attempt or None,
            "stream": self.stream,
            "status": self.status,
            "billed": self.is_billed,
            "prompt_tokens": usage.get("prompt_tokens"),
            "completion_tokens": usage.get("completion_tokens"),
            "sha256": hashlib.sha256(self.raw).hexdigest(),
        }
        self.ledger.write(line)
