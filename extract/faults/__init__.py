"""What real servers send that they should not, as data: a catalogue of faults, and profiles that mix them.

A fault makes a script of bytes, waits and ends out of a good answer, and nothing else: no clock, no chance of its own.
`extract.testing.FaultServer` plays such scripts on sockets, `extract serve --faults` in its app.
"""

from extract.faults.catalogue import FAULTS, NOT_SHOWN
from extract.faults.profiles import PROFILES, Deal, Dealer, Profile, UnknownFault, named, profile_of
from extract.faults.sockets import play
from extract.faults.turn import Fault, Turn
from extract.faults.wire import End, Wire, plain, sse

__all__ = [
    "FAULTS",
    "NOT_SHOWN",
    "PROFILES",
    "Deal",
    "Dealer",
    "End",
    "Fault",
    "Profile",
    "Turn",
    "UnknownFault",
    "Wire",
    "named",
    "plain",
    "play",
    "profile_of",
    "sse",
]
