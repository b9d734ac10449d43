"""What a table check is, what it found, and which fields are at fault."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from extract.checks.base import Kinds, named, refuse_fields, refuse_severity
from extract.checks.faults import place_of
from extract.checks.tables.rows import Culprit, Place, TableRows
from extract.errors import ConfigError, ExtractError
from extract.records import Key, Severity

if TYPE_CHECKING:
    from extract.schema.shapes import Shape

MAX_KEYS = 100  # of failing rows that are named
MAX_CULPRITS = 1_000  # places that the manifest keeps for a repair


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found: nothing when `message` is empty; places that fail, in order; how many there are in all.

    culprits: those of them that a repair would ask again; None: all places, for the same reason.
    """

    message: str = ""
    places: tuple[Place, ...] = ()
    failing: int = 0
    said: str = ""  # of a check that passed
    culprits: Sequence[Culprit] | None = None


@dataclass(frozen=True, slots=True)
class TableFinding:
    """The result of one table check: as it stands in the report and in the manifest.

    failing: rows at fault, of which `keys` names the first. culprits: what a repair asks again: key, path, and what is
    said of it. asked: places that were asked again for this check; unmended: those of them that it still finds.
    """

    name: str
    code: str
    severity: Severity
    passed: bool
    message: str = ""
    failing: int = 0
    keys: tuple[Key, ...] = ()
    culprits: tuple[Culprit, ...] = ()
    asked: int = 0
    unmended: tuple[Place, ...] = ()
    fingerprint: str = field(default="", repr=False)

    @property
    def fails_run(self) -> bool:
        """Whether the run is no success for it."""
        return not self.passed and self.severity != "warn"

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "name": self.name,
            "code": self.code,
            "severity": self.severity,
            "passed": self.passed,
            "message": self.message,
            "failing": self.failing,
            "keys": list(self.keys),
            "culprits": [list(culprit) for culprit in self.culprits],
            **({"asked": self.asked, "unmended": [list(place) for place in self.unmended]} if self.asked else {}),
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TableFinding:
        """What `as_dict` wrote. Raises TypeError, KeyError and ValueError for anything else."""
        data = dict(data)
        culprits = tuple(Culprit(key, str(path), str(why)) for key, path, why in data.pop("culprits"))
        unmended = tuple((key, str(path)) for key, path in data.pop("unmended", ()))
        return cls(**data | {"keys": tuple(data["keys"])}, culprits=culprits, unmended=unmended)


@dataclass(frozen=True)
class TableCheck:
    """A check over the finished rows. `fields` are paths as in semantic checks, or columns of the source in the table.

    repair: the fields at fault are asked again, once the table is complete. prepare: looks at what it needs besides the
    rows before the first request; raises ConfigError. asked: those of the fields that a repair asks; None: all.
    """

    code: str
    name: str
    fields: tuple[str, ...]
    judge: Callable[[TableRows], Verdict]
    settings: tuple[Any, ...] = ()
    severity: Severity = "reject"
    repair: bool = False
    kinds: Kinds = ()
    prepare: Callable[[], None] | None = None
    asked: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        refuse_severity(self.name, self.severity)

    @property
    def fingerprint(self) -> str:
        """Changes when it would find something else in the same rows."""
        parts = (self.code, self.name, self.fields, self.settings, self.severity, self.repair)
        return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def refuse(self, shape: Shape, columns: Sequence[str]) -> None:
        """Refuse fields that are not in the table. `columns`: those that are no fields. Raises ConfigError."""
        own = [name for name in self.fields if name not in columns]
        refuse_fields(self.name, own, shape, self.kinds, tables=True)
        asked = self.fields if self.asked is None else self.asked
        if self.repair and asked and all(name in columns for name in asked):
            what = "is a column" if len(asked) == 1 else "are columns"
            said = f"{self.name} has repair=True, and {', '.join(asked)} {what} of the source, which no model is asked"
            raise ConfigError(said, hint="leave repair=True out, or name a field of the answer")
        if self.prepare is not None:
            self.prepare()

    def __call__(self, rows: TableRows) -> TableFinding:
        """Its finding. What goes wrong in it is a finding too: the tables are finished, and stay."""
        try:
            found = self.judge(rows)
            code = self.code
        except Exception as error:  # of the user's schema, or of a file that has gone
            trace = "" if isinstance(error, ExtractError) else "".join(traceback.format_exception(error, limit=-3))
            found = Verdict(f"the check could not be made: {error}, at {place_of(error)} {trace}"[:4_000].strip())
            code = "check.error"
        keys = tuple(dict.fromkeys(key for key, _ in found.places))[:MAX_KEYS]
        culprits = _culprits(found)[:MAX_CULPRITS] if self.repair and code == self.code else ()
        passed = not found.message
        message = found.message or found.said
        failing = max(found.failing, len(keys))
        return TableFinding(
            self.name, code, self.severity, passed, message, failing, keys, culprits, fingerprint=self.fingerprint
        )


def counted(places: Iterable[Place]) -> tuple[list[Place], int]:
    """The first places, and in how many rows there are such; a row's places come one after the other."""
    first: list[Place] = []
    rows, last = 0, None
    for place in places:
        rows += place[0] != last
        last = place[0]
        if len(first) < MAX_CULPRITS:
            first.append(place)
    return first, rows


def _culprits(found: Verdict) -> tuple[Culprit, ...]:
    if found.culprits is not None:
        return tuple(found.culprits)
    return tuple(Culprit(key, path, found.message) for key, path in found.places)


def culprits(findings: Iterable[TableFinding]) -> list[Place]:
    """What is to be asked again for the checks that failed and have `repair=True`: (key, path), each once."""
    return list(dict.fromkeys(each.place for finding in findings if not finding.passed for each in finding.culprits))


def _shown(given: Any) -> str:
    return named(given) if callable(given) else repr(given)[:200]


def refuse_table_checks(given: Any) -> None:
    """Refuse what is no list of table checks with names of their own. Raises ConfigError."""
    if isinstance(given, TableCheck) or not isinstance(given, Sequence) or isinstance(given, str):
        shown = f"the check {given.name}" if isinstance(given, TableCheck) else _shown(given)
        raise ConfigError(f"table_checks is {shown}, not a list", hint="table_checks=[checks.tables.unique(…)]")
    for check in given:
        if not isinstance(check, TableCheck):
            hint = "one of checks.tables; what judges a record belongs in checks=[…]"
            raise ConfigError(f"{_shown(check)} is no table check", hint=hint)
    names = [check.name for check in given]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two table checks are called {name!r}", hint="name=… tells them apart")
