"""br and zstd, undone in pieces of a bounded size by the libraries of their makers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import brotli
import httpx
from backports import zstd

_SLICE = 64 * 1024  # bytes that are unpacked at a time
_WINDOW_LOG = 23  # 8 MB, what RFC 9659 has a server keep to
_ZSTD: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}


class Unpacker(Protocol):
    """`whole`: whether what came is complete; nothing at all is."""

    whole: bool

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The next bytes in pieces of a bounded size. Raises httpx.DecodingError."""


def unpacker_of(coding: str) -> Unpacker | None:
    """That of this content-encoding, for br and zstd alone."""
    name = coding.strip().lower()
    return _Brotli() if name == "br" else _Zstd() if name == "zstd" else None


class _Brotli:
    def __init__(self) -> None:
        self.whole = True
        self._inner = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while not self._inner.is_finished():  # what follows is padding
                piece = self._inner.process(data, output_buffer_limit=_SLICE)
                data = b""
                if not piece:  # there may be more as long as something came, whatever it says of its buffer
                    break
                yield piece
        except brotli.error as error:
            raise httpx.DecodingError(str(error)) from error
        self.whole = self._inner.is_finished()


class _Zstd:
    """Of one or more frames."""

    def __init__(self) -> None:
        self.whole = True
        self._inner = zstd.ZstdDecompressor(options=_ZSTD)

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data or not (self._inner.eof or self._inner.needs_input):
            if self._inner.eof:
                self._inner = zstd.ZstdDecompressor(options=_ZSTD)
            try:
                yield self._inner.decompress(data, max_length=_SLICE)
            except zstd.ZstdError as error:
                raise httpx.DecodingError(str(error)) from error
            data = self._inner.unused_data
        self.whole = self._inner.eof
