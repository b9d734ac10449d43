"""br and zstd in bounded pieces, however they come."""

from __future__ import annotations

import httpx
import pyarrow
import pytest

from extract.client.packings import unpacker_of

TEXT = bytes(range(256)) * 2000
CODINGS = {"br": "brotli", "zstd": "zstd"}


def packed(data: bytes, coding: str) -> bytes:
    found: bytes = pyarrow.compress(data, codec=CODINGS[coding], asbytes=True)
    return found


def unpacked(coding: str, data: bytes, step: int = 10**9) -> tuple[bytes, bool, int]:
    """What comes out, whether it was whole, and the largest piece."""
    unpacker = unpacker_of(coding)
    assert unpacker
    pieces = [piece for at in range(0, len(data), step) for piece in unpacker.feed(data[at : at + step])]
    return b"".join(pieces), unpacker.whole, max(map(len, pieces), default=0)


@pytest.mark.parametrize("step", [1, 1000, 10**9])
@pytest.mark.parametrize("coding", CODINGS)
def test_a_packing_is_undone_however_it_comes(coding: str, step: int) -> None:
    assert (TEXT, True) == unpacked(coding, packed(TEXT, coding), step)[:2]


@pytest.mark.parametrize("coding", CODINGS)
def test_pieces_are_bounded(coding: str) -> None:
    text, whole, largest = unpacked(coding, packed(bytes(20_000_000), coding))
    assert (20_000_000, True) == (len(text), whole)
    assert 200_000 > largest


@pytest.mark.parametrize("coding", CODINGS)
def test_what_breaks_off_is_not_whole_and_what_is_wrong_is_told(coding: str) -> None:
    data = packed(TEXT, coding)
    assert not unpacked(coding, data[:-3])[1]
    assert unpacked(coding, b"") == (b"", True, 0)
    with pytest.raises(httpx.DecodingError):
        unpacked(coding, b"\xff" * 100)


def test_zstd_may_have_several_frames() -> None:
    assert (TEXT * 2, True) == unpacked("zstd", packed(TEXT, "zstd") * 2, 1000)[:2]


def test_zstd_that_asks_for_a_gigabyte_is_refused() -> None:
    """A head of six bytes names the window: 8 MB are what HTTP allows."""
    frame = b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([(30 - 10) << 3]) + b"\x01\x00\x00"
    with pytest.raises(httpx.DecodingError):
        unpacked("zstd", frame)


@pytest.mark.parametrize("coding", ["gzip", "br, br", "identity", ""])
def test_others_are_left_alone(coding: str) -> None:
    assert unpacker_of(coding) is None
