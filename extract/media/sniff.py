"""What a file is, told from its content alone; names only say whether they agree."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0", "image/tiff"),
    (b"MM\0+", "image/tiff"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
    (b"fLaC", "audio/flac"),
    (b"#!AMR", "audio/amr"),
    (b"\0\0\x01\xba", "video/mpeg"),
    (b"\0\0\x01\xb3", "video/mpeg"),
    (b"FLV\x01", "video/x-flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-wmv"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"{\\rtf", "application/rtf"),
    (b"%!PS", "application/postscript"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_IMAGE_BRANDS = {b"avif": "image/avif", b"avis": "image/avif"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "image/heic"
)
_BRANDS = {b"qt  ": "video/quicktime", b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"mif1": "image/heif"}
_OLD_MOVIE = (b"moov", b"mdat", b"wide", b"pnot")
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_BITRATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # of MPEG 1 layer III, in kbit/s
_BITRATES_2 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)  # of MPEG 1 layer II
_BITRATES_LOW = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # of MPEG 2, both layers
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_SUFFIXES = {
    "image/png": "png",
    "image/jpeg": "jpg jpeg jpe jfif",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/bmp": "bmp dib",
    "image/tiff": "tif tiff",
    "image/heic": "heic heif",
    "image/heif": "heic heif",
    "image/avif": "avif",
    "application/pdf": "pdf",
    "audio/wav": "wav wave",
    "audio/mpeg": "mp3 mp2 mpga",
    "audio/flac": "flac",
    "audio/ogg": "ogg oga opus spx",
    "audio/mp4": "m4a m4b mp4",
    "audio/aac": "aac",
    "audio/aiff": "aif aiff aifc",
    "audio/amr": "amr",
    "video/mp4": "mp4 m4v m4a",
    "video/quicktime": "mov qt",
    "video/3gpp": "3gp 3gpp 3g2",
    "video/webm": "webm weba",
    "video/x-matroska": "mkv mka",
    "video/x-msvideo": "avi",
    "video/mpeg": "mpg mpeg vob",
    "video/mp2t": "ts mts m2ts",
    "video/ogg": "ogv ogg",
    "video/x-flv": "flv",
    "video/x-ms-wmv": "wmv asf wma",
}
_KNOWN_SUFFIXES = frozenset(" ".join(_SUFFIXES.values()).split()) | {"txt", "html", "zip", "docx", "xlsx", "pptx"}
_OTHER_NAMES = {
    "image/jpg": "image/jpeg",
    "image/x-png": "image/png",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "audio/x-flac": "audio/flac",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/webm": "video/webm",
    "audio/opus": "audio/ogg",
    "video/avi": "video/x-msvideo",
}


def sniff(data: bytes) -> str:
    """The media type of a content; `application/octet-stream` for what is none that we know."""
    for start, mime in _STARTS:
        if data.startswith(start):
            return mime
    return _structured(data) or sniff_text(data) or "application/octet-stream"


def family(mime: str) -> str | None:
    """image, pdf, audio or video; None for what is no media."""
    if mime == "application/pdf":
        return "pdf"
    kind = mime.partition("/")[0]
    return kind if kind in ("image", "audio", "video") and mime != "image/svg+xml" else None


def sniff_text(data: bytes) -> str | None:
    """The kind of text that a content begins as, None for what is no UTF-8 text."""
    head = data[:4096]
    if not head or _CONTROLS.search(head):
        return None
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3 or len(data) <= len(head):  # else the cut goes through a character
            return None
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "text/html"
    if start.startswith((b"<?xml", b"<svg")):
        return "image/svg+xml" if b"<svg" in start else "application/xml"
    return "text/plain"


def claims(claim: str, mime: str) -> bool:
    """Whether a claimed media type, if there is one, is that of the content."""
    claim = claim.strip().lower()
    return _OTHER_NAMES.get(claim, claim) in (mime, "application/octet-stream", "")


def agrees(name: str, mime: str) -> bool:
    """Whether a file's name does not speak against its content."""
    suffix = PurePosixPath(name).suffix.lower().removeprefix(".")
    return suffix not in _KNOWN_SUFFIXES or suffix in _SUFFIXES.get(mime, "").split()


def frame_length(data: bytes, at: int) -> int | None:
    """Bytes of the MPEG audio frame (layers II and III) that begins here, None when none does."""
    head = data[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer not in (1, 2) or bitrate in (0, 15) or rate == 3:
        return None
    table = _BITRATES_LOW if version != 3 else _BITRATES if layer == 1 else _BITRATES_2
    factor = 72 if version != 3 and layer == 1 else 144
    return factor * table[bitrate] * 1000 // _RATES[version][rate] + (head[2] >> 1 & 1)


def after_id3(data: bytes) -> int:
    """Where the content behind an ID3 tag begins."""
    if not data.startswith(b"ID3") or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _structured(data: bytes) -> str | None:
    """Kinds that a few bytes at the start do not tell."""
    if data.startswith((b"RIFF", b"RF64")):
        return _RIFF.get(data[8:12])
    if data.startswith(b"FORM") and data[8:12] in (b"AIFF", b"AIFC"):
        return "audio/aiff"
    if data[4:8] == b"ftyp":
        return _boxed(data)
    if data[4:8] in _OLD_MOVIE:
        return "video/quicktime"
    if data.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm" if b"webm" in data[:64] else "video/x-matroska"
    if data.startswith(b"OggS"):
        return "video/ogg" if b"theora" in data[:512] else "audio/ogg"
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "image/bmp"
    if data[:1] == b"G" and data[188:189] == b"G" and data[376:377] == b"G":
        return "video/mp2t"
    if b"%PDF-" in data[:1024]:
        return "application/pdf"
    return _mpeg_audio(data)


def _boxed(data: bytes) -> str:
    """MP4 and its relatives, by the brands that they name."""
    size = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, size, 4))]
    if brands[0] in _BRANDS and brands[0] != b"mif1":
        return _BRANDS[brands[0]]
    if brands[0] in (*_IMAGE_BRANDS, b"mif1", b"msf1"):
        return next((_IMAGE_BRANDS[brand] for brand in brands if brand in _IMAGE_BRANDS), "image/heif")
    return "video/3gpp" if brands[0].startswith((b"3gp", b"3g2")) else "video/mp4"


def _mpeg_audio(data: bytes) -> str | None:
    start = after_id3(data)
    if data[start : start + 1] == b"\xff" and data[start + 1 : start + 2] in (b"\xf0", b"\xf1", b"\xf8", b"\xf9"):
        return "audio/aac"
    if start:
        return "audio/flac" if data[start : start + 4] == b"fLaC" else "audio/mpeg"
    length = frame_length(data, 0)
    if length is None:
        return None
    more = len(data) > length + 4
    return "audio/mpeg" if not more or frame_length(data, length) is not None else None
