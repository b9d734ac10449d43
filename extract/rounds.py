"""Rounds of table repair: which tables and checks each is of, whether it was held, and what it asked.

There is one round for the same records, the same pipeline and the same table checks. That it was held is noted in the
journal in the commit in which its complaints are, so no kill leads to a second one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from extract.checks.tables import Place
from extract.journal import Complaint, Journal
from extract.pipeline import Prepared

TABLE_REPAIR = "table_repair"  # in the manifest


@dataclass(frozen=True)
class Round:
    """One round."""

    name: str
    checks: tuple[str, ...]  # that want repairs, by name

    @classmethod
    def of(cls, prepared: Prepared, fingerprints: Mapping[str, str]) -> Round:
        """That of these tables and checks."""
        checks = [check for check in prepared.pipeline.table_checks if check.repair]
        parts = (sorted(fingerprints.items()), [check.fingerprint for check in checks])
        name = hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return cls(name, tuple(check.name for check in checks))

    def is_over(self, manifest: Mapping[str, Any] | None) -> bool:
        """Whether finished tables show what it came to."""
        found = (manifest or {}).get(TABLE_REPAIR)
        return isinstance(found, dict) and found.get("round") == self.name

    def about(self, journal: Journal) -> dict[str, Any]:
        """For the manifest of tables that are made by the complaints in the journal: nothing before it was held."""
        if not self.checks or not journal.had_round(self.name):
            return {}
        return self.said(len(self.complaints(journal)))

    def said(self, records: int) -> dict[str, Any]:
        """For the manifest."""
        return {TABLE_REPAIR: {"round": self.name, "records": records}}

    def complaints(self, journal: Journal) -> list[Complaint]:
        """What it asks records about; not what it could only flag."""
        return [each for each in journal.complaints() if each.round == self.name and each.request]

    def asked(self, journal: Journal) -> dict[str, Set[Place]]:
        """The places that were asked again and answered, by the name of the check."""
        found: dict[str, set[Place]] = {}
        for each in self.complaints(journal) if self.checks else ():
            if journal.has_stored(each.request):
                for charge in each.charges:
                    found.setdefault(charge.check, set()).add((each.key, charge.path))
        return dict(found)
