"""A folder of files: one record a file, in the order of their paths."""

from __future__ import annotations

import codecs
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from extract.errors import ConfigError, InputError
from extract.media import MediaError, open_below, sniff
from extract.records import Issue
from extract.sources.rows import Row

TEXT_BYTES = 2_000_000  # of a text file whose content becomes a cell
_BLOCK = 1 << 20
_MAGIC = re.compile(r"[*?\[]")
_CODES = {"media.outside": "source.outside", "media.missing": "source.missing", "media.file": "source.file"}
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_TEXTS = ("text/plain", "text/html", "application/xml", "image/svg+xml")
_TYPES = {
    "path": pa.string(),
    "name": pa.string(),
    "suffix": pa.string(),
    "bytes": pa.int64(),
    "media_type": pa.string(),
    "digest": pa.string(),
    "text": pa.string(),
    "file": pa.string(),
}
_log = logging.getLogger("extract.sources")


@dataclass(frozen=True)
class Folder:
    """The files below a folder that fit `pattern`: `*.pdf` in the folder itself, `**/*.pdf` at any depth; None: all.

    Columns: path (below the folder, with "/"), name, suffix (lower case, with its dot), bytes, media_type (told from
    the content), digest (blake2b of the content), text (of UTF-8 text files up to `text_bytes`, else null), and file:
    the path again where there is no text, which is the column for `Prompt(media=[Media(column="file", ...)])`.

    Names that begin with a dot are passed over. Links may lead to files below the folder; every other link, and what
    is no regular file or cannot be read, becomes a record that goes to the quarantine.
    """

    path: str | Path
    pattern: str | None = None
    text_bytes: int = TEXT_BYTES

    def __post_init__(self) -> None:
        if self.text_bytes < 0:
            raise ConfigError(f"text_bytes is {self.text_bytes}", hint="0 or more")
        if self.pattern is not None and (self.pattern.startswith("/") or ".." in self.pattern.split("/")):
            raise ConfigError(f"the pattern {self.pattern!r} leads out of the folder", hint="such as *.pdf or **/*.pdf")

    @property
    def label(self) -> str:
        return str(Path(self.path) / self.pattern) if self.pattern else str(self.path)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(_TYPES)

    @property
    def arrow_types(self) -> dict[str, pa.DataType]:
        return dict(_TYPES)

    def __iter__(self) -> Iterator[Row]:
        root = Path(self.path)
        found, hidden = self._listed(root)
        if hidden:
            _log.info("%s: %d hidden names passed over", self.label, hidden)
        if not found:
            raise InputError("there is no file in the folder", file=self.label, hint=self._hint(hidden))
        top = root.resolve()
        for path in found:
            yield self._row(top, path)

    def _hint(self, hidden: int) -> str | None:
        if self.pattern:
            return "files in its subfolders need **/ in the pattern"
        return f"{hidden} hidden names were passed over" if hidden else None

    def _listed(self, root: Path) -> tuple[list[str], int]:
        """The paths of all files that fit, sorted, and how many names were hidden."""
        found: list[str] = []
        hidden = 0
        wanted = self.pattern.split("/") if self.pattern else None
        for place, folders, names in os.walk(root, onerror=self._refuse):
            linked = [name for name in folders if os.path.islink(os.path.join(place, name))]
            hidden += sum(name.startswith(".") for name in (*folders, *names))
            folders[:] = [name for name in folders if not name.startswith(".")]  # links to folders are not walked
            base = Path(place).relative_to(root)
            paths = [(base / name).as_posix() for name in (*names, *linked) if not name.startswith(".")]
            found += [path for path in paths if wanted is None or _fits(path.split("/"), wanted)]
        return sorted(found), hidden

    def _refuse(self, error: OSError) -> None:
        raise InputError(f"the folder cannot be read: {error.strerror}", file=str(error.filename)) from error

    def _row(self, top: Path, path: str) -> Row:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        name = PurePosixPath(shown)
        cells = dict.fromkeys(_TYPES) | {"path": shown, "name": name.name, "suffix": name.suffix.lower()}
        if shown != path:
            return _problem(cells, "source.name", "the name is no UTF-8")
        try:
            with open_below(top, path) as file:
                return Row(cells | self._content(file, path))
        except MediaError as error:
            return _problem(cells, _CODES.get(error.issue.code, "source.unreadable"), error.issue.message)
        except OSError as error:
            return _problem(cells, "source.unreadable", f"the file cannot be read: {error.strerror}")

    def _content(self, file: Any, path: str) -> dict[str, Any]:
        """What the content tells, read block by block; only texts are held whole."""
        digest, size, kind, text = hashlib.blake2b(digest_size=16), 0, None, bytearray()
        while block := file.read(_BLOCK):
            kind = kind or sniff(block)
            digest.update(block)
            size += len(block)
            if size <= self.text_bytes and kind in _TEXTS:
                text += block
        words = _text(bytes(text)) if len(text) == size else None
        told = {"bytes": size, "media_type": kind, "digest": digest.hexdigest()}
        return told | {"text": words, "file": path if words is None else None}


def split_pattern(path: Path) -> tuple[Path, str]:
    """The folder before the first name with `*`, `?` or `[`, and the pattern from there; no pattern: an empty text."""
    parts = path.parts
    first = next((at for at, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
    return Path(*parts[:first]), "/".join(parts[first:])


def _fits(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the names of a path fit those of a pattern, where `**` stands for any number of folders."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_fits(names[skipped:], pattern[1:]) for skipped in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _fits(names[1:], pattern[1:])


def _text(data: bytes) -> str | None:
    """The content of a text file, None for what is none."""
    if not data:
        return None
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if _CONTROLS.search(text) else text


def _problem(cells: dict[str, Any], code: str, message: str) -> Row:
    return Row(cells, None, Issue("source", code, "$", message, cells["path"]))
