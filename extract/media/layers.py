"""Text of a PDF that its pages do not show to a reader, while a program that takes the text out finds it.

No character is recognised: each page is drawn twice, with and without its texts, and what a text changes is what is
seen of it. So text in the colour of the paper, behind a picture, cut away, or drawn in the mode that draws nothing is
found alike. The text layer of a scan is such text too; it is told by the picture below it, which is not blank there.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from extract.media.libraries import library
from extract.media.part import MediaError
from extract.media.pdfs import LOCK, faults_told, opened, page_of

_DPI = 100
_MOST_PIXELS = 3_000_000  # of one drawn page
_SEEN = 32  # of 255: a change in colour that a reader sees
_INK = 48  # of 255: a difference within a place that may be print
_SMALLEST = 3.0  # points; what is lower is no text for a reader
_RUN = 16  # characters in a row, blanks apart, that are no accident
_TOTAL = 60  # characters of a page in shorter runs
_SCAN = 0.4  # of the page covered by pictures: what lies below or over them is a text layer
_DEEPEST = 8  # forms within forms
_MOST_CHARACTERS = 200_000  # of one page
_EXCERPT = 200


@dataclass(frozen=True, slots=True)
class _Sign:
    """One character, and whether a reader sees it; `on_ink`: it is not seen, but something is drawn at its place."""

    text: str
    seen: bool
    on_ink: bool


def hidden_text(data: bytes, numbers: Sequence[int]) -> str:
    """An excerpt of what these pages (from 0) hold and do not show, "" for nothing. Raises MediaError."""
    with opened(data) as document:
        for number in numbers:
            with page_of(document, number) as page, LOCK, faults_told():
                if found := _hidden_of(page):
                    return found[:_EXCERPT]
    return ""


def _hidden_of(page: Any) -> str:
    signs = _signs_of(page)
    is_scan = signs and _covered_by_pictures(page) >= _SCAN
    hidden = [(not sign.seen and not (is_scan and sign.on_ink), sign.text) for sign in signs]
    runs = ["".join(text for _, text in run) for is_hidden, run in groupby(hidden, lambda each: each[0]) if is_hidden]
    counts = [sum(not sign.isspace() for sign in run) for run in runs]
    if not (any(count >= _RUN for count in counts) or (not is_scan and sum(counts) >= _TOTAL)):
        return ""
    return " ".join(" ".join(runs).split())


def _signs_of(page: Any) -> list[_Sign]:
    """The characters of a page, blanks as what stands before them."""
    raw = library("pypdfium2.raw")
    words = page.get_textpage()
    try:
        count = min(words.count_chars(), _MOST_CHARACTERS)
        boxes = [_box_of(raw, words, index) for index in range(count)]
        texts = [_text_of(raw, words, index) for index in range(count)]
        silent = [_draws_nothing(raw, words, index) for index in range(count)]
    finally:
        words.close()
    if not any(box and not text.isspace() for box, text in zip(boxes, texts, strict=True)):
        return []
    drawn = _picture(page)
    _take_texts(page)
    bare = _picture(page)
    look = _Look(drawn, bare, _to_pixels(page, drawn.shape[1], drawn.shape[0]))
    signs: list[_Sign] = []
    for box, text, is_silent in zip(boxes, texts, silent, strict=True):
        if box is None or text.isspace():
            signs.append(
                _Sign(text, signs[-1].seen, signs[-1].on_ink) if signs else _Sign(text, seen=True, on_ink=False)
            )
        else:
            seen = not is_silent and max(box[2] - box[0], box[3] - box[1]) >= _SMALLEST and look.sees(box)
            signs.append(_Sign(text, seen, on_ink=not seen and look.has_ink(box)))
    return signs


_Box = tuple[float, float, float, float]


def _box_of(raw: Any, words: Any, index: int) -> _Box | None:
    """Left, bottom, right and top in points, of the line's height; None for what has no place."""
    rectangle = raw.FS_RECTF()
    if not raw.FPDFText_GetLooseCharBox(words, index, rectangle):
        return None
    box = (rectangle.left, rectangle.bottom, rectangle.right, rectangle.top)
    if not all(map(math.isfinite, box)):
        return None
    return min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3])


def _text_of(raw: Any, words: Any, index: int) -> str:
    code = raw.FPDFText_GetUnicode(words, index)
    return chr(code) if 31 < code < 0x110000 and not 0xD800 <= code < 0xE000 else " "


def _draws_nothing(raw: Any, words: Any, index: int) -> bool:
    """Whether the character is drawn in the mode for text that is not to be seen."""
    owner = raw.FPDFText_GetTextObject(words, index)
    return bool(owner) and raw.FPDFTextObj_GetTextRenderMode(owner) == raw.FPDF_TEXTRENDERMODE_INVISIBLE


