"""What a media column is and how its files are sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from extract.config import Settings

As = Literal["auto", "file", "images", "text"]

MAX_BYTES = 20_000_000  # what providers take in one request, before base64
MAX_PIXELS = 4_000_000  # a page of A4 at 200 dpi
_RANGE = re.compile(r"(\d{1,7})(?:(-)(\d{1,7})?)?")


class Media(Settings):
    """A column of paths, http(s) URLs, data URLs or bytes of images, PDFs, audio and video; a list holds several files.

    as_: "auto" sends each file itself, images above `max_pixels` smaller; "file" sends every file just as it is;
    "images" sends the pages of PDFs as images, and images that models seldom read (TIFF, BMP) as PNG; "text" sends the
    text of PDFs, for models without eyes.
    root: paths may lead to files below it only; None: the folder of the source.
    fetch: URLs are fetched by us, from public addresses only; else they are passed on as they stand, and pages, images
    and text, which only the file at hand gives, are refused.
    """

    column: str = Field(min_length=1)
    as_: As = "auto"
    pages: str | None = None  # of PDFs, from 1: "1-3", "1,4-", None: all
    dpi: int = Field(default=150, ge=10, le=1200)  # of rendered pages
    max_pixels: int = Field(default=MAX_PIXELS, ge=64)  # of one image or page; above it is made smaller
    max_bytes: int = Field(default=MAX_BYTES, ge=1)  # of each file, and of all that one cell sends
    max_files: int = Field(default=16, ge=1)  # in one cell
    max_pages: int = Field(default=200, ge=1)  # of one file
    optional: bool = False  # an empty cell is asked without a file, instead of going to the quarantine
    root: Path | None = None
    fetch: bool = False
    fetch_timeout: float = Field(default=30, gt=0)  # seconds for one file

    @field_validator("pages")
    @classmethod
    def _readable(cls, text: str | None) -> str | None:
        if text is not None:
            _ranges(text)
        return text

    def chosen(self, count: int) -> Sequence[int]:
        """The pages to send of so many, from 0, in order and each once; what lies beyond the last is left out."""
        if self.pages is None:
            return range(count)
        found = {page for first, last in _ranges(self.pages) for page in range(first - 1, min(last or count, count))}
        return sorted(found)


def _ranges(text: str) -> list[tuple[int, int | None]]:
    """First and last page of each range, from 1; no last: to the end."""
    found = []
    for part in text.replace(" ", "").split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no page range, write 1-3 or 1,4-")
        first, dash, last = match.groups()
        end = int(last) if last else None if dash else int(first)
        if int(first) < 1 or (end is not None and end < int(first)):
            raise ValueError(f"{part!r} holds no page; they count from 1")
        found.append((int(first), end))
    return found
