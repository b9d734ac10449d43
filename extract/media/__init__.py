"""Files, URLs and bytes in a record's columns → the parts of a message that carry them.

Everything here is blocking and safe to call from several threads; pdfium is not, so one lock stands around it.
"""

from __future__ import annotations

from extract.media.attach import Attachments
from extract.media.files import open_below
from extract.media.libraries import require
from extract.media.pages import parted
from extract.media.part import MediaError, Part, fill
from extract.media.sending import with_media
from extract.media.settings import Media
from extract.media.sniff import family, sniff

__all__ = [
    "Attachments",
    "Media",
    "MediaError",
    "Part",
    "family",
    "fill",
    "open_below",
    "parted",
    "require",
    "sniff",
    "with_media",
]
