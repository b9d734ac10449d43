"""Small real files for the tests, made on the spot."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from extract.media import Attachments, Media, MediaError, Part
from extract.records import Record


def picture(size: tuple[int, int] = (40, 30), kind: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """A picture whose pixels all differ a little."""
    out = io.BytesIO()
    colours = Image.effect_noise(size, 60)
    colours.convert(mode).save(out, kind, **options)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds next to nothing."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def pdf(
    pages: Sequence[str] = ("Hello",), *, size: str = "0 0 200 100", declared: int | None = None, more: str = ""
) -> bytes:
    """A PDF with one line of text a page, in the built-in font; `more` is put before the text."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    count = len(pages) if declared is None else declared
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        resources = "/Resources << /Font << /F 3 0 R >> >>"
        content = f"{more} " + (f"BT /F 18 Tf 10 50 Td ({text}) Tj ET" if text else "0 0 40 20 re f")
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [{size}] {resources} /Contents {5 + 2 * number} 0 R >>")
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    return assembled(objects)


def assembled(objects: Sequence[str], trailer: str = "") -> bytes:
    """A PDF of these objects, the first of which is the catalogue."""
    out, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{text}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode()
    return out + f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()


def encrypted_pdf() -> bytes:
    """A PDF that opens with a password which nobody knows."""
    lock = f"<< /Filter /Standard /V 1 /R 2 /O <{'5' * 64}> /U <{'6' * 64}> /P -4 >>"
    page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page, lock]
    return assembled(objects, f"/Encrypt 4 0 R /ID [<{'7' * 32}><{'7' * 32}>]")


def wav(seconds: float = 0.1) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\x10\x20" * int(8000 * seconds))
    return out.getvalue()


def box(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def mp4(brand: bytes = b"isom", *, place: int = 300) -> bytes:
    """A film with one track, whose one piece stands at `place`."""
    table = box(b"stbl", box(b"stco", struct.pack(">III", 0, 1, place)))
    track = box(b"trak", box(b"mdia", box(b"minf", table)))
    head = box(b"ftyp", brand + b"\0\0\2\0" + b"isommp41") + box(b"moov", box(b"mvhd", bytes(100)) + track)
    return head + box(b"mdat", b"x" * (350 - 8 - len(head)))


def ogg(*packets: bytes, first: int = 0) -> bytes:
    """A page for each packet, numbered from `first`."""
    pages = b""
    for number, packet in enumerate(packets or (b"OpusHead",), first):
        start = b"OggS\0" + bytes([2 if number == 0 else 0]) + bytes(8) + b"name" + struct.pack("<I", number)
        rest = b"\1" + bytes([len(packet)]) + packet
        pages += start + struct.pack("<I", remainder(start + bytes(4) + rest, 0x04C11DB7, 32)) + rest
    return pages


def flac(frames: int = 3, *, promised: int | None = None, info: bytes = bytes(16)) -> bytes:
    """Frames of sixteen equal samples each."""
    total = (16 * frames if promised is None else promised).to_bytes(5, "big")
    head = b"fLaC\x80\0\0\x22" + b"\0\x10\0\x10" + bytes(6) + b"\x0a\xc4\x40" + total + info
    return head + b"".join(map(flac_frame, range(frames)))


def flac_frame(number: int) -> bytes:
    head = b"\xff\xf8\x60\x08" + chr(number).encode() + b"\x0f"
    body = head + bytes([remainder(head, 0x07, 8)]) + b"\0\x12\x34"
    return body + struct.pack(">H", remainder(body, 0x8005, 16))


def remainder(data: bytes, polynomial: int, bits: int) -> int:
    """A checksum as the formats' papers define it, a bit at a time."""
    found = 0
    for bit in "".join(f"{byte:08b}" for byte in data):
        top = found >> bits - 1 ^ int(bit)
        found = (found << 1 & (1 << bits) - 1) ^ (polynomial if top else 0)
    return found


def mp3(frames: int = 4, *, declared: int | None = None) -> bytes:
    """Frames of silence; `declared`: the first is one without sound that says how many there are."""
    frame = b"\xff\xfb\x90\x00" + bytes(413)
    said = b"" if declared is None else frame[:36] + b"Info\0\0\0\1" + struct.pack(">I", declared) + bytes(369)
    return said + frame * frames


def ape() -> bytes:
    """An APE tag without items, with its header."""
    size = struct.pack("<IIII", 2000, 32, 0, 1 << 31)
    return (b"APETAGEX" + size + bytes(8)) * 2


def adts(frames: int = 4) -> bytes:
    return (b"\xff\xf1\x50\x80\x02\x9f\xfc" + bytes(13)) * frames


def aiff() -> bytes:
    chunks = b"COMM\0\0\0\x12" + bytes(18) + b"SSND\0\0\0\x10" + bytes(16)
    return b"FORM" + struct.pack(">I", 4 + len(chunks)) + b"AIFF" + chunks


def webm(kind: bytes = b"webm") -> bytes:
    head = b"\x42\x82" + bytes([0x80 | len(kind)]) + kind
    return b"\x1aE\xdf\xa3" + bytes([0x80 | len(head)]) + head + b"\x18\x53\x80\x67\x8a" + bytes(10)


def parts(cell: Any, folder: Path | None = None, **settings: Any) -> tuple[Part, ...]:
    """The parts of a cell of a source in a folder."""
    found = Attachments([Media(column="file", **settings)], folder).parts_for(Record("a", 0, {"file": cell}))
    return found["file"]


def refused(cell: Any, folder: Path | None = None, **settings: Any) -> str:
    """The code with which a cell is refused."""
    with pytest.raises(MediaError) as caught:
        parts(cell, folder, **settings)
    issue = caught.value.issue
    assert ("media", "file") == (issue.stage, issue.message.partition(":")[0])
    return issue.code


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
