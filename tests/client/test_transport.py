"""The default transport, where the process ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, sys, time
import httpx
from extract.client import default_transport
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
    async with default_transport(Limits(), loopback=True) as transport:
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
