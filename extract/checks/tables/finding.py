"""What a table check is, what it found, and which fields are at fault."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from extract.checks.base import Kinds, refuse_fields, refuse_severity
from extract.checks.faults import place_of
from extract.checks.tables.rows import Place, TableRows
from extract.errors import ConfigError, ExtractError
from extract.records import Key, Severity

if TYPE_CHECKING:
    from extract.schema.shapes import Shape

MAX_KEYS = 100  # of failing rows that are named
MAX_CULPRITS = 1_000  # places that the manifest keeps for a repair


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found: nothing when `message` is empty; places that fail, in order; how many there are in all."""

    message: str = ""
    places: tuple[Place, ...] = ()
    failing: int = 0
    said: str = ""  # of a check that passed


@dataclass(frozen=True, slots=True)
class TableFinding:
    """The result of one table check: as it stands in the report and in the manifest.

    failing: rows at fault, of which `keys` names the first. culprits: what a repair would ask again, key and path.
    """

    name: str
    code: str
    severity: Severity
    passed: bool
    message: str = ""
    failing: int = 0
    keys: tuple[Key, ...] = ()
    culprits: tuple[Place, ...] = ()
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
            "culprits": [list(place) for place in self.culprits],
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TableFinding:
        """What `as_dict` wrote. Raises TypeError, KeyError and ValueError for anything else."""
        data = dict(data)
        keys, places = tuple(data.pop("keys")), tuple((key, str(path)) for key, path in data.pop("culprits"))
        return cls(**data, keys=keys, culprits=places)


@dataclass(frozen=True)
class TableCheck:
    """A check over the finished rows. `fields` are paths as in semantic checks, or columns of the source in the table.

    repair: the places at fault are kept for a repair to ask again. prepare: looks at what it needs besides the rows
    before the first request; raises ConfigError.
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
        culprits = found.places[:MAX_CULPRITS] if self.repair else ()
        passed = not found.message
        message = found.message or found.said
        failing = max(found.failing, len(keys))
        return TableFinding(self.name, code, self.severity, passed, message, failing, keys, culprits, self.fingerprint)


def culprits(findings: Iterable[TableFinding]) -> list[Place]:
    """What is to be asked again for the checks that failed and have `repair=True`: (key, path), each once."""
    return list(dict.fromkeys(place for finding in findings if not finding.passed for place in finding.culprits))


def refuse_table_checks(given: Any) -> None:
    """Refuse what is no list of table checks with names of their own. Raises ConfigError."""
    if isinstance(given, TableCheck) or not isinstance(given, Sequence) or isinstance(given, str):
        raise ConfigError(f"table_checks is {given!r}"[:200], hint="a list: table_checks=[checks.tables.unique(…)]")
    for check in given:
        if not isinstance(check, TableCheck):
            hint = "one of checks.tables; what judges a record goes into checks=[…]"
            raise ConfigError(f"{check!r} is no table check"[:200], hint=hint)
    names = [check.name for check in given]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two table checks are called {name!r}", hint="name=… tells them apart")
