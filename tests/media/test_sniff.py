"""What a file is, told from its content, and whether the containers of sound are whole."""

from __future__ import annotations

import gzip
import io
import random
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
    "mp3 that says its length": (making.mp3(declared=4), "audio/mpeg"),
    "mp3 with tags behind": (making.mp3() + making.ape() + b"TAG" + bytes(125), "audio/mpeg"),
    "mp3 of two, with zeros": (making.mp3() + b"ID3\4\0\0\0\0\0\2\0\0" + making.mp3() + bytes(99), "audio/mpeg"),
    "mp3 with a tag": (b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + making.mp3(), "audio/mpeg"),
    "flac": (making.flac(), "audio/flac"),
    "flac of open length": (making.flac(promised=0) + b"TAG" + bytes(125), "audio/flac"),
    "opus": (making.ogg(), "audio/ogg"),
    "opus of many pages": (making.ogg(b"OpusHead", b"a", b"bc"), "audio/ogg"),
    "opus of two": (making.ogg(b"OpusHead", b"a") + making.ogg(b"OpusHead"), "audio/ogg"),
    "theora": (making.ogg(b"\x80theora"), "video/ogg"),
    "m4a": (making.mp4(b"M4A "), "audio/mp4"),
    "aac": (making.adts(), "audio/aac"),
    "aac with a tag": (b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + making.adts(), "audio/aac"),
    "aiff": (making.aiff(), "audio/aiff"),
    "mp4": (making.mp4(), "video/mp4"),
    "mov": (making.mp4(b"qt  "), "video/quicktime"),
    "old mov": (making.box(b"moov", making.box(b"trak") + bytes(30)), "video/quicktime"),
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


CUTTABLE = ["wav", "webp", "avi", "mp4", "mov", "m4a", "heic", "flac", "opus", "webm", "mkv", "mp3", "aac", "aiff"]


@pytest.mark.parametrize("name", [*CUTTABLE, "flac of open length", "opus of many pages"])
@pytest.mark.parametrize("kept", [0.3, 0.62])
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
        ("audio/wav", making.wav()[:20] + bytes(16) + making.wav()[36:]),
        ("audio/wav", making.wav(0)[:16] + b"\4" + making.wav(0)[17:24] + making.wav(0)[36:] + bytes(12)),
        ("audio/wav", making.wav(0)[:-4] + b"\xff\xff\xff\xff"),
        ("audio/aac", b"\xff\xf1\x50\x80" + bytes(40)),
        ("audio/aiff", b"FORM\0\0\0\x1eAIFFCOMM\0\0\0\x12" + bytes(18)),
        ("audio/mp4", making.box(b"ftyp", b"M4A \0\0\0\0") + making.box(b"moov", making.box(b"mvhd"))),
        ("audio/flac", b"fLaC\x80\0\0\x22" + bytes(34)),
        ("audio/flac", b"fLaC\x81\0\0\4" + bytes(40)),
        ("audio/mpeg", b"ID3\4\0\0\0\0\x7f\x7f"),
        ("audio/mpeg", b"ID3\4\0\0\0\0\0\0" + bytes(500)),
        ("video/webm", b"\x1aE\xdf\xa3"),
    ],
)
def test_what_holds_nothing_is_broken(mime: str, data: bytes) -> None:
    """Headers alone, boxes of impossible size, tags without sound."""
    assert fault(mime, data) is not None


def _changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("mime", "data", "said"),
    [
        ("audio/mpeg", making.mp3()[:-1], "cut off"),
        ("audio/mpeg", making.mp3() + b"\xff\xfb\x90", "cut off"),
        ("audio/mpeg", making.mp3(2, declared=4), "cut off"),
        ("audio/mpeg", making.mp3(2) + b"\7" * 417 + making.mp3(2), "a frame is damaged"),
        ("audio/aac", making.adts(2) + b"\7" * 20 + making.adts(2), "a frame is damaged"),
        ("audio/flac", making.flac()[:-1], "cut off"),
        ("audio/flac", making.flac(promised=0)[:-1], "cut off"),
        ("audio/flac", making.flac(3, promised=64), "only 48 of its 64 samples can be read"),
        ("audio/flac", _changed(making.flac(3), 60), "only 16 of its 48 samples can be read"),
        ("audio/flac", making.flac(1, promised=0) + bytes(80_000), "a frame is damaged"),
        ("audio/ogg", _changed(making.ogg(b"OpusHead", b"abcdef"), -3), "a page is damaged"),
        ("audio/ogg", making.ogg() + making.ogg(b"a", first=2), "a page is missing"),
        ("audio/mp4", making.mp4(b"M4A ", place=350), "cut off"),
        ("audio/mp4", making.mp4(b"M4A ").replace(b"stco\0\0\0\0\0", b"stco\0\0\0\0\1"), "tracks is damaged"),
        ("audio/mp4", making.mp4(b"M4A ").replace(b"\x34trak", b"\x35trak"), "tracks is damaged"),
    ],
)
def test_what_is_missing_or_damaged_within_is_seen(mime: str, data: bytes, said: str) -> None:
    """The last frame, frames that were promised or numbered, checksums, pieces that the index points to."""
    assert said in str(fault(mime, data))


@pytest.mark.parametrize("name", ["mp3", "aac", "flac", "opus of many pages", "m4a", "wav", "aiff"])
def test_no_damage_breaks_the_readers(name: str) -> None:
    """Whatever is in the bytes, an answer comes."""
    data, mime = KNOWN[name]
    dice = random.Random(7)
    for _ in range(2000):
        changed = bytearray(data)
        for _ in range(dice.randrange(1, 6)):
            changed[dice.randrange(len(data))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        fault(mime, bytes(changed))


def test_what_stands_behind_the_sound_is_no_part_of_it() -> None:
    """A tag behind the RIFF chunk is not read as another chunk."""
    assert fault("audio/wav", making.wav() + b"TAG" + b"\xfe" * 125) is None


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
