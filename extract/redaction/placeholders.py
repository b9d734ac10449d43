"""What stands in a request for a value: `[EMAIL_1]`. How it is written, and how it is read back from an answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from extract.records import Issue, path_to, short

ABOUT_PLACEHOLDERS = (
    "Texts in square brackets such as [EMAIL_1] stand for values that are not shown. Where an answer needs such a "
    "value, copy its text exactly as it is, brackets included."
)
LITERAL = "LITERAL"  # the kind of a text that itself looks like a placeholder

_OPEN, _CLOSE = r"[\[【\uff3b<{]", r"[\]】\uff3d>}]"


@dataclass
class Restored:
    """An answer with its values put back, and what was odd in doing so."""

    value: Any = None
    issues: list[Issue] = field(default_factory=list)
    altered: bool = False  # some placeholder was written in another way


class Placeholders:
    """The placeholders of these kinds. `spared` are texts of the schema that look like one and are none."""

    def __init__(self, kinds: Iterable[str], spared: Collection[str] = ()) -> None:
        names = sorted((*kinds, LITERAL), key=len, reverse=True)
        exact = "|".join(map(re.escape, names))
        loose = "|".join(re.escape(name).replace("_", r"\\?[\s_-]?") for name in names)
        self._exact = re.compile(rf"\[(?:{exact})_[1-9][0-9]{{0,8}}\]")
        self._any = re.compile(
            rf"\\?{_OPEN}\s{{0,3}}(?P<kind>{loose})[\s\\_:#.–—-]{{0,4}}(?P<number>\d{{1,9}})\s{{0,3}}\\?{_CLOSE}"
            rf"|{_OPEN}?(?<![^\W_])(?P<bare>{loose})\\?_(?P<count>\d{{1,9}})(?!\w){_CLOSE}?",
            re.IGNORECASE,
        )
        self._spared = frozenset(text.casefold() for text in spared)

    def look_alikes(self, text: str) -> list[tuple[int, int]]:
        """Where a text holds what could be taken for a placeholder."""
        found = self._any.finditer(text)
        return [
            match.span()
            for match in found
            if match[0].casefold() not in self._spared or self._exact.fullmatch(match[0])
        ]

    def found_in(self, schema: Any) -> frozenset[str]:
        """The names and listed values of a schema that look like placeholders."""
        return frozenset(match[0] for text in _fixed_texts(schema) for match in self._any.finditer(text))

    def restored(self, answer: Any, values: Mapping[str, str]) -> Restored:
        """The answer, texts and keys, with each placeholder replaced by what it stands for."""
        found = Restored()
        found.value = self._walk(answer, values, "$", found)
        return found

    def _walk(self, node: Any, values: Mapping[str, str], path: str, found: Restored) -> Any:
        if isinstance(node, str):
            return self._text(node, values, path, found)
        if isinstance(node, list):
            return [self._walk(item, values, path_to(path, index), found) for index, item in enumerate(node)]
        if not isinstance(node, dict):
            return node
        fresh: dict[str, Any] = {}
        for name, item in node.items():
            place = path_to(path, name)
            key = self._text(name, values, place, found)
            if key in fresh:
                found.issues.append(Issue("parse", "parse.duplicate_key", place, f"the key {key!r} comes twice", key))
            fresh[key] = self._walk(item, values, place, found)
        return fresh

    def _text(self, text: str, values: Mapping[str, str], path: str, found: Restored) -> str:
        """The exact ones first: brackets around them may be the text's own."""

        def exact(match: re.Match[str]) -> str | None:
            return values.get(match[0])

        def loose(match: re.Match[str]) -> str | None:
            if match[0].casefold() in self._spared:
                return match[0]
            kind = re.sub(r"[\W_]+", "_", match["kind"] or match["bare"]).upper()
            value = values.get(f"[{kind}_{int(match['number'] or match['count'])}]")
            if value is None:
                message = f"{match[0][:80]!r} stands for no value of this record"
                found.issues.append(Issue("schema", "redact.unknown", path, message, short(text)))
            else:
                found.altered = True
            return value

        pieces = _replaced([(text, False)], self._exact, exact)
        return "".join(piece for piece, _ in _replaced(pieces, self._any, loose))


def _replaced(
    pieces: Sequence[tuple[str, bool]], pattern: re.Pattern[str], value_of: Callable[[re.Match[str]], str | None]
) -> list[tuple[str, bool]]:
    """The pieces, with matches that have a value as pieces of their own, which are done with."""
    fresh: list[tuple[str, bool]] = []
    for text, done in pieces:
        place = 0
        for match in () if done else pattern.finditer(text):
            value = value_of(match)
            if value is not None:
                fresh += [(text[place : match.start()], False), (value, True)]
                place = match.end()
        fresh.append((text[place:], done))
    return fresh


def _fixed_texts(schema: Any) -> Iterator[str]:
    """Names of properties, members of enums and constants."""
    if isinstance(schema, dict):
        for name, item in schema.items():
            if name == "properties" and isinstance(item, dict):
                yield from item
            elif name in ("enum", "const"):
                yield from (str(each) for each in (item if isinstance(item, list) else [item]))
            yield from _fixed_texts(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from _fixed_texts(item)
