"""A chat-completions server written for speed, so that it is not what is measured.

    python -m benchmarks.server [--port 0] [--latency 200] [--errors 0.1 --statuses 500,429]

One process, one core, HTTP/1.1 read by hand, uvloop. Prints its address on the first line. Every
answer is an invoice of some 400 bytes with a number of its own, so that a table shows what was lost or came twice.
`GET /ledger` tells what was served: {"served", "statuses", "connections", "cpu_seconds"}. It reads what benchmark
clients send; it checks nothing, and belongs on loopback alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
import urllib.request
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import uvloop

from benchmarks.task import ANSWER

NUMBER = b"00000000"  # stands in the answer where each has its own
_END = b"\r\n\r\n"
_REASONS = {200: b"OK", 404: b"Not Found", 429: b"Too Many Requests", 500: b"Internal Server Error"}


@dataclass
class Service:
    """What is served, and the count of it."""

    latency: float = 0.0  # seconds
    errors: float = 0.0  # share of the requests
    statuses: tuple[int, ...] = (500,)
    retry_after: str | None = None  # seconds, sent with a 429
    seed: int = 0
    served: int = 0
    connections: int = 0
    refused: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._front, self._back = completion().split(NUMBER)
        self._random = random.Random(self.seed).random
        self._refusals = [refusal(status, self.retry_after) for status in self.statuses]

    def answer(self) -> bytes:
        """The next response."""
        self.served += 1
        if self.errors and self._random() < self.errors:
            chosen = int(self._random() * len(self.statuses))
            self.refused[self.statuses[chosen]] += 1
            return self._refusals[chosen]
        return b"%b%08d%b" % (self._front, self.served, self._back)

    def ledger(self) -> bytes:
        """What was served so far, as a response."""
        statuses = {"200": self.served - self.refused.total(), **{str(code): n for code, n in self.refused.items()}}
        used = resource.getrusage(resource.RUSAGE_SELF)
        return response(
            200,
            {
                "served": self.served,
                "statuses": statuses,
                "connections": self.connections,
                "cpu_seconds": used.ru_utime + used.ru_stime,
            },
        )


def completion() -> bytes:
    """A whole response with a completion; NUMBER stands for its number."""
    message = {"role": "assistant", "content": ANSWER}
    return response(
        200,
        {
            "id": "chatcmpl-benchmark",
            "object": "chat.completion",
            "created": 1_732_000_123,
            "model": "benchmark",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": {"prompt_tokens": 700, "completion_tokens": 160, "total_tokens": 860},
        },
    )


def refusal(status: int, retry_after: str | None) -> bytes:
    """A whole response with an error."""
    kind = "rate_limit_error" if status == 429 else "server_error"
    error = {"message": "the benchmark's server refuses", "type": kind, "code": None, "param": None}
    extra = f"Retry-After: {retry_after}\r\n".encode() if retry_after and status == 429 else b""
    return response(status, {"error": error}, extra)


def response(status: int, document: Any, extra: bytes = b"") -> bytes:
    """A whole HTTP response with JSON."""
    body = json.dumps(document).encode()
    head = b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
    return head % (status, _REASONS.get(status, b"Error"), extra, len(body)) + body


class Connection(asyncio.Protocol):
    """One connection; requests may be pipelined, and are answered in their order."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._buffer = b""
        self._waiting: deque[bytes] = deque()  # responses that are due later
        self._transport: asyncio.Transport | None = None
        self._later = asyncio.get_running_loop().call_later

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by name
        self._service.connections += 1

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        at = 0
        while (end := _end_of_request(data, at)) > 0:
            self._take(data[at : at + 16])
            at = end
        self._buffer = data[at:] if at else data

    def _take(self, start: bytes) -> None:
        service = self._service
        if start.startswith(b"POST "):
            found = service.answer()
        else:
            found = service.ledger() if start.startswith(b"GET /ledger") else response(404, {})
        if service.latency:
            self._waiting.append(found)
            self._later(service.latency, self._send_first)
        elif self._transport:
            self._transport.write(found)

    def _send_first(self) -> None:
        found = self._waiting.popleft()
        if self._transport:
            self._transport.write(found)


def _end_of_request(data: bytes, at: int) -> int:
    """Where the request that begins here ends; 0 while it is not whole."""
    head = data.find(_END, at)
    if head < 0:
        return 0
    body = head + len(_END)
    if data.startswith(b"GET ", at):
        return body
    names = data[at:head].lower()
    place = names.find(b"\r\ncontent-length:")
    if place < 0:
        return _end_of_chunks(data, body) if b"\r\ntransfer-encoding: chunked" in names else body
    line_end = names.find(b"\r\n", place + 2)
    length = int(names[place + 17 : line_end if line_end > 0 else None])
    return body + length if len(data) >= body + length else 0


def _end_of_chunks(data: bytes, at: int) -> int:
    while (line_end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line_end], 16)
        at = line_end + 2 + size + 2
        if size == 0:
            return at if len(data) >= at else 0
    return 0


async def serve(service: Service, port: int) -> None:
    """Serve until cancelled; prints the address first."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", port, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


@contextmanager
def running(**options: Any) -> Iterator[str]:
    """The server in a process of its own; its address. Options as on the command line: latency=200."""
    given = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "benchmarks.server", *given]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            if not address:
                raise RuntimeError(f"the server did not start: {' '.join(command)}")
            yield address
        finally:
            process.terminate()


def ledger_of(address: str) -> dict[str, Any]:
    """What a running server has served."""
    with urllib.request.urlopen(f"{address}/ledger", timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="milliseconds")
    parser.add_argument("--errors", type=float, default=0.0, help="share of the requests that are refused")
    parser.add_argument("--statuses", default="500", help="of the refused, by turns at random: 500,429")
    parser.add_argument("--retry-after", default=None, help="seconds, sent with a 429")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    statuses = tuple(int(status) for status in options.statuses.split(","))
    service = Service(options.latency / 1000, options.errors, statuses, options.retry_after, options.seed)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, suppress(KeyboardInterrupt):
        runner.run(serve(service, options.port))


if __name__ == "__main__":
    main()
