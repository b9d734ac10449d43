"""Whether sound that is a row of frames is all there: MPEG audio, AAC and FLAC."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from extract.media.sniff import after_id3, frame_length

CUT = "the file is cut off"
DAMAGED = "a frame is damaged"
NO_SOUND = "there is no sound in it"

_SEARCHED = 65536  # bytes of padding that may stand before the first frame
_APE_FOOTER = 32  # bytes
_FLAC_INFO = 34  # bytes of STREAMINFO
_MOST_OF_A_SAMPLE = 40  # bytes, of eight channels


def _table(polynomial: int, bits: int) -> tuple[int, ...]:
    """The remainders of all bytes, for a checksum of so many bits."""
    found = []
    for byte in range(256):
        crc = byte << bits - 8
        for _ in range(8):
            crc = crc << 1 ^ (polynomial if crc >> bits - 1 else 0)
        found.append(crc)
    return tuple(found)


_CRC8, _CRC16 = _table(0x107, 8), _table(0x18005, 16)
_Length = Callable[[bytes, int], int | None]


def mpeg_fault(data: bytes) -> str | None:
    """What is broken in MPEG audio, None when nothing is seen."""
    end = without_tags(data)
    start = after_id3(data)
    if start >= end:
        return CUT
    first = _first(data, start, min(end, start + _SEARCHED), end)
    if first is None:
        return NO_SOUND
    count, fault = _walked(data, first, end, frame_length)
    missing = _declared(data, first) - count
    return fault or (CUT if missing > 0 else None)


def aac_fault(data: bytes) -> str | None:
    """The same of AAC with ADTS headers."""
    start = after_id3(data)
    _, fault = _walked(data, start, without_tags(data), _adts_length)
    return fault


def flac_fault(data: bytes) -> str | None:
    """The same of FLAC: all samples that it promises must be there, and its last frame must be whole."""
    data = data[after_id3(data) : without_tags(data)]
    at, last = 4, False
    while not last:
        if at + 4 > len(data):
            return CUT
        last = bool(data[at] & 0x80)
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    if data[4] & 0x7F or int.from_bytes(data[5:8], "big") < _FLAC_INFO:
        return DAMAGED
    promised = int.from_bytes(data[21:26], "big") & 0xF_FFFF_FFFF  # 0: not known when it began
    frame = _flac_frame(data, at)
    if frame is None:
        return CUT if at + 16 > len(data) else DAMAGED
    held = 0
    for each in _flac_frames(data, frame):
        held, frame = held + each.samples, each
    if held < promised:
        return f"only {held:,} of its {promised:,} samples can be read, as when it is cut off"
    rest = data[frame.start :]
    if len(rest) > frame.samples * _MOST_OF_A_SAMPLE + _SEARCHED:
        return DAMAGED
    return None if _crc(rest, _CRC16, 16) == 0 else CUT


def without_tags(data: bytes) -> int:
    """Where the content before the tags at the end of a file ends: ID3v1, Lyrics3 and APE."""
    end = len(data)
    if end >= 128 and data.startswith(b"TAG", end - 128):
        end -= 128
    if data.endswith(b"LYRICS200", 0, end) and data[end - 15 : end - 9].isdigit():
        end -= int(data[end - 15 : end - 9]) + 15
    if end >= _APE_FOOTER and data.startswith(b"APETAGEX", end - _APE_FOOTER):
        footer = data[end - _APE_FOOTER : end]
        has_header = footer[23] & 0x80
        end -= int.from_bytes(footer[12:16], "little") + (_APE_FOOTER if has_header else 0)
    return max(end, 0)


def _first(data: bytes, start: int, searched: int, end: int) -> int | None:
    """Where the first frame begins: one that another follows, or that the file ends with, or in."""
    at = data.find(b"\xff", start, searched)
    while at >= 0:
        length = frame_length(data, at)
        if length and (at + length + 4 > end or frame_length(data, at + length)):
            return at
        at = data.find(b"\xff", at + 1, searched)
    return None


def _walked(data: bytes, at: int, end: int, length_of: _Length) -> tuple[int, str | None]:
    """How many frames stand in a row up to the end, and what is wrong with them."""
    count = 0
    while at < end:
        length = length_of(data, at)
        if length is not None:
            at, count = at + length, count + 1
        elif tag := after_id3(data[at : at + 10]):  # of the next piece, where several were joined
            at += tag
        elif not data[at:end].strip(b"\0"):  # zeros may pad the end
            return count, None if count else NO_SOUND
        else:
            return count, CUT if end - at < 8 else DAMAGED
    return count, CUT if at > end or not count else None


def _declared(data: bytes, first: int) -> int:
    """How many frames the file says it has, in its first, which holds no sound; 0 when it does not say."""
    head = data[first : first + (frame_length(data, first) or 0)]
    at = max(head.find(b"Xing", 0, 48), head.find(b"Info", 0, 48))
    has_count = at >= 0 and len(head) >= at + 12 and head[at + 7] & 1
    return int.from_bytes(head[at + 8 : at + 12], "big") if has_count else 0


def _adts_length(data: bytes, at: int) -> int | None:
    head = data[at : at + 7]
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length > 7 else None


@dataclass(frozen=True, slots=True)
class _Frame:
    """The head of a FLAC frame."""

    start: int
    number: int  # of the frame, or of its first sample where their lengths vary
    samples: int
    varies: bool

    @property
    def next_number(self) -> int:
        return self.number + (self.samples if self.varies else 1)


def _flac_frames(data: bytes, frame: _Frame) -> Iterator[_Frame]:
    """This frame and those that follow it in their order; a length is told by where the next frame begins."""
    sync = data[frame.start : frame.start + 2]
    yield frame
    at = data.find(sync, frame.start + 2)
    while at >= 0:
        found = _flac_frame(data, at)
        if found is not None and found.number == frame.next_number:
            frame = found
            yield frame
        at = data.find(sync, at + 2)


def _flac_frame(data: bytes, start: int) -> _Frame | None:
    """The frame that begins here; its head has a checksum."""
    head = data[start : start + 16]
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    size, rate = head[2] >> 4, head[2] & 15
    length = _coded_length(head[4])
    if size == 0 or rate == 15 or length is None:
        return None
    number = head[4] if length == 1 else head[4] & (0x7F >> length)
    for byte in head[5 : 4 + length]:
        number = number << 6 | byte & 0x3F
    at = 4 + length
    wide = {6: 1, 7: 2}.get(size, 0)
    samples = int.from_bytes(head[at : at + wide], "big") + 1 if wide else _block_size(size)
    at += wide + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if len(head) <= at or _crc(head[:at], _CRC8, 8) != head[at]:
        return None
    return _Frame(start, number, samples, bool(head[1] & 1))


def _coded_length(first: int) -> int | None:
    """Bytes of a number that is written as UTF-8 writes characters."""
    ones = 8 - (~first & 0xFF).bit_length()
    return 1 if ones == 0 else None if ones in (1, 8) else ones


def _block_size(code: int) -> int:
    if code == 1:
        return 192
    return 576 << code - 2 if code < 6 else 256 << code - 8


def _crc(data: bytes, table: Sequence[int], bits: int) -> int:
    crc, shift, mask = 0, bits - 8, (1 << bits) - 1
    for byte in data:
        crc = crc << 8 & mask ^ table[crc >> shift ^ byte]
    return crc
