"""What stands for a file in a message until it is sent, and the body with the files put in."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, Self

from extract.media.pages import changed
from extract.records import Issue, short

_SCHEME = "x-media:"
_HELD = re.compile(rb'"url":"(x-media:[^"]+)"')  # in a JSON text a bare quote is never part of a string
KEEP_BYTES = 64_000_000


class MediaError(Exception):
    """A file that cannot be sent; carries the issue for the quarantine."""

    def __init__(self, code: str, message: str, value: Any = None) -> None:
        super().__init__(message)
        self.issue = Issue("media", code, "$", message, None if value is None else short(value))

    def placed(self, column: str, value: Any) -> Self:
        """The same, with the column and the cell."""
        return type(self)(self.issue.code, f"{column}: {self.issue.message}", value)


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a message: the content of a file, which is read again when it is sent, a URL, or a text.

    `digest` is that of the bytes as sent, of the URL or of the text; `size` counts their bytes; `flags` say what was
    noticed.
    """

    mime: str
    size: int
    digest: str
    flags: tuple[str, ...] = ()
    url: str | None = None
    text: str | None = None
    make: Callable[[], bytes] | None = field(default=None, repr=False, compare=False)
    hidden: str = field(default="", compare=False)  # text that its pages do not show, where that was looked for

    def with_text(self, change: Callable[[str], str]) -> Part:
        """The part with its text changed, page by page; the lines that stand around the pages stay."""
        if self.text is None:
            return self
        text = changed(self.text, change)
        encoded = text.encode("utf-8", "surrogatepass")
        return replace(self, text=text, size=len(encoded), digest=digest_of(encoded))

    @property
    def placeholder(self) -> str:
        """What stands in the body for the data URL; names the content exactly."""
        return f"{_SCHEME}{self.mime},{self.digest}"

    def content(self) -> dict[str, Any]:
        """The part as it stands in a message; one form for all media."""
        if self.text is not None:
            return {"type": "text", "text": self.text}
        return {"type": "image_url", "image_url": {"url": self.url or self.placeholder}}

    def data(self) -> bytes:
        """The bytes. Raises MediaError when they are not those that were seen before."""
        assert self.make is not None  # noqa: S101  # of parts that are no URL and no text
        data = self.make()
        if digest_of(data) != self.digest:
            raise MediaError("media.changed", "the file has changed since it was first read")
        return data

    def data_url(self) -> str:
        """The bytes as a data URL. Raises MediaError."""
        return self._data_url().decode()

    def _data_url(self) -> bytes:
        return b"data:" + self.mime.encode() + b";base64," + base64.b64encode(self.data())


def fill(body: bytes, parts: Iterable[Part]) -> bytes:
    """The body with a data URL in place of each placeholder of these parts. Raises MediaError.

    Others stay as they are: what a model said comes back in later requests, and may look like one.
    """
    known = {part.placeholder.encode(): part for part in parts if part.make is not None}
    pieces, done = [], 0
    for match in _HELD.finditer(body):
        if part := known.get(match[1]):
            pieces += [body[done : match.start(1)], part._data_url()]
            done = match.end(1)
    return b"".join([*pieces, body[done:]])


def digest_of(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class Kept:
    """The last few pieces that were costly to make, up to so many bytes."""

    def __init__(self, most: int = KEEP_BYTES) -> None:
        self._most = most
        self._bytes = 0
        self._pieces: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def put(self, digest: str, data: bytes) -> None:
        with self._lock:
            if digest in self._pieces or len(data) > self._most:
                return
            self._pieces[digest] = data
            self._bytes += len(data)
            while self._bytes > self._most:
                self._bytes -= len(self._pieces.popitem(last=False)[1])

    def take(self, digest: str) -> bytes | None:
        """The piece, if it is still there; it stays, for a request may be sent again."""
        with self._lock:
            if digest in self._pieces:
                self._pieces.move_to_end(digest)
            return self._pieces.get(digest)
