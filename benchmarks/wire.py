"""What the benchmarks' server can do: raw sockets, keep-alive, nothing else.

    python -m benchmarks.wire [--requests 100000] [--connections 32] [--pipelined 1]

Prints requests/s, and the CPU time of the server per request, whose inverse is what one core can answer.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.server import ledger_of, running
from benchmarks.task import BODY_BYTES

GOAL = 15_000  # requests/s on one core


@dataclass(frozen=True)
class Speed:
    """What was measured."""

    requests: int
    seconds: float
    server_seconds: float  # of CPU

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def per_core(self) -> float:
        """What a core of its own would answer in a second."""
        return self.requests / self.server_seconds


class _Asking(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes, number: int, ahead: int) -> None:
        self._request = request
        self._left = number
        self._ahead = min(ahead, number)
        self._length = 0  # of a response
        self._received = 0
        self._got = 0
        self._wanted = number
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by name
        self._send(self._ahead)

    def data_received(self, data: bytes) -> None:
        if not self._length:  # all are of one length
            head, _, _ = data.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            self._length = len(head) + 4 + int(head.rpartition(b":")[2])
        self._received += len(data)
        got, self._received = divmod(self._received, self._length)
        self._got += got
        if got and self._left:
            self._send(min(got, self._left))
        if self._got >= self._wanted and not self.done.done():
            self.done.set_result(None)
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server hung up"))

    def _send(self, number: int) -> None:
        self._left -= number
        self._transport.write(self._request * number)


async def measure(address: str, requests: int, connections: int, pipelined: int) -> Speed:
    """Ask so many times over so many connections."""
    place = urlsplit(address)
    host, port = place.hostname or "127.0.0.1", place.port or 80
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {BODY_BYTES}\r\n\r\n".encode() + b" " * BODY_BYTES
    each = requests // connections
    before = ledger_of(address)
    begun = time.perf_counter()
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Asking(request, each, pipelined), host, port) for _ in range(connections)
    ]
    await asyncio.gather(*(asking.done for _, asking in made))
    seconds = time.perf_counter() - begun
    after = ledger_of(address)
    served = after["served"] - before["served"]
    assert served == each * connections, f"{served} served"
    return Speed(served, seconds, after["cpu_seconds"] - before["cpu_seconds"])


def speed(requests: int, connections: int, pipelined: int = 1) -> Speed:
    """Measure a server of its own."""
    with running() as address, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(address, requests, connections, pipelined))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--pipelined", type=int, default=1, help="requests in flight on one connection")
    options = parser.parse_args()
    found = speed(options.requests, options.connections, options.pipelined)
    verdict = "met" if found.per_core >= GOAL else "missed"
    print(f"{found.requests} requests of {BODY_BYTES} bytes over {options.connections} connections")
    print(f"{found.per_second:10,.0f} requests/s")
    print(f"{found.per_core:10,.0f} requests/s of server CPU  (goal {GOAL:,}: {verdict})")


if __name__ == "__main__":
    main()
