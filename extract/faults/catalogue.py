"""All faults by name, and what is not among them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from extract.faults.contents import CONTENTS
from extract.faults.envelopes import ENVELOPES
from extract.faults.refusals import REFUSALS
from extract.faults.streams import STREAMS
from extract.faults.turn import Fault

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {fault.name: fault for fault in (*STREAMS, *ENVELOPES, *CONTENTS, *REFUSALS)}
)

NOT_SHOWN: Mapping[str, str] = MappingProxyType(
    {"Q60": "how a client spreads its retries is the client's; any 429 (Q56.missing) puts it to the test"}
)
"""Quirks of PROTOCOL §7 that no answer of a server can show."""
