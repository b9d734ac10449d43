"""Server-sent events out of bytes, by the WHATWG standard; the events do not depend on how the bytes are split.

Works on bytes, since UTF-8 never holds the byte of a line end within a character, and since only CR, LF and CRLF end a
line here (Python's text splitters also stop at U+2028, U+2029 and U+0085, which JSON may hold). Every byte is looked
at once, so that the cost is linear in the length of a line, however it comes.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

FIELDS = (b"data", b"event", b"id", b"retry")
FOREIGN = ""  # name of the event that a foreign line makes; no other event has it
COMMENTS = 16  # that are kept, the last ones
_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `data` is bytes, so that its reader can refuse bad UTF-8; `id` is that of this very event."""

    data: bytes
    name: str = "message"
    id: str | None = None
    last_id: str = ""

    @property
    def text(self) -> str:
        """The data as the standard has it: bad UTF-8 replaced."""
        return self.data.decode("utf-8", "replace")


class Decoder:
    """Bytes in, events out. `retry` is the last valid one (milliseconds), `comments` the last few.

    With `tell_foreign`, a line that holds a brace but is no field comes out as an event named FOREIGN: the standard has
    it ignored, but in a stream of JSON it is data that nobody would see.
    """

    def __init__(self, *, tell_foreign: bool = False) -> None:
        self.retry: int | None = None
        self.comments: deque[str] = deque(maxlen=COMMENTS)
        self._tell_foreign = tell_foreign
        self.last_id = ""
        self._line = bytearray()  # begun, not ended
        self._after_cr = False  # an LF that comes next ends nothing
        self._at_start = True
        self._data: list[bytes] = []
        self._name = ""
        self._id: str | None = None

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if not data:
            return []
        self._after_cr = data.endswith(b"\r")
        lines = _LINE_END.split(data)
        if len(lines) == 1:
            self._line += data
            return []
        if self._line:
            lines[0] = bytes(self._line + lines[0])
        self._line = bytearray(lines.pop())
        return [event for line in lines if (event := self._read(line)) is not None]

    def close(self) -> Event | None:
        """The event that the end of the stream cut off. The standard drops it; a reader may take what is whole."""
        line, self._line = bytes(self._line), bytearray()
        foreign = self._read(line) if line else None
        return foreign or self._event()

    def _read(self, line: bytes) -> Event | None:
        if self._at_start:
            line = line.removeprefix(_BOM)
            self._at_start = False
        if not line:
            return self._event()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ") if name else value
        if name == b"data":
            self._data.append(value)
        elif not name:
            self.comments.append(value.decode("utf-8", "replace"))
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
        elif name == b"id":
            self._take_id(value)
        elif name == b"retry":
            self.retry = int(value) if value.isdigit() and len(value) < 16 else self.retry
        elif self._tell_foreign and b"{" in line:
            return Event(line, FOREIGN)
        return None

    def _take_id(self, value: bytes) -> None:
        if b"\0" not in value:
            self._id = self.last_id = value.decode("utf-8", "replace")

    def _event(self) -> Event | None:
        """The event so far, if it has data; in any case the next one begins."""
        found = Event(b"\n".join(self._data), self._name or "message", self._id, self.last_id) if self._data else None
        self._data, self._name, self._id = [], "", None
        return found
