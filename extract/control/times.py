"""The words for when a call may begin, and what timers and processes need of leeway."""

from __future__ import annotations

import math
from typing import Final

NOW: Final = 0.0  # may_start: begin the call
AFTER_ANOTHER: Final = math.inf  # may_start: ask again when a call has ended

SOON = 1e-6  # seconds: a timer set for a moment may fire this much before it
CREDIT = 0.01  # seconds that a start may be late and the next ones catch up: timers are about 1 ms late
SPREAD = 0.05  # of a pause is added at random, so that processes do not come back in one moment
