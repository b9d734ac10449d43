"""The pages of a PDF in one text: lines between them that a page cannot forge, for they name the file's digest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_NAME = re.compile(r"--- file ([0-9a-f]+), page ")


def joined(pages: Iterable[tuple[int, str]], name: str, count: int) -> str:
    """One text of pages, each with its number from 1; `name` is a digest, `count` says how many the file has."""
    lines = [line for number, text in pages for line in (f"--- file {name}, page {number} of {count} ---", text)]
    return "\n".join([*lines, f"--- end of file {name} ---"])


def changed(text: str, change: Callable[[str], str]) -> str:
    """The joined text with each page changed, and the lines between them as they are."""
    name = _NAME.match(text)
    if name is None:
        return change(text)
    line = rf"(^--- (?:file {name[1]}, page \d+ of \d+|end of file {name[1]}) ---$)"
    pieces = re.split(line, text, flags=re.MULTILINE)  # text, line, text, …
    return "".join(piece if number % 2 else change(piece) for number, piece in enumerate(pieces))


def parted(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The joined text with blanks in place of the lines between its pages, and where each page begins, by its number.

    Places in it are places in the text as it was sent.
    """
    name = _NAME.match(text)
    if name is None:
        return text, []
    mark = re.compile(rf"^--- (?:file {name[1]}, page (\d+) of \d+|end of file {name[1]}) ---$", re.MULTILINE)
    begins = [(found.end(), int(found[1])) for found in mark.finditer(text) if found[1]]
    return mark.sub(lambda found: " " * len(found[0]), text), begins
