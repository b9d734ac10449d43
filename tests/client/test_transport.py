"""Which transport is the default one, what goes through a proxy, and pyreqwest's where the process ends."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from contextlib import closing

import httpx
import pytest

from extract.client import Client, DirectTransport, default_transport
from extract.config import Endpoint, Limits
from extract.records import ChatRequest
from extract.testing import ScriptedServer
from tests.client.raw import answer, plain

SCRIPT = """
import asyncio, sys, time
import httpx
from extract.client import reqwest_transport
from extract.config import Limits

tell = asyncio.BaseEventLoop.call_soon_threadsafe

def tell_and_linger(loop, *arguments, **options):
    try:
        return tell(loop, *arguments, **options)
    finally:
        for _ in range(300):
            time.sleep(0.0005)

asyncio.BaseEventLoop.call_soon_threadsafe = tell_and_linger

async def once():
    async with reqwest_transport(Limits(), loopback=True) as transport:
        try:
            await transport.handle_async_request(httpx.Request("GET", "http://127.0.0.1:9/v1"))
        except httpx.ConnectError:
            print("refused")

EARLY
asyncio.run(once())
"""


@pytest.mark.parametrize("early", ["", "import pyreqwest.client", "sys.setswitchinterval(1e-5)"])
def test_a_process_may_end_right_after_a_request(early: str) -> None:
    """Though a thread of the library has yet to come back from telling the result, which aborted the interpreter."""
    command = [sys.executable, "-c", SCRIPT.replace("EARLY", early)]
    for _ in range(3):  # not every try meets the moment
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (0, "refused\n", "") == (ended.returncode, ended.stdout, ended.stderr)


PROXY = "http://127.0.0.1:9"
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def set_proxies(monkeypatch: pytest.MonkeyPatch, **proxies: str) -> None:
    """The environment has these and no others."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in proxies.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("proxies", "url", "is_direct"),
    [
        ({}, "https://api.example.com/v1", True),
        ({}, None, True),
        ({"HTTPS_PROXY": PROXY}, "https://api.example.com/v1", False),
        ({"https_proxy": PROXY}, "https://api.example.com/v1", False),
        ({"ALL_PROXY": PROXY}, "https://api.example.com/v1", False),
        ({"HTTP_PROXY": PROXY}, "https://api.example.com/v1", True),
        ({"HTTP_PROXY": PROXY}, "http://api.example.com/v1", False),
        ({"HTTP_PROXY": PROXY}, None, False),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "api.example.com"}, "https://api.example.com/v1", True),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "a.org, .example.com"}, "https://api.example.com/v1", True),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, "https://api.example.com/v1", True),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "example.org"}, "https://api.example.com/v1", False),
    ],
)
def test_what_a_proxy_carries_goes_over_pyreqwest(
    monkeypatch: pytest.MonkeyPatch, proxies: dict[str, str], url: str | None, is_direct: bool
) -> None:
    """All else over our own; this machine is never asked through a proxy."""
    set_proxies(monkeypatch, **proxies)
    found = default_transport(Limits(), url=httpx.URL(url) if url else None)
    assert is_direct is isinstance(found, DirectTransport)
    assert isinstance(default_transport(Limits(), loopback=True), DirectTransport)


def asked(url: str) -> str | None:
    async def once() -> str | None:
        async with Client(Endpoint(base_url=url), "m", Limits(timeout=10)) as client:
            return (await client(ChatRequest(b"{}", "h"))).content

    return asyncio.run(once())


def test_a_proxy_is_asked_for_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the whole address; the name is not looked up here."""
    lines: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                lines.append(connection.recv(65536).partition(b"\r\n")[0])
                connection.sendall(plain(answer("through")))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        set_proxies(monkeypatch, HTTP_PROXY=f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert "through" == asked("http://api.invalid/v1")
        thread.join(5)
    assert [b"POST http://api.invalid/v1/chat/completions HTTP/1.1"] == lines


def test_no_proxy_is_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    set_proxies(monkeypatch, HTTP_PROXY=PROXY, ALL_PROXY=PROXY)
    with ScriptedServer(lambda call: "direct") as server:
        assert "direct" == asked(server.base_url)
