"""PDFs: their pages as images or text, or a smaller PDF of some of them.

pdfium keeps global state and must never run in two threads at once: every call of it stands under one lock, closing
included, so that nothing is left to the garbage collector.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil, sqrt
from threading import RLock
from typing import Any

from extract.media.images import as_png
from extract.media.libraries import library
from extract.media.part import MediaError

RENDER_SECONDS = 30.0  # for one page; what takes longer is made to
LOCK = RLock()
_POINTS = 72  # in an inch
_IDENTITY = re.compile(rb"/ID ?\[<([0-9A-Fa-f]*)><([0-9A-Fa-f]*)>\]")
_NO_TEXT = {code: None for code in range(32) if code not in (9, 10, 13)} | {2: "-", 0xFFFE: "-"}  # hyphens at line ends
_FAULTS = (RuntimeError, ValueError, ArithmeticError, MemoryError, OSError)  # PdfiumError is a RuntimeError


def count_pages(data: bytes, most: int) -> int:
    """How many pages there are. Raises MediaError: broken, encrypted, or more than `most`."""
    with opened(data) as document:
        with LOCK:
            count = len(document)
        if count > most:
            raise MediaError("media.pages", f"{count:,} pages, the limit is {most:,}")
        for number in range(count):
            with page_of(document, number):
                pass
        return count


def page_image(data: bytes, number: int, *, dpi: int, max_pixels: int, seconds: float = RENDER_SECONDS) -> bytes:
    """A page (from 0), with what its form fields hold, as PNG. Raises MediaError."""
    with opened(data, forms=True) as document, page_of(document, number) as page, LOCK:
        picture = _rendered(document, page, _scale(page, dpi, max_pixels), time.monotonic() + seconds)
    return as_png(picture)


def page_texts(data: bytes, numbers: Sequence[int]) -> list[str]:
    """The text of these pages (from 0), in the order of the file, with what form fields hold. Raises MediaError."""
    with opened(data, forms=True) as document:
        return [_text_of(document, number) for number in numbers]


def cut(data: bytes, numbers: Sequence[int]) -> bytes:
    """A PDF of these pages (from 0) alone; the same pages give the same bytes. Raises MediaError."""
    out = io.BytesIO()
    with opened(data) as document, LOCK, faults_told():
        fresh = library("pypdfium2").PdfDocument.new()
        try:
            fresh.import_pages(document, list(numbers))
            fresh.save(out)
        finally:
            fresh.close()
    return _with_steady_identity(out.getvalue())


@contextmanager
def opened(data: bytes, *, forms: bool = False) -> Iterator[Any]:
    """The document; `forms`: with what its form fields hold. Raises MediaError."""
    pdfium = library("pypdfium2")
    with LOCK:
        try:
            document = pdfium.PdfDocument(data)
        except pdfium.PdfiumError as error:
            raise _refusal(error) from error
        if forms:
            with faults_told():
                document.init_forms()
    try:
        yield document
    finally:
        with LOCK:
            document.close()


@contextmanager
def page_of(document: Any, number: int) -> Iterator[Any]:
    """A page, from 0. Raises MediaError."""
    with LOCK, faults_told():
        page = document[number]
    try:
        yield page
    finally:
        with LOCK:
            page.close()


@contextmanager
def faults_told() -> Iterator[None]:
    """Whatever PDFium raises is a MediaError."""
    try:
        yield
    except _FAULTS as error:
        raise MediaError("media.broken", f"the PDF is broken: {error}") from error


def _refusal(error: Any) -> MediaError:
    if error.err_code in (library("pypdfium2.raw").FPDF_ERR_PASSWORD, library("pypdfium2.raw").FPDF_ERR_SECURITY):
        return MediaError("media.encrypted", "the PDF needs a password")
    return MediaError("media.broken", f"the PDF is broken: {error}")


def _scale(page: Any, dpi: int, max_pixels: int) -> float:
    """Pixels for each point, fewer than asked when the page would have too many."""
    with faults_told():
        width, height = page.get_size()
        wanted = dpi / _POINTS
        if not (width > 0 and height > 0):
            raise MediaError("media.broken", "a page has no size")
        scale = min(wanted, sqrt(max_pixels / (width * height)))
        while scale > 0 and ceil(width * scale) * ceil(height * scale) > max_pixels:
            scale *= 0.99
            if max(width, height) * scale < 1:
                raise MediaError("media.broken", "a page is too narrow to be drawn")
        return scale


def _rendered(document: Any, page: Any, scale: float, deadline: float) -> Any:
    """The page as a picture in memory; drawing stops at the deadline."""
    pdfium, raw = library("pypdfium2"), library("pypdfium2.raw")
    with faults_told():
        width, height = (max(1, ceil(side * scale)) for side in page.get_size())
        bitmap = pdfium.PdfBitmap.new_native(width, height, format=raw.FPDFBitmap_BGR)
        try:
            bitmap.fill_rect((255, 255, 255, 255), 0, 0, width, height)
            where = (bitmap, page, 0, 0, width, height, 0, raw.FPDF_ANNOT)
            pause = raw.IFSDK_PAUSE(version=1)
            callback = type(pause.NeedToPauseNow)(lambda _: time.monotonic() > deadline)
            pause.NeedToPauseNow = callback
            status = raw.FPDF_RenderPageBitmap_Start(*where, pause)
            raw.FPDF_RenderPage_Close(page)
            if status == raw.FPDF_RENDER_TOBECONTINUED:
                raise MediaError("media.broken", "a page takes too long to draw")
            if status != raw.FPDF_RENDER_DONE:
                raise MediaError("media.broken", "a page cannot be drawn")
            if document.formenv:
                raw.FPDF_FFLDraw(document.formenv, *where)
            return bitmap.to_pil()  # a copy, for the order of the colours differs
        finally:
            bitmap.close()


def _text_of(document: Any, number: int) -> str:
    if document.formenv:
        with page_of(document, number) as page, LOCK, faults_told():
            page.flatten()  # in memory: what the fields hold becomes text of the page
    with page_of(document, number) as page, LOCK, faults_told():
        words = page.get_textpage()
        try:
            text = str(words.get_text_bounded())
        finally:
            words.close()
    return text.replace("\r\n", "\n").translate(_NO_TEXT).strip()


def _with_steady_identity(data: bytes) -> bytes:
    """The file with an identity that is made of its content; pdfium takes one at random."""
    found = list(_IDENTITY.finditer(data))
    if not found:
        return data
    zeros = _with_identity(data, found[-1], lambda length: b"0" * length)
    name = hashlib.blake2b(zeros, digest_size=16).hexdigest().upper().encode()
    return _with_identity(data, found[-1], lambda length: (name * (length // len(name) + 1))[:length])


def _with_identity(data: bytes, found: re.Match[bytes], make: Callable[[int], bytes]) -> bytes:
    first, second = (make(len(found[number])) for number in (1, 2))
    between = data[found.end(1) : found.start(2)]
    return data[: found.start(1)] + first + between + second + data[found.end(2) :]
