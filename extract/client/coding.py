"""The bytes of a response, unpacked within bounds: httpx unpacks what it is sent, layer upon layer, in one step."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator, Mapping

import httpx

from extract.errors import APIError, ErrorClass, InvalidResponseError

PLAIN = {"Accept-Encoding": "identity"}  # what a request asks for; some servers pack their answers all the same
_SLICE = 64 * 1024  # bytes that are unpacked at a time
_OWN_HINT = "leave out the transport of your own: the default ones (ours, and that of pyreqwest) unpack br and zstd"
_PLAIN_HINT = "have the endpoint, or the proxy before it, heed Accept-Encoding: identity"
_GZIP = zlib.MAX_WBITS | 16
_MEMBER = 0x1F  # how another member of a gzip begins; what else follows is padding


async def read_bytes(response: httpx.Response, most: int) -> AsyncIterator[bytes]:
    """The body in pieces as they come, unpacked where it is packed once.

    The default transport has undone br and zstd before. Raises APIError: worth another attempt for more than `most`
    bytes (packed or unpacked), for good for what cannot be unpacked, since the next answer would be paid and packed
    likewise. Raises httpx.DecodingError for a packing that is broken.
    """
    try:
        content = response.content  # it has been read, and unpacked, as that of a mock
    except httpx.ResponseNotRead:
        async for piece in unpacked(response.aiter_raw(), response.status_code, response.headers, most):
            yield piece
    else:
        yield within(content, most)


async def unpacked(
    pieces: AsyncIterable[bytes], status: int, headers: Mapping[str, str], most: int
) -> AsyncGenerator[bytes, None]:
    """A body that comes in these pieces; see `read_bytes`."""
    unpack = _unpacker(status, headers)
    came = size = 0
    async for packed in pieces:
        came += len(packed)
        for number, piece in enumerate(unpack.feed(packed) if unpack else (packed,)):
            size += len(piece)
            if max(came, size) > most:
                raise _too_large(most)
            if number:
                await asyncio.sleep(0)  # few bytes may be many pieces, and others wait
            if piece:
                yield piece
    if unpack and not unpack.whole:
        raise httpx.DecodingError("the packed answer breaks off")


def within(body: bytes, most: int) -> bytes:
    """The body. Raises APIError for more than `most` bytes."""
    if len(body) > most:
        raise _too_large(most)
    return body


def _too_large(most: int) -> APIError:
    error = APIError(f"the answer is larger than {most} bytes", kind=ErrorClass.TRANSIENT)
    error.may_be_billed = True
    return error


def _unpacker(status: int, headers: Mapping[str, str]) -> _Unpacker | None:
    named = headers.get("content-encoding", "").split(",")
    codings = [coding for name in named if (coding := name.strip().lower()) not in ("", "identity")]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in ("gzip", "x-gzip", "deflate"):
        raise InvalidResponseError(
            f"the answer is packed as {', '.join(codings)[:100]!r}, which was not asked for and is not unpacked here",
            kind=ErrorClass.CONFIG,
            status=status,
            request_id=headers.get("x-request-id"),
            hint=_OWN_HINT if codings in (["br"], ["zstd"]) else _PLAIN_HINT,
        )
    return _Unpacker(gzip=codings[0] != "deflate")


class _Unpacker:
    """gzip, of one or more members, or deflate, with or without zlib's head.

    `whole`: whether what came is complete; nothing at all is.
    """

    def __init__(self, *, gzip: bool) -> None:
        self.whole = True
        self._gzip = gzip
        self._head = b""  # of a deflate, until it shows which it is
        self._inner = zlib.decompressobj(_GZIP) if gzip else None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The next bytes in pieces of a bounded size. Raises httpx.DecodingError."""
        if self._inner is None:
            self._head = data = self._head + data
            if len(data) < 2:
                self.whole = not data
                return
            headed = data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._inner = zlib.decompressobj(zlib.MAX_WBITS if headed else -zlib.MAX_WBITS)
        try:
            yield from self._pieces(self._inner, data)
        except zlib.error as error:
            raise httpx.DecodingError(str(error)) from error

    def _pieces(self, inner: zlib._Decompress, data: bytes) -> Iterator[bytes]:
        more = False  # zlib holds what the last slice had no room for
        while data or more:
            if inner.eof:
                if not self._gzip or data[0] != _MEMBER:
                    return
                inner = self._inner = zlib.decompressobj(_GZIP)
            piece = inner.decompress(data, _SLICE)
            self.whole = inner.eof
            data = inner.unused_data if inner.eof else inner.unconsumed_tail
            more = len(piece) == _SLICE and not inner.eof
            yield piece
