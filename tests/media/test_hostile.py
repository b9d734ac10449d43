"""Files made to hurt: each goes through or is refused with its reason, soon and in little memory."""

from __future__ import annotations

import random
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extract.media import Attachments, Media, MediaError, pdfs
from extract.records import Record
from tests.media import making
from tests.media.making import parts, pdf, picture, png_header, refused


def _bomb() -> bytes:
    """A PNG of 9000 x 9000 pixels in a few kB."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + 1125)) for _ in range(9000)) + packer.flush()
    head = struct.pack(">IIBBBBB", 9000, 9000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _texts() -> bytes:
    """A PNG with a text that unpacks to far more than it should."""
    text = zlib.compress(b"x" * 100_000_000)
    chunk = b"zTXt" + b"a\0\0" + text
    data = picture()
    return data[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "pixels declared": (lambda: png_header(60_000, 60_000), "media.size"),
    "pixels above the warning": (lambda: png_header(11_000, 9_000), "media.size"),
    "pixels that are not there": (lambda: png_header(3000, 3000), "media.broken"),
    "no pixels": (lambda: png_header(0, 0), "media.broken"),
    "text in a picture": (_texts, "media.broken"),
    "cut JPEG": (lambda: picture((200, 200), "JPEG")[:-2000], "media.broken"),
    "cut PNG": (lambda: picture((200, 200))[:-2000], "media.broken"),
    "cut progressive JPEG": (lambda: picture((200, 200), "JPEG", progressive=True)[:-2000], "media.broken"),
    "JPEG of three bytes": (lambda: b"\xff\xd8\xff", "media.broken"),
    "pages declared": (lambda: pdf(["a"], declared=1_000_000), "media.pages"),
    "cut PDF": (lambda: pdf(["a"] * 5)[:400], "media.broken"),
    "encrypted PDF": (making.encrypted_pdf, "media.encrypted"),
    "PDF of a head": (lambda: b"%PDF-1.7\n", "media.broken"),
    "pages in a circle": (
        lambda: making.assembled(
            ["<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 4 >>"]
        ),
        "media.broken",
    ),
    "ZIP": (lambda: b"PK\x03\x04" + bytes(60), "media.type"),
    "page": (lambda: b"<!DOCTYPE html><script>alert(1)</script>", "media.type"),
    "svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "media.type"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("as_", ["auto", "images"])
def test_hostile_files_are_refused_with_their_reason(tmp_path: Path, name: str, as_: str) -> None:
    """Whatever their name says."""
    make, code = HOSTILE[name]
    (tmp_path / "invoice.pdf").write_bytes(make())
    begun = time.monotonic()
    assert code == refused("invoice.pdf", tmp_path, as_=as_)
    assert 5 > time.monotonic() - begun


def test_a_picture_of_many_pixels_is_made_small() -> None:
    """Below what is opened at all; its pixels are those of a small one."""
    (part,) = parts(_bomb())
    image = making.opened(part.data())
    assert 4_000_000 >= image.width * image.height > 3_900_000


@pytest.mark.parametrize("size", ["0 0 1000000 1000000", "0 0 14400 14400", "0 0 2 100000"])
def test_a_page_of_any_size_is_drawn_within_the_limit(size: str) -> None:
    try:
        found = parts(pdf(["a"], size=size), as_="images", max_pixels=100_000)
    except MediaError as error:
        assert "media.broken" == error.issue.code  # noqa: PT017  # either is right, a huge picture is not
    else:
        image = making.opened(found[0].data())
        assert 100_000 >= image.width * image.height


def test_a_page_without_size_is_drawn_or_refused() -> None:
    """No division by nothing."""
    for size in ("0 0 0 0", "10 10 10 50", "0 0 -5 -5", "a b c d"):
        try:
            assert 1 == len(parts(pdf(["a"], size=size), as_="images"))
        except MediaError as error:
            assert "media.broken" == error.issue.code  # noqa: PT017  # as above


def test_a_page_that_takes_too_long_to_draw_is_given_up() -> None:
    """Drawing stops at its deadline, and the next page can be drawn."""
    data = pdf(["a"], more="0 0 199 99 re f " * 300_000)
    begun = time.monotonic()
    with pytest.raises(MediaError, match="too long"):
        pdfs.page_image(data, 0, dpi=600, max_pixels=4_000_000, seconds=0.01)
    assert 5 > time.monotonic() - begun
    assert pdfs.page_image(pdf(), 0, dpi=72, max_pixels=4_000_000).startswith(b"\x89PNG")


def test_a_hostile_name_stays_a_value(tmp_path: Path) -> None:
    """Cells in messages are shortened; the message does not hold them."""
    name = "\x1b[31m" + "x" * 3000
    with pytest.raises(MediaError) as caught:
        parts(name, tmp_path)
    assert ("file: there is no such file", True) == (caught.value.issue.message, len(caught.value.issue.value) < 600)


FUZZED = {
    "png": picture(),
    "jpeg": picture(kind="JPEG"),
    "gif": picture(kind="GIF"),
    "webp": picture(kind="WEBP"),
    "tiff": picture(kind="TIFF", compression="tiff_lzw"),
    "bmp": picture(kind="BMP"),
    "avif": picture(kind="AVIF"),
    "pdf": pdf(["one", "two"]),
    "wav": making.wav(),
    "mp4": making.mp4(),
    "ogg": making.ogg(),
    "flac": making.flac(),
    "webm": making.webm(),
    "mp3": making.mp3(),
}


@pytest.mark.parametrize("name", FUZZED)
def test_damaged_files_go_through_or_are_refused(name: str) -> None:
    """Bytes changed, cut, doubled: parts or a MediaError, nothing else."""
    dice = random.Random(7)
    for turn in range(60):
        data = bytearray(FUZZED[name])
        for _ in range(dice.choice([1, 3, 20])):
            data[dice.randrange(len(data))] = dice.randrange(256)
        if turn % 3 == 0:
            del data[dice.randrange(len(data)) :]
        for as_ in ("auto", "images", "text"):
            media = Media(column="f", as_=as_, max_pixels=600, dpi=40)
            _either(Attachments([media]), bytes(data))


def _either(attach: Attachments, data: Any) -> None:
    try:
        for part in attach.parts_for(Record("a", 0, {"f": data}))["f"]:
            assert part.text is not None or part.data()
    except MediaError as error:
        assert error.issue.code.startswith("media.")  # noqa: PT017  # either is right


@pytest.mark.filterwarnings("ignore")
def test_pixels_are_limited_where_pillow_only_warns() -> None:
    """As it does outside of tests."""
    with pytest.raises(MediaError, match="11000 x 9000 pixels"):
        parts(png_header(11_000, 9_000))


def test_what_is_made_of_a_file_is_limited_too() -> None:
    """A small PDF may become large pictures."""
    data = pdf(["a"] * 3)
    assert 3 == len(parts(data, as_="images", dpi=300))
    assert "media.size" == refused(data, as_="images", dpi=300, max_bytes=len(data))
