"""Record → the record as it may be shown, and what stands in it for which value. Pure, so a hash stays a hash."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from extract.errors import ConfigError
from extract.records import Record, texts_in
from extract.redaction.kinds import KINDS, Spans
from extract.redaction.linear import occurrences, searcher
from extract.redaction.placeholders import LITERAL, Placeholders, Restored

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,30}")
_SHORTEST_KNOWN = 5  # characters of a value that is masked wherever else it stands, pattern or not
_BEGINNING = 6  # characters that tell a long value
_LONG_KNOWN = 8  # characters of a value that is masked within words too
_SHORTEST_TELLING = 4  # letters and digits of a piece that would tell something of a value
_LETTER = re.compile(r"\w")
_NO_SIGN = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Redactor:
    """Finds what is to be masked. `columns` are those that a request may show, in the order in which they count."""

    kinds: tuple[tuple[str, Spans], ...]  # name and finder; where two find the same place, the first names it
    columns: tuple[str, ...]
    placeholders: Placeholders
    said: frozenset[str] = frozenset()  # values that the prompt itself says, which are nobody's secret
    settings: tuple[tuple[str, str], ...] = ()  # for the fingerprint

    def of(self, record: Record) -> Masks:
        """The masks of one record; the same for the same cells."""
        return Masks(self, record)

    def restored(self, answer: Any, masks: Sequence[tuple[str, str]]) -> Restored:
        """The answer with what the placeholders stand for."""
        return self.placeholders.restored(answer, dict(masks))

    def example(self, cells: Mapping[str, Any], answer: Any) -> tuple[Mapping[str, Any], Any]:
        """An example's cells and answer, masked alike."""
        masks = self.of(Record(key=0, position=0, cells=cells))
        return masks.record.cells, masks.covered_value(answer)

    def found(self, text: str, without: Sequence[str] = ()) -> list[tuple[int, int, str]]:
        """Start, end and kind of each place to mask, in order; those that overlap are one."""
        found = [
            (start, end, number, name)
            for number, (name, spans) in enumerate(self.kinds)
            if name not in without
            for start, end in spans(text)
        ]
        return merged(found)


