"""How a connection is made to a name with several addresses."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest

from extract.client import dial as dialling
from extract.client.dial import _in_turns, _side_by_side
from extract.client.wire import Connection
from extract.errors import NOT_SENT
from tests.client.peer import LIMITS, OK, Go, answering, line_to, post, serving

SIX, FOUR = socket.AF_INET6, socket.AF_INET


class Made:
    """What an attempt has made."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.ended = False

    def abort(self) -> None:
        self.ended = True


def raced(hosts: dict[str, float | Exception], cancel_after: float | None = None) -> tuple[Any, list[str], list[Made]]:
    """Who won, who was tried, what was made; a number is the seconds that an attempt takes."""
    tried: list[str] = []
    made: list[Made] = []

    async def attempt(family: int, host: str) -> Connection:
        tried.append(host)
        outcome = hosts[host]
        if isinstance(outcome, Exception):
            raise outcome
        await asyncio.sleep(outcome)
        made.append(Made(host))
        return cast("Connection", made[-1])

    async def race() -> Any:
        async with asyncio.timeout(cancel_after):
            return await _side_by_side(attempt, _in_turns((FOUR, host) for host in hosts))

    return asyncio.run(race()), tried, made


def test_an_address_that_does_not_answer_is_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "_NEXT", 0.05)
    begun = time.monotonic()
    winner, tried, _ = raced({"a": 9.0, "b": 9.0, "c": 0.01, "d": 0.0})
    assert ("c", ["a", "b", "c"]) == (winner.host, tried)
    assert 2 > time.monotonic() - begun


def test_an_address_that_refuses_is_followed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "_NEXT", 9.0)
    winner, tried, _ = raced({"a": OSError("a"), "b": OSError("b"), "c": 0.0})
    assert ("c", ["a", "b", "c"]) == (winner.host, tried)


def test_when_all_refuse_the_first_reason_is_told() -> None:
    with pytest.raises(OSError, match="first"):
        raced({"a": OSError("first"), "b": OSError("second")})


def test_of_two_that_answer_one_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "_NEXT", 0.0)
    winner, _, made = raced({"a": 0.05, "b": 0.05})
    assert [one is not winner for one in made] == [one.ended for one in made]


def test_a_race_that_is_cancelled_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "_NEXT", 0.0)
    with pytest.raises(TimeoutError):
        raced({"a": 9.0, "b": 9.0}, cancel_after=0.05)


def test_families_take_turns_and_nothing_is_tried_twice() -> None:
    found = [(SIX, "::1"), (SIX, "::2"), (SIX, "::1"), (FOUR, "1"), (FOUR, "2"), (FOUR, "3")]
    expected = [(SIX, "::1"), (FOUR, "1"), (SIX, "::2"), (FOUR, "2"), (FOUR, "3")]
    assert expected == list(_in_turns(found))


def test_a_real_name_with_a_dead_address(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two addresses of this machine nobody listens on the first."""
    real = socket.getaddrinfo

    def two(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host != "two.invalid":
            return real(host, port, *arguments, **options)
        return [*real("127.0.0.9", port, *arguments, **options), *real("127.0.0.1", port, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", two)

    async def test() -> tuple[int, bytes]:
        handle, _ = answering(OK)
        async with serving(handle) as url, line_to(url.replace("127.0.0.1", "two.invalid"), LIMITS) as line:
            return await post(line)

    assert (200, b"hi") == go(test)


class Resolver:
    """Answers in place of the system's; the first lookups hang until the end of the test."""

    def __init__(self, hanging: int) -> None:
        self.hanging = hanging
        self.asked: list[threading.Thread] = []
        self.released = threading.Event()
        self._real = socket.getaddrinfo

    def __call__(self, host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host != "slow.invalid":
            return self._real(host, port, *arguments, **options)
        self.asked.append(threading.current_thread())
        if len(self.asked) <= self.hanging:
            assert self.released.wait(30)
        return self._real("127.0.0.1", port, *arguments, **options)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    found = Resolver(hanging=1)
    monkeypatch.setattr(socket, "getaddrinfo", found)
    yield found
    found.released.set()
    for thread in found.asked:
        thread.join(5)


def test_a_name_that_hangs_holds_up_nothing_else(go: Go, resolver: Resolver) -> None:
    """Many calls wait for one lookup; threads for files are free, and the end of the process waits for nobody."""
    limits = LIMITS.replaced({"connect_timeout": 0.5})

    async def test() -> list[Any]:
        async with line_to("http://slow.invalid:1/v1", limits) as line:
            waiting = asyncio.gather(*(post(line) for _ in range(40)), return_exceptions=True)
            begun = time.monotonic()
            for _ in range(10):
                await asyncio.to_thread(time.sleep, 0)
            assert 0.4 > time.monotonic() - begun
            return await waiting

    assert {httpx.ConnectTimeout} == set(map(type, go(test)))
    assert [True] == [thread.daemon for thread in resolver.asked]


def test_beside_a_lookup_that_hangs_another_is_tried(
    go: Go, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while, and no more than a few at a time."""
    monkeypatch.setattr(dialling, "_HANGS", 0.1)
    resolver.hanging = 2

    async def test() -> tuple[int, bytes]:
        handle, _ = answering(OK)
        async with (
            serving(handle) as url,
            line_to(url.replace("127.0.0.1", "slow.invalid"), LIMITS.replaced({"connect_timeout": 0.2})) as line,
        ):
            for _ in range(2):
                with pytest.raises(httpx.ConnectTimeout):
                    await post(line)
            return await post(line)

    assert (200, b"hi") == go(test)
    assert 3 == len(resolver.asked)


def test_lookups_that_hang_are_few(go: Go, resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "_HANGS", 0.0)
    resolver.hanging = 100

    async def test() -> None:
        async with line_to("http://slow.invalid:1/v1", LIMITS.replaced({"connect_timeout": 0.02})) as line:
            for _ in range(10):
                with pytest.raises(httpx.ConnectTimeout):
                    await post(line)

    go(test)
    assert 4 == len(resolver.asked)


def test_a_name_that_nobody_knows_is_an_error(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    async def test() -> None:
        async with line_to("http://nobody.invalid:1/v1", LIMITS) as line:
            with pytest.raises(httpx.ConnectError, match="Name or service not known"):
                await post(line)

    go(test)


def test_what_is_cancelled_as_it_connects_says_that_nothing_was_sent(go: Go, resolver: Resolver) -> None:
    async def test() -> list[str]:
        async with line_to("http://slow.invalid:1/v1", LIMITS) as line:
            waiting = asyncio.ensure_future(post(line))
            await asyncio.sleep(0.05)
            waiting.cancel()
            try:
                await waiting
            except asyncio.CancelledError as error:
                return list(error.__notes__)
            return []

    assert [NOT_SENT] == go(test)
