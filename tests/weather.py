"""A chat-completions server with weather: limits, faults, outages and refusals by the clock, and a ledger of every call.

`with Sky(Weather(kind="bucket", limit=100)) as sky` runs it in a process of its own on loopback; `sky.ledger()` tells
what it saw. Rows are told apart by `record #123` in the prompt. It reads what our client sends, and checks nothing else.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import math
import random
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from array import array
from collections import Counter, deque
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Self, cast

from extract import Endpoint
from tests.storms import SERVERS, Storm

ROOT = Path(__file__).parents[1]
BIN = 0.1  # seconds, of the ledger's curves
IN_FLIGHT = 0.05  # seconds in which a call that was on its way when a refusal left may still arrive
DRAWS = 4096
STATUSES = {"401": 401, "402": 402, "404": 404, "429": 429, "500": 500, "502": 502, "503": 503, "529": 529}
AMBIGUOUS = frozenset({"broken", "cut", "reset", "drop", "hang", "drip"})  # without a whole answer
SAYS = {
    401: ("Incorrect API key provided", "invalid_api_key"),
    402: ("Insufficient balance", "insufficient_balance"),
    404: ("The model `weather` does not exist", "model_not_found"),
    429: ("Rate limit reached", "rate_limit_exceeded"),
}
_ROW = re.compile(rb"record #(\d+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END = b"\r\n\r\n"
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, kw_only=True)
class Weather:
    """What the server does; times are seconds since its first call."""

    latency: float = 0.0  # seconds, mean
    spread: float = 0.0  # sigma of the log-normal
    kind: str = "none"  # of the limit, one of those in tests.storms
    limit: float = 1e9  # calls per second, or in flight
    burst: float = 1.0  # seconds' worth
    header: str = "seconds"  # Retry-After: seconds, date, none
    refusal: float = 0.005  # seconds to a refusal or an error
    change_at: float = math.inf
    change: float = 1.0  # factor of the limit
    outage: tuple[float, float] = (math.inf, math.inf)
    outage_kind: str = "503"  # or "reset", "closed": nobody listens
    errors: float = 0.0  # share of calls, independent of each other
    faults: tuple[str, ...] = ("500", "503", "broken", "cut", "reset")
    slow: float = 1.0  # seconds more for the fault "slow", which is a good answer
    fatal: str = ""  # a status that every call gets
    fatal_from: int = 0  # calls that are answered before
    poison: int = 0  # each row whose number this divides always gets `poison_fault`
    poison_fault: tuple[str, ...] = ("500",)
    rows: int = 0  # numbered from 1; the ledger counts the calls of each
    seed: int = 0


@dataclass
class Ledger:
    """What became of each call that arrived."""

    begun: float = 0.0  # on the server's clock
    calls: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    tokens: tuple[int, int] = (0, 0)  # of good answers
    ambiguous: int = 0
    early: int = 0  # calls before a Retry-After had ended
    on_their_way: int = 0  # the same, but of calls that were under way when the refusal left
    waited: float = 0.0  # the longest Retry-After, in seconds
    again: int = 0  # calls for a row that had its good answer
    most: int = 0  # calls in flight
    gone: int = 0  # answers that nobody waited for any more, where there was one
    last_good: float = 0.0  # when the last row that is not poisoned was answered
    accepted: list[int] = field(default_factory=list)  # by time of arrival, in bins
    refused: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)  # number of rows by how many calls they took
    most_of_poisoned: int = 0
    connections: int = 0


class Service:
    """Decides what each call gets, and notes it."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.ledger = Ledger()
        self._random = random.Random(weather.seed).random
        mean, spread = weather.latency, weather.spread
        draw = random.Random(weather.seed + 1).lognormvariate
        self._latencies = [mean * draw(-spread * spread / 2, spread) if spread else mean for _ in range(DRAWS)]
        storm = Storm(kind=weather.kind, limit=weather.limit, burst=weather.burst, latency=max(weather.latency, 1e-3))
        self._limit = SERVERS[weather.kind](storm)
        self._has_changed = False
        self._told: deque[tuple[float, float]] = deque()  # refusals: when they left, until when they ask to wait
        self._quiet = self._quiet_soon = -math.inf
        self._in_flight = 0
        self._calls_of = array("H", bytes(2 * (weather.rows + 1)))
        self._answered = bytearray(weather.rows + 1)

    def take(self, row: int, now: float) -> tuple[str, float, bytes]:
        """What a call gets: its kind, after how many seconds, and the bytes; none for a connection that is cut."""
        ledger, weather = self.ledger, self.weather
        if not ledger.calls:
            ledger.begun = now
        at = now - ledger.begun
        self._note_call(row, now)
        kind = self._kind_of(row, at)
        exact = None
        if kind in ("ok", "slow"):
            exact = self._limit.take(at)
            kind = kind if exact is None else "429"
        ledger.kinds[kind] += 1
        ledger.ambiguous += kind in AMBIGUOUS
        self._note_in_curve(kind, at)
        if kind in ("ok", "slow"):
            wait = self._latencies[int(self._random() * DRAWS)] + (weather.slow if kind == "slow" else 0.0)
            return kind, wait, b""
        return kind, weather.refusal, self._refusal(kind, exact or 0.0, now)

    def answered(self, row: int, now: float) -> bytes:
        """A good answer leaves."""
        ledger = self.ledger
        given, made = 20 + row % 7, 5 + row % 3
        ledger.tokens = (ledger.tokens[0] + given, ledger.tokens[1] + made)
        if row < len(self._answered):
            self._answered[row] = 1
        if not self.is_poisoned(row):
            ledger.last_good = now - ledger.begun
        return completion(row, given, made)

    def ended(self, kind: str, now: float) -> None:
        self._in_flight -= 1
        if self.weather.kind == "calls" and kind in ("ok", "slow"):
            self._limit.done(now)

    def is_poisoned(self, row: int) -> bool:
        return bool(self.weather.poison) and row % self.weather.poison == 0

    def is_closed(self, now: float) -> bool:
        """Whether nobody listens now."""
        at = now - self.ledger.begun
        first, last = self.weather.outage
        return self.weather.outage_kind == "closed" and bool(self.ledger.calls) and first <= at < last

    def as_dict(self) -> dict[str, Any]:
        ledger = self.ledger
        calls_of = self._calls_of[1:]
        counted = Counter(calls_of)
        ledger.attempts = [counted[number] for number in range(max(counted, default=0) + 1)]
        poisoned = (number for row, number in enumerate(calls_of, 1) if self.is_poisoned(row))
        ledger.most_of_poisoned = max(poisoned, default=0)
        return asdict(ledger) | {"kinds": dict(ledger.kinds)}

    def _kind_of(self, row: int, at: float) -> str:
        weather = self.weather
        if weather.fatal and self.ledger.calls > weather.fatal_from:
            return weather.fatal
        first, last = weather.outage
        if first <= at < last:
            return weather.outage_kind
        if self.is_poisoned(row):
            return weather.poison_fault[row // weather.poison % len(weather.poison_fault)]
        if weather.errors and self._random() < weather.errors:
            return weather.faults[int(self._random() * len(weather.faults))]
        if at >= weather.change_at and not self._has_changed:
            self._has_changed = True
            self._limit.rate *= weather.change
        return "ok"

    def _note_call(self, row: int, now: float) -> None:
        ledger = self.ledger
        ledger.calls += 1
        self._in_flight += 1
        ledger.most = max(ledger.most, self._in_flight)
        if row < len(self._answered):
            ledger.again += self._answered[row]
            self._calls_of[row] += 1
        while self._told and self._told[0][0] + IN_FLIGHT <= now:
            self._quiet = max(self._quiet, self._told.popleft()[1])
        if now < self._quiet:
            ledger.early += 1
        elif now < self._quiet_soon:
            ledger.on_their_way += 1

    def _note_in_curve(self, kind: str, at: float) -> None:
        ledger, place = self.ledger, int(at / BIN)
        for each in (ledger.accepted, ledger.refused, ledger.failed):
            if len(each) <= place:
                each.extend([0] * (place + 1 - len(each)))
        curve = ledger.accepted if kind in ("ok", "slow") else ledger.refused if kind == "429" else ledger.failed
        curve[place] += 1

    def _refusal(self, kind: str, exact: float, now: float) -> bytes:
        if kind == "broken":
            return response(200, b'{"choices": [{"message": {"content": "{\\"name\\"')
        if kind == "cut":
            return completion(0, 1, 1)[:-40]
        if kind not in STATUSES:
            return b""
        extra = b""
        if kind == "429":
            header, wait = retry_after(self.weather.header, exact)
            extra = header
            if wait:
                self._tell(now + self.weather.refusal, now + wait)
        message, code = SAYS.get(STATUSES[kind], ("the server had an error", None))
        error = {"error": {"message": message, "type": "weather", "code": code, "param": None}}
        return response(STATUSES[kind], json.dumps(error).encode(), extra)

    def _tell(self, leaves: float, until: float) -> None:
        self._told.append((leaves, until))
        self._quiet_soon = max(self._quiet_soon, until)
        self.ledger.waited = max(self.ledger.waited, until - leaves)


def retry_after(form: str, exact: float) -> tuple[bytes, float]:
    """The header, and for how many seconds it asks; both nothing for the form "none"."""
    if form == "none":
        return b"", 0.0
    if form == "seconds":
        seconds = max(1, math.ceil(exact))
        return b"Retry-After: %d\r\n" % seconds, float(seconds)
    wall = time.time()
    due = math.ceil(wall + exact)  # a date has whole seconds
    return f"Retry-After: {email.utils.formatdate(due, usegmt=True)}\r\n".encode(), max(0.0, due - wall)


def completion(row: int, given: int, made: int) -> bytes:
    """A whole response: the answer to `record #row`."""
    content = b'{\\"name\\": \\"record #%d\\", \\"number\\": %d}' % (row, row)
    body = (
        b'{"id": "x", "object": "chat.completion", "created": 0, "model": "weather", "choices": [{"index": 0, '
        b'"message": {"role": "assistant", "content": "%b"}, "finish_reason": "stop"}], '
        b'"usage": {"prompt_tokens": %d, "completion_tokens": %d, "total_tokens": %d}}'
    )
    return response(200, body % (content, given, made, given + made))


def response(status: int, body: bytes, extra: bytes = b"") -> bytes:
    head = b"HTTP/1.1 %d Weather\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
    return head % (status, extra, len(body)) + body


class Connection(asyncio.Protocol):
    """One connection with one call at a time."""

    def __init__(self, service: Service, open_ones: set[Connection]) -> None:
        self._service = service
        self._open = open_ones
        self._buffer = b""
        self._loop = asyncio.get_running_loop()
        self._hung = False  # the call gets no answer, until the client gives it up
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are none by name
        self._service.ledger.connections += 1
        self._open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._open.discard(self)
        if self._hung:
            self._service.ended("hang", time.monotonic())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(_END)
        if head < 0:
            return
        found = _LENGTH.search(self._buffer, 0, head)
        end = head + len(_END) + (int(found[1]) if found else 0)
        if len(self._buffer) < end:
            return
        taken, self._buffer = self._buffer[:end], self._buffer[end:]
        if taken.startswith(b"GET "):
            self._write(response(200, json.dumps(self._service.as_dict()).encode()))
            return
        row = _ROW.search(taken, head)
        number = int(row[1]) if row else 0
        kind, wait, reply = self._service.take(number, time.monotonic())
        if kind in ("hang", "drip"):
            self._hung = True
            self._drip(completion(0, 1, 1) if kind == "drip" else b"")
        elif wait > 0:
            self._loop.call_later(wait, self._send, kind, number, reply)
        else:
            self._send(kind, number, reply)

    def _send(self, kind: str, row: int, reply: bytes) -> None:
        now = time.monotonic()
        self._service.ended(kind, now)
        if self.transport is None:
            self._service.ledger.gone += 1
            return
        self._write(self._service.answered(row, now) if kind in ("ok", "slow") else reply)
        if kind == "reset":
            found: socket.socket = self.transport.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()
        elif kind in ("drop", "cut"):
            self.transport.close()

    def _drip(self, data: bytes) -> None:
        """A byte a second, as long as somebody listens."""
        if data and self.transport is not None:
            self.transport.write(data[:1])
            self._loop.call_later(1.0, self._drip, data[1:])

    def _write(self, data: bytes) -> None:
        if self.transport is not None and data:
            self.transport.write(data)


async def serve(service: Service) -> None:
    """Serve until cancelled; prints the addresses of the API and of the ledger, which is there in any outage."""
    loop, open_ones = asyncio.get_running_loop(), set[Connection]()
    make = partial(Connection, service, open_ones)
    ledger = await loop.create_server(lambda: Connection(service, set()), "127.0.0.1", 0)
    server = await loop.create_server(make, "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}/v1 http://127.0.0.1:{ledger.sockets[0].getsockname()[1]}", flush=True)
    while True:
        await asyncio.sleep(0.01 if service.weather.outage_kind == "closed" else 3600)
        if service.is_closed(time.monotonic()):
            server.close()
            for connection in tuple(open_ones):
                if connection.transport is not None:
                    connection.transport.abort()
            while service.is_closed(time.monotonic()):
                await asyncio.sleep(0.01)
            server = await loop.create_server(make, "127.0.0.1", port, backlog=4096)


class Sky:
    """The server in a process of its own."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.base_url = self._address = ""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.weather", json.dumps(asdict(self.weather))]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._process.stdout is not None
        self.base_url, _, self._address = self._process.stdout.readline().strip().partition(" ")
        assert self._address, "the server did not start"
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=30)

    def endpoint(self) -> Endpoint:
        return Endpoint(base_url=self.base_url)

    def ledger(self) -> Ledger:
        """What was served so far."""
        with urllib.request.urlopen(f"{self._address}/ledger", timeout=60) as answer:
            found = json.load(answer)
        return Ledger(**found | {"kinds": Counter(found["kinds"]), "tokens": tuple(found["tokens"])})


def main() -> None:
    """Serve the weather of the first argument."""
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(sys.argv[1]).items()
    }
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=import_module("uvloop").new_event_loop) as runner:
        runner.run(serve(Service(Weather(**given))))


if __name__ == "__main__":
    main()