class Masks:
    """What stands for what in the requests of one record."""

    def __init__(self, redactor: Redactor, record: Record) -> None:
        self._redactor = redactor
        self._names: dict[str, str] = {}  # value → placeholder
        self._kinds: dict[str, str] = {}  # value → kind
        self._counts: Counter[str] = Counter()
        self._places: dict[str, list[tuple[int, int, str]]] = {}  # of each text of a cell
        self._cells = {name: record[name] for name in redactor.columns if name in record}
        for cell in self._cells.values():
            for text in texts_in(cell, numbers=True):
                found = self._places[text] = redactor.found(text)
                for start, end, kind in found:
                    self._placeholder(kind, text[start:end])
        shown = {name: self.covered_value(cell) for name, cell in self._cells.items()}
        self.record = replace(record, cells={**record.cells, **shown}) if self._names else record

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Each placeholder and its value."""
        return tuple((placeholder, value) for value, placeholder in self._names.items())

    def covered(self, text: str, *, is_made: bool = False) -> str:
        """The text with placeholders. `is_made`: of cells that are covered already, with the prompt's own words."""
        redactor = self._redactor
        found = self._places.get(text) if not is_made else None
        if found is None:
            found = redactor.found(text, ("PHONE",) if is_made else ())
        if is_made:
            found = [each for each in found if text[each[0] : each[1]] not in redactor.said]
        spans = [(start, end, 1, kind) for start, end, kind in found]
        spans += self._again(text)
        pieces, place = [], 0
        for start, end, kind in merged(spans):
            pieces += [(text[place:start], False), (self._placeholder(kind, text[start:end]), True)]
            place = end
        pieces.append((text[place:], is_made))  # what is made holds placeholders that are ours
        return "".join(piece if done or is_made else self._without_look_alikes(piece) for piece, done in pieces)

    def _without_look_alikes(self, text: str) -> str:
        """A text between placeholders, as it will be read back, with its own placeholders masked."""
        pieces, place = [], 0
        for start, end in self._redactor.placeholders.look_alikes(text):
            pieces += [self._without_look_alikes(text[place:start]), self._placeholder(LITERAL, text[start:end])]
            place = end
        return "".join([*pieces, self._without_look_alikes(text[place:])]) if pieces else text

    def covered_reply(self, text: str) -> str:
        """What was written with the record's values at hand, such as the faults of an answer, without any of them.

        Nor with the beginning of one that was cut off. What else looks like a secret is the model's invention.
        """
        pieces, place = [], 0
        for start, end, kind in merged(list(self._again(text, shortest=1))):
            pieces += [text[place:start], self._placeholder(kind, text[start:end])]
            place = end
        text = "".join([*pieces, text[place:]])
        for value in self._names:
            if len(value) >= _LONG_KNOWN:
                text = _without_beginnings(text, value)
        return text

    def covered_value(self, value: Any) -> Any:
        """A cell or an answer with placeholders in all its texts; a whole number that is to be masked becomes text."""
        if isinstance(value, str):
            return self.covered(value)
        if isinstance(value, int) and not isinstance(value, bool):
            shown = self.covered(str(value))
            return value if shown == str(value) else shown
        if isinstance(value, Mapping):
            return {self.covered_value(name): self.covered_value(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.covered_value(item) for item in value]
        return value

    def candidate(self, span: str) -> str | None:
        """A span of the record as it may be offered; None for a piece of what is masked."""
        if not self._names:
            return span
        shown = self.covered(span)
        masked, whole, secrets = self._folded
        for word in shown.split():
            telling = _bare(word)
            tells = len(telling) >= _SHORTEST_TELLING and any(telling in secret for secret in secrets)
            if word not in masked and (word in whole or tells):
                return None
        return shown

    @property
    def _folded(self) -> tuple[str, str, list[str]]:
        """The cells as they are shown, as they are, and the values that are masked, without their signs."""
        shown = " ".join(text for name in self._cells for text in texts_in(self.record[name], numbers=True))
        whole = " ".join(text for cell in self._cells.values() for text in texts_in(cell, numbers=True))
        return shown, whole, [_bare(value) for value in self._names]

    def _placeholder(self, kind: str, value: str) -> str:
        name = self._names.get(value)
        if name is None:
            self._counts[kind] += 1
            name = self._names[value] = f"[{kind}_{self._counts[kind]}]"
            self._kinds[value] = kind
        return name

    def _again(self, text: str, shortest: int = _SHORTEST_KNOWN) -> Iterator[tuple[int, int, int, str]]:
        """Where values stand again that are masked already: long ones wherever, short ones as words."""
        kinds = self._kinds
        values = [value for value, kind in kinds.items() if kind != LITERAL and len(value) >= shortest]
        for start, end in occurrences(sorted(values, key=len, reverse=True), text):
            kind = kinds.get(text[start:end])
            if kind and (end - start >= _LONG_KNOWN or not _is_within(text, start, end)):
                yield start, end, 0, kind


def _without_beginnings(text: str, value: str) -> str:
    """The text with … for each place where this value begins and breaks off."""
    pieces, place = [], 0
    start = text.find(value[:_BEGINNING])
    while start >= 0:
        end = start + _BEGINNING
        while end < len(text) and text[end] == value[end - start : end - start + 1]:
            end += 1
        pieces += [text[place:start], "…"]
        place = end
        start = text.find(value[:_BEGINNING], end)
    return "".join([*pieces, text[place:]])


def _is_within(text: str, start: int, end: int) -> bool:
    """Whether a place is part of a word."""
    return bool(_LETTER.match(text[start - 1 : start]) or _LETTER.match(text[end : end + 1]))


def merged(found: list[tuple[int, int, int, str]]) -> list[tuple[int, int, str]]:
    """Places in order, overlapping ones as one, named by the one that ranks first."""
    whole: list[tuple[int, int, int, str]] = []
    for start, end, rank, kind in sorted(found):
        if whole and start < whole[-1][1]:
            first, last, best, name = whole[-1]
            whole[-1] = (first, max(last, end), *min((best, name), (rank, kind)))
        else:
            whole.append((start, end, rank, kind))
    return [(start, end, kind) for start, end, _, kind in whole]


def redactor_of(
    redact: Sequence[str | tuple[str, str]], columns: Sequence[str], prompt: Sequence[str] = (), schema: Any = None
) -> Redactor:
    """What masks these kinds in these columns; `prompt` are the texts of templates. Raises ConfigError."""
    if isinstance(redact, str) or not isinstance(redact, Sequence):
        raise ConfigError(f"redact is {redact!r}, not a list", hint=_HINT)
    own: list[tuple[str, Spans]] = []
    settings: list[tuple[str, str]] = []
    for item in redact:
        name, spans, pattern = _kind_of(item)
        if name in [name for name, _ in settings] or name == LITERAL:
            raise ConfigError(f"redact names {name.lower()!r} twice", hint="each kind has a name of its own")
        own.append((name, spans))
        settings.append((name, pattern))
    names = [name for name, _ in own]
    placeholders = Placeholders(names, Placeholders(names).found_in(schema))
    bare = Redactor(tuple(own), (), placeholders)
    said = frozenset(text[start:end] for text in prompt for start, end, _ in bare.found(text))
    return Redactor(tuple(own), tuple(columns), placeholders, said, tuple(settings))


_HINT = f'{", ".join(map(repr, KINDS))} or a name and a regular expression: redact=["email", ("customer", r"C-[0-9]+")]'


def _kind_of(item: Any) -> tuple[str, Spans, str]:
    """Name, finder and pattern, "" for a ready kind."""
    if isinstance(item, str) and item in KINDS:
        return item.upper(), KINDS[item], ""
    pair = item if isinstance(item, list | tuple) and len(item) == 2 else (None, None)
    name, pattern = pair
    if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
        pattern = _inline(pattern)
    if not isinstance(name, str) or not isinstance(pattern, str):
        raise ConfigError(f"redact holds {item!r}", hint=_HINT)
    if not _NAME.fullmatch(name):
        raise ConfigError(f"redact: the name {name!r}", hint="letters, digits and _, beginning with a letter")
    return name.upper(), searcher(pattern, f"redact {name!r}"), pattern


def _inline(pattern: re.Pattern[str]) -> str:
    """A compiled pattern with its flags written in it. Raises ConfigError for flags that RE2 has not."""
    known = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s"}
    if pattern.flags & re.VERBOSE:
        raise ConfigError(f"redact: {pattern.pattern[:80]!r} is verbose", hint="write it without blanks and comments")
    flags = "".join(letter for flag, letter in known.items() if pattern.flags & flag)
    return f"(?{flags}){pattern.pattern}" if flags else pattern.pattern


def _bare(text: str) -> str:
    return _NO_SIGN.sub("", text).casefold()
