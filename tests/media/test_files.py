"""Paths lead below their root or nowhere, and only to regular files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from extract.media import MediaError
from extract.media.files import read_below
from tests.media.making import parts, picture, refused


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for place in ("in/a.png", "in/deep/b.png", "outside.png"):
        (tmp_path / place).write_bytes(picture())
    return tmp_path / "in"


@pytest.mark.parametrize("path", ["a.png", "./a.png", "deep/b.png", "deep/../a.png"])
def test_files_below_the_root_are_read(root: Path, path: str) -> None:
    assert ("image/png",) == tuple(part.mime for part in parts(path, root))


def test_an_absolute_path_below_the_root_is_read(root: Path) -> None:
    assert 1 == len(parts(str(root / "a.png"), root))


def test_a_root_of_its_own_wins(root: Path) -> None:
    """`Media(root=...)` stands before the folder of the source."""
    assert 1 == len(parts("b.png", root.parent / "nowhere", root=root / "deep"))
    assert "media.outside" == refused("../a.png", root, root=root / "deep")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../outside.png", "media.outside"),
        ("deep/../../outside.png", "media.outside"),
        ("/etc/hostname", "media.outside"),
        ("/dev/zero", "media.outside"),
        (".", "media.file"),
        ("deep", "media.file"),
        ("none.png", "media.missing"),
        ("a.png/b", "media.missing"),
        ("a\0.png", "media.missing"),
        ("\ud800.png", "media.missing"),
        ("x" * 5000, "media.missing"),
        ("file:///etc/hostname", "media.url"),
        ("FILE:a.png", "media.url"),
        ("ftp://host/a.png", "media.url"),
        ("gs://bucket/a.png", "media.url"),
    ],
)
def test_what_leads_elsewhere_is_refused(root: Path, path: str, code: str) -> None:
    assert code == refused(path, root)


def test_a_path_out_of_the_root_is_refused_whatever_is_there(root: Path) -> None:
    """The code does not tell whether the file exists."""
    assert "media.outside" == refused("../nothing.png", root)


def test_links_may_not_lead_out(root: Path) -> None:
    """Links within are followed; out of the root, in circles and into nothing are refused."""
    (root / "within").symlink_to("deep/b.png")
    (root / "out").symlink_to("../outside.png")
    (root / "up").symlink_to("..")
    (root / "circle").symlink_to("circle")
    (root / "dangling").symlink_to("nothing")
    assert 1 == len(parts("within", root))
    codes = [refused(name, root) for name in ("out", "up/outside.png", "circle", "dangling")]
    assert ["media.outside", "media.outside", "media.outside", "media.missing"] == codes


def test_a_pipe_is_refused_at_once(root: Path) -> None:
    """Opening it must not wait for a writer."""
    os.mkfifo(root / "pipe")
    assert "media.file" == refused("pipe", root)


def test_a_link_put_in_the_way_after_the_check_is_not_followed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path that was checked is walked step by step without following links."""
    real = Path.resolve

    def swapped(self: Path, strict: bool = False) -> Path:
        found = real(self, strict)
        if self.name == "b.png":
            (root / "deep").rename(root / "away")
            (root / "deep").symlink_to(root.parent)
            (root.parent / "b.png").write_bytes(picture())
        return found

    monkeypatch.setattr(Path, "resolve", swapped)
    assert refused("deep/b.png", root) in ("media.outside", "media.missing")


def test_a_file_above_the_limit_is_not_read(root: Path) -> None:
    """Its size is looked at first; a sparse file of a terabyte costs nothing."""
    with (root / "huge.png").open("wb") as file:
        file.truncate(1 << 40)
    assert "media.size" == refused("huge.png", root)


def test_a_file_that_grows_while_it_is_read_is_refused(root: Path) -> None:
    """Files of /proc tell no size, as one that grows would."""
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc")
    with pytest.raises(MediaError, match="the limit is 10"):
        read_below(Path("/proc"), f"{os.getpid()}/status", 10)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(root: Path) -> None:
    (root / "a.png").chmod(0)
    assert "media.unreadable" == refused("a.png", root)


def test_a_table_in_memory_needs_a_root(root: Path) -> None:
    """Its cells name no folder to look in."""
    assert "media.outside" == refused("a.png", None)
    assert 1 == len(parts("a.png", None, root=root))
