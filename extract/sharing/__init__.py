"""One budget for several processes on one machine: limits, caps and what was learned of the endpoint, in one file.

Every call that begins or ends is told to one controller, whose numbers stand in the file: who has the lock reads them,
decides, and writes them back. So there is nothing to be agreed on, and what one process learns the next one knows.
"""

from __future__ import annotations

from extract.sharing.shared import Shared, joined
from extract.sharing.state import Amount

__all__ = ["Amount", "Shared", "joined"]
