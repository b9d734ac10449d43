"""Pages stand by themselves: well formed, nothing loaded, nothing run, whatever the values hold."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa
import pytest

import extract
from extract.evaluation import diff
from extract.evaluation.confusion import Confusion
from extract.evaluation.page import MOST_LABELS, OTHERS, _fewer

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "</title><b>",
    "a&b;",
    "\x00\x1b[2J",
]
VOID = {"meta", "br", "img"}
TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "table", "thead", "tbody", "tr"}
TAGS |= {"th", "td", "small", "span", "i", "svg", "rect", "line", "text", "circle"}


class Reader(HTMLParser):
    """The tags and attributes of a page; fails where they are not nested."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Reader:
    found = Reader()
    found.feed(page)
    found.close()
    assert [] == found.open
    return found


def tables() -> tuple[pa.Table, pa.Table]:
    """Hostile names and values on both sides, with a confidence and labels."""
    field = "<b>field</b>"
    labels = pa.array(HOSTILE[::-1]).dictionary_encode()
    gold = pa.table({"id": HOSTILE, field: pa.array(HOSTILE).dictionary_encode(), "v": HOSTILE})
    said = pa.table({"id": HOSTILE, field: labels, "v": [*HOSTILE[1:], None], "v_confidence": [0.5] * len(HOSTILE)})
    return said, gold


def pages() -> list[str]:
    said, gold = tables()
    found = extract.evaluate(said, gold, key="id", resamples=10)
    changed = diff(said.drop_columns("v_confidence"), gold, gold=gold, key="id", resamples=10)
    return [found.html(), changed.html(), found._repr_html_(), changed._repr_html_()]


@pytest.mark.parametrize("number", range(4))
def test_no_value_becomes_markup(number: int) -> None:
    """Only the page's own tags are there, and no attribute that loads or runs anything."""
    page = read(pages()[number])
    assert page.tags <= TAGS
    names = {name for name, _ in page.attributes}
    assert not names & {"src", "href", "onerror", "onload", "action"}
    assert "<script>alert(1)</script>" in "".join(page.text)


def test_a_page_loads_nothing() -> None:
    """No address but the name space of SVG, and a policy that forbids all but its own style."""
    for page in pages()[:2]:
        assert {"http://www.w3.org/2000/svg"} == set(re.findall(r"https?://[^\s\"']+", page))
        assert "default-src &#x27;none&#x27;; style-src &#x27;unsafe-inline&#x27;" in page


def test_plots_show_the_figures() -> None:
    """Bars are as long as their F1, with its interval as a line; the matrix has its numbers."""
    said = pa.table({"id": [1, 2, 3, 4], "v": pa.array(["a", "a", "b", "b"]).dictionary_encode()})
    gold = pa.table({"id": [1, 2, 3, 4], "v": pa.array(["a", "a", "a", "b"]).dictionary_encode()})
    page = extract.evaluate(said, gold, key="id", resamples=100).html()
    assert re.search(r'<rect [^>]*width="345\.0"[^>]*><title>v: 0\.750 \(', page)
    assert "gold a, predicted b: 1</title>" in page
    assert "gold a, predicted a: 2</title>" in page


def test_many_labels_become_others() -> None:
    """Those with the most mistakes keep their rows, and no record is lost."""
    pairs = {(f"l{at:03}", f"l{(at + 1) % 90:03}"): at + 1 for at in range(90)}
    kept = _fewer(Confusion(pairs, []))
    names = {name for pair in kept for name in pair}
    assert (MOST_LABELS + 1, sum(pairs.values())) == (len(names), sum(kept.values()))
    assert {OTHERS, "l089", "l088"} <= names
