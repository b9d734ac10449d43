"""Packed answers: asked for none, read within bounds when one comes all the same."""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pyarrow
import pytest

import extract
from extract import Limits
from extract.client import exchange, read_bytes
from extract.errors import APIError, AuthenticationError, ErrorClass, InvalidResponseError
from extract.testing import Reply, ScriptedServer, completion
from tests.client.raw import GOOD, asked, events, head
from tests.client.test_exchange import ask, refused
from tests.support import pipeline, rows_csv

TEXT = bytes(range(256)) * 2000
HUGE = 200_000_000


class Body(httpx.AsyncByteStream):
    """A body that comes in these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def read(*pieces: bytes, coding: str = "gzip", most: int = 10_000_000) -> list[bytes]:
    """What is read of a body that comes in these pieces."""

    async def all_of_it() -> list[bytes]:
        response = httpx.Response(200, headers={"content-encoding": coding}, stream=Body(*pieces))
        return [piece async for piece in read_bytes(response, most)]

    return asyncio.run(all_of_it())


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def bomb() -> bytes:
    """A few hundred KB that are 200 MB."""
    packer = zlib.compressobj(9, wbits=31)
    block = b" " * 1_000_000
    return b"".join(packer.compress(block) for _ in range(HUGE // len(block))) + packer.flush()


def packed(data: bytes, coding: str) -> bytes:
    return pyarrow.compress(data, codec={"br": "brotli", "zstd": "zstd"}[coding], asbytes=True)


PACKED = {
    "gzip": ("gzip", gzip.compress(TEXT)),
    "members": ("x-gzip", gzip.compress(TEXT[:5]) + gzip.compress(b"") + gzip.compress(TEXT[5:])),
    "padded": ("GZIP", gzip.compress(TEXT) + bytes(100)),
    "deflate": ("identity, deflate", zlib.compress(TEXT)),
    "raw": ("deflate", raw_deflate(TEXT)),
    "identity": ("identity", TEXT),
}


@pytest.mark.parametrize("step", [1, 1000, 10**9])
@pytest.mark.parametrize("name", PACKED)
def test_one_packing_is_undone_however_it_comes(name: str, step: int) -> None:
    coding, data = PACKED[name]
    assert TEXT == b"".join(read(*(data[at : at + step] for at in range(0, len(data), step)), coding=coding))


def test_an_empty_body_is_empty_whatever_it_is_called() -> None:
    assert [] == read(coding="gzip") == read(coding="deflate") == read(b"", coding="gzip")


@pytest.mark.parametrize("name", ["gzip", "members", "deflate", "raw"])
def test_a_packed_answer_that_breaks_off_is_told(name: str) -> None:
    """As is one that is no such packing at all."""
    coding, data = PACKED[name]
    for pieces in ((data[:-3],), (data[:1],), (b"\xff" * 100,), (b"\xff", b"\xff" * 100)):
        with pytest.raises(httpx.DecodingError):
            read(*pieces, coding=coding)


@pytest.mark.parametrize("coding", ["gzip, gzip", "deflate, gzip", "br", "zstd", "gzip, identity, br", "x" * 5000])
def test_what_was_not_asked_for_is_refused(coding: str) -> None:
    """Many layers make gigabytes of a few KB."""
    with pytest.raises(InvalidResponseError) as caught:
        read(b"x", coding=coding)
    assert (ErrorClass.CONFIG, False) == (caught.value.kind, caught.value.retryable)
    assert 300 > len(caught.value.message)
    assert ("pyreqwest" if coding in ("br", "zstd") else "Accept-Encoding: identity") in (caught.value.hint or "")


def test_a_bomb_is_not_unpacked() -> None:
    """Neither in one piece nor beyond the bound, though it comes at once."""
    data = bomb()
    tracemalloc.start()
    try:
        with pytest.raises(APIError, match="larger than 1000000 bytes"):
            read(data, most=1_000_000)
        assert 10_000_000 > tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    with pytest.raises(APIError, match="larger than 1000 bytes"):
        read(gzip.compress(b"") * 1000, most=1000)


def test_others_are_served_while_a_large_answer_is_unpacked() -> None:
    data, gaps = bomb(), [0.0]

    async def together() -> None:
        over = asyncio.Event()

        async def tick() -> None:
            while not over.is_set():
                begun = time.monotonic()
                await asyncio.sleep(0)
                gaps.append(time.monotonic() - begun)

        other = asyncio.create_task(tick())
        response = httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Body(data))
        assert HUGE == sum([len(piece) async for piece in read_bytes(response, HUGE)])
        over.set()
        await other

    asyncio.run(together())
    assert 1000 < len(gaps)


def test_an_answer_that_was_read_before_is_taken_as_it_is() -> None:
    """As those of httpx's mock are, which it has unpacked; the bound holds for them too."""

    async def pieces(most: int) -> list[bytes]:
        packed = httpx.Response(200, headers={"content-encoding": "gzip"}, content=gzip.compress(b"text"))
        return [piece async for piece in read_bytes(packed, most)]

    assert [b"text"] == asyncio.run(pieces(4))
    with pytest.raises(APIError, match="larger than 3 bytes"):
        asyncio.run(pieces(3))


