"""A folder of files is a source: one record a file, in order, each told from its content, none lost in silence."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import pytest

from extract.errors import ConfigError, InputError
from extract.media import Attachments, Media
from extract.sources import Folder, open_source
from extract.sources.folder import split_pattern
from tests.media.making import pdf, picture


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "b.PDF").write_bytes(pdf())
    (root / "a.txt").write_text("\ufeffGrüße\n", "utf-8")
    (root / "sub" / "c.jpg").write_bytes(picture())
    (root / "sub" / "deep" / "d.html").write_text("<!doctype html><p>x")
    (root / ".DS_Store").write_bytes(b"x")
    (root / ".git").mkdir()
    (root / ".git" / "e.txt").write_text("x")
    return root


def paths(source: object) -> list[object]:
    return [record.key for record in open_source(source).records()]


def test_a_record_for_each_file_in_the_order_of_paths(docs: Path) -> None:
    """The path is the key; a text comes as text, every other file as a path for a media column."""
    source = open_source(docs)
    source.check()
    found = {record.key: dict(record) for record in source.records()}
    assert ["a.txt", "b.PDF", "sub/c.jpg", "sub/deep/d.html"] == list(found)
    assert ("path", docs, source.columns) == (source.key_name, source.folder, tuple(found["a.txt"]))
    data = (docs / "sub" / "c.jpg").read_bytes()
    assert {
        "path": "sub/c.jpg",
        "name": "c.jpg",
        "suffix": ".jpg",
        "bytes": len(data),
        "media_type": "image/png",
        "digest": hashlib.blake2b(data, digest_size=16).hexdigest(),
        "text": None,
        "file": "sub/c.jpg",
    } == found["sub/c.jpg"]
    assert [("Grüße\n", None, "text/plain"), (None, "b.PDF", "application/pdf")] == [
        (found[key]["text"], found[key]["file"], found[key]["media_type"]) for key in ("a.txt", "b.PDF")
    ]
    assert ("text/html", ".pdf") == (found["sub/deep/d.html"]["media_type"], found["b.PDF"]["suffix"])


def test_the_file_column_leads_to_the_file(docs: Path) -> None:
    """With the source's folder as root; texts have no file."""
    source = open_source(docs)
    attach = Attachments([Media(column="file", optional=True)], source.folder)
    found = [attach.parts_for(record)["file"] for record in source.records()]
    assert [[], ["application/pdf"], ["image/png"], []] == [[part.mime for part in parts] for parts in found]


def test_hidden_names_are_passed_over_and_counted(docs: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "extract.sources"):
        paths(docs)
    assert ["2 hidden names passed over"] == [record.getMessage().partition(": ")[2] for record in caplog.records]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ["a.txt", "b.PDF"]),
        ("*.txt", ["a.txt"]),
        ("**/*", ["a.txt", "b.PDF", "sub/c.jpg", "sub/deep/d.html"]),
        ("**/*.html", ["sub/deep/d.html"]),
        ("sub/**", ["sub/c.jpg", "sub/deep/d.html"]),
        ("sub/*", ["sub/c.jpg"]),
        ("*/deep/?.html", ["sub/deep/d.html"]),
        ("[ab].*", ["a.txt", "b.PDF"]),
    ],
)
def test_patterns(docs: Path, pattern: str, expected: list[str]) -> None:
    """As a source's path and in `Folder`; the keys are the same."""
    assert expected == paths(Folder(docs, pattern))
    base, rest = split_pattern(docs / pattern)
    assert [f"{base.relative_to(docs) / key}".removeprefix("./") for key in paths(base / rest)] == expected


def test_a_folder_without_files_is_an_error(docs: Path) -> None:
    """Empty, or with hidden names alone, or with none that fits."""
    (docs / "empty").mkdir()
    with pytest.raises(InputError, match="no file in the folder"):
        open_source(docs / "empty").scan()
    (docs / "empty" / ".x").touch()
    with pytest.raises(InputError, match="1 hidden names"):
        open_source(docs / "empty").scan()
    with pytest.raises(InputError, match=r"\*\.jpg.*its subfolders need"):
        open_source(docs / "*.jpg").scan()
    with pytest.raises(InputError, match="no such file"):
        open_source(docs / "nowhere" / "*.jpg")
    with pytest.raises(InputError, match="cannot be read"):
        open_source(Folder(docs / "nowhere")).scan()


