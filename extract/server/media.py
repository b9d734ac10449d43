"""Files in a conversation, for a model that reads text only: PDFs and texts become text, anything else is refused.

A file comes as a data URL or from a URL on this machine; no other address is ever asked.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass, replace
from urllib.parse import unquote_to_bytes, urlsplit

import httpx

from extract.config import is_loopback
from extract.errors import ConfigError
from extract.media.part import MediaError
from extract.media.pdfs import count_pages, page_texts
from extract.media.sniff import family, sniff, sniff_text
from extract.server.engine import Link, Turn
from extract.server.refusals import bad_request

MAX_FILE = 10 * 1024 * 1024  # bytes
MAX_FILES = 16
MAX_PAGES = 500
FETCH_TIMEOUT = 10.0  # seconds in all


class NoText(ValueError):  # noqa: N818 - the name says what happened
    """A file without a text to take; the message says why."""


@dataclass(frozen=True, slots=True)
class Media:
    """How files are read: their largest size (bytes), how many a request may hold, and whether URLs are fetched."""

    max_file: int = MAX_FILE
    max_files: int = MAX_FILES
    fetch: bool = True
    timeout: float = FETCH_TIMEOUT

    async def read(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """The conversation with the text of each file in its place. Raises WireError (400, `messages`)."""
        links = sum(isinstance(part, Link) for turn in turns for part in turn.parts)
        if links > self.max_files:
            raise bad_request(f"The request has {links} files, at most {self.max_files} are taken.", "messages")
        if not links:
            return turns
        return tuple([await self._turn(turn, index) for index, turn in enumerate(turns)])

    async def _turn(self, turn: Turn, index: int) -> Turn:
        parts = [await self._text(part, index) if isinstance(part, Link) else part for part in turn.parts]
        return replace(turn, parts=tuple(parts))

    async def _text(self, link: Link, index: int) -> str:
        if link.url is None:
            raise bad_request(f"messages.{index}: this model cannot read a part of type '{link.kind}'.", "messages")
        try:
            data = await self._bytes(link.url)
            return await asyncio.to_thread(text_of, data)
        except NoText as reason:
            raise bad_request(f"messages.{index}: {reason}.", "messages") from None

    async def _bytes(self, url: str) -> bytes:
        if url[:5].lower() == "data:":
            # Percent signs make three letters of one byte, base64 four of three.
            if len(url) > 3 * self.max_file + 200:
                raise NoText(self._too_large())
            data = await asyncio.to_thread(decode_data_url, url)
        else:
            data = await self._fetched(url)
        if len(data) > self.max_file:
            raise NoText(self._too_large())
        return data

    async def _fetched(self, url: str) -> bytes:
        try:
            parts = urlsplit(url)
            local = parts.scheme in ("http", "https") and is_loopback(parts.hostname or "")
        except ValueError:
            raise NoText("the URL of a file cannot be read") from None
        if not local or not self.fetch:
            raise NoText("this server fetches no files from other machines, send a data URL")
        try:
            return await asyncio.wait_for(self._download(url), self.timeout)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise NoText(f"the file could not be fetched: {type(error).__name__}") from None

    async def _download(self, url: str) -> bytes:
        found = bytearray()
        # No proxy, and no redirect: either could lead off this machine.
        async with httpx.AsyncClient(trust_env=False) as http, http.stream("GET", url) as response:
            if response.status_code != 200:
                raise NoText(f"the file could not be fetched: HTTP {response.status_code}")
            async for chunk in response.aiter_bytes():
                found += chunk
                if len(found) > self.max_file:
                    raise NoText(self._too_large())
        return bytes(found)

    def _too_large(self) -> str:
        return f"a file is larger than {self.max_file:,} bytes"


def decode_data_url(url: str) -> bytes:
    """The bytes in a `data:` URL. Raises NoText if it is broken."""
    head, comma, body = url.partition(",")
    if not comma:
        raise NoText("a data URL has no comma")
    try:
        raw = unquote_to_bytes(body)
        return base64.b64decode(raw, validate=True) if head.lower().endswith(";base64") else raw
    except (binascii.Error, ValueError):
        raise NoText("the base64 of a data URL is broken") from None


def text_of(data: bytes) -> str:
    """The text of a file, told by its content. Raises NoText for images, sound, films and what cannot be read."""
    mime = sniff(data)
    kind = family(mime)
    if kind == "pdf":
        return pdf_text(data)
    if kind == "image" or mime == "image/svg+xml":
        raise NoText("this model has no eyes: an image without a text layer cannot be read")
    if kind is not None:
        raise NoText(f"this model reads text only, {kind} cannot be read")
    try:
        if sniff_text(data):
            return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    raise NoText(f"a file of kind {mime} cannot be read")


def pdf_text(data: bytes) -> str:
    """The text layer of a PDF. Raises NoText if it has none, is locked or cannot be read."""
    try:
        texts = page_texts(data, range(count_pages(data, MAX_PAGES)))
    except MediaError as error:
        raise NoText(f"the PDF cannot be read: {error}") from None
    except ConfigError as error:
        raise NoText(f"PDFs are not read here: {error}") from None
    text = "\n\n".join(texts)
    if not text.strip():
        raise NoText("the PDF has no text layer, and this model has no eyes")
    return text
