"""What a file is, told from its content, and whether the containers of sound are whole."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile

import pytest

from extract.media.sniff import agrees, claims, family, sniff
from extract.media.sound import fault
from tests.media import making


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("word/document.xml", "<w/>")
    return out.getvalue()


KNOWN = {
    "png": (making.picture(), "image/png"),
    "jpeg": (making.picture(kind="JPEG"), "image/jpeg"),
    "gif": (making.picture(kind="GIF"), "image/gif"),
    "webp": (making.picture(kind="WEBP"), "image/webp"),
    "bmp": (making.picture(kind="BMP"), "image/bmp"),
    "tiff": (making.picture(kind="TIFF"), "image/tiff"),
    "avif": (making.picture(kind="AVIF"), "image/avif"),
    "heic": (making.box(b"ftyp", b"heic\0\0\0\0mif1heic") + making.box(b"meta"), "image/heic"),
    "mif1 avif": (making.box(b"ftyp", b"mif1\0\0\0\0mif1avif") + making.box(b"meta"), "image/avif"),
    "pdf": (making.pdf(), "application/pdf"),
    "pdf with a lead": (b"\n\n" + making.pdf(), "application/pdf"),
    "wav": (making.wav(), "audio/wav"),
    "mp3": (making.mp3(), "audio/mpeg"),
    "mp3 with a tag": (b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + making.mp3(), "audio/mpeg"),
    "flac": (making.flac(), "audio/flac"),
    "opus": (making.ogg(), "audio/ogg"),
    "theora": (making.ogg(b"\x80theora"), "video/ogg"),
    "m4a": (making.mp4(b"M4A "), "audio/mp4"),
    "aac": (b"\xff\xf1\x50\x80" + bytes(40), "audio/aac"),
    "aiff": (b"FORM\0\0\0\x20AIFFCOMM" + bytes(20), "audio/aiff"),
    "mp4": (making.mp4(), "video/mp4"),
    "mov": (making.mp4(b"qt  "), "video/quicktime"),
    "old mov": (making.box(b"moov", bytes(30)), "video/quicktime"),
    "3gp": (making.mp4(b"3gp5"), "video/3gpp"),
    "webm": (making.webm(), "video/webm"),
    "mkv": (making.webm(b"matroska"), "video/x-matroska"),
    "avi": (b"RIFF\x1c\0\0\0AVI LIST" + bytes(20), "video/x-msvideo"),
    "mpeg": (b"\0\0\1\xba" + bytes(40), "video/mpeg"),
    "ts": ((b"G" + bytes(187)) * 3, "video/mp2t"),
    "flv": (b"FLV\1\5\0\0\0\x09", "video/x-flv"),
}
NO_MEDIA = {
    "text": (b"The invoice is attached.\n", "text/plain"),
    "latin": ("Größe".encode("latin-1"), "application/octet-stream"),
    "utf-16": ("a text".encode("utf-16"), "application/octet-stream"),
    "text cut in a character": ("€".encode() * 2000, "text/plain"),
    "html": (b"\n <!DOCTYPE html><p>x", "text/html"),
    "svg": (b'<?xml version="1.0"?><svg/>', "image/svg+xml"),
    "xml": (b'<?xml version="1.0"?><a/>', "application/xml"),
    "docx": (_zip(), "application/zip"),
    "doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40), "application/x-ole-storage"),
    "gzip": (gzip.compress(b"x"), "application/gzip"),
    "program": (b"\x7fELF\2\1\1" + bytes(20), "application/octet-stream"),
    "zeros": (bytes(500), "application/octet-stream"),
    "one frame, then noise": (b"\xff\xfb\x90\x00" + b"\x07" * 600, "application/octet-stream"),
}


@pytest.mark.parametrize("name", KNOWN | NO_MEDIA)
def test_the_content_says_what_a_file_is(name: str) -> None:
    data, expected = (KNOWN | NO_MEDIA)[name]
    assert expected == sniff(data)
    assert (name in KNOWN) == (family(expected) is not None)


@pytest.mark.parametrize("name", KNOWN)
def test_whole_files_have_no_fault(name: str) -> None:
    data, mime = KNOWN[name]
    assert fault(mime, data) is None


@pytest.mark.parametrize("name", ["wav", "webp", "avi", "mp4", "mov", "m4a", "heic", "flac", "opus", "webm", "mkv"])
@pytest.mark.parametrize("kept", [0.3, 0.6])
def test_a_cut_container_is_seen(name: str, kept: float) -> None:
    """Sizes that the container states itself must be there."""
    data, mime = KNOWN[name]
    data = data + making.box(b"free", bytes(90)) if name == "heic" else data
    assert fault(mime, data[: int(len(data) * kept)]) is not None


@pytest.mark.parametrize(
    ("mime", "data"),
    [
        ("audio/wav", b"RIFF\x04\0\0\0WAVE"),
        ("audio/wav", b"RIFF\x30\0\0\0WAVEfmt " + struct.pack("<I", 40) + bytes(40)),
        ("video/mp4", making.box(b"ftyp", b"isom\0\0\0\0") + making.box(b"mdat", b"x")),
        ("video/mp4", struct.pack(">I", 4) + b"ftypisom"),
        ("audio/ogg", making.ogg() + b"rubbish behind it, long enough"),
        ("audio/mpeg", b"ID3\4\0\0\0\0\x7f\x7f"),
        ("audio/mpeg", b"ID3\4\0\0\0\0\0\0" + bytes(500)),
        ("video/webm", b"\x1aE\xdf\xa3"),
    ],
)
def test_what_holds_nothing_is_broken(mime: str, data: bytes) -> None:
    """Headers alone, boxes of impossible size, tags without sound."""
    assert fault(mime, data) is not None


def test_a_recording_of_open_length_is_whole() -> None:
    """Streams write 0 or the largest number where the size is not known yet."""
    data = making.wav()
    for size in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
        assert fault("audio/wav", data[:4] + size + data[8:40] + size + data[44:]) is None


@pytest.mark.parametrize("name", KNOWN | NO_MEDIA)
def test_no_prefix_of_a_file_breaks_the_readers(name: str) -> None:
    """Whatever the cut, an answer comes."""
    data, mime = (KNOWN | NO_MEDIA)[name]
    for length in range(min(len(data), 300)):
        sniff(data[:length])
        fault(mime, data[:length])


@pytest.mark.parametrize(
    ("name", "mime", "expected"),
    [
        ("a/b.JPG", "image/jpeg", True),
        ("b.jpg", "image/png", False),
        ("b.pdf", "text/plain", False),
        ("b.m4a", "video/mp4", True),
        ("b", "image/png", True),
        ("b.bin", "image/png", True),
        ("image/jpg", "image/png", True),
    ],
)
def test_names_that_speak_against_the_content(name: str, mime: str, expected: bool) -> None:
    """A suffix that we know and that means another kind; others say nothing."""
    assert expected == agrees(name, mime)


@pytest.mark.parametrize(
    ("claim", "mime", "expected"),
    [
        ("image/JPG", "image/jpeg", True),
        ("image/jpeg", "image/png", False),
        ("application/octet-stream", "image/png", True),
        ("", "image/png", True),
        ("text/plain", "image/png", False),
    ],
)
def test_claims_of_a_data_url(claim: str, mime: str, expected: bool) -> None:
    """A media type, under any of its usual names; none says nothing."""
    assert expected == claims(claim, mime)
