"""A record's media columns → the parts of its message."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from extract.media import images, pdfs, sound
from extract.media.files import digest_below, read_below, too_large
from extract.media.pages import joined
from extract.media.part import Kept, MediaError, Part, digest_of
from extract.media.remote import Allowed, Fetching, checked_url, fetched, is_public
from extract.media.settings import Media
from extract.media.sniff import agrees, claims, family, sniff
from extract.records import Record

Reader = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class _Blob:
    """One file: how it is read, and the name and media type that it goes by."""

    read: Reader
    name: str = ""
    claim: str = ""


@dataclass(frozen=True)
class Attachments:
    """Makes the parts of records: paths lead below `root`, the folder of the source, unless the column has its own."""

    media: Sequence[Media]
    root: Path | None = None
    allowed: Allowed = is_public  # addresses that may be fetched from
    kept: Kept = field(default_factory=Kept, repr=False, compare=False)
    looks_below: bool = False  # for text of PDFs that their pages do not show

    @property
    def have_text(self) -> bool:
        """Whether any column's files are sent as text."""
        return any(media.as_ == "text" for media in self.media)

    def parts_for(self, record: Record) -> dict[str, tuple[Part, ...]]:
        """The parts of each media column, read and checked. Blocking. Raises MediaError with column and cell."""
        return {media.column: self._of_column(media, record.get(media.column)) for media in self.media}

    def digests(self, record: Record) -> str:
        """The content of the files that the record's cells name by path, which the cells themselves do not tell."""
        return " ".join(self._digest(media, item) for media in self.media for item in _items(record.get(media.column)))

    def _digest(self, media: Media, item: Any) -> str:
        root = media.root or self.root
        if root is None or isinstance(item, bytes) or _scheme(item):
            return "-"
        return digest_below(root, item, media.max_bytes)

    def _of_column(self, media: Media, cell: Any) -> tuple[Part, ...]:
        items = _items(cell)
        if not items and not media.optional:
            hint = f"Media(column={media.column!r}, optional=True) asks without"
            raise MediaError("media.missing", f"the cell is empty; {hint}").placed(media.column, None)
        if len(items) > media.max_files:
            message = f"{len(items):,} files, the limit is {media.max_files:,}"
            raise MediaError("media.count", message).placed(media.column, None)
        found: list[Part] = []
        for item in items:
            try:
                found += self._of_item(media, item)
                if (total := sum(part.size for part in found)) > media.max_bytes:
                    raise too_large(total, media.max_bytes)
            except MediaError as error:
                raise error.placed(media.column, _shown(item)) from error
        return tuple(found)

    def _of_item(self, media: Media, item: Any) -> list[Part]:
        if isinstance(item, str) and _scheme(item) in ("http", "https") and not media.fetch:
            return [_passed_on(media, item)]
        blob = self._blob(media, item)
        data = blob.read()
        if not data:
            raise MediaError("media.empty", "the file is empty")
        mime = sniff(data)
        kind = family(mime)
        if kind is None:
            raise MediaError("media.type", f"this is {mime}, not an image, PDF, audio or video")
        flags = () if agrees(blob.name, mime) and claims(blob.claim, mime) else ("media.misnamed",)
        if problem := sound.fault(mime, data):
            raise MediaError("media.broken", problem)
        if kind == "pdf":
            return self._of_pdf(media, blob, data, flags)
        if media.as_ == "text":
            raise MediaError("media.no_text", f"{mime} has no text")
        if kind == "image":
            return self._of_image(media, blob, data, mime, flags)
        if media.as_ == "images":
            raise MediaError("media.type", f"{mime} cannot be sent as images")
        return [_whole(blob, data, mime, flags)]

    def _of_pdf(self, media: Media, blob: _Blob, data: bytes, flags: tuple[str, ...]) -> list[Part]:
        count = pdfs.count_pages(data, media.max_pages if media.pages is None else 10 * media.max_pages)
        made = self._of_pages(media, blob, data, _chosen(media, count), count, flags)
        if self.looks_below and media.as_ != "images":  # of a picture of a page a model sees what anyone sees
            hidden = self._hidden(data, _chosen(media, count))
            made = [replace(part, hidden=hidden) for part in made]
        return made

    def _hidden(self, data: bytes, pages: Sequence[int]) -> str:
        """What the pages hold and do not show; kept for a while, since the same file may be looked at again."""
        from extract.media import layers  # with numpy, which nothing else here needs

        name = f"hidden {digest_of(data)} {','.join(map(str, pages))}"
        kept = self.kept.take(name)
        if kept is None:
            kept = layers.hidden_text(data, pages).encode("utf-8", "replace")
            self.kept.put(name, kept)
        return kept.decode()

    def _of_pages(  # one of them more than six
        self, media: Media, blob: _Blob, data: bytes, pages: Sequence[int], count: int, flags: tuple[str, ...]
    ) -> list[Part]:
        mime = "application/pdf"
        if media.as_ == "text":
            return [_text_part(data, pages, count, media, flags)]
        if media.as_ == "images":
            draw = partial(pdfs.page_image, dpi=media.dpi, max_pixels=media.max_pixels)
            makers = [partial(draw, number=number) for number in pages]
            return self._derived(blob, data, makers, "image/png", flags, media.max_bytes)
        if len(pages) == count:
            return [_whole(blob, data, mime, flags)]
        return self._derived(blob, data, [partial(pdfs.cut, numbers=pages)], mime, flags, media.max_bytes)

    def _of_image(self, media: Media, blob: _Blob, data: bytes, mime: str, flags: tuple[str, ...]) -> list[Part]:
        found, only_first = images.copies(
            data,
            mime,
            max_pixels=images.MOST_PIXELS if media.as_ == "file" else media.max_pixels,
            convert=media.as_ == "images",
            pages=partial(_chosen, media),
        )
        if found is None:
            return [_whole(blob, data, mime, flags)]
        flags = (*flags, "media.first_frame") if only_first else flags
        make = partial(images.image_page, mime=mime, max_pixels=media.max_pixels)
        makers = [partial(make, copy=copy) for copy in found]
        return self._derived(blob, data, makers, found[0].mime, flags, media.max_bytes)

    def _derived(
        self,
        blob: _Blob,
        data: bytes,
        makers: Sequence[Callable[[bytes], bytes]],
        mime: str,
        flags: tuple[str, ...],
        most: int,
    ) -> list[Part]:
        """Parts that are made of a file; made anew when they are sent, unless they are still at hand."""
        found, total = [], 0
        for maker in makers:
            made = maker(data)
            total += len(made)
            if total > most:
                raise too_large(total, most)
            digest = digest_of(made)
            self.kept.put(digest, made)
            found.append(Part(mime, len(made), digest, flags, make=partial(self._again, digest, blob, maker)))
        return found

    def _again(self, digest: str, blob: _Blob, maker: Callable[[bytes], bytes]) -> bytes:
        kept = self.kept.take(digest)
        return maker(blob.read()) if kept is None else kept

    def _blob(self, media: Media, item: Any) -> _Blob:
        if isinstance(item, bytes):
            if len(item) > media.max_bytes:
                raise too_large(len(item), media.max_bytes)
            return _Blob(lambda: item)
        scheme = _scheme(item)
        if scheme == "data":
            claim = item[5:].partition(",")[0].partition(";")[0]
            return _Blob(partial(_of_data_url, item, media.max_bytes), claim=claim)
        if scheme in ("http", "https"):
            bounds = Fetching(media.max_bytes, media.fetch_timeout, self.allowed)
            return _Blob(partial(self._fetched, item, bounds), urlsplit(checked_url(item)).path)
        if scheme:
            raise MediaError("media.url", f"{scheme}: is no kind of URL that can be sent")
        root = media.root or self.root
        if root is None:
            raise MediaError("media.outside", "a table in memory has no folder: say Media(root=...)")
        return _Blob(partial(read_below, root, item, media.max_bytes), item)

    def _fetched(self, url: str, bounds: Fetching) -> bytes:
        """A download is kept for a while, so that a file is not asked for twice."""
        name = f"url {url}"
        kept = self.kept.take(name)
        if kept is None:
            kept = fetched(url, bounds)
            self.kept.put(name, kept)
        return kept