def test_a_pattern_stays_in_the_folder(docs: Path) -> None:
    for pattern in ("../*", "/etc/*", "sub/../../*"):
        with pytest.raises(ConfigError, match="leads out"):
            Folder(docs, pattern)
    with pytest.raises(ConfigError, match="text_bytes"):
        Folder(docs, text_bytes=-1)


def test_what_is_no_file_below_the_folder_goes_to_the_quarantine(docs: Path, tmp_path: Path) -> None:
    """Links out, into nothing, in a circle and to folders, pipes; a link to a file within is that file."""
    (tmp_path / "secret.txt").write_text("secret")
    (docs / "l1").symlink_to("../secret.txt")
    (docs / "l2").symlink_to("nothing")
    (docs / "l3").symlink_to("l3")
    (docs / "l4").symlink_to("sub")
    (docs / "l5").symlink_to("a.txt")
    (docs / "l6").symlink_to("..")
    os.mkfifo(docs / "pipe")
    found = {record.key: record for record in open_source(docs).records()}
    codes = {key: record.problem.code for key, record in found.items() if record.problem}
    assert {
        "l1": "source.outside",
        "l2": "source.missing",
        "l3": "source.outside",
        "l4": "source.file",
        "l6": "source.outside",
        "pipe": "source.file",
    } == codes
    assert ("Grüße\n", None) == (found["l5"]["text"], found["l1"]["text"])
    assert 4 + 7 == len(found)


def test_a_name_that_is_no_text_is_named_and_not_lost(docs: Path) -> None:
    with open(os.fsencode(docs) + b"/\xff.txt", "wb") as file:
        file.write(b"x")
    (record,) = [record for record in open_source(docs).records() if record.problem]
    assert ("\\xff.txt", "source.name") == (record.key, record.problem and record.problem.code)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"),
        ("ä€😀".encode(), "ä€😀"),
        (b"%!not ps", "%!not ps"),
        (b"tab\tand\x1b[0m", "tab\tand\x1b[0m"),
        (b"a\0b", None),
        ("ä".encode("latin-1"), None),
        (b"x" * 6000 + b"\xff", None),
        (b"x" * 6000 + b"\0", None),
        (b"x" * 10_001, None),
        (b"", None),
        (pdf(), None),
        (b"GIF89a is how they begin", None),
    ],
)
def test_only_texts_of_some_size_are_text(tmp_path: Path, data: bytes, text: str | None) -> None:
    """UTF-8 throughout, no control characters, no known file; the rest is a file."""
    (tmp_path / "x.txt").write_bytes(data)
    (record,) = open_source(Folder(tmp_path, text_bytes=10_000)).records()
    assert (text, None if text is not None else "x.txt") == (record["text"], record["file"])


def test_the_fingerprint_follows_the_content(docs: Path) -> None:
    """Not size and time: the same of both with other content is another source, and one that changes is seen."""
    source = open_source(docs)
    scan = source.scan()
    assert scan == open_source(docs).scan()
    file = docs / "b.PDF"
    about = file.stat()
    file.write_bytes(file.read_bytes().replace(b"Hello", b"Hallo"))
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert scan.count == source.scan().count
    assert scan.fingerprint != source.scan().fingerprint
    with pytest.raises(InputError, match="has changed"):
        list(source.records_of(scan))


def test_another_key_may_be_named(docs: Path) -> None:
    """Such as the digest, which refuses a file that is there twice."""
    (docs / "copy.txt").write_bytes((docs / "a.txt").read_bytes())
    with pytest.raises(InputError, match="comes twice"):
        open_source(docs, key="digest").scan()


def test_a_file_with_pattern_characters_in_its_name_is_itself(tmp_path: Path) -> None:
    (tmp_path / "a[1].csv").write_text("id,text\n1,x\n")
    assert 1 == open_source(tmp_path / "a[1].csv").scan().count
