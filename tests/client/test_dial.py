"""How a connection is made to a name with several addresses."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, cast

import pytest

from extract.client import dial as dialling
from extract.client.dial import _in_turns, _side_by_side
from extract.client.wire import Connection
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
        if not isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop):
            pytest.skip("uvloop asks the system by itself")
        handle, _ = answering(OK)
        async with serving(handle) as url, line_to(url.replace("127.0.0.1", "two.invalid"), LIMITS) as line:
            return await post(line)

    assert (200, b"hi") == go(test)
