"""Which request gets which fault: mixes with rates, drawn from the seed, the request and its attempt alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from extract.faults.catalogue import FAULTS
from extract.faults.turn import BALANCE, CONFIG, SCHEMA, Fault

CHAOS = 0.5  # of the requests, all faults together
STOPS_RUN = 0.0005  # of the requests, each fault that ends a run
_STOPPING = frozenset({BALANCE, CONFIG, SCHEMA})


class UnknownFault(ValueError):  # noqa: N818  # a name, not a state of the program
    """No fault or profile has this name, or it cannot be shown to this request."""


def named(name: str) -> list[Fault]:
    """The fault of this name, or all forms of a quirk (`Q19`). Raises UnknownFault."""
    found = [fault for fault in FAULTS.values() if name in (fault.name, fault.quirk)]
    if not found:
        raise UnknownFault(f"there is no fault {name!r}; quirks have names such as Q14 or Q19.kie")
    return found


@dataclass(frozen=True)
class Profile:
    """A mix of faults: `rates` are shares of the requests, by quirk or by fault.

    The rate of a quirk is shared out among those of its forms that a request can be shown. From attempt
    `clean_after + 1` on a request gets its good answer, so that a client with more attempts than that comes through.
    """

    name: str
    rates: Mapping[str, float]
    clean_after: int = 3

    def __post_init__(self) -> None:
        total = sum(self.rates.values())
        if min(self.rates.values(), default=0) < 0 or total > 1 + 1e-9:
            raise ValueError(f"the rates of profile {self.name!r} are shares of all requests; their sum is {total:g}")
        for name in self.rates:
            named(name)

    def table(self, *, stream: bool) -> tuple[tuple[Fault, float], ...]:
        """Each fault that a request of this form may get, with its rate."""
        return self._tables[stream]

    @cached_property
    def _tables(self) -> dict[bool, tuple[tuple[Fault, float], ...]]:
        return {stream: tuple(self._shares({"stream": stream})) for stream in (False, True)}

    def _shares(self, body: Mapping[str, Any]) -> list[tuple[Fault, float]]:
        shares = []
        for name, rate in self.rates.items():
            forms = [fault for fault in named(name) if fault.applies(body)]
            shares += [(fault, rate / len(forms)) for fault in forms]
        return shares

    def draw(self, chance: float, attempt: int, *, stream: bool) -> Fault | None:
        """The fault at `chance`, drawn from [0, 1)."""
        if attempt > self.clean_after:
            return None
        for fault, rate in self.table(stream=stream):
            if chance < rate:
                return fault
            chance -= rate
        return None


def _chaos() -> dict[str, float]:
    """Every fault: the quirks alike, but what ends a run is rare."""
    stopping = {fault.name: STOPS_RUN for fault in FAULTS.values() if fault.expect[0] in _STOPPING}
    others = [fault for fault in FAULTS.values() if fault.name not in stopping]
    forms = Counter(fault.quirk for fault in others)
    rest = CHAOS - sum(stopping.values())
    return stopping | {fault.name: rest / len(forms) / forms[fault.quirk] for fault in others}


_GEMINI = {"Q24.upper": 0.005, "Q30": 0.005, "Q37": 0.005, "Q38": 0.003, "Q72.hidden": 0.02}
_TOAPIS = {
    **_GEMINI,
    "Q5.504": 0.02,
    "Q12": 0.01,
    "Q13.eof": 0.01,
    "Q13.reset": 0.01,
    "Q19.success": 0.02,
    "Q21.content_list": 0.01,
    "Q21.content_null": 0.01,
    "Q23": 0.03,
    "Q34": 0.02,
    "Q56": 0.03,
    "Q59": 0.03,
    "Q61": 0.01,
}
_KIE = {
    **_GEMINI,
    "Q1": 0.02,
    "Q2": 0.03,
    "Q3.json": 0.03,
    "Q4": 0.03,
    "Q13.eof": 0.01,
    "Q19.kie": 0.03,
    "Q19.kie_rate": 0.03,
    "Q28": 0.03,
    "Q29.reasoning_content": 0.03,
    "Q34": 0.02,
    "Q44": 0.01,
}
_NEWAPI = {
    **_GEMINI,
    "Q6.ping": 0.03,
    "Q12": 0.02,
    "Q13.eof": 0.01,
    "Q14.bare": 0.02,
    "Q15": 0.02,
    "Q16": 0.01,
    "Q17": 0.02,
    "Q20.nested": 0.02,
    "Q22": 0.03,
    "Q24.content_filter": 0.005,
    "Q29.think": 0.02,
    "Q32": 0.02,
    "Q33": 0.02,
    "Q45.more": 0.01,
    "Q54": 0.02,
}

PROFILES: Mapping[str, Profile] = {
    "toapis": Profile("toapis", _TOAPIS),
    "kie": Profile("kie", _KIE),
    "newapi": Profile("newapi", _NEWAPI),
    "chaos": Profile("chaos", _chaos()),
}


def profile_of(what: str | Profile) -> Profile:
    """A profile by its name; the name of a quirk or fault stands for one that every request gets once, at first.

    "none" leaves all requests alone, but for those that ask for a fault by name.
    Raises UnknownFault.
    """
    if isinstance(what, Profile):
        return what
    if what in PROFILES:
        return PROFILES[what]
    if what == "none":
        return Profile(what, {})
    if not what.startswith("Q"):
        raise UnknownFault(f"there is no fault profile {what!r}; there are {', '.join(PROFILES)}, none")
    return Profile(what, {what: 1.0}, clean_after=1)


@dataclass(frozen=True, slots=True)
class Deal:
    """What a request gets: the fault (None: its good answer), and the seed for what is left to chance in it."""

    request: str  # hash of the body
    attempt: int  # from 1
    fault: Fault | None
    seed: int


@dataclass
class Dealer:
    """Deals faults. Which one is a function of the seed, the request's bytes and how often they came, not of the order.

    It remembers the hash of every request.
    """

    profile: Profile | None = None
    seed: int = 0
    _attempts: Counter[str] = field(default_factory=Counter)

    def deal(self, raw: bytes, body: Mapping[str, Any], wanted: str | None = None) -> Deal:
        """The deal of one more attempt of this request; `wanted` names a fault outright. Raises UnknownFault."""
        request = hashlib.sha256(raw).hexdigest()[:32]
        self._attempts[request] += 1
        attempt = self._attempts[request]
        dice = hashlib.sha256(f"{self.seed}/{request}/{attempt}".encode()).digest()
        chance, seed = int.from_bytes(dice[:8]) / 2**64, int.from_bytes(dice[8:16])
        if wanted:
            return Deal(request, attempt, _one_of(wanted, body, seed), seed)
        stream = body.get("stream") is True
        fault = self.profile.draw(chance, attempt, stream=stream) if self.profile else None
        return Deal(request, attempt, fault, seed)


def _one_of(name: str, body: Mapping[str, Any], seed: int) -> Fault:
    forms = [fault for fault in named(name) if fault.applies(body)]
    if not forms:
        raise UnknownFault(f"{name} is a quirk of {named(name)[0].on} answers, which this request does not ask for")
    return forms[seed % len(forms)]
