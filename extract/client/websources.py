"""The pages that an answer with search rests on, wherever a gateway puts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from extract.client.stream import GROUNDING
from extract.client.values import encodable, google_of, listed, objects_in, part_of
from extract.records import WebSource

MAX_SOURCES = 1000
_PLACES = frozenset({"annotations", "citations", "search_results", "executed_tools", *GROUNDING, "extra_content"})

_SCHEMES = ("http://", "https://", "corpus:/")  # the last: a file that the local server searched


def sources_of(
    document: Mapping[str, Any], choice: Mapping[str, Any], message: Mapping[str, Any]
) -> tuple[WebSource, ...]:
    """Each source once, in order: annotations, Google's grounding, search results, lists of addresses.

    An address that another member gives with a title or a place is not said again without.
    """
    holders = [
        holder
        for holder in (message, choice, document)
        if not _PLACES.isdisjoint(holder) and any(map(holder.get, _PLACES))
    ]
    if not holders:
        return ()
    found: dict[WebSource, None] = {}
    known: set[str] = set()
    for source in chain.from_iterable(read(holder) for read in _READERS for holder in holders):
        if source.url in known and source.start is None:
            continue
        known.add(source.url)
        found[source] = None
        if len(found) == MAX_SOURCES:
            break
    return tuple(found)


def _annotated(holder: Mapping[str, Any]) -> Iterator[WebSource]:
    for item in objects_in(holder.get("annotations")):
        cited = item.get("url_citation")
        yield from _source(cited if isinstance(cited, dict) else item, "url")


def _grounded(holder: Mapping[str, Any]) -> Iterator[WebSource]:
    for place in (holder, google_of(holder)):
        for name in GROUNDING:
            metadata = place.get(name)
            for item in objects_in(metadata if isinstance(metadata, list) else [metadata]):
                for chunk in objects_in(item.get("groundingChunks") or item.get("grounding_chunks")):
                    web = chunk.get("web")
                    yield from _source(web if isinstance(web, dict) else chunk, "uri")


def _listed(holder: Mapping[str, Any]) -> Iterator[WebSource]:
    for name in ("search_results", "citations"):
        for item in listed(holder.get(name)):
            yield from _source(item if isinstance(item, dict) else {"url": item}, "url")


def _executed(holder: Mapping[str, Any]) -> Iterator[WebSource]:
    """Groq's compound models: what their own tools found and the pages that they opened."""
    for tool in objects_in(holder.get("executed_tools")):
        found = objects_in(part_of(tool, "search_results").get("results"))
        for item in (*found, *objects_in(tool.get("browser_results"))):
            yield from _source(item, "url")


_READERS = (_annotated, _grounded, _listed, _executed)


def _source(item: Mapping[str, Any], name: str) -> Iterator[WebSource]:
    url, title = item.get(name) or item.get("url"), item.get("title")
    start, end = _place(item.get("start_index")), _place(item.get("end_index"))
    if isinstance(url, str) and url.startswith(_SCHEMES):
        is_placed = start is not None and end is not None and start < end  # 0 and 0 are told of none
        yield WebSource(
            encodable(url),
            encodable(title) if isinstance(title, str) and title else None,
            *((start, end) if is_placed else (None, None)),
        )


def _place(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
