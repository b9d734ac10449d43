"""`one_of_table`: a field against a column of a reference file."""

from __future__ import annotations

import datetime as dt
import hashlib
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from extract.checks.base import FieldCheck, issue_of, shown
from extract.checks.lists import alike
from extract.checks.paths import reader
from extract.errors import ConfigError
from extract.nearest import did_you_mean
from extract.records import Issue, Record, Severity
from extract.sources import Csv, Parquet, Rows

_CODE = "semantic.one_of_table"
MAX_QUERY = 1_000  # characters of a value that is compared letter by letter with every entry
REMEMBERED = 10_000  # values whose nearest entry is known


def one_of_table(
    name: str,
    table: str | Path,
    column: str,
    *,
    cutoff: float | None = None,
    ignore_case: bool = False,
    severity: Severity = "repair",
) -> FieldCheck:
    """The field's value is one of a column of a CSV or Parquet file (code `semantic.one_of_table`).

    Text must be equal but for white space at its ends; numbers and dates are equal by value. `ignore_case`: case, width
    and runs of white space do not matter. `cutoff`: from 0 to 100, how alike the nearest entry must be by rapidfuzz's
    `fuzz.ratio`, once case, width and white space are folded; the value stays as it is. Null passes.

    The file is read once, before the first request, and read again by a later run when its content has changed.
    """
    code = _CODE
    if cutoff is not None and not 0 <= cutoff <= 100:
        raise ConfigError(f"{code}: cutoff is {cutoff!r}", hint="from 0 to 100")
    reference = _Reference(Path(table), column)
    read, issue = reader(name), issue_of(code, severity)
    where = f"{Path(table).name}:{column}"

    def judge(value: Any, _: Record) -> Iterator[Issue]:
        entries = reference.entries()
        for path, found in read(value):
            if entries.holds(found, ignore_case=ignore_case or cutoff is not None):
                continue
            nearest = entries.nearest(found) if isinstance(found, str) else None
            if cutoff is not None and nearest is not None and nearest[1] >= cutoff:
                continue
            close = f"; nearest is {nearest[0]!r} ({nearest[1]:.0f} of 100)" if nearest and nearest[1] else ""
            yield issue(path, f"{name} is {shown(found)}, which is not in {where}{close}", found)

    return FieldCheck(code, (name,), (), judge, (reference, cutoff, ignore_case), severity, (), reference.refuse)


@dataclass(frozen=True, eq=False)
class Entries:
    """The distinct values of a column, as they are looked up."""

    exact: frozenset[Any]  # texts, numbers and days
    folded: dict[str, str]  # folded text → as it stands
    _near: dict[str, tuple[str, float] | None] = field(default_factory=dict)

    def holds(self, value: Any, *, ignore_case: bool) -> bool:
        """Whether a value is among them."""
        if isinstance(value, str):
            return value.strip() in self.exact or (ignore_case and folded(value) in self.folded)
        return _plain(value) in self.exact

    def nearest(self, value: str) -> tuple[str, float] | None:
        """The entry most like a text, and how alike they are, of 100."""
        text = folded(value[:MAX_QUERY])
        if text not in self._near:
            from rapidfuzz import fuzz, process

            if len(self._near) >= REMEMBERED:
                self._near.clear()
            best = process.extractOne(text, self.folded.keys(), scorer=fuzz.ratio) if self.folded else None
            self._near[text] = (self.folded[best[0]], best[1]) if best else None
        return self._near[text]


@dataclass(frozen=True)
class _Reference:
    """A column of a file, as it was when last looked at: a run has the same from its beginning to its end.

    Its repr tells its content, for the fingerprint of a pipeline.
    """

    path: Path
    column: str
    _kept: dict[str, Entries] = field(default_factory=dict, compare=False)  # one at most, by fingerprint

    def entries(self) -> Entries:
        """What the column holds. Raises as `refuse` does."""
        if not self._kept:
            self.refuse()
        return next(iter(self._kept.values()))

    def refuse(self) -> None:
        """Read the file. Raises ConfigError for a file or column that is not there; InputError for a damaged one."""
        fingerprint = fingerprint_of(_CODE, self.path)
        found = _entries(self.path, self.column, fingerprint)
        self._kept.clear()
        self._kept[fingerprint] = found

    def __repr__(self) -> str:
        return f"{self.path}:{self.column}:{next(iter(self._kept), None) or fingerprint_of(_CODE, self.path)}"


def fingerprint_of(check: str, path: Path) -> str:
    """A digest of a file's content. Raises ConfigError for one that cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ConfigError(f"the check {check} cannot read {path}: {error.strerror}") from None
    return digest.hexdigest()


@lru_cache(maxsize=16)
def _entries(path: Path, column: str, _fingerprint: str) -> Entries:
    rows = rows_of(_CODE, path, column)
    exact: set[Any] = set()
    texts: dict[str, str] = {}
    for row in rows:
        value = row.values.get(column)
        if isinstance(value, str):
            value = value.strip()
            if not value:
                continue
            texts.setdefault(folded(value), value)
            exact.add(value)
            exact |= _read_as_others(value)
        elif value is not None:
            exact.add(_plain(value))
    return Entries(frozenset(exact), texts)


def rows_of(check: str, path: Path, column: str) -> Rows:
    """The rows of a CSV or Parquet file that has this column. Raises ConfigError."""
    kinds: dict[str, Any] = {".csv": Csv, ".parquet": Parquet, ".pq": Parquet}
    if path.suffix.lower() not in {*kinds, ".tsv"}:
        raise ConfigError(f"the check {check} cannot read {path}", hint="a .csv, .tsv or .parquet file")
    rows: Rows = Csv(path, delimiter="\t") if path.suffix.lower() == ".tsv" else kinds[path.suffix.lower()](path)
    if column not in rows.columns:
        raise ConfigError(
            f"the check {check} reads a column {column!r} that {path} has not", hint=did_you_mean(column, rows.columns)
        )
    return rows


def _plain(value: Any) -> Any:
    """Numbers by value, days without their time of midnight."""
    return value.date() if isinstance(value, dt.datetime) and value.time() == dt.time() else alike(value)


def _read_as_others(text: str) -> set[Any]:
    """What a cell of a CSV file may be besides text: a number, a day."""
    found: set[Any] = set()
    with suppress(ArithmeticError):
        number = Decimal(text)
        found |= {number} if number.is_finite() else set()
    with suppress(ValueError):
        found.add(dt.date.fromisoformat(text))
    return found


@lru_cache(maxsize=1_000)
def folded(text: str) -> str:
    """A text in one case, width and spacing."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
