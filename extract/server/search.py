"""The local stand-in for a web search: a folder of texts, pages and PDFs behind SQLite's full-text index."""

from __future__ import annotations

import logging
import re
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

from extract.errors import ConfigError
from extract.server.media import MAX_FILE, NoText, pdf_text

Json = dict[str, Any]

TEXTS = frozenset({".txt", ".md", ".markdown", ".rst"})
PAGES = frozenset({".html", ".htm"})
SUFFIXES = TEXTS | PAGES | {".pdf"}
PASSAGE = 600  # letters, about
BEST = 4  # passages that an answer is given
MAX_WORDS = 64  # of a question
SCHEME = "corpus:/"  # a file of the corpus is named by its path in the folder, which is nobody's URL

logger = logging.getLogger("extract.server")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a file of the corpus, with the file's URL and title."""

    url: str
    title: str
    text: str


class Corpus:
    """The passages of all readable files below `folder`; the index is built here and lives in memory.

    Raises ConfigError if there is no such folder, or nothing to read in it.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError(f"no such folder: {folder}", hint="--search-corpus takes a folder of texts")
        self._lock = threading.Lock()
        self._index = sqlite3.connect(":memory:", check_same_thread=False)
        self._index.execute("create virtual table passages using fts5(text, title, url unindexed, tokenize='porter')")
        with self._index:
            rows = ((passage.text, passage.title, passage.url) for passage in _passages(folder))
            self._index.executemany("insert into passages values (?, ?, ?)", rows)
        self.size: int = self._index.execute("select count(*) from passages").fetchone()[0]
        if not self.size:
            raise ConfigError(f"nothing to search in {folder}", hint="it takes .txt, .md, .html and .pdf files")

    def search(self, question: str, best: int = BEST) -> list[Passage]:
        """The passages that fit best, the best first; none if no word of the question occurs."""
        words = list(dict.fromkeys(re.findall(r"\w+", question.lower())))[:MAX_WORDS]
        if not words:
            return []
        # Quoted, every word is a word: the language of queries has operators of its own.
        query = " OR ".join(f'"{word}"' for word in words)
        with self._lock:
            rows = self._index.execute(
                "select url, title, text from passages where passages match ? order by rank, rowid limit ?",
                (query, best),
            ).fetchall()
        return [Passage(*row) for row in rows]


def context(passages: list[Passage]) -> str:
    """What a model is told of the passages."""
    found = "\n\n".join(f"[{number}] {passage.title}\n{passage.text}" for number, passage in enumerate(passages, 1))
    return f"Search results:\n\n{found}\n\nUse the search results where they help."


def citations(passages: list[Passage], letters: int) -> list[Json]:
    """The sources of an answer of this many letters, each once; they are sources of the whole answer."""
    titles = dict(reversed([(passage.url, passage.title) for passage in passages]))
    return [
        {"type": "url_citation", "url_citation": {"url": url, "title": title, "start_index": 0, "end_index": letters}}
        for url, title in reversed(titles.items())
    ]


def grounding(question: str, passages: list[Passage]) -> Json:
    """The same sources in the words of Gemini's groundingMetadata."""
    return {
        "webSearchQueries": [question[:200]],
        "groundingChunks": [{"web": {"uri": passage.url, "title": passage.title}} for passage in passages],
    }


def _passages(folder: Path) -> Iterator[Passage]:
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        # A link may lead out of the folder, to files that nobody meant to publish.
        if path.suffix.lower() not in SUFFIXES or not path.is_file() or not path.resolve().is_relative_to(root):
            continue
        name = path.relative_to(folder).as_posix()
        try:
            title, text = _read(path)
        except (OSError, NoText) as error:
            logger.warning("%s is not searched: %s", name, error)
            continue
        for piece in _split(text):
            yield Passage(SCHEME + quote(name), title or name, piece)


def _read(path: Path) -> tuple[str, str]:
    if path.stat().st_size > MAX_FILE:
        raise NoText(f"it is larger than {MAX_FILE:,} bytes")
    data = path.read_bytes()
    if path.suffix.lower() == ".pdf":
        return "", pdf_text(data)
    text = data.decode("utf-8-sig", errors="replace")
    if path.suffix.lower() in PAGES:
        page = _Page()
        page.feed(text)
        page.close()
        return " ".join("".join(page.title).split()), "".join(page.texts)
    heading = re.match(r"\s*#\s+(.+)", text)
    return (heading[1].strip() if heading else ""), text


def _split(text: str) -> Iterator[str]:
    """Paragraphs, joined to pieces of about PASSAGE letters, or cut at a blank into such pieces."""
    piece = ""
    for paragraph in re.split(r"\n\s*\n", text):
        for part in _cut(" ".join(paragraph.split())):
            if piece and len(piece) + len(part) > PASSAGE:
                yield piece
                piece = ""
            piece = f"{piece}\n{part}" if piece else part
    if piece:
        yield piece


def _cut(text: str) -> Iterator[str]:
    while len(text) > PASSAGE:
        at = text.rfind(" ", 1, PASSAGE)
        at = PASSAGE if at < 0 else at
        yield text[:at]
        text = text[at:].lstrip()
    if text:
        yield text


class _Page(HTMLParser):
    """The title and the visible text of a web page."""

    HIDDEN = frozenset({"script", "style", "template", "noscript"})
    BLOCKS = frozenset({"p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article"})

    def __init__(self) -> None:
        super().__init__()
        self.title: list[str] = []
        self.texts: list[str] = []
        self._inside = ""  # the title, or what is not shown

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title" or tag in self.HIDDEN:
            self._inside = tag
        elif tag in self.BLOCKS:
            self.texts.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.texts.append(data)
        elif self._inside == "title":
            self.title.append(data)
