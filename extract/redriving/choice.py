"""Which records of a finished run are asked again: chosen by reason and key from the quarantine.

A request is what is asked again, so a record is left out when rows that are to stay rest on the same request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from extract.picking import Picking
from extract.records import Key
from extract.report import by_number
from extract.sinks import ShardWriter
from extract.sinks.former import quarantined, requests_of_rows


@dataclass(frozen=True)
class Choice:
    """The chosen records, by key with the hashes of their requests, and why others were left out."""

    rows: dict[Key, tuple[str, ...]]
    why: dict[Key, str]  # the reason of each
    quarantined: int = 0  # all of them
    unaskable: int = 0  # chosen, but no request could ever be made for them
    sharing: int = 0  # chosen, but rows that stay rest on the same request

    @property
    def reasons(self) -> dict[str, int]:
        """How many are chosen for each reason."""
        return by_number(Counter(self.why[key] for key in self.rows))


def choose(writer: ShardWriter, reasons: Sequence[str] = (), keys: Sequence[Key] = ()) -> Choice:
    """The quarantined records with one of these reasons (patterns such as `schema.*`) and one of these keys.

    None given: all. Raises ConfigError for a reason or a key that no quarantined record has.
    """
    wanted = Picking(reasons, keys)
    found: dict[Key, tuple[str, ...]] = {}
    why: dict[Key, str] = {}
    kept: list[tuple[str, ...]] = []
    total = unaskable = 0
    for row in quarantined(writer):
        total += 1
        if not wanted.has(row):
            kept.append(row.requests)
        elif row.requests:
            found[row.key], why[row.key] = row.requests, row.reason
        else:
            unaskable += 1
    wanted.check()
    left = _sharing(found, writer, kept)
    rows = {key: requests for key, requests in found.items() if key not in left}
    return Choice(rows, why, total, unaskable, len(left))


def _sharing(found: Mapping[Key, tuple[str, ...]], writer: ShardWriter, kept: Sequence[tuple[str, ...]]) -> set[Key]:
    """The records whose requests rows that stay rest on too."""
    named = {request for requests in found.values() for request in requests}
    staying = {request for request in requests_of_rows(writer) if request in named}
    return resting_on(found, staying | {request for requests in kept for request in requests if request in named})


def resting_on(found: Mapping[Key, tuple[str, ...]], requests: Set[str]) -> set[Key]:
    """The records that rest on these requests, and those that share a request with them, and so on."""
    if not requests:
        return set()
    owners: dict[str, list[Key]] = {}
    for key, own in found.items():
        for request in own:
            owners.setdefault(request, []).append(key)
    waiting, left = list(requests), set[Key]()
    while waiting:
        for key in owners.pop(waiting.pop(), ()):
            if key not in left:
                left.add(key)
                waiting += found[key]
    return left
