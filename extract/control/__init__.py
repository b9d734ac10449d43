"""When a call may begin: decided from what became of the calls before it, and from nothing else.

`Controller` does no I/O, knows no clock and no event loop: times are passed in (seconds, monotonic), and so is the
source of jitter. The same events at the same times give the same answers, so a simulator can run it in virtual time.
"""

from __future__ import annotations

from extract.control.calls import Answered, Cancelled, End, Limited, Refused, Ticket, Troubled, Verdict
from extract.control.controller import Controller
from extract.control.rules import LoadRules
from extract.control.state import bound, learn, numbers_of
from extract.control.suspects import Suspects
from extract.control.times import AFTER_ANOTHER, NOW

__all__ = [
    "AFTER_ANOTHER",
    "NOW",
    "Answered",
    "Cancelled",
    "Controller",
    "End",
    "Limited",
    "LoadRules",
    "Refused",
    "Suspects",
    "Ticket",
    "Troubled",
    "Verdict",
    "bound",
    "learn",
    "numbers_of",
]