def _items(cell: Any) -> list[Any]:
    """The files of a cell: one, or a list; a text may be a list in JSON, as cells of JSONL are."""
    if isinstance(cell, str) and cell.startswith("["):
        try:
            listed = json.loads(cell)
        except (ValueError, RecursionError):
            listed = None
        cell = listed if isinstance(listed, list) and all(isinstance(item, str) for item in listed) else cell
    items = list(cell) if isinstance(cell, list | tuple) else [cell]
    return [item for item in map(_item, items) if item is not None and item != ""]


def _item(value: Any) -> Any:
    """A file as text or bytes; {"bytes", "path"} is how datasets of images are often stored in Parquet."""
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    return value if value is None or isinstance(value, bytes) else str(value)


def _shown(item: Any) -> Any:
    return f"{len(item):,} bytes" if isinstance(item, bytes) else item


def _scheme(text: str) -> str:
    """The scheme of a URL, empty for a path; one letter is a drive."""
    head, colon, rest = text.partition(":")
    known = head.lower() in ("data", "file") or rest.startswith("//")
    return head.lower() if colon and known and len(head) > 1 and head.replace("+", "").isalnum() else ""


def _passed_on(media: Media, url: str) -> Part:
    checked = checked_url(url)
    if media.as_ in ("text", "images") or media.pages is not None:
        raise MediaError("media.remote", "only the file at hand gives text, pages or images: say Media(fetch=True)")
    try:
        encoded = checked.encode()
    except UnicodeEncodeError:
        raise MediaError("media.url", "the URL holds characters that cannot be sent") from None
    return Part("", len(encoded), digest_of(encoded), url=checked)


