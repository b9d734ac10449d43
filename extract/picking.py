"""Which rows of the quarantine are meant: by their reason, or a pattern of it, and by their key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from extract.errors import ConfigError
from extract.nearest import did_you_mean
from extract.records import Key
from extract.sinks.former import Quarantined


@dataclass
class Picking:
    """What was asked for, and what of it was seen. None given: all."""

    reasons: Sequence[str] = ()  # codes, or patterns such as `schema.*`
    keys: Sequence[Key] = ()
    _codes: set[str] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._keys = {str(key) for key in self.keys}

    def has(self, row: Quarantined) -> bool:
        """Whether this row is meant."""
        self._codes.add(row.reason)
        if self._keys:
            if str(row.key) not in self._keys:
                return False
            self._seen.add(str(row.key))
        return not self.reasons or any(fnmatchcase(row.reason, each) for each in self.reasons)

    def check(self) -> None:
        """After all rows: raises ConfigError for what was asked for and is not there."""
        for each in self.reasons:
            if self._codes and not any(fnmatchcase(code, each) for code in self._codes):
                hint = did_you_mean(each, sorted(self._codes))
                raise ConfigError(f"no quarantined record has the reason {each!r}", hint=hint)
        for key in sorted(self._keys - self._seen):
            raise ConfigError(f"the quarantine has no record {key!r}", hint="keys are those of its column `key`")
