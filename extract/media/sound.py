"""Whether the containers of audio and video are whole, as far as their own structure tells."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Literal

from extract.media.frames import CUT, NO_SOUND, aac_fault, flac_fault, mpeg_fault, without_tags

_OPEN_SIZES = (0, 0xFFFFFFFF)  # of recordings whose length was not known when they began
_NO_TRACKS = "it holds no description of its tracks, as when it is cut off"
_HOLDERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})  # boxes of boxes, down to where the sound is
_TRACKS = frozenset({b"trak", b"cmov", b"rmra"})  # described here, compressed, or in other files
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def fault(mime: str, data: bytes) -> str | None:
    """What is broken, None when nothing is seen."""
    if mime in ("audio/wav", "video/x-msvideo", "image/webp"):
        return _riff(mime, data)
    if mime in ("video/mp4", "video/quicktime", "video/3gpp", "audio/mp4"):
        return _boxes(data, b"moov") or _tracks(data)
    if mime in ("image/heic", "image/heif"):
        return _boxes(data, b"meta")
    if mime == "audio/flac":
        return flac_fault(data)
    if mime in ("audio/ogg", "video/ogg"):
        return _ogg(data)
    if mime in ("video/webm", "video/x-matroska"):
        return _ebml(data)
    if mime == "audio/mpeg":
        return mpeg_fault(data)
    if mime == "audio/aac":
        return aac_fault(data)
    return _aiff(data) if mime == "audio/aiff" else None


def _riff(mime: str, data: bytes) -> str | None:
    size = int.from_bytes(data[4:8], "little")
    if size not in _OPEN_SIZES and size + 8 > len(data) + 1:  # the last pad byte may be missing
        return CUT
    if mime != "audio/wav":
        return None
    stated = len(data) if size in _OPEN_SIZES else size + 8  # what stands behind is no part of it
    chunks = {name: (start, end) for name, start, end in _chunks(data, "little", stated)}
    if not {b"fmt ", b"data"} <= chunks.keys():
        return CUT if len(data) < 44 else NO_SOUND
    if max(end for _, end in chunks.values()) - len(data) > 1:
        return CUT
    return _sound_of(data, chunks[b"fmt "], chunks[b"data"])


def _sound_of(data: bytes, form: tuple[int, int], sound: tuple[int, int]) -> str | None:
    """Whether the form of the samples is told, and some are there."""
    start, end = form
    if end - start < 16:
        return "the form of its samples is cut off"
    _, channels, rate, _, frame = struct.unpack_from("<HHIIH", data, start)
    if not (channels and rate and frame):
        return "the form of its samples is damaged"
    return NO_SOUND if sound[0] >= len(data) or sound[0] == sound[1] else None


def _chunks(data: bytes, order: Literal["little", "big"], stated: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk of a RIFF or AIFF file; one of open size goes to the end."""
    at = 12
    while at + 8 <= min(len(data), stated):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], order)
        is_open = size == 0xFFFFFFFF or (size == 0 and name == b"data")
        end = len(data) if is_open else at + 8 + size
        yield name, at + 8, end
        at = end + (size & 1)


def _aiff(data: bytes) -> str | None:
    stated = int.from_bytes(data[4:8], "big") + 8
    if stated > len(data) + 1:
        return CUT
    chunks = {name: end for name, _, end in _chunks(data, "big", stated)}
    if not {b"COMM", b"SSND"} <= chunks.keys():
        return NO_SOUND
    return CUT if max(chunks.values()) - len(data) > 1 else None


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
            return CUT
        seen = seen or name == needed
        at += size
    if data[at:].strip(b"\0"):  # zeros may pad the end
        return CUT
    return None if seen else _NO_TRACKS


def _tracks(data: bytes) -> str | None:
    """The boxes that describe the tracks must fill each other, and what they point to must be in the file."""
    seen, todo = False, [(0, len(data))]
    while todo:
        at, end = todo.pop()
        while at + 8 <= end and data[at : at + 8].strip(b"\0"):  # zeros may pad the end
            name, start, stop = _box(data, at, end)
            if not start <= stop <= end:
                return "the description of its tracks is damaged"
            if name in _HOLDERS:
                todo.append((start, stop))
            if name in (b"stco", b"co64") and (fault := _index(data[start:stop], name, len(data))):
                return fault
            seen = seen or name in _TRACKS
            at = stop
    return None if seen else _NO_TRACKS


def _box(data: bytes, at: int, end: int) -> tuple[bytes, int, int]:
    """Name, start and end of the content of a box."""
    size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
    if size == 1:
        return name, at + 16, at + int.from_bytes(data[at + 8 : at + 16], "big")
    return name, at + 8, at + size if size else end


def _index(body: bytes, name: bytes, size: int) -> str | None:
    """Where in the file the pieces of a track begin."""
    width, code = (4, "I") if name == b"stco" else (8, "Q")
    count = int.from_bytes(body[4:8], "big")
    if 8 + count * width > len(body):
        return "the description of its tracks is damaged"
    return CUT if max(struct.unpack_from(f">{count}{code}", body, 8), default=0) >= size else None


def _ogg(data: bytes) -> str | None:
    """Pages have a checksum, and those of each stream are numbered."""
    at, end = 0, without_tags(data)
    numbers: dict[bytes, int] = {}
    while at < end:
        start = at
        if at + 27 > end:
            return CUT
        if data[at : at + 4] != b"OggS":
            return "a page is damaged"
        count = data[at + 26]
        at += 27 + count + sum(data[at + 27 : at + 27 + count])
        if at > end:
            return CUT
        stream, number = data[start + 14 : start + 18], int.from_bytes(data[start + 18 : start + 22], "little")
        if _ogg_crc(data[start : start + 22] + bytes(4) + data[start + 26 : at]) != data[start + 22 : start + 26]:
            return "a page is damaged"
        is_first = data[start + 5] & 2
        if not is_first and number != numbers.get(stream, number - 1) + 1:
            return "a page is missing"
        numbers[stream] = number
    return None


def _ogg_crc(page: bytes) -> bytes:
    """Ogg's CRC-32 begins with zero and takes the bits of a byte the other way round than zlib's."""
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return crc.to_bytes(4, "big").translate(_REVERSED)


def _ebml(data: bytes) -> str | None:
    """The segment must be as long as it says, where it says it."""
    size, at = _number(data, 4)
    at += size or 0
    if at + 5 > len(data):
        return CUT
    if data[at : at + 4] != b"\x18\x53\x80\x67":  # something stands between, which is allowed
        return None
    size, at = _number(data, at + 4)
    return CUT if size is not None and at + size > len(data) else None


def _number(data: bytes, at: int) -> tuple[int | None, int]:
    """An EBML size, None for an open one, and where it ends."""
    first = data[at] if at < len(data) else 0
    length = 9 - first.bit_length()
    if first == 0:
        return None, at + 1
    value = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    return (None if value == (1 << 7 * length) - 1 else value), at + length
