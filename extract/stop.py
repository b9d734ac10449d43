"""How a run is asked to end early, from wherever the reason comes up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from extract.errors import APIError, ExtractError, RunStopped

_LONGEST = 1_000  # characters of a message, which may be a server's


def told_why(reason: Exception) -> dict[str, str]:
    """Why and when a run ended early, for its manifest: code, message, hint if there is one, at."""
    message, hint = f"{type(reason).__name__}: {reason}", None
    if isinstance(reason, ExtractError):
        message, hint = reason.message, reason.hint
    return {
        "code": _code_of(reason),
        "message": _plain(message),
        **({"hint": _plain(hint)} if hint else {}),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _code_of(reason: Exception) -> str:
    if isinstance(reason, RunStopped):
        return reason.code
    return f"api.{reason.kind}" if isinstance(reason, APIError) else "error"


def _plain(text: str) -> str:
    """What a file and a terminal can show, in one line: a server's words are not to look like lines of ours."""
    line = " ".join(part.strip() for part in text[:_LONGEST].splitlines())
    return "".join(c if c.isprintable() else "\ufffd" for c in line)


class Stop:
    """Asks a run to end early; may be called from another thread. Calls in flight are finished, none is begun."""

    def __init__(self) -> None:
        self.reason: Exception | None = None
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: list[Callable[[], None]] = []

    def attach(self) -> None:
        """Bind to the running loop; a request made before this is kept."""
        self._loop = asyncio.get_running_loop()
        if self.reason:
            self._event.set()

    def request(self, reason: Exception) -> None:
        """The first reason counts."""
        self.reason = self.reason or reason
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell)

    def then(self, listener: Callable[[], None]) -> None:
        """Call this in the loop once a stop is requested."""
        self._listeners.append(listener)

    @property
    def requested(self) -> bool:
        return self.reason is not None

    async def sleep(self, seconds: float) -> None:
        """Sleep that ends at once when a stop is requested."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return

    def _tell(self) -> None:
        self._event.set()
        for listener in self._listeners:
            listener()