@pytest.mark.parametrize("own", [None, httpx.AsyncHTTPTransport])
def test_the_client_asks_for_plain_answers_and_refuses_layers(own: type[httpx.AsyncHTTPTransport] | None) -> None:
    body = json.dumps(completion("x")).encode()
    twice = Reply(gzip.compress(gzip.compress(body)), headers={"content-encoding": "gzip, gzip"})
    with ScriptedServer(lambda call: twice) as server:
        error = refused(server.endpoint(), transport=own and own())
        assert "identity" == server.calls[0].headers["accept-encoding"]
    assert (InvalidResponseError, ErrorClass.CONFIG) == (type(error), error.kind)
    assert "packed as 'gzip, gzip'" in error.message


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_br_and_zstd_are_undone_by_the_default_transport(coding: str) -> None:
    """Also of an error; what breaks off, or is no such packing, is worth another attempt."""
    body = json.dumps(completion("x")).encode()
    headers = {"content-encoding": coding}
    replies = [
        Reply(packed(body, coding), headers=headers),
        Reply(packed(b'{"error": {"message": "too many states"}}', coding), status=400, headers=headers),
        Reply(packed(body, coding)[:-3], headers=headers),
        Reply(b"not packed", headers=headers),
    ]
    with ScriptedServer(lambda call: replies[call.number - 1]) as server:
        assert "x" == ask(server.endpoint()).content
        assert ErrorClass.SCHEMA == refused(server.endpoint()).kind
        assert [True, True] == [refused(server.endpoint()).retryable for _ in replies[2:]]
        assert {"identity"} == {call.headers["accept-encoding"] for call in server.calls}


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip"])
def test_what_cannot_be_unpacked_is_paid_once(coding: str, tmp_path: Path) -> None:
    """The run stops: each further answer would be paid and packed likewise."""
    reply = Reply(b"packed", headers={"content-encoding": coding})
    with ScriptedServer(lambda call: reply) as server:
        with pytest.raises(InvalidResponseError, match="is not unpacked here"):
            extract.run(
                pipeline(limits=Limits(concurrency=1)),
                rows_csv(tmp_path / "in.csv", 5),
                out=tmp_path / "out",
                endpoint=server.endpoint(),
                transport=httpx.AsyncHTTPTransport(),
            )
        assert 1 == len(server.calls)


@pytest.mark.parametrize("own", [None, httpx.AsyncHTTPTransport])
def test_a_bomb_is_an_answer_that_is_too_large(
    monkeypatch: pytest.MonkeyPatch, own: type[httpx.AsyncHTTPTransport] | None
) -> None:
    monkeypatch.setattr(exchange, "MAX_ANSWER", 1_000_000)
    reply = Reply(bomb(), headers={"content-encoding": "gzip"})
    with ScriptedServer(lambda call: reply) as server:
        assert "larger than 1000000 bytes" in refused(server.endpoint(), transport=own and own()).message


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_a_bomb_of_another_packing_comes_in_small_pieces(monkeypatch: pytest.MonkeyPatch, coding: str) -> None:
    """A few hundred bytes that are 200 MB: read as far as the bound, in little memory."""
    monkeypatch.setattr(exchange, "MAX_ANSWER", 10_000_000)
    reply = Reply(packed(b" " * HUGE, coding), headers={"content-encoding": coding})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ScriptedServer(lambda call: reply) as server:
        assert "larger than 10000000 bytes" in refused(server.endpoint()).message
    assert 100_000 > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KB


@pytest.mark.parametrize("coding", ["gzip, gzip", "br", "gzip"])
def test_an_error_that_nobody_can_unpack_keeps_its_status(coding: str) -> None:
    reply = Reply(b"not packed", status=401, headers={"content-encoding": coding})
    with ScriptedServer(lambda call: reply) as server:
        assert AuthenticationError is type(refused(server.endpoint()))


def test_a_packed_stream_is_read_as_it_comes() -> None:
    """It is whole at its [DONE], though its connection stays open."""
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in (events(*GOOD[:1], done=False),)]
    packed += [packer.compress(events(*GOOD[1:])) + packer.flush(zlib.Z_SYNC_FLUSH)]
    begin = head().replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
    begun = time.monotonic()
    assert '{"a": 1}' == asked(begin, packed[0], 0.05, packed[1], end="hang").content
    assert 5 > time.monotonic() - begun


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_a_stream_of_another_packing_is_read_as_it_comes_too(coding: str) -> None:
    """It is whole at its [DONE], though neither its packing nor its connection ends."""
    sink = pyarrow.BufferOutputStream()
    stream = pyarrow.CompressedOutputStream(sink, {"br": "brotli", "zstd": "zstd"}[coding])
    stream.write(events(*GOOD))
    stream.flush()
    begin = head().replace(b"\r\n\r\n", f"\r\ncontent-encoding: {coding}\r\n\r\n".encode())
    begun = time.monotonic()
    with stream:
        stream.flush()
    data = sink.getvalue().to_pybytes()
    assert '{"a": 1}' == asked(begin, data[:40], 0.05, data[40:-2], end="hang").content
    assert 5 > time.monotonic() - begun


def test_a_mock_may_answer() -> None:
    """Whether its answer has been read or comes in pieces."""
    body = json.dumps(completion("x")).encode()
    for answer in ({"content": body}, {"stream": Body(body[:9], body[9:])}):
        transport = httpx.MockTransport(lambda request, answer=answer: httpx.Response(200, **answer))
        with ScriptedServer(lambda call: "{}") as server:
            assert "x" == ask(server.endpoint(), transport).content
