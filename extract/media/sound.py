"""Whether the containers of audio and video are whole, as far as their own structure tells."""

from __future__ import annotations

from collections.abc import Iterator

from extract.media.sniff import after_id3, frame_length

_OPEN_SIZES = (0, 0xFFFFFFFF)  # of recordings whose length was not known when they began
_CUT = "the file is cut off"


def fault(mime: str, data: bytes) -> str | None:
    """What is broken, None when nothing is seen."""
    if mime in ("audio/wav", "video/x-msvideo", "image/webp"):
        return _riff(mime, data)
    if mime in ("video/mp4", "video/quicktime", "video/3gpp", "audio/mp4"):
        return _boxes(data, b"moov")
    if mime in ("image/heic", "image/heif"):
        return _boxes(data, b"meta")
    if mime == "audio/flac":
        return _flac(data[after_id3(data) :])
    if mime in ("audio/ogg", "video/ogg"):
        return _ogg(data)
    if mime in ("video/webm", "video/x-matroska"):
        return _ebml(data)
    if mime == "audio/mpeg":
        return _frames(data)
    return None


def _riff(mime: str, data: bytes) -> str | None:
    size = int.from_bytes(data[4:8], "little")
    if size not in _OPEN_SIZES and size + 8 > len(data) + 1:  # the last pad byte may be missing
        return _CUT
    if mime != "audio/wav":
        return None
    chunks = list(_chunks(data))
    if not {b"fmt ", b"data"} <= {name for name, _ in chunks}:
        return _CUT if len(data) < 44 else "there is no sound in it"
    missing = max(end for _, end in chunks) - len(data)
    return _CUT if missing > 1 else None


def _chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Name and end of each chunk of a RIFF file."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + (0 if size in _OPEN_SIZES else size)
        yield data[at : at + 4], end
        if size in _OPEN_SIZES:
            return
        at = end + (size & 1)


def _boxes(data: bytes, needed: bytes) -> str | None:
    """Top-level boxes must fill the file, and the one that describes the rest must be there."""
    at, seen = 0, False
    while at + 8 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:  # to the end
            size = len(data) - at
        if size < 8 or at + size > len(data):
            return _CUT
        seen = seen or name == needed
        at += size
    if data[at:].strip(b"\0"):  # zeros may pad the end
        return _CUT
    return None if seen else "it holds no description of its tracks, as when it is cut off"


def _flac(data: bytes) -> str | None:
    at, last = 4, False
    while not last:
        if at + 4 > len(data):
            return _CUT
        last = bool(data[at] & 0x80)
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    return None if data[at : at + 1] == b"\xff" else _CUT


def _ogg(data: bytes) -> str | None:
    at = 0
    while at < len(data):
        if data[at : at + 4] != b"OggS" or at + 27 > len(data):
            return "a page is damaged" if at + 27 <= len(data) else _CUT
        count = data[at + 26]
        at += 27 + count + sum(data[at + 27 : at + 27 + count])
    return None if at == len(data) else _CUT


def _ebml(data: bytes) -> str | None:
    """The segment must be as long as it says, where it says it."""
    size, at = _number(data, 4)
    at += size or 0
    if at + 5 > len(data):
        return _CUT
    if data[at : at + 4] != b"\x18\x53\x80\x67":  # something stands between, which is allowed
        return None
    size, at = _number(data, at + 4)
    return _CUT if size is not None and at + size > len(data) else None


def _number(data: bytes, at: int) -> tuple[int | None, int]:
    """An EBML size, None for an open one, and where it ends."""
    first = data[at] if at < len(data) else 0
    length = 9 - first.bit_length()
    if first == 0:
        return None, at + 1
    value = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    return (None if value == (1 << 7 * length) - 1 else value), at + length


def _frames(data: bytes) -> str | None:
    start = after_id3(data)
    if start >= len(data):
        return _CUT
    window = data[start : start + 65536]  # padding may stand before the first frame
    found = any(frame_length(window, at) for at in range(len(window)) if window[at] == 0xFF)
    return None if found else "there is no sound in it"