def _of_data_url(url: str, most: int) -> bytes:
    head, comma, body = url.partition(",")
    if not comma:
        raise MediaError("media.broken", "a data URL has a comma before its content")
    if len(body) * 3 // 4 > most + 3:
        raise too_large(len(body) * 3 // 4, most)
    if not head.lower().endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(unquote_to_bytes(body), validate=True)
    except binascii.Error as error:
        raise MediaError("media.broken", f"the data URL is no base64: {error}") from None


def _whole(blob: _Blob, data: bytes, mime: str, flags: tuple[str, ...]) -> Part:
    return Part(mime, len(data), digest_of(data), flags, make=blob.read)


def _chosen(media: Media, count: int) -> Sequence[int]:
    pages = media.chosen(count)
    if not pages:
        raise MediaError("media.pages", f"none of the pages {media.pages} is there, the file has {count:,}")
    if len(pages) > media.max_pages:
        raise MediaError("media.pages", f"{len(pages):,} pages, the limit is {media.max_pages:,}")
    return pages


def _name(data: bytes, texts: Sequence[str]) -> str:
    """A name for a file that is made of its digest, and that none of its texts holds."""
    digest = digest_of(data)
    while any(digest[:8] in text.casefold() for text in texts):
        digest = digest_of(digest.encode())
    return digest[:8]


def _text_part(data: bytes, pages: Sequence[int], count: int, media: Media, flags: tuple[str, ...]) -> Part:
    """The text of a PDF between lines that it cannot forge, for they name its digest."""
    texts = pdfs.page_texts(data, pages)
    if not any(texts):
        raise MediaError("media.no_text", "the PDF has no text, only pictures")
    if not all(texts):
        flags = (*flags, "media.page_without_text")
    text = joined(((number + 1, text) for number, text in zip(pages, texts, strict=True)), _name(data, texts), count)
    encoded = text.encode("utf-8", "replace")
    if len(encoded) > media.max_bytes:
        raise too_large(len(encoded), media.max_bytes)
    return Part("text/plain", len(encoded), digest_of(encoded), flags, text=encoded.decode())
