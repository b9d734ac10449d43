"""Our own HTTP/1.1, over real sockets: framing, reuse, faults, bounds; on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
import tracemalloc
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest

from extract.client.pool import DirectTransport
from extract.client.wire import MAX_HEAD, Connection, IdleTimeout
from extract.config import Limits
from tests.client.peer import LIMITS, OK, Go, Peer, answering, line_to, post, serving


def test_the_very_bytes_of_a_request(go: Go) -> None:
    seen: list[bytes] = []

    async def handle(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(OK)

    async def test() -> str:
        async with serving(handle) as url, line_to(url) as line:
            assert (200, b"hi") == await post(line, b'{"a": 1}')
        return url.split("/")[2]

    host = go(test)
    head = f"POST /v1 HTTP/1.1\r\nHost: {host}\r\nX-Key: k\r\nContent-Length: 8\r\n\r\n"
    assert [head.encode() + b'{"a": 1}'] == seen


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n"
FRAMED = {
    "length": (OK, b"hi", True),
    "nothing": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", True),
    "no phrase": (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nhi", b"hi", True),
    "chunked": (CHUNKED + b"1;a=b\r\nh\r\n01\r\ni\r\n0\r\n\r\n", b"hi", True),
    "trailers": (CHUNKED + b"2\r\nhi\r\n0\r\nx-a: b\r\nstatus: 500\r\n\r\n", b"hi", True),
    "to the end": (b"HTTP/1.1 200 OK\r\n\r\nhi", b"hi", False),
    "to the end, empty": (b"HTTP/1.1 200 OK\r\n\r\n", b"", False),
    "1.0": (b"HTTP/1.0 200 OK\r\n\r\nhi", b"hi", False),
    "1.0 kept": (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi", b"hi", True),
    "said to close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 2\r\n\r\nhi", b"hi", False),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\ncontent-length: 9\r\n\r\n" + OK, b"hi", True),
}


@pytest.mark.parametrize("name", FRAMED)
def test_every_framing_whole_and_byte_by_byte(go: Go, name: str) -> None:
    """And the connection serves again, where it may."""
    data, body, kept = FRAMED[name]

    async def test() -> None:
        for cut in ((data,), tuple(data[at : at + 1] for at in range(len(data)))):
            handle, seen = answering(*cut, ends=not kept)
            async with serving(handle) as url, line_to(url) as line:
                for _ in range(3):
                    reply = await line.post(b"x")
                    assert (200, body) == (reply.status, b"".join([piece async for piece in reply]))
                    assert "x-a" not in reply.headers
                    await reply.aclose()
            assert [b"1"] * 3 if kept else [b"1", b"2", b"3"] == seen

    go(test)


def test_an_answer_without_a_body_ends_with_its_head(go: Go) -> None:
    async def test() -> None:
        handle, seen = answering(b"HTTP/1.1 204 No Content\r\n\r\n")
        async with serving(handle) as url, line_to(url) as line:
            assert [(204, b"")] * 2 == [await post(line) for _ in range(2)]
        assert [b"1", b"1"] == seen

    go(test)


def test_headers_are_lower_case_stripped_and_joined(go: Go) -> None:
    head = b"HTTP/1.1 429 No\r\nRetry-After:  7 \r\nX-A: 1\r\nx-a: 2\r\nX-U: \xc3\xa4\r\nX-L: \xe4\r\nX-E:\r\n"

    async def test() -> dict[str, str]:
        handle, _ = answering(head + b"Content-Length: 0\r\n\r\n")
        async with serving(handle) as url, line_to(url) as line:
            reply = await line.post(b"")
            return reply.headers

    expected = {"retry-after": "7", "x-a": "1, 2", "x-u": "ä", "x-l": "ä", "x-e": "", "content-length": "0"}
    assert expected == go(test)


BROKEN = {
    "not HTTP": b"SSH-2.0-OpenSSH\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "status 99": b"HTTP/1.1 099 No\r\ncontent-length: 2\r\n\r\nhi",
    "status 1000": b"HTTP/1.1 1000 No\r\ncontent-length: 2\r\n\r\nhi",
    "other protocol": b"HTTP/1.1 101 Switch\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi",
    "length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "negative": b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nhi",
    "huge": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nhi",
    "no number": b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nhi",
    "packed by the way": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "packed to the end": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhi",
    "folded": b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nhi",
    "bare LF": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nhi",
    "blank before colon": b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nhi",
    "NUL": b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nhi",
    "bad chunk": CHUNKED + b"zz\r\nhi\r\n",
    "huge chunk": CHUNKED + b"fffffffffffffffff\r\n",
    "chunk too long": CHUNKED + b"1\r\nhi\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_http_is_refused(go: Go, name: str) -> None:
    """As it may be read in two ways; and its connection is not used again."""

    async def test() -> None:
        handle, seen = answering(BROKEN[name], 0.5)
        async with serving(handle) as url, line_to(url) as line:
            for _ in range(2):
                with pytest.raises(httpx.RemoteProtocolError):
                    await post(line)
        assert [b"1", b"2"] == seen

    go(test)


LINE = b"x-padding: " + b"x" * 1000 + b"\r\n"
ENDLESS = {
    "lines": (b"HTTP/1.1 200 OK\r\n", LINE),
    "one line": (b"HTTP/1.1 200 OK\r\nx: ", b"x" * 1000),
    "phrase": (b"HTTP/1.1 200 ", b"x" * 1000),
    "interim": (b"", b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n"),
    "blank": (b"", b"\r\n" * 500),
    "extension": (CHUNKED + b"2;", b"x" * 1000),
    "trailers": (CHUNKED + b"2\r\nhi\r\n0\r\n", LINE),
    "trailer": (CHUNKED + b"2\r\nhi\r\n0\r\nx: ", b"x" * 1000),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_frames_an_answer_is_bounded(go: Go, name: str) -> None:
    start, more = ENDLESS[name]
    sent = 0

    async def handle(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(start)
        while True:
            await peer.send(more)
            sent += len(more)

    async def test() -> None:
        async with serving(handle) as url, line_to(url) as line:
            with pytest.raises(httpx.RemoteProtocolError, match=str(MAX_HEAD)):
                await post(line)

    go(test)
    assert sent < 20_000_000  # the rest lies in the buffers of the sockets


def test_a_large_head_within_the_bound_is_read(go: Go) -> None:
    async def test() -> int:
        handle, _ = answering(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 60_000 + b"\r\ncontent-length: 0\r\n\r\n")
        async with serving(handle) as url, line_to(url) as line:
            return len((await line.post(b"")).headers["x"])

    assert 60_000 == go(test)


@pytest.mark.parametrize("wait", [0.0, 0.05])
@pytest.mark.parametrize("extra", [OK.replace(b"hi", b"no"), b"H", b"x", b"garbage" * 20_000])
def test_bytes_after_an_answer_are_never_part_of_the_next(go: Go, extra: bytes, wait: float) -> None:
    """In the same packet or later: the connection is dropped, the answer counts."""

    async def handle(peer: Peer) -> None:
        while True:
            body = (await peer.request())[-1:]
            answer = OK.replace(b"hi", b"=" + body)
            await peer.send(*((answer, wait, extra) if wait else (answer + extra,)), 0.05)

    async def test() -> None:
        async with serving(handle) as url, line_to(url) as line:
            for number in range(3):
                assert (200, b"=%d" % number) == await post(line, b"%d" % number)
                await asyncio.sleep(2 * wait)

    go(test)


def test_connections_are_kept_and_the_last_is_taken_first(go: Go) -> None:
    """As many as there were calls at once, and not more than the ceiling."""
    seen: list[int] = []

    async def handle(peer: Peer) -> None:
        while True:
            await peer.request()
            seen.append(peer.number)
            await peer.send(0.05, OK)

    async def test() -> None:
        async with serving(handle) as url, line_to(url, Limits(concurrency=4)) as line:
            for _ in range(3):
                await asyncio.gather(*(post(line) for _ in range(4)))
            assert {1, 2, 3, 4} == set(seen)
            await asyncio.gather(*(post(line) for _ in range(6)))
            seen.clear()
            for _ in range(5):
                await post(line)
            assert 1 == len(set(seen))

    go(test)


@pytest.mark.parametrize("pause", [0.0, 0.03])
def test_a_server_that_closes_without_saying_so_costs_nothing(go: Go, pause: float) -> None:
    """An end that has come, though the loop has not yet told of it, is seen before the connection is used again."""
    seen = 0
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        nonlocal seen
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    seen += bool(connection.recv(65536))
                    connection.sendall(OK)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()

    async def test() -> None:
        async with line_to(f"http://127.0.0.1:{listener.getsockname()[1]}/") as line:
            for _ in range(20):
                assert (200, b"hi") == await post(line)
                time.sleep(0.01)  # the loop hears of nothing
                if pause:
                    await asyncio.sleep(pause)
        assert 20 == seen

    try:
        go(test)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@pytest.mark.parametrize("reset", [False, True])
def test_a_request_that_a_server_may_have_had_is_not_sent_again(go: Go, reset: bool) -> None:
    """It closes an old connection without a byte after the request: perhaps it died over it, and it is paid."""
    seen: list[bytes] = []

    async def handle(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(OK)
        seen.append(await peer.request())
        if reset:
            peer.reset()

    async def test() -> None:
        async with serving(handle) as url, line_to(url) as line:
            assert (200, b"hi") == await post(line)
            with pytest.raises(httpx.ReadError, match="without an answer"):
                await post(line)
        assert 2 == len(seen)

    go(test)


@pytest.mark.parametrize(("breaking", "connections"), [({1}, 2), ({1, 2}, 2)])
def test_a_request_that_no_server_can_have_had_is_sent_once_more(go: Go, breaking: set[int], connections: int) -> None:
    """The old connection broke while most of it had not left; what happens so on a new one is an error."""
    numbers: list[int] = []

    async def handle(peer: Peer) -> None:
        numbers.append(peer.number)
        if peer.number == 1:
            await peer.request()
            await peer.send(OK)
        if peer.number in breaking:
            await peer.reader.read(1000)
            peer.reset()
            return
        await peer.request()
        await peer.send(OK)

    async def test() -> None:
        async with serving(handle) as url, line_to(url) as line:
            await post(line)
            large = post(line, bytes(20_000_000))
            if len(breaking) == 1:
                assert (200, b"hi") == await large
            else:
                with pytest.raises(httpx.WriteError):
                    await large
        assert list(range(1, connections + 1)) == numbers

    go(test)


def test_an_answer_before_the_request_is_sent_ends_the_sending(go: Go) -> None:
    """As a 413 does; the connection, in the middle of a request, serves no other."""
    numbers: list[int] = []

    async def handle(peer: Peer) -> None:
        numbers.append(peer.number)
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 Large\r\ncontent-length: 5\r\n\r\nlarge", 1.0)

    async def test() -> None:
        async with serving(handle) as url, line_to(url) as line:
            begun = time.monotonic()
            assert [(413, b"large")] * 2 == [await post(line, b"x" * 30_000_000) for _ in range(2)]
            assert 1.0 > time.monotonic() - begun
        assert [1, 2] == numbers

    go(test)


def test_an_answer_may_begin_while_the_request_is_sent(go: Go) -> None:
    """A 200 whose end comes after all of the request: all of it is sent."""
    body = b"x" * 10_000_000

    async def handle(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(CHUNKED + b"2\r\n..\r\n", 0.05)
        got = await peer.reader.readexactly(len(body))
        await peer.send(b"8\r\n%08d\r\n0\r\n\r\n" % len(got))

    async def test() -> tuple[int, bytes]:
        async with serving(handle) as url, line_to(url) as line:
            return await post(line, body)

    assert (200, b"..10000000") == go(test)


def test_a_large_request_waits_for_the_network_and_is_not_copied_whole(go: Go) -> None:
    body = bytes(20_000_000)
    got = 0

    async def handle(peer: Peer) -> None:
        nonlocal got
        await peer.reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.05)
        while got < len(body):
            got += len(await peer.reader.read(2**18))
        await peer.send(OK)

    async def test() -> int:
        async with serving(handle) as url, line_to(url) as line:
            tracemalloc.start()
            try:
                assert (200, b"hi") == await post(line, body)
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    assert 10_000_000 > go(test)
    assert len(body) == got


def test_a_slow_reader_makes_the_server_wait(go: Go) -> None:
    """Of 64 MB no more lies here than the bound, and all of it arrives."""
    sent = 0
    piece = b"y" * 65536

    async def handle(peer: Peer) -> None:
        nonlocal sent
        peer.writer.transport.set_write_buffer_limits(high=65536)
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (1000 * len(piece)))
        for _ in range(1000):
            await peer.send(piece)
            sent += len(piece)

    async def test() -> tuple[int, int]:
        async with serving(handle) as url, line_to(url) as line:
            reply = await line.post(b"x")
            await asyncio.sleep(0.3)
            before = sent
            tracemalloc.start()
            size = 0
            async for data in reply:
                size += len(data)
                assert 2**20 > len(data)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            await reply.aclose()
            assert 1000 * len(piece) == size
            return before, peak

    before, peak = go(test)
    assert before < 20_000_000  # in the buffers of the sockets
    assert peak < 5_000_000


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", CHUNKED + b"9\r\n"])
def test_what_breaks_off_is_given_and_then_told(go: Go, head: bytes, reset: bool) -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(head + b"part", 0.05)
        if reset:
            peer.reset()

    async def test() -> bytes:
        async with serving(handle) as url, line_to(url) as line:
            reply = await line.post(b"x")
            found = await anext(reply)
            with pytest.raises(httpx.ReadError, match="before the answer was whole"):
                await anext(reply)
            await reply.aclose()
            return found

    assert b"part" == go(test)


def test_a_connection_that_breaks_within_the_head(go: Go) -> None:
    async def test() -> None:
        handle, _ = answering(b"HTTP/1.1 200 OK\r\ncontent-le", ends=True)
        async with serving(handle) as url, line_to(url) as line:
            with pytest.raises(httpx.ReadError, match="before the answer was whole"):
                await line.post(b"x")

    go(test)


def test_the_time_of_a_call_ends_it_wherever_it_is(go: Go) -> None:
    """Before an answer, within one that drips, and while the request cannot be sent, which is another error."""
    limits = Limits(timeout=0.3, connect_timeout=5)

    async def silent(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(9)

    async def dripping(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        while True:
            await peer.send(b"1\r\nx\r\n", 0.01)

    async def deaf(peer: Peer) -> None:
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(9)

    async def test() -> None:
        for handle, size, error in (
            (silent, 1, httpx.ReadTimeout),
            (dripping, 1, httpx.ReadTimeout),
            (deaf, 50_000_000, httpx.WriteTimeout),
        ):
            async with serving(handle) as url, line_to(url, limits) as line:
                begun = time.monotonic()
                with pytest.raises(error) as caught:
                    await post(line, bytes(size))
                assert error is type(caught.value)
                assert 0.3 <= time.monotonic() - begun < 2

    go(test)


def test_silence_within_an_answer_is_bounded_by_patience(go: Go) -> None:
    async def test() -> None:
        handle, _ = answering(CHUNKED + b"1\r\nx\r\n", 9.0)
        async with serving(handle) as url, line_to(url) as line:
            reply = await line.post(b"x")
            assert b"x" == await anext(reply)
            reply.patience = 0.1
            with pytest.raises(IdleTimeout):
                await anext(reply)
            await reply.aclose()

    go(test)


@pytest.mark.parametrize("moment", ["connecting", "sending", "waiting", "reading"])
def test_a_call_that_is_cancelled_ends_its_connection(go: Go, moment: str) -> None:
    """And the next goes over another."""
    begun = ended = 0

    async def handle(peer: Peer) -> None:
        nonlocal begun, ended
        begun += 1
        try:
            if moment == "sending" and peer.number == 1:
                peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
                await asyncio.sleep(0.2)
                peer.reader._transport.resume_reading()  # type: ignore[attr-defined]
            await peer.request()
            if peer.number == 1:
                await peer.send(*((CHUNKED + b"1\r\nx\r\n",) if moment == "reading" else ()))
                await peer.reader.readexactly(1)
            await peer.send(OK)
        finally:
            ended += 1

    async def test() -> None:
        async with serving(handle) as url, line_to(url) as line:
            call = asyncio.create_task(post(line, bytes(50_000_000 if moment == "sending" else 1)))
            await asyncio.sleep(0 if moment == "connecting" else 0.1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.sleep(0.3)
            assert begun == ended
            if moment != "connecting":  # where the first is one that nobody waits for
                assert 1 == ended
                assert (200, b"hi") == await post(line)

    go(test)


def test_an_answer_that_is_left_ends_its_connection(go: Go) -> None:
    async def test() -> None:
        handle, seen = answering(CHUNKED + b"1\r\nx\r\n", 0.05)
        async with serving(handle) as url, line_to(url) as line:
            for _ in range(2):
                reply = await line.post(b"x")
                await reply.aclose()
        assert [b"1", b"2"] == seen

    go(test)


def test_closing_ends_calls_in_flight_and_refuses_more(go: Go) -> None:
    async def test() -> None:
        handle, _ = answering(9.0)
        async with serving(handle) as url:
            async with line_to(url) as line:
                calls = [asyncio.create_task(post(line)) for _ in range(5)]
                await asyncio.sleep(0.1)
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert {httpx.ReadError} == {type(error) for error in found}
            with pytest.raises(httpx.LocalProtocolError, match="closed"):
                await post(line)

    go(test)


def test_one_transport_in_one_loop_after_another(go: Go) -> None:
    """As in a notebook: what belongs to a loop that is gone is not used."""
    transport = DirectTransport(LIMITS)

    async def test() -> None:
        handle, _ = answering(OK)
        async with serving(handle) as url:
            line = transport.line(httpx.URL(url), {"Host": "h"}, LIMITS)
            assert [(200, b"hi")] * 2 == [await post(line) for _ in range(2)]
            for pool in transport._pools.values():
                for connection in list(pool._open):
                    connection.abort()

    go(test)
    go(test)


def test_a_call_may_be_held_back_once_it_is_connected(go: Go) -> None:
    """Nothing of it is sent, and the next call has its connection; who has one at hand is not asked."""

    class Held(Exception):
        pass

    def hold() -> None:
        raise Held

    async def test() -> list[bytes]:
        handle, seen = answering(OK)
        async with serving(handle) as url, line_to(url) as line:
            line.connected = hold
            with pytest.raises(Held):
                await post(line)
            await asyncio.sleep(0.05)
            assert [] == seen
            for _ in range(2):
                assert (200, b"hi") == await post(line)
        return seen

    assert [b"1", b"1"] == go(test)


def test_a_broken_connection_is_not_kept_by_its_error(go: Go) -> None:
    """It goes with the last who knows it, and not when the collector comes round."""

    async def handle(peer: Peer) -> None:
        await peer.request()

    async def test() -> None:
        async with serving(handle) as url, DirectTransport(LIMITS) as transport:
            pool = transport.pool(httpx.URL(url))
            connection: Connection | None = await pool._connect(5)
            assert connection
            kept = weakref.ref(connection)
            gc.disable()
            try:
                with suppress(httpx.ReadError):
                    await connection.ask(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"")
                connection = None
                await asyncio.sleep(0.05)
                assert kept() is None
            finally:
                gc.enable()

    go(test)


def test_nobody_there_and_no_such_name(go: Go) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        for url in (f"http://127.0.0.1:{port}/", "http://nobody.invalid/", f"http://{'x' * 70}.invalid/"):
            async with line_to(url) as line:
                with pytest.raises(httpx.ConnectError):
                    await post(line)

    go(test)


def test_a_server_that_takes_no_connection_is_a_connect_timeout(go: Go) -> None:
    """Its queue is full."""

    async def test() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                with suppress(BlockingIOError):
                    filler.connect(listener.getsockname())
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            async with line_to(url, Limits(timeout=10, connect_timeout=0.2)) as line:
                with pytest.raises(httpx.ConnectTimeout, match=r"within 0\.2 s"):
                    await post(line)
            for filler in fillers:
                filler.close()

    go(test)


def test_a_name_with_several_addresses_of_which_one_answers(go: Go) -> None:
    """localhost is ::1 too, where nobody listens."""

    async def test() -> tuple[int, bytes]:
        handle, _ = answering(OK)
        async with serving(handle) as url, line_to(url.replace("127.0.0.1", "localhost")) as line:
            return await post(line)

    assert (200, b"hi") == go(test)


def test_a_server_that_closes_at_once_is_never_waited_for(go: Go) -> None:
    """Whether the loop hears of it before or after the request: the call ends soon, with an error."""

    async def handle(peer: Peer) -> None:
        peer.reset()

    async def test() -> None:
        async with serving(handle) as url, line_to(url, Limits(timeout=30)) as line:
            begun = time.monotonic()
            for _ in range(50):
                with pytest.raises((httpx.ReadError, httpx.WriteError, httpx.ConnectError)):
                    await post(line)
            assert 5 > time.monotonic() - begun

    go(test)


def test_nothing_is_sent_over_what_has_ended(go: Go) -> None:
    async def test() -> None:
        handle, seen = answering(OK)
        async with serving(handle) as url:
            transport = DirectTransport(LIMITS)
            pool = transport.pool(httpx.URL(url))
            connection = await pool._connect(5)
            connection.abort()
            with pytest.raises(httpx.WriteError):
                await connection.ask(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"")
            await transport.aclose()
        assert [] == seen

    go(test)


def test_connections_are_kept_awake(go: Go) -> None:
    """So that a peer that is gone is found out, and a firewall forgets nothing in minutes of thought."""

    async def test() -> int:
        handle, _ = answering(OK)
        async with serving(handle) as url, DirectTransport(LIMITS) as transport:
            connection = await transport.pool(httpx.URL(url))._connect(5)
            found = connection._transport.get_extra_info("socket")
            return int(found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    assert 0 != go(test)


def test_a_connection_that_comes_after_the_end_is_ended(go: Go) -> None:
    async def test() -> None:
        handle, seen = answering(OK)
        async with serving(handle) as url:
            async with line_to(url) as line:
                call = asyncio.create_task(post(line))
                await asyncio.sleep(0)
            with pytest.raises((httpx.WriteError, httpx.ReadError)):
                await call
        assert [] == seen

    go(test)


def test_httpx_may_use_it(go: Go) -> None:
    """Through its own client: a GET, a body that is streamed, an answer that comes in pieces."""
    seen: list[bytes] = []

    async def handle(peer: Peer) -> None:
        while True:
            head = await peer.reader.readuntil(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
            seen.append(head.split(b" ")[0] + await peer.reader.readexactly(length))
            await peer.send(CHUNKED + b"1\r\na\r\n", 0.02, b"1\r\nb\r\n0\r\n\r\n")

    async def parts() -> AsyncIterator[bytes]:
        yield b"x"
        yield b"y"

    async def test() -> None:
        async with serving(handle) as url, httpx.AsyncClient(transport=DirectTransport(LIMITS)) as client:
            assert "ab" == (await client.get(url)).text
            assert "ab" == (await client.post(url, content=parts())).text
            async with client.stream("PUT", url, content=b"z") as response:
                assert [b"a", b"b"] == [piece async for piece in response.aiter_raw()]
            with pytest.raises(httpx.UnsupportedProtocol):
                await client.head(url)

    go(test)
    assert [b"GET", b"POSTxy", b"PUTz"] == seen


def test_timeouts_through_httpx(go: Go) -> None:
    async def test() -> None:
        handle, _ = answering(0.6, CHUNKED + b"1\r\na\r\n", 9.0)
        async with serving(handle) as url, httpx.AsyncClient(transport=DirectTransport(LIMITS)) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get(url, timeout=0.2)
            with pytest.raises(httpx.ReadTimeout):
                await client.get(url, timeout=0.8)

    go(test)


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("GET", "http://127.0.0.1:1/", {"x": "a\r\nb: c"}),
        ("GET", "http://127.0.0.1:1/", {"x\r\ny": "a"}),
        ("GET\r\nx: y", "http://127.0.0.1:1/", {}),
        ("GET", "ftp://127.0.0.1:1/", {}),
    ],
)
def test_what_would_break_a_request_is_not_sent(go: Go, method: str, url: str, headers: dict[str, str]) -> None:
    async def test() -> None:
        async with DirectTransport(LIMITS) as transport:
            with pytest.raises((httpx.LocalProtocolError, httpx.UnsupportedProtocol)):
                await transport.handle_async_request(httpx.Request(method, url, headers=headers))

    go(test)


def test_many_calls_at_once_get_their_own_answers(go: Go) -> None:
    """While a third of the connections break, and some calls are cancelled."""
    sent: list[bytes] = []

    async def handle(peer: Peer) -> None:
        while True:
            body = (await peer.request()).rpartition(b"\r\n")[2]
            sent.append(body)
            if int(body) % 7 == 3:
                peer.reset()
                return
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async def test() -> None:
        async with serving(handle) as url, line_to(url, Limits(concurrency=50)) as line:
            gate = asyncio.Semaphore(50)

            async def one(number: int) -> object:
                async with gate:
                    try:
                        async with asyncio.timeout(0.0005 if number % 11 == 5 else None):
                            return (await post(line, b"%d" % number))[1]
                    except (httpx.ReadError, TimeoutError) as error:
                        return type(error)

            found = await asyncio.gather(*(one(number) for number in range(2000)))
            for number, answer in enumerate(found):
                if answer is not TimeoutError:
                    assert (httpx.ReadError if number % 7 == 3 else b"%d" % number) == answer
            assert len(sent) == len(set(sent))  # none twice

    go(test)
