"""Images: whether they are whole, and smaller or converted copies of them. The same bytes give the same copy."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from threading import Lock
from typing import Any

from extract.media.libraries import library
from extract.media.part import MediaError

MOST_PIXELS = 89_000_000  # of an image that is opened at all; Pillow warns from about here
SEEN_EVERYWHERE = ("image/png", "image/jpeg", "image/webp", "image/gif")
_LARGE = 16_000_000  # pixels; images above are decoded one at a time
_QUALITY = 90
_FORMATS = {
    "image/png": ("PNG",),
    "image/jpeg": ("JPEG", "MPO"),
    "image/gif": ("GIF",),
    "image/webp": ("WEBP",),
    "image/bmp": ("BMP", "DIB"),
    "image/tiff": ("TIFF",),
    "image/avif": ("AVIF",),
    "image/jp2": ("JPEG2000",),
}
_FAULTS = (  # what Pillow's readers raise on damaged files; a warning is one where warnings are errors
    *(OSError, ValueError, TypeError, LookupError, EOFError, SyntaxError, ArithmeticError, AttributeError),
    *(struct.error, zlib.error, MemoryError, RuntimeError, NotImplementedError, UserWarning),
)
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True, slots=True)
class Copy:
    """A picture to send in place of a file: which page, as what; its bytes are made by `image_page`."""

    page: int
    mime: str


def copies(
    data: bytes, mime: str, *, max_pixels: int, convert: bool, pages: Callable[[int], Sequence[int]]
) -> tuple[list[Copy] | None, bool]:
    """What to send in place of an image, None for the file itself, and whether only its first picture is kept.

    `pages` chooses among the pages of a TIFF. Raises MediaError for an image that is broken or too large to open.
    """
    if mime not in _FORMATS:  # Pillow does not read it: nothing can be said or made of it
        if convert:
            raise MediaError("media.type", f"{mime} cannot be made into an image that models read")
        return None, False
    with _reading(data, mime) as image:
        frames, pixels = _frames(image), image.width * image.height
        change = pixels > max_pixels or (convert and mime not in SEEN_EVERYWHERE)
        if change:
            image.draft("RGB", _target(image.size, max_pixels))  # JPEG decodes to about this size, at less cost
        _decode(image, pixels)
    return _copies_of(mime, frames, pages) if change else (None, False)


def image_page(data: bytes, mime: str, copy: Copy, max_pixels: int) -> bytes:
    """One picture of the file as PNG or JPEG, upright, and no larger than so many pixels. Raises MediaError."""
    with _reading(data, mime) as image:
        try:
            image.seek(copy.page)
        except _FAULTS as error:
            raise _broken(error) from error
        pixels = image.width * image.height
        if pixels > max_pixels:
            image.draft("RGB", _target(image.size, max_pixels))
        _decode(image, pixels)
        try:
            return _encoded(_smaller(_upright(image), max_pixels), copy.mime)
        except _FAULTS as error:
            raise _broken(error) from error


def as_png(image: Any) -> bytes:
    """A picture in memory as PNG, without its colours where it has none: most pages are black on white."""
    red, green, blue = image.split()
    difference = library("PIL.ImageChops").difference
    grey = difference(red, green).getbbox() is None and difference(red, blue).getbbox() is None
    return _encoded(red if grey else image, "image/png")


def _copies_of(mime: str, frames: int, pages: Callable[[int], Sequence[int]]) -> tuple[list[Copy], bool]:
    kind = "image/jpeg" if mime == "image/jpeg" else "image/png"
    if mime == "image/tiff":
        return [Copy(page, kind) for page in pages(frames)], False
    return [Copy(0, kind)], frames > 1 and mime != "image/jpeg"  # a JPEG's further pictures are previews


def _reading(data: bytes, mime: str) -> Any:
    """The image with its header read, by the reader of its own kind alone."""
    pillow = library("PIL.Image")
    bombs = (pillow.DecompressionBombError, pillow.DecompressionBombWarning)
    try:
        image = pillow.open(io.BytesIO(data), formats=_FORMATS[mime])
    except bombs as error:
        raise MediaError("media.size", f"too many pixels: {error}") from error
    except _FAULTS as error:
        raise _broken(error) from error
    if image.width * image.height > MOST_PIXELS:
        raise MediaError("media.size", f"{image.width} x {image.height} pixels, the limit is {MOST_PIXELS:,}")
    return image


def _frames(image: Any) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except _FAULTS as error:
        raise _broken(error) from error


def _decode(image: Any, pixels: int) -> None:
    """Read all pixels: only so is a cut file found."""
    bombs = library("PIL.Image")
    try:
        if pixels > _LARGE:
            with _ONE_AT_A_TIME:
                image.load()
        else:
            image.load()
    except (bombs.DecompressionBombError, bombs.DecompressionBombWarning) as error:
        raise MediaError("media.size", f"too many pixels: {error}") from error
    except _FAULTS as error:
        raise _broken(error) from error


def _upright(image: Any) -> Any:
    return library("PIL.ImageOps").exif_transpose(image)


def _smaller(image: Any, most: int) -> Any:
    image = _plain(image)
    if image.width * image.height <= most:
        return image
    return image.resize(_target(image.size, most), library("PIL.Image").Resampling.LANCZOS)


def _plain(image: Any) -> Any:
    """In a mode that PNG can hold and that can be scaled: 8 bits, grey or colour, alpha where there is some."""
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return image
    if image.mode.startswith("I"):  # 16 bits of grey
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in ("1", "F"):
        return image.convert("L")
    alpha = image.mode in ("PA", "La", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if alpha else "RGB")


def _target(size: tuple[int, int], most: int) -> tuple[int, int]:
    width, height = size
    scale = min(1.0, sqrt(most / (width * height)))
    wide = max(1, int(width * scale))
    return wide, max(1, min(int(height * scale), most // wide))


def _encoded(image: Any, mime: str) -> bytes:
    out = io.BytesIO()
    profile = {"icc_profile": image.info.get("icc_profile")} if image.mode in ("RGB", "RGBA") else {}
    bare = image.copy()
    bare.info = {}  # neither comments nor a second, stale EXIF
    if mime == "image/jpeg":
        bare = bare if bare.mode in ("L", "RGB") else bare.convert("RGB")
        bare.save(out, "JPEG", quality=_QUALITY, **profile)
    else:
        bare.save(out, "PNG", **profile)
    return out.getvalue()


def _broken(error: BaseException) -> MediaError:
    return MediaError("media.broken", f"the image is broken: {error or type(error).__name__}")
