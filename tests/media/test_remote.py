"""URLs are passed on as they stand; only where it is asked are they fetched, and not from inner networks."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from extract.media import Attachments, Media, MediaError, Part
from extract.media.remote import is_public
from extract.records import Record
from tests.media.making import parts, pdf, picture, refused

Serve = Callable[[Callable[[BaseHTTPRequestHandler], None]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def sending(data: bytes, status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def fetched(url: str, allowed: Callable[[str], bool] = lambda _: True, **settings: Any) -> tuple[Part, ...]:
    media = Media(column="file", fetch=True, **settings)
    return Attachments([media], allowed=allowed).parts_for(Record("a", 0, {"file": url}))["file"]


@pytest.mark.parametrize("url", ["https://example.com/a.png?b=c", "HTTP://example.com:8080/ä", "http://127.0.0.1:9/x"])
def test_a_url_is_passed_on_as_it_stands(url: str) -> None:
    """Nothing is asked of it: the last one answers nobody."""
    (part,) = parts(url)
    assert {"type": "image_url", "image_url": {"url": url}} == part.content()
    assert part.digest == parts(url)[0].digest != parts(url + "x")[0].digest


@pytest.mark.parametrize(
    "url", ["http://", "http:///a.png", "https://a b/c", "http://h:x/", "https://h/\n", "http://[/"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    assert "media.url" == refused(url)
    assert "media.url" == refused("https://h/" + "x" * 9000)
    assert "media.url" == refused("https://h/\ud800")


def test_pages_images_and_text_need_the_file(serve: Serve) -> None:
    """A URL that is passed on has none of them, and leaving them out would be silent."""
    for settings in ({"as_": "text"}, {"as_": "images"}, {"pages": "1"}):
        assert "media.remote" == refused("http://h/a", **settings)
    (part,) = fetched(serve(sending(pdf(["Hi there"]))), as_="text")
    assert "Hi there" in str(part.text)


def test_a_fetched_file_goes_as_its_content(serve: Serve) -> None:
    """It is asked for once; the type is that of the content."""
    asked = []
    data = picture()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.headers["Host"])
        sending(data)(handler)

    url = serve(answer)
    (part,) = fetched(f"{url}/a.jpg")
    assert (data, "image/png", ("media.misnamed",)) == (part.data(), part.mime, part.flags)
    assert [url.removeprefix("http://")] == asked


def test_inner_addresses_are_not_asked(serve: Serve) -> None:
    """Neither at once nor through a redirect."""
    asked: list[str] = []
    inner = serve(lambda handler: asked.append(handler.path))
    with pytest.raises(MediaError) as caught:
        fetched(f"{inner}/secret", is_public)
    assert "media.url" == caught.value.issue.code
    port = inner.rpartition(":")[2]
    outer = serve(sending(b"", 302, Location=f"http://localhost:{port}/secret"))
    seen: list[str] = []
    with pytest.raises(MediaError) as caught:
        fetched(outer, lambda address: not seen.append(address) and len(seen) == 1)  # type: ignore[func-returns-value]
    assert ("media.url", []) == (caught.value.issue.code, asked)


def test_redirects_are_followed_a_few_times(serve: Serve) -> None:
    urls: list[str] = []
    data = picture()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        step = int(handler.path[1:])
        sending(data)(handler) if step == 0 else sending(b"", 302, Location=f"/{step - 1}")(handler)

    urls.append(serve(answer))
    assert data == fetched(f"{urls[0]}/3")[0].data()
    with pytest.raises(MediaError, match="too many redirects"):
        fetched(f"{urls[0]}/9")


@pytest.mark.parametrize("where", ["file:///etc/hostname", "ftp://h/x"])
def test_a_redirect_to_no_web_address_is_refused(serve: Serve, where: str) -> None:
    with pytest.raises(MediaError, match="no http or https"):
        fetched(serve(sending(b"", 302, Location=where)))


def test_a_download_is_bounded(serve: Serve) -> None:
    """In bytes, whatever its head says, and in time, however slowly it drips."""

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 10_000)
        except OSError:
            pass

    def dripping(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(100):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass

    with pytest.raises(MediaError) as caught:
        fetched(serve(endless), max_bytes=100_000)
    assert "media.size" == caught.value.issue.code
    begun = time.monotonic()
    with pytest.raises(MediaError) as caught:
        fetched(serve(dripping), fetch_timeout=0.3)
    assert "media.fetch" == caught.value.issue.code
    assert 3 > time.monotonic() - begun


@pytest.mark.parametrize("status", [204, 404, 500])
def test_an_answer_without_the_file_is_an_issue(serve: Serve, status: int) -> None:
    with pytest.raises(MediaError, match=f"the server answers {status}"):
        fetched(serve(sending(b"", status)))


def test_no_answer_is_an_issue() -> None:
    with pytest.raises(MediaError) as caught:
        fetched("http://127.0.0.1:1/a.png")
    assert "media.fetch" == caught.value.issue.code


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
        ),
        *("::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::", "2002:7f00:1::"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"", b"H"),
    ],
)
def test_no_drip_holds_a_download_beyond_its_time(head: bytes, drop: bytes) -> None:
    """Not of header bytes, nor of the digits of a size: no content comes, and no read takes long."""
    over = threading.Event()

    def serve_one(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(4096)
            connection.sendall(head)
            for _ in range(100):
                if over.wait(0.05):
                    return
                connection.sendall(drop)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_one, args=(listener,), daemon=True)
        thread.start()
        begun = time.monotonic()
        with pytest.raises(MediaError) as caught:
            fetched(f"http://127.0.0.1:{listener.getsockname()[1]}/a.png", fetch_timeout=0.3)
        took = time.monotonic() - begun
        over.set()
        thread.join(5)
    assert "media.fetch" == caught.value.issue.code
    assert "it took more than 0.3 s" in str(caught.value)
    assert 3 > took


def test_a_file_is_fetched_where_a_loop_runs(serve: Serve) -> None:
    """As in a notebook."""
    url = serve(sending(picture()))

    async def within() -> tuple[Part, ...]:
        return fetched(url)

    assert 1 == len(asyncio.run(within()))
