"""Our own HTTP/1.1 over TLS: who is trusted, what is said of who is not, and the same bytes as in clear."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from extract.client import Client
from extract.client.pool import DirectTransport
from extract.config import Endpoint, Limits
from extract.errors import APIConnectionError
from extract.records import ChatRequest
from tests.client.peer import LIMITS, OK, Go, Peer, line_to, post, serving

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, and with server.pem and other.pem that it signed: for this host, and for another."""
    folder = tmp_path_factory.mktemp("certificates")
    ca, key, request, names = (folder / name for name in ("ca.pem", "ca.key", "request", "names"))
    new = ("req", "-newkey", "rsa:2048", "-nodes")
    openssl(*new, "-x509", "-days", "2", "-keyout", str(key), "-out", str(ca), "-subj", "/CN=Test CA")
    for name, hosts in (("server", "IP:127.0.0.1,DNS:localhost"), ("other", "DNS:example.invalid")):
        own, signed = folder / f"{name}.key", folder / f"{name}.pem"
        openssl(*new, "-keyout", str(own), "-out", str(request), "-subj", "/CN=server")
        names.write_text(f"subjectAltName={hosts}\n")
        by = ("-CA", str(ca), "-CAkey", str(key), "-CAcreateserial", "-days", "2", "-extfile", str(names))
        openssl("x509", "-req", "-in", str(request), "-out", str(signed), *by)
        signed.write_bytes(signed.read_bytes() + own.read_bytes())
    return folder


@pytest.fixture
def context(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The server's; its CA is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server.pem")
    return context


def test_a_server_that_is_trusted(go: Go, context: ssl.SSLContext) -> None:
    """By number and by name; connections are kept, and only HTTP/1.1 is offered."""
    offered: list[str | None] = []
    context.set_alpn_protocols(["h2", "http/1.1"])

    async def handle(peer: Peer) -> None:
        offered.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        while True:
            await peer.request()
            await peer.send(OK)

    async def test() -> None:
        async with serving(handle, ssl=context) as url:
            for name in (url, url.replace("127.0.0.1", "localhost")):
                async with line_to(name) as line:
                    assert [(200, b"hi")] * 3 == [await post(line) for _ in range(3)]

    go(test)
    assert ["http/1.1"] * 2 == offered


def test_large_bodies_both_ways(go: Go, context: ssl.SSLContext) -> None:
    body = bytes(range(256)) * 40_000

    async def handle(peer: Peer) -> None:
        while True:
            got = (await peer.request()).partition(b"\r\n\r\n")[2]
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(got), got)

    async def test() -> None:
        async with serving(handle, ssl=context) as url, line_to(url) as line:
            for _ in range(2):
                assert (200, body) == await post(line, body)

    go(test)


REASONS = {
    "unknown": "certificate verify failed",
    "other name": "certificate is not valid for '127.0.0.1'",
    "in clear": "SSL",
    "missing": r"SSL_CERT_FILE=.*no\.pem",
}


@pytest.mark.parametrize("fault", REASONS)
def test_a_server_that_is_not_trusted_is_told_with_its_reason(
    go: Go, context: ssl.SSLContext, fault: str, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent, and nothing was paid."""
    seen: list[bytes] = []
    if fault == "unknown":
        monkeypatch.delenv("SSL_CERT_FILE")
    if fault == "missing":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "no.pem"))
    if fault == "other name":
        context.load_cert_chain(certificates / "other.pem")

    async def handle(peer: Peer) -> None:
        if fault == "in clear":
            await peer.reader.read(1)
            await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        else:
            seen.append(await peer.request())

    async def test() -> None:
        async with serving(handle, ssl=None if fault == "in clear" else context) as url:
            secure = url.replace("http:", "https:")
            async with line_to(secure) as line:
                with pytest.raises(httpx.ConnectError, match=REASONS[fault]):
                    await post(line)
            async with Client(Endpoint(base_url=secure), "m", LIMITS, DirectTransport(LIMITS)) as client:
                with pytest.raises(APIConnectionError, match=REASONS[fault]) as caught:
                    await client(ChatRequest(b"{}", "h"))
                assert not caught.value.may_be_billed

    go(test)
    assert [] == seen


def test_a_server_that_never_shakes_hands_is_a_connect_timeout(go: Go, context: ssl.SSLContext) -> None:
    async def silent(peer: Peer) -> None:
        await peer.reader.read(1)
        await asyncio.sleep(9)

    async def test() -> None:
        limits = Limits(timeout=5, connect_timeout=0.2)
        async with serving(silent) as url, line_to(url.replace("http:", "https:"), limits) as line:
            with pytest.raises(httpx.ConnectTimeout):
                await post(line)

    go(test)


def test_a_connection_over_tls_that_breaks_off(go: Go, context: ssl.SSLContext) -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart", 0.05)
        peer.reset()

    async def test() -> None:
        async with serving(handle, ssl=context) as url, line_to(url) as line:
            for _ in range(3):
                with pytest.raises(httpx.ReadError):
                    await post(line)

    go(test)


def test_a_body_that_ends_with_its_connection(go: Go, context: ssl.SSLContext) -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhi", 0.02, b" there")

    async def test() -> None:
        async with serving(handle, ssl=context) as url, line_to(url) as line:
            assert [(200, b"hi there")] * 2 == [await post(line) for _ in range(2)]

    go(test)
