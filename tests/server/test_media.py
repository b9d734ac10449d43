"""Files in a conversation with a model that reads text only."""

from __future__ import annotations

import base64
import http.server
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from extract.server import Corpus
from extract.server.media import Media
from server.support import USER, Json, assistant

pytest.importorskip("pypdfium2")

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 30
WAV = b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 30
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 30


def pdf(text: str | None) -> bytes:
    """A PDF of one page that shows this text, or none."""
    page = b"" if text is None else b"BT /F1 24 Tf 20 100 Td (" + text.encode() + b") Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 200] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(page), page),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, places = b"%PDF-1.4\n", []
    for number, data in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, data)
    rows = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"xref\n0 6\n0000000000 65535 f \n%strailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        rows,
        len(body),
    )
    return body + end


def data_url(data: bytes, mime: str = "application/pdf") -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def asked(*urls: str) -> Json:
    parts: list[Json] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"messages": [USER, {"role": "user", "content": [{"type": "text", "text": "What is this?"}, *parts]}]}


def refusal(body: Json, media: Media | None = None) -> str:
    """The message of the 400 about the messages that this request gets before the model is asked."""
    api, model = assistant("Nothing.", media=media)
    answer = api.post(body)
    assert (400, "messages") == (answer.status_code, answer.json()["error"].get("param")), answer.text
    assert [] == model.prompts
    return str(answer.json()["error"]["message"])


@pytest.mark.parametrize(
    "url",
    [
        data_url(pdf("Total 42 EUR")),
        data_url(pdf("Total 42 EUR"), "image/png"),
        data_url(b"Total 42 EUR", "text/plain"),
        "data:text/plain," + quote("Total 42 EUR"),
        "DATA:,Total%2042%20EUR",
    ],
)
def test_the_text_of_a_file_stands_in_its_place(url: str) -> None:
    """PDFs and texts are told by their content, whatever the URL says, and read after the words before them."""
    api, model = assistant("A bill.")
    assert 200 == api.post(asked(url)).status_code
    assert ["What is this?", "Total 42 EUR"] == model.prompts[0].messages[1]["content"].split("\n")


def test_a_file_part_is_read_too() -> None:
    """The form in which OpenAI's own clients send PDFs."""
    api, model = assistant("A bill.")
    part = {"type": "file", "file": {"filename": "a.pdf", "file_data": data_url(pdf("Total 42 EUR"))}}
    assert 200 == api.post({"messages": [{"role": "user", "content": [part]}]}).status_code
    assert "Total 42 EUR" == model.prompts[0].messages[0]["content"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (data_url(PNG, "image/png"), "no eyes: an image without a text layer"),
        (data_url(PNG), "no eyes: an image without a text layer"),
        (data_url(pdf(None)), "the PDF has no text layer"),
        (data_url(pdf("x")[:60]), "the PDF cannot be read"),
        (data_url(WAV, "audio/wav"), "audio cannot be read"),
        (data_url(MP4, "video/mp4"), "video cannot be read"),
        (data_url(b"\0\1\2\3"), "application/octet-stream cannot be read"),
        (data_url(b""), "cannot be read"),
        (data_url(b"a" * 5000 + b"\xff", "text/plain"), "cannot be read"),
        ("data:application/pdf;base64,###", "the base64 of a data URL is broken"),
        ("data:application/pdf", "no comma"),
        ("https://example.com/a.pdf", "no files from other machines"),
        ("http://127.0.0.1.example.com/a.pdf", "no files from other machines"),
        ("http://169.254.169.254/latest", "no files from other machines"),
        ("file:///etc/passwd", "no files from other machines"),
        ("http://[::1", "cannot be read"),
        ("http://localhost:1/a.pdf", "could not be fetched: ConnectError"),
        ("", "no files from other machines"),
    ],
)
def test_what_cannot_be_read_is_a_400_that_says_why(url: str, words: str) -> None:
    """The message says which one of the messages and what is wrong; the model is never asked."""
    assert words in refusal(asked(url))
    assert refusal(asked(url)).startswith("messages.1: ")


@pytest.mark.parametrize("kind", ["input_audio", "video_url", "thinking"])
def test_other_kinds_of_parts_are_a_400(kind: str) -> None:
    """Sound, film and what is unknown."""
    words = refusal({"messages": [{"role": "user", "content": [{"type": kind, kind: {"data": "x"}}]}]})
    assert f"messages.0: this model cannot read a part of type '{kind}'." == words


def test_files_are_bounded_in_size_and_number() -> None:
    """A large file is refused before and after it is decoded, and many files are."""
    media = Media(max_file=1000, max_files=2)
    assert "a file is larger than 1,000 bytes" in refusal(asked(data_url(b"a" * 1001)), media)
    assert "a file is larger than 1,000 bytes" in refusal(asked("data:," + "a" * 5000), media)
    assert "3 files, at most 2" in refusal(asked(*["data:,a"] * 3), media)


def test_pdfs_are_searched_and_broken_ones_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A corpus takes the text of PDFs; one that cannot be read is named in the log, and the others are found."""
    (tmp_path / "bill.pdf").write_bytes(pdf("Total 42 EUR"))
    (tmp_path / "broken.pdf").write_bytes(pdf("Total 43 EUR")[:60])
    found = Corpus(tmp_path).search("total")
    assert [("corpus:/bill.pdf", "Total 42 EUR")] == [(passage.url, passage.text) for passage in found]
    assert "broken.pdf is not searched" in caplog.text


class Files(http.server.BaseHTTPRequestHandler):
    """Serves a PDF, a redirect, an error, an endless file and one that never comes."""

    def __init__(self, seen: list[str], *args: Any) -> None:
        self.seen = seen
        super().__init__(*args)

    def do_GET(self) -> None:
        self.seen.append(self.path)
        if self.path == "/slow":
            time.sleep(1)
        status = {"/moved": 302, "/gone": 404}.get(self.path, 200)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/a.pdf")
        self.end_headers()
        try:
            if self.path == "/endless":
                for _ in range(1000):
                    self.wfile.write(b"a" * 65536)
            elif status == 200:
                self.wfile.write(pdf("Total 42 EUR"))
        except OSError:
            pass

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def files() -> Iterator[tuple[str, list[str]]]:
    seen: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, seen)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def test_a_file_on_this_machine_is_fetched(files: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Past any proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    api, model = assistant("A bill.")
    assert 200 == api.post(asked(f"{files[0]}/a.pdf")).status_code
    assert model.prompts[0].messages[1]["content"].endswith("Total 42 EUR")


def test_a_fetch_is_bounded(files: tuple[str, list[str]]) -> None:
    """In size and time; neither a redirect nor an error page is read."""
    url, seen = files
    media = Media(max_file=100_000, timeout=0.2)
    assert "larger than 100,000 bytes" in refusal(asked(f"{url}/endless"), media)
    assert "could not be fetched: TimeoutError" in refusal(asked(f"{url}/slow"), media)
    assert "could not be fetched: HTTP 302" in refusal(asked(f"{url}/moved"), media)
    assert "could not be fetched: HTTP 404" in refusal(asked(f"{url}/gone"), media)
    assert "/a.pdf" not in seen


def test_nothing_is_fetched_when_that_is_off(files: tuple[str, list[str]]) -> None:
    """A server for other machines asks nothing of its own."""
    url, seen = files
    assert "no files from other machines" in refusal(asked(f"{url}/a.pdf"), Media(fetch=False))
    assert [] == seen