def _scale_of(page: Any) -> float:
    width, height = page.get_size()
    if not (width > 0 and height > 0):
        raise MediaError("media.broken", "a page has no size")
    return float(min(_DPI / 72, math.sqrt(_MOST_PIXELS / (width * height))))


def _picture(page: Any) -> Any:
    """The page as an array of rows, columns and colours."""
    pdfium, raw = library("pypdfium2"), library("pypdfium2.raw")
    scale = _scale_of(page)
    width, height = (min(_MOST_PIXELS, max(1, math.ceil(side * scale))) for side in page.get_size())
    if width * height > 2 * _MOST_PIXELS:
        raise MediaError("media.broken", "a page is too narrow to be drawn")
    bitmap = pdfium.PdfBitmap.new_native(width, height, format=raw.FPDFBitmap_BGR)
    try:
        bitmap.fill_rect((255, 255, 255, 255), 0, 0, width, height)
        raw.FPDF_RenderPageBitmap(bitmap, page, 0, 0, width, height, 0, raw.FPDF_ANNOT)
        return np.array(bitmap.to_numpy(), dtype=np.int16)
    finally:
        bitmap.close()


def _take_texts(page: Any) -> None:
    """Take all texts off the page, in memory; those within forms too."""
    raw = library("pypdfium2.raw")
    objects = [(None, raw.FPDFPage_GetObject(page, index)) for index in range(raw.FPDFPage_CountObjects(page))]
    for _ in range(_DEEPEST):
        inner = []
        for owner, each in objects:
            kind = raw.FPDFPageObj_GetType(each)
            if kind == raw.FPDF_PAGEOBJ_FORM:
                inner += [
                    (each, raw.FPDFFormObj_GetObject(each, at)) for at in range(raw.FPDFFormObj_CountObjects(each))
                ]
            elif kind == raw.FPDF_PAGEOBJ_TEXT:
                gone = raw.FPDFFormObj_RemoveObject(owner, each) if owner else raw.FPDFPage_RemoveObject(page, each)
                if gone:
                    raw.FPDFPageObj_Destroy(each)
        objects = inner


def _covered_by_pictures(page: Any) -> float:
    """The share of the page that pictures cover, at most 1."""
    raw = library("pypdfium2.raw")
    width, height = page.get_size()
    area = 0.0
    for left, bottom, right, top in _pictures(raw, page):
        across = max(0.0, min(right, width) - max(left, 0.0))
        area += across * max(0.0, min(top, height) - max(bottom, 0.0))
    return float(min(1.0, area / (width * height)))


def _pictures(raw: Any, page: Any) -> Iterator[_Box]:
    for index in range(raw.FPDFPage_CountObjects(page)):
        each = raw.FPDFPage_GetObject(page, index)
        if raw.FPDFPageObj_GetType(each) == raw.FPDF_PAGEOBJ_IMAGE:
            sides = [ctypes.c_float() for _ in range(4)]
            if raw.FPDFPageObj_GetBounds(each, *sides):
                left, bottom, right, top = (side.value for side in sides)
                yield left, bottom, right, top


def _to_pixels(page: Any, width: int, height: int) -> Any:
    """The matrix that takes points of the page to pixels of its picture, whatever its box and rotation."""
    raw, fine = library("pypdfium2.raw"), 1000

    def pixel(x: float, y: float) -> tuple[float, float]:
        across, down = ctypes.c_int(), ctypes.c_int()
        raw.FPDF_PageToDevice(page, 0, 0, width * fine, height * fine, 0, x, y, across, down)
        return across.value / fine, down.value / fine

    origin, right, up = np.array(pixel(0, 0)), np.array(pixel(100, 0)), np.array(pixel(0, 100))
    return np.array([(right - origin) / 100, (up - origin) / 100, origin])


class _Look:
    """What is seen at a place of a page."""

    def __init__(self, drawn: Any, bare: Any, matrix: Any) -> None:
        self._bare = bare
        self._changed = np.abs(drawn - bare).max(axis=2) >= _SEEN
        self._matrix = matrix

    def sees(self, box: _Box) -> bool:
        """Whether any text changes the picture there."""
        place = self._place(box)
        return place is not None and bool(self._changed[place].any())

    def has_ink(self, box: _Box) -> bool:
        """Whether something other than text is drawn there."""
        place = self._place(box)
        if place is None:
            return False
        found = self._bare[place]
        return bool((found.max(axis=(0, 1)) - found.min(axis=(0, 1))).max() >= _INK)

    def _place(self, box: _Box) -> tuple[slice, slice] | None:
        """Rows and columns, None beside the page."""
        height, width = self._changed.shape
        corners = [np.array((x, y, 1)) @ self._matrix for x in (box[0], box[2]) for y in (box[1], box[3])]
        xs, ys = [corner[0] for corner in corners], [corner[1] for corner in corners]
        left, right = max(0, math.floor(min(xs))), min(width, math.ceil(max(xs)))
        top, bottom = max(0, math.floor(min(ys))), min(height, math.ceil(max(ys)))
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None
